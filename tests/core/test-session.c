/* SPDX-License-Identifier: Apache-2.0 */
/* Session: until when what is held is certainly still ours, and who is told when it is not */

#include "base/time.h"
#include "core/session.h"
#include "support/aborts.h"
#include "support/kit.h"

/* Divides well: T/12 is a second. */
#define T (12 * USEC_PER_SEC)
#define START (1000 * USEC_PER_SEC)
#define AT(sec) (START + (uint64_t) ((sec) * 1000000.0))

static Session s;
static Effects fx;

static void begin(void) {
        kit_setup();
        effects_init(&fx);
        session_init(&s, T, START);
}

static void end(void) {
        effect_cancel(&s.effect);
        kit_teardown();
}

TestSuite(session, .init = begin, .fini = end, .timeout = 120);

/* Takes what the backend is asked to do, and whether it is asked for `want`. */
static bool wants(SessionWant want) {
        bool yes = s.want & want;

        s.want &= ~(unsigned) want;
        if (!s.want)
                effect_cancel(&s.effect);
        return yes;
}

static SessionChange handshake(double submitted, double now) {
        return session_on_handshake(&s, 77, T, AT(submitted), AT(now), &fx);
}

/* A heartbeat that is due at `sent` and acknowledged at `now`. */
static SessionChange beat(double sent, double now) {
        cr_assert_eq(session_on_timer(&s, AT(sent), &fx), SESSION_SAME);
        cr_assert(wants(SESSION_WANT_HEARTBEAT), "at %f", sent);
        session_on_heartbeat_sent(&s, AT(sent));
        return session_on_heartbeat_ack(&s, AT(now), &fx);
}

static void deadline_is(double sec) {
        cr_assert_eq(s.deadline_usec, AT(sec), "%f, not %f", ((double) s.deadline_usec - START) / 1e6, sec);
}

static void next_timer_is(double sec) {
        cr_assert_eq(session_next_timer(&s), AT(sec), "%f, not %f", ((double) session_next_timer(&s) - START) / 1e6, sec);
}

/* --- deadline ----------------------------------------------------------------------------------- */

Test(session, a_new_session_counts_from_its_handshake) {
        cr_assert_not(session_may_grant(&s, AT(0)));
        cr_assert_eq(session_next_timer(&s), USEC_INFINITY);
        cr_assert_eq(handshake(1, 1.5), SESSION_NEW);
        cr_assert_eq(s.state, SESSION_UP);
        cr_assert_eq(s.epoch, 1);
        cr_assert(wants(SESSION_WANT_PUBLISH));
        deadline_is(1 + 9);
        cr_assert(session_may_grant(&s, AT(1.5)));
        cr_assert(session_may_grant(&s, AT(10) - 1));
        cr_assert_not(session_may_grant(&s, AT(10)));
}

/* The write right after the handshake is less than T/6 after it. */
Test(session, a_write_is_due_at_once_but_does_not_count) {
        handshake(0, 0.1);
        next_timer_is(0.1);
        beat(0.1, 0.2);
        deadline_is(9);
        next_timer_is(2);
}

Test(session, deadline_is_the_last_but_one_plus_three_quarters) {
        handshake(0, 0);
        beat(0, 0.5);
        beat(2, 2.5);
        deadline_is(0 + 9);
        beat(4, 4.5);
        deadline_is(2 + 9);
        beat(6, 6.5);
        deadline_is(4 + 9);
        /* In steady state: the newest + 7T/12. */
        cr_assert_eq(s.deadline_usec, AT(6) + T / 12 * 7);
}

/* A late reply proves contact at the time of its request, not at its own. */
Test(session, the_submit_time_counts) {
        handshake(0, 0);
        beat(0, 0.1);
        beat(2, 3.9);
        beat(4, 5.9);
        deadline_is(2 + 9);
        cr_assert_eq(s.contact_usec, AT(5.9));
}

