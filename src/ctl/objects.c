/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the agent as rows
 *
 * Properties that are missing, or of another type than expected, leave their cells empty: an agent may be older or
 * newer than this program. */

#include <tooz/tooz-event.h>

#include "base/str.h"
#include "ctl/objects.h"

/* A property and the column in which it is shown. */
typedef struct Property {
        const char *name;
        const char *type;
        size_t column;
} Property;

static const Column agent_columns[] = {
        [AGENT_NODE] = { "NODE", "node", CELL_TEXT },
        [AGENT_VERSION] = { "VERSION", "version", CELL_TEXT },
        [AGENT_STATE] = { "STATE", "state", CELL_TEXT },
        [AGENT_DEFAULT_DOMAIN] = { "DEFAULT", "default_domain", CELL_TEXT },
        [AGENT_N_CLAIMS] = { "CLAIMS", "claims", CELL_NUMBER },
        [AGENT_LOOP] = { "LOOP", "loop", CELL_TEXT },
};

static const Property agent_properties[] = {
        { "NodeId", "s", AGENT_NODE },           { "Version", "s", AGENT_VERSION },
        { "State", "s", AGENT_STATE },           { "DefaultDomain", "s", AGENT_DEFAULT_DOMAIN },
        { "NClaims", "u", AGENT_N_CLAIMS },      { "LoopKind", "s", AGENT_LOOP },
        {},
};

static const Column domain_columns[] = {
        [DOMAIN_NAME] = { "DOMAIN", "name", CELL_TEXT },
        [DOMAIN_BACKEND] = { "BACKEND", "backend", CELL_TEXT },
        [DOMAIN_STATE] = { "STATE", "state", CELL_TEXT },
        [DOMAIN_SERVER] = { "SERVER", "server", CELL_TEXT },
        [DOMAIN_SESSION] = { "SESSION", "session", CELL_TEXT },
        [DOMAIN_TIMEOUT] = { "TIMEOUT", "session_timeout_usec", CELL_SPAN },
        [DOMAIN_N_HELD] = { "HELD", "locks_held", CELL_NUMBER },
        [DOMAIN_N_WAITING] = { "WAITING", "locks_waiting", CELL_NUMBER },
        [DOMAIN_DETAIL] = { "DETAIL", "detail", CELL_TEXT },
};

static const Property domain_properties[] = {
        { "Name", "s", DOMAIN_NAME },
        { "Backend", "s", DOMAIN_BACKEND },
        { "State", "s", DOMAIN_STATE },
        { "Server", "s", DOMAIN_SERVER },
        { "SessionId", "s", DOMAIN_SESSION },
        { "SessionTimeoutUSec", "t", DOMAIN_TIMEOUT },
        { "NLocksHeld", "u", DOMAIN_N_HELD },
        { "NLocksWaiting", "u", DOMAIN_N_WAITING },
        { "Detail", "s", DOMAIN_DETAIL },
        {},
};

static int property_read(sd_bus_message *m, const Property *p, Table *t) {
        const char *text;
        uint64_t number;
        uint32_t small;
        int r;

        switch (*p->type) {
        case 's':
                r = sd_bus_message_read(m, "v", "s", &text);
                if (r >= 0)
                        table_set_text(t, p->column, text);
                return r;
        case 'u':
                r = sd_bus_message_read(m, "v", "u", &small);
                if (r >= 0)
                        table_set_number(t, p->column, small);
                return r;
        default:
                r = sd_bus_message_read(m, "v", "t", &number);
                if (r >= 0)
                        table_set_number(t, p->column, number);
                return r;
        }
}

/* a{sv} into a new row: what is known, and has the type that is expected. */
static int properties_read(sd_bus_message *m, const Property *properties, Table *t) {
        int r;

        r = table_add_row(t);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const Property *p;
                const char *name, *type;

                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                r = sd_bus_message_peek_type(m, NULL, &type);
                if (r < 0)
                        return r;
                for (p = properties; p->name; p++)
                        if (streq(p->name, name) && streq(p->type, type))
                                break;
                r = p->name ? property_read(m, p, t) : sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* One object: a{sa{sv}}, of which only the domain's interface is wanted. */
static int object_read(sd_bus_message *m, Table *domains) {
        int r;

        r = sd_bus_message_skip(m, "o");
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{sa{sv}}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sa{sv}")) > 0) {
                const char *interface;

                r = sd_bus_message_read(m, "s", &interface);
                if (r < 0)
                        return r;
                r = streq(interface, AGENT_DOMAIN) ? properties_read(m, domain_properties, domains)
                                                   : sd_bus_message_skip(m, "a{sv}");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int domains_read(sd_bus_message *m, Table *domains) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}")) > 0) {
                r = object_read(m, domains);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r;
}

static int objects_call(Ctl *ctl, const char *interface, const char *member, const char *argument,
                        sd_bus_message **ret) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *destination;
        sd_bus *bus;
        int r;

        r = tooz_client_get_bus(ctl->client, &bus, &destination);
        if (r < 0)
                return ctl_fail(ctl, r, "can't reach tooz-agent"), r;
        r = sd_bus_call_method(bus, destination, AGENT_PATH, interface, member, &error, ret, argument ? "s" : NULL,
                               argument);
        if (r < 0)
                ctl_say("%s: %s", member, error.message ?: strerror(-r));
        return r;
}

int objects_get_agent(Ctl *ctl, Table **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(table_freep) Table *t = NULL;
        int r;

        r = objects_call(ctl, "org.freedesktop.DBus.Properties", "GetAll", AGENT_MANAGER, &reply);
        if (r < 0)
                return r;
        r = table_new(&t, agent_columns, ARRAY_SIZE(agent_columns));
        if (r >= 0)
                r = properties_read(reply, agent_properties, t);
        if (r < 0)
                return ctl_fail(ctl, r, "can't read the agent's properties"), r;
        *ret = TAKE_PTR(t);
        return 0;
}

int objects_get_domains(Ctl *ctl, Table **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(table_freep) Table *t = NULL;
        int r;

        r = objects_call(ctl, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", NULL, &reply);
        if (r < 0)
                return r;
        r = table_new(&t, domain_columns, ARRAY_SIZE(domain_columns));
        if (r >= 0)
                r = domains_read(reply, t);
        if (r < 0)
                return ctl_fail(ctl, r, "can't read the agent's domains"), r;
        *ret = TAKE_PTR(t);
        return 0;
}
