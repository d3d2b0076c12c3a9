/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of a cluster: one node in force, one waiting, and the local queue behind them. Lost contact: test-lock-session.c */

#include <stdio.h>

#include "harness.h"

#define X LOCK_EXCLUSIVE
#define S LOCK_SHARED
#define OTHER "ffffffffffffffffffffffffffffffff"
#define OTHER_2 "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

static Harness *h;

static void begin(void) {
        kit_setup();
        h = harness_new_up();
}

static void end(void) {
        h = harness_free(h);
        kit_teardown();
}

TestSuite(lock_cluster, .init = begin, .fini = end, .timeout = 120);

/* Another host stands in the queue from now on: everything of ours is created behind it. */
static int32_t other_arrives(void) {
        return h->sequence++;
}

static Node *serve_behind(const char *lock, const Children *others) {
        return serve_with(h, lock, others);
}

static void list_again(const char *lock, const Children *others) {
        list_with(h, lock, others);
}

/* --- the usual course --------------------------------------------------------------------------- */

Test(lock_cluster, acquire_and_release) {
        Claim *a = ask(h, "x", X);
        Request create, delete;

        cr_assert_eq(told(a), NEWS_QUEUED);
        cr_assert_eq(serve_alone(h, "x")->state, NODE_IN_FORCE);
        cr_assert(granted(a));
        cr_assert_eq(a->token, token_from_czxid(h->zxid, 1));
        cr_assert_eq(a->previous, PREVIOUS_UNKNOWN);
        cr_assert_eq(a->epoch, 1);
        cr_assert(idle(h), "no watch is needed");

        release(h, a);
        cr_assert_eq(told(a), NEWS_RELEASED);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert_not(delete.record_died || delete.clear_died);
        cr_assert_not_null(the_lock(h, "x"));
        on_deleted(h, &delete, true);
        cr_assert_null(the_lock(h, "x"));
        cr_assert(idle(h));

        ask(h, "x", X);
        create = take(h, REQUEST_CREATE, "x");
        cr_assert_neq(create.serial, delete.serial);
}

Test(lock_cluster, the_listing_goes_behind_the_create) {
        Request *first;

        ask(h, "x", X);
        first = list_first_entry(&h->requests, Request, link);
        cr_assert_eq(first->kind, REQUEST_CREATE);
        cr_assert_eq(list_entry(list_last(&h->requests), Request, link)->kind, REQUEST_LIST);
}

/* A listing that was submitted before the create may not show the node; so there must be one after it. */
Test(lock_cluster, a_listing_in_flight_is_repeated_for_a_new_node) {
        Children empty = {}, full = {};
        Request create, list;
        Claim *a = ask(h, "x", X), *b;

        serve_alone(h, "x");
        on_hint(h, "x", true);
        list = take(h, REQUEST_LIST, "x");
        release(h, a);
        on_deleted(h, (Request[]) { take(h, REQUEST_DELETE, "x") }, true);
        b = ask(h, "x", X);
        create = take(h, REQUEST_CREATE, "x");
        on_listed(h, &list, &empty);
        cr_assert_eq(on_created(h, &create)->state, NODE_WAITING);
        list = take(h, REQUEST_LIST, "x");
        children_add(&full, create.guid, X, 1);
        on_listed(h, &list, &full);
        cr_assert(granted(b));
}

Test(lock_cluster, local_claims_share_one_node) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X), *r = ask(h, "x", S);

        serve_alone(h, "x");
        cr_assert(granted(a));
        cr_assert(waits(b) && waits(r));
        cr_assert_not(asked(h, REQUEST_CREATE, "x"));
        release(h, a);
        cr_assert(granted(b));
        cr_assert_eq(b->token, a->token + 1);
        cr_assert_eq(b->previous, PREVIOUS_RELEASED);
        release(h, b);
        cr_assert(granted(r), "an exclusive node serves readers");
        cr_assert_not(asked(h, REQUEST_DELETE, "x"));
        release(h, r);
        take(h, REQUEST_DELETE, "x");
}

