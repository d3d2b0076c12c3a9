/* SPDX-License-Identifier: Apache-2.0 */
/* status, list: the agent, its domains, the claims of its clients */

#include <stdio.h>
#include <tooz/tooz-event.h>

#include "base/str.h"
#include "base/time.h"
#include "ctl/ctl.h"
#include "ctl/format.h"

#define AGENT_PATH "/org/tooz/Agent1"
#define AGENT_MANAGER "org.tooz.Agent1.Manager"
#define AGENT_DOMAIN "org.tooz.Agent1.Domain"

/* --- list --------------------------------------------------------------------------------------- */

enum {
        CLAIM_ID,
        CLAIM_KIND,
        CLAIM_DOMAIN,
        CLAIM_NAME,
        CLAIM_STATE,
        CLAIM_PID,
        CLAIM_UID,
        CLAIM_UNIT,
        CLAIM_TOKEN,
};

static const Column claim_columns[] = {
        [CLAIM_ID] = { "ID", "id", CELL_NUMBER },
        [CLAIM_KIND] = { "KIND", "kind", CELL_TEXT },
        [CLAIM_DOMAIN] = { "DOMAIN", "domain", CELL_TEXT },
        [CLAIM_NAME] = { "NAME", "name", CELL_TEXT },
        [CLAIM_STATE] = { "STATE", "state", CELL_TEXT },
        [CLAIM_PID] = { "PID", "pid", CELL_NUMBER },
        [CLAIM_UID] = { "UID", "uid", CELL_NUMBER },
        [CLAIM_UNIT] = { "UNIT", "unit", CELL_TEXT },
        [CLAIM_TOKEN] = { "TOKEN", "token", CELL_TOKEN },
};

static int claim_read(sd_bus_message *m, Table *t) {
        const char *kind, *domain, *name, *state, *unit, *path;
        uint32_t id, pid, uid;
        uint64_t token;
        int r;

        r = sd_bus_message_read(m, "(ussssuusto)", &id, &kind, &domain, &name, &state, &pid, &uid, &unit, &token, &path);
        if (r <= 0)
                return r;
        r = table_add_row(t);
        if (r < 0)
                return r;
        table_set_number(t, CLAIM_ID, id);
        table_set_text(t, CLAIM_KIND, kind);
        table_set_text(t, CLAIM_DOMAIN, domain);
        table_set_text(t, CLAIM_NAME, name);
        table_set_text(t, CLAIM_STATE, state);
        table_set_number(t, CLAIM_PID, pid);
        table_set_number(t, CLAIM_UID, uid);
        table_set_text(t, CLAIM_UNIT, unit);
        if (token > 0)
                table_set_number(t, CLAIM_TOKEN, token);
        return 1;
}

int verb_list(Ctl *ctl) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(table_freep) Table *t = NULL;
        const char *destination;
        sd_bus *bus;
        int r;

        if (ctl_connect(ctl) < 0)
                return EXIT_ERROR;
        r = table_new(&t, claim_columns, ARRAY_SIZE(claim_columns));
        if (r >= 0)
                r = tooz_client_get_bus(ctl->client, &bus, &destination);
        if (r < 0)
                return ctl_fail(ctl, r, "can't list");
        r = sd_bus_call_method(bus, destination, AGENT_PATH, AGENT_MANAGER, "ListClaims", &error, &reply, "t",
                               UINT64_C(0));
        if (r < 0) {
                ctl_say("can't list the claims: %s", error.message ?: strerror(-r));
                return EXIT_ERROR;
        }

        r = sd_bus_message_enter_container(reply, 'a', "(ussssuusto)");
        while (r >= 0 && (r = claim_read(reply, t)) > 0)
                ;
        if (r < 0)
                return ctl_fail(ctl, r, "can't read the claims");
        r = table_print(t, &ctl->o, stdout);
        if (r < 0)
                return ctl_fail(ctl, r, "can't print");
        if (ctl->o.json == JSON_OFF && ctl->o.legend && !ctl->o.columns)
                printf("%zu claims listed.\n", table_n_rows(t));
        return EXIT_OK;
}

/* --- status ------------------------------------------------------------------------------------- */

/* A property and the column in which it is shown. */
typedef struct Property {
        const char *name;
        const char *type;
        size_t column;
} Property;

