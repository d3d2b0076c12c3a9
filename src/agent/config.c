/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration
 *
 * Made in one go: defaults, the main file, the drop-ins, the command line, the credential, then the checks that need
 * the whole. Nothing outside the Config is touched, so a reload that fails leaves the agent as it was. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config-files.h"
#include "agent/config-keys.h"
#include "agent/config-parse.h"
#include "agent/config.h"
#include "base/assert.h"
#include "base/fd.h"
#include "base/str.h"

#define CREDENTIAL_AUTH "zookeeper.auth"
#define CREDENTIAL_MAX 4096
#define TICKS_MIN 4

/* A path that errors name; kept as long as the Config. */
typedef struct Origin {
        ListLink link;
        char path[];
} Origin;

/* --- objects -------------------------------------------------------------------------------------- */

const char *config_keep_origin(Config *config, const char *path) {
        size_t size = strlen(path) + 1;
        Origin *origin = malloc(sizeof(*origin) + size);

        if (!origin)
                return NULL;
        memcpy(origin->path, path, size);
        list_link_init(&origin->link);
        list_append(&config->origins, &origin->link);
        return origin->path;
}

static ConfigDomain *config_domain_free(ConfigDomain *d) {
        if (!d)
                return NULL;
        list_unlink(&d->link);
        if (d->auth)
                explicit_bzero(d->auth, strlen(d->auth));
        free(d->name);
        free(d->servers);
        free(d->chroot);
        free(d->namespace_);
        free(d->auth_scheme);
        free(d->auth);
        free(d);
        return NULL;
}
DEFINE_CLEANUP(ConfigDomain, config_domain_free);

static ConfigAccess *config_access_free(ConfigAccess *a) {
        if (!a)
                return NULL;
        list_unlink(&a->link);
        free(a->name);
        free(a->domain);
        free(a->name_glob);
        free(a);
        return NULL;
}
DEFINE_CLEANUP(ConfigAccess, config_access_free);

ConfigDomain *config_find_domain(const Config *config, const char *name) {
        ConfigDomain *d;

        list_foreach(d, &config->domains, ConfigDomain, link)
                if (streq(d->name, name))
                        return d;
        return NULL;
}

ConfigAccess *config_find_access(const Config *config, const char *name) {
        ConfigAccess *a;

        list_foreach(a, &config->access, ConfigAccess, link)
                if (streq(a->name, name))
                        return a;
        return NULL;
}

int config_get_domain(Config *config, const char *name, ConfigWhere where, ConfigDomain **ret) {
        _cleanup_(config_domain_freep) ConfigDomain *d = NULL;
        ConfigErrors none = {};

        *ret = config_find_domain(config, name);
        if (*ret)
                return 0;

        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        list_link_init(&d->link);
        d->where = where;
        if (strdup_to(&d->name, name) < 0 || config_keys_apply_fallbacks(config, &none, CONFIG_DOMAIN, d, name) < 0)
                return -ENOMEM;
        list_append(&config->domains, &d->link);
        *ret = TAKE_PTR(d);
        return 0;
}

int config_get_access(Config *config, const char *name, ConfigWhere where, ConfigAccess **ret) {
        _cleanup_(config_access_freep) ConfigAccess *a = NULL;

        *ret = config_find_access(config, name);
        if (*ret)
                return 0;

        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        list_link_init(&a->link);
        a->where = where;
        if (strdup_to(&a->name, name) < 0)
                return -ENOMEM;
        list_append(&config->access, &a->link);
        *ret = TAKE_PTR(a);
        return 0;
}

Config *config_free(Config *config) {
        ConfigDomain *d, *d_next;
        ConfigAccess *a, *a_next;
        Origin *o, *o_next;

        if (!config)
                return NULL;
        list_foreach_safe(d, d_next, &config->domains, ConfigDomain, link)
                config_domain_free(d);
        list_foreach_safe(a, a_next, &config->access, ConfigAccess, link)
                config_access_free(a);
        list_foreach_safe(o, o_next, &config->origins, Origin, link)
                free(o);
        free(config->node_name);
        free(config->bus_address);
        free(config->socket_path);
        free(config->state_directory);
        free(config->arena);
        free(config);
        return NULL;
}

static int config_new(Config **ret, ConfigErrors *errors) {
        _cleanup_(config_freep) Config *config = NULL;
        int r;

        config = calloc(1, sizeof(*config));
        if (!config)
                return -ENOMEM;
        list_init(&config->origins);
        list_init(&config->domains);
        list_init(&config->access);

        r = config_keys_apply_fallbacks(config, errors, CONFIG_AGENT, config, NULL);
        if (r >= 0)
                r = config_keys_apply_fallbacks(config, errors, CONFIG_LIMITS, config, NULL);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(config);
        return 0;
}

void config_errors_done(ConfigErrors *errors) {
        for (size_t i = 0; i < errors->n_lines; i++)
                free(errors->lines[i]);
        free(errors->lines);
        *errors = (ConfigErrors) {};
}

/* --- command line, credential --------------------------------------------------------------------- */

void config_source_init(ConfigSource *source) {
        *source = (ConfigSource) {
                .directories = { "/etc/tooz", "/run/tooz", "/usr/lib/tooz" },
                .credentials = getenv("CREDENTIALS_DIRECTORY"),
                .state_directory = getenv("STATE_DIRECTORY"),
        };
}

