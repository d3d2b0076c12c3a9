/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and calls
 *
 * The same objects are exported on every connection, whether it leads to a message bus or straight to a client. A
 * connection that closes takes nothing with it but what was to live as long as it: on a direct one that is its
 * caller; on the message bus all callers become orphans. */

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "bus/bus-claim.h"
#include "bus/bus-server.h"

/* --- life --------------------------------------------------------------------------------------- */

static BusConn *conn_free(BusConn *conn) {
        if (!conn)
                return NULL;
        tooz_assert(!conn->callers);
        bus_caller_unref(conn->peer);
        list_unlink(&conn->link);
        free(conn);
        return NULL;
}

static void conn_on_closed(BusPump *pump) {
        BusConn *conn = container_of(pump, BusConn, pump);
        BusServer *s = conn->server;
        BusCaller *c, *next;

        if (conn->peer)
                bus_caller_gone(conn->peer);
        hash_foreach_safe(hh, conn->callers, c, next)
                bus_caller_orphan(c);
        bus_link_on_closed(s, conn, pump->error);
        conn_free(conn);
}

static int conn_on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return bus_caller_filter(userdata, m, error);
}

static int conn_on_name_vanished(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name, *before, *now;

        if (sd_bus_message_read(m, "sss", &name, &before, &now) >= 0 && !*now)
                bus_caller_vanished(userdata, name);
        return 0;
}

/* One rule for all names, since the number of rules is limited: it wakes us only when somebody leaves. */
static const char match_vanished[] =
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
        "member='NameOwnerChanged',arg2=''";

static int conn_export(BusConn *conn) {
        sd_bus *bus = conn->pump.bus;
        int r;

        r = sd_bus_add_object_manager(bus, NULL, BUS_PATH);
        if (r >= 0)
                r = bus_manager_export(conn);
        if (r >= 0)
                r = bus_claim_export(conn);
        if (r >= 0)
                r = bus_domain_export(conn);
        if (r >= 0 && !conn->peer)
                r = sd_bus_add_filter(bus, NULL, conn_on_message, conn);
        if (r >= 0 && !conn->peer)
                r = sd_bus_add_match_async(bus, NULL, match_vanished, conn_on_name_vanished, NULL, conn);
        return r;
}

int bus_conn_new(BusConn **ret, BusServer *s, sd_bus *bus, BusCaller *peer) {
        BusConn *conn;
        int r;

        conn = calloc(1, sizeof(*conn));
        if (!conn)
                return -ENOMEM;
        conn->magic = BUS_CONN_MAGIC;
        conn->server = s;
        list_link_init(&conn->link);

        r = bus_pump_start(&conn->pump, s->loop, bus, conn_on_closed);
        if (r < 0) {
                free(conn);
                return r;
        }
        list_append(&s->conns, &conn->link);
        conn->peer = peer;
        if (peer)
                peer->conn = conn;

        /* From here on the pump has the bus, and ends what it has begun. */
        r = conn_export(conn);
        if (r < 0)
                bus_pump_close(&conn->pump, r);
        *ret = conn;
        return 0;
}

void bus_conn_close(BusConn *conn, int error) {
        bus_pump_close(&conn->pump, error);
}

BusConn *bus_conn_current(sd_bus *bus) {
        BusConn *conn = sd_bus_slot_get_userdata(sd_bus_get_current_slot(bus));

        tooz_assert(conn && conn->magic == BUS_CONN_MAGIC);
        return conn;
}

/* --- sending ------------------------------------------------------------------------------------ */

void bus_conn_send(BusConn *conn, sd_bus_message *m) {
        int r;

        if (conn->pump.closing)
                return;
        r = sd_bus_send(conn->pump.bus, m, NULL);
        if (r < 0)
                bus_pump_close(&conn->pump, r);
        else
                bus_pump_touch(&conn->pump);
}

/* --- calls -------------------------------------------------------------------------------------- */

int bus_call_begin(BusCall *call, sd_bus_message *m, sd_bus_error *error) {
        BusConn *conn = bus_conn_current(sd_bus_message_get_bus(m));

        *call = (BusCall) {
                .server = conn->server,
                .conn = conn,
                .caller = bus_caller_of(conn, m),
                .message = m,
                .error = error,
        };
        if (!call->caller)
                return bus_error_setf(error, BUS_E_ACCESS_DENIED, "It is not known who calls");
        return 0;
}

bool bus_call_allows(const BusCall *call, AccessVerb verb, const Domain *d, const char *name) {
        return access_allows(&call->server->realm->access, &call->caller->who, verb, d ? d->name : "", name);
}

int bus_call_allow(const BusCall *call, AccessVerb verb, const Domain *d, const char *name) {
        char shown[NAME_FORM_SIZE] = "";

        if (bus_call_allows(call, verb, d, name))
                return 0;
        if (name)
                (void) name_encode(NAME_FORM_LOG, name, shown, sizeof(shown));
        return bus_error_setf(call->error, BUS_E_ACCESS_DENIED, "User %u may not %s%s%s%s%s%s",
                              (unsigned) call->caller->who.uid, access_verb_to_string(verb), name ? " \"" : "", shown,
                              name ? "\"" : "", d ? " in domain " : "", d ? d->name : "");
}

bool bus_call_is_over(const BusCall *call, uid_t owner, const Domain *d, const char *name) {
        uid_t uid = call->caller->who.uid;

        return uid == owner || uid == 0 || bus_call_allows(call, ACCESS_MANAGE, d, name);
}

int bus_call_domain(const BusCall *call, const char *name, Domain **ret) {
        char shown[NAME_FORM_SIZE];

        *ret = realm_find_domain(call->server->realm, name);
        if (*ret)
                return 0;
        if (name_check(name) != NAME_OK || name_encode(NAME_FORM_LOG, name, shown, sizeof(shown)) < 0)
                return bus_error_setf(call->error, BUS_E_NO_SUCH_DOMAIN, "There is no domain of that name");
        return bus_error_setf(call->error, BUS_E_NO_SUCH_DOMAIN, "There is no domain \"%s\"", shown);
}

int bus_call_name(const BusCall *call, const Domain *d, const char *name) {
        char shown[NAME_FORM_SIZE] = "";
        NameError error = domain_check_name(d, name);

        if (error == NAME_OK)
                return 0;
        /* A long one is not repeated, and an empty one has nothing to show. */
        if (strlen(name) <= NAME_LEN_MAX)
                (void) name_encode(NAME_FORM_LOG, name, shown, sizeof(shown));
        return bus_error_setf(call->error, BUS_E_INVALID_NAME, "The name%s%s%s %s", *shown ? " \"" : "", shown,
                              *shown ? "\"" : "", name_error_to_string(error));
}
