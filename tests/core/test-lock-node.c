/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of one host: order, tries, time-outs, conversion, and how the one before left */

#include <stdio.h>

#include "harness.h"

static Harness *h;

static void begin(void) {
        kit_setup();
        h = harness_new(DOMAIN_NODE);
}

static void end(void) {
        h = harness_free(h);
        kit_teardown();
}

TestSuite(lock_node, .init = begin, .fini = end, .timeout = 120);

/* --- order -------------------------------------------------------------------------------------- */

Test(lock_node, a_free_lock_is_granted_at_once) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert_eq(told(a), NEWS_ACQUIRED);
        cr_assert_eq(a->state, CLAIM_HELD);
        cr_assert_eq(a->previous, PREVIOUS_RELEASED);
        cr_assert_eq(a->epoch, 0);
        cr_assert_eq(a->held_since_usec, h->now);
        cr_assert_eq(a->requested_usec, h->now);
        release(h, a);
        cr_assert_eq(told(a), NEWS_RELEASED);
        cr_assert_eq(a->state, CLAIM_RELEASED);
        cr_assert_null(the_lock(h, "x"), "nothing is left of it");
}

Test(lock_node, locks_of_other_names_are_others) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "y", LOCK_EXCLUSIVE);

        cr_assert(granted(a));
        cr_assert(granted(b));
}

Test(lock_node, writers_in_order_of_arrival) {
        Claim *c[4];

        for (size_t i = 0; i < ARRAY_SIZE(c); i++)
                c[i] = ask(h, "x", LOCK_EXCLUSIVE);
        for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
                cr_assert(granted(c[i]));
                for (size_t j = i + 1; j < ARRAY_SIZE(c); j++) {
                        cr_assert(waits(c[j]));
                        cr_assert_eq(lock_queue_position(&c[j]->lock->queue, c[j]), j - i);
                }
                release(h, c[i]);
        }
}

Test(lock_node, readers_together_but_none_past_a_writer) {
        Claim *r1 = ask(h, "x", LOCK_SHARED), *r2 = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE);
        Claim *r3 = ask(h, "x", LOCK_SHARED), *r4 = ask(h, "x", LOCK_SHARED), *w2 = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert(granted(r1) && granted(r2));
        cr_assert(waits(w) && waits(r3) && waits(r4) && waits(w2));
        release(h, r1);
        cr_assert(waits(w));
        release(h, r2);
        cr_assert(granted(w));
        cr_assert(waits(r3) && waits(r4));
        release(h, w);
        cr_assert(granted(r3) && granted(r4));
        cr_assert(waits(w2));
        release(h, r3);
        release(h, r4);
        cr_assert(granted(w2));
}

Test(lock_node, a_waiter_that_goes_makes_way) {
        Claim *r1 = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE), *r2 = ask(h, "x", LOCK_SHARED);

        cr_assert(granted(r1));
        cr_assert(waits(r2));
        release(h, w);
        cr_assert(failed(w, REASON_CANCELED));
        cr_assert(granted(r2));
}

/* --- try and time-out --------------------------------------------------------------------------- */

static int request(Claim *claim) {
        int r = lock_table_request(&h->domain->locks, claim, "x", USEC_INFINITY, h->now, &h->fx);

        harness_drain(h);
        return r;
}

Test(lock_node, a_try_never_waits) {
        Claim *w = claim_new(h, LOCK_EXCLUSIVE, CLAIM_NO_QUEUE), *r = claim_new(h, LOCK_SHARED, CLAIM_NO_QUEUE);
        Claim *r2 = claim_new(h, LOCK_SHARED, CLAIM_NO_QUEUE), *r3 = claim_new(h, LOCK_SHARED, CLAIM_NO_QUEUE), *waiter;

        cr_assert_eq(request(r), 0);
        cr_assert(granted(r));
        cr_assert_eq(request(w), LOCK_E_WOULD_BLOCK);
        cr_assert_eq(w->state, CLAIM_NEW);
        cr_assert_eq(told(w), 0);
        cr_assert_eq(request(r2), 0);
        cr_assert(granted(r2));

        /* Beside the holders there would be room, but a writer came earlier. */
        waiter = ask(h, "x", LOCK_EXCLUSIVE);
        cr_assert_eq(request(r3), LOCK_E_WOULD_BLOCK);
        release(h, waiter);
        cr_assert_eq(request(r3), 0);
        cr_assert(granted(r3));
}

