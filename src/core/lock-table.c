/* SPDX-License-Identifier: Apache-2.0 */
/* Lock table: all locks of one domain: what clients do, and time. Reports of the backend: lock-report.c */

#include <string.h>

#include "base/assert.h"
#include "base/macro.h"
#include "base/time.h"
#include "core/lock-table.h"

/* How many locks without claims are kept to tell how their last holder left. */
#define REMEMBERED_MAX 65536u

void lock_table_init(LockTable *t, Session *session, TokenSource *tokens) {
        tooz_assert(!session != !tokens);
        *t = (LockTable) { .next_serial = 1, .session = session, .tokens = tokens };
        heap_init(&t->claim_timers);
        heap_init(&t->lock_timers);
        list_init(&t->remembered);
}

void lock_table_deinit(LockTable *t) {
        Lock *lock, *tmp;

        tooz_assert(t->n_held == 0 && t->n_waiting == 0);
        hash_foreach_safe(hh, t->by_name, lock, tmp) {
                tenure_forget(&lock->tenure);
                places_forget(&lock->places);
                lock_free(lock);
        }
        tooz_assert(t->n_locks == 0 && t->n_remembered == 0);
        tooz_assert(heap_is_empty(&t->claim_timers) && heap_is_empty(&t->lock_timers));
}

Lock *lock_table_find(const LockTable *t, const char *name) {
        Lock *lock;

        hash_find(hh, t->by_name, name, strlen(name), lock);
        return lock;
}

Lock *lock_table_next(const LockTable *t, const Lock *lock) {
        return lock ? lock->hh.next : t->by_name;
}

bool lock_is_held(const Lock *lock) {
        return lock->queue.n_holders > 0;
}

/* --- what clients do ---------------------------------------------------------------------------- */

/* A claim that must not wait is refused at once where this host alone can tell. */
static int lock_table_try(const LockTable *t, const Lock *lock, LockMode mode, uint64_t now) {
        if (lock && !lock_queue_is_open(&lock->queue, mode))
                return LOCK_E_WOULD_BLOCK;
        if (t->session && !t->refusing && !lock_table_may_grant(t, now))
                return LOCK_E_NOT_CONNECTED;
        return 0;
}

static void claim_set_deadline(LockTable *t, Claim *claim, uint64_t deadline_usec) {
        claim->wait_deadline_usec = deadline_usec;
        if (deadline_usec != USEC_INFINITY)
                heap_set(&t->claim_timers, &claim->timer, deadline_usec);
}

int lock_table_request(LockTable *t, Claim *claim, const char *name, uint64_t wait_deadline_usec, uint64_t now, Effects *fx) {
        Lock *lock = lock_table_find(t, name);
        int r;

        if (claim->flags & CLAIM_NO_QUEUE) {
                r = lock_table_try(t, lock, claim->mode, now);
                if (r != 0)
                        return r;
        }
        if (!lock) {
                if (t->n_remembered >= REMEMBERED_MAX)
                        lock_free(list_first_entry(&t->remembered, Lock, memory));
                r = lock_new(&lock, t, name);
                if (r < 0)
                        return r;
        }

        claim->lock = lock;
        claim->requested_usec = now;
        lock_queue_append(&lock->queue, claim);
        t->n_waiting++;
        claim_set_deadline(t, claim, wait_deadline_usec);
        /* In an arena that is told when it is known. */
        if (t->arena)
                claim->news |= NEWS_QUEUED;
        else
                claim_tell(claim, NEWS_QUEUED, fx);
        if (lock->queue.n_holders > 0 && lock_queue_next(&lock->queue) != claim)
                lock_tell_contended(lock, fx);
        lock_settle(lock, now, fx);
        return 0;
}

void lock_table_release(LockTable *t, Claim *claim, bool died, uint64_t now, Effects *fx) {
        Lock *lock = claim->lock;

        if (claim_is_holding(claim))
                lock_end_claim(lock, claim, CLAIM_RELEASED, REASON_NONE, died, fx);
        else
                lock_end_claim(lock, claim, CLAIM_FAILED, REASON_CANCELED, died, fx);
        lock_settle(lock, now, fx);
}

static void lock_table_downgrade(Claim *claim, Effects *fx) {
        claim->mode = LOCK_SHARED;
        claim->convert_reason = REASON_NONE;
        claim_tell(claim, NEWS_CONVERTED, fx);
}

