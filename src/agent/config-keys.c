/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of the configuration
 *
 * One table is the parser, the defaults, the documentation and the example file. */

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/config-keys.h"
#include "agent/config-parse.h"
#include "base/str.h"

static const char *const config_section_table[_CONFIG_SECTION_MAX] = {
        [CONFIG_TOP] = "",
        [CONFIG_AGENT] = "Agent",
        [CONFIG_DOMAIN] = "Domain",
        [CONFIG_LIMITS] = "Limits",
        [CONFIG_ACCESS] = "Access",
};
DEFINE_STRING_TABLE(config_section, ConfigSection, _CONFIG_SECTION_MAX);

static const char *const section_docs[_CONFIG_SECTION_MAX] = {
        [CONFIG_TOP] =
                "Configuration of tooz-agent. Everything is optional: without it the agent serves the domain `node`,\n"
                "the locks of this host.\n"
                "\n"
                "Read from /etc/tooz/agent.conf, else /run/tooz/agent.conf, else /usr/lib/tooz/agent.conf; then\n"
                "agent.conf.d/*.conf of all three directories, sorted by name, where a file in /etc hides one of the\n"
                "same name in /run, and that one in /usr/lib. What is read later overrides. An empty value restores\n"
                "the default. A line has at most 199 bytes; one that ends in a backslash goes on in the next.\n"
                "`systemctl reload tooz-agent` applies [Limits], [Access ...] and LogLevel=; the rest needs a restart.",
        [CONFIG_AGENT] = "The agent itself.",
        [CONFIG_DOMAIN] =
                "A cluster. The first one is the default domain instead of `node`. URL= before any section is short\n"
                "for the URL= of [Domain cluster].",
        [CONFIG_LIMITS] = "How much one user may have. Root has the same limits.",
        [CONFIG_ACCESS] =
                "Who may do what. The rules are asked in this order; the first whose User=, Group=, Domain= and Name=\n"
                "match decides; what it does not set matches everything. Without a match root, the agent's own user\n"
                "and its group may do everything; others may read, and lock in `node` below user/<uid>/.",
};

static const char *const section_labels[_CONFIG_SECTION_MAX] = {
        [CONFIG_DOMAIN] = "cluster",
        [CONFIG_ACCESS] = "backups",
};

#define LIMIT(kind) (offsetof(Config, limits) + (kind) * sizeof(unsigned))

