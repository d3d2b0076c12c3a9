/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lock table: all locks of one domain, and every transition that they know
 *
 * All functions are pure: what they want done is on `fx` when they return. `now` is CLOCK_BOOTTIME in microseconds
 * and never goes back. */

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/heap.h"
#include "core/claim.h"
#include "core/lock.h"
#include "core/session.h"
#include "core/token.h"

/* Outcomes of a request that was not taken; the claim stays NEW. */
enum {
        _LOCK_E_SUCCESS,
        LOCK_E_WOULD_BLOCK,   /* CLAIM_NO_QUEUE, and it is held or waited for here */
        LOCK_E_NOT_CONNECTED, /* CLAIM_NO_QUEUE, and no contact with the ensemble */
        LOCK_E_NOT_HELD,      /* conversion or break of what is not held */
        LOCK_E_DEADLOCK,      /* another holder already waits to upgrade */
        LOCK_E_STALE_TOKEN,   /* no holder has this token any more */
        LOCK_E_SUSPENDED,     /* can't convert without contact */
};

struct LockTable {
        Lock *by_name;
        Heap claim_timers; /* Claim.timer: waits that end */
        Heap lock_timers;  /* Lock.timer: bounds of tenures, lists to repeat */
        List remembered;   /* locks without claims, oldest first */
        size_t n_locks;
        size_t n_held;     /* claims */
        size_t n_waiting;
        size_t n_remembered;
        uint64_t next_serial; /* of nodes */

        /* exactly one of the two */
        Session *session;    /* cluster: grants need it */
        TokenSource *tokens; /* node */
        int64_t realtime_offset_usec; /* node: wall clock less BOOTTIME, where new tokens start */
        bool arena;          /* node: in an arena, where programs lock that need no agent */
        bool contact;        /* cluster: the session is up, and the locks have been told */
        bool refusing;       /* cluster: zxid regression, waits for an operator */
};

/* Either `session` or `tokens` is given, and must live as long as the table. */
void lock_table_init(LockTable *t, Session *session, TokenSource *tokens);
/* No claim and no node may be left. */
void lock_table_deinit(LockTable *t);

/* --- what clients do ---------------------------------------------------------------------------- */

/* Takes a NEW claim for `name`. 0: taken, news follow; LOCK_E_WOULD_BLOCK, LOCK_E_NOT_CONNECTED; -ENOMEM.
 * `wait_deadline_usec`: when a wait ends with REASON_TIMEOUT; USEC_INFINITY: never. */
int lock_table_request(LockTable *t, Claim *claim, const char *name, uint64_t wait_deadline_usec, uint64_t now, Effects *fx);
/* Ends a claim that waits or holds (its `lock` is set): a holder is RELEASED, a waiter FAILED with REASON_CANCELED.
 * `died`: its owner did not do it. */
void lock_table_release(LockTable *t, Claim *claim, bool died, uint64_t now, Effects *fx);
/* 0: done or waiting, NEWS_CONVERTED or NEWS_CONVERT_FAILED follows; LOCK_E_NOT_HELD, _DEADLOCK, _SUSPENDED. */
int lock_table_convert(LockTable *t, Claim *claim, LockMode mode, uint64_t wait_deadline_usec, uint64_t now, Effects *fx);
/* Breaks the holder with this token, or all under the tenure that it names (grant number 0, cluster only). The node
 * in force is deleted. 0, LOCK_E_STALE_TOKEN, LOCK_E_NOT_HELD. */
int lock_table_break(LockTable *t, const char *name, uint64_t token, uint64_t now, Effects *fx);
/* Ends every claim: the agent stops. */
void lock_table_stop(LockTable *t, uint64_t now, Effects *fx);

/* --- what the backend reports (cluster) --------------------------------------------------------- */

/* Names a node across threads and time: by lock name and serial. NULL: gone meanwhile, the report is too late. */
Node *lock_table_find_node(LockTable *t, const char *name, uint64_t serial);

