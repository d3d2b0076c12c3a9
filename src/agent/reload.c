/* SPDX-License-Identifier: Apache-2.0 */
/* What of the configuration can change while the agent runs */

#include <errno.h>

#include "agent/reload.h"
#include "base/str.h"
#include "sd/notify.h"

static int rule_make(AccessRule **ret, const ConfigAccess *a) {
        AccessRule *rule = access_rule_new();

        if (!rule)
                return -ENOMEM;
        rule->has_uid = a->has_uid;
        rule->has_gid = a->has_gid;
        rule->uid = a->uid;
        rule->gid = a->gid;
        rule->allow = a->allow;
        if (strdup_to(&rule->domain, a->domain) < 0 || strdup_to(&rule->name_glob, a->name_glob) < 0) {
                access_rule_free(rule);
                return -ENOMEM;
        }
        *ret = rule;
        return 0;
}

static int access_make(Access *ret, const Config *config, uid_t uid, gid_t gid) {
        const ConfigAccess *a;
        AccessRule *rule;
        int r;

        access_init(ret, uid, gid);
        list_foreach(a, &config->access, ConfigAccess, link) {
                r = rule_make(&rule, a);
                if (r < 0) {
                        access_deinit(ret);
                        return r;
                }
                access_add(ret, rule);
        }
        return 0;
}

int reload_apply(Agent *agent, const Config *config) {
        Access *access = &agent->realm.access, fresh;
        int r;

        r = access_make(&fresh, config, access->agent_uid, access->agent_gid);
        if (r < 0)
                return r;

        access_deinit(access);
        access_init(access, fresh.agent_uid, fresh.agent_gid);
        list_splice(&access->rules, &fresh.rules);
        access_deinit(&fresh);
        for (QuotaKind kind = 0; kind < _QUOTA_KIND_MAX; kind++)
                quota_set_limit(&agent->realm.quota, kind, config->limits[kind]);
        log_set_max_level(config->log_level);
        return 0;
}

static bool domain_differs(const ConfigDomain *a, const ConfigDomain *b) {
        return !streq(a->servers, b->servers) || !streq(a->chroot, b->chroot) || !streq(a->namespace_, b->namespace_) ||
               a->session_timeout_usec != b->session_timeout_usec || a->tick_usec != b->tick_usec ||
               !streq_ptr(a->auth_scheme, b->auth_scheme) || !streq_ptr(a->auth, b->auth) ||
               a->acl_private != b->acl_private;
}

static void warn_if(bool differs, const char *key) {
        if (differs)
                log_notice("%s changed: takes effect at the next restart", key);
}

void reload_warn(const Config *old, const Config *now) {
        const ConfigDomain *d, *other;

        warn_if(!streq(old->node_name, now->node_name), "NodeName=");
        warn_if(!streq_ptr(old->bus_address, now->bus_address), "BusAddress=");
        warn_if(!streq(old->socket_path, now->socket_path), "Socket=");
        warn_if(old->socket_mode != now->socket_mode, "SocketMode=");
        warn_if(!streq_ptr(old->state_directory, now->state_directory), "StateDirectory=");
        warn_if(!streq(old->arena, now->arena), "Arena=");
        warn_if(old->loop_kind != now->loop_kind, "Loop=");
        list_foreach(d, &now->domains, ConfigDomain, link) {
                other = config_find_domain(old, d->name);
                if (!other || domain_differs(other, d))
                        log_notice("[Domain %s] %s: takes effect at the next restart", d->name,
                                   other ? "changed" : "is new");
        }
        list_foreach(d, &old->domains, ConfigDomain, link)
                if (!config_find_domain(now, d->name))
                        log_notice("[Domain %s] is gone: takes effect at the next restart", d->name);
}

static void log_errors(const ConfigErrors *errors) {
        for (size_t i = 0; i < errors->n_lines; i++)
                log_error("%s", errors->lines[i]);
        if (errors->n_left_out > 0)
                log_error("%zu more errors", errors->n_left_out);
}

int agent_reload(Agent *agent) {
        _cleanup_(config_errors_done) ConfigErrors errors = {};
        _cleanup_(config_freep) Config *config = NULL;
        int r;

        notify_reloading();
        r = config_load(&config, agent->source, &errors);
        if (r >= 0)
                r = reload_apply(agent, config);
        if (r >= 0) {
                /* Compared with what the agent was started with: that is what runs. */
                reload_warn(agent->config, config);
                log_info("Configuration reloaded");
        } else {
                log_errors(&errors);
                log_error("The configuration was not reloaded, the one before stays in force");
        }
        notify_ready(agent->status);
        return r;
}
