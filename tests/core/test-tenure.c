/* SPDX-License-Identifier: Apache-2.0 */
/* Tenure: the edges of its nodes, and what a listing says of them */

#include <stdio.h>

#include "core/tenure.h"
#include "core/token.h"
#include "support/aborts.h"
#include "support/kit.h"

#define GUID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define GUID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define FOREIGN "ffffffffffffffffffffffffffffffff"

static Tenure t;
static Effects fx;

static void begin(void) {
        kit_setup();
        effects_init(&fx);
        tenure_init(&t);
}

static void end(void) {
        tenure_forget(&t);
        tenure_deinit(&t);
        kit_teardown();
}

TestSuite(tenure, .init = begin, .fini = end, .timeout = 120);

/* A node of ours that came into force, or waits. */
static Node *node_at(NodeState state, LockMode mode, const char *guid, int32_t sequence) {
        static uint64_t serial;
        Node *node;

        kit_ok(tenure_add_next(&t, NULL, mode, ++serial, 1));
        node = t.next;
        memcpy(node->guid, guid, NODE_GUID_LEN + 1);
        node->sequence = sequence;
        node->czxid = 100 + sequence;
        node->creating = false;
        node->state = state;
        if (state == NODE_IN_FORCE) {
                t.force = node;
                t.next = NULL;
        }
        return node;
}

/* --- edges -------------------------------------------------------------------------------------- */

/* The picture in tenure.h, written a second time. DELETING and GONE can be reached from everywhere. */
static bool edge_is_drawn(NodeState from, NodeState to) {
        if (from == NODE_GONE)
                return false;
        if (to == NODE_GONE)
                return true;
        if (from == NODE_DELETING)
                return false;
        if (to == NODE_DELETING)
                return true;
        switch (from) {
        case NODE_CREATING:
                return to == NODE_UNKNOWN || to == NODE_WAITING;
        case NODE_UNKNOWN:
                return to == NODE_STATTING;
        case NODE_STATTING:
                return to == NODE_UNKNOWN || to == NODE_WAITING;
        case NODE_WAITING:
                return to == NODE_READY;
        case NODE_READY:
                return to == NODE_IN_FORCE;
        case NODE_IN_FORCE:
        case NODE_DELETING:
        case NODE_GONE:
        case _NODE_STATE_MAX:
        case _NODE_STATE_INVALID:
        default:
                return false;
        }
}

typedef struct Edge {
        NodeState from, to;
} Edge;

static void take_edge(const void *arg) {
        const Edge *edge = arg;
        Node node = { .state = edge->from };

        node_enter(&node, edge->to);
        if (node.state != edge->to)
                _exit(2);
}

Test(tenure, only_drawn_edges_are_taken) {
        for (Edge e = {}; e.from < _NODE_STATE_MAX; e.from++)
                for (e.to = 0; e.to < _NODE_STATE_MAX; e.to++)
                        cr_assert_eq(aborts(take_edge, &e), !edge_is_drawn(e.from, e.to), "%s to %s",
                                     node_state_to_string(e.from), node_state_to_string(e.to));
}

/* --- giving up ---------------------------------------------------------------------------------- */

Test(tenure, a_node_that_was_not_asked_for_is_gone_at_once) {
        kit_ok(tenure_add_next(&t, NULL, LOCK_EXCLUSIVE, 1, 1));
        node_want(t.next, NODE_WANT_CREATE, &fx);
        tenure_give_up(&t, t.next, &fx);
        cr_assert_null(t.next);
        cr_assert_null(effects_pop(&fx), "an effect of freed memory");
        tenure_check(&t);
}

Test(tenure, a_node_in_creation_is_deleted_when_its_name_is_known) {
        Node *node;

        kit_ok(tenure_add_next(&t, NULL, LOCK_EXCLUSIVE, 1, 1));
        node = t.next;
        tenure_give_up(&t, node, &fx);
        cr_assert_eq(node->state, NODE_DELETING);
        cr_assert_null(effects_pop(&fx));
        cr_assert_eq(tenure_find(&t, 1), node);
        tenure_check(&t);
}

Test(tenure, what_was_wanted_of_a_node_given_up_is_not_wanted_any_more) {
        Node *node = node_at(NODE_WAITING, LOCK_EXCLUSIVE, GUID_A, 5);

        node_want(node, NODE_WANT_WATCH, &fx);
        tenure_give_up(&t, node, &fx);
        cr_assert_eq(node->want, NODE_WANT_DELETE);
        cr_assert_eq(effects_pop(&fx), &node->effect);
        cr_assert_null(effects_pop(&fx));
}

