/* SPDX-License-Identifier: Apache-2.0 */
/* Command line of toozctl
 *
 * Options may stand before the verb, between it and its arguments, and behind these, with one exception: of a verb
 * that runs a command everything from the command's name on belongs to the command, also what looks like an option.
 * So getopt never permutes, and is started anew behind each word. `--` ends the options. */

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "base/time.h"
#include "ctl/options.h"

static const char *const json_mode_table[_JSON_MODE_MAX] = {
        [JSON_OFF] = "off",
        [JSON_SHORT] = "short",
        [JSON_PRETTY] = "pretty",
};
DEFINE_STRING_TABLE(json_mode, JsonMode, _JSON_MODE_MAX);

static const char *const on_lost_table[_ON_LOST_MAX] = {
        [ON_LOST_TERMINATE] = "terminate",
        [ON_LOST_KILL] = "kill",
        [ON_LOST_IGNORE] = "ignore",
};
DEFINE_STRING_TABLE(on_lost, OnLost, _ON_LOST_MAX);

enum {
        OPT_ADDRESS = 256,
        OPT_FORCE,
        OPT_JSON,
        OPT_KILL_AFTER,
        OPT_NO_LEGEND,
        OPT_ON_LOST,
        OPT_OUTPUT,
        OPT_REASON,
        OPT_TOKEN,
        OPT_VERSION,
};

static const char short_options[] = "+:E:c:d:ehjlnoqsw:x";

static const struct option long_options[] = {
        { "address", required_argument, NULL, OPT_ADDRESS },
        { "close", no_argument, NULL, 'o' },
        { "command", required_argument, NULL, 'c' },
        { "conflict-exit-code", required_argument, NULL, 'E' },
        { "domain", required_argument, NULL, 'd' },
        { "exclusive", no_argument, NULL, 'x' },
        { "force", no_argument, NULL, OPT_FORCE },
        { "help", no_argument, NULL, 'h' },
        { "json", required_argument, NULL, OPT_JSON },
        { "kill-after", required_argument, NULL, OPT_KILL_AFTER },
        { "local", no_argument, NULL, 'l' },
        { "nb", no_argument, NULL, 'n' },
        { "no-legend", no_argument, NULL, OPT_NO_LEGEND },
        { "nonblock", no_argument, NULL, 'n' },
        { "on-lost", required_argument, NULL, OPT_ON_LOST },
        { "output", required_argument, NULL, OPT_OUTPUT },
        { "quiet", no_argument, NULL, 'q' },
        { "reason", required_argument, NULL, OPT_REASON },
        { "shared", no_argument, NULL, 's' },
        { "timeout", required_argument, NULL, 'w' },
        { "token", required_argument, NULL, OPT_TOKEN },
        { "version", no_argument, NULL, OPT_VERSION },
        { "wait", required_argument, NULL, 'w' },
        {},
};

static int usage_error(const char *fmt, ...) _printf_(1, 2);
static int usage_error(const char *fmt, ...) {
        va_list ap;

        fputs("toozctl: ", stderr);
        va_start(ap, fmt);
        (void) vfprintf(stderr, fmt, ap);
        va_end(ap);
        fputs("; see toozctl --help\n", stderr);
        return -EINVAL;
}

/* Statuses are 8 bits: 600 would come out as 88. */
static int take_exit_code(Options *o, const char *text) {
        unsigned code;

        if (str_parse_uint(text, &code) < 0 || code > 255)
                return usage_error("-E: %s is not a status from 0 to 255", text);
        o->conflict_exit = (int) code;
        return 0;
}

static int take_span(const char *option, const char *text, uint64_t *ret) {
        if (time_parse_span(text, ret) < 0)
                return usage_error("%s: %s is no time, such as 5, 100ms or 2min", option, text);
        return 0;
}

static int take_token(Options *o, const char *text) {
        if (str_parse_u64(text, &o->token) < 0)
                return usage_error("--token: %s is no token", text);
        o->has_token = true;
        return 0;
}

static int take_json(Options *o, const char *text) {
        int r = json_mode_from_string(text);

        if (r < 0)
                return usage_error("--json: %s is not one of short, pretty, off", text);
        o->json = (JsonMode) r;
        return 0;
}

