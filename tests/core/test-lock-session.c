/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of a cluster when contact is lost: lost replies, suspended and resumed, lost in time, sessions that end */

#include "harness.h"

#define X LOCK_EXCLUSIVE
#define S LOCK_SHARED
#define OTHER "ffffffffffffffffffffffffffffffff"

static Harness *h;
static const Children nobody;

static void begin(void) {
        kit_setup();
        h = harness_new_up();
}

static void end(void) {
        h = harness_free(h);
        kit_teardown();
}

TestSuite(lock_session, .init = begin, .fini = end, .timeout = 120);

/* The write after a reconnect is acknowledged: listings are complete from now on. */
static void acknowledge(void) {
        take(h, REQUEST_HEARTBEAT, "");
        domain_on_heartbeat_ack(h->domain, h->now, &h->fx);
        harness_drain(h);
        h->auto_beat = true;
}

/* Every listing shows what is really there: our nodes with these sequences. */
static void list_shows(const char *lock, const Request *create, int32_t sequence) {
        Request list = take(h, REQUEST_LIST, lock);
        Children c = {};

        if (create)
                children_add(&c, create->guid, create->mode, sequence);
        on_listed(h, &list, &c);
}

/* --- suspended, resumed, lost ------------------------------------------------------------------- */

Test(lock_session, suspended_and_resumed) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);

        serve_alone(h, "x");
        told(a);
        list_with(h, "x", &nobody);
        harness_cut(h);
        cr_assert_eq(told(a), NEWS_SUSPENDED);
        cr_assert_eq(a->state, CLAIM_SUSPENDED);
        cr_assert(waits(b));
        harness_reconnect(h);
        cr_assert_eq(told(a), 0, "not before a write of ours has been acknowledged");
        acknowledge();
        cr_assert_eq(told(a), NEWS_RESUMED);
        cr_assert_eq(a->state, CLAIM_HELD);
        cr_assert(asked(h, REQUEST_LIST, "x"), "everything is read again");
}

Test(lock_session, nothing_is_granted_without_contact) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);

        serve_alone(h, "x");
        harness_cut(h);
        release(h, a);
        cr_assert(told(a) & NEWS_RELEASED);
        cr_assert(waits(b));
        cr_assert_not(asked(h, REQUEST_DELETE, "x"), "it serves the one who waits, later");
        harness_reconnect(h);
        cr_assert(waits(b));
        acknowledge();
        cr_assert(granted(b), "the session is the same, and so is its node");
}

Test(lock_session, lost_in_time_while_still_disconnected) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);
        uint64_t deadline;

        serve_alone(h, "x");
        told(a);
        harness_cut(h);
        deadline = h->domain->session.deadline_usec;
        harness_pass(h, deadline - h->now - 1);
        cr_assert_eq(told(a), NEWS_SUSPENDED);
        harness_pass(h, 1);
        cr_assert(lost(a, REASON_DEADLINE));
        cr_assert_null(a->lock);
        cr_assert(waits(b));
        cr_assert_not(session_may_grant(&h->domain->session, h->now));
}

/* Promise 1: the process was stopped, another host may have the lock; the reports of before wait in the inbox. */
Test(lock_session, after_a_pause_the_loss_comes_before_any_report) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);
        Request create;

        serve_alone(h, "x");
        told(a);
        h->auto_beat = false;
        ask(h, "y", X);
        create = take(h, REQUEST_CREATE, "y");
        harness_pass(h, HARNESS_TIMEOUT / 6);
        take(h, REQUEST_HEARTBEAT, "");

        h->now += HARNESS_TIMEOUT;
        domain_on_heartbeat_ack(h->domain, h->now, &h->fx);
        harness_drain(h);
        cr_assert(lost(a, REASON_DEADLINE));
        cr_assert(waits(b));
        on_created(h, &create);
        list_shows("y", &create, 1);
        cr_assert_eq(h->domain->locks.n_held, 0);
}

