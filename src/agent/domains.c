/* SPDX-License-Identifier: Apache-2.0 */
/* The domains of the agent */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/arena.h"
#include "agent/domains.h"
#include "base/assert.h"
#include "base/kv.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#define HOST_DATA_SIZE 512
#define ACKNOWLEDGE_FILE "acknowledge-regression"

AgentDomain *domains_find(const Agent *agent, const Domain *domain) {
        AgentDomain *ad;

        list_foreach(ad, &agent->domains, AgentDomain, link)
                if (ad->domain == domain)
                        return ad;
        assert_not_reached();
}

/* An operator acknowledges a restored ensemble by making the file: it counts once. */
static bool take_acknowledgement(const Agent *agent) {
        _cleanup_free_ char *path = NULL;

        if (!agent->config->state_directory || list_is_empty(&agent->config->domains))
                return false;
        path = strjoin(agent->config->state_directory, "/" ACKNOWLEDGE_FILE);
        if (!path || unlink(path) < 0)
                return false;
        log_notice("%s found and removed: an ensemble that went back in time is accepted once", path);
        return true;
}

static int print_host_data(const Agent *agent, char buf[static HOST_DATA_SIZE]) {
        KvWriter w;

        kv_writer_init(&w, buf, HOST_DATA_SIZE);
        kv_add(&w, "HOST", agent->config->node_name);
        kv_add_u64(&w, "PID", (uint64_t) getpid());
        kv_add(&w, "AGENT", "tooz-agent " PACKAGE_VERSION);
        return kv_finish(&w);
}

static int domains_add(Agent *agent, AgentDomain **ret, const char *name, DomainKind kind, uint64_t timeout_usec) {
        AgentDomain *ad;
        int r;

        ad = calloc(1, sizeof(*ad));
        if (!ad)
                return -ENOMEM;
        list_link_init(&ad->link);
        ad->page = (Page) PAGE_INIT;
        r = domain_new(&ad->domain, name, kind, timeout_usec, time_now());
        if (r < 0) {
                free(ad);
                return r;
        }
        realm_add_domain(&agent->realm, ad->domain);
        list_append(&agent->domains, &ad->link);
        *ret = ad;
        return 0;
}

/* Without an arena the agent serves the locks of its clients all the same, but not those of programs that need none. */
static void domains_open_arena(Agent *agent, AgentDomain *ad) {
        const char *path = agent->config->arena;
        int r;

        if (streq(path, "none"))
                return;
        r = arena_backend_new(&ad->backend, ad->backend, path);
        if (r >= 0)
                return;
        ad->backend->info.detail = "the arena can't be used: programs with libtoozlocal are not seen";
        log_warning_errno(r, "Domain node: can't use the arena %s: locks are those of D-Bus clients alone, and "
                          "programs with libtoozlocal are not seen", path);
}

static int domains_open_node(Agent *agent) {
        AgentDomain *ad;
        int r;

        r = domains_add(agent, &ad, "node", DOMAIN_NODE, 0);
        if (r < 0)
                return r;
        r = node_backend_new(&ad->backend, agent->loop, &agent->realm, ad->domain, agent->config->state_directory);
        if (r < 0)
                return log_error_errno(r, "Domain node: can't keep its tokens in %s",
                                       agent->config->state_directory ?: "(nowhere)");
        domains_open_arena(agent, ad);
        return 0;
}

static int domains_open_cluster(Agent *agent, const ConfigDomain *d, bool acknowledged) {
        char host_data[HOST_DATA_SIZE];
        ZkConfig zk = {
                .servers = d->servers,
                .chroot = d->chroot,
                .namespace_ = d->namespace_,
                .timeout_usec = d->session_timeout_usec,
                .tick_usec = d->tick_usec,
                .auth_scheme = d->auth_scheme,
                .auth = d->auth,
                .acl_private = d->acl_private,
                .state_directory = agent->config->state_directory,
                .host_data = host_data,
                .acknowledge_regression = acknowledged,
        };
        AgentDomain *ad;
        int r;

        r = print_host_data(agent, host_data);
        if (r < 0)
                return r;
        r = domains_add(agent, &ad, d->name, DOMAIN_ZOOKEEPER, d->session_timeout_usec);
        if (r < 0)
                return r;
        r = page_init(&ad->page, d->name);
        if (r < 0)
                return log_error_errno(r, "Domain %s: can't make its status page", d->name);
        r = zk_backend_new(&ad->backend, agent->loop, &agent->realm, ad->domain, &zk);
        if (r == -EOPNOTSUPP) {
                log_error("Domain %s: this tooz-agent was built without ZooKeeper", d->name);
                return r;
        }
        if (r < 0)
                return log_error_errno(r, "Domain %s: can't start the ZooKeeper client", d->name);
        return 0;
}

int domains_open(Agent *agent) {
        bool acknowledged = take_acknowledgement(agent);
        const ConfigDomain *d;
        int r;

        r = domains_open_node(agent);
        if (r < 0)
                return r;
        list_foreach(d, &agent->config->domains, ConfigDomain, link) {
                r = domains_open_cluster(agent, d, acknowledged);
                if (r < 0)
                        return r;
        }
        return 0;
}

void domains_close(Agent *agent) {
        AgentDomain *ad, *next;

        list_foreach_safe(ad, next, &agent->domains, AgentDomain, link) {
                list_unlink(&ad->link);
                backend_free(ad->backend);
                page_deinit(&ad->page);
                free(ad);
        }
}