Test(lock_cluster, readers_share_a_shared_node_and_a_writer_gets_its_own) {
        Claim *r1 = ask(h, "x", S), *r2 = ask(h, "x", S), *w;
        Node *shared = serve_alone(h, "x");
        Request delete;

        cr_assert_eq(shared->mode, S);
        cr_assert(granted(r1) && granted(r2));
        cr_assert_lt(r1->token, r2->token);

        w = ask(h, "x", X);
        serve_alone(h, "x");
        cr_assert_eq(the_lock(h, "x")->tenure.next->state, NODE_READY);
        cr_assert(waits(w), "our own readers still hold");
        release(h, r1);
        cr_assert(waits(w));
        release(h, r2);
        cr_assert(granted(w));
        cr_assert_gt(w->token, r2->token);
        cr_assert_eq(w->previous, PREVIOUS_RELEASED);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert_eq(delete.sequence, 0);
        on_deleted(h, &delete, true);
}

/* --- others ------------------------------------------------------------------------------------- */

Test(lock_cluster, a_waiter_watches_its_predecessor_only) {
        Children others = {};
        Request watch;
        Claim *a;
        Node *node;

        children_add(&others, OTHER, X, other_arrives());
        children_add(&others, OTHER_2, X, other_arrives());
        a = ask(h, "x", X);
        node = serve_behind("x", &others);
        cr_assert_eq(node->state, NODE_WAITING);
        watch = take(h, REQUEST_WATCH, "x");
        kit_streq(watch.predecessor, others.names[1]);
        cr_assert(idle(h));
        on_watch_armed(h, &watch, true, false);
        cr_assert(idle(h));

        /* It goes: read again, and wait for the next one. */
        on_hint(h, "x", false);
        others.n = 1;
        list_again("x", &others);
        watch = take(h, REQUEST_WATCH, "x");
        kit_streq(watch.predecessor, others.names[0]);
        on_watch_armed(h, &watch, true, false);
        on_hint(h, "x", false);
        others.n = 0;
        list_again("x", &others);
        cr_assert(granted(a));
}

Test(lock_cluster, a_hint_that_says_nothing_arms_the_watch_again) {
        Children others = {};
        Claim *a;

        children_add(&others, OTHER, X, other_arrives());
        a = ask(h, "x", X);
        serve_behind("x", &others);
        on_watch_armed(h, (Request[]) { take(h, REQUEST_WATCH, "x") }, true, false);
        on_hint(h, "x", false);
        list_again("x", &others);
        cr_assert(asked(h, REQUEST_WATCH, "x"), "the watch was used up by the hint");
        cr_assert(waits(a));
}

Test(lock_cluster, a_predecessor_that_left_before_the_watch_is_noticed) {
        Children others = {};
        Claim *a;

        children_add(&others, OTHER, X, other_arrives());
        a = ask(h, "x", X);
        serve_behind("x", &others);
        on_watch_armed(h, (Request[]) { take(h, REQUEST_WATCH, "x") }, false, false);
        others.n = 0;
        list_again("x", &others);
        cr_assert(granted(a));
}

Test(lock_cluster, without_a_watch_it_lists_once_a_second) {
        Children others = {};
        Claim *a;

        children_add(&others, OTHER, X, other_arrives());
        a = ask(h, "x", X);
        serve_behind("x", &others);
        on_watch_armed(h, (Request[]) { take(h, REQUEST_WATCH, "x") }, false, true);
        for (unsigned second = 0; second < 3; second++) {
                cr_assert(idle(h));
                harness_pass(h, USEC_PER_SEC);
                list_again("x", &others);
                on_watch_armed(h, (Request[]) { take(h, REQUEST_WATCH, "x") }, false, true);
        }
        others.n = 0;
        harness_pass(h, USEC_PER_SEC);
        list_again("x", &others);
        cr_assert(granted(a));
}

Test(lock_cluster, readers_of_two_hosts_hold_together) {
        Children others = {};

        children_add(&others, OTHER, S, other_arrives());
        Claim *r = ask(h, "x", S);
        serve_behind("x", &others);
        cr_assert(granted(r));
        cr_assert(idle(h));
}

