/* SPDX-License-Identifier: Apache-2.0 */
/* list-locks, lock-status, is-locked: who holds, who waits */

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/time.h"
#include "ctl/objects.h"

/* --- list-locks --------------------------------------------------------------------------------- */

enum {
        LOCKS_DOMAIN,
        LOCKS_NAME,
        LOCKS_MODE,
        LOCKS_STATE,
        LOCKS_TOKEN,
        LOCKS_HOLDER,
        LOCKS_SINCE,
        LOCKS_HOLDERS,
        LOCKS_WAITERS,
};

static const Column locks_columns[] = {
        [LOCKS_DOMAIN] = { "DOMAIN", "domain", CELL_TEXT },
        [LOCKS_NAME] = { "NAME", "name", CELL_TEXT },
        [LOCKS_MODE] = { "MODE", "mode", CELL_TEXT },
        [LOCKS_STATE] = { "STATE", "state", CELL_TEXT },
        [LOCKS_TOKEN] = { "TOKEN", "token", CELL_TOKEN },
        [LOCKS_HOLDER] = { "HOLDER", "holder", CELL_TEXT },
        [LOCKS_SINCE] = { "SINCE", "since_realtime_usec", CELL_SINCE },
        [LOCKS_HOLDERS] = { NULL, "holders", CELL_NUMBER },
        [LOCKS_WAITERS] = { "WAITERS", "waiters", CELL_NUMBER },
};

typedef struct LocksContext {
        Table *table;
        char **globs; /* NULL-terminated; none: all */
} LocksContext;

static bool globs_match(char **globs, const char *name) {
        if (!*globs)
                return true;
        for (; *globs; globs++)
                if (fnmatch(*globs, name, 0) == 0)
                        return true;
        return false;
}

static const char *mode_text(tooz_lock_mode mode) {
        return mode == TOOZ_LOCK_SHARED ? "shared" : "exclusive";
}

static int locks_on_lock(const struct tooz_lock_info *lock, void *userdata) {
        LocksContext *context = userdata;
        Table *t = context->table;
        int r;

        if (!globs_match(context->globs, lock->name))
                return 0;
        r = table_add_row(t);
        if (r < 0)
                return r;
        table_set_text(t, LOCKS_DOMAIN, lock->domain);
        table_set_text(t, LOCKS_NAME, lock->name);
        table_set_text(t, LOCKS_MODE, mode_text(lock->mode));
        table_set_text(t, LOCKS_STATE, lock->n_holders > 0 ? "held" : "waiting");
        if (lock->token > 0)
                table_set_number(t, LOCKS_TOKEN, lock->token);
        table_set_text(t, LOCKS_HOLDER, lock->holder);
        if (lock->since_realtime_usec > 0)
                table_set_number(t, LOCKS_SINCE, lock->since_realtime_usec);
        table_set_number(t, LOCKS_HOLDERS, lock->n_holders);
        table_set_number(t, LOCKS_WAITERS, lock->n_waiters);
        return 0;
}

static int list_domain(Ctl *ctl, const char *domain, LocksContext *context) {
        int r;

        r = tooz_lock_foreach(ctl->client, domain, 0, locks_on_lock, context);
        if (r < 0)
                (void) ctl_fail(ctl, r, "can't list the locks in %s", domain);
        return r;
}

/* Those of the domain that was named, or of all. What can't be asked is left out, after a message. */
static int list_domains(Ctl *ctl, LocksContext *context) {
        _cleanup_(table_freep) Table *domains = NULL;
        int r, result = 0;

        if (*ctl->o.domain)
                return list_domain(ctl, ctl->o.domain, context);
        r = objects_get_domains(ctl, &domains);
        if (r < 0)
                return r;
        for (size_t i = 0; i < table_n_rows(domains); i++) {
                r = list_domain(ctl, table_cell(domains, i, DOMAIN_NAME), context);
                if (r < 0)
                        result = r;
        }
        return result;
}

