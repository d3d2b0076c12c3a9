/* SPDX-License-Identifier: Apache-2.0 */
/* What the backend reports about the nodes of a lock, and about the session. Part of the lock table.
 *
 * Reports may be late, repeated, or missing after a lost connection. Each changes facts of the node that it names,
 * as far as the node's state still lets it, and then the lock is settled. */

#include <string.h>

#include "base/assert.h"
#include "base/bug.h"
#include "base/str.h"
#include "base/time.h"
#include "core/lock-table.h"

Node *lock_table_find_node(LockTable *t, const char *name, uint64_t serial) {
        Lock *lock = lock_table_find(t, name);

        return lock ? tenure_find(&lock->tenure, serial) : NULL;
}

/* The node is there: is it ours, and one that tokens can be made of? */
static ClaimReason node_learn(Node *node, const NodeFacts *facts, const Session *session) {
        node->sequence = facts->sequence;
        node->czxid = facts->czxid;
        if (facts->sequence < 0 || facts->sequence > NODE_SEQUENCE_MAX || !token_zxid_is_valid(facts->czxid))
                return REASON_EXHAUSTED;
        if (facts->owner != session->id && !bug("no-owner-check"))
                return REASON_SESSION_EXPIRED;
        return REASON_NONE;
}

/* The node turned out to exist. One that nobody wants any more is deleted; so is one that is of no use. */
static void node_on_facts(LockTable *t, Node *node, const NodeFacts *facts, Effects *fx) {
        Lock *lock = node->lock;
        ClaimReason bad = node_learn(node, facts, t->session);

        if (node->state == NODE_DELETING) {
                node_want(node, NODE_WANT_DELETE, fx);
                return;
        }
        if (bad == REASON_NONE) {
                node_enter(node, NODE_WAITING);
                return;
        }
        tenure_give_up(&lock->tenure, node, fx);
        if (bad == REASON_EXHAUSTED)
                lock_end_waiters(lock, REASON_EXHAUSTED, fx);
}

void lock_table_on_created(LockTable *t, Node *node, const NodeFacts *facts, uint64_t now, Effects *fx) {
        Lock *lock = node->lock;

        node->creating = false;
        node_on_facts(t, node, facts, fx);
        lock_settle(lock, now, fx);
}

void lock_table_on_create_failed(LockTable *t, Node *node, ClaimReason reason, uint64_t now, Effects *fx) {
        Lock *lock = node->lock;

        node->creating = false;
        if (reason != REASON_NONE) {
                lock_drop_node(lock, node, fx);
                lock_end_waiters(lock, reason, fx);
        } else if (node->state == NODE_CREATING)
                node_enter(node, NODE_UNKNOWN);
        if (reason == REASON_NONE)
                lock_retry_later(lock, now);
        lock_settle(lock, now, fx);
}

void lock_table_on_statted(LockTable *t, Node *node, const NodeFacts *facts, uint64_t now, Effects *fx) {
        Lock *lock = node->lock;

        if (node->state != NODE_STATTING)
                return;
        if (!facts) {
                lock_drop_node(lock, node, fx);
        } else {
                node_on_facts(t, node, facts, fx);
                lock_want_list(lock, fx);
        }
        lock_settle(lock, now, fx);
}

/* Replaces the watched name. Without memory there is no watch, and the caller lists again later. */
static void node_await(Lock *lock, Node *node, const Contender *before, uint64_t now, Effects *fx) {
        if (node->predecessor && streq(node->predecessor, before->name))
                return;
        if (strdup_to(&node->predecessor, before->name) < 0) {
                lock_retry_later(lock, now);
                return;
        }
        node_want(node, NODE_WANT_WATCH, fx);
}

static void node_on_seen(Lock *lock, Node *node, const Listing *l, const Contender *self, uint64_t now, Effects *fx) {
        const Contender *before;

        node->listed = true;
        switch (node->state) {
        case NODE_UNKNOWN:
                node->sequence = self->sequence;
                node_enter(node, NODE_STATTING);
                node_want(node, NODE_WANT_STAT, fx);
                break;
        case NODE_DELETING:
                if (node->sequence < 0 && !node->creating) {
                        node->sequence = self->sequence;
                        node_want(node, NODE_WANT_DELETE, fx);
                }
                break;
        case NODE_WAITING:
                before = tenure_predecessor(&lock->tenure, node, l->contenders, l->n_contenders);
                if (before) {
                        if (lock->queue.upgrader && tenure_is_trapped(&lock->tenure, node, l->contenders, l->n_contenders))
                                lock_end_upgrade(lock, REASON_DEADLOCK, fx);
                        node_await(lock, node, before, now, fx);
                        break;
                }
                node->died_before = l->died_czxid != 0;
                node_enter(node, NODE_READY);
                break;
        case NODE_IN_FORCE:
                if (tenure_has_foreign_behind(&lock->tenure, node, l->contenders, l->n_contenders))
                        lock_see_foreign(lock, now, fx);
                break;
        case NODE_CREATING:
        case NODE_STATTING:
        case NODE_READY:
        case NODE_GONE:
        case _NODE_STATE_MAX:
        case _NODE_STATE_INVALID:
                break;
        }
}

/* Not in a listing that is later than everything we know of the node. */
static void node_on_missing(Lock *lock, Node *node, Effects *fx) {
        switch (node->state) {
        case NODE_UNKNOWN:
        case NODE_STATTING:
        case NODE_WAITING:
        case NODE_READY:
        case NODE_IN_FORCE:
                lock_drop_node(lock, node, fx);
                break;
        case NODE_DELETING:
                if (!node->creating && !node->deleting && !(node->want & NODE_WANT_DELETE))
                        lock_drop_node(lock, node, fx);
                break;
        case NODE_CREATING: /* the listing was submitted before it, or the reply is still to come */
        case NODE_GONE:
        case _NODE_STATE_MAX:
        case _NODE_STATE_INVALID:
                break;
        }
}