/* The backend had to make the directory first: what it listed before our node was there says nothing. */
Test(lock_cluster, a_node_that_no_listing_has_shown_is_looked_for) {
        Children empty = {};
        Claim *a = ask(h, "x", X);
        Request create = take(h, REQUEST_CREATE, "x"), list = take(h, REQUEST_LIST, "x");

        on_listed(h, &list, &empty);
        on_created(h, &create);
        cr_assert(asked(h, REQUEST_LIST, "x"), "nothing else would ever ask");
        list_again("x", &empty);
        cr_assert(granted(a));
}

/* --- tenure ------------------------------------------------------------------------------------- */

/* A claim holds, others wait here, and the listing shows somebody behind us. */
static Claim *hold_contended(Claim **waiters, size_t n, Children *others) {
        Claim *a = ask(h, "x", X);

        serve_alone(h, "x");
        cr_assert(granted(a));
        for (size_t i = 0; i < n; i++)
                waiters[i] = ask(h, "x", X);
        children_add(others, OTHER, X, other_arrives());
        cr_assert(asked(h, REQUEST_LIST, "x"), "local claims queue: contention matters now");
        list_again("x", others);
        return a;
}

Test(lock_cluster, contention_is_looked_for_only_while_it_matters) {
        Claim *a = ask(h, "x", X), *b;
        Children none = {};
        Request list;

        serve_alone(h, "x");
        cr_assert(idle(h));
        b = ask(h, "x", X);
        list = take(h, REQUEST_LIST, "x");
        cr_assert(list.watch);
        children_add(&none, the_lock(h, "x")->tenure.force->guid, X, 0);
        on_listed(h, &list, &none);
        cr_assert(idle(h), "one watch is enough");
        release(h, a);
        cr_assert(granted(b));
        cr_assert(idle(h));
}

Test(lock_cluster, one_listing_for_each_event_among_the_children) {
        Claim *a = ask(h, "x", X);
        Children none = {};

        serve_alone(h, "x");
        ask(h, "x", X);
        list_again("x", &none);
        on_hint(h, "x", true);
        cr_assert(list_first_entry(&h->requests, Request, link)->watch, "it leaves the next watch itself");
        list_again("x", &none);
        cr_assert(idle(h));
        cr_assert_eq(a->state, CLAIM_HELD);
}

Test(lock_cluster, a_holder_that_asked_is_told_of_another_host) {
        Claim *a = ask_until(h, "x", X, CLAIM_NOTIFY_CONTENTION, USEC_INFINITY);
        Children others = {};

        serve_alone(h, "x");
        cr_assert_eq(told(a), NEWS_QUEUED | NEWS_ACQUIRED);
        children_add(&others, OTHER, X, other_arrives());
        list_again("x", &others);
        cr_assert_eq(told(a), NEWS_CONTENDED);
        cr_assert(idle(h), "seen: nothing more to look for");
}

Test(lock_cluster, a_tenure_ends_after_sixteen_grants_while_another_host_waits) {
        Claim *a, *waiters[20];
        Children others = {};
        unsigned served = 0;

        a = hold_contended(waiters, ARRAY_SIZE(waiters), &others);
        release(h, a);
        while (served < ARRAY_SIZE(waiters) && waiters[served]->state == CLAIM_HELD)
                release(h, waiters[served++]);
        cr_assert_eq(served, TENURE_GRANTS_BOUND);
        cr_assert(asked(h, REQUEST_CREATE, "x"), "our next place is taken");
        cr_assert_not(asked(h, REQUEST_DELETE, "x"), "before the old one is given away");

        serve_behind("x", &others);
        take(h, REQUEST_DELETE, "x");
        cr_assert(waits(waiters[served]));
}

