/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: what is read, and the text of every complaint */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/config-keys.h"
#include "base/random.h"
#include "base/time.h"
#include "config-kit.h"
#include "core/access.h"

KIT_SUITE(config);

static Config *load(ConfigKit *kit, const char *text) {
        int r = config_kit_load(kit, text);

        cr_assert_eq(r, 0, "%s", kit->errors.n_lines > 0 ? kit->errors.lines[0] : strerror(-r));
        return kit->config;
}

/* --- what is right -------------------------------------------------------------------------------- */

Test(config, nothing_at_all) {
        _cleanup_(config_kit_done) ConfigKit kit;
        Config *c = load(&kit, "");

        cr_assert_gt(strlen(c->node_name), 0);
        cr_assert_null(c->bus_address);
        kit_streq(c->socket_path, "/run/tooz/agent.sock");
        cr_assert_eq(c->socket_mode, 0666);
        cr_assert_null(c->state_directory);
        cr_assert_eq(c->log_level, LOG_LEVEL_INFO);
        cr_assert_eq(c->loop_kind, LOOP_AUTO);
        cr_assert_eq(c->limits[QUOTA_CLAIMS], 4096);
        cr_assert_eq(c->limits[QUOTA_CONNECTIONS], 256);
        cr_assert_eq(c->limits[QUOTA_HANDLES], 4096);
        cr_assert(list_is_empty(&c->domains));
        cr_assert(list_is_empty(&c->access));
}

Test(config, one_line_makes_a_cluster) {
        _cleanup_(config_kit_done) ConfigKit kit;
        ConfigDomain *d = config_find_domain(load(&kit, "URL=zookeeper://zk1:2181,zk2,[::1]:99/a/b/"), "cluster");

        cr_assert_not_null(d);
        kit_streq(d->servers, "zk1:2181,zk2:2181,[::1]:99");
        kit_streq(d->chroot, "/a/b");
        kit_streq(d->namespace_, "/tooz");
        cr_assert_eq(d->session_timeout_usec, 15 * USEC_PER_SEC);
        cr_assert_eq(d->tick_usec, 2 * USEC_PER_SEC);
        cr_assert_null(d->auth);
        cr_assert_not(d->acl_private);
}

Test(config, agent_and_limits) {
        _cleanup_(config_kit_done) ConfigKit kit;
        Config *c = load(&kit,
                         "\xef\xbb\xbf# comment\n"
                         "; comment\n"
                         "\n"
                         "[Agent]\r\n"
                         "NodeName=web1\n"
                         "  BusAddress =  none \n"
                         "Socket=/run/x.sock\n"
                         "SocketMode=0600\n"
                         "StateDirectory=/var/lib/x\n"
                         "LogLevel=debug\n"
                         "Loop=epoll\n"
                         "[Limits] # of users\n"
                         "ClaimsPerUser=1\n"
                         "ConnectionsPerUser=2\n"
                         "HandlesPerUser=3");

        kit_streq(c->node_name, "web1");
        kit_streq(c->bus_address, "none");
        kit_streq(c->socket_path, "/run/x.sock");
        cr_assert_eq(c->socket_mode, 0600);
        kit_streq(c->state_directory, "/var/lib/x");
        cr_assert_eq(c->log_level, LOG_LEVEL_DEBUG);
        cr_assert_eq(c->loop_kind, LOOP_EPOLL);
        cr_assert_eq(c->limits[QUOTA_CLAIMS], 1);
        cr_assert_eq(c->limits[QUOTA_CONNECTIONS], 2);
        cr_assert_eq(c->limits[QUOTA_HANDLES], 3);
}

