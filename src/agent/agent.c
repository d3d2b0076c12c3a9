/* SPDX-License-Identifier: Apache-2.0 */
/* Agent: the composition root
 *
 *   STARTING --> RUNNING --> STOPPING --> loop_run() returns
 *       \__________________/
 *
 * STARTING until the bus name is owned and the socket listens: clients of the socket are served already then.
 * STOPPING: all claims have ended (their holders are told REASON=agent-stopping), the nodes' deletion and the closing
 * of the sessions are under way, and the bus sends what is left. Ten seconds at most; a second signal ends at once, and
 * what is left in ZooKeeper goes with its session.
 *
 * The order in agent_new() is the order of need; agent_free() is its mirror. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/apply.h"
#include "agent/domains.h"
#include "agent/instance.h"
#include "agent/reload.h"
#include "agent/status.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "sd/notify.h"

#define STOP_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define STATUS_INTERVAL_USEC USEC_PER_SEC

/* --- what the bus shows --------------------------------------------------------------------------- */

static int facts_page(BusFacts *facts, const Domain *d) {
        const AgentDomain *ad = domains_find(container_of(facts, Agent, facts), d);

        return d->kind == DOMAIN_NODE ? -EOPNOTSUPP : page_share(&ad->page);
}

static const char *facts_server(BusFacts *facts, const Domain *d) {
        return domains_find(container_of(facts, Agent, facts), d)->backend->info.server ?: "";
}

static const char *facts_detail(BusFacts *facts, const Domain *d) {
        return domains_find(container_of(facts, Agent, facts), d)->backend->info.detail ?: "";
}

static int facts_reload(BusFacts *facts) {
        return agent_reload(container_of(facts, Agent, facts));
}

/* --- stopping ------------------------------------------------------------------------------------- */

static bool agent_is_stopped(const Agent *agent) {
        AgentDomain *ad;

        list_foreach(ad, &agent->domains, AgentDomain, link)
                if (!ad->backend->ops->stopped(ad->backend))
                        return false;
        return bus_server_is_flushed(agent->bus);
}

static void agent_stop(Agent *agent) {
        AgentDomain *ad;

        agent->state = AGENT_STOPPING;
        notify_stopping();
        log_info("Stopping");
        loop_timer_set(&agent->stop_timer, usec_add(time_now(), STOP_TIMEOUT_USEC));

        realm_stop(&agent->realm, time_now());
        (void) apply_effects(agent);
        list_foreach(ad, &agent->domains, AgentDomain, link)
                ad->backend->ops->stop(ad->backend);
        bus_server_stop(agent->bus);
}

static void agent_on_stop_timeout(LoopTimer *timer, uint64_t now_usec) {
        Agent *agent = container_of(timer, Agent, stop_timer);
        AgentDomain *ad;

        list_foreach(ad, &agent->domains, AgentDomain, link)
                if (!ad->backend->ops->stopped(ad->backend))
                        log_warning("Domain %s: the session was not closed in time and ends by its timeout",
                                    ad->domain->name);
        /* What still runs may block: no tidy end. */
        _exit(EXIT_SUCCESS);
}

static void agent_on_signal(LoopSignal *sig, const struct signalfd_siginfo *info) {
        Agent *agent = container_of(sig, Agent, signals);

        if (info->ssi_signo == SIGHUP) {
                (void) agent_reload(agent);
                return;
        }
        if (agent->state == AGENT_STOPPING) {
                log_warning("Second signal: ending at once");
                _exit(EXIT_FAILURE);
        }
        agent_stop(agent);
}

/* --- phases --------------------------------------------------------------------------------------- */

/* The status is told at most once a second, and not at all while nothing happens. */
static void agent_touch_status(Agent *agent) {
        if (notify_is_wanted() && !loop_timer_is_set(&agent->status_timer))
                loop_timer_set(&agent->status_timer, usec_add(loop_now(agent->loop), STATUS_INTERVAL_USEC));
}