Test(lock_cluster, a_tenure_ends_after_a_tenth_of_a_second_while_another_host_waits) {
        Claim *a, *b;
        Children others = {};

        a = hold_contended(&b, 1, &others);
        harness_pass(h, TENURE_TIME_BOUND_USEC - 1);
        cr_assert(idle(h));
        harness_pass(h, 1);
        cr_assert(asked(h, REQUEST_CREATE, "x"));
        serve_behind("x", &others);
        cr_assert_eq(a->state, CLAIM_HELD, "nobody is thrown out");
        release(h, a);
        cr_assert(waits(b));
        take(h, REQUEST_DELETE, "x");
}

Test(lock_cluster, without_others_a_tenure_goes_on) {
        Claim *waiters[40];
        Children none = {};
        Claim *a = ask(h, "x", X);

        serve_alone(h, "x");
        for (size_t i = 0; i < ARRAY_SIZE(waiters); i++)
                waiters[i] = ask(h, "x", X);
        list_again("x", &none);
        release(h, a);
        for (size_t i = 0; i < ARRAY_SIZE(waiters); i++) {
                harness_pass(h, TENURE_TIME_BOUND_USEC);
                cr_assert(granted(waiters[i]));
                release(h, waiters[i]);
        }
}

/* Contact is lost while the bound passes: the timer must not stay in the past. */
Test(lock_cluster, the_bound_of_a_tenure_passes_without_contact) {
        Claim *a, *b;
        Children others = {};

        a = hold_contended(&b, 1, &others);
        harness_cut(h);
        harness_pass(h, 2 * TENURE_TIME_BOUND_USEC);
        cr_assert(waits(b));
        cr_assert_eq(a->state, CLAIM_SUSPENDED);
        harness_up(h, HARNESS_SESSION);
        cr_assert(asked(h, REQUEST_CREATE, "x"), "late, but now");
}

/* Numbers of grants are 16 bits of the token. */
Test(lock_cluster, a_tenure_ends_before_its_grant_numbers_do) {
        Claim *a = ask(h, "x", X), *b;
        Node *force = serve_alone(h, "x");

        force->n_grants = TOKEN_GRANTS_MAX - 1;
        b = ask(h, "x", X);
        release(h, a);
        cr_assert(granted(b));
        cr_assert_eq(b->token, token_from_czxid(force->czxid, TOKEN_GRANTS_MAX));
        a = ask(h, "x", X);
        release(h, b);
        cr_assert(waits(a));
        list_again("x", (Children[]) { {} });
        serve_alone(h, "x");
        cr_assert(granted(a));
        cr_assert_gt(a->token, b->token);
}

/* --- try ---------------------------------------------------------------------------------------- */

Test(lock_cluster, a_try_succeeds_where_nobody_is) {
        Claim *a = ask_until(h, "x", X, CLAIM_NO_QUEUE, USEC_INFINITY);

        serve_alone(h, "x");
        cr_assert(granted(a));
}

Test(lock_cluster, a_try_fails_behind_another_host_and_leaves_no_node) {
        Children others = {};
        Claim *a;

        children_add(&others, OTHER, X, other_arrives());
        a = ask_until(h, "x", X, CLAIM_NO_QUEUE, USEC_INFINITY);
        serve_behind("x", &others);
        cr_assert(failed(a, REASON_WOULD_BLOCK));
        take(h, REQUEST_DELETE, "x");
}

Test(lock_cluster, a_try_does_not_outlast_contact) {
        Claim *a = ask_until(h, "x", X, CLAIM_NO_QUEUE, USEC_INFINITY), *b;

        harness_cut(h);
        cr_assert(failed(a, REASON_WOULD_BLOCK));
        b = claim_new(h, X, CLAIM_NO_QUEUE);
        cr_assert_eq(lock_table_request(&h->domain->locks, b, "y", USEC_INFINITY, h->now, &h->fx), LOCK_E_NOT_CONNECTED);
}

/* --- refused ------------------------------------------------------------------------------------ */

