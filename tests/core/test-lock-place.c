/* SPDX-License-Identifier: Apache-2.0 */
/* Locks in an arena: places are taken in time, served in order, and given back; the test is the arena */

#include "harness.h"

static Harness *h;

static void begin(void) {
        kit_setup();
        h = harness_new(DOMAIN_NODE);
        h->domain->locks.arena = true;
}

static void end(void) {
        Request *r, *tmp;

        lock_table_stop(&h->domain->locks, h->now, &h->fx);
        harness_drain(h);
        /* Whatever is still to be given back. */
        list_foreach_safe(r, tmp, &h->requests, Request, link)
                if (r->want & PLACE_WANT_LEAVE)
                        lock_table_on_place_left(&h->domain->locks, r->place, h->now, &h->fx);
        harness_drain(h);
        h = harness_free(h);
        kit_teardown();
}

TestSuite(lock_place, .init = begin, .fini = end, .timeout = 120);

/* --- the arena ---------------------------------------------------------------------------------- */

static LockTable *locks(void) {
        return &h->domain->locks;
}

static Request wanted(const char *name, PlaceWant want) {
        Request r = take(h, REQUEST_PLACE, name);

        cr_assert_eq(r.want & want, (unsigned) want, "%x is wanted, not %x", r.want, (unsigned) want);
        return r;
}

static void hold_with(Place *place, bool died, uint64_t first, uint64_t n) {
        const PlaceGrant grant = { .died = died, .token_first = first, .token_end = first + n };

        lock_table_on_place_held(locks(), place, &grant, h->now, &h->fx);
        harness_drain(h);
}

static Place *held(const char *name, uint64_t first) {
        Place *place = wanted(name, PLACE_WANT_TAKE).place;

        hold_with(place, false, first, 100);
        return place;
}

static Place *waiting(const char *name) {
        Place *place = wanted(name, PLACE_WANT_TAKE).place;

        lock_table_on_place_waiting(locks(), place, h->now, &h->fx);
        harness_drain(h);
        return place;
}

static void contended(Place *place, uint64_t since) {
        lock_table_on_place_contended(locks(), place, since, h->now, &h->fx);
        harness_drain(h);
}

static Request left(const char *name) {
        Request r = wanted(name, PLACE_WANT_LEAVE);

        lock_table_on_place_left(locks(), r.place, h->now, &h->fx);
        harness_drain(h);
        return r;
}

/* That the token is shown to others is of no interest here. */
static bool only_token(const char *name) {
        if (asked(h, REQUEST_PLACE, name))
                cr_assert_eq(take(h, REQUEST_PLACE, name).want, PLACE_WANT_TOKEN);
        return idle(h);
}

/* --- alone -------------------------------------------------------------------------------------- */

Test(lock_place, a_free_lock_is_asked_for_and_nothing_told_before) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert_eq(told(a), 0);
        held("x", 1000);
        cr_assert_eq(told(a), NEWS_ACQUIRED);
        cr_assert_eq(a->token, 1000);
        cr_assert_eq(a->previous, PREVIOUS_RELEASED);
        cr_assert(only_token("x"));
        release(h, a);
        left("x");
        cr_assert_null(the_lock(h, "x"), "nothing is left of it");
}

Test(lock_place, one_place_serves_all_while_nobody_else_waits) {
        Claim *c[3];

        for (size_t i = 0; i < ARRAY_SIZE(c); i++)
                c[i] = ask(h, "x", LOCK_EXCLUSIVE);
        held("x", 1000);
        for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
                cr_assert(granted(c[i]));
                cr_assert_eq(c[i]->token, 1000 + i);
                cr_assert(only_token("x"));
                release(h, c[i]);
        }
        left("x");
}

Test(lock_place, that_it_waits_is_told_when_it_is_known) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE);

        cr_assert_eq(told(a) | told(b), 0);
        waiting("x");
        cr_assert_eq(told(a), NEWS_QUEUED);
        cr_assert_eq(told(b), NEWS_QUEUED);
        cr_assert_eq(told(ask(h, "x", LOCK_SHARED)), NEWS_QUEUED);
}