void config_source_override(ConfigSource *source, const char *origin, const char *key, const char *value) {
        const ConfigOverride o = { .origin = origin, .key = key, .value = value };

        for (size_t i = 0; i < source->n_overrides; i++)
                if (streq(source->overrides[i].key, key)) {
                        source->overrides[i] = o;
                        return;
                }
        tooz_assert(source->n_overrides < CONFIG_OVERRIDES_MAX);
        source->overrides[source->n_overrides++] = o;
}

static int config_apply_overrides(Config *config, ConfigErrors *errors, const ConfigSource *source) {
        for (size_t i = 0; i < source->n_overrides; i++) {
                const ConfigOverride *o = &source->overrides[i];
                ConfigAssignment a = {
                        .config = config,
                        .errors = errors,
                        .where = { .origin = o->origin },
                        .key = config_key_find(CONFIG_AGENT, o->key),
                        .object = config,
                        .value = o->value,
                };

                tooz_assert(a.key);
                if (config_key_assign(&a) == -ENOMEM)
                        return -ENOMEM;
        }
        return 0;
}

static int config_apply_host_name(Config *config) {
        char host[256] = "";

        if (config->node_name)
                return 0;
        if (gethostname(host, sizeof(host) - 1) < 0 || !host[0])
                return strdup_to(&config->node_name, "localhost");
        return strdup_to(&config->node_name, host);
}

/* systemd gives a colon-separated list when the unit has several. */
static int config_apply_state_directory(Config *config, const ConfigSource *source) {
        const char *given = source->state_directory;

        if (config->state_directory || str_is_empty(given))
                return 0;
        return strndup_to(&config->state_directory, given, strcspn(given, ":"));
}

static int config_use_credential(Config *config, ConfigErrors *errors, const char *path, char *text) {
        ConfigDomain *d;
        int r;

        text[strcspn(text, "\r\n")] = 0;
        list_foreach(d, &config->domains, ConfigDomain, link) {
                if (d->auth)
                        continue;
                r = config_split_auth(text, &d->auth_scheme, &d->auth);
                if (r == -EINVAL)
                        return config_errors_add(errors, "%s: is not what ZooKeeper can be told: digest:user:password "
                                                 "would be (the content is not shown)", path);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int config_apply_credential(Config *config, ConfigErrors *errors, const ConfigSource *source) {
        _cleanup_free_ char *path = NULL, *text = NULL;
        size_t len = 0;
        int r;

        if (!source->credentials)
                return 0;
        path = strjoin(source->credentials, "/" CREDENTIAL_AUTH);
        if (!path)
                return -ENOMEM;

        r = file_read(path, CREDENTIAL_MAX, &text, &len);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                (void) config_errors_add(errors, "%s: %s", path, strerror(-r));
                return r;
        }
        r = config_use_credential(config, errors, path, text);
        explicit_bzero(text, len);
        return r == -ENOMEM ? r : 0;
}

/* --- the whole ------------------------------------------------------------------------------------ */

static void domain_complain(const ConfigDomain *d, ConfigWhere where, ConfigErrors *errors, const char *text) {
        (void) config_errors_add(errors, "%s:%u: [" "Domain %s] %s", where.origin, where.line, d->name, text);
}

static void config_check_domain(const ConfigDomain *d, ConfigErrors *errors) {
        if (!d->has_url)
                domain_complain(d, d->where, errors, "URL=: is missing: zookeeper://host:port,host:port/ would be right");
        if (d->session_timeout_usec < TICKS_MIN * d->tick_usec)
                domain_complain(d, d->time_where.line > 0 ? d->time_where : d->where, errors,
                                "SessionTimeoutSec=: must be at least 4 x TickSec=");
        if (d->acl_private && !d->auth)
                domain_complain(d, d->where, errors, "ACL=: private needs Auth=, or the credential zookeeper.auth");
}

static void config_check_access(const Config *config, const ConfigAccess *a, ConfigErrors *errors) {
        if (!a->has_allow)
                (void) config_errors_add(errors, "%s:%u: [Access %s] Allow=: is missing: read, lock, break, manage or "
                                         "none would be right", a->where.origin, a->where.line, a->name);
        if (a->domain && !streq(a->domain, "node") && !config_find_domain(config, a->domain))
                (void) config_errors_add(errors, "%s:%u: [Access %s] Domain=: there is no domain \"%s\": node or a "
                                         "configured one would be right", a->domain_where.origin,
                                         a->domain_where.line, a->name, a->domain);
}

static void config_check(Config *config, ConfigErrors *errors) {
        ConfigDomain *d, *d_next;
        ConfigAccess *a;

        list_foreach_safe(d, d_next, &config->domains, ConfigDomain, link) {
                if (!d->has_url && !d->has_section)
                        config_domain_free(d); /* an URL= that was unset again */
                else
                        config_check_domain(d, errors);
        }
        list_foreach(a, &config->access, ConfigAccess, link)
                config_check_access(config, a, errors);
}

int config_load(Config **ret, const ConfigSource *source, ConfigErrors *errors) {
        _cleanup_(config_freep) Config *config = NULL;
        int r;

        r = config_new(&config, errors);
        if (r < 0)
                return r;
        r = config_read_files(config, errors, source);
        if (r < 0)
                return r;
        r = config_apply_overrides(config, errors, source);
        if (r < 0)
                return r;
        r = config_apply_host_name(config);
        if (r < 0)
                return r;
        r = config_apply_state_directory(config, source);
        if (r < 0)
                return r;
        r = config_apply_credential(config, errors, source);
        if (r < 0)
                return r;

        config_check(config, errors);
        if (errors->n_lines > 0 || errors->n_left_out > 0)
                return -EINVAL;
        *ret = TAKE_PTR(config);
        return 0;
}