void lock_table_on_listed(LockTable *t, Lock *lock, const Listing *l, uint64_t now, Effects *fx) {
        Tenure *tenure = &lock->tenure;
        Node *node, *tmp;

        /* Nobody asked: the reply to one of a session that is over. */
        if (!tenure->listing)
                return;
        tenure->listing = false;
        if (!l) {
                tenure->watching = false;
                tenure->list_again = false;
                lock_retry_later(lock, now);
                lock_settle(lock, now, fx);
                return;
        }

        tenure->watching = tenure->watching || l->watch_armed;
        if (l->watch_refused)
                lock_retry_later(lock, now);
        list_foreach_safe(node, tmp, &tenure->nodes, Node, link) {
                const Contender *self = tenure_find_contender(node, l->contenders, l->n_contenders);

                if (self)
                        node_on_seen(lock, node, l, self, now, fx);
                else
                        node_on_missing(lock, node, fx);
        }
        if (tenure->list_again) {
                tenure->list_again = false;
                lock_want_list(lock, fx);
        }
        lock_settle(lock, now, fx);
}

void lock_table_on_watch_armed(LockTable *t, Node *node, bool armed, bool retry, uint64_t now, Effects *fx) {
        Lock *lock = node->lock;

        if (armed || node->state != NODE_WAITING)
                return;
        strdup_to(&node->predecessor, NULL);
        if (retry)
                lock_retry_later(lock, now);
        else
                lock_want_list(lock, fx);
        lock_settle(lock, now, fx);
}

void lock_table_on_hint(LockTable *t, Lock *lock, bool children, uint64_t now, Effects *fx) {
        Node *next = lock->tenure.next;

        if (children)
                lock->tenure.watching = false;
        else if (next)
                strdup_to(&next->predecessor, NULL);
        if (!list_is_empty(&lock->tenure.nodes))
                lock_want_list(lock, fx);
        lock_settle(lock, now, fx);
}

void lock_table_on_deleted(LockTable *t, Node *node, bool gone, uint64_t now, Effects *fx) {
        Lock *lock = node->lock;

        node->deleting = false;
        if (gone)
                lock_drop_node(lock, node, fx);
        else if (!bug("no-delete-retry"))
                lock_retry_later(lock, now);
        lock_settle(lock, now, fx);
}

/* --- session ------------------------------------------------------------------------------------ */

static void lock_suspend(Lock *lock, Effects *fx) {
        Claim *c;

        list_foreach(c, &lock->queue.holders, Claim, link) {
                if (c->state != CLAIM_HELD)
                        continue;
                claim_enter(c, CLAIM_SUSPENDED);
                claim_tell(c, NEWS_SUSPENDED, fx);
        }
}

static void lock_resume(Lock *lock, Effects *fx) {
        Node *next = lock->tenure.next;
        Claim *c;

        list_foreach(c, &lock->queue.holders, Claim, link) {
                if (c->state != CLAIM_SUSPENDED)
                        continue;
                claim_enter(c, CLAIM_HELD);
                claim_tell(c, NEWS_RESUMED, fx);
        }
        /* The reply to a stat was lost with the connection. */
        if (next && next->state == NODE_STATTING)
                node_enter(next, NODE_UNKNOWN);
        lock_push_deletes(lock, fx);
        if (!list_is_empty(&lock->tenure.nodes))
                lock_want_list(lock, fx);
}

/* Nothing is granted any more under a node of which the claims have been declared lost. */
static void lock_lose(Lock *lock, Effects *fx) {
        lock_end_holders(lock, REASON_DEADLINE, fx);
        if (lock->tenure.force)
                lock_give_up_force(lock, fx);
}

static void lock_start_over(Lock *lock, Effects *fx) {
        lock_end_holders(lock, REASON_SESSION_EXPIRED, fx);
        tenure_forget(&lock->tenure);
        lock->want = 0;
        effect_cancel(&lock->effect);
        lock->previous = PREVIOUS_UNKNOWN;
}

static void lock_on_session(Lock *lock, SessionChange change, Effects *fx) {
        switch (change) {
        case SESSION_CUT:
                lock_suspend(lock, fx);
                break;
        case SESSION_RESUMED:
                lock_resume(lock, fx);
                break;
        case SESSION_LATE:
                lock_lose(lock, fx);
                break;
        case SESSION_OVER:
                lock_start_over(lock, fx);
                break;
        case SESSION_NEW:
        case SESSION_SAME:
        case _SESSION_CHANGE_MAX:
                break;
        }
}

void lock_table_on_session(LockTable *t, SessionChange change, uint64_t now, Effects *fx) {
        Lock *lock, *tmp;

        if (change == SESSION_SAME)
                return;
        t->contact = change == SESSION_NEW || change == SESSION_RESUMED;
        hash_foreach_safe(hh, t->by_name, lock, tmp) {
                lock_on_session(lock, change, fx);
                lock_settle(lock, now, fx);
        }
}

void lock_table_refuse(LockTable *t, bool refuse, uint64_t now, Effects *fx) {
        Lock *lock, *tmp;

        t->refusing = refuse;
        hash_foreach_safe(hh, t->by_name, lock, tmp)
                lock_settle(lock, now, fx);
}