Test(config, domain) {
        _cleanup_(config_kit_done) ConfigKit kit;
        ConfigDomain *d = config_find_domain(load(&kit,
                                                  "[Domain east]\n"
                                                  "URL=zookeeper://10.0.0.1\n"
                                                  "SessionTimeoutSec=30\n"
                                                  "TickSec=500ms\n"
                                                  "Namespace=/app/tooz\n"
                                                  "Auth=digest:user:pass:word ; # is no comment\n"
                                                  "ACL=private\n"
                                                  "TLS=no\n"
                                                  "SASL=off\n"), "east");

        kit_streq(d->servers, "10.0.0.1:2181");
        kit_streq(d->chroot, "");
        cr_assert_eq(d->session_timeout_usec, 30 * USEC_PER_SEC);
        cr_assert_eq(d->tick_usec, 500 * USEC_PER_MSEC);
        kit_streq(d->namespace_, "/app/tooz");
        kit_streq(d->auth_scheme, "digest");
        kit_streq(d->auth, "user:pass:word ; # is no comment");
        cr_assert(d->acl_private);
}

Test(config, access_rules_in_order) {
        _cleanup_(config_kit_done) ConfigKit kit;
        Config *c = load(&kit,
                         "[Access second-name]\n"
                         "User=0\n"
                         "Group=root\n"
                         "Domain=node\n"
                         "Name=backup/*\n"
                         "Allow=read\n"
                         "Allow=lock, break\n"
                         "[Access a]\n"
                         "Allow=none\n");
        ConfigAccess *first = list_first_entry(&c->access, ConfigAccess, link);
        ConfigAccess *last = config_find_access(c, "a");

        kit_streq(first->name, "second-name");
        cr_assert(first->has_uid && first->uid == 0);
        cr_assert(first->has_gid && first->gid == 0);
        kit_streq(first->domain, "node");
        kit_streq(first->name_glob, "backup/*");
        cr_assert_eq(first->allow, 1u << ACCESS_READ | 1u << ACCESS_LOCK | 1u << ACCESS_BREAK);
        cr_assert_eq(last->allow, 0);
        cr_assert_not(last->has_uid || last->has_gid);
}

Test(config, continued_lines) {
        _cleanup_(config_kit_done) ConfigKit kit;
        ConfigDomain *d = config_find_domain(load(&kit,
                                                  "URL=zookeeper://zk1.example.com:2181,\\\n"
                                                  "      zk2.example.com:2181,\\\n"
                                                  "# a comment between\n"
                                                  "zk3.example.com:2181/root\n"
                                                  "[Domain cluster]\n"
                                                  "  TickSec=1s\n"), "cluster");

        kit_streq(d->servers, "zk1.example.com:2181,zk2.example.com:2181,zk3.example.com:2181");
        kit_streq(d->chroot, "/root");
        cr_assert_eq(d->tick_usec, USEC_PER_SEC);
}

Test(config, continued_lines_may_be_long_together) {
        _cleanup_(config_kit_done) ConfigKit kit;
        _cleanup_free_ char *text = strdup("URL=zookeeper://\\\n");
        ConfigDomain *d;

        for (unsigned i = 0; i < 32; i++) {
                char *longer = str_format("%s%s%u.a-name-of-some-length.example.com:2181%s", text, "zk", i,
                                          i < 31 ? ",\\\n" : "/\n");

                free(text);
                text = longer;
        }
        d = config_find_domain(load(&kit, text), "cluster");
        cr_assert_gt(strlen(d->servers), 1000);
        cr_assert_not_null(strstr(d->servers, ",zk31.a-name-of-some-length.example.com:2181"));
}

Test(config, empty_value_restores_the_default) {
        _cleanup_(config_kit_done) ConfigKit kit;
        Config *c = load(&kit,
                         "URL=zookeeper://x/\n"
                         "URL=\n"
                         "[Agent]\n"
                         "Socket=/x\n"
                         "Socket=\n"
                         "NodeName=x\n"
                         "NodeName=\n"
                         "[Limits]\n"
                         "ClaimsPerUser=5\n"
                         "ClaimsPerUser=\n"
                         "[Access a]\n"
                         "User=0\n"
                         "User=\n"
                         "Allow=break\n"
                         "Allow=\n"
                         "Allow=read\n");

        cr_assert(list_is_empty(&c->domains));
        kit_streq(c->socket_path, "/run/tooz/agent.sock");
        cr_assert_not(streq(c->node_name, "x"));
        cr_assert_eq(c->limits[QUOTA_CLAIMS], 4096);
        cr_assert_not(config_find_access(c, "a")->has_uid);
        cr_assert_eq(config_find_access(c, "a")->allow, 1u << ACCESS_READ);
}

