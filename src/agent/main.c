/* SPDX-License-Identifier: Apache-2.0 */
/* tooz-agent: from the command line to the agent */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "agent/agent.h"
#include "agent/config-keys.h"
#include "agent/config.h"
#include "base/log.h"
#include "base/str.h"
#include "sd/journal.h"

enum {
        ARG_VERSION = 0x100,
        ARG_HELP_CONFIG,
        ARG_CONFIG,
        ARG_KEY, /* the first of those that stand for a key of [Agent] */
};

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, ARG_VERSION },
        { "help-config", no_argument, NULL, ARG_HELP_CONFIG },
        { "config", required_argument, NULL, ARG_CONFIG },
        { "node-name", required_argument, NULL, ARG_KEY + 0 },
        { "bus-address", required_argument, NULL, ARG_KEY + 1 },
        { "socket", required_argument, NULL, ARG_KEY + 2 },
        { "state-directory", required_argument, NULL, ARG_KEY + 3 },
        { "log-level", required_argument, NULL, ARG_KEY + 4 },
        { "loop", required_argument, NULL, ARG_KEY + 5 },
        { "arena", required_argument, NULL, ARG_KEY + 6 },
        {},
};

/* By number of the option: what it is called in errors, and its key. */
static const struct {
        const char *origin;
        const char *key;
} option_keys[] = {
        { "--node-name=", "NodeName" },
        { "--bus-address=", "BusAddress" },
        { "--socket=", "Socket" },
        { "--state-directory=", "StateDirectory" },
        { "--log-level=", "LogLevel" },
        { "--loop=", "Loop" },
        { "--arena=", "Arena" },
};

static void print_help(void) {
        printf("tooz-agent [OPTIONS…]\n"
               "\n"
               "Locks for the processes of this host and of a cluster, over D-Bus and ZooKeeper.\n"
               "\n"
               "  -h --help                This text\n"
               "     --help-config         All keys of the configuration, as an example file\n"
               "     --version             Version\n"
               "     --config=FILE         Read this file instead of those in /etc/tooz, /run/tooz and /usr/lib/tooz\n"
               "\n"
               "Instead of the configuration's [Agent] section:\n"
               "     --node-name=NAME      NodeName=\n"
               "     --bus-address=ADDR    BusAddress=: a D-Bus address, or none\n"
               "     --socket=PATH         Socket=: where the same objects are served without a bus, or none\n"
               "     --state-directory=DIR StateDirectory=\n"
               "     --arena=PATH          Arena=: shared memory with the locks of this host (default: $TOOZ_ARENA), or none\n"
               "     --log-level=LEVEL     LogLevel=: emerg, alert, crit, err, warning, notice, info, debug\n"
               "     --loop=KIND           Loop=: auto, io_uring, epoll (default: $TOOZ_LOOP)\n"
               "\n"
               "Exit status: 0 stopped by SIGTERM or SIGINT; 64 wrong option; 66 a configuration file can't be read;\n"
               "78 the configuration is wrong; 1 anything else.\n");
}

/* 1: go on; 0: done, all is well; negative: the exit status, negated. */
static int parse_arguments(int argc, char **argv, ConfigSource *source) {
        const char *loop = getenv("TOOZ_LOOP"), *arena = getenv("TOOZ_ARENA");
        int c;

        if (!str_is_empty(loop))
                config_source_override(source, "$TOOZ_LOOP", "Loop", loop);
        if (!str_is_empty(arena))
                config_source_override(source, "$TOOZ_ARENA", "Arena", arena);

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        print_help();
                        return 0;
                case ARG_VERSION:
                        printf("tooz-agent " PACKAGE_VERSION "\n");
                        return 0;
                case ARG_HELP_CONFIG:
                        config_keys_print(stdout);
                        return 0;
                case ARG_CONFIG:
                        source->file = optarg;
                        break;
                case '?':
                        return -EX_USAGE;
                default:
                        config_source_override(source, option_keys[c - ARG_KEY].origin, option_keys[c - ARG_KEY].key,
                                               optarg);
                }
        if (optind < argc) {
                fprintf(stderr, "tooz-agent: takes no arguments: %s\n", argv[optind]);
                return -EX_USAGE;
        }
        return 1;
}

static int load(Config **ret, const ConfigSource *source) {
        _cleanup_(config_errors_done) ConfigErrors errors = {};
        int r;

        r = config_load(ret, source, &errors);
        if (r >= 0)
                return 0;
        for (size_t i = 0; i < errors.n_lines; i++)
                log_error("%s", errors.lines[i]);
        if (errors.n_left_out > 0)
                log_error("%zu more errors", errors.n_left_out);
        if (r == -ENOMEM)
                log_error_errno(r, "Can't read the configuration");
        return r == -EINVAL ? -EX_CONFIG : r == -ENOMEM ? -EXIT_FAILURE : -EX_NOINPUT;
}

/* Each handle costs a descriptor: as many as we may have. */
static void raise_limits(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                log_debug_errno(-errno, "Can't raise the limit of open files");
}

static int run(const ConfigSource *source) {
        _cleanup_(agent_freep) Agent *agent = NULL;
        Config *config;
        int r;

        r = load(&config, source);
        if (r < 0)
                return -r;
        raise_limits();
        r = agent_new(&agent, config, source);
        if (r < 0)
                return r == -EOPNOTSUPP ? EX_CONFIG : EXIT_FAILURE;
        r = agent_run(agent);
        if (r < 0) {
                log_error_errno(r, "The event loop failed");
                return EXIT_FAILURE;
        }
        return r;
}

int main(int argc, char **argv) {
        ConfigSource source;
        int r;

        journal_log_open();
        config_source_init(&source);
        r = parse_arguments(argc, argv, &source);
        if (r <= 0)
                return -r;
        return run(&source);
}