Test(session, beats_closer_than_a_sixth_do_not_count) {
        handshake(0, 0);
        beat(0, 0);
        beat(2, 2);
        beat(4, 4);
        deadline_is(2 + 9);
        /* The backend may write when it likes; only the time since the last that counted matters. */
        session_on_heartbeat_sent(&s, AT(5));
        session_on_heartbeat_ack(&s, AT(5), &fx);
        session_on_heartbeat_sent(&s, AT(6) - 1);
        session_on_heartbeat_ack(&s, AT(6), &fx);
        deadline_is(2 + 9);
        cr_assert_eq(s.beat_newest_usec, AT(4));
        next_timer_is(6);
        beat(6, 6);
        deadline_is(4 + 9);
}

Test(session, the_deadline_never_goes_back_while_the_timeout_stays) {
        uint64_t last;

        handshake(0, 0);
        beat(0, 0);
        last = s.deadline_usec;
        for (double at = 2; at < 60; at += at < 30 ? 2 : 2.6) {
                session_on_heartbeat_sent(&s, AT(at));
                session_on_heartbeat_ack(&s, AT(at + 0.3), &fx);
                cr_assert_geq(s.deadline_usec, last);
                last = s.deadline_usec;
        }
}

Test(session, another_timeout_moves_the_deadline) {
        handshake(0, 0);
        beat(0, 0);
        beat(2, 2);
        beat(4, 4);
        deadline_is(2 + 9);
        session_on_disconnect(&s, AT(5), &fx);
        /* shorter: an earlier deadline, at once */
        session_on_handshake(&s, 77, T / 2, AT(6), AT(6), &fx);
        cr_assert_eq(s.timeout_usec, T / 2);
        cr_assert_eq(s.deadline_usec, AT(4) + T / 2 / 4 * 3);
        cr_assert(wants(SESSION_WANT_PUBLISH));
        /* longer */
        session_on_disconnect(&s, AT(6.5), &fx);
        session_on_handshake(&s, 77, 2 * T, AT(7), AT(7), &fx);
        cr_assert_eq(s.deadline_usec, AT(4) + 2 * T / 4 * 3);
}

/* --- contact ------------------------------------------------------------------------------------ */

Test(session, silence_is_suspended_with_a_quarter_left) {
        handshake(0, 0);
        beat(0, 0);
        beat(2, 2);
        beat(4, 4);
        session_on_timer(&s, AT(6), &fx);
        cr_assert(wants(SESSION_WANT_HEARTBEAT));
        session_on_heartbeat_sent(&s, AT(6));
        next_timer_is(8);
        cr_assert_eq(session_on_timer(&s, AT(8) - 1, &fx), SESSION_SAME);
        wants(SESSION_WANT_PUBLISH);
        cr_assert_eq(session_on_timer(&s, AT(8), &fx), SESSION_CUT);
        cr_assert(wants(SESSION_WANT_PUBLISH));
        cr_assert_eq(s.state, SESSION_SUSPENDED);
        cr_assert_not(session_may_grant(&s, AT(8)));
        cr_assert_eq(s.deadline_usec - AT(8), T / 4);
        next_timer_is(11);
        cr_assert_eq(session_on_timer(&s, AT(11) - 1, &fx), SESSION_SAME);
        cr_assert_eq(session_on_timer(&s, AT(11), &fx), SESSION_LATE);
        cr_assert_eq(s.state, SESSION_OVERDUE);
        cr_assert_not(session_may_grant(&s, AT(11)));
        cr_assert_eq(session_next_timer(&s), USEC_INFINITY, "the library is still connected, and its write unanswered");
}

Test(session, the_answer_that_came_late_resumes) {
        handshake(0, 0);
        beat(0, 0);
        session_on_timer(&s, AT(2), &fx);
        session_on_heartbeat_sent(&s, AT(2));
        cr_assert_eq(session_on_timer(&s, AT(4), &fx), SESSION_CUT);
        cr_assert_eq(session_on_heartbeat_ack(&s, AT(8), &fx), SESSION_RESUMED);
        cr_assert_eq(s.state, SESSION_UP);
        deadline_is(0 + 9);
        /* The next one was due long ago. */
        wants(SESSION_WANT_HEARTBEAT);
        next_timer_is(4);
        cr_assert_eq(beat(8, 8), SESSION_SAME);
        deadline_is(2 + 9);
}

