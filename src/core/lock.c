/* SPDX-License-Identifier: Apache-2.0 */
/* Lock: one name in one domain, and the decisions about it
 *
 * Every transition (a request, a release, a report of the backend, a timer) changes facts, and then lock_settle()
 * looks at all of them and does what follows. Nothing depends on the order in which facts came, so a lost reply, a
 * late event and a repeated one need no code of their own.
 *
 * In `node` the local queue is the whole truth: lock_settle() grants as far as it allows. Where programs without an
 * agent lock beside us, in an arena, lock-place.c decides.
 *
 * In a cluster a local claim is granted when all of this is true:
 *   - the queue allows it;
 *   - a node is in force, in a mode that serves the claim, of the session that is up now;
 *   - the session may grant: in contact, and the deadline ahead;
 *   - the tenure is not at its bound, and not out of grant numbers.
 *
 * A node is given up (deleted) when no claim holds under it and none is to be granted under it. When claims wait that
 * it can't serve, the next node is created first, and the old one is deleted when the create has been answered: so
 * this host's place in ZooKeeper's queue is taken before the old place is given away.
 *
 * The next node comes into force when nothing of others is before it and no claim holds under the old one, or only
 * the one that wants to upgrade. Whether something of *ours* is before it does not matter: we know whether it is used. */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bug.h"
#include "base/str.h"
#include "base/time.h"
#include "core/lock-table.h"
#include "core/lock.h"

#define RETRY_USEC USEC_PER_SEC

static bool lock_is_cluster(const Lock *lock) {
        return lock->table->session;
}

bool lock_table_may_grant(const LockTable *t, uint64_t now) {
        return t->contact && session_may_grant(t->session, now);
}

int lock_new(Lock **ret, LockTable *table, const char *name) {
        Lock *lock;
        int r;

        lock = calloc(1, sizeof(*lock));
        if (!lock)
                return -ENOMEM;

        lock->table = table;
        lock_queue_init(&lock->queue);
        tenure_init(&lock->tenure);
        places_init(&lock->places);
        heap_node_init(&lock->timer);
        list_link_init(&lock->memory);
        effect_init(&lock->effect, EFFECT_LOCK);
        lock->previous = table->session ? PREVIOUS_UNKNOWN : PREVIOUS_RELEASED;
        lock->leaving = PREVIOUS_RELEASED;

        r = strdup_to(&lock->name, name);
        if (r >= 0)
                r = hash_add(hh, table->by_name, lock->name, strlen(lock->name), lock);
        if (r < 0) {
                free(lock->name);
                free(lock);
                return r;
        }
        table->n_locks++;
        *ret = lock;
        return 0;
}

Lock *lock_free(Lock *lock) {
        if (!lock)
                return NULL;
        hash_remove(hh, lock->table->by_name, lock);
        lock->table->n_locks--;
        if (list_is_linked(&lock->memory)) {
                list_unlink(&lock->memory);
                lock->table->n_remembered--;
        }
        heap_remove(&lock->table->lock_timers, &lock->timer);
        effect_cancel(&lock->effect);
        lock_queue_deinit(&lock->queue);
        tenure_deinit(&lock->tenure);
        places_deinit(&lock->places);
        free(lock->name);
        free(lock);
        return NULL;
}

/* --- claims ------------------------------------------------------------------------------------- */

/* How a holder left is told to the next conflicting one: of readers that held together, one death is enough. */
static void lock_note_leaving(Lock *lock, bool died) {
        if (died)
                lock->leaving = PREVIOUS_DIED;
        if (lock->queue.n_holders > 0)
                return;
        lock->previous = lock->leaving;
        lock->leaving = PREVIOUS_RELEASED;
}

void lock_end_claim(Lock *lock, Claim *claim, ClaimState state, ClaimReason reason, bool died, Effects *fx) {
        bool held = claim_is_holding(claim);

        heap_remove(&lock->table->claim_timers, &claim->timer);
        lock_queue_remove(&lock->queue, claim);
        claim_enter(claim, state);
        claim->reason = reason;
        claim->lock = NULL;
        if (held) {
                lock->table->n_held--;
                lock_note_leaving(lock, died);
        } else
                lock->table->n_waiting--;

        claim_tell(claim,
                   state == CLAIM_RELEASED ? NEWS_RELEASED :
                   state == CLAIM_LOST     ? NEWS_LOST :
                                             NEWS_FAILED,
                   fx);
}

