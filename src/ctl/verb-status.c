/* SPDX-License-Identifier: Apache-2.0 */
/* status, list: the agent, its domains, the claims of its clients */

#include <errno.h>
#include <stdio.h>
#include <tooz/tooz-event.h>

#include "base/str.h"
#include "base/time.h"
#include "ctl/objects.h"

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
        uint64_t id, token;
        uint32_t pid, uid;
        int r;

        r = sd_bus_message_read(m, "(tssssuusto)", &id, &kind, &domain, &name, &state, &pid, &uid, &unit, &token, &path);
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

        r = sd_bus_message_enter_container(reply, 'a', "(tssssuusto)");
        while (r >= 0 && (r = claim_read(reply, t)) > 0)
                ;
        if (r < 0)
                return ctl_fail(ctl, r, "can't read the claims");
        r = table_print(t, &ctl->o, stdout);
        if (r == -EINVAL) {
                ctl_say("--output=%s: no such column", ctl->o.columns);
                return EXIT_USAGE;
        }
        if (r < 0)
                return ctl_fail(ctl, r, "can't print");
        if (ctl->o.json == JSON_OFF && ctl->o.legend && !ctl->o.columns)
                printf("%zu %s listed.\n", table_n_rows(t), table_n_rows(t) == 1 ? "claim" : "claims");
        return EXIT_OK;
}

/* --- status ------------------------------------------------------------------------------------- */

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
        _cleanup_(table_freep) Table *agent = NULL, *domains = NULL;

        if (ctl_connect(ctl) < 0 || objects_get_agent(ctl, &agent) < 0 || objects_get_domains(ctl, &domains) < 0)
                return EXIT_ERROR;
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