void lock_table_on_created(LockTable *t, Node *node, const NodeFacts *facts, uint64_t now, Effects *fx);
/* The create was refused for good (`reason`), or it is not known whether it was done (REASON_NONE). */
void lock_table_on_create_failed(LockTable *t, Node *node, ClaimReason reason, uint64_t now, Effects *fx);
/* Reply to NODE_WANT_STAT; NULL facts: no such node. */
void lock_table_on_statted(LockTable *t, Node *node, const NodeFacts *facts, uint64_t now, Effects *fx);
/* Reply to LOCK_WANT_LIST. NULL listing: it failed, connection lost. */
void lock_table_on_listed(LockTable *t, Lock *lock, const Listing *listing, uint64_t now, Effects *fx);
/* Reply to NODE_WANT_WATCH: true: armed; false: there is nothing to watch any more, or no watch is to be had
 * (`retry`: list again in a second). */
void lock_table_on_watch_armed(LockTable *t, Node *node, bool armed, bool retry, uint64_t now, Effects *fx);
/* Something happened to the predecessor of a node, or to the children of the lock: a hint, read again. */
void lock_table_on_hint(LockTable *t, Lock *lock, bool children, uint64_t now, Effects *fx);
/* Reply to NODE_WANT_DELETE. true: it is gone; false: not known, to be repeated when there is contact. */
void lock_table_on_deleted(LockTable *t, Node *node, bool gone, uint64_t now, Effects *fx);

/* --- what the backend reports (node, in an arena) ----------------------------------------------- */

void lock_table_on_place_waiting(LockTable *t, Place *place, uint64_t now, Effects *fx);
void lock_table_on_place_held(LockTable *t, Place *place, const PlaceGrant *grant, uint64_t now, Effects *fx);
/* Reply to PLACE_WANT_UPGRADE; NULL: somebody else waits for the same. */
void lock_table_on_place_upgraded(LockTable *t, Place *place, const PlaceGrant *grant, uint64_t now, Effects *fx);
/* Since when the first of others stands behind it, as of now; USEC_INFINITY: nobody does. Also the reply to
 * PLACE_WANT_LOOK. */
void lock_table_on_place_contended(LockTable *t, Place *place, uint64_t since_usec, uint64_t now, Effects *fx);
/* Taken from us: who holds under it has lost, who waits gets another one. */
void lock_table_on_place_lost(LockTable *t, Place *place, ClaimReason reason, uint64_t now, Effects *fx);
/* There is none to be had. */
void lock_table_on_place_refused(LockTable *t, Place *place, ClaimReason reason, uint64_t now, Effects *fx);
/* Reply to PLACE_WANT_LEAVE */
void lock_table_on_place_left(LockTable *t, Place *place, uint64_t now, Effects *fx);

/* --- session ------------------------------------------------------------------------------------ */

/* The session changed (domain.c calls it). SESSION_NEW and SESSION_RESUMED only after a write of ours has been
 * acknowledged on the new connection: listings are complete from then on. */
void lock_table_on_session(LockTable *t, SessionChange change, uint64_t now, Effects *fx);
/* czxids went back: refuse grants until acknowledged. */
void lock_table_refuse(LockTable *t, bool refuse, uint64_t now, Effects *fx);

/* --- time, looking ------------------------------------------------------------------------------ */

void lock_table_on_timer(LockTable *t, uint64_t now, Effects *fx);
uint64_t lock_table_next_timer(const LockTable *t);
Lock *lock_table_find(const LockTable *t, const char *name);
/* Iterates in no particular order: NULL starts, NULL ends. The table must not change meanwhile. */
Lock *lock_table_next(const LockTable *t, const Lock *lock);
bool lock_is_held(const Lock *lock);
/* Asserts the invariants. */
void lock_table_check(const LockTable *t);
/* Asserts that nobody waits for nothing. Timers up to `now` must have run. */
void lock_table_check_waits(const LockTable *t, uint64_t now);
