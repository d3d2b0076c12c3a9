/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One human line: what `systemctl status` shows */

#include "agent/agent.h"

/* Cut off at the end of the buffer. */
void status_print(const Agent *agent, char buf[static AGENT_STATUS_SIZE]);