/* --- what is wrong: lines, sections, keys --------------------------------------------------------- */

Test(config, lines) {
        config_kit_refuses("no equals sign\n",
                           "x:1: is no assignment: Key=value is the form, and '#' begins a comment\n");
        config_kit_refuses("[Agent]\nLoop: auto\n",
                           "x:2: is no assignment: Key=value is the form, and '#' begins a comment\n");
        config_kit_refuses("[Agent]\n\n=auto\n",
                           "x:3: is no assignment: Key=value is the form, and '#' begins a comment\n");
        config_kit_refuses("# \xff\n", "x:1: the line is not UTF-8 text\n");
}

Test(config, long_lines) {
        char line[256], text[400];

        memset(line, 'x', sizeof(line));
        memcpy(line, "[Agent]\nNodeName=", STRLEN("[Agent]\nNodeName="));

        /* 199 bytes are read as a whole, 200 are refused */
        line[STRLEN("[Agent]\n") + 199] = 0;
        (void) snprintf(text, sizeof(text), "x:2: [Agent] NodeName=: \"%s\" is not a name for a host: 1 to 64 printable "
                        "ASCII characters without blanks would be\n", line + STRLEN("[Agent]\nNodeName="));
        config_kit_refuses(line, text);

        memset(line, 'x', sizeof(line));
        memcpy(line, "[Agent]\nNodeName=", STRLEN("[Agent]\nNodeName="));
        line[STRLEN("[Agent]\n") + 200] = 0;
        config_kit_refuses(line, "x:2: the line has more than 199 bytes: end it with a backslash and go on in the next\n");
}

Test(config, sections) {
        config_kit_refuses("[Agnet]\nLoop=auto\n",
                           "x:1: [Agnet]: there is no such section: [Agent], [Domain NAME], [Limits] and [Access NAME] "
                           "are known\n");
        config_kit_refuses("[Agent x]\n", "x:1: [Agent]: takes no name\n");
        config_kit_refuses("[Domain]\n", "x:1: [Domain]: lacks the name that stands behind it\n");
        config_kit_refuses("[Agent\n", "x:1: is not a section: [Name] alone on the line is the form\n");
        config_kit_refuses("[Agent] Loop=auto\n", "x:1: is not a section: [Name] alone on the line is the form\n");
        config_kit_refuses("[]\n",
                           "x:1: []: there is no such section: [Agent], [Domain NAME], [Limits] and [Access NAME] are "
                           "known\n");
        config_kit_refuses("[Domain a b]\n",
                           "x:1: the name of a section consists of letters, digits, '-', '_' and '.'\n");
        config_kit_refuses("[Domain node]\nTickSec=1\n", "x:1: [Domain node]: is built in and has no settings\n");
}

Test(config, unknown_keys) {
        config_kit_refuses("[Agent]\nSocketMod=0600\n",
                           "x:2: [Agent] SocketMod=: there is no such key, the nearest is SocketMode=\n");
        config_kit_refuses("[Agent]\nloglevel=info\n",
                           "x:2: [Agent] loglevel=: there is no such key, the nearest is LogLevel=\n");
        config_kit_refuses("[Domain a]\nURL=zookeeper://x\nSessionTimeout=3\n",
                           "x:3: [Domain a] SessionTimeout=: there is no such key, the nearest is SessionTimeoutSec=\n");
        config_kit_refuses("Url=zookeeper://x\n", "x:1: Url=: there is no such key, the nearest is URL=\n");
        config_kit_refuses("ClaimsPerUser=3\n", "x:1: ClaimsPerUser=: belongs in a section [Limits]\n");
        config_kit_refuses("[Agent]\nTickSec=3\n", "x:2: [Agent] TickSec=: belongs in a section [Domain NAME]\n");
}