Test(lock_cluster, a_create_that_is_refused_fails_those_who_wait) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", S);
        Request create = take(h, REQUEST_CREATE, "x");

        on_create_failed(h, &create, REASON_BACKEND_ERROR);
        cr_assert(failed(a, REASON_BACKEND_ERROR));
        cr_assert(failed(b, REASON_BACKEND_ERROR));
        on_listed(h, (Request[]) { take(h, REQUEST_LIST, "x") }, (Children[]) { {} });
        cr_assert_null(the_lock(h, "x"));
        cr_assert(idle(h));
}

static void check_exhausted(NodeFacts facts) {
        Claim *a = ask(h, "x", X);
        Request create = take(h, REQUEST_CREATE, "x");

        on_created_as(h, &create, facts);
        cr_assert(failed(a, REASON_EXHAUSTED));
        on_deleted(h, (Request[]) { take(h, REQUEST_DELETE, "x") }, true);
        on_listed(h, (Request[]) { take(h, REQUEST_LIST, "x") }, (Children[]) { {} });
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_cluster, names_run_out_of_sequences_and_zxids_loudly) {
        check_exhausted((NodeFacts) { .sequence = NODE_SEQUENCE_MAX + 1, .czxid = 1, .owner = HARNESS_SESSION });
        check_exhausted((NodeFacts) { .sequence = 1, .czxid = INT64_C(65536) << 32, .owner = HARNESS_SESSION });
        check_exhausted((NodeFacts) { .sequence = 1, .czxid = 0, .owner = HARNESS_SESSION });
}

Test(lock_cluster, a_regression_of_the_ensemble_refuses_grants_and_keeps_holders) {
        Claim *a = ask(h, "x", X), *b, *c;

        serve_alone(h, "x");
        b = ask(h, "x", X);
        lock_table_refuse(&h->domain->locks, true, h->now, &h->fx);
        harness_drain(h);
        cr_assert(granted(a));
        cr_assert(failed(b, REASON_TOKEN_REGRESSION));
        c = ask(h, "y", X);
        cr_assert(failed(c, REASON_TOKEN_REGRESSION));
        cr_assert_not(asked(h, REQUEST_CREATE, "y"));

        lock_table_refuse(&h->domain->locks, false, h->now, &h->fx);
        harness_drain(h);
        c = ask(h, "y", X);
        cr_assert(asked(h, REQUEST_CREATE, "y"));
}

/* --- death and break ---------------------------------------------------------------------------- */

Test(lock_cluster, a_death_is_recorded_with_the_delete) {
        Claim *a = ask(h, "x", X);
        Request delete;

        serve_alone(h, "x");
        die(h, a);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert(delete.record_died && !delete.clear_died);
}

Test(lock_cluster, a_death_is_told_to_the_next_of_this_host_without_a_record) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);

        serve_alone(h, "x");
        die(h, a);
        cr_assert(granted(b));
        cr_assert_eq(b->previous, PREVIOUS_DIED);
        take(h, REQUEST_LIST, "x");
        release(h, b);
        cr_assert_not(take(h, REQUEST_DELETE, "x").record_died);
}

Test(lock_cluster, the_record_of_a_death_elsewhere_is_told_and_consumed) {
        Children c = { .died_czxid = 4711 };
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);
        Request delete;

        serve_behind("x", &c);
        cr_assert(granted(a));
        cr_assert_eq(a->previous, PREVIOUS_DIED);
        take(h, REQUEST_LIST, "x");
        release(h, a);
        cr_assert_eq(b->previous, PREVIOUS_RELEASED);
        release(h, b);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert(delete.clear_died && !delete.record_died);
}

/* Readers of several hosts are told together. One that cleared the record could take one with it that another host
 * wrote meanwhile. */
Test(lock_cluster, a_reader_leaves_the_record_to_the_next_writer) {
        Children c = { .died_czxid = 4711 };
        Claim *a = ask(h, "x", S);

        serve_behind("x", &c);
        cr_assert_eq(a->previous, PREVIOUS_DIED);
        release(h, a);
        cr_assert_not(take(h, REQUEST_DELETE, "x").clear_died);
}

