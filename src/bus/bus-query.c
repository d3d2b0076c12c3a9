/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about locks: ListLocks, QueryLock, BreakLock, VerifyToken
 *
 * In `node` the core answers at once; in a cluster the backend asks ZooKeeper. In both cases the answer comes as an
 * effect (bus_server_tell_query()), and the call is kept until then. What the caller may not read is left out. */

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"
#include "core/token.h"

#define LIST_LOCAL UINT64_C(1)
#define BREAK_FORCE UINT64_C(2)

typedef struct BusQuery BusQuery;

struct BusQuery {
        Query query;
        ListLink link; /* server->queries */
        BusCaller *caller;
        sd_bus_message *call;
        int (*answer)(BusQuery *bq); /* 0, or -errno: then the call fails by that */
        bool explains;               /* the call fails in any case, */
        BusErrorCode code;           /* by this */
};

/* --- life --------------------------------------------------------------------------------------- */

static BusQuery *query_free(BusQuery *bq) {
        if (!bq)
                return NULL;
        list_unlink(&bq->link);
        if (bq->caller)
                bq->caller->n_queries--;
        bus_caller_unref(bq->caller);
        sd_bus_message_unref(bq->call);
        query_deinit(&bq->query);
        free(bq);
        return NULL;
}
DEFINE_CLEANUP(BusQuery, query_free);

static int query_new(BusQuery **ret, BusCaller *caller, sd_bus_message *call, QueryKind kind, Domain *d, const char *name) {
        _cleanup_(query_freep) BusQuery *bq = NULL;
        int r;

        if (caller->n_queries >= BUS_QUERIES_MAX)
                return -EDQUOT;
        bq = calloc(1, sizeof(*bq));
        if (!bq)
                return -ENOMEM;
        list_link_init(&bq->link);
        bq->caller = bus_caller_ref(caller);
        caller->n_queries++;
        bq->call = sd_bus_message_ref(call);
        r = query_init(&bq->query, kind, d, name);
        if (r < 0)
                return r;
        bq->query.uid = caller->who.uid;
        *ret = TAKE_PTR(bq);
        return 0;
}

static void query_submit(BusQuery *bq) {
        BusServer *s = bq->caller->server;

        list_append(&s->queries, &bq->link);
        realm_query(s->realm, &bq->query, time_now(), time_now_realtime());
}

static void query_fail(BusQuery *bq, int error) {
        BusErrorCode code = bq->explains ? bq->code : bus_error_from_errno(error);
        const char *text = bus_error_text(code);
        char buf[BUS_TEXT_SIZE];

        if (code == BUS_E_STALE_TOKEN)
                text = bus_text_conflict(buf, bq->caller, bq->query.domain, bq->query.name);
        else if (bq->query.kind == QUERY_BREAK && error == -EPERM)
                text = "The holder is no client of an agent: its claim can only be deleted by force";
        bus_reply_error(bq->caller, bq->call, code, text);
}

void bus_server_tell_query(BusServer *s, Query *q) {
        _cleanup_(query_freep) BusQuery *bq = container_of(q, BusQuery, query);
        int r = q->result;

        if (r >= 0)
                r = bq->answer(bq);
        if (r < 0)
                query_fail(bq, r);
}

/* --- common beginnings -------------------------------------------------------------------------- */

/* Domain and name of the call, checked, and the right to do that. */
static int query_begin(BusCall *call, sd_bus_message *m, sd_bus_error *error, AccessVerb verb, Domain **ret_domain,
                       const char **ret_name) {
        const char *domain;
        int r;

        r = bus_call_begin(call, m, error);
        if (r >= 0)
                r = sd_bus_message_read(m, "ss", &domain, ret_name);
        if (r >= 0)
                r = bus_call_domain(call, domain, ret_domain);
        if (r >= 0)
                r = bus_call_name(call, *ret_domain, *ret_name);
        if (r >= 0)
                r = bus_call_allow(call, verb, *ret_domain, *ret_name);
        return r;
}

static int query_error(const BusCall *call, int r) {
        if (r == -EDQUOT)
                return bus_error_setf(call->error, BUS_E_QUOTA_EXCEEDED, "%u questions are being worked on already",
                                      BUS_QUERIES_MAX);
        return r;
}

