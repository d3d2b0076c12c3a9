/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Command line of toozctl */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tooz/tooz.h>

#include "base/table.h"

/* The statuses that `toozctl lock` adds to those of its command, and those of the other verbs. */
typedef enum ExitCode {
        EXIT_OK = 0,
        EXIT_ERROR = 1,
        EXIT_USAGE = 2,
        EXIT_NO = 3,        /* is-locked: no */
        EXIT_UNKNOWN = 4,   /* is-locked: can't be known */
        EXIT_CONFLICT = 75, /* -n, and it is held */
        EXIT_LOST = 123,    /* lost while the command ran */
        EXIT_TIMEOUT = 124, /* -w, and the time is up */
        EXIT_SELF = 125,    /* lock: toozctl or the agent failed */
        EXIT_CANNOT_RUN = 126,
        EXIT_NOT_FOUND = 127,
        EXIT_SIGNAL = 128, /* + number */
} ExitCode;

typedef enum JsonMode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
        _JSON_MODE_MAX,
} JsonMode;

/* What happens to the command when the lock is lost. */
typedef enum OnLost {
        ON_LOST_TERMINATE, /* TERM, then KILL */
        ON_LOST_KILL,
        ON_LOST_IGNORE,
        _ON_LOST_MAX,
} OnLost;

DECLARE_STRING_TABLE(json_mode, JsonMode);
DECLARE_STRING_TABLE(on_lost, OnLost);

typedef struct Options {
        const char *verb; /* NULL: none given */
        char **args;      /* of the verb, without a command; NULL-terminated */
        size_t n_args;
        char **command;   /* behind NAME; NULL: none */
        char *shell;      /* -c */

        const char *domain; /* "": the agent's default */
        const char *address;
        const char *reason;
        const char *columns; /* --output= */
        tooz_lock_mode mode;
        OnLost on_lost;
        JsonMode json;
        uint64_t wait_usec;       /* 0: -n; USEC_INFINITY: for ever */
        uint64_t kill_after_usec; /* USEC_INFINITY: not given */
        uint64_t token;
        int conflict_exit; /* -1: not given */
        bool has_token;
        bool force;
        bool close;
        bool legend;
        bool quiet;
        bool help;
        bool version;
} Options;

/* Takes words of `argv` apart. `takes_command(verb)`: is what follows its first argument a command? 0, or -EINVAL
 * after a message on standard error. options_done() in either case. */
int options_parse(Options *o, int argc, char **argv, bool (*takes_command)(const char *verb));
void options_done(Options *o);
