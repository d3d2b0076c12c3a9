/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lock: one name in one domain. See lock.c for how it decides. */

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/heap.h"
#include "core/claim.h"
#include "core/lock-queue.h"
#include "core/place.h"
#include "core/tenure.h"

typedef struct LockTable LockTable;

/* What the backend is asked to do in the lock's directory. Bits. */
typedef enum LockWant {
        LOCK_WANT_LIST = 1 << 0,       /* list the children, and read the died record */
        LOCK_WANT_LIST_WATCH = 1 << 1, /* the same, and leave a watch on the children */
} LockWant;

struct Lock {
        LockTable *table;
        char *name;
        UT_hash_handle hh; /* in table->by_name */
        LockQueue queue;
        Tenure tenure; /* empty in `node` */
        Places places; /* `node` in an arena */
        HeapNode timer;

        uint64_t token_last; /* of the last grant on this host */
        Previous previous;   /* how the last conflicting holder left: told to who is granted now */
        Previous leaving;    /* how those who hold now have left so far: becomes `previous` */
        ListLink memory;     /* on table->remembered: no claims, but the last holder did not release */

        unsigned want; /* LockWant */
        Effect effect;
};

/* What one listing of a lock's directory brought. */
typedef struct Listing {
        const Contender *contenders;
        size_t n_contenders;
        int64_t died_czxid; /* node named by the died record, 0: no record */
        bool watch_armed;   /* a children watch is armed now */
        bool watch_refused; /* it was asked for, and none is to be had */
} Listing;

/* What the reply to a create, or a stat, said. */
typedef struct NodeFacts {
        int32_t sequence;
        int64_t czxid;
        int64_t owner; /* ephemeralOwner */
} NodeFacts;

/* --- for lock-table.c and lock-report.c --------------------------------------------------------- */

int lock_new(Lock **ret, LockTable *table, const char *name);
/* No claim and no node may be left. */
Lock *lock_free(Lock *lock);

/* Level-triggered: looks at the facts and does everything that follows from them. Each transition ends with it. It
 * may free the lock, when nothing is left of it. */
void lock_settle(Lock *lock, uint64_t now, Effects *fx);

void lock_check(const Lock *lock);
void lock_check_waits(const Lock *lock, uint64_t now);
/* Cluster: is there contact, known to be good until the deadline? */
bool lock_table_may_grant(const LockTable *t, uint64_t now);

/* Grants what may be granted now. */
void lock_grant_all(Lock *lock, uint64_t now, Effects *fx);

/* In an arena (lock-place.c). */
bool lock_place_may_grant(const Lock *lock);
uint64_t lock_place_take_token(Lock *lock, Effects *fx);
void lock_settle_places(Lock *lock, uint64_t now, Effects *fx);
void lock_check_places(const Lock *lock);

/* Takes a claim off the queue into a terminal state, and tells its owner. `died`: a holder did not release. */
void lock_end_claim(Lock *lock, Claim *claim, ClaimState state, ClaimReason reason, bool died, Effects *fx);
void lock_end_holders(Lock *lock, ClaimReason reason, Effects *fx);
/* All that wait here, to upgrade too. */
void lock_end_waiters(Lock *lock, ClaimReason reason, Effects *fx);
/* The upgrade that was waited for will not come: the claim stays shared. */
void lock_end_upgrade(Lock *lock, ClaimReason reason, Effects *fx);
/* Somebody waits for what these hold. */
void lock_tell_contended(Lock *lock, Effects *fx);

/* Gives up the node in force, recording with its delete when our last holder died. */
void lock_give_up_force(Lock *lock, Effects *fx);
/* Asks for a listing, now or when the one in flight is back; without contact, not at all. */
void lock_want_list(Lock *lock, Effects *fx);
/* A node of ours was deleted by somebody, or never came to be. */
void lock_drop_node(Lock *lock, Node *node, Effects *fx);
/* Another host stands behind our node in force: the bounds of the tenure start. */
void lock_see_foreign(Lock *lock, uint64_t now, Effects *fx);
/* Deletes again what is still to be deleted. */
void lock_push_deletes(Lock *lock, Effects *fx);
void lock_retry_later(Lock *lock, uint64_t now);
