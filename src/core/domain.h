/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Domain: where coordination happens: `node`, built in, or a configured cluster. Joins a lock table to its session. */

#include "base/list.h"
#include "base/macro.h"
#include "base/table.h"
#include "core/lock-table.h"
#include "core/name.h"
#include "core/query.h"
#include "core/session.h"
#include "core/token.h"

typedef enum DomainKind {
        DOMAIN_NODE,
        DOMAIN_ZOOKEEPER,
        _DOMAIN_KIND_MAX,
        _DOMAIN_KIND_INVALID = -1,
} DomainKind;

DECLARE_STRING_TABLE(domain_kind, DomainKind);

struct Domain {
        ListLink link; /* on realm->domains */
        char *name;
        DomainKind kind;
        LockTable locks;
        Session session;    /* cluster */
        TokenSource tokens; /* node */
        SessionChange pending; /* new or resumed session: the locks are told after the first acknowledged write */
        bool awaits_write;     /* that write has not been acknowledged yet */
};

int domain_new(Domain **ret, const char *name, DomainKind kind, uint64_t session_timeout_usec, uint64_t now);
Domain *domain_free(Domain *d);
DEFINE_CLEANUP(Domain, domain_free);

NameError domain_check_name(const Domain *d, const char *name);

/* What the backend reports of its session; each also runs the deadline check and passes changes on to the locks. */
void domain_on_handshake(Domain *d, int64_t id, uint64_t timeout_usec, uint64_t submitted_usec, uint64_t now, Effects *fx);
void domain_on_disconnect(Domain *d, uint64_t now, Effects *fx);
void domain_on_expired(Domain *d, uint64_t now, Effects *fx);
void domain_on_heartbeat_sent(Domain *d, uint64_t now);
void domain_on_heartbeat_ack(Domain *d, uint64_t now, Effects *fx);
void domain_on_heartbeat_failed(Domain *d, uint64_t now, Effects *fx);
void domain_on_replaced(Domain *d, uint64_t now);

void domain_on_timer(Domain *d, uint64_t now, Effects *fx);
uint64_t domain_next_timer(const Domain *d);
/* Asserts the invariants of all that is in it. Timers up to `now` must have run. */
void domain_check(const Domain *d, uint64_t now);

/* `node` answers from its table; in an arena and in a cluster the backend is asked (EFFECT_QUERY). */
void domain_query(Domain *d, Query *q, const char *host, uint64_t now, uint64_t realtime_now, Effects *fx);
/* What this host knows: appends its holders and waiters of q->name. Backends use it. -ENOMEM. */
int domain_query_local(Domain *d, Query *q, const char *host, uint64_t now, uint64_t realtime_now);
/* The same of all locks. */
int domain_list_local(Domain *d, Query *q, const char *host, uint64_t now, uint64_t realtime_now);
