/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Session: the agent's session with the ensemble, and until when what it holds is certainly still ours
 *
 *                  handshake (new id: epoch+1)
 *   CONNECTING ------------------------------> UP <-----------------------+
 *       ^                                      | heartbeat unanswered T/6,| heartbeat acknowledged,
 *       |                                      | or the library left      | or handshake with the same id
 *       |                                      v CONNECTED                |
 *       |<------- expired, replaced ------- SUSPENDED --------------------+
 *       |                                      | deadline                 |
 *       |                                      v                          |
 *       +<------- expired, replaced -------- OVERDUE ---------------------+
 *
 * UP goes straight to OVERDUE when a late timer finds the deadline passed. OVERDUE -> UP means that the session lived
 * on although its claims have been declared lost: nodes are still there and are deleted.
 *
 * Deadline. A heartbeat is a write, because a read is answered by a follower that is cut off. A write proves that the
 * leader heard of the *previous* one: the follower reports contact with its next ping only. So
 *
 *     deadline = submit time of the last but one counted heartbeat + 3T/4
 *
 * and heartbeats count only when at least T/6 apart. The handshake counts as one. The handshake that makes a new
 * session is a write of its own through the leader, whose clock for this session starts with it: it proves itself,
 * and the deadline after it is its submit time + 3T/4 until a second heartbeat has been counted.
 *
 * Whoever reports an event calls session_on_timer() with the same `now` before it (domain.c does): what comes in after
 * a late timer can't grant or resume before the loss has been declared. */

#include <stdbool.h>
#include <stdint.h>

#include "base/table.h"
#include "core/effect.h"

typedef enum SessionState {
        SESSION_CONNECTING,
        SESSION_UP,
        SESSION_SUSPENDED,
        SESSION_OVERDUE,
        _SESSION_STATE_MAX,
        _SESSION_STATE_INVALID = -1,
} SessionState;

/* What the backend is asked to do. Bits. */
typedef enum SessionWant {
        SESSION_WANT_HEARTBEAT = 1 << 0, /* submit the write now; report session_on_heartbeat_sent() at once */
        SESSION_WANT_REPLACE = 1 << 1,   /* close this handle, open one without the old id */
        SESSION_WANT_PUBLISH = 1 << 2,   /* state or deadline changed: the status page */
} SessionWant;

/* What changed for the locks. The domain passes it on (domain.c). */
typedef enum SessionChange {
        SESSION_SAME,
        SESSION_NEW,     /* up with a new epoch: all nodes are gone */
        SESSION_RESUMED, /* up again with the same epoch */
        SESSION_CUT,     /* suspended */
        SESSION_LATE,    /* the deadline has passed: what was held is lost */
        SESSION_OVER,    /* expired or replaced: what was held is lost, all nodes are gone or going */
        _SESSION_CHANGE_MAX,
} SessionChange;

typedef struct Session {
        SessionState state;
        uint64_t epoch;        /* rises with every new session of this agent; 0 before the first */
        int64_t id;            /* of the server; 0 before the first */
        uint64_t timeout_usec; /* T, as negotiated in the last handshake */
        uint64_t deadline_usec;

        bool connected;             /* the library says so */
        uint64_t handle_since_usec; /* the handle was opened */
        uint64_t cut_since_usec;    /* the library left CONNECTED; USEC_INFINITY while connected */
        uint64_t beat_newest_usec;  /* submit times of the last two counted heartbeats */
        uint64_t beat_before_usec;
        uint64_t beat_sent_usec; /* of the one in flight; USEC_INFINITY: none */
        uint64_t beat_due_usec;  /* when to send the next */
        uint64_t contact_usec;   /* last sign of life, for display */

        unsigned want; /* SessionWant */
        Effect effect;
} Session;

DECLARE_STRING_TABLE(session_state, SessionState);
DECLARE_STRING_TABLE(session_change, SessionChange);

void session_init(Session *s, uint64_t requested_timeout_usec, uint64_t now);

/* The library is connected, with this id and timeout. The request went out at `submitted_usec` or later. */
SessionChange session_on_handshake(Session *s, int64_t id, uint64_t timeout_usec, uint64_t submitted_usec, uint64_t now,
                                   Effects *fx);
/* The library left CONNECTED. */
SessionChange session_on_disconnect(Session *s, uint64_t now, Effects *fx);
/* The servers say that the session is over, or the handle is useless (authentication failed). */
SessionChange session_on_expired(Session *s, uint64_t now, Effects *fx);
/* A heartbeat was submitted at `now`; was acknowledged; failed (its answer will never come). */
void session_on_heartbeat_sent(Session *s, uint64_t now);
SessionChange session_on_heartbeat_ack(Session *s, uint64_t now, Effects *fx);
SessionChange session_on_heartbeat_failed(Session *s, uint64_t now, Effects *fx);
/* A handle was opened anew, as SESSION_WANT_REPLACE asked. */
void session_on_replaced(Session *s, uint64_t now);

SessionChange session_on_timer(Session *s, uint64_t now, Effects *fx);
uint64_t session_next_timer(const Session *s);

/* May something be granted now? Up, and the deadline ahead. */
bool session_may_grant(const Session *s, uint64_t now);