enum {
        AGENT_NODE,
        AGENT_VERSION,
        AGENT_STATE,
        AGENT_DEFAULT_DOMAIN,
        AGENT_N_CLAIMS,
        AGENT_LOOP,
};

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

enum {
        DOMAIN_NAME,
        DOMAIN_BACKEND,
        DOMAIN_STATE,
        DOMAIN_SERVER,
        DOMAIN_SESSION,
        DOMAIN_TIMEOUT,
        DOMAIN_N_HELD,
        DOMAIN_N_WAITING,
        DOMAIN_DETAIL,
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

static int status_query(Ctl *ctl, Table *agent, Table *domains, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *properties = NULL, *objects = NULL;
        const char *destination;
        sd_bus *bus;
        int r;

        r = tooz_client_get_bus(ctl->client, &bus, &destination);
        if (r < 0)
                return r;
        r = sd_bus_call_method(bus, destination, AGENT_PATH, "org.freedesktop.DBus.Properties", "GetAll", error,
                               &properties, "s", AGENT_MANAGER);
        if (r >= 0)
                r = properties_read(properties, agent_properties, agent);
        if (r >= 0)
                r = sd_bus_call_method(bus, destination, AGENT_PATH, "org.freedesktop.DBus.ObjectManager",
                                       "GetManagedObjects", error, &objects, NULL);
        return r < 0 ? r : domains_read(objects, domains);
}

static void status_print_domain(Table *t, size_t row) {
        bool up = streq(table_cell(t, row, DOMAIN_STATE), "up") || streq(table_cell(t, row, DOMAIN_STATE), "ready");

        printf("%10s  %-9s  %s %s", table_cell(t, row, DOMAIN_NAME), table_cell(t, row, DOMAIN_BACKEND),
               up ? format_sign("●", "*") : format_sign("○", "-"), table_cell(t, row, DOMAIN_STATE));
        if (*table_cell(t, row, DOMAIN_SERVER))
                printf("  %s", table_cell(t, row, DOMAIN_SERVER));
        if (*table_cell(t, row, DOMAIN_SESSION))
                printf("  session %s (%s)", table_cell(t, row, DOMAIN_SESSION), table_cell(t, row, DOMAIN_TIMEOUT));
        printf("  %s held, %s waiting", table_cell(t, row, DOMAIN_N_HELD), table_cell(t, row, DOMAIN_N_WAITING));
        if (*table_cell(t, row, DOMAIN_DETAIL))
                printf("\n%24s%s", "", table_cell(t, row, DOMAIN_DETAIL));
        putchar('\n');
}

static void status_print(Table *agent, Table *domains) {
        printf("%s %s%s%s  tooz-agent %s  %s  (%s)\n", format_sign("●", "*"), format_bold(),
               table_cell(agent, 0, AGENT_NODE), format_normal(), table_cell(agent, 0, AGENT_VERSION),
               table_cell(agent, 0, AGENT_STATE), table_cell(agent, 0, AGENT_LOOP));
        for (size_t i = 0; i < table_n_rows(domains); i++)
                status_print_domain(domains, i);
        printf("%10s  %s       Default domain  %s\n", "Claims", table_cell(agent, 0, AGENT_N_CLAIMS),
               table_cell(agent, 0, AGENT_DEFAULT_DOMAIN));
}

int verb_status(Ctl *ctl) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(table_freep) Table *agent = NULL, *domains = NULL;
        int r;

        if (ctl_connect(ctl) < 0)
                return EXIT_ERROR;
        r = table_new(&agent, agent_columns, ARRAY_SIZE(agent_columns));
        if (r >= 0)
                r = table_new(&domains, domain_columns, ARRAY_SIZE(domain_columns));
        if (r >= 0)
                r = status_query(ctl, agent, domains, &error);
        if (r < 0) {
                ctl_say("can't get the status: %s", error.message ?: strerror(-r));
                return EXIT_ERROR;
        }

        if (ctl->o.json != JSON_OFF) {
                json_t *rows = table_to_json(agent);
                json_t *all = json_pack("{s:O, s:o}", "agent", json_array_get(rows, 0), "domains",
                                        table_to_json(domains));

                json_decref(rows);
                return json_print(all, &ctl->o, stdout) < 0 ? EXIT_ERROR : EXIT_OK;
        }
        status_print(agent, domains);
        return EXIT_OK;
}