Test(lock_place, a_claim_that_goes_before_it_is_asked_for_costs_nothing) {
        Claim *a = claim_new(h, LOCK_EXCLUSIVE, 0);

        cr_assert_eq(lock_table_request(locks(), a, "x", USEC_INFINITY, h->now, &h->fx), 0);
        lock_table_release(locks(), a, false, h->now, &h->fx);
        harness_drain(h);
        cr_assert(idle(h));
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_place, a_claim_that_goes_while_it_waits_takes_its_place_with_it) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE);

        waiting("x");
        release(h, a);
        left("x");
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_place, a_place_that_comes_too_late_is_given_back) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE);
        Place *place = waiting("x");

        release(h, a);
        hold_with(place, false, 1000, 10);
        left("x");
        cr_assert_null(the_lock(h, "x"));
}

/* --- others ------------------------------------------------------------------------------------- */

Test(lock_place, who_came_before_the_other_is_served_and_who_came_after_is_not) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *early, *late;
        Place *force = held("x", 1000), *next;

        early = ask(h, "x", LOCK_EXCLUSIVE);
        h->now += 10;
        cr_assert(only_token("x"));
        contended(force, h->now);
        h->now += 10;
        late = ask(h, "x", LOCK_EXCLUSIVE);
        next = waiting("x");
        cr_assert_eq(told(late), NEWS_QUEUED);
        release(h, a);
        cr_assert(granted(early));
        cr_assert(only_token("x"));
        release(h, early);
        cr_assert(waits(late));
        left("x");
        hold_with(next, false, 5000, 100);
        cr_assert(granted(late));
        cr_assert_eq(late->token, 5000);
}

Test(lock_place, a_place_that_overtook_somebody_serves_whom_it_was_asked_for) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b;
        Place *place = wanted("x", PLACE_WANT_TAKE).place;

        contended(place, h->now - 5);
        hold_with(place, false, 1000, 10);
        cr_assert(granted(a));
        (void) only_token("x");
        h->now += 10;
        b = ask(h, "x", LOCK_EXCLUSIVE);
        waiting("x");
        cr_assert(waits(b));
}

Test(lock_place, a_new_place_is_asked_for_before_the_old_one_is_given_back) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = claim_new(h, LOCK_EXCLUSIVE, 0);
        Place *force = held("x", 1000);
        Request first, second;

        contended(force, h->now);
        cr_assert(only_token("x"));
        h->now += 10;
        cr_assert_eq(lock_table_request(locks(), b, "x", USEC_INFINITY, h->now, &h->fx), 0);
        lock_table_release(locks(), a, false, h->now, &h->fx);
        harness_drain(h);
        first = take(h, REQUEST_PLACE, "x");
        second = take(h, REQUEST_PLACE, "x");
        cr_assert_eq(first.want, PLACE_WANT_TAKE);
        cr_assert_eq(second.want, PLACE_WANT_LEAVE);
        lock_table_on_place_waiting(locks(), first.place, h->now, &h->fx);
        lock_table_on_place_left(locks(), second.place, h->now, &h->fx);
        harness_drain(h);
        hold_with(first.place, false, 5000, 10);
        cr_assert(granted(b));
}

Test(lock_place, each_gap_has_its_place) {
        Claim *c[4];
        Place *p[4];

        for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
                c[i] = ask(h, "x", LOCK_EXCLUSIVE);
                p[i] = i == 0 ? held("x", 1000) : waiting("x");
                (void) only_token("x");
                h->now += 10;
                contended(p[i], h->now);
                h->now += 10;
        }
        for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
                if (i > 0)
                        hold_with(p[i], false, 1000 * (i + 1), 10);
                cr_assert(granted(c[i]));
                (void) only_token("x");
                release(h, c[i]);
                left("x");
        }
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_place, a_holder_that_asked_is_told_of_others) {
        Claim *a = ask_until(h, "x", LOCK_EXCLUSIVE, CLAIM_NOTIFY_CONTENTION, USEC_INFINITY);
        Place *force = held("x", 1000);

        cr_assert(granted(a));
        contended(force, h->now + 5);
        cr_assert_eq(told(a), NEWS_CONTENDED);
        contended(force, h->now + 6);
        cr_assert_eq(told(a), 0);
        (void) only_token("x");
}