static void agent_on_apply(LoopHook *hook) {
        Agent *agent = container_of(hook, Agent, apply);

        if (apply_effects(agent))
                agent_touch_status(agent);
        loop_timer_set(&agent->timer, realm_next_timer(&agent->realm));
        if (agent->state == AGENT_STOPPING && agent_is_stopped(agent))
                loop_exit(agent->loop, EXIT_SUCCESS);
}

static void agent_on_first_turn(LoopDefer *defer) {
        /* The hooks of this turn do what is to be done. */
}

static void agent_on_timer(LoopTimer *timer, uint64_t now_usec) {
        Agent *agent = container_of(timer, Agent, timer);

        realm_on_timer(&agent->realm, now_usec);
}

static void agent_become_ready(Agent *agent) {
        agent->state = AGENT_RUNNING;
        status_print(agent, agent->status);
        notify_ready(agent->status);
        log_info("Ready");
}

static void agent_on_status_timer(LoopTimer *timer, uint64_t now_usec) {
        Agent *agent = container_of(timer, Agent, status_timer);
        char status[AGENT_STATUS_SIZE];

        status_print(agent, status);
        if (agent->state != AGENT_STOPPING && !streq(status, agent->status)) {
                (void) str_copy(agent->status, sizeof(agent->status), status);
                notify_status(agent->status);
        }
}

static void agent_on_publish(LoopHook *hook) {
        Agent *agent = container_of(hook, Agent, publish);

        if (agent->state == AGENT_STARTING && bus_server_is_ready(agent->bus))
                agent_become_ready(agent);
}

/* While a cluster is up, its backend's threads must have been heard of: a heartbeat's answer comes through them. One
 * is sent every T/6 and the session is suspended when it is late by as much. */
static bool agent_is_well(Watchdog *w, uint64_t now_usec) {
        Agent *agent = container_of(w, Agent, watchdog);
        AgentDomain *ad;

        list_foreach(ad, &agent->domains, AgentDomain, link) {
                const Session *s = &ad->domain->session;

                if (ad->domain->kind == DOMAIN_NODE || s->state != SESSION_UP || agent->state == AGENT_STOPPING)
                        continue;
                if (now_usec > usec_add(s->contact_usec, MAX(w->period_usec, s->timeout_usec / 2)))
                        return false;
        }
        return true;
}

/* --- making --------------------------------------------------------------------------------------- */

static int lock_instance(const char *path, int *ret_fd, const char *what) {
        int pid = 0, r;

        r = instance_lock(path, ret_fd, &pid);
        if (r == -EEXIST)
                return log_error_errno(r, "Another tooz-agent (pid %d) uses the same %s: %s", pid, what, path);
        if (r < 0)
                return log_error_errno(r, "Can't lock %s", path);
        return 0;
}

static int agent_lock_instance(Agent *agent) {
        const Config *config = agent->config;
        _cleanup_free_ char *beside = NULL, *within = NULL;
        int r;

        if (!streq(config->socket_path, "none")) {
                beside = strjoin(config->socket_path, ".lock");
                r = beside ? lock_instance(beside, &agent->instance_fds[0], "socket") : -ENOMEM;
                if (r < 0)
                        return r;
        }
        if (config->state_directory) {
                within = strjoin(config->state_directory, "/agent.lock");
                r = within ? lock_instance(within, &agent->instance_fds[1], "state directory") : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int agent_open_signals(Agent *agent) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGHUP);
        (void) signal(SIGPIPE, SIG_IGN);
        return loop_signal_init(&agent->signals, agent->loop, &mask, agent_on_signal);
}