static const ConfigKey keys[] = {
        { CONFIG_TOP, "URL", config_parse_top_url, 0,
          .sample = "zookeeper://zk1:2181,zk2:2181,zk3:2181/",
          .doc = "Servers of the ensemble of the domain `cluster`, and a path in it. Unset: there is no such domain." },

        { CONFIG_AGENT, "NodeName", config_parse_node_name, offsetof(Config, node_name),
          .sample = "web1",
          .doc = "Name of this host, as others see it. Default: the host name." },
        { CONFIG_AGENT, "BusAddress", config_parse_bus_address, offsetof(Config, bus_address),
          .sample = "none",
          .doc = "Message bus on which org.tooz.Agent1 is offered. Default: the system bus. `none`: on no bus, the\n"
                 "socket alone." },
        { CONFIG_AGENT, "Socket", config_parse_socket, offsetof(Config, socket_path),
          .fallback = "/run/tooz/agent.sock",
          .doc = "Socket on which the same D-Bus objects are offered without a bus. `none`: on the bus alone." },
        { CONFIG_AGENT, "SocketMode", config_parse_mode, offsetof(Config, socket_mode),
          .fallback = "0666",
          .doc = "Access mode of the socket. What a user may do there is up to [Access ...]." },
        { CONFIG_AGENT, "StateDirectory", config_parse_directory, offsetof(Config, state_directory),
          .sample = "/var/lib/tooz",
          .doc = "Where the agent keeps what must outlive it, so that tokens rise for ever. Default: what systemd gives\n"
                 "($STATE_DIRECTORY); without it nothing is kept. When an ensemble was restored from a backup, a file\n"
                 "acknowledge-regression made there is taken at the next start as: its tokens may repeat, once." },
        { CONFIG_AGENT, "Arena", config_parse_arena, offsetof(Config, arena),
          .fallback = "/dev/shm/tooz/node",
          .doc = "File of shared memory with the locks of `node`, in which programs lock without the agent too\n"
                 "(libtoozlocal). `none`: the agent keeps its locks to itself." },
        { CONFIG_AGENT, "LogLevel", config_parse_log_level, offsetof(Config, log_level),
          .fallback = "info",
          .doc = "emerg, alert, crit, err, warning, notice, info or debug." },
        { CONFIG_AGENT, "Loop", config_parse_loop, offsetof(Config, loop_kind),
          .fallback = "auto",
          .doc = "How the agent waits: io_uring, epoll, or auto: io_uring where the kernel allows it." },

        { CONFIG_DOMAIN, "URL", config_parse_url, 0,
          .sample = "zookeeper://zk1:2181,zk2:2181,zk3:2181/",
          .doc = "Servers of the ensemble, and a path in it that must exist. The port may be left out." },
        { CONFIG_DOMAIN, "SessionTimeoutSec", config_parse_timeout, offsetof(ConfigDomain, session_timeout_usec),
          .fallback = "15s",
          .doc = "After this time without contact the ensemble gives the locks of a host to others. Claims are declared\n"
                 "lost after three quarters of it. At least 4 x TickSec=." },
        { CONFIG_DOMAIN, "TickSec", config_parse_timeout, offsetof(ConfigDomain, tick_usec),
          .fallback = "2s",
          .doc = "tickTime of the servers, which do not tell it themselves." },
        { CONFIG_DOMAIN, "Namespace", config_parse_namespace, offsetof(ConfigDomain, namespace_),
          .fallback = "/tooz",
          .doc = "Path below which the nodes are. /tooz is that of OpenStack Tooz." },
        { CONFIG_DOMAIN, "Auth", config_parse_auth, 0,
          .sample = "digest:user:password",
          .doc = "Authentication. Better kept in the credential zookeeper.auth (the same text in a file in\n"
                 "/etc/credstore/), which serves every domain without Auth=." },
        { CONFIG_DOMAIN, "ACL", config_parse_acl, offsetof(ConfigDomain, acl_private),
          .fallback = "open",
          .doc = "Who may touch the nodes that the agent makes: open: everybody; private: only who has the same Auth=." },
        { CONFIG_DOMAIN, "TLS", config_parse_tls, offsetof(ConfigDomain, tls),
          .fallback = "no",
          .doc = "The ZooKeeper client library of Debian 12 has no TLS: `yes` is refused." },
        { CONFIG_DOMAIN, "SASL", config_parse_sasl, offsetof(ConfigDomain, sasl),
          .fallback = "no",
          .doc = "The ZooKeeper client library of Debian 12 has no SASL: `yes` is refused." },

        { CONFIG_LIMITS, "ClaimsPerUser", config_parse_limit, LIMIT(QUOTA_CLAIMS),
          .fallback = "4096",
          .doc = "Locks held or waited for." },
        { CONFIG_LIMITS, "ConnectionsPerUser", config_parse_limit, LIMIT(QUOTA_CONNECTIONS),
          .fallback = "256",
          .doc = "Connections to the socket." },
        { CONFIG_LIMITS, "HandlesPerUser", config_parse_limit, LIMIT(QUOTA_HANDLES),
          .fallback = "4096",
          .doc = "Handles, on which the events of one or more claims arrive. Each costs the agent a descriptor." },

        { CONFIG_ACCESS, "User", config_parse_user, 0,
          .sample = "backup",
          .doc = "Name or number of a user." },
        { CONFIG_ACCESS, "Group", config_parse_group, 0,
          .sample = "backup",
          .doc = "Name or number of a group to which the user belongs." },
        { CONFIG_ACCESS, "Domain", config_parse_domain_ref, offsetof(ConfigAccess, domain),
          .sample = "node",
          .doc = "`node` or a configured domain." },
        { CONFIG_ACCESS, "Name", config_parse_glob, offsetof(ConfigAccess, name_glob),
          .sample = "backup/*",
          .doc = "Pattern of names, as in a shell; `*` also stands for text with a '/'." },
        { CONFIG_ACCESS, "Allow", config_parse_allow, 0,
          .sample = "read lock",
          .doc = "What is allowed; what is not listed is refused: read (see who holds and waits), lock, break (take a\n"
                 "lock from its holder), manage (end claims of others, reload), none. Several lines add up." },
};

