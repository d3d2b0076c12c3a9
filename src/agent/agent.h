/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Agent: the composition root. Owns everything and decides nothing. */

#include <stdbool.h>

#include "agent/config.h"
#include "agent/page.h"
#include "backend/backend.h"
#include "bus/bus.h"
#include "core/realm.h"
#include "loop/defer.h"
#include "loop/loop.h"
#include "loop/signal.h"
#include "loop/timer.h"
#include "sd/watchdog.h"

typedef enum AgentState {
        AGENT_STARTING, /* the bus name is not owned yet */
        AGENT_RUNNING,
        AGENT_STOPPING, /* every claim has ended; nodes are deleted, sessions closed */
        _AGENT_STATE_MAX,
} AgentState;

DECLARE_STRING_TABLE(agent_state, AgentState);

/* What stands behind one domain of the realm. */
typedef struct AgentDomain {
        ListLink link;
        Domain *domain; /* of the realm */
        Backend *backend;
        Page page; /* of a cluster */
        SessionState told_state; /* of the session, as last logged */
        uint64_t told_epoch;
} AgentDomain;

#define AGENT_STATUS_SIZE 512

typedef struct Agent {
        Config *config;
        const ConfigSource *source;
        int instance_fds[2]; /* of the socket, of the state directory */

        Loop *loop;
        Realm realm;
        List domains; /* AgentDomain */
        BusServer *bus;
        BusFacts facts;
        AgentState state;

        LoopHook apply;       /* deferred: carries out effects */
        LoopHook publish;     /* publish: ready, status */
        LoopDefer first_turn; /* what was wanted before the loop ran */
        LoopTimer timer;      /* of the realm */
        LoopTimer stop_timer;
        LoopTimer status_timer;
        LoopSignal signals;
        Watchdog watchdog;
        char status[AGENT_STATUS_SIZE]; /* as the service manager was told */
} Agent;

/* Takes the configuration; borrows the source for reloads. Logs what went wrong. -EOPNOTSUPP: this
 * build can't do what is configured. */
int agent_new(Agent **ret, Config *config, const ConfigSource *source);
Agent *agent_free(Agent *agent);
DEFINE_CLEANUP(Agent, agent_free);

/* Until SIGTERM or SIGINT: 0; negative errno. */
int agent_run(Agent *agent);

/* Reads the configuration anew and applies what can be applied. -errno: it is wrong, and nothing has changed. */
int agent_reload(Agent *agent);