int verb_list_locks(Ctl *ctl) {
        _cleanup_(table_freep) Table *t = NULL;
        LocksContext context = { .globs = ctl->o.args };
        int r, listed;

        if (ctl_connect(ctl) < 0)
                return EXIT_ERROR;
        r = table_new(&t, locks_columns, ARRAY_SIZE(locks_columns));
        if (r < 0)
                return ctl_fail(ctl, r, "can't list");
        context.table = t;
        listed = list_domains(ctl, &context);

        r = table_print(t, &ctl->o, stdout);
        if (r == -EINVAL) {
                ctl_say("--output=%s: no such column", ctl->o.columns);
                return EXIT_USAGE;
        }
        if (r < 0)
                return ctl_fail(ctl, r, "can't print");
        if (ctl->o.json == JSON_OFF && ctl->o.legend && !ctl->o.columns)
                printf("%zu %s listed.\n", table_n_rows(t), table_n_rows(t) == 1 ? "lock" : "locks");
        return listed < 0 ? EXIT_ERROR : EXIT_OK;
}

/* --- lock-status -------------------------------------------------------------------------------- */

enum {
        OWNER_HOST,
        OWNER_UNIT,
        OWNER_COMMAND,
        OWNER_PID,
        OWNER_UID,
        OWNER_MODE,
        OWNER_TOKEN,
        OWNER_SINCE,
        OWNER_REASON,
        OWNER_ID,
};

static const Column owner_columns[] = {
        [OWNER_HOST] = { "HOST", "host", CELL_TEXT },
        [OWNER_UNIT] = { "UNIT", "unit", CELL_TEXT },
        [OWNER_COMMAND] = { "COMMAND", "command", CELL_TEXT },
        [OWNER_PID] = { "PID", "pid", CELL_NUMBER },
        [OWNER_UID] = { "UID", "uid", CELL_NUMBER },
        [OWNER_MODE] = { "MODE", "mode", CELL_TEXT },
        [OWNER_TOKEN] = { "TOKEN", "token", CELL_TOKEN },
        [OWNER_SINCE] = { "SINCE", "since_realtime_usec", CELL_SINCE },
        [OWNER_REASON] = { "REASON", "reason", CELL_TEXT },
        [OWNER_ID] = { "ID", "id", CELL_TEXT },
};

/* Of one lock. */
typedef struct Owners {
        Table *holders;
        Table *waiters;
} Owners;

static void owners_done(Owners *o) {
        (void) table_free(o->holders);
        (void) table_free(o->waiters);
}

static int owners_on_owner(const struct tooz_owner *o, void *userdata) {
        Owners *owners = userdata;
        Table *t = o->waiting ? owners->waiters : owners->holders;
        int r;

        r = table_add_row(t);
        if (r < 0)
                return r;
        table_set_text(t, OWNER_HOST, o->host);
        table_set_text(t, OWNER_UNIT, o->unit);
        table_set_text(t, OWNER_COMMAND, o->command);
        if (o->pid > 0) {
                table_set_number(t, OWNER_PID, o->pid);
                table_set_number(t, OWNER_UID, o->uid);
        }
        table_set_text(t, OWNER_MODE, mode_text(o->mode));
        if (o->token > 0)
                table_set_number(t, OWNER_TOKEN, o->token);
        if (o->since_realtime_usec > 0)
                table_set_number(t, OWNER_SINCE, o->since_realtime_usec);
        table_set_text(t, OWNER_REASON, o->description);
        table_set_text(t, OWNER_ID, o->id);
        return 0;
}

static int owners_query(Ctl *ctl, const char *name, Owners *o) {
        int r;

        r = table_new(&o->holders, owner_columns, ARRAY_SIZE(owner_columns));
        if (r < 0)
                return r;
        r = table_new(&o->waiters, owner_columns, ARRAY_SIZE(owner_columns));
        if (r < 0)
                return r;
        return tooz_lock_foreach_owner(ctl->client, ctl->o.domain, name, owners_on_owner, o);
}

/* "node1 · backup.service · pid 4711 (restic) · uid 0" */
static void owner_print_line(Table *t, size_t row) {
        const char *dot = format_sign(" · ", ", ");
        const char *command = table_cell(t, row, OWNER_COMMAND);

        printf("%s", table_cell(t, row, OWNER_HOST));
        if (*table_cell(t, row, OWNER_UNIT))
                printf("%s%s", dot, table_cell(t, row, OWNER_UNIT));
        if (*table_cell(t, row, OWNER_PID))
                printf("%spid %s%s%s%s%suid %s", dot, table_cell(t, row, OWNER_PID), *command ? " (" : "", command,
                       *command ? ")" : "", dot, table_cell(t, row, OWNER_UID));
        if (*table_cell(t, row, OWNER_SINCE))
                printf("%sfor %s", dot, table_cell(t, row, OWNER_SINCE));
        if (*table_cell(t, row, OWNER_REASON))
                printf("%s\"%s\"", dot, table_cell(t, row, OWNER_REASON));
        putchar('\n');
}