Test(lock_node, waits_end_at_their_time) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE);
        Claim *late = ask_until(h, "x", LOCK_EXCLUSIVE, 0, 300), *soon = ask_until(h, "x", LOCK_EXCLUSIVE, 0, 100);

        cr_assert_eq(told(late), NEWS_QUEUED);
        harness_pass(h, 99);
        cr_assert(waits(soon));
        harness_pass(h, 1);
        cr_assert(failed(soon, REASON_TIMEOUT));
        cr_assert(waits(late));
        release(h, a);
        cr_assert(granted(late));
        harness_pass(h, 10000);
        cr_assert_eq(late->state, CLAIM_HELD, "a deadline of the wait is none of the holding");
        cr_assert_eq(domain_next_timer(h->domain), USEC_INFINITY);
}

Test(lock_node, a_writer_that_times_out_lets_readers_in) {
        Claim *r1 = ask(h, "x", LOCK_SHARED), *w = ask_until(h, "x", LOCK_EXCLUSIVE, 0, 100), *r2 = ask(h, "x", LOCK_SHARED);

        cr_assert(granted(r1));
        harness_pass(h, 100);
        cr_assert(failed(w, REASON_TIMEOUT));
        cr_assert(granted(r2));
}

/* --- contention --------------------------------------------------------------------------------- */

Test(lock_node, a_holder_that_asked_is_told_of_waiters) {
        Claim *a = ask_until(h, "x", LOCK_EXCLUSIVE, CLAIM_NOTIFY_CONTENTION, USEC_INFINITY);

        cr_assert_eq(told(a), NEWS_ACQUIRED);
        ask(h, "x", LOCK_EXCLUSIVE);
        cr_assert_eq(told(a), NEWS_CONTENDED);
}

Test(lock_node, a_holder_that_is_granted_before_waiters_is_told_too) {
        Claim *first = ask(h, "x", LOCK_EXCLUSIVE);
        Claim *second = ask_until(h, "x", LOCK_EXCLUSIVE, CLAIM_NOTIFY_CONTENTION, USEC_INFINITY);
        Claim *third = ask_until(h, "x", LOCK_EXCLUSIVE, CLAIM_NOTIFY_CONTENTION, USEC_INFINITY);

        release(h, first);
        cr_assert_eq(told(second), NEWS_QUEUED | NEWS_ACQUIRED | NEWS_CONTENDED);
        release(h, second);
        cr_assert_eq(told(third), NEWS_QUEUED | NEWS_ACQUIRED, "nobody is behind it");
}

Test(lock_node, readers_beside_each_other_do_not_contend) {
        Claim *a = ask_until(h, "x", LOCK_SHARED, CLAIM_NOTIFY_CONTENTION, USEC_INFINITY);

        told(a);
        cr_assert(granted(ask(h, "x", LOCK_SHARED)));
        cr_assert_eq(told(a), 0);
}

/* --- conversion --------------------------------------------------------------------------------- */

Test(lock_node, an_upgrade_goes_before_waiters_when_the_others_have_left) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE), *r;
        uint64_t token = a->token;

        told(a);
        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, USEC_INFINITY), 0);
        cr_assert_eq(told(a), 0);
        cr_assert_eq(a->mode, LOCK_SHARED);
        r = ask(h, "x", LOCK_SHARED);
        cr_assert(waits(r), "no reader is let in past an upgrade");
        release(h, b);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        cr_assert_eq(a->mode, LOCK_EXCLUSIVE);
        cr_assert_gt(a->token, token);
        cr_assert_gt(a->token, b->token);
        cr_assert(waits(w));
        release(h, a);
        cr_assert(granted(w));
}