Test(lock_session, a_node_of_the_lost_is_deleted_and_never_used_again) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);
        Request delete;

        serve_alone(h, "x");
        list_with(h, "x", &nobody);
        harness_cut(h);
        harness_pass(h, HARNESS_TIMEOUT);
        cr_assert(lost(a, REASON_DEADLINE));
        on_deleted(h, (Request[]) { take(h, REQUEST_DELETE, "x") }, false);

        /* The session lived on. */
        harness_reconnect(h);
        acknowledge();
        harness_pass(h, HARNESS_TIMEOUT / 6);
        cr_assert_eq(h->domain->session.state, SESSION_UP);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert_eq(delete.sequence, 0);
        cr_assert(waits(b));
        take(h, REQUEST_CREATE, "x");
}

Test(lock_session, waiters_queue_again_in_local_order_under_a_new_session) {
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X), *c = ask(h, "x", X);

        serve_alone(h, "x");
        list_with(h, "x", &nobody);
        told(a);
        harness_expire(h);
        cr_assert(lost(a, REASON_SESSION_EXPIRED));
        cr_assert(waits(b) && waits(c));
        cr_assert_not(asked(h, REQUEST_DELETE, "x"), "nodes of a dead session need none");
        take(h, REQUEST_REPLACE, "");
        harness_up(h, HARNESS_SESSION + 1);
        serve_alone(h, "x");
        cr_assert(granted(b));
        cr_assert_eq(b->epoch, 2);
        cr_assert_gt(b->token, a->token);
        cr_assert_eq(b->previous, PREVIOUS_UNKNOWN);
        cr_assert(waits(c));
}

Test(lock_session, another_session_id_ends_the_old_session) {
        Claim *a = ask(h, "x", X);

        serve_alone(h, "x");
        told(a);
        harness_cut(h);
        harness_up(h, HARNESS_SESSION + 1);
        cr_assert(lost(a, REASON_SESSION_EXPIRED));
        cr_assert_not(asked(h, REQUEST_REPLACE, ""), "this handle is the new one");
}

/* The process was stopped for so long that its handle would have been replaced, and the first that it hears is that
 * the session lives. Its nodes do too: forgotten, they would be in everybody's way for as long. */
Test(lock_session, a_session_that_comes_back_after_a_long_pause_is_the_same) {
        Claim *a = ask(h, "x", X);

        serve_alone(h, "x");
        harness_cut(h);
        h->now += 4 * HARNESS_TIMEOUT;
        h->auto_beat = false;
        harness_up(h, HARNESS_SESSION);
        cr_assert(lost(a, REASON_DEADLINE));
        cr_assert_eq(h->domain->session.epoch, 1);
        cr_assert_not(asked(h, REQUEST_REPLACE, ""));
        acknowledge();
        harness_pass(h, HARNESS_TIMEOUT / 6);
        take(h, REQUEST_DELETE, "x");
}

/* P2: a node of the session before, seen as if it were ours. */
Test(lock_session, a_node_of_another_session_is_not_ours) {
        Claim *a = ask(h, "x", X);
        Request create = take(h, REQUEST_CREATE, "x");

        on_created_as(h, &create, (NodeFacts) { .sequence = 3, .czxid = 99, .owner = HARNESS_SESSION - 1 });
        list_shows("x", &create, 3);
        cr_assert(waits(a));
        cr_assert_eq(take(h, REQUEST_DELETE, "x").sequence, 3);
        serve_alone(h, "x");
        cr_assert(granted(a));
        cr_assert_neq(a->token, token_from_czxid(99, 1));
}

/* --- the reply to a create is lost -------------------------------------------------------------- */

/* The create and its listing are in flight when the connection breaks; it is back at once. */
static Request lose_create(void) {
        Request create = take(h, REQUEST_CREATE, "x");

        on_create_failed(h, &create, REASON_NONE);
        on_listed(h, (Request[]) { take(h, REQUEST_LIST, "x") }, NULL);
        harness_cut(h);
        harness_reconnect(h);
        cr_assert_not(asked(h, REQUEST_LIST, "x"), "too early to be complete");
        acknowledge();
        return create;
}

