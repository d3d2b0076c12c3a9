/* SPDX-License-Identifier: Apache-2.0 */
/* Session: the agent's session with the ensemble. States, edges and the deadline's rule: session.h */

#include "base/assert.h"
#include "base/bug.h"
#include "base/macro.h"
#include "base/time.h"
#include "core/session.h"

static const char *const session_state_table[_SESSION_STATE_MAX] = {
        [SESSION_CONNECTING] = "connecting",
        [SESSION_UP] = "up",
        [SESSION_SUSPENDED] = "suspended",
        [SESSION_OVERDUE] = "overdue",
};
DEFINE_STRING_TABLE(session_state, SessionState, _SESSION_STATE_MAX);

static const char *const session_change_table[_SESSION_CHANGE_MAX] = {
        [SESSION_SAME] = "same",
        [SESSION_NEW] = "new",
        [SESSION_RESUMED] = "resumed",
        [SESSION_CUT] = "cut",
        [SESSION_LATE] = "late",
        [SESSION_OVER] = "over",
};
DEFINE_STRING_TABLE(session_change, SessionChange, _SESSION_CHANGE_MAX);

static const bool legal[_SESSION_STATE_MAX][_SESSION_STATE_MAX] = {
        [SESSION_CONNECTING] = { [SESSION_UP] = true, [SESSION_OVERDUE] = true },
        [SESSION_UP] = { [SESSION_SUSPENDED] = true, [SESSION_OVERDUE] = true, [SESSION_CONNECTING] = true },
        [SESSION_SUSPENDED] = { [SESSION_UP] = true, [SESSION_OVERDUE] = true, [SESSION_CONNECTING] = true },
        [SESSION_OVERDUE] = { [SESSION_UP] = true, [SESSION_CONNECTING] = true },
};

/* Between two heartbeats, and for how long one may stay unanswered. */
static uint64_t session_beat_usec(const Session *s) {
        return s->timeout_usec / 6;
}

static void session_want(Session *s, SessionWant want, Effects *fx) {
        s->want |= want;
        effects_push(fx, &s->effect);
}

static void session_enter(Session *s, SessionState state, Effects *fx) {
        tooz_assert(legal[s->state][state]);
        s->state = state;
        session_want(s, SESSION_WANT_PUBLISH, fx);
}

/* Takes a heartbeat that was submitted at `submitted_usec` into the account of the deadline. */
static void session_count_beat(Session *s, uint64_t submitted_usec) {
        uint64_t basis;

        if (submitted_usec >= usec_add(s->beat_newest_usec, session_beat_usec(s))) {
                s->beat_before_usec = s->beat_newest_usec;
                s->beat_newest_usec = submitted_usec;
        }
        basis = bug("deadline-from-newest") ? s->beat_newest_usec : s->beat_before_usec;
        s->deadline_usec = usec_add(basis, s->timeout_usec / 4 * 3);
}

static SessionChange session_rise(Session *s, uint64_t now, Effects *fx) {
        session_want(s, SESSION_WANT_PUBLISH, fx);
        if (s->state == SESSION_UP || now >= s->deadline_usec)
                return SESSION_SAME;
        session_enter(s, SESSION_UP, fx);
        return SESSION_RESUMED;
}

void session_init(Session *s, uint64_t requested_timeout_usec, uint64_t now) {
        *s = (Session) {
                .state = SESSION_CONNECTING,
                .timeout_usec = requested_timeout_usec,
                .handle_since_usec = now,
                .cut_since_usec = now,
                .beat_sent_usec = USEC_INFINITY,
                .beat_due_usec = USEC_INFINITY,
        };
        effect_init(&s->effect, EFFECT_SESSION);
}

static void session_start_anew(Session *s, int64_t id, uint64_t submitted_usec) {
        s->id = id;
        s->epoch++;
        s->beat_newest_usec = s->beat_before_usec = submitted_usec;
        s->deadline_usec = usec_add(submitted_usec, s->timeout_usec / 4 * 3);
}

SessionChange session_on_handshake(Session *s, int64_t id, uint64_t timeout_usec, uint64_t submitted_usec, uint64_t now,
                                   Effects *fx) {
        tooz_assert(s->state == SESSION_CONNECTING || s->id == id);

        s->timeout_usec = timeout_usec;
        s->connected = true;
        s->cut_since_usec = USEC_INFINITY;
        s->contact_usec = now;
        /* A write at once: its reply says that what is listed from then on is complete. */
        s->beat_sent_usec = USEC_INFINITY;
        s->beat_due_usec = now;

        if (s->state == SESSION_CONNECTING) {
                session_start_anew(s, id, submitted_usec);
                session_enter(s, now < s->deadline_usec ? SESSION_UP : SESSION_OVERDUE, fx);
                return SESSION_NEW;
        }

        session_count_beat(s, submitted_usec);
        return session_rise(s, now, fx);
}