Test(config, all_errors_at_once) {
        config_kit_refuses("[Agent]\n"
                           "Loop=fast\n"
                           "Nonsense=1\n"
                           "[Limits]\n"
                           "ClaimsPerUser=-1\n",
                           "x:2: [Agent] Loop=: \"fast\" is not an event loop: auto, io_uring or epoll would be\n"
                           "x:3: [Agent] Nonsense=: there is no such key, the nearest is NodeName=\n"
                           "x:5: [Limits] ClaimsPerUser=: \"-1\" is not a limit: a number from 1 to 1000000 would be\n");
}

Test(config, very_many_errors) {
        ConfigKit kit;
        char text[2001];

        for (size_t i = 0; i < 2000; i += 2)
                memcpy(text + i, "x\n", 3);
        kit_fails(config_kit_load(&kit, text), -EINVAL);
        cr_assert_eq(kit.errors.n_lines, CONFIG_ERRORS_MAX);
        cr_assert_eq(kit.errors.n_left_out, 1000 - CONFIG_ERRORS_MAX);
        config_kit_done(&kit);
}

/* --- what is wrong: values ------------------------------------------------------------------------ */

Test(config, values_of_agent) {
        config_kit_refuses("[Agent]\nNodeName=a b\n",
                           "x:2: [Agent] NodeName=: \"a b\" is not a name for a host: 1 to 64 printable ASCII characters "
                           "without blanks would be\n");
        config_kit_refuses("[Agent]\nBusAddress=system\n",
                           "x:2: [Agent] BusAddress=: \"system\" is not an address: "
                           "unix:path=/run/dbus/system_bus_socket would be, or none\n");
        config_kit_refuses("[Agent]\nSocket=agent.sock\n",
                           "x:2: [Agent] Socket=: \"agent.sock\" is not a path for a socket: an absolute one of at most "
                           "107 bytes would be, or none\n");
        config_kit_refuses("[Agent]\nSocketMode=rw\n",
                           "x:2: [Agent] SocketMode=: \"rw\" is not an access mode: octal digits up to 0777 would be\n");
        config_kit_refuses("[Agent]\nSocketMode=1777\n",
                           "x:2: [Agent] SocketMode=: \"1777\" is not an access mode: octal digits up to 0777 would be\n");
        config_kit_refuses("[Agent]\nStateDirectory=state\n",
                           "x:2: [Agent] StateDirectory=: \"state\" is not an absolute path\n");
        config_kit_refuses("[Agent]\nLogLevel=loud\n",
                           "x:2: [Agent] LogLevel=: \"loud\" is not a log level: emerg, alert, crit, err, warning, notice, "
                           "info or debug would be\n");
}

Test(config, urls) {
#define BAD_URL(url, why) config_kit_refuses("URL=" url "\n", "x:1: URL=: " why "\n")
        BAD_URL("http://x/", "\"http://x/\" is not a URL that is known: zookeeper://zk1:2181,zk2:2181,zk3:2181/ would be");
        BAD_URL("zookeeper://:2181/", "\":2181\" is not a server: write host:port, and commas between several");
        BAD_URL("zookeeper://a,,b", "\"\" is not a server: write host:port, and commas between several");
        BAD_URL("zookeeper://a b", "\"a b\" is not a server: write host:port, and commas between several");
        BAD_URL("zookeeper://[::1", "\"[::1\" is not a server: write host:port, and commas between several");
        BAD_URL("zookeeper://[::x]:1", "\"[::x]:1\" is not a server: write host:port, and commas between several");
        BAD_URL("zookeeper://a:0", "\"a:0\" has no valid port: a number from 1 to 65535 stands there");
        BAD_URL("zookeeper://a:65536", "\"a:65536\" has no valid port: a number from 1 to 65535 stands there");
        BAD_URL("zookeeper://a:/", "\"a:\" has no valid port: a number from 1 to 65535 stands there");
        BAD_URL("zookeeper://u@a/", "has no place for a user: give Auth= in the [Domain] section, or the credential "
                                    "zookeeper.auth");
        BAD_URL("zookeeper://a//b", "\"//b\" is not a path in ZooKeeper: write /name/name in printable ASCII, or /");
        BAD_URL("zookeeper://a/../b", "\"/../b\" is not a path in ZooKeeper: write /name/name in printable ASCII, or /");
        BAD_URL("zookeeper://a/x?timeout=3", "takes no options behind '?': they are keys of the [Domain] section");
}