Test(lock_cluster, the_death_of_a_reader_survives_the_loss_of_contact) {
        Claim *a = ask(h, "x", S), *b = ask(h, "x", S);

        serve_alone(h, "x");
        die(h, a);
        harness_cut(h);
        harness_pass(h, HARNESS_TIMEOUT);
        cr_assert(lost(b, REASON_DEADLINE));
        cr_assert(take(h, REQUEST_DELETE, "x").record_died);
}

Test(lock_cluster, break_of_one_claim_leaves_the_tenure) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);

        serve_alone(h, "x");
        cr_assert_eq(break_lock(h, "x", a->token), 0);
        cr_assert(lost(a, REASON_BROKEN));
        cr_assert(granted(b));
        cr_assert_eq(b->previous, PREVIOUS_UNKNOWN);
}

Test(lock_cluster, break_of_the_tenure_ends_all_under_it) {
        Claim *a = ask(h, "x", S), *b = ask(h, "x", S);
        Request *first;

        serve_alone(h, "x");
        cr_assert_eq(break_lock(h, "x", token_tenure(a->token) + (UINT64_C(1) << 16)), LOCK_E_STALE_TOKEN);
        cr_assert_eq(break_lock(h, "x", token_tenure(a->token)), 0);
        cr_assert(lost(a, REASON_BROKEN));
        cr_assert(lost(b, REASON_BROKEN));
        first = list_first_entry(&h->requests, Request, link);
        cr_assert_eq(first->kind, REQUEST_DELETE);
}

Test(lock_cluster, a_node_deleted_by_somebody_is_lost) {
        Children none = {};
        Claim *a = ask_until(h, "x", X, CLAIM_NOTIFY_CONTENTION, USEC_INFINITY), *b = ask(h, "x", X);
        Request list;

        serve_alone(h, "x");
        list = take(h, REQUEST_LIST, "x");
        on_listed(h, &list, &none);
        cr_assert(lost(a, REASON_BROKEN));
        cr_assert(waits(b));
        take(h, REQUEST_CREATE, "x");
}

/* --- conversion --------------------------------------------------------------------------------- */

/* A reader here holds, and the listing for its upgrade shows these others. */
static Claim *upgrade_beside(Children *others) {
        Claim *a = ask(h, "x", S);

        serve_alone(h, "x");
        told(a);
        cr_assert_eq(convert(h, a, X, USEC_INFINITY), 0);
        return a;
}

Test(lock_cluster, an_upgrade_gets_an_exclusive_node) {
        Children others = {};
        Claim *a = upgrade_beside(&others);
        Request delete;
        uint64_t token = a->token;

        cr_assert_eq(serve_alone(h, "x")->mode, X);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        cr_assert_eq(a->mode, X);
        cr_assert_gt(a->token, token);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert_eq(delete.sequence, 0);
}

Test(lock_cluster, an_upgrade_waits_for_readers_of_other_hosts) {
        Children others = {};
        Claim *a = upgrade_beside(&others);

        children_add(&others, OTHER, S, other_arrives());
        serve_behind("x", &others);
        cr_assert_eq(told(a), 0);
        cr_assert_eq(a->mode, S);
        on_watch_armed(h, (Request[]) { take(h, REQUEST_WATCH, "x") }, true, false);
        cr_assert_not(asked(h, REQUEST_DELETE, "x"), "it still holds as a reader");
        on_hint(h, "x", false);
        others.n = 0;
        list_again("x", &others);
        cr_assert_eq(told(a), NEWS_CONVERTED);
}

/* A writer stands behind our shared node and before the one for the upgrade: each would wait for the other. */
Test(lock_cluster, an_upgrade_behind_a_waiting_writer_is_a_deadlock) {
        Children others = {};
        Claim *a = upgrade_beside(&others), *w;

        children_add(&others, OTHER, X, other_arrives());
        children_add(&others, OTHER_2, S, other_arrives());
        serve_behind("x", &others);
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        cr_assert_eq(a->convert_reason, REASON_DEADLOCK);
        cr_assert_eq(a->state, CLAIM_HELD);
        cr_assert_eq(a->mode, S);
        take(h, REQUEST_DELETE, "x");

        /* The same when a local writer's node stands there already. */
        w = ask(h, "x", X);
        serve_behind("x", &others);
        cr_assert(waits(w));
        cr_assert_eq(convert(h, a, X, USEC_INFINITY), 0);
        list_again("x", &others);
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        cr_assert(waits(w));
}

