/* SPDX-License-Identifier: Apache-2.0 */
/* toozctl: the verbs and their help */

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "ctl/ctl.h"

typedef struct Verb {
        const char *name;
        size_t min_args;
        size_t max_args;
        bool command; /* takes one behind its first argument */
        int (*run)(Ctl *ctl);
        const char *synopsis;
        const char *help;
} Verb;

static int verb_help(Ctl *ctl);

/* The first is the default. */
static const Verb verbs[] = {
        { "status", 0, 0, false, verb_status, "status", "The agent and its domains (default)" },
        { "list", 0, 0, false, verb_list, "list", "Claims that clients of this agent have" },
        { "lock", 1, 1, true, verb_lock, "lock NAME [COMMAND...]",
          "Run COMMAND under the lock; without one hold it until\nend of input, INT or TERM" },
        { "list-locks", 0, SIZE_MAX, false, verb_list_locks, "list-locks [GLOB...]", "Locks that are held or waited for" },
        { "lock-status", 1, SIZE_MAX, false, verb_lock_status, "lock-status NAME...", "Holders and waiters" },
        { "is-locked", 1, 1, false, verb_is_locked, "is-locked NAME", "0: yes, 3: no, 4: can't be known" },
        { "break-lock", 1, 1, false, verb_break_lock, "break-lock NAME --token=T", "Take the lock from its holder" },
        { "unlock", 1, 1, false, verb_unlock, "unlock NAME --token=T", "End a claim of one's own, whoever has its handle" },
        { "verify-token", 2, 2, false, verb_verify_token, "verify-token NAME TOKEN", "0: that of the holder, 3: not" },
        { "help", 0, 1, false, verb_help, "help", "This text" },
};

static const char options_help[] =
        "Where:\n"
        "  -d --domain=NAME          Domain instead of the agent's default\n"
        "  -l --local                This host: -d node\n"
        "     --address=ADDRESS      Agent's socket, or the D-Bus address of its bus ($TOOZ_ADDRESS)\n"
        "Locking, as flock(1) has it:\n"
        "  -x --exclusive            Nobody beside (default)\n"
        "  -s --shared               Others that are shared too\n"
        "  -n --nonblock             Fail (75) rather than wait\n"
        "  -w --wait=TIME            Fail (124) after TIME: 5, 100ms, 2min\n"
        "  -E --conflict-exit-code=N Status instead of 75 and 124\n"
        "  -c --command=TEXT         Run TEXT with $SHELL -c\n"
        "  -o --close                Give the lock back when COMMAND ends, whatever it has left running\n"
        "     --reason=TEXT          What others are told\n"
        "     --on-lost=WHAT         COMMAND when the lock is lost: terminate (default), kill, ignore\n"
        "     --kill-after=TIME      From TERM to KILL (default: a sixth of the session time-out)\n"
        "Output:\n"
        "  -j --json=short|pretty    JSON instead of tables\n"
        "     --output=COL,...       Columns of a table\n"
        "     --no-legend            No column heads\n"
        "  -q --quiet                No word about waiting\n"
        "Others:\n"
        "     --token=T              Fencing token\n"
        "     --force                break-lock: delete another's lock node without asking its agent\n"
        "  -h --help    --version\n"
        "\n"
        "lock returns the status of COMMAND, or 75 held by others, 124 waited too long, 123 lost while COMMAND ran,\n"
        "125 toozctl or the agent failed, 126 COMMAND can't be run, 127 COMMAND not found.\n"
        "COMMAND finds TOOZ_LOCK, TOOZ_DOMAIN, TOOZ_FENCING_TOKEN and TOOZ_CLAIM in its environment. The lock is kept\n"
        "until everything that it has started has ended, too; when the lock is lost, all of that is stopped.\n";

static int verb_help(Ctl *ctl) {
        printf("toozctl [OPTIONS...] VERB ...\n\nLocks of this host and of the cluster.\n\nVerbs:\n");
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
                const char *line = verbs[i].help, *end;

                printf("  %-25s %.*s\n", verbs[i].synopsis, (int) strcspn(line, "\n"), line);
                while ((end = strchr(line, '\n'))) {
                        line = end + 1;
                        printf("  %-25s %.*s\n", "", (int) strcspn(line, "\n"), line);
                }
        }
        fputs(options_help, stdout);
        return fflush(stdout) == EOF ? EXIT_ERROR : EXIT_OK;
}

static const Verb *verb_find(const char *name) {
        if (!name)
                return &verbs[0];
        for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
                if (streq(verbs[i].name, name))
                        return &verbs[i];
        return NULL;
}

static bool takes_command(const char *name) {
        const Verb *verb = verb_find(name);

        return verb && verb->command;
}

static int usage_status(const Verb *verb) {
        return verb && verb->command ? EXIT_SELF : EXIT_USAGE;
}

static int run(Ctl *ctl) {
        const Verb *verb = verb_find(ctl->o.verb);

        if (ctl->o.help)
                return verb_help(ctl);
        if (ctl->o.version) {
                printf("toozctl %s\n", PACKAGE_VERSION);
                return EXIT_OK;
        }
        if (!verb) {
                ctl_say("unknown verb %s; see toozctl --help", ctl->o.verb);
                return EXIT_USAGE;
        }
        if (ctl->o.n_args < verb->min_args || ctl->o.n_args > verb->max_args) {
                ctl_say("usage: toozctl %s", verb->synopsis);
                return usage_status(verb);
        }
        return verb->run(ctl);
}

int main(int argc, char **argv) {
        Ctl ctl = {};
        int r;

        (void) setlocale(LC_ALL, "");
        r = options_parse(&ctl.o, argc, argv, takes_command);
        r = r < 0 ? usage_status(ctl.o.verb ? verb_find(ctl.o.verb) : NULL) : run(&ctl);
        options_done(&ctl.o);
        (void) tooz_client_unref(ctl.client);
        return r;
}