const ConfigKey *config_key_find(ConfigSection section, const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (keys[i].section == section && streq(keys[i].name, name))
                        return &keys[i];
        return NULL;
}

/* Levenshtein's, regardless of case; `b` is a name of ours. */
static unsigned distance(const char *a, const char *b) {
        unsigned row[64], above, left, least;
        size_t len = strlen(b);

        for (size_t j = 0; j <= len; j++)
                row[j] = (unsigned) j;
        for (size_t i = 1; a[i - 1]; i++) {
                left = row[0];
                row[0] = (unsigned) i;
                for (size_t j = 1; j <= len; j++) {
                        above = row[j];
                        least = MIN(above, row[j - 1]);
                        row[j] = strncasecmp(&a[i - 1], &b[j - 1], 1) == 0 ? left : 1 + MIN(left, least);
                        left = above;
                }
        }
        return row[len];
}

const ConfigKey *config_key_nearest(ConfigSection section, const char *name) {
        const ConfigKey *best = NULL;
        unsigned best_distance = UINT32_MAX, d;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                if (keys[i].section != section)
                        continue;
                d = distance(name, keys[i].name);
                if (d < best_distance) {
                        best = &keys[i];
                        best_distance = d;
                }
        }
        return best;
}

ConfigSection config_key_home(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                if (keys[i].section != CONFIG_TOP && streq(keys[i].name, name))
                        return keys[i].section;
        return _CONFIG_SECTION_MAX;
}

bool config_section_is_named(ConfigSection section) {
        return section_labels[section];
}

int config_key_assign(const ConfigAssignment *a) {
        ConfigAssignment effective = *a;

        if (!*a->value && a->key->fallback)
                effective.value = a->key->fallback;
        return a->key->parse(&effective, (char *) a->object + a->key->offset);
}

int config_keys_apply_fallbacks(Config *config, ConfigErrors *errors, ConfigSection section, void *object,
                                const char *label) {
        ConfigAssignment a = {
                .config = config,
                .errors = errors,
                .where = { .origin = "built-in default" },
                .section_label = label,
                .object = object,
        };
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                if (keys[i].section != section || !keys[i].fallback)
                        continue;
                a.key = &keys[i];
                a.value = keys[i].fallback;
                r = config_key_assign(&a);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void print_comment(FILE *f, const char *text) {
        const char *end;

        for (; *text; text = *end ? end + 1 : end) {
                end = strchrnul(text, '\n');
                fprintf(f, end > text ? "# %.*s\n" : "#\n", (int) (end - text), text);
        }
}

static void print_section(FILE *f, ConfigSection section) {
        print_comment(f, section_docs[section]);
        if (section == CONFIG_TOP)
                return;
        fprintf(f, "#[%s%s%s]\n", config_section_to_string(section), section_labels[section] ? " " : "",
                section_labels[section] ?: "");
}

void config_keys_print(FILE *f) {
        ConfigSection section = _CONFIG_SECTION_MAX;

        fprintf(f, "# SPDX-License-Identifier: Apache-2.0\n#\n");
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                if (keys[i].section != section) {
                        if (i > 0)
                                fputs("\n\n", f);
                        section = keys[i].section;
                        print_section(f, section);
                }
                fputc('\n', f);
                print_comment(f, keys[i].doc);
                fprintf(f, "#%s=%s\n", keys[i].name, keys[i].fallback ?: keys[i].sample);
        }
}