static const char *owners_state(const Owners *o) {
        return table_n_rows(o->holders) > 0 ? "held" : table_n_rows(o->waiters) > 0 ? "waiting" : "free";
}

static void owners_print(const char *domain, const char *name, const Owners *o) {
        size_t n_holders = table_n_rows(o->holders), n_waiters = table_n_rows(o->waiters);

        printf("%s%s/%s%s\n", format_bold(), domain, name, format_normal());
        printf("     State: %s", owners_state(o));
        if (n_holders > 0)
                printf(" (%s)", table_cell(o->holders, 0, OWNER_MODE));
        if (n_waiters > 0)
                printf(", %zu waiting", n_waiters);
        putchar('\n');
        for (size_t i = 0; i < n_holders; i++) {
                printf("    Holder: ");
                owner_print_line(o->holders, i);
                if (*table_cell(o->holders, i, OWNER_TOKEN))
                        printf("     Token: %s\n", table_cell(o->holders, i, OWNER_TOKEN));
        }
        for (size_t i = 0; i < n_waiters; i++) {
                printf("%s %zu ", i == 0 ? "   Waiters:" : "           ", i + 1);
                owner_print_line(o->waiters, i);
        }
}

static json_t *owners_to_json(const char *domain, const char *name, const Owners *o) {
        return json_pack("{s:s, s:s, s:s, s:o, s:o}", "domain", domain, "name", name, "state", owners_state(o),
                         "holders", table_to_json(o->holders), "waiters", table_to_json(o->waiters));
}

static int status_one(Ctl *ctl, const char *domain, const char *name, json_t *list) {
        _cleanup_(owners_done) Owners owners = {};
        int r;

        r = owners_query(ctl, name, &owners);
        if (r < 0)
                return ctl_fail(ctl, r, "%s/%s", domain, name);
        if (list)
                return json_array_append_new(list, owners_to_json(domain, name, &owners)) < 0 ? EXIT_ERROR : EXIT_OK;
        owners_print(domain, name, &owners);
        return EXIT_OK;
}

int verb_lock_status(Ctl *ctl) {
        _cleanup_free_ char *domain = NULL;
        json_t *list = ctl->o.json != JSON_OFF ? json_array() : NULL;
        const char *text;
        int r, status = EXIT_OK;

        if (ctl_connect(ctl) < 0)
                return EXIT_ERROR;
        text = ctl->o.domain;
        r = *text ? 0 : tooz_client_get_default_domain(ctl->client, &text);
        if (r < 0)
                return ctl_fail(ctl, r, "no default domain");
        if (strdup_to(&domain, text) < 0)
                return ctl_fail(ctl, -ENOMEM, "lock-status");

        for (size_t i = 0; i < ctl->o.n_args; i++)
                if (status_one(ctl, domain, ctl->o.args[i], list) != EXIT_OK)
                        status = EXIT_ERROR;
        if (list && json_print(list, &ctl->o, stdout) < 0)
                return EXIT_ERROR;
        return status;
}

/* --- is-locked ---------------------------------------------------------------------------------- */

static int is_locked_on_owner(const struct tooz_owner *o, void *userdata) {
        return o->waiting ? 0 : 1;
}

int verb_is_locked(Ctl *ctl) {
        const char *name = ctl->o.args[0];
        int r;

        if (ctl_connect(ctl) < 0)
                return EXIT_UNKNOWN;
        r = tooz_lock_foreach_owner(ctl->client, ctl->o.domain, name, is_locked_on_owner, NULL);
        if (r < 0) {
                (void) ctl_fail(ctl, r, "%s", name);
                return EXIT_UNKNOWN;
        }
        return r > 0 ? EXIT_OK : EXIT_NO;
}