Test(lock_place, readers_under_an_exclusive_place_let_others_in) {
        Claim *writer = ask(h, "x", LOCK_EXCLUSIVE), *reader, *late;
        Place *force = held("x", 1000);

        reader = ask(h, "x", LOCK_SHARED);
        (void) only_token("x");
        release(h, writer);
        cr_assert(granted(reader));
        (void) only_token("x");
        h->now += 10;
        contended(force, h->now);
        wanted("x", PLACE_WANT_SHARE);
        cr_assert_eq(force->mode, LOCK_SHARED);
        h->now += 10;
        /* The first of the others may be a writer: a late reader does not pass it. */
        late = ask(h, "x", LOCK_SHARED);
        waiting("x");
        cr_assert(waits(late));
}

Test(lock_place, a_claim_is_not_granted_on_what_was_known_before_it_asked) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b, *c;
        Place *force = held("x", 1000);

        cr_assert(granted(a));
        (void) only_token("x");
        h->now += 10;
        b = ask_until(h, "x", LOCK_SHARED, CLAIM_NO_QUEUE, USEC_INFINITY);
        cr_assert(waits(b));
        wanted("x", PLACE_WANT_LOOK);
        contended(force, USEC_INFINITY);
        cr_assert(granted(b));
        (void) only_token("x");
        h->now += 10;
        c = ask(h, "x", LOCK_SHARED);
        wanted("x", PLACE_WANT_LOOK);
        contended(force, h->now - 5);
        cr_assert(waits(c));
        waiting("x");
}

/* --- tries -------------------------------------------------------------------------------------- */

Test(lock_place, a_try_fails_when_its_place_has_to_wait) {
        Claim *a = ask_until(h, "x", LOCK_EXCLUSIVE, CLAIM_NO_QUEUE, USEC_INFINITY);

        cr_assert_eq(told(a), 0);
        waiting("x");
        cr_assert(failed(a, REASON_WOULD_BLOCK));
        left("x");
        cr_assert_null(the_lock(h, "x"));
        a = ask_until(h, "x", LOCK_EXCLUSIVE, CLAIM_NO_QUEUE, USEC_INFINITY);
        held("x", 1000);
        cr_assert(granted(a));
        (void) only_token("x");
}

/* --- death -------------------------------------------------------------------------------------- */

Test(lock_place, a_death_before_us_is_told_once_and_then_marked) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE);

        hold_with(wanted("x", PLACE_WANT_TAKE).place, true, 1000, 10);
        cr_assert(granted(a));
        cr_assert_eq(a->previous, PREVIOUS_DIED);
        wanted("x", PLACE_WANT_CONSISTENT);
        release(h, a);
        cr_assert_eq(b->previous, PREVIOUS_RELEASED);
        (void) only_token("x");
        release(h, b);
        cr_assert_not(left("x").record_died);
}

Test(lock_place, a_death_under_our_place_is_told_here_or_left_to_be_told) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE);

        held("x", 1000);
        (void) only_token("x");
        die(h, a);
        cr_assert_eq(b->previous, PREVIOUS_DIED);
        (void) only_token("x");
        die(h, b);
        cr_assert(left("x").record_died);
        cr_assert_null(the_lock(h, "x"), "the arena remembers");
}

/* --- conversions -------------------------------------------------------------------------------- */

Test(lock_place, an_upgrade_waits_for_the_place) {
        Claim *a = ask(h, "x", LOCK_SHARED);
        Place *force = held("x", 1000);
        const PlaceGrant grant = { .token_first = 5000, .token_end = 5010 };

        cr_assert(granted(a));
        (void) only_token("x");
        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, USEC_INFINITY), 0);
        wanted("x", PLACE_WANT_UPGRADE);
        cr_assert_eq(told(a), 0);
        lock_table_on_place_upgraded(locks(), force, &grant, h->now, &h->fx);
        harness_drain(h);
        cr_assert_eq(told(a), NEWS_CONVERTED);
        cr_assert_eq(a->mode, LOCK_EXCLUSIVE);
        cr_assert_eq(a->token, 5000);
        (void) only_token("x");
}