Test(lock_session, a_create_that_was_done_is_found_by_its_guid) {
        Claim *a = ask(h, "x", X);
        Request create = lose_create(), stat;

        list_shows("x", &create, 7);
        cr_assert(waits(a));
        stat = take(h, REQUEST_STAT, "x");
        cr_assert_eq(stat.sequence, 7);
        on_statted(h, &stat, &(NodeFacts) { .sequence = 7, .czxid = 1234, .owner = HARNESS_SESSION });
        list_shows("x", &create, 7);
        cr_assert(granted(a));
        cr_assert_eq(a->token, token_from_czxid(1234, 1));
        cr_assert_not(asked(h, REQUEST_CREATE, "x"));
}

Test(lock_session, a_create_that_was_not_done_is_done_again) {
        Claim *a = ask(h, "x", X);
        Request create = lose_create(), again;

        list_shows("x", NULL, 0);
        again = take(h, REQUEST_CREATE, "x");
        cr_assert_neq(again.serial, create.serial);
        on_created(h, &again);
        list_shows("x", &again, 0);
        cr_assert(granted(a));
}

Test(lock_session, a_found_node_of_the_session_before_is_deleted) {
        Request create, stat;

        ask(h, "x", X);
        create = lose_create();
        list_shows("x", &create, 7);
        stat = take(h, REQUEST_STAT, "x");
        on_statted(h, &stat, &(NodeFacts) { .sequence = 7, .czxid = 1234, .owner = HARNESS_SESSION - 1 });
        cr_assert_eq(take(h, REQUEST_DELETE, "x").sequence, 7);
        take(h, REQUEST_CREATE, "x");
}

Test(lock_session, a_found_node_that_went_before_it_was_read_is_made_again) {
        Claim *a = ask(h, "x", X);
        Request create = lose_create(), again;

        list_shows("x", &create, 7);
        on_statted(h, (Request[]) { take(h, REQUEST_STAT, "x") }, NULL);
        again = take(h, REQUEST_CREATE, "x");
        on_created(h, &again);
        list_shows("x", &again, 0);
        cr_assert(granted(a));
}

/* Contact is lost a second time: nobody will answer that stat. */
Test(lock_session, a_stat_that_is_lost_is_asked_again) {
        Claim *a = ask(h, "x", X);
        Request create = lose_create();

        list_shows("x", &create, 7);
        take(h, REQUEST_STAT, "x");
        harness_cut(h);
        harness_reconnect(h);
        acknowledge();
        list_shows("x", &create, 7);
        on_statted(h, (Request[]) { take(h, REQUEST_STAT, "x") },
                   &(NodeFacts) { .sequence = 7, .czxid = 1234, .owner = HARNESS_SESSION });
        list_shows("x", &create, 7);
        cr_assert(granted(a));
}

/* Nobody waits any more; the node must not be left behind. */
Test(lock_session, a_lost_create_that_nobody_wants_any_more_is_deleted) {
        Claim *a = ask(h, "x", X);
        Request create = take(h, REQUEST_CREATE, "x"), delete;

        release(h, a);
        cr_assert_not(asked(h, REQUEST_DELETE, "x"), "its name is not known");
        on_create_failed(h, &create, REASON_NONE);
        on_listed(h, (Request[]) { take(h, REQUEST_LIST, "x") }, NULL);
        harness_cut(h);
        harness_reconnect(h);
        acknowledge();
        list_shows("x", &create, 7);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert_eq(delete.sequence, 7);
        on_deleted(h, &delete, true);
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_session, a_lost_create_that_was_not_done_and_is_not_wanted_is_forgotten) {
        Claim *a = ask(h, "x", X);
        Request create = take(h, REQUEST_CREATE, "x");

        release(h, a);
        on_create_failed(h, &create, REASON_NONE);
        on_listed(h, (Request[]) { take(h, REQUEST_LIST, "x") }, NULL);
        harness_cut(h);
        harness_reconnect(h);
        acknowledge();
        list_shows("x", NULL, 0);
        cr_assert_null(the_lock(h, "x"));
        cr_assert_not(asked(h, REQUEST_CREATE, "x"));
}

