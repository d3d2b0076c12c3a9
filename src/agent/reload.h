/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What of the configuration can change while the agent runs */

#include "agent/agent.h"

/* Limits, access rules, level of the log. -ENOMEM, and then nothing has changed. */
int reload_apply(Agent *agent, const Config *config);

/* Logs what differs but needs a restart. */
void reload_warn(const Config *old, const Config *now);