Test(lock_place, an_upgrade_that_is_given_up_stays_shared) {
        Claim *a = ask(h, "x", LOCK_SHARED);

        held("x", 1000);
        (void) only_token("x");
        told(a);
        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, USEC_PER_SEC), 0);
        wanted("x", PLACE_WANT_UPGRADE);
        harness_pass(h, 2 * USEC_PER_SEC);
        cr_assert_eq(told(a), NEWS_CONVERT_FAILED);
        wanted("x", PLACE_WANT_STAY);
        cr_assert_eq(convert(h, a, LOCK_EXCLUSIVE, USEC_INFINITY), 0);
        wanted("x", PLACE_WANT_UPGRADE);
        lock_table_on_place_upgraded(locks(), a->lock->places.force, NULL, h->now, &h->fx);
        harness_drain(h);
        cr_assert_eq(a->convert_reason, REASON_DEADLOCK);
}

Test(lock_place, a_second_shared_place_takes_over_unless_the_first_upgrades) {
        Claim *a = ask(h, "x", LOCK_SHARED), *b;
        Place *first = held("x", 1000), *second;

        (void) only_token("x");
        contended(first, h->now);
        h->now += 10;
        b = ask(h, "x", LOCK_SHARED);
        second = waiting("x");
        hold_with(second, false, 5000, 10);
        cr_assert(granted(b));
        cr_assert(claim_is_holding(a));
        cr_assert_eq(left("x").place, first);
        (void) only_token("x");
}

/* --- loss --------------------------------------------------------------------------------------- */

Test(lock_place, a_place_that_is_taken_from_us_is_lost_to_its_holder_and_not_to_who_waits) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE);
        Place *force = held("x", 1000);

        (void) only_token("x");
        lock_table_on_place_lost(locks(), force, REASON_BROKEN, h->now, &h->fx);
        harness_drain(h);
        cr_assert(lost(a, REASON_BROKEN));
        cr_assert(waits(b));
        held("x", 5000);
        cr_assert(granted(b));
        cr_assert_eq(b->previous, PREVIOUS_UNKNOWN);
        (void) only_token("x");
}

Test(lock_place, a_refused_place_fails_who_waits) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE);

        lock_table_on_place_refused(locks(), wanted("x", PLACE_WANT_TAKE).place, REASON_BACKEND_ERROR, h->now, &h->fx);
        harness_drain(h);
        cr_assert(failed(a, REASON_BACKEND_ERROR));
        cr_assert_null(the_lock(h, "x"));
}

Test(lock_place, a_place_without_tokens_serves_nobody_more) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE), *c = ask(h, "x", LOCK_EXCLUSIVE);
        Place *next;

        hold_with(wanted("x", PLACE_WANT_TAKE).place, false, 1000, 2);
        (void) only_token("x");
        release(h, a);
        cr_assert(granted(b));
        next = NULL;
        while (asked(h, REQUEST_PLACE, "x")) {
                Request r = take(h, REQUEST_PLACE, "x");

                if (r.want & PLACE_WANT_TAKE)
                        next = r.place;
        }
        cr_assert_not_null(next);
        lock_table_on_place_waiting(locks(), next, h->now, &h->fx);
        release(h, b);
        cr_assert(waits(c));
        left("x");
        hold_with(next, false, 5000, 10);
        cr_assert(granted(c));
        (void) only_token("x");
}

Test(lock_place, breaking_the_holder_gives_the_place_to_the_next) {
        Claim *a = ask(h, "x", LOCK_EXCLUSIVE), *b = ask(h, "x", LOCK_EXCLUSIVE);

        held("x", 1000);
        (void) only_token("x");
        cr_assert_eq(break_lock(h, "x", 999), LOCK_E_STALE_TOKEN);
        cr_assert_eq(break_lock(h, "x", 1000), 0);
        cr_assert(lost(a, REASON_BROKEN));
        cr_assert(granted(b));
        cr_assert_eq(b->previous, PREVIOUS_UNKNOWN);
        (void) only_token("x");
}