void lock_end_holders(Lock *lock, ClaimReason reason, Effects *fx) {
        Claim *c, *tmp;

        list_foreach_safe(c, tmp, &lock->queue.holders, Claim, link)
                lock_end_claim(lock, c, CLAIM_LOST, reason, false, fx);
}

void lock_end_upgrade(Lock *lock, ClaimReason reason, Effects *fx) {
        Claim *claim = lock->queue.upgrader;

        tooz_assert(claim);
        heap_remove(&lock->table->claim_timers, &claim->timer);
        lock->queue.upgrader = NULL;
        claim->upgrading = false;
        claim->convert_reason = reason;
        claim_tell(claim, NEWS_CONVERT_FAILED, fx);
}

void lock_end_waiters(Lock *lock, ClaimReason reason, Effects *fx) {
        Claim *c, *tmp;

        list_foreach_safe(c, tmp, &lock->queue.waiters, Claim, link)
                lock_end_claim(lock, c, CLAIM_FAILED, reason, false, fx);
        if (lock->queue.upgrader)
                lock_end_upgrade(lock, reason, fx);
}

void lock_tell_contended(Lock *lock, Effects *fx) {
        Claim *c;

        list_foreach(c, &lock->queue.holders, Claim, link)
                if (c->flags & CLAIM_NOTIFY_CONTENTION)
                        claim_tell(c, NEWS_CONTENDED, fx);
}

static uint64_t lock_next_token(Lock *lock, uint64_t now, Effects *fx) {
        LockTable *t = lock->table;
        Node *force = lock->tenure.force;

        if (lock->table->arena)
                return lock_place_take_token(lock, fx);
        if (!lock_is_cluster(lock))
                return token_source_next(t->tokens, lock->token_last,
                                         (uint64_t) ((int64_t) now + t->realtime_offset_usec) * NSEC_PER_USEC);
        force->n_grants++;
        if (bug("token-from-sequence"))
                return (uint64_t) force->sequence << TOKEN_GRANT_BITS | force->n_grants;
        return token_from_czxid(force->czxid, force->n_grants);
}

static void lock_grant(Lock *lock, Claim *claim, uint64_t now, Effects *fx) {
        bool upgrade = claim->upgrading;

        heap_remove(&lock->table->claim_timers, &claim->timer);
        lock_queue_grant(&lock->queue, claim);
        claim->token = lock->token_last = lock_next_token(lock, now, fx);
        claim->epoch = lock_is_cluster(lock) ? lock->table->session->epoch : 0;
        if (upgrade) {
                claim->convert_reason = REASON_NONE;
                /* A reader that died beside it was a conflicting holder before it. */
                if (lock->leaving == PREVIOUS_DIED)
                        claim->previous = PREVIOUS_DIED;
                lock->leaving = PREVIOUS_RELEASED;
                claim_tell(claim, NEWS_CONVERTED, fx);
                return;
        }
        claim->previous = lock->previous;
        claim->held_since_usec = now;
        lock->table->n_waiting--;
        lock->table->n_held++;
        claim_tell(claim, NEWS_ACQUIRED, fx);
}

/* --- tenure ------------------------------------------------------------------------------------- */

static bool lock_is_bounded(const Lock *lock, uint64_t now) {
        const Tenure *t = &lock->tenure;

        if (t->force->n_grants >= TOKEN_GRANTS_MAX)
                return true;
        return t->foreign_waits && (t->force->n_grants >= t->grants_bound || now >= t->time_bound_usec);
}

/* Will the node in force serve whoever is next, as far as it goes? */
static bool lock_force_serves(const Lock *lock, uint64_t now) {
        const Node *force = lock->tenure.force;
        const Claim *head = lock_queue_head(&lock->queue);

        if (!force || !head || !lock_mode_serves(force->mode, lock_queue_head_mode(&lock->queue)))
                return false;
        /* One that upgrades holds already: others wait no longer for it than without. */
        if (head == lock->queue.upgrader)
                return force->n_grants < TOKEN_GRANTS_MAX;
        return !lock_is_bounded(lock, now);
}

static bool lock_may_grant(const Lock *lock, uint64_t now) {
        if (lock->table->arena)
                return lock_place_may_grant(lock);
        if (!lock_is_cluster(lock))
                return true;
        return lock_table_may_grant(lock->table, now) && lock_force_serves(lock, now);
}