/* A late event asks to read again. A listing that goes out first on the next connection may be answered by a server
 * that has not seen the create yet: the node would be forgotten, and be in everybody's way until the session ends. */
Test(lock_session, nothing_is_listed_without_contact) {
        Request create, list;

        ask(h, "x", X);
        create = take(h, REQUEST_CREATE, "x");
        list = take(h, REQUEST_LIST, "x");
        on_create_failed(h, &create, REASON_NONE);
        on_listed(h, &list, NULL);
        harness_cut(h);
        on_hint(h, "x", false);
        on_hint(h, "x", true);
        harness_pass(h, 2 * USEC_PER_SEC);
        cr_assert_not(asked(h, REQUEST_LIST, "x"));
        harness_reconnect(h);
        cr_assert_eq(list_first_entry(&h->requests, Request, link)->kind, REQUEST_HEARTBEAT);
}

/* The reply was lost while the library thinks it is connected: asked again in a while. */
Test(lock_session, a_create_of_unknown_outcome_is_looked_for_without_a_cut_too) {
        Claim *a = ask(h, "x", X);
        Request create = take(h, REQUEST_CREATE, "x");

        on_create_failed(h, &create, REASON_NONE);
        on_listed(h, (Request[]) { take(h, REQUEST_LIST, "x") }, NULL);
        cr_assert(idle(h));
        harness_pass(h, USEC_PER_SEC);
        list_shows("x", NULL, 0);
        serve_alone(h, "x");
        cr_assert(granted(a));
}

/* --- the reply to a delete is lost -------------------------------------------------------------- */

static Request lose_delete(void) {
        Claim *a = ask(h, "x", X);
        Request delete;

        serve_alone(h, "x");
        die(h, a);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert(delete.record_died);
        on_deleted(h, &delete, false);
        return delete;
}

Test(lock_session, a_delete_of_unknown_outcome_is_repeated_until_it_is_done) {
        Request delete = lose_delete();

        for (unsigned i = 0; i < 3; i++) {
                cr_assert_not_null(the_lock(h, "x"));
                harness_pass(h, USEC_PER_SEC);
                delete = take(h, REQUEST_DELETE, "x");
                cr_assert(delete.record_died, "and so is its record");
                on_deleted(h, &delete, false);
                list_with(h, "x", &nobody);
        }
        harness_pass(h, USEC_PER_SEC);
        on_deleted(h, (Request[]) { take(h, REQUEST_DELETE, "x") }, true);
}

Test(lock_session, a_delete_is_repeated_at_once_after_a_reconnect) {
        lose_delete();
        harness_cut(h);
        harness_pass(h, 3 * USEC_PER_SEC);
        cr_assert_not(asked(h, REQUEST_DELETE, "x"), "there is nobody to ask");
        harness_reconnect(h);
        acknowledge();
        on_deleted(h, (Request[]) { take(h, REQUEST_DELETE, "x") }, true);
        list_shows("x", NULL, 0);
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_session, a_delete_that_was_done_is_seen_in_a_listing) {
        lose_delete();
        harness_cut(h);
        harness_reconnect(h);
        acknowledge();
        on_deleted(h, (Request[]) { take(h, REQUEST_DELETE, "x") }, false);
        list_shows("x", NULL, 0);
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_session, deletes_end_with_the_session) {
        lose_delete();
        harness_expire(h);
        cr_assert_null(the_lock(h, "x"));
        cr_assert_eq(domain_next_timer(h->domain), USEC_INFINITY);
}

/* --- late and repeated reports ------------------------------------------------------------------ */

/* P14: after a reconnect a waiter reads again, whatever it was waiting for. */
Test(lock_session, a_waiter_reads_again_after_a_reconnect) {
        Children others = {};
        Claim *a;

        children_add(&others, OTHER, X, h->sequence++);
        a = ask(h, "x", X);
        serve_with(h, "x", &others);
        on_watch_armed(h, (Request[]) { take(h, REQUEST_WATCH, "x") }, true, false);
        harness_cut(h);
        harness_reconnect(h);
        acknowledge();
        list_with(h, "x", &nobody);
        cr_assert(granted(a));
}

