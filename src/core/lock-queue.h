/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lock queue: the holders and waiters of one lock on this host, in arrival order
 *
 * Invariants (lock_queue_check() asserts them):
 *   - holders are one exclusive claim, or any number of shared ones;
 *   - waiters are served strictly in order of arrival; readers that stand together are granted together; nobody is
 *     granted past a waiter that came earlier, so a writer is not starved;
 *   - at most one holder waits to upgrade; it goes before every waiter, and no reader is let in past it.
 *
 * The queue knows nothing of nodes, sessions and time: lock.c decides when it may grant. */

#include "core/claim.h"

typedef struct LockQueue {
        List holders;
        List waiters;
        unsigned n_holders;
        unsigned n_waiters;
        Claim *upgrader;
} LockQueue;

void lock_queue_init(LockQueue *q);
void lock_queue_deinit(LockQueue *q);

void lock_queue_append(LockQueue *q, Claim *claim);       /* NEW claim to the tail of the waiters */
void lock_queue_grant(LockQueue *q, Claim *claim);        /* waiter, or upgrader, to holder of the wanted mode */
void lock_queue_remove(LockQueue *q, Claim *claim);       /* holder or waiter, whichever it is */

/* The claim to be granted next, or NULL: the upgrader when it is alone, else the first waiter when it is compatible
 * with all holders and no upgrade is pending. */
Claim *lock_queue_next(const LockQueue *q);
/* The claim that everybody waits for to be served, granted or not: the upgrader, else the first waiter; or NULL. */
Claim *lock_queue_head(const LockQueue *q);
/* Mode in which that claim wants the lock. */
LockMode lock_queue_head_mode(const LockQueue *q);

/* Could a claim that arrives now be granted at once, as far as this queue goes? */
bool lock_queue_is_open(const LockQueue *q, LockMode mode);
/* Mode of the holders. There must be one. */
LockMode lock_queue_mode(const LockQueue *q);
/* 1 for the first waiter; 0 when it does not wait. O(n): for display. */
unsigned lock_queue_position(const LockQueue *q, const Claim *claim);

void lock_queue_check(const LockQueue *q);