Test(lock_node, a_downgrade_lets_readers_in) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *r1 = ask(h, "x", LOCK_SHARED), *r2 = ask(h, "x", LOCK_SHARED);
        uint64_t token = a->token;

        told(a);
        cr_assert_eq(convert(h, a, LOCK_SHARED, USEC_INFINITY), 0);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        cr_assert_eq(a->mode, LOCK_SHARED);
        cr_assert_eq(a->token, token);
        cr_assert(granted(r1) && granted(r2));
}

Test(lock_node, two_upgrades_are_a_deadlock) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED);

        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, USEC_INFINITY), 0);
        cr_assert_eq(convert(h, b, LOCK_EXCLUSIVE, USEC_INFINITY), LOCK_E_DEADLOCK);
        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, USEC_INFINITY), LOCK_E_DEADLOCK);
        release(h, b);
        cr_assert(told(a) & NEWS_CONVERTED);
}

Test(lock_node, an_upgrade_that_times_out_changes_nothing) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED), *r;
        uint64_t token = a->token;

        told(a);
        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, 100), 0);
        r = ask(h, "x", LOCK_SHARED);
        harness_pass(h, 100);
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        cr_assert_eq(a->convert_reason, REASON_TIMEOUT);
        cr_assert_eq(a->mode, LOCK_SHARED);
        cr_assert_eq(a->state, CLAIM_HELD);
        cr_assert_eq(a->token, token);
        cr_assert(granted(r), "readers stood behind the upgrade");
        release(h, b);
        release(h, r);
        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, 100), 0);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        harness_pass(h, 1000);
        cr_assert_eq(told(a), 0);
}

Test(lock_node, converting_to_the_same_mode_is_done_at_once) {
        Claim *a = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE);

        told(a);
        cr_assert_eq(convert(h, a, LOCK_SHARED, 0), 0);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        cr_assert_eq(convert(h, w, LOCK_SHARED, 0), LOCK_E_NOT_HELD);
}

Test(lock_node, an_upgrade_ends_with_its_holder) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, 100), 0);
        release(h, a);
        cr_assert(told(a) & NEWS_RELEASED);
        harness_pass(h, 200);
        cr_assert_eq(told(a), 0);
        release(h, b);
        cr_assert(granted(w));
}

/* --- how the one before left -------------------------------------------------------------------- */

Test(lock_node, a_death_is_told_to_the_next) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE), *c = ask(h, "x", LOCK_EXCLUSIVE);

        die(h, a);
        cr_assert(granted(b));
        cr_assert_eq(b->previous, PREVIOUS_DIED);
        release(h, b);
        cr_assert_eq(c->previous, PREVIOUS_RELEASED, "once");
}

Test(lock_node, a_death_is_remembered_without_waiters) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b, *c;

        die(h, a);
        cr_assert_eq(h->domain->locks.n_remembered, 1);
        b = ask(h, "x", LOCK_EXCLUSIVE);
        cr_assert_eq(h->domain->locks.n_remembered, 0);
        cr_assert_eq(b->previous, PREVIOUS_DIED);
        cr_assert_gt(b->token, a->token);
        release(h, b);
        cr_assert_eq(h->domain->locks.n_remembered, 0);
        c = ask(h, "x", LOCK_EXCLUSIVE);
        cr_assert_eq(c->previous, PREVIOUS_RELEASED);
}

Test(lock_node, of_readers_one_death_is_enough) {
        Claim *r[3], *w;

        for (size_t i = 0; i < ARRAY_SIZE(r); i++)
                r[i] = ask(h, "x", LOCK_SHARED);
        w = ask(h, "x", LOCK_EXCLUSIVE);
        release(h, r[0]);
        die(h, r[1]);
        release(h, r[2]);
        cr_assert_eq(w->previous, PREVIOUS_DIED);
}