Test(lock_session, a_watch_that_was_lost_with_the_connection_is_armed_again) {
        Children others = {};

        children_add(&others, OTHER, X, h->sequence++);
        ask(h, "x", X);
        serve_with(h, "x", &others);
        on_watch_armed(h, (Request[]) { take(h, REQUEST_WATCH, "x") }, false, true);
        harness_cut(h);
        harness_reconnect(h);
        acknowledge();
        list_with(h, "x", &others);
        cr_assert(asked(h, REQUEST_WATCH, "x"));
}

Test(lock_session, reports_about_nodes_that_are_gone_find_nothing) {
        Request create, list;

        ask(h, "x", X);
        create = take(h, REQUEST_CREATE, "x");
        list = take(h, REQUEST_LIST, "x");
        harness_expire(h);
        cr_assert_null(lock_table_find_node(&h->domain->locks, "x", create.serial));
        /* A listing of the old session says nothing about nodes of the new one. */
        on_listed(h, &list, &nobody);
        harness_up(h, HARNESS_SESSION + 1);
        cr_assert_neq(take(h, REQUEST_CREATE, "x").serial, create.serial);
}

/* A listing that fails at once, again and again, must not keep the loop busy. */
Test(lock_session, a_listing_that_fails_is_not_repeated_at_once) {
        unsigned n = 0;

        ask(h, "x", X);
        serve_alone(h, "x");
        ask(h, "x", X);
        for (unsigned i = 0; i < 40; i++) {
                for (; asked(h, REQUEST_LIST, "x") && n < 100; n++)
                        on_listed(h, (Request[]) { take(h, REQUEST_LIST, "x") }, NULL);
                harness_pass(h, USEC_PER_SEC / 4);
        }
        cr_assert_leq(n, 11, "%u in ten seconds", n);
}

/* --- death, and the place of the next ----------------------------------------------------------- */

/* The next node is created behind a foreign reader: the death is for the foreigner too, so it is recorded. */
Test(lock_session, a_next_node_given_up_takes_no_record_with_it) {
        Children others = {};
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);
        Request delete;

        serve_alone(h, "x");
        children_add(&others, OTHER, X, h->sequence++);
        list_with(h, "x", &others);
        harness_pass(h, TENURE_TIME_BOUND_USEC);
        serve_with(h, "x", &others);
        die(h, a);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert(delete.record_died);
        on_deleted(h, &delete, true);
        release(h, b);
        delete = take(h, REQUEST_DELETE, "x");
        cr_assert_not(delete.clear_died, "nobody has been told yet");
}

/* Bounded, and then the other host gives up: our next node follows straight, and we know of the death ourselves. */
Test(lock_session, a_death_is_known_to_the_next_node_that_follows_straight) {
        Children others = {};
        Claim *a = ask(h, "x", X), *b = ask(h, "x", X);
        Request create, list;

        serve_alone(h, "x");
        children_add(&others, OTHER, X, h->sequence++);
        list_with(h, "x", &others);
        harness_pass(h, TENURE_TIME_BOUND_USEC);
        create = take(h, REQUEST_CREATE, "x");
        list = take(h, REQUEST_LIST, "x");
        die(h, a);
        on_created(h, &create);
        cr_assert_not(asked(h, REQUEST_DELETE, "x"), "not before we know who is next");
        others.n = 0;
        children_add(&others, the_lock(h, "x")->tenure.force->guid, X, 0);
        children_add(&others, create.guid, X, the_lock(h, "x")->tenure.next->sequence);
        on_listed(h, &list, &others);
        cr_assert(granted(b));
        cr_assert_eq(b->previous, PREVIOUS_DIED);
        cr_assert_not(take(h, REQUEST_DELETE, "x").record_died);
}