Test(config, values_of_domain) {
#define BAD_DOMAIN(line, why) config_kit_refuses("[Domain d]\nURL=zookeeper://x\n" line "\n", "x:3: [Domain d] " why "\n")
        BAD_DOMAIN("SessionTimeoutSec=soon",
                   "SessionTimeoutSec=: \"soon\" is not a time from 10ms to 1h: 15, 15s or 500ms would be");
        BAD_DOMAIN("SessionTimeoutSec=2h",
                   "SessionTimeoutSec=: \"2h\" is not a time from 10ms to 1h: 15, 15s or 500ms would be");
        BAD_DOMAIN("TickSec=0", "TickSec=: \"0\" is not a time from 10ms to 1h: 15, 15s or 500ms would be");
        BAD_DOMAIN("Namespace=tooz", "Namespace=: \"tooz\" is not a path for our nodes: /tooz would be, or /name/name in "
                                     "printable ASCII without a '/' at the end");
        BAD_DOMAIN("Namespace=/zookeeper", "Namespace=: \"/zookeeper\" is not a path for our nodes: /tooz would be, or "
                                           "/name/name in printable ASCII without a '/' at the end");
        BAD_DOMAIN("ACL=closed", "ACL=: \"closed\" is not known: open (everybody may read and write the nodes) or private "
                                 "(only who has the same Auth=) would be");
        BAD_DOMAIN("TLS=yes", "TLS=: the ZooKeeper client library of Debian 12 is built without TLS: put stunnel or a "
                              "private network between, and leave this no");
        BAD_DOMAIN("SASL=true", "SASL=: the ZooKeeper client library of Debian 12 is built without SASL: use "
                                "Auth=digest:user:password, and leave this no");
        BAD_DOMAIN("TLS=perhaps", "TLS=: \"perhaps\" is neither yes nor no");
}

Test(config, secrets_are_not_shown) {
        static const char why[] = "Auth=: is not what ZooKeeper can be told: digest:user:password would be (the value is "
                                  "not shown)";
        char expected[256];

        (void) snprintf(expected, sizeof(expected), "x:3: [Domain d] %s\n", why);
        config_kit_refuses("[Domain d]\nURL=zookeeper://x\nAuth=digest:secret\n", expected);
        config_kit_refuses("[Domain d]\nURL=zookeeper://x\nAuth=sasl:user:secret\n", expected);
        config_kit_refuses("[Domain d]\nURL=zookeeper://x\nAuth=digest:user:\n", expected);
}

Test(config, domain_as_a_whole) {
        config_kit_refuses("[Domain d]\nTickSec=1\n",
                           "x:1: [Domain d] URL=: is missing: zookeeper://host:port,host:port/ would be right\n");
        config_kit_refuses("[Domain d]\nURL=zookeeper://x\nSessionTimeoutSec=3999ms\nTickSec=1\n",
                           "x:4: [Domain d] SessionTimeoutSec=: must be at least 4 x TickSec=\n");
        config_kit_refuses("[Domain d]\nURL=zookeeper://x\nTickSec=4\n",
                           "x:3: [Domain d] SessionTimeoutSec=: must be at least 4 x TickSec=\n");
        config_kit_refuses("\n[Domain d]\nURL=zookeeper://x\nACL=private\n",
                           "x:2: [Domain d] ACL=: private needs Auth=, or the credential zookeeper.auth\n");
}