int lock_table_convert(LockTable *t, Claim *claim, LockMode mode, uint64_t wait_deadline_usec, uint64_t now, Effects *fx) {
        Lock *lock = claim->lock;

        if (!claim_is_holding(claim))
                return LOCK_E_NOT_HELD;
        if (claim->upgrading || (mode == LOCK_EXCLUSIVE && claim->mode != mode && lock->queue.upgrader))
                return LOCK_E_DEADLOCK;
        if (claim->state == CLAIM_SUSPENDED && mode != claim->mode)
                return LOCK_E_SUSPENDED;

        if (mode == claim->mode) {
                claim->convert_reason = REASON_NONE;
                claim_tell(claim, NEWS_CONVERTED, fx);
        } else if (mode == LOCK_SHARED) {
                lock_table_downgrade(claim, fx);
        } else {
                claim->upgrading = true;
                lock->queue.upgrader = claim;
                claim_set_deadline(t, claim, wait_deadline_usec);
                if (lock->queue.n_holders > 1)
                        lock_tell_contended(lock, fx);
                /* Is somebody trapped between our two nodes? The watch of the next one does not tell. */
                if (lock->tenure.next)
                        lock_want_list(lock, fx);
        }
        lock_settle(lock, now, fx);
        return 0;
}

int lock_table_break(LockTable *t, const char *name, uint64_t token, uint64_t now, Effects *fx) {
        Lock *lock = lock_table_find(t, name);
        Claim *c, *tmp;
        bool whole, found = false;

        if (!lock || lock->queue.n_holders == 0)
                return LOCK_E_NOT_HELD;

        whole = t->session && token_tenure(token) == token;
        list_foreach_safe(c, tmp, &lock->queue.holders, Claim, link) {
                if (c->token != token && !(whole && token_tenure(c->token) == token))
                        continue;
                lock_end_claim(lock, c, CLAIM_LOST, REASON_BROKEN, false, fx);
                found = true;
        }
        if (!found)
                return LOCK_E_STALE_TOKEN;
        /* How it left is not how a holder leaves: the next one can't rely on what was protected. */
        if (lock->queue.n_holders == 0 && lock->previous != PREVIOUS_DIED)
                lock->previous = PREVIOUS_UNKNOWN;
        if (whole && lock->queue.n_holders == 0 && lock->tenure.force)
                lock_give_up_force(lock, fx);
        lock_settle(lock, now, fx);
        return 0;
}

void lock_table_stop(LockTable *t, uint64_t now, Effects *fx) {
        Lock *lock, *tmp;

        hash_foreach_safe(hh, t->by_name, lock, tmp) {
                lock_end_holders(lock, REASON_AGENT_STOPPING, fx);
                lock_end_waiters(lock, REASON_AGENT_STOPPING, fx);
                lock_settle(lock, now, fx);
        }
}

/* --- time --------------------------------------------------------------------------------------- */

static void claim_on_deadline(Claim *claim, uint64_t now, Effects *fx) {
        Lock *lock = claim->lock;

        if (claim->upgrading)
                lock_end_upgrade(lock, REASON_TIMEOUT, fx);
        else
                lock_end_claim(lock, claim, CLAIM_FAILED, REASON_TIMEOUT, false, fx);
        lock_settle(lock, now, fx);
}

static void lock_on_timer(Lock *lock, uint64_t now, Effects *fx) {
        if (now >= lock->tenure.retry_usec) {
                lock->tenure.retry_usec = USEC_INFINITY;
                /* Without contact there is nobody to ask; the next contact asks for everything. */
                if (lock_table_may_grant(lock->table, now) && !list_is_empty(&lock->tenure.nodes)) {
                        lock_push_deletes(lock, fx);
                        lock_want_list(lock, fx);
                }
        }
        lock_settle(lock, now, fx);
}

void lock_table_on_timer(LockTable *t, uint64_t now, Effects *fx) {
        HeapNode *node;

        while ((node = heap_min(&t->claim_timers)) && node->key <= now) {
                heap_remove(&t->claim_timers, node);
                claim_on_deadline(container_of(node, Claim, timer), now, fx);
        }
        while ((node = heap_min(&t->lock_timers)) && node->key <= now) {
                heap_remove(&t->lock_timers, node);
                lock_on_timer(container_of(node, Lock, timer), now, fx);
        }
}

uint64_t lock_table_next_timer(const LockTable *t) {
        HeapNode *claim = heap_min(&t->claim_timers), *lock = heap_min(&t->lock_timers);

        return MIN(claim ? claim->key : USEC_INFINITY, lock ? lock->key : USEC_INFINITY);
}

void lock_table_check(const LockTable *t) {
        size_t n_locks = 0, n_held = 0, n_waiting = 0, n_remembered = 0;
        const Lock *lock;

        for (lock = lock_table_next(t, NULL); lock; lock = lock_table_next(t, lock)) {
                lock_check(lock);
                n_held += lock->queue.n_holders;
                n_waiting += lock->queue.n_waiters;
                n_remembered += list_is_linked(&lock->memory);
                n_locks++;
        }
        tooz_assert(n_locks == t->n_locks && n_held == t->n_held && n_waiting == t->n_waiting);
        tooz_assert(n_remembered == t->n_remembered);
}

void lock_table_check_waits(const LockTable *t, uint64_t now) {
        const Lock *lock;

        for (lock = lock_table_next(t, NULL); lock; lock = lock_table_next(t, lock))
                lock_check_waits(lock, now);
}
