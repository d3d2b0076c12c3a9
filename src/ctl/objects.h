/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Objects of the agent as rows: its own properties, and its domains */

#include "ctl/ctl.h"
#include "ctl/format.h"

enum {
        AGENT_NODE,
        AGENT_VERSION,
        AGENT_STATE,
        AGENT_DEFAULT_DOMAIN,
        AGENT_N_CLAIMS,
        AGENT_LOOP,
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

/* One row. Both say what is wrong when they fail. */
int objects_get_agent(Ctl *ctl, Table **ret);
/* A row for each domain. */
int objects_get_domains(Ctl *ctl, Table **ret);
