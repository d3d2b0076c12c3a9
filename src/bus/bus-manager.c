/* SPDX-License-Identifier: Apache-2.0 */
/* org.tooz.Agent1.Manager: the interface, and what of it needs no file of its own */

#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

#define CLAIMS_MINE UINT64_C(1)

/* --- properties --------------------------------------------------------------------------------- */

#define GETTER(name)                                                                                              \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property,         \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)

static BusServer *server_of(void *userdata) {
        return ((BusConn *) userdata)->server;
}

/* "degraded": a cluster can't be reached; `node` always can. */
static const char *server_state(const BusServer *s) {
        const Domain *d;

        if (s->stopping)
                return "stopping";
        list_foreach(d, &s->realm->domains, Domain, link)
                if (d->kind != DOMAIN_NODE && d->session.state != SESSION_UP)
                        return "degraded";
        return "running";
}

GETTER(text) {
        const BusServer *s = server_of(userdata);
        const char *text = "";

        if (streq(property, "Version"))
                text = s->facts->version;
        else if (streq(property, "NodeId"))
                text = s->realm->host;
        else if (streq(property, "State"))
                text = server_state(s);
        else if (streq(property, "DefaultDomain"))
                text = s->realm->default_domain ? s->realm->default_domain->name : "";
        else if (streq(property, "LoopKind"))
                text = loop_kind_to_string(loop_kind(s->loop));
        return sd_bus_message_append(reply, "s", bus_text_safe(text));
}

GETTER(features) {
        return sd_bus_message_append(reply, "as", 4, "locks", "shared-handles", "lifetime-handle", "lifetime-peer");
}

GETTER(n_claims) {
        return sd_bus_message_append(reply, "u", (uint32_t) hash_count(hh, server_of(userdata)->claims));
}

GETTER(max_blocking) {
        return sd_bus_message_append(reply, "t", BUS_MAX_BLOCKING_USEC);
}

GETTER(loop_statistics) {
        const LoopStats *stats = loop_stats(server_of(userdata)->loop);

        return sd_bus_message_append(reply, "a{st}", 6, "Turns", stats->n_turns, "Enters", stats->n_enters, "Submitted",
                                     stats->n_submitted, "Completed", stats->n_completed, "Overflows", stats->n_overflow,
                                     "Rearmed", stats->n_rearmed);
}

void bus_manager_tell_state(BusServer *s) {
        const char *state = server_state(s);
        BusConn *conn;

        if (streq_ptr(state, s->state))
                return;
        s->state = state;
        list_foreach(conn, &s->conns, BusConn, link) {
                if (conn->pump.closing)
                        continue;
                (void) sd_bus_emit_properties_changed(conn->pump.bus, BUS_PATH, BUS_MANAGER, "State", NULL);
                bus_pump_touch(&conn->pump);
        }
}

/* --- methods ------------------------------------------------------------------------------------ */

static int append_claim(sd_bus_message *m, const BusClaim *bc) {
        const Claim *c = &bc->claim;
        char path[BUS_CLAIM_PATH_SIZE];

        return sd_bus_message_append(m, "(tssssuusto)", c->id, "lock", bc->domain->name, bc->name,
                                     claim_state_to_string(c->state), (uint32_t) c->owner.pid, (uint32_t) c->owner.uid,
                                     bus_text_safe(c->owner.unit), claim_is_holding(c) ? c->token : UINT64_C(0),
                                     bus_claim_path(c->id, path));
}

static bool claim_is_listed(const BusCall *call, const BusClaim *bc, uint64_t flags) {
        if (!bc->claim.lock)
                return false;
        if (bc->claim.owner.uid == call->caller->who.uid)
                return true;
        return !(flags & CLAIMS_MINE) && bus_call_allows(call, ACCESS_READ, bc->domain, bc->name);
}