Test(lock_node, a_reader_that_upgrades_hears_of_a_death_beside_it) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, USEC_INFINITY), 0);
        cr_assert_eq(a->previous, PREVIOUS_RELEASED);
        die(h, b);
        cr_assert(told(a) & NEWS_CONVERTED);
        cr_assert_eq(a->previous, PREVIOUS_DIED);
        release(h, a);
        cr_assert_eq(w->previous, PREVIOUS_RELEASED, "it was told to the one that came after");
}

Test(lock_node, a_waiter_that_dies_is_no_holder) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE), *c = ask(h, "x", LOCK_EXCLUSIVE);

        die(h, b);
        cr_assert(failed(b, REASON_CANCELED));
        release(h, a);
        cr_assert(granted(c));
        cr_assert_eq(c->previous, PREVIOUS_RELEASED);
}

/* --- break -------------------------------------------------------------------------------------- */

Test(lock_node, break_needs_the_token_of_the_moment) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE);
        uint64_t token = a->token;

        cr_assert_eq(break_lock(h, "y", token), LOCK_E_NOT_HELD);
        cr_assert_eq(break_lock(h, "x", token + 1), LOCK_E_STALE_TOKEN);
        cr_assert_eq(break_lock(h, "x", 0), LOCK_E_STALE_TOKEN);
        cr_assert_eq(a->state, CLAIM_HELD);
        cr_assert_eq(break_lock(h, "x", token), 0);
        cr_assert(lost(a, REASON_BROKEN));
        cr_assert(granted(b));
        cr_assert_eq(b->previous, PREVIOUS_UNKNOWN);
        cr_assert_eq(break_lock(h, "x", token), LOCK_E_STALE_TOKEN);
        cr_assert_eq(b->state, CLAIM_HELD);
}

Test(lock_node, break_of_one_reader_leaves_the_others) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert_eq(break_lock(h, "x", a->token), 0);
        cr_assert(lost(a, REASON_BROKEN));
        cr_assert_eq(b->state, CLAIM_HELD);
        cr_assert(waits(w));
}

/* The next one can't rely on what was protected, whether or not it stood in the queue already. */
Test(lock_node, a_broken_lock_is_remembered) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b;

        cr_assert_eq(break_lock(h, "x", a->token), 0);
        b = ask(h, "x", LOCK_EXCLUSIVE);
        cr_assert_eq(b->previous, PREVIOUS_UNKNOWN);
        release(h, b);
        cr_assert_eq(ask(h, "x", LOCK_EXCLUSIVE)->previous, PREVIOUS_RELEASED);
}

Test(lock_node, a_death_is_not_forgotten_over_a_break) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE);

        die(h, a);
        cr_assert_eq(break_lock(h, "x", b->token), 0);
        cr_assert_eq(w->previous, PREVIOUS_DIED);
}

/* --- bounds ------------------------------------------------------------------------------------- */

Test(lock_node, memories_are_bounded_oldest_first) {
        char name[32];

        for (unsigned i = 0; i < 65536 + 10; i++) {
                Claim *c;

                snprintf(name, sizeof(name), "lock-%u", i);
                c = claim_new(h, LOCK_EXCLUSIVE, 0);
                cr_assert_eq(lock_table_request(&h->domain->locks, c, name, USEC_INFINITY, h->now, &h->fx), 0);
                lock_table_release(&h->domain->locks, c, true, h->now, &h->fx);
        }
        harness_drain(h);
        cr_assert_eq(h->domain->locks.n_remembered, 65536);
        cr_assert_eq(h->domain->locks.n_locks, 65536);
        cr_assert_null(the_lock(h, "lock-9"));
        cr_assert_not_null(the_lock(h, "lock-10"));
}

Test(lock_node, stop_ends_everything) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b = ask(h, "x", LOCK_SHARED), *w = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, 100), 0);
        lock_table_stop(&h->domain->locks, h->now, &h->fx);
        harness_drain(h);
        cr_assert(lost(a, REASON_AGENT_STOPPING));
        cr_assert(lost(b, REASON_AGENT_STOPPING));
        cr_assert(failed(w, REASON_AGENT_STOPPING));
        cr_assert_eq(domain_next_timer(h->domain), USEC_INFINITY);
}