Test(session, disconnected_is_suspended_at_once) {
        handshake(0, 0);
        beat(0, 0);
        beat(2, 2);
        session_on_heartbeat_sent(&s, AT(4));
        cr_assert_eq(session_on_disconnect(&s, AT(4.1), &fx), SESSION_CUT);
        cr_assert_eq(session_on_disconnect(&s, AT(4.2), &fx), SESSION_SAME);
        next_timer_is(9);
        /* Its reply belongs to the old connection. */
        cr_assert_eq(session_on_heartbeat_ack(&s, AT(4.5), &fx), SESSION_SAME);
        cr_assert_eq(session_on_heartbeat_failed(&s, AT(4.5), &fx), SESSION_SAME);
        cr_assert_eq(s.state, SESSION_SUSPENDED);
        cr_assert_eq(handshake(5, 5), SESSION_RESUMED);
        cr_assert_eq(s.epoch, 1);
        /* The handshake counts as a heartbeat: the last but one is the write at 2. */
        deadline_is(2 + 9);
        next_timer_is(5);
}

Test(session, a_handshake_too_soon_does_not_count) {
        handshake(0, 0);
        beat(0, 0);
        session_on_disconnect(&s, AT(1), &fx);
        handshake(1.5, 1.5);
        deadline_is(0 + 9);
        cr_assert_eq(s.beat_newest_usec, AT(0));
}

Test(session, a_failed_heartbeat_is_no_contact) {
        handshake(0, 0);
        beat(0, 0);
        session_on_timer(&s, AT(2), &fx);
        cr_assert(wants(SESSION_WANT_HEARTBEAT));
        session_on_heartbeat_sent(&s, AT(2));
        cr_assert_eq(session_on_heartbeat_failed(&s, AT(2.5), &fx), SESSION_CUT);
        cr_assert_eq(s.state, SESSION_SUSPENDED);
        /* Not again and again: after the usual time. */
        next_timer_is(4.5);
        cr_assert_eq(beat(4.5, 4.6), SESSION_RESUMED);
        deadline_is(0 + 9);
        cr_assert_eq(session_on_heartbeat_failed(&s, AT(5), &fx), SESSION_SAME, "none is in flight");
}

/* --- late --------------------------------------------------------------------------------------- */

/* The process was stopped: everything is found at once, and the deadline comes first. */
Test(session, after_a_late_timer_the_deadline_comes_first) {
        handshake(0, 0);
        beat(0, 0);
        session_on_timer(&s, AT(2), &fx);
        session_on_heartbeat_sent(&s, AT(2));
        cr_assert_eq(session_on_timer(&s, AT(30), &fx), SESSION_LATE);
        cr_assert_eq(s.state, SESSION_OVERDUE);
        /* What waited in the inbox is an answer to the write at 2: no reason to rise. */
        cr_assert_eq(session_on_heartbeat_ack(&s, AT(30), &fx), SESSION_SAME);
        cr_assert_eq(s.state, SESSION_OVERDUE);
}

Test(session, overdue_rises_when_contact_is_proven_anew) {
        handshake(0, 0);
        beat(0, 0);
        session_on_disconnect(&s, AT(3), &fx);
        cr_assert_eq(session_on_timer(&s, AT(9), &fx), SESSION_LATE);
        cr_assert_eq(handshake(10, 10), SESSION_SAME);
        cr_assert_eq(s.state, SESSION_OVERDUE);
        cr_assert_eq(beat(10, 10), SESSION_SAME);
        cr_assert_eq(beat(12, 12.1), SESSION_RESUMED);
        deadline_is(10 + 9);
        cr_assert_eq(s.epoch, 1);
}

