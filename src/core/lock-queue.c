/* SPDX-License-Identifier: Apache-2.0 */
/* Lock queue: the holders and waiters of one lock on this host, in arrival order */

#include "base/assert.h"
#include "core/lock-queue.h"

void lock_queue_init(LockQueue *q) {
        *q = (LockQueue) {};
        list_init(&q->holders);
        list_init(&q->waiters);
}

void lock_queue_deinit(LockQueue *q) {
        tooz_assert(list_is_empty(&q->holders));
        tooz_assert(list_is_empty(&q->waiters));
        tooz_assert(!q->upgrader);
}

void lock_queue_append(LockQueue *q, Claim *claim) {
        tooz_assert(claim->state == CLAIM_NEW);
        claim_enter(claim, CLAIM_WAITING);
        list_append(&q->waiters, &claim->link);
        q->n_waiters++;
}

void lock_queue_grant(LockQueue *q, Claim *claim) {
        tooz_assert(claim == lock_queue_next(q));

        if (claim == q->upgrader) {
                q->upgrader = NULL;
                claim->upgrading = false;
                claim->mode = LOCK_EXCLUSIVE;
                return;
        }

        claim_enter(claim, CLAIM_HELD);
        list_unlink(&claim->link);
        q->n_waiters--;
        list_append(&q->holders, &claim->link);
        q->n_holders++;
}

void lock_queue_remove(LockQueue *q, Claim *claim) {
        tooz_assert(list_is_linked(&claim->link));
        list_unlink(&claim->link);
        if (claim->state == CLAIM_WAITING)
                q->n_waiters--;
        else
                q->n_holders--;
        if (q->upgrader == claim) {
                q->upgrader = NULL;
                claim->upgrading = false;
        }
}

Claim *lock_queue_head(const LockQueue *q) {
        return q->upgrader ?: list_first_entry(&q->waiters, Claim, link);
}

LockMode lock_queue_head_mode(const LockQueue *q) {
        Claim *head = lock_queue_head(q);

        tooz_assert(head);
        return head == q->upgrader ? LOCK_EXCLUSIVE : head->mode;
}

LockMode lock_queue_mode(const LockQueue *q) {
        tooz_assert(q->n_holders > 0);
        return list_first_entry(&q->holders, Claim, link)->mode;
}

Claim *lock_queue_next(const LockQueue *q) {
        Claim *first;

        if (q->upgrader)
                return q->n_holders == 1 ? q->upgrader : NULL;

        first = list_first_entry(&q->waiters, Claim, link);
        if (!first)
                return NULL;
        if (q->n_holders > 0 && !lock_mode_compatible(lock_queue_mode(q), first->mode))
                return NULL;
        return first;
}

bool lock_queue_is_open(const LockQueue *q, LockMode mode) {
        if (lock_queue_head(q))
                return false;
        return q->n_holders == 0 || lock_mode_compatible(lock_queue_mode(q), mode);
}

unsigned lock_queue_position(const LockQueue *q, const Claim *claim) {
        unsigned position = 0;
        Claim *c;

        if (claim->state != CLAIM_WAITING)
                return 0;
        list_foreach(c, &q->waiters, Claim, link) {
                position++;
                if (c == claim)
                        return position;
        }
        return 0;
}

void lock_queue_check(const LockQueue *q) {
        unsigned n_holders = 0, n_waiters = 0;
        Claim *c;

        list_foreach(c, &q->holders, Claim, link) {
                tooz_assert(claim_is_holding(c));
                tooz_assert(c->mode == LOCK_SHARED || q->n_holders == 1);
                tooz_assert(c->upgrading == (c == q->upgrader));
                n_holders++;
        }
        list_foreach(c, &q->waiters, Claim, link) {
                tooz_assert(c->state == CLAIM_WAITING);
                tooz_assert(!c->upgrading);
                n_waiters++;
        }
        tooz_assert(n_holders == q->n_holders);
        tooz_assert(n_waiters == q->n_waiters);
        tooz_assert(!q->upgrader || q->upgrader->mode == LOCK_SHARED);
}