static bool query_may_read(const BusQuery *bq, const char *name) {
        const BusServer *s = bq->caller->server;

        return access_allows(&s->realm->access, &bq->caller->who, ACCESS_READ, bq->query.domain->name, name);
}

/* --- QueryLock ---------------------------------------------------------------------------------- */

static const char *owner_id(const OwnerInfo *o, char *buf, size_t size) {
        if (!o->local)
                return bus_text_safe(o->node);
        (void) str_print(buf, size, "%.255s:%ju", bus_text_safe(o->host), (uintmax_t) o->claim_id);
        return buf;
}

static int append_owner(sd_bus_message *m, const OwnerInfo *o) {
        char id[320], path[BUS_CLAIM_PATH_SIZE];
        int r;

        r = sd_bus_message_open_container(m, 'r', "sssuusttsa{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "sssuustts", owner_id(o, id, sizeof(id)), bus_text_safe(o->host),
                                          lock_mode_to_string(o->mode), o->pid, o->uid, bus_text_safe(o->unit), o->token,
                                          o->since_realtime_usec, bus_text_safe(o->description));
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && o->local)
                r = sd_bus_message_append(m, "{sv}", "Claim", "o", bus_claim_path(o->claim_id, path));
        if (r >= 0 && !str_is_empty(o->comm))
                r = sd_bus_message_append(m, "{sv}", "Command", "s", bus_text_safe(o->comm));
        if (r >= 0 && o->node)
                r = sd_bus_message_append(m, "{sv}", "Node", "s", bus_text_safe(o->node));
        if (r >= 0 && o->foreign)
                r = sd_bus_message_append(m, "{sv}", "Foreign", "b", true);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_owners(sd_bus_message *m, const Query *q, bool waiting) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "(sssuusttsa{sv})");
        for (size_t i = 0; r >= 0 && i < q->n_owners; i++)
                if (q->owners[i].waiting == waiting)
                        r = append_owner(m, &q->owners[i]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int answer_owners(BusQuery *bq) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(bq->call, &reply);
        if (r >= 0)
                r = append_owners(reply, &bq->query, false);
        if (r >= 0)
                r = append_owners(reply, &bq->query, true);
        if (r >= 0)
                bus_reply(bq->caller, reply);
        return r;
}

static int query_lock_with(sd_bus_message *m, sd_bus_error *error, int (*answer)(BusQuery *bq)) {
        const char *name;
        uint64_t token = 0;
        BusQuery *bq;
        BusCall call;
        Domain *d;
        int r;

        r = query_begin(&call, m, error, ACCESS_READ, &d, &name);
        if (r >= 0 && !sd_bus_message_at_end(m, false))
                r = sd_bus_message_read(m, "t", &token);
        if (r >= 0)
                r = query_new(&bq, call.caller, m, QUERY_LOCK, d, name);
        if (r < 0)
                return query_error(&call, r);
        bq->answer = answer;
        bq->query.token = token;
        query_submit(bq);
        return 1;
}

int bus_query_on_query_lock(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return query_lock_with(m, error, answer_owners);
}

/* --- VerifyToken -------------------------------------------------------------------------------- */

/* Of a holder elsewhere only its tenure is known: all grants under it count as one. */
static bool token_is_of(const OwnerInfo *o, uint64_t token) {
        return o->token == token || (!o->local && o->token != 0 && o->token == token_tenure(token));
}

static int answer_token(BusQuery *bq) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const Query *q = &bq->query;
        const Lock *lock = lock_table_find(&q->domain->locks, q->name);
        uint64_t latest = lock ? lock->token_last : 0;
        bool current = false;
        int r;

        for (size_t i = 0; i < q->n_owners; i++)
                if (!q->owners[i].waiting) {
                        latest = MAX(latest, q->owners[i].token);
                        current |= q->token != 0 && token_is_of(&q->owners[i], q->token);
                }

        r = sd_bus_message_new_method_return(bq->call, &reply);
        if (r >= 0)
                r = sd_bus_message_append(reply, "bt", current, current ? MAX(latest, q->token) : latest);
        if (r >= 0)
                bus_reply(bq->caller, reply);
        return r;
}

