/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The agent of this build, on a private socket, without a bus */

#include <sys/types.h>

typedef struct RealAgent {
        const char *socket;
        pid_t pid;
} RealAgent;

/* Started, and serving. */
void real_agent_start(RealAgent *a);
void real_agent_stop(RealAgent *a);
/* SIGKILL, and gone. */
void real_agent_kill(RealAgent *a);