static int agent_open_bus(Agent *agent) {
        const Config *config = agent->config;
        bool has_socket = !streq(config->socket_path, "none");
        BusConfig bus = {
                .address = config->bus_address,
                .socket_path = has_socket ? config->socket_path : NULL,
                .socket_fd = -1,
                .socket_mode = config->socket_mode,
        };
        int r;

        agent->facts = (BusFacts) {
                .version = PACKAGE_VERSION,
                .page = facts_page,
                .server = facts_server,
                .detail = facts_detail,
                .reload = facts_reload,
        };
        r = bus_server_new(&agent->bus, agent->loop, &agent->realm, &agent->facts, &bus);
        if (r < 0)
                return log_error_errno(r, "Can't serve on bus %s and socket %s", config->bus_address ?: "(system)",
                                       config->socket_path);
        log_info("tooz-agent " PACKAGE_VERSION " on %s: bus %s, socket %s", loop_kind_to_string(loop_kind(agent->loop)),
                 config->bus_address ?: "of the system", config->socket_path);
        return 0;
}

static int agent_open_loop(Agent *agent) {
        int r;

        r = loop_new(&agent->loop, agent->config->loop_kind);
        if (r < 0) {
                (void) log_error_errno(r, "Can't use %s", loop_kind_to_string(agent->config->loop_kind));
                /* Asked for and refused by the kernel or a sandbox: starting again would not help. */
                return r == -EPERM || r == -EACCES || r == -ENOSYS ? -EOPNOTSUPP : r;
        }
        if (loop_refusal(agent->loop) < 0)
                log_notice("io_uring is refused here, epoll serves instead: %s", strerror(-loop_refusal(agent->loop)));
        loop_defer_init(&agent->first_turn, agent->loop, LOOP_PHASE_DEFERRED, agent_on_first_turn);
        loop_timer_init(&agent->timer, agent->loop, agent_on_timer);
        loop_timer_init(&agent->stop_timer, agent->loop, agent_on_stop_timeout);
        loop_timer_init(&agent->status_timer, agent->loop, agent_on_status_timer);
        r = watchdog_init(&agent->watchdog, agent->loop, agent_is_well);
        if (r < 0)
                return log_error_errno(r, "Can't read $WATCHDOG_USEC");
        return agent_open_signals(agent);
}

int agent_new(Agent **ret, Config *config, const ConfigSource *source) {
        _cleanup_(agent_freep) Agent *agent = NULL;
        int r;

        agent = calloc(1, sizeof(*agent));
        if (!agent) {
                config_free(config);
                return -ENOMEM;
        }
        agent->config = config;
        agent->source = source;
        agent->instance_fds[0] = agent->instance_fds[1] = -1;
        list_init(&agent->domains);
        r = realm_init(&agent->realm, config->node_name, getuid(), getgid());
        if (r < 0)
                return r;

        r = reload_apply(agent, config);
        if (r < 0)
                return r;
        r = agent_lock_instance(agent);
        if (r < 0)
                return r;
        r = agent_open_loop(agent);
        if (r < 0)
                return r;
        r = domains_open(agent);
        if (r < 0)
                return r;
        r = agent_open_bus(agent);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(agent);
        return 0;
}

static void agent_close_loop(Agent *agent) {
        if (!agent->loop)
                return;
        loop_signal_deinit(&agent->signals);
        watchdog_deinit(&agent->watchdog);
        loop_timer_unset(&agent->status_timer);
        loop_timer_unset(&agent->stop_timer);
        loop_timer_unset(&agent->timer);
        loop_defer_cancel(&agent->first_turn);
        (void) loop_drain(agent->loop);
        loop_free(agent->loop);
}

Agent *agent_free(Agent *agent) {
        if (!agent)
                return NULL;
        bus_server_free(agent->bus);
        domains_close(agent);
        agent_close_loop(agent);
        realm_deinit(&agent->realm);
        fd_close(agent->instance_fds[1]);
        fd_close(agent->instance_fds[0]);
        config_free(agent->config);
        free(agent);
        return NULL;
}

int agent_run(Agent *agent) {
        int r;

        loop_hook_add(&agent->apply, agent->loop, LOOP_PHASE_DEFERRED, agent_on_apply);
        loop_hook_add(&agent->publish, agent->loop, LOOP_PHASE_PUBLISH, agent_on_publish);
        loop_defer_trigger(&agent->first_turn);
        r = loop_run(agent->loop);
        loop_hook_remove(&agent->publish);
        loop_hook_remove(&agent->apply);
        return r;
}