int bus_query_on_verify_token(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return query_lock_with(m, error, answer_token);
}

/* --- an error that says who --------------------------------------------------------------------- */

static int answer_explain(BusQuery *bq) {
        char text[BUS_TEXT_SIZE];

        bus_reply_error(bq->caller, bq->call, bq->code,
                        query_may_read(bq, bq->query.name) ? bus_text_query(text, &bq->query) : bus_error_text(bq->code));
        return 0;
}

int bus_query_explain(BusCaller *caller, sd_bus_message *call, BusErrorCode code, Domain *d, const char *name) {
        BusQuery *bq;
        int r;

        r = query_new(&bq, caller, call, QUERY_LOCK, d, name);
        if (r < 0)
                return r;
        bq->answer = answer_explain;
        bq->explains = true;
        bq->code = code;
        query_submit(bq);
        return 0;
}

/* --- ListLocks ---------------------------------------------------------------------------------- */

static int append_lock(sd_bus_message *m, const BusQuery *bq, const LockInfo *l) {
        const OwnerInfo *o = &l->first;
        const BusWho who = { o->host, o->unit, o->comm, o->pid };
        char text[BUS_TEXT_SIZE], path[BUS_CLAIM_PATH_SIZE];

        return sd_bus_message_append(m, "(sssuuttso)", bq->query.domain->name, bus_text_safe(l->name),
                                     lock_mode_to_string(l->mode), l->n_holders, l->n_waiters, o->token,
                                     o->since_realtime_usec, bus_text_who(text, &who),
                                     o->local ? bus_claim_path(o->claim_id, path) : "/");
}

static int answer_locks(BusQuery *bq) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const Query *q = &bq->query;
        int r;

        r = sd_bus_message_new_method_return(bq->call, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(sssuuttso)");
        for (size_t i = 0; r >= 0 && i < q->n_locks; i++)
                if (query_may_read(bq, q->locks[i].name))
                        r = append_lock(reply, bq, &q->locks[i]);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                bus_reply(bq->caller, reply);
        return r;
}

int bus_query_on_list_locks(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *domain;
        uint64_t flags;
        BusQuery *bq;
        BusCall call;
        Domain *d;
        int r;

        r = bus_call_begin(&call, m, error);
        if (r >= 0)
                r = sd_bus_message_read(m, "st", &domain, &flags);
        if (r >= 0)
                r = bus_call_domain(&call, domain, &d);
        if (r >= 0)
                r = bus_request_check_flags(&call, flags, LIST_LOCAL);
        if (r >= 0)
                r = query_new(&bq, call.caller, m, QUERY_LIST, d, NULL);
        if (r < 0)
                return query_error(&call, r);
        bq->answer = answer_locks;
        bq->query.flags = flags & LIST_LOCAL ? QUERY_LIST_LOCAL : 0;
        query_submit(bq);
        return 1;
}

/* --- BreakLock ---------------------------------------------------------------------------------- */

static int answer_broken(BusQuery *bq) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = sd_bus_message_new_method_return(bq->call, &reply);
        if (r >= 0)
                bus_reply(bq->caller, reply);
        return r;
}

int bus_query_on_break_lock(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        uint64_t token, flags;
        const char *name;
        BusQuery *bq;
        BusCall call;
        Domain *d;
        int r;

        r = query_begin(&call, m, error, ACCESS_BREAK, &d, &name);
        if (r >= 0)
                r = sd_bus_message_read(m, "tt", &token, &flags);
        if (r >= 0)
                r = bus_request_check_flags(&call, flags, BREAK_FORCE);
        /* Deleting what another host still relies on is for whoever answers for the cluster. */
        if (r >= 0 && flags & BREAK_FORCE)
                r = bus_call_allow(&call, ACCESS_MANAGE, d, name);
        if (r >= 0)
                r = query_new(&bq, call.caller, m, QUERY_BREAK, d, name);
        if (r < 0)
                return query_error(&call, r);
        bq->answer = answer_broken;
        bq->query.token = token;
        bq->query.flags = flags & BREAK_FORCE ? QUERY_BREAK_FORCE : 0;
        query_submit(bq);
        return 1;
}