static bool lock_has_foreign(const Lock *lock) {
        const Place *force = lock->places.force;

        return lock->tenure.foreign_waits || (force && force->foreign_usec != USEC_INFINITY);
}

void lock_grant_all(Lock *lock, uint64_t now, Effects *fx) {
        ListLink *last = list_last(&lock->queue.holders), *new;
        Claim *claim;

        while ((claim = lock_queue_next(&lock->queue)) && lock_may_grant(lock, now))
                lock_grant(lock, claim, now, fx);

        /* Those who wait behind arrived before the new holders could be told of them. */
        if (!lock_queue_head(&lock->queue) && !lock_has_foreign(lock))
                return;
        new = last ? list_next(&lock->queue.holders, last) : list_first(&lock->queue.holders);
        for (; new; new = list_next(&lock->queue.holders, new)) {
                claim = list_entry(new, Claim, link);
                if (claim->flags & CLAIM_NOTIFY_CONTENTION)
                        claim_tell(claim, NEWS_CONTENDED, fx);
        }
}

/* What we know of a death must not go with the node under which it happened. */
void lock_give_up_force(Lock *lock, Effects *fx) {
        Node *force = lock->tenure.force;

        if (lock->previous == PREVIOUS_DIED) {
                force->record_died = true;
                force->clear_died = false;
        }
        tenure_give_up(&lock->tenure, force, fx);
}

/* Does anybody hold under the node in force, apart from the one for whose upgrade the next one was made? */
static bool lock_force_is_used(const Lock *lock) {
        const LockQueue *q = &lock->queue;

        return q->n_holders > 0 && !(q->upgrader && q->n_holders == 1);
}

static void lock_promote(Lock *lock, Effects *fx) {
        Tenure *t = &lock->tenure;
        Node *next = t->next;
        bool chained = t->force;

        if (!next || next->state != NODE_READY || !lock_queue_head(&lock->queue) ||
            !lock_mode_serves(next->mode, lock_queue_head_mode(&lock->queue)))
                return;
        if (t->force) {
                if (lock_force_is_used(lock))
                        return;
                tenure_give_up(t, t->force, fx);
        }

        t->next = NULL;
        t->force = next;
        node_enter(next, NODE_IN_FORCE);
        t->foreign_waits = false;
        t->time_bound_usec = USEC_INFINITY;
        /* Readers of several hosts are told of one death together: of them, nobody takes the record away, since it
         * might be a newer one by then. Under an exclusive node nobody else writes one. */
        next->clear_died = next->died_before && next->mode == LOCK_EXCLUSIVE;
        /* Straight from our own node: we know ourselves how its last holder left. */
        if (!chained)
                lock->previous = next->died_before ? PREVIOUS_DIED : PREVIOUS_UNKNOWN;
}

/* Our next place is on its way: asked for, and not known yet to be behind somebody. */
static bool lock_next_is_open(const Lock *lock) {
        const Node *next = lock->tenure.next;

        return !next || next->state == NODE_CREATING || (next->state == NODE_WAITING && !next->listed);
}

/* Gives up the node in force when it serves nobody. */
static void lock_end_tenure(Lock *lock, uint64_t now, Effects *fx) {
        if (!lock->tenure.force || lock->queue.n_holders > 0 || lock_force_serves(lock, now))
                return;
        /* Our next place is taken first. When nobody is before it, it is used straight from this one. */
        if (lock_queue_head(&lock->queue) && lock_next_is_open(lock) && lock_table_may_grant(lock->table, now))
                return;
        lock_give_up_force(lock, fx);
}

void lock_want_list(Lock *lock, Effects *fx) {
        Tenure *t = &lock->tenure;

        /* What is listed on a new connection before a write of ours may miss a node of which the create was lost on
         * the old one. So nothing is asked for until then: the next contact asks for everything. */
        if (!lock->table->contact)
                return;
        if (t->listing && !(lock->want & LOCK_WANT_LIST)) {
                t->list_again = true;
                return;
        }
        t->listing = true;
        lock->want |= LOCK_WANT_LIST;
        effects_push(fx, &lock->effect);
}

