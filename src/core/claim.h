/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Claim: what one client holds or waits for
 *
 *              +-----------------------------> FAILED     (time-out, would block, cancelled, refused)
 *              |
 *  (new) --> WAITING --> HELD <--> SUSPENDED --> LOST     (deadline, session over, broken, agent stopping)
 *                          |           |
 *                          +-----------+-----> RELEASED   (by its owner, or because its owner died)
 *
 * FAILED, LOST and RELEASED are terminal; WAITING ends in exactly one of HELD and FAILED. claim_enter() is the only
 * place where the state changes, and asserts the edge.
 *
 * Whoever creates a claim (the bus) owns its memory and frees it with claim_deinit() after it has been told of a
 * terminal state. Until then a claim is on exactly one list of exactly one lock. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/table.h"
#include "core/effect.h"
#include "core/mode.h"

typedef struct Lock Lock;

typedef enum ClaimState {
        CLAIM_NEW,
        CLAIM_WAITING,
        CLAIM_HELD,
        CLAIM_SUSPENDED,
        CLAIM_RELEASED,
        CLAIM_LOST,
        CLAIM_FAILED,
        _CLAIM_STATE_MAX,
        _CLAIM_STATE_INVALID = -EINVAL,
} ClaimState;

/* Why a claim is LOST or FAILED. */
typedef enum ClaimReason {
        REASON_NONE,
        REASON_TIMEOUT,         /* waited until its deadline */
        REASON_WOULD_BLOCK,     /* was not to wait */
        REASON_CANCELED,        /* by its owner while waiting */
        REASON_DEADLOCK,        /* two holders want to upgrade */
        REASON_DEADLINE,        /* no contact until the deadline */
        REASON_SESSION_EXPIRED, /* the servers say so */
        REASON_BROKEN,          /* BreakLock, or the node was deleted by somebody */
        REASON_AGENT_STOPPING,
        REASON_BACKEND_ERROR,   /* the backend refuses for good: access, authentication, quota */
        REASON_EXHAUSTED,       /* sequence numbers or tokens of this name are used up */
        REASON_TOKEN_REGRESSION, /* the ensemble went back in time: an operator must acknowledge */
        _CLAIM_REASON_MAX,
        _CLAIM_REASON_INVALID = -EINVAL,
} ClaimReason;

/* How the last conflicting holder before this one left. */
typedef enum Previous {
        PREVIOUS_UNKNOWN,
        PREVIOUS_RELEASED,
        PREVIOUS_DIED,
        _PREVIOUS_MAX,
        _PREVIOUS_INVALID = -EINVAL,
} Previous;

/* What the owner is to be told. Bits, told in this order; a terminal one ends the claim. */
typedef enum ClaimNews {
        NEWS_QUEUED = 1 << 0,
        NEWS_ACQUIRED = 1 << 1,
        NEWS_CONVERTED = 1 << 2,      /* mode and token changed */
        NEWS_CONVERT_FAILED = 1 << 3, /* stays as it was; claim->convert_reason says why */
        NEWS_CONTENDED = 1 << 4,      /* somebody waits (asked for by CLAIM_NOTIFY_CONTENTION) */
        NEWS_SUSPENDED = 1 << 5,
        NEWS_RESUMED = 1 << 6,
        NEWS_RELEASED = 1 << 7, /* terminal */
        NEWS_LOST = 1 << 8,     /* terminal */
        NEWS_FAILED = 1 << 9,   /* terminal */
        NEWS_TERMINAL = NEWS_RELEASED | NEWS_LOST | NEWS_FAILED,
} ClaimNews;

/* Flags of a request: the numbers are those of the D-Bus interface. */
typedef enum ClaimFlags {
        CLAIM_NO_QUEUE = 1 << 0,          /* fail rather than wait */
        CLAIM_NOTIFY_CONTENTION = 1 << 2, /* tell the holder when somebody waits */
        _CLAIM_FLAGS_ALL = CLAIM_NO_QUEUE | CLAIM_NOTIFY_CONTENTION,
} ClaimFlags;

#define CLAIM_DESCRIPTION_MAX 256

/* Who claims, for people to read and for access decisions (uid). The strings belong to the claim. */
typedef struct ClaimOwner {
        uid_t uid;
        pid_t pid;
        char *unit;        /* systemd unit, or ""; of a claim's owner, where the memory of all three begins */
        char *comm;        /* or "" */
        char *description; /* or "" */
} ClaimOwner;

typedef struct Claim {
        uint64_t id;
        LockMode mode;
        ClaimState state;
        ClaimReason reason;
        uint64_t flags;
        ClaimOwner owner;

        Lock *lock; /* NULL before the request was taken, and after the end */
        ListLink link;  /* on lock->queue.holders or .waiters */
        HeapNode timer; /* deadline of the wait, or of the conversion */
        uint64_t wait_deadline_usec;

        uint64_t token;
        Previous previous;
        uint64_t epoch;          /* session in which it was granted; 0 in `node` */
        uint64_t requested_usec; /* BOOTTIME */
        uint64_t held_since_usec;

        bool upgrading; /* holds shared, waits for exclusive */
        ClaimReason convert_reason;

        unsigned news; /* ClaimNews not told yet */
        Effect effect;
} Claim;

DECLARE_STRING_TABLE(claim_state, ClaimState);
DECLARE_STRING_TABLE(claim_reason, ClaimReason);
DECLARE_STRING_TABLE(previous, Previous);

/* Takes copies of the owner's strings. -ENOMEM; then the claim needs no deinit. */
int claim_init(Claim *claim, uint64_t id, LockMode mode, uint64_t flags, const ClaimOwner *owner);
/* The claim must be NEW or in a terminal state. */
void claim_deinit(Claim *claim);

bool claim_is_terminal(const Claim *claim);
bool claim_is_holding(const Claim *claim); /* HELD or SUSPENDED */

/* The one place where the state changes; asserts that the edge is legal. */
void claim_enter(Claim *claim, ClaimState state);
/* Adds to what the owner is to be told. */
void claim_tell(Claim *claim, ClaimNews news, Effects *fx);
/* Takes what the owner is to be told, in one word of ClaimNews bits. */
unsigned claim_take_news(Claim *claim);