Test(session, a_handshake_that_took_too_long_is_overdue) {
        cr_assert_eq(handshake(0, 9), SESSION_NEW);
        cr_assert_eq(s.state, SESSION_OVERDUE);
        cr_assert_not(session_may_grant(&s, AT(9)));
}

/* --- end ---------------------------------------------------------------------------------------- */

Test(session, a_handle_without_contact_is_replaced_after_three_timeouts) {
        handshake(0, 0);
        beat(0, 0);
        session_on_disconnect(&s, AT(3), &fx);
        cr_assert_eq(session_on_timer(&s, AT(9), &fx), SESSION_LATE);
        next_timer_is(3 + 36);
        cr_assert_eq(session_on_timer(&s, AT(39) - 1, &fx), SESSION_SAME);
        cr_assert_not(wants(SESSION_WANT_REPLACE));
        cr_assert_eq(session_on_timer(&s, AT(39), &fx), SESSION_OVER);
        cr_assert(wants(SESSION_WANT_REPLACE));
        cr_assert_eq(s.state, SESSION_CONNECTING);
        cr_assert_eq(s.id, 0);
        session_on_replaced(&s, AT(39));
        /* There is no old id any more to be left behind. */
        cr_assert_eq(session_next_timer(&s), USEC_INFINITY);
        cr_assert_eq(session_on_handshake(&s, 78, T, AT(50), AT(50), &fx), SESSION_NEW);
        cr_assert_eq(s.epoch, 2);
        deadline_is(50 + 9);
}

Test(session, expiry_ends_it_in_every_state) {
        for (int state = 0; state < 3; state++) {
                uint64_t epoch = s.epoch;
                double at = 100.0 * state;

                handshake(at, at);
                cr_assert_eq(s.epoch, epoch + 1);
                if (state > 0)
                        session_on_disconnect(&s, AT(at + 1), &fx);
                if (state > 1)
                        cr_assert_eq(session_on_timer(&s, AT(at + 9), &fx), SESSION_LATE);
                cr_assert_eq(session_on_expired(&s, AT(at + 10), &fx), SESSION_OVER);
                cr_assert_eq(s.state, SESSION_CONNECTING);
                cr_assert_not(s.connected);
                cr_assert(wants(SESSION_WANT_REPLACE));
                cr_assert_not(wants(SESSION_WANT_HEARTBEAT));
                cr_assert_eq(session_next_timer(&s), USEC_INFINITY);
                session_on_replaced(&s, AT(at + 10));
        }
        cr_assert_eq(session_on_expired(&s, AT(400), &fx), SESSION_SAME, "nothing was held without a session");
        cr_assert(wants(SESSION_WANT_REPLACE));
}

static void swap_sessions(const void *arg) {
        handshake(0, 0);
        session_on_disconnect(&s, AT(1), &fx);
        session_on_handshake(&s, 78, T, AT(2), AT(2), &fx);
}

/* domain.c ends the old session first. */
Test(session, one_session_is_not_taken_for_another) {
        cr_assert(aborts(swap_sessions, NULL));
}

/* Timers that did their work are not due again: the loop would spin. */
Test(session, no_timer_stays_in_the_past) {
        handshake(0, 0);
        for (double at = 0; at < 60; at += 0.25) {
                uint64_t due;

                while (session_on_timer(&s, AT(at), &fx) != SESSION_SAME)
                        ;
                if (wants(SESSION_WANT_HEARTBEAT)) {
                        session_on_heartbeat_sent(&s, AT(at));
                        if (at < 10)
                                session_on_heartbeat_ack(&s, AT(at), &fx);
                }
                if (wants(SESSION_WANT_REPLACE))
                        session_on_replaced(&s, AT(at));
                if (at == 12)
                        session_on_disconnect(&s, AT(at), &fx);
                due = session_next_timer(&s);
                cr_assert_gt(due, AT(at));
        }
        cr_assert_eq(s.state, SESSION_CONNECTING);
}