/* Creates the next node when one is needed, and gives it up when it is not. */
static void lock_tend_next(Lock *lock, uint64_t now, Effects *fx) {
        LockTable *table = lock->table;
        Tenure *t = &lock->tenure;
        bool head = lock_queue_head(&lock->queue);

        if (t->next && (!head || !lock_mode_serves(t->next->mode, lock_queue_head_mode(&lock->queue))))
                tenure_give_up(t, t->next, fx);
        if (t->next || !head || lock_force_serves(lock, now) || !lock_table_may_grant(table, now))
                return;

        if (tenure_add_next(t, lock, lock_queue_head_mode(&lock->queue), table->next_serial++, table->session->epoch) < 0) {
                lock_retry_later(lock, now);
                return;
        }
        node_want(t->next, NODE_WANT_CREATE, fx);
        /* The listing must show the node, so it goes behind the create. */
        effect_cancel(&lock->effect);
        lock_want_list(lock, fx);
}

/* A claim that was not to wait, and now would have to. */
static void lock_fail_try(Lock *lock, uint64_t now, Effects *fx) {
        Tenure *t = &lock->tenure;
        Claim *head = lock_queue_head(&lock->queue);
        bool blocked;

        if (!head || head == lock->queue.upgrader || !(head->flags & CLAIM_NO_QUEUE))
                return;
        blocked = lock->queue.n_holders > 0 || (t->force && lock_is_bounded(lock, now)) ||
                  (t->next && t->next->state == NODE_WAITING && t->next->listed) ||
                  !lock_table_may_grant(lock->table, now);
        if (blocked)
                lock_end_claim(lock, head, CLAIM_FAILED, REASON_WOULD_BLOCK, false, fx);
}

/* Contention is looked for only while it changes what we do: when local claims could be granted on and on, or a
 * holder asked to be told. */
static void lock_tend_watch(Lock *lock, uint64_t now, Effects *fx) {
        Tenure *t = &lock->tenure;
        bool wanted = lock_queue_head(&lock->queue);
        Claim *c;

        if (!t->force || t->foreign_waits || t->watching || !lock_table_may_grant(lock->table, now))
                return;
        /* One in flight tells us whether another is needed; one that failed is repeated after a while. */
        if ((t->listing && !(lock->want & LOCK_WANT_LIST)) || t->retry_usec != USEC_INFINITY)
                return;
        list_foreach(c, &lock->queue.holders, Claim, link) {
                if (wanted)
                        break;
                wanted = c->flags & CLAIM_NOTIFY_CONTENTION;
        }
        if (!wanted)
                return;
        lock_want_list(lock, fx);
        lock->want |= LOCK_WANT_LIST_WATCH;
}

/* Of this node only a listing can tell more. */
static bool node_needs_listing(const Node *node) {
        switch (node->state) {
        case NODE_UNKNOWN:
                return true;
        case NODE_WAITING:
                return !node->predecessor;
        case NODE_DELETING:
                return node->sequence < 0 && !node->creating;
        case NODE_CREATING:
        case NODE_STATTING:
        case NODE_READY:
        case NODE_IN_FORCE:
        case NODE_GONE:
        case _NODE_STATE_MAX:
        case _NODE_STATE_INVALID:
        default:
                return false;
        }
}

static void lock_tend_listing(Lock *lock, Effects *fx) {
        Tenure *t = &lock->tenure;
        Node *node;

        if (t->listing || t->retry_usec != USEC_INFINITY)
                return;
        list_foreach(node, &t->nodes, Node, link)
                if (node_needs_listing(node)) {
                        lock_want_list(lock, fx);
                        return;
                }
}

static void lock_set_timer(Lock *lock, uint64_t now) {
        Tenure *t = &lock->tenure;
        uint64_t at = t->retry_usec;

        /* A bound that has passed did its work, or has to wait for the contact that sets everything going. */
        if (t->force && t->foreign_waits && !t->next && lock_queue_head(&lock->queue) && now < t->time_bound_usec)
                at = MIN(at, t->time_bound_usec);
        if (at == USEC_INFINITY)
                heap_remove(&lock->table->lock_timers, &lock->timer);
        else
                heap_set(&lock->table->lock_timers, &lock->timer, at);
}