Test(config, values_of_access) {
#define BAD_ACCESS(line, why) config_kit_refuses("[Access a]\nAllow=read\n" line "\n", "x:3: [Access a] " why "\n")
        BAD_ACCESS("Allow=lock fly", "Allow=: \"fly\" can't be allowed: read, lock, break, manage or none can");
        BAD_ACCESS("User=no-such-user-here", "User=: there is no user \"no-such-user-here\" here");
        BAD_ACCESS("Group=no-such-group-here", "Group=: there is no group \"no-such-group-here\" here");
        BAD_ACCESS("Domain=west", "Domain=: there is no domain \"west\": node or a configured one would be right");
        config_kit_refuses("\n[Access a]\n",
                           "x:2: [Access a] Allow=: is missing: read, lock, break, manage or none would be right\n");
}

Test(config, values_of_limits) {
        config_kit_refuses("[Limits]\nClaimsPerUser=many\n",
                           "x:2: [Limits] ClaimsPerUser=: \"many\" is not a limit: a number from 1 to 1000000 would be\n");
        config_kit_refuses("[Limits]\nHandlesPerUser=0\n",
                           "x:2: [Limits] HandlesPerUser=: \"0\" is not a limit: a number from 1 to 1000000 would be\n");
}

/* --- nonsense ------------------------------------------------------------------------------------- */

static const char *const scraps[] = {
        "[", "]", "[Agent]", "[Domain ", "[Domain cluster]", "[Limits]", "[Access a]", "URL=", "zookeeper://", "zk1", ":2181",
        ",", "/", "Allow=", "read", "Auth=", "digest:", "TickSec=", "Namespace=", "Socket=", "User=", "0", "99999999999",
        "=", "\\", "\\\n", "\n", "\r\n", "\n ", "#", ";", " ", "\t", "\"", "\xff", "\xc3\xa9", "\x01", "x",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

static void write_nonsense(char *text, size_t size, Prng *prng) {
        size_t len = 0;

        text[0] = 0;
        for (uint64_t n = prng_below(prng, 60); n > 0; n--) {
                const char *scrap = scraps[prng_below(prng, ARRAY_SIZE(scraps))];

                if (len + strlen(scrap) < size)
                        len += (size_t) kit_ok(str_copy(text + len, size - len, scrap));
        }
}

/* Without the fsync of a careful writer. */
static void overwrite(const char *path, const char *text) {
        FILE *f = fopen(path, "we");

        cr_assert_not_null(f);
        cr_assert_geq(fputs(text, f), 0);
        cr_assert_eq(fclose(f), 0);
}

/* Whatever is in a file, it is either accepted or complained about, with a line of that file. */
Test(config, nonsense_is_refused_with_a_line) {
        const char *path = kit_path("x");
        char text[2048];
        Prng prng;

        prng_init(&prng, kit_seed());
        for (unsigned i = 0; i < 3000; i++) {
                ConfigKit kit = { .source.file = path };
                int r;

                write_nonsense(text, sizeof(text), &prng);
                overwrite(path, text);
                r = config_load(&kit.config, &kit.source, &kit.errors);
                cr_assert_eq(r, kit.errors.n_lines > 0 ? -EINVAL : 0, "%s", text);
                for (size_t j = 0; j < kit.errors.n_lines; j++) {
                        const char *rest = str_skip_prefix(kit.errors.lines[j], path);
                        unsigned line;

                        cr_assert(rest && sscanf(rest, ":%u: ", &line) == 1 && line > 0, "%s", kit.errors.lines[j]);
                        cr_assert(str_is_utf8(kit.errors.lines[j], strlen(kit.errors.lines[j])));
                }
                config_kit_done(&kit);
        }
}