/* The exclusive node is still in force: nobody can stand between. */
Test(lock_cluster, a_downgraded_holder_upgrades_again_whoever_waits) {
        Children others = {};
        Claim *a, *b;

        a = hold_contended(&b, 1, &others);
        told(a);
        release(h, b);
        cr_assert_eq(convert(h, a, S, 0), 0);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        harness_pass(h, 2 * TENURE_TIME_BOUND_USEC);
        cr_assert_eq(convert(h, a, X, USEC_INFINITY), 0);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        cr_assert_not(asked(h, REQUEST_CREATE, "x"));
}

Test(lock_cluster, an_upgrade_waits_for_local_readers_too) {
        Claim *a = ask(h, "x", S), *b = ask(h, "x", S);

        serve_alone(h, "x");
        told(a);
        cr_assert_eq(convert(h, a, X, USEC_INFINITY), 0);
        serve_alone(h, "x");
        cr_assert_eq(told(a), 0);
        release(h, b);
        cr_assert_eq(told(a), NEWS_CONVERTED);
}

Test(lock_cluster, an_upgrade_that_times_out_gives_its_node_back) {
        Children others = {};
        Claim *a = ask(h, "x", S);

        serve_alone(h, "x");
        told(a);
        cr_assert_eq(convert(h, a, X, 1000), 0);
        children_add(&others, OTHER, S, other_arrives());
        serve_behind("x", &others);
        harness_pass(h, 1000);
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        cr_assert_eq(a->convert_reason, REASON_TIMEOUT);
        cr_assert_eq(take(h, REQUEST_DELETE, "x").mode, X);
        cr_assert_eq(the_lock(h, "x")->tenure.force->mode, S);
}

Test(lock_cluster, an_upgrade_that_is_refused_for_good_ends) {
        Children others = {};
        Claim *a = upgrade_beside(&others);
        Request create = take(h, REQUEST_CREATE, "x");

        on_created_as(h, &create, (NodeFacts) { .sequence = NODE_SEQUENCE_MAX + 1, .czxid = 9, .owner = HARNESS_SESSION });
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        cr_assert_eq(a->convert_reason, REASON_EXHAUSTED);
        cr_assert_not(asked(h, REQUEST_CREATE, "x"), "again and again");

        cr_assert_eq(convert(h, a, X, USEC_INFINITY), 0);
        create = take(h, REQUEST_CREATE, "x");
        on_create_failed(h, &create, REASON_BACKEND_ERROR);
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        cr_assert_eq(a->convert_reason, REASON_BACKEND_ERROR);

        lock_table_refuse(&h->domain->locks, true, h->now, &h->fx);
        cr_assert_eq(convert(h, a, X, USEC_INFINITY), 0);
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        cr_assert_eq(a->convert_reason, REASON_TOKEN_REGRESSION);
}

/* The readers for whom the next node was made have gone: it would serve nobody. */
Test(lock_cluster, a_shared_node_does_not_come_into_force_for_a_writer) {
        Claim *w1 = ask(h, "x", X), *r, *w2;
        Node *force = serve_alone(h, "x");

        force->n_grants = TOKEN_GRANTS_MAX;
        r = ask(h, "x", S);
        w2 = ask(h, "x", X);
        cr_assert_eq(serve_alone(h, "x")->mode, S);
        cr_assert_eq(the_lock(h, "x")->tenure.next->state, NODE_READY);
        release(h, r);
        cr_assert_eq(take(h, REQUEST_DELETE, "x").mode, S);
        cr_assert_eq(take(h, REQUEST_CREATE, "x").mode, X);
        cr_assert(granted(w1));
        cr_assert(waits(w2));
}
