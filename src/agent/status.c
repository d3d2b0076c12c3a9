/* SPDX-License-Identifier: Apache-2.0 */
/* One human line */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/status.h"
#include "base/time.h"

static const char *const agent_state_table[_AGENT_STATE_MAX] = {
        [AGENT_STARTING] = "starting",
        [AGENT_RUNNING] = "running",
        [AGENT_STOPPING] = "stopping",
};
DEFINE_STRING_TABLE(agent_state, AgentState, _AGENT_STATE_MAX);

typedef struct StatusLine {
        char *buf;
        size_t len;
} StatusLine;

#define status_add(line, ...)                                                                                       \
        do {                                                                                                        \
                if ((line)->len < AGENT_STATUS_SIZE)                                                                \
                        (line)->len += (size_t) snprintf((line)->buf + (line)->len, AGENT_STATUS_SIZE - (line)->len, \
                                                         __VA_ARGS__);                                              \
        } while (0)

static void status_add_session(StatusLine *line, const AgentDomain *ad) {
        const Session *s = &ad->domain->session;
        const BackendInfo *info = &ad->backend->info;
        char span[TIME_TEXT_SIZE];

        status_add(line, "%s", session_state_to_string(s->state));
        if (s->state == SESSION_UP)
                status_add(line, " at %s (session 0x%016" PRIx64 ", %s)", info->server, (uint64_t) s->id,
                           time_format_span(span, s->timeout_usec));
        else if (info->detail[0])
                status_add(line, " (%s)", info->detail);
        status_add(line, ", ");
}

void status_print(const Agent *agent, char buf[static AGENT_STATUS_SIZE]) {
        StatusLine line = { .buf = buf };
        const char *separator = "";
        AgentDomain *ad;

        buf[0] = 0;
        if (agent->state == AGENT_STARTING)
                status_add(&line, "Waiting for the bus · ");
        list_foreach(ad, &agent->domains, AgentDomain, link) {
                status_add(&line, "%s%s: ", separator, ad->domain->name);
                if (ad->domain->kind != DOMAIN_NODE)
                        status_add_session(&line, ad);
                status_add(&line, "%zu held, %zu waiting", (size_t) ad->domain->locks.n_held,
                           (size_t) ad->domain->locks.n_waiting);
                separator = " · ";
        }
}
