/* SPDX-License-Identifier: Apache-2.0 */
/* org.tooz.Agent1.Domain: one object per domain, listed by the ObjectManager
 *
 * Changes are told by level: what is now, compared with what was told last, whatever happened in between. Generation
 * rises with each telling, so that a reader can tell an old value from a new one. The deadline moves with every
 * heartbeat and is told to nobody; the status page has it. */

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

#define DOMAIN_PATH_SIZE (sizeof(BUS_PATH_DOMAIN) + NAME_FORM_SIZE + 1)

/* What was told of a domain. */
typedef struct BusDomain {
        ListLink link; /* server->domains */
        const Domain *domain;
        uint64_t generation;
        SessionState state;
        int64_t session_id;
        uint64_t timeout_usec;
        char *server;
        char *detail;
} BusDomain;

static BusDomain *domain_told(const BusServer *s, const Domain *d) {
        BusDomain *told;

        list_foreach(told, &s->domains, BusDomain, link)
                if (told->domain == d)
                        return told;
        return NULL;
}

static BusDomain *told_free(BusDomain *told) {
        list_unlink(&told->link);
        free(told->server);
        free(told->detail);
        free(told);
        return NULL;
}

void bus_domain_forget(BusServer *s) {
        BusDomain *told, *next;

        list_foreach_safe(told, next, &s->domains, BusDomain, link)
                told_free(told);
}

static const char *domain_path(const Domain *d, char buf[static DOMAIN_PATH_SIZE]) {
        char encoded[NAME_FORM_SIZE];

        tooz_assert(name_encode(NAME_FORM_PATH, d->name, encoded, sizeof(encoded)) >= 0);
        (void) str_print(buf, DOMAIN_PATH_SIZE, "%s/%s", BUS_PATH_DOMAIN, encoded);
        return buf;
}

static Domain *domain_from_path(const BusServer *s, const char *path) {
        const char *encoded = str_skip_prefix(path, BUS_PATH_DOMAIN "/");
        char name[NAME_LEN_MAX + 1];

        if (!encoded || name_decode(NAME_FORM_PATH, encoded, name, sizeof(name)) < 0)
                return NULL;
        return realm_find_domain(s->realm, name);
}

/* --- properties --------------------------------------------------------------------------------- */

#define GETTER(name)                                                                                              \
        static int get_##name(sd_bus *bus, const char *path, const char *interface, const char *property,         \
                              sd_bus_message *reply, void *userdata, sd_bus_error *error)

/* In `node` there is nobody to lose contact with. */
static SessionState domain_state(const Domain *d) {
        return d->kind == DOMAIN_NODE ? SESSION_UP : d->session.state;
}

static const char *session_text(const Domain *d, char *buf, size_t size) {
        if (d->kind == DOMAIN_NODE || d->session.id == 0)
                return "";
        (void) str_print(buf, size, "0x%jx", (uintmax_t) d->session.id);
        return buf;
}

GETTER(text) {
        const BusServer *s = bus_conn_current(bus)->server;
        const Domain *d = userdata;
        char buf[32];
        const char *text = "";

        if (streq(property, "Name"))
                text = d->name;
        else if (streq(property, "Backend"))
                text = domain_kind_to_string(d->kind);
        else if (streq(property, "State"))
                text = session_state_to_string(domain_state(d));
        else if (streq(property, "SessionId"))
                text = session_text(d, buf, sizeof(buf));
        else if (streq(property, "Server"))
                text = s->facts->server(s->facts, d);
        else if (streq(property, "Detail"))
                text = s->facts->detail(s->facts, d);
        return sd_bus_message_append(reply, "s", bus_text_safe(text));
}

GETTER(features) {
        const Domain *d = userdata;

        if (d->kind == DOMAIN_NODE)
                return sd_bus_message_append(reply, "as", 4, "exclusive", "shared", "convert", "break");
        return sd_bus_message_append(reply, "as", 5, "exclusive", "shared", "convert", "break", "page");
}

GETTER(number) {
        const BusServer *s = bus_conn_current(bus)->server;
        const Domain *d = userdata;
        const BusDomain *told = domain_told(s, d);
        const bool node = d->kind == DOMAIN_NODE;
        uint64_t value = 0;

        if (streq(property, "Generation"))
                value = told ? told->generation : 0;
        else if (streq(property, "DeadlineBoottimeUSec"))
                value = node ? USEC_INFINITY : d->session.deadline_usec;
        else if (node)
                value = 0;
        else if (streq(property, "SessionTimeoutUSec"))
                value = d->session.timeout_usec;
        else if (streq(property, "Epoch"))
                value = d->session.epoch;
        else if (streq(property, "LastContactBoottimeUSec"))
                value = d->session.contact_usec;
        return sd_bus_message_append(reply, "t", value);
}