SessionChange session_on_disconnect(Session *s, uint64_t now, Effects *fx) {
        if (!s->connected)
                return SESSION_SAME;

        s->connected = false;
        s->cut_since_usec = now;
        s->beat_sent_usec = USEC_INFINITY;
        s->beat_due_usec = USEC_INFINITY;
        session_want(s, SESSION_WANT_PUBLISH, fx);
        if (s->state != SESSION_UP)
                return SESSION_SAME;
        session_enter(s, SESSION_SUSPENDED, fx);
        return SESSION_CUT;
}

/* The handle is given up, and with it the session. */
static SessionChange session_give_up(Session *s, uint64_t now, Effects *fx) {
        bool had_session = s->state != SESSION_CONNECTING;

        s->id = 0;
        s->deadline_usec = 0;
        s->connected = false;
        s->cut_since_usec = now;
        s->beat_sent_usec = USEC_INFINITY;
        s->beat_due_usec = USEC_INFINITY;
        s->want &= ~(unsigned) SESSION_WANT_HEARTBEAT;
        session_want(s, SESSION_WANT_REPLACE, fx);
        if (!had_session)
                return SESSION_SAME;
        session_enter(s, SESSION_CONNECTING, fx);
        return SESSION_OVER;
}

SessionChange session_on_expired(Session *s, uint64_t now, Effects *fx) {
        return session_give_up(s, now, fx);
}

void session_on_heartbeat_sent(Session *s, uint64_t now) {
        uint64_t counts_from = usec_add(s->beat_newest_usec, session_beat_usec(s));

        s->beat_sent_usec = now;
        s->beat_due_usec = now >= counts_from ? usec_add(now, session_beat_usec(s)) : counts_from;
}

SessionChange session_on_heartbeat_ack(Session *s, uint64_t now, Effects *fx) {
        uint64_t sent = s->beat_sent_usec;

        /* The reply to one that was given up when the connection was lost. */
        if (!s->connected || sent == USEC_INFINITY)
                return SESSION_SAME;

        s->beat_sent_usec = USEC_INFINITY;
        s->contact_usec = now;
        session_count_beat(s, sent);
        return session_rise(s, now, fx);
}

SessionChange session_on_heartbeat_failed(Session *s, uint64_t now, Effects *fx) {
        if (!s->connected || s->beat_sent_usec == USEC_INFINITY)
                return SESSION_SAME;

        /* Refused by a server that talks to us, or lost with a connection of which the end is not known yet: either
         * way no proof of contact. The next one is due after the usual time. */
        s->beat_sent_usec = USEC_INFINITY;
        s->beat_due_usec = usec_add(now, session_beat_usec(s));
        if (s->state != SESSION_UP)
                return SESSION_SAME;
        session_enter(s, SESSION_SUSPENDED, fx);
        return SESSION_CUT;
}

void session_on_replaced(Session *s, uint64_t now) {
        s->handle_since_usec = now;
        s->cut_since_usec = now;
}

static bool session_has_deadline(const Session *s) {
        return s->state == SESSION_UP || s->state == SESSION_SUSPENDED;
}

/* Moments at which something is due; USEC_INFINITY: never. */
static uint64_t session_beat_overdue_at(const Session *s) {
        if (s->state != SESSION_UP || s->beat_sent_usec == USEC_INFINITY)
                return USEC_INFINITY;
        return usec_add(s->beat_sent_usec, session_beat_usec(s));
}

static uint64_t session_beat_due_at(const Session *s) {
        if (!s->connected || s->beat_sent_usec != USEC_INFINITY || s->want & SESSION_WANT_HEARTBEAT)
                return USEC_INFINITY;
        return s->beat_due_usec;
}

static uint64_t session_replace_at(const Session *s) {
        if (s->connected || s->id == 0)
                return USEC_INFINITY;
        return usec_add(s->cut_since_usec, s->timeout_usec * 3);
}

SessionChange session_on_timer(Session *s, uint64_t now, Effects *fx) {
        if (session_has_deadline(s) && now >= s->deadline_usec && !bug("no-deadline-check")) {
                session_enter(s, SESSION_OVERDUE, fx);
                return SESSION_LATE;
        }
        if (now >= session_beat_overdue_at(s)) {
                session_enter(s, SESSION_SUSPENDED, fx);
                return SESSION_CUT;
        }
        if (now >= session_replace_at(s))
                return session_give_up(s, now, fx);
        if (now >= session_beat_due_at(s))
                session_want(s, SESSION_WANT_HEARTBEAT, fx);
        return SESSION_SAME;
}

uint64_t session_next_timer(const Session *s) {
        uint64_t next = session_has_deadline(s) && !bug("no-deadline-check") ? s->deadline_usec : USEC_INFINITY;

        next = MIN(next, session_beat_overdue_at(s));
        next = MIN(next, session_beat_due_at(s));
        return MIN(next, session_replace_at(s));
}

bool session_may_grant(const Session *s, uint64_t now) {
        return s->state == SESSION_UP && (now < s->deadline_usec || bug("no-deadline-check"));
}