static int take_on_lost(Options *o, const char *text) {
        int r = on_lost_from_string(text);

        if (r < 0)
                return usage_error("--on-lost: %s is not one of terminate, kill, ignore", text);
        o->on_lost = (OnLost) r;
        return 0;
}

/* Options that only set something: true if `c` was one of them. */
static bool take_flag(Options *o, int c) {
        switch (c) {
        case 'e':
        case 'x':
                o->mode = TOOZ_LOCK_EXCLUSIVE;
                return true;
        case 'h':
                o->help = true;
                return true;
        case 'j':
                o->json = JSON_SHORT;
                return true;
        case 'l':
                o->domain = "node";
                return true;
        case 'n':
                o->wait_usec = 0;
                return true;
        case 'o':
                o->close = true;
                return true;
        case 'q':
                o->quiet = true;
                return true;
        case 's':
                o->mode = TOOZ_LOCK_SHARED;
                return true;
        case OPT_FORCE:
                o->force = true;
                return true;
        case OPT_NO_LEGEND:
                o->legend = false;
                return true;
        case OPT_VERSION:
                o->version = true;
                return true;
        default:
                return false;
        }
}

static int take_option(Options *o, int c, char *arg, const char *word) {
        if (take_flag(o, c))
                return 0;
        switch (c) {
        case 'E':
                return take_exit_code(o, arg);
        case 'c':
                o->shell = arg;
                return 0;
        case 'd':
                o->domain = arg;
                return 0;
        case 'w':
                return take_span("-w", arg, &o->wait_usec);
        case OPT_ADDRESS:
                o->address = arg;
                return 0;
        case OPT_JSON:
                return take_json(o, arg);
        case OPT_KILL_AFTER:
                return take_span("--kill-after", arg, &o->kill_after_usec);
        case OPT_ON_LOST:
                return take_on_lost(o, arg);
        case OPT_OUTPUT:
                o->columns = arg;
                return 0;
        case OPT_REASON:
                o->reason = arg;
                return 0;
        case OPT_TOKEN:
                return take_token(o, arg);
        case ':':
                return usage_error("%s needs an argument", word);
        default:
                return usage_error("unknown option %s", word);
        }
}

/* Options from argv[*at] on; stops at the first word that is none, or behind `--` (1). */
static int take_options(Options *o, int argc, char **argv, int *at) {
        int base = *at - 1, last = 1, r;

        opterr = 0;
        optind = 0; /* forget the words before */
        for (;;) {
                int c = getopt_long(argc - base, argv + base, short_options, long_options, NULL);

                if (c < 0)
                        break;
                r = take_option(o, c, optarg, argv[base + last]);
                if (r < 0)
                        return r;
                last = optind;
        }
        *at = base + optind;
        return optind > last;
}

static int take_words(Options *o, int argc, char **argv, bool (*takes_command)(const char *verb)) {
        bool command = false;
        int at = 1, r;

        for (;;) {
                r = take_options(o, argc, argv, &at);
                if (r < 0)
                        return r;
                if (at >= argc)
                        return 0;
                if (!o->verb) {
                        o->verb = argv[at++];
                        command = takes_command(o->verb);
                } else if (command && o->n_args == 1) {
                        o->command = argv + at;
                        return 0;
                } else
                        o->args[o->n_args++] = argv[at++];

                /* Behind `--` nothing is an option. */
                while (r > 0 && at < argc && !(command && o->n_args == 1))
                        o->args[o->n_args++] = argv[at++];
                if (r > 0 && at < argc) {
                        o->command = argv + at;
                        return 0;
                }
        }
}

int options_parse(Options *o, int argc, char **argv, bool (*takes_command)(const char *verb)) {
        int r;

        *o = (Options) {
                .domain = "",
                .wait_usec = USEC_INFINITY,
                .kill_after_usec = USEC_INFINITY,
                .conflict_exit = -1,
                .legend = true,
        };
        o->args = calloc((size_t) argc + 1, sizeof(char *));
        if (!o->args)
                return -ENOMEM;

        r = take_words(o, argc, argv, takes_command);
        if (r < 0)
                return r;
        if (o->shell && o->command)
                return usage_error("a command or -c, not both");
        return 0;
}

void options_done(Options *o) {
        free(o->args);
        o->args = NULL;
}