GETTER(count) {
        const Domain *d = userdata;

        return sd_bus_message_append(reply, "u", (uint32_t) (streq(property, "NLocksHeld") ? d->locks.n_held :
                                                                                            d->locks.n_waiting));
}

/* --- telling ------------------------------------------------------------------------------------ */

static int told_get(BusDomain **ret, BusServer *s, const Domain *d) {
        BusDomain *told = domain_told(s, d);

        if (!told) {
                told = calloc(1, sizeof(*told));
                if (!told)
                        return -ENOMEM;
                told->domain = d;
                told->state = SESSION_CONNECTING;
                list_link_init(&told->link);
                list_append(&s->domains, &told->link);
        }
        *ret = told;
        return 0;
}

/* Up to five names, and NULL. What could not be kept counts as changed next time again. */
static unsigned told_update(BusDomain *told, BusServer *s, const char *changed[static 7]) {
        const Domain *d = told->domain;
        const char *server = s->facts->server(s->facts, d), *detail = s->facts->detail(s->facts, d);
        unsigned n = 0;

        if (told->state != d->session.state)
                changed[n++] = "State";
        if (told->session_id != d->session.id)
                changed[n++] = "SessionId";
        if (told->timeout_usec != d->session.timeout_usec)
                changed[n++] = "SessionTimeoutUSec";
        if (!streq(told->server ?: "", server))
                changed[n++] = "Server";
        if (!streq(told->detail ?: "", detail))
                changed[n++] = "Detail";
        if (n > 0)
                changed[n++] = "Generation";
        changed[n] = NULL;

        told->generation += n > 0;
        told->state = d->session.state;
        told->session_id = d->session.id;
        told->timeout_usec = d->session.timeout_usec;
        (void) strdup_to(&told->server, server);
        (void) strdup_to(&told->detail, detail);
        return n;
}

void bus_server_tell_domain(BusServer *s, Domain *d) {
        const char *changed[7];
        char path[DOMAIN_PATH_SIZE];
        BusDomain *told;
        BusConn *conn;

        if (d->kind == DOMAIN_NODE || told_get(&told, s, d) < 0 || told_update(told, s, changed) == 0)
                return;

        list_foreach(conn, &s->conns, BusConn, link) {
                if (conn->pump.closing)
                        continue;
                (void) sd_bus_emit_properties_changed_strv(conn->pump.bus, domain_path(d, path), BUS_DOMAIN,
                                                           (char **) (uintptr_t) changed);
                bus_pump_touch(&conn->pump);
        }
        bus_manager_tell_state(s);
}

/* --- object ------------------------------------------------------------------------------------- */

static int domain_on_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                          sd_bus_error *error) {
        BusConn *conn = userdata;

        *ret_found = domain_from_path(conn->server, path);
        return *ret_found ? 1 : 0;
}

static int domain_on_enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
        const BusServer *s = ((BusConn *) userdata)->server;
        size_t n = 0, max = 0;
        const Domain *d;
        char **paths;

        list_foreach(d, &s->realm->domains, Domain, link)
                max++;
        paths = calloc(max + 1, sizeof(*paths));
        if (!paths)
                return -ENOMEM;
        list_foreach(d, &s->realm->domains, Domain, link) {
                char path[DOMAIN_PATH_SIZE];

                paths[n] = strdup(domain_path(d, path));
                if (!paths[n])
                        break;
                n++;
        }
        *ret_nodes = paths; /* without memory, those that could be had */
        return 0;
}

#define CONST SD_BUS_VTABLE_PROPERTY_CONST
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE

static const sd_bus_vtable domain_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("Backend", "s", get_text, 0, CONST),
        SD_BUS_PROPERTY("Features", "as", get_features, 0, CONST),
        SD_BUS_PROPERTY("State", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("SessionId", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("SessionTimeoutUSec", "t", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("Server", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Detail", "s", get_text, 0, CHANGES),
        SD_BUS_PROPERTY("Generation", "t", get_number, 0, CHANGES),
        SD_BUS_PROPERTY("Epoch", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("DeadlineBoottimeUSec", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("LastContactBoottimeUSec", "t", get_number, 0, 0),
        SD_BUS_PROPERTY("NLocksHeld", "u", get_count, 0, 0),
        SD_BUS_PROPERTY("NLocksWaiting", "u", get_count, 0, 0),
        SD_BUS_VTABLE_END,
};

int bus_domain_export(BusConn *conn) {
        int r;

        r = sd_bus_add_fallback_vtable(conn->pump.bus, NULL, BUS_PATH_DOMAIN, BUS_DOMAIN, domain_vtable, domain_on_find,
                                       conn);
        if (r < 0)
                return r;
        return sd_bus_add_node_enumerator(conn->pump.bus, NULL, BUS_PATH_DOMAIN, domain_on_enumerate, conn);
}
