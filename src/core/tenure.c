/* SPDX-License-Identifier: Apache-2.0 */
/* Tenure: this host's nodes for one cluster lock. States and edges: tenure.h
 *
 * Here stand the objects and the questions asked of a listing. What is done with the answers is decided in lock.c. */

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bug.h"
#include "base/macro.h"
#include "base/time.h"
#include "core/tenure.h"
#include "core/token.h"

static const char *const node_state_table[_NODE_STATE_MAX] = {
        [NODE_CREATING] = "creating",
        [NODE_UNKNOWN] = "unknown",
        [NODE_STATTING] = "statting",
        [NODE_WAITING] = "waiting",
        [NODE_READY] = "ready",
        [NODE_IN_FORCE] = "in-force",
        [NODE_DELETING] = "deleting",
        [NODE_GONE] = "gone",
};
DEFINE_STRING_TABLE(node_state, NodeState, _NODE_STATE_MAX);

static const bool legal[_NODE_STATE_MAX][_NODE_STATE_MAX] = {
        [NODE_CREATING] = { [NODE_UNKNOWN] = true, [NODE_WAITING] = true, [NODE_DELETING] = true, [NODE_GONE] = true },
        [NODE_UNKNOWN] = { [NODE_STATTING] = true, [NODE_DELETING] = true, [NODE_GONE] = true },
        [NODE_STATTING] = { [NODE_UNKNOWN] = true, [NODE_WAITING] = true, [NODE_DELETING] = true, [NODE_GONE] = true },
        [NODE_WAITING] = { [NODE_READY] = true, [NODE_DELETING] = true, [NODE_GONE] = true },
        [NODE_READY] = { [NODE_IN_FORCE] = true, [NODE_DELETING] = true, [NODE_GONE] = true },
        [NODE_IN_FORCE] = { [NODE_DELETING] = true, [NODE_GONE] = true },
        [NODE_DELETING] = { [NODE_GONE] = true },
};

void tenure_init(Tenure *t) {
        *t = (Tenure) { .time_bound_usec = USEC_INFINITY, .retry_usec = USEC_INFINITY };
        list_init(&t->nodes);
}

void tenure_deinit(Tenure *t) {
        tooz_assert(list_is_empty(&t->nodes));
}

int tenure_add_next(Tenure *t, Lock *lock, LockMode mode, uint64_t serial, uint64_t epoch) {
        Node *node;

        tooz_assert(!t->next);
        node = calloc(1, sizeof(*node));
        if (!node)
                return -ENOMEM;

        node->serial = serial;
        node->lock = lock;
        node->mode = mode;
        node->epoch = epoch;
        node->state = NODE_CREATING;
        node->sequence = -1;
        node->creating = true;
        list_link_init(&node->link);
        effect_init(&node->effect, EFFECT_NODE);
        list_append(&t->nodes, &node->link);
        t->next = node;
        return 0;
}

Node *tenure_find(const Tenure *t, uint64_t serial) {
        Node *node;

        list_foreach(node, &t->nodes, Node, link)
                if (node->serial == serial)
                        return node;
        return NULL;
}

void node_enter(Node *node, NodeState state) {
        tooz_assert(legal[node->state][state]);
        node->state = state;
}

void node_want(Node *node, NodeWant want, Effects *fx) {
        node->want |= want;
        effects_push(fx, &node->effect);
}

Node *node_free(Node *node) {
        if (!node)
                return NULL;
        tooz_assert(node->state == NODE_GONE);
        effect_cancel(&node->effect);
        list_unlink(&node->link);
        free(node->predecessor);
        free(node);
        return NULL;
}

void tenure_give_up(Tenure *t, Node *node, Effects *fx) {
        tooz_assert(node == t->force || node == t->next);
        if (node == t->force)
                t->force = NULL;
        else
                t->next = NULL;

        /* Not even asked for yet: then there is nothing to delete. */
        if (node->want & NODE_WANT_CREATE) {
                node_enter(node, NODE_GONE);
                node_free(node);
                return;
        }

        node->want &= ~(unsigned) (NODE_WANT_STAT | NODE_WANT_WATCH);
        node_enter(node, NODE_DELETING);
        if (node->sequence >= 0)
                node_want(node, NODE_WANT_DELETE, fx);
}

void tenure_forget(Tenure *t) {
        Node *node, *tmp;

        t->force = t->next = NULL;
        list_foreach_safe(node, tmp, &t->nodes, Node, link) {
                node_enter(node, NODE_GONE);
                node_free(node);
        }
        t->listing = t->list_again = false;
        t->foreign_waits = t->watching = false;
        t->time_bound_usec = t->retry_usec = USEC_INFINITY;
}

static bool contender_has_guid(const Contender *c, const Node *node) {
        return node->guid[0] != '\0' && strncmp(c->name, node->guid, NODE_GUID_LEN) == 0;
}

const Contender *tenure_find_contender(const Node *node, const Contender *c, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (contender_has_guid(&c[i], node))
                        return &c[i];
        return NULL;
}

bool tenure_is_ours(const Tenure *t, const Contender *c) {
        Node *node;

        list_foreach(node, &t->nodes, Node, link)
                if (contender_has_guid(c, node))
                        return true;
        return false;
}

const Contender *tenure_predecessor(const Tenure *t, const Node *node, const Contender *c, size_t n) {
        const Contender *nearest = NULL;

        for (size_t i = 0; i < n; i++) {
                bool before = bug("wrong-predecessor") ? c[i].sequence > node->sequence : c[i].sequence < node->sequence;

                if (!before || lock_mode_compatible(c[i].mode, node->mode))
                        continue;
                if (nearest && c[i].sequence <= nearest->sequence)
                        continue;
                if (!tenure_is_ours(t, &c[i]))
                        nearest = &c[i];
        }
        return nearest;
}

bool tenure_has_foreign_behind(const Tenure *t, const Node *node, const Contender *c, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (c[i].sequence > node->sequence && !tenure_is_ours(t, &c[i]))
                        return true;
        return false;
}

bool tenure_is_trapped(const Tenure *t, const Node *node, const Contender *c, size_t n) {
        const Node *force = t->force;

        if (!force || force->mode == LOCK_EXCLUSIVE)
                return false;
        for (size_t i = 0; i < n; i++)
                if (c[i].mode == LOCK_EXCLUSIVE && c[i].sequence > force->sequence && c[i].sequence < node->sequence &&
                    !tenure_is_ours(t, &c[i]))
                        return true;
        return false;
}

void tenure_check(const Tenure *t) {
        unsigned n_force = 0, n_next = 0;
        Node *node;

        list_foreach(node, &t->nodes, Node, link) {
                tooz_assert(node->state != NODE_GONE);
                tooz_assert(node->n_grants <= TOKEN_GRANTS_MAX);
                if (node->state == NODE_IN_FORCE) {
                        tooz_assert(node == t->force);
                        tooz_assert(node->czxid > 0);
                        n_force++;
                } else if (node->state != NODE_DELETING) {
                        tooz_assert(node == t->next);
                        n_next++;
                }
        }
        tooz_assert(n_force == (t->force ? 1 : 0));
        tooz_assert(n_next == (t->next ? 1 : 0));
}