static int on_list_claims(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const BusClaim *bc;
        uint64_t flags;
        BusCall call;
        int r;

        r = bus_call_begin(&call, m, error);
        if (r >= 0)
                r = sd_bus_message_read(m, "t", &flags);
        if (r >= 0)
                r = bus_request_check_flags(&call, flags, CLAIMS_MINE);
        if (r >= 0)
                r = sd_bus_message_new_method_return(m, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', "(tssssuusto)");
        if (r < 0)
                return r;
        hash_foreach(hh, call.server->claims, bc) {
                r = claim_is_listed(&call, bc, flags) ? append_claim(reply, bc) : 0;
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int on_get_status_page(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_close_ int fd = -1;
        const char *domain;
        BusCall call;
        Domain *d;
        int r;

        r = bus_call_begin(&call, m, error);
        if (r >= 0)
                r = sd_bus_message_read(m, "s", &domain);
        if (r >= 0)
                r = bus_call_domain(&call, domain, &d);
        if (r >= 0)
                r = bus_call_allow(&call, ACCESS_READ, d, NULL);
        if (r < 0)
                return r;
        if (d->kind == DOMAIN_NODE)
                return bus_error_setf(error, BUS_E_NOT_SUPPORTED, "Domain \"%s\" has no deadlines, and no page", d->name);

        fd = call.server->facts->page(call.server->facts, d);
        if (fd < 0) {
                BusErrorCode code = bus_error_from_errno(fd);

                return bus_error_setf(error, code, "%s", bus_error_text(code));
        }
        return sd_bus_reply_method_return(m, "h", fd);
}

static int on_reload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusCall call;
        int r;

        r = bus_call_begin(&call, m, error);
        if (r >= 0)
                r = bus_call_allow(&call, ACCESS_MANAGE, NULL, NULL);
        if (r < 0)
                return r;
        r = call.server->facts->reload(call.server->facts);
        if (r < 0)
                return bus_error_setf(error, BUS_E_FAILED, "The new configuration was refused, the old one stays: %s",
                                      strerror(-r));
        return sd_bus_reply_method_return(m, NULL);
}

/* --- vtable ------------------------------------------------------------------------------------- */

#define U SD_BUS_VTABLE_UNPRIVILEGED
#define CONST SD_BUS_VTABLE_PROPERTY_CONST
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable manager_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Version", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("NodeId", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("Features", "as", get_features, 0, CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("DefaultDomain", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("NClaims", "u", get_n_claims, 0, 0),
        SD_BUS_PROPERTY("MaxBlockingUSec", "t", get_max_blocking, 0, CONST),
        SD_BUS_PROPERTY("LoopKind", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("LoopStatistics", "a{st}", get_loop_statistics, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("RequestLock",
                                SD_BUS_ARGS("s", domain, "s", name, "s", mode, "t", flags, "a{sv}", options),
                                SD_BUS_RESULT("o", claim, "h", handle), bus_lock_on_request, U),
        SD_BUS_METHOD_WITH_ARGS("Lock",
                                SD_BUS_ARGS("s", domain, "s", name, "s", mode, "t", timeout_usec, "a{sv}", options),
                                SD_BUS_RESULT("o", claim, "h", handle, "t", token), bus_lock_on_lock, U),
        SD_BUS_METHOD_WITH_ARGS("Unlock", SD_BUS_ARGS("s", domain, "s", name, "t", token), SD_BUS_NO_RESULT,
                                bus_lock_on_unlock, U),
        SD_BUS_METHOD_WITH_ARGS("ListLocks", SD_BUS_ARGS("s", domain, "t", flags),
                                SD_BUS_RESULT("a(sssuuttso)", locks), bus_query_on_list_locks, U),
        SD_BUS_METHOD_WITH_ARGS("QueryLock", SD_BUS_ARGS("s", domain, "s", name),
                                SD_BUS_RESULT("a(sssuusttsa{sv})", holders, "a(sssuusttsa{sv})", waiters),
                                bus_query_on_query_lock, U),
        SD_BUS_METHOD_WITH_ARGS("BreakLock", SD_BUS_ARGS("s", domain, "s", name, "t", token, "t", flags),
                                SD_BUS_NO_RESULT, bus_query_on_break_lock, U),
        SD_BUS_METHOD_WITH_ARGS("VerifyToken", SD_BUS_ARGS("s", domain, "s", name, "t", token),
                                SD_BUS_RESULT("b", current, "t", latest), bus_query_on_verify_token, U),
        SD_BUS_METHOD_WITH_ARGS("ListClaims", SD_BUS_ARGS("t", flags), SD_BUS_RESULT("a(tssssuusto)", claims),
                                on_list_claims, U),
        SD_BUS_METHOD_WITH_ARGS("GetStatusPage", SD_BUS_ARGS("s", domain), SD_BUS_RESULT("h", page), on_get_status_page,
                                U),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_reload, U),
        SD_BUS_VTABLE_END,
};

int bus_manager_export(BusConn *conn) {
        return sd_bus_add_object_vtable(conn->pump.bus, NULL, BUS_PATH, BUS_MANAGER, manager_vtable, conn);
}