Test(tenure, forgetting_takes_every_node_and_effect) {
        node_at(NODE_IN_FORCE, LOCK_SHARED, GUID_A, 5);
        node_want(t.force, NODE_WANT_DELETE, &fx);
        node_at(NODE_WAITING, LOCK_EXCLUSIVE, GUID_B, 6);
        t.listing = t.list_again = t.watching = t.foreign_waits = true;
        tenure_forget(&t);
        cr_assert_null(effects_pop(&fx));
        cr_assert(!t.force && !t.next && !t.listing && !t.list_again && !t.watching && !t.foreign_waits);
        tenure_check(&t);
}

/* --- predecessors ------------------------------------------------------------------------------- */

#define X LOCK_EXCLUSIVE
#define S LOCK_SHARED

static Contender contender(const char *guid, LockMode mode, int32_t sequence) {
        return (Contender) { .name = guid, .mode = mode, .sequence = sequence };
}

static int32_t predecessor_of(const Node *node, const Contender *c, size_t n) {
        const Contender *before = tenure_predecessor(&t, node, c, n);

        return before ? before->sequence : -1;
}

Test(tenure, a_writer_waits_for_the_nearest_of_all) {
        Node *node = node_at(NODE_WAITING, X, GUID_A, 50);
        const Contender c[] = {
                contender(FOREIGN, X, 10), contender(FOREIGN, X, 60), contender(FOREIGN, S, 40),
                contender(GUID_A, X, 50),  contender(FOREIGN, X, 30),
        };

        cr_assert_eq(predecessor_of(node, c, ARRAY_SIZE(c)), 40);
        cr_assert_eq(predecessor_of(node, c, 2), 10);
        cr_assert_eq(predecessor_of(node, c + 3, 1), -1);
        cr_assert_eq(predecessor_of(node, NULL, 0), -1);
}

Test(tenure, a_reader_waits_for_the_nearest_writer) {
        Node *node = node_at(NODE_WAITING, S, GUID_A, 50);
        const Contender c[] = {
                contender(FOREIGN, S, 10), contender(FOREIGN, X, 20), contender(FOREIGN, X, 30),
                contender(FOREIGN, S, 40), contender(FOREIGN, X, 60),
        };

        cr_assert_eq(predecessor_of(node, c, ARRAY_SIZE(c)), 30);
        cr_assert_eq(predecessor_of(node, c, 1), -1);
}

/* Whether one of ours is used is known without asking. Watching it, a host would wait for itself. */
Test(tenure, nobody_waits_for_ones_own) {
        Node *force = node_at(NODE_IN_FORCE, X, GUID_A, 20), *next = node_at(NODE_WAITING, X, GUID_B, 50);
        const Contender c[] = { contender(FOREIGN, X, 10), contender(GUID_A, X, 20), contender(GUID_B, X, 50) };

        cr_assert_eq(predecessor_of(next, c, ARRAY_SIZE(c)), 10);
        cr_assert_eq(predecessor_of(next, c + 1, 2), -1);
        cr_assert(tenure_is_ours(&t, &c[1]));
        cr_assert_not(tenure_is_ours(&t, &c[0]));
        cr_assert_eq(tenure_find_contender(force, c, ARRAY_SIZE(c)), &c[1]);
        cr_assert_null(tenure_find_contender(force, c, 1));
}

/* Before the backend has chosen a GUID, nothing is found by an empty one. */
Test(tenure, a_node_without_guid_is_nobody) {
        Node *node = node_at(NODE_CREATING, X, GUID_A, -1);
        const Contender c = contender(FOREIGN, X, 10);

        memset(node->guid, 0, sizeof(node->guid));
        cr_assert_null(tenure_find_contender(node, &c, 1));
        cr_assert_not(tenure_is_ours(&t, &c));
}

Test(tenure, foreign_ones_behind) {
        Node *force = node_at(NODE_IN_FORCE, X, GUID_A, 20);
        const Contender c[] = {
                contender(FOREIGN, X, 10), contender(GUID_A, X, 20), contender(GUID_B, X, 30), contender(FOREIGN, S, 40),
        };

        node_at(NODE_WAITING, X, GUID_B, 30);
        cr_assert(tenure_has_foreign_behind(&t, force, c, ARRAY_SIZE(c)));
        cr_assert_not(tenure_has_foreign_behind(&t, force, c, 3), "the one behind is ours");
}
