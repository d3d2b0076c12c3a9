/* SPDX-License-Identifier: Apache-2.0 */
/* Domain: joins a lock table to its session
 *
 * Each report of the backend first runs the session's timer with the same `now`: after a pause of the whole process
 * the passed deadline is declared before the reports that waited in the queue can resume or grant anything.
 *
 * After a reconnect the locks are told only when a write of ours has been acknowledged on the new connection: until
 * then a listing could miss a node whose create was lost on the old one. */

#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"
#include "core/domain.h"

static const char *const domain_kind_table[_DOMAIN_KIND_MAX] = {
        [DOMAIN_NODE] = "node",
        [DOMAIN_ZOOKEEPER] = "zookeeper",
};
DEFINE_STRING_TABLE(domain_kind, DomainKind, _DOMAIN_KIND_MAX);

int domain_new(Domain **ret, const char *name, DomainKind kind, uint64_t session_timeout_usec, uint64_t now) {
        _cleanup_(domain_freep) Domain *d = NULL;

        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;

        d->kind = kind;
        list_link_init(&d->link);
        session_init(&d->session, session_timeout_usec, now);
        token_source_init(&d->tokens, 0);
        lock_table_init(&d->locks, kind == DOMAIN_NODE ? NULL : &d->session, kind == DOMAIN_NODE ? &d->tokens : NULL);
        if (strdup_to(&d->name, name) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(d);
        return 0;
}

Domain *domain_free(Domain *d) {
        if (!d)
                return NULL;
        list_unlink(&d->link);
        lock_table_deinit(&d->locks);
        effect_cancel(&d->session.effect);
        free(d->name);
        free(d);
        return NULL;
}

NameError domain_check_name(const Domain *d, const char *name) {
        return d->kind == DOMAIN_NODE ? name_check(name) : name_check_cluster(name);
}

/* --- session ------------------------------------------------------------------------------------ */

static void domain_apply(Domain *d, SessionChange change, uint64_t now, Effects *fx) {
        if (change == SESSION_SAME)
                return;
        if ((change == SESSION_NEW || change == SESSION_RESUMED) && d->awaits_write) {
                d->pending = change;
                return;
        }
        d->pending = SESSION_SAME;
        lock_table_on_session(&d->locks, change, now, fx);
}

static void domain_check_session(Domain *d, uint64_t now, Effects *fx) {
        SessionChange change;

        do {
                change = session_on_timer(&d->session, now, fx);
                domain_apply(d, change, now, fx);
        } while (change != SESSION_SAME);
}

void domain_on_handshake(Domain *d, int64_t id, uint64_t timeout_usec, uint64_t submitted_usec, uint64_t now, Effects *fx) {
        Session *s = &d->session;

        /* The handle is back: after a pause this must be known before it is given up for having been away too long. */
        if (!s->connected)
                s->cut_since_usec = now;
        domain_check_session(d, now, fx);
        /* A server that swapped our session for another one: the old one is over. */
        if (s->state != SESSION_CONNECTING && s->id != id) {
                domain_apply(d, session_on_expired(s, now, fx), now, fx);
                s->want &= ~(unsigned) SESSION_WANT_REPLACE;
        }
        d->awaits_write = true;
        domain_apply(d, session_on_handshake(s, id, timeout_usec, submitted_usec, now, fx), now, fx);
        domain_check_session(d, now, fx);
}

void domain_on_disconnect(Domain *d, uint64_t now, Effects *fx) {
        domain_check_session(d, now, fx);
        d->awaits_write = false;
        d->pending = SESSION_SAME;
        domain_apply(d, session_on_disconnect(&d->session, now, fx), now, fx);
}

void domain_on_expired(Domain *d, uint64_t now, Effects *fx) {
        domain_check_session(d, now, fx);
        d->awaits_write = false;
        d->pending = SESSION_SAME;
        domain_apply(d, session_on_expired(&d->session, now, fx), now, fx);
}

void domain_on_heartbeat_sent(Domain *d, uint64_t now) {
        session_on_heartbeat_sent(&d->session, now);
}

void domain_on_heartbeat_ack(Domain *d, uint64_t now, Effects *fx) {
        SessionChange change;

        domain_check_session(d, now, fx);
        change = session_on_heartbeat_ack(&d->session, now, fx);
        if (d->awaits_write && d->session.connected) {
                d->awaits_write = false;
                if (d->session.state == SESSION_UP)
                        domain_apply(d, d->pending, now, fx);
        }
        domain_apply(d, change, now, fx);
}

void domain_on_heartbeat_failed(Domain *d, uint64_t now, Effects *fx) {
        domain_check_session(d, now, fx);
        domain_apply(d, session_on_heartbeat_failed(&d->session, now, fx), now, fx);
}

void domain_on_replaced(Domain *d, uint64_t now) {
        session_on_replaced(&d->session, now);
}

/* --- time --------------------------------------------------------------------------------------- */

void domain_on_timer(Domain *d, uint64_t now, Effects *fx) {
        if (d->kind != DOMAIN_NODE)
                domain_check_session(d, now, fx);
        lock_table_on_timer(&d->locks, now, fx);
}

uint64_t domain_next_timer(const Domain *d) {
        uint64_t next = lock_table_next_timer(&d->locks);

        return d->kind == DOMAIN_NODE ? next : MIN(next, session_next_timer(&d->session));
}

void domain_check(const Domain *d, uint64_t now) {
        const Session *s = &d->session;

        lock_table_check(&d->locks);
        lock_table_check_waits(&d->locks, now);
        if (d->kind == DOMAIN_NODE)
                return;
        tooz_assert(s->connected || (s->state != SESSION_UP && s->beat_sent_usec == USEC_INFINITY));
        tooz_assert(s->state == SESSION_CONNECTING || s->id != 0);
        tooz_assert(d->locks.contact == (s->state == SESSION_UP && d->pending == SESSION_SAME));
}
