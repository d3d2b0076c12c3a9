/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The domains of the agent: what stands behind those of the realm */

#include "agent/agent.h"

/* `node` and the configured ones, with their backends and pages. Logs what went wrong. -EOPNOTSUPP: this
 * build can't serve what is configured. */
int domains_open(Agent *agent);

/* The backends and pages; the realm's half goes with the realm. */
void domains_close(Agent *agent);

/* Every domain of the realm has one. */
AgentDomain *domains_find(const Agent *agent, const Domain *domain);