static void lock_settle_cluster(Lock *lock, uint64_t now, Effects *fx) {
        if (lock->table->refusing)
                lock_end_waiters(lock, REASON_TOKEN_REGRESSION, fx);

        lock_promote(lock, fx);
        lock_grant_all(lock, now, fx);
        lock_fail_try(lock, now, fx);
        /* A failed try may have uncovered a claim that can go on. */
        lock_grant_all(lock, now, fx);
        lock_tend_next(lock, now, fx);
        lock_end_tenure(lock, now, fx);
        lock_tend_listing(lock, fx);
        lock_tend_watch(lock, now, fx);
        lock_set_timer(lock, now);
}

/* Nothing left but, perhaps, the memory of a holder that did not release. */
static void lock_retire(Lock *lock) {
        LockTable *t = lock->table;
        bool idle = lock->queue.n_holders == 0 && lock->queue.n_waiters == 0 && list_is_empty(&lock->tenure.nodes) &&
                    !lock->tenure.listing && list_is_empty(&lock->places.list);

        if (!idle) {
                if (list_is_linked(&lock->memory)) {
                        list_unlink(&lock->memory);
                        t->n_remembered--;
                }
                return;
        }
        /* In a cluster the record in ZooKeeper remembers. */
        if (lock_is_cluster(lock) || lock->previous == PREVIOUS_RELEASED) {
                lock_free(lock);
                return;
        }
        if (!list_is_linked(&lock->memory)) {
                list_append(&t->remembered, &lock->memory);
                t->n_remembered++;
        }
}

void lock_check(const Lock *lock) {
        const Tenure *t = &lock->tenure;

        lock_queue_check(&lock->queue);
        tenure_check(t);
        if (lock->table->arena)
                lock_check_places(lock);
        if (!lock_is_cluster(lock))
                return;
        /* Without a node of this session in force nobody holds. */
        tooz_assert(lock->queue.n_holders == 0 || t->force);
        tooz_assert(!t->force || t->force->epoch == lock->table->session->epoch);
}

/* Whoever waits has something that will wake it: this is what "no lost wake-up" means inside a host. */
void lock_check_waits(const Lock *lock, uint64_t now) {
        const Tenure *t = &lock->tenure;
        Node *node;

        tooz_assert(!lock_queue_next(&lock->queue) || !lock_may_grant(lock, now));
        if (!lock_is_cluster(lock) || !lock_table_may_grant(lock->table, now) || t->retry_usec != USEC_INFINITY)
                return;
        tooz_assert(!lock_queue_head(&lock->queue) || t->next || lock_force_serves(lock, now));
        list_foreach(node, &t->nodes, Node, link) {
                tooz_assert(!node_needs_listing(node) || t->listing);
                tooz_assert(node->state != NODE_DELETING || node->sequence < 0 || node->deleting ||
                            node->want & NODE_WANT_DELETE);
        }
}

void lock_settle(Lock *lock, uint64_t now, Effects *fx) {
        if (lock->table->arena)
                lock_settle_places(lock, now, fx);
        else if (lock_is_cluster(lock))
                lock_settle_cluster(lock, now, fx);
        else
                lock_grant_all(lock, now, fx);
        lock_retire(lock);
}

/* --- for reports -------------------------------------------------------------------------------- */

void lock_drop_node(Lock *lock, Node *node, Effects *fx) {
        Tenure *t = &lock->tenure;

        if (node == t->force) {
                t->force = NULL;
                lock_end_holders(lock, REASON_BROKEN, fx);
                lock->previous = PREVIOUS_UNKNOWN;
        } else if (node == t->next)
                t->next = NULL;
        node_enter(node, NODE_GONE);
        node_free(node);
}

void lock_see_foreign(Lock *lock, uint64_t now, Effects *fx) {
        Tenure *t = &lock->tenure;

        if (t->foreign_waits)
                return;
        t->foreign_waits = true;
        t->grants_bound = t->force->n_grants + TENURE_GRANTS_BOUND;
        t->time_bound_usec = usec_add(now, TENURE_TIME_BOUND_USEC);
        lock_tell_contended(lock, fx);
}

void lock_push_deletes(Lock *lock, Effects *fx) {
        Node *node;

        if (bug("no-delete-retry"))
                return;
        list_foreach(node, &lock->tenure.nodes, Node, link)
                if (node->state == NODE_DELETING && node->sequence >= 0 && !node->deleting)
                        node_want(node, NODE_WANT_DELETE, fx);
}

void lock_retry_later(Lock *lock, uint64_t now) {
        lock->tenure.retry_usec = MIN(lock->tenure.retry_usec, usec_add(now, RETRY_USEC));
}
