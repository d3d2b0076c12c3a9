/* SPDX-License-Identifier: Apache-2.0 */
/* What a waiting `toozctl lock` shows: who holds the lock, since when, and how many wait
 *
 * Nothing in the first second. Then, on a terminal, one line that is kept up to date; elsewhere one line, once. The
 * agent is asked now and then only, and not for long: in a cluster that is a question to its servers, and the grant
 * may come any time. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "ctl/format.h"
#include "ctl/waiting.h"

#define FIRST_USEC USEC_PER_SEC
#define SHOW_USEC USEC_PER_SEC
#define QUERY_USEC (5 * USEC_PER_SEC)
#define QUERY_TIMEOUT_USEC (2 * USEC_PER_SEC)
#define CALL_TIMEOUT_USEC (10 * USEC_PER_SEC)

void waiting_init(Waiting *w, Ctl *ctl, const char *domain, const char *name, uint64_t claim_id, uint64_t now) {
        *w = (Waiting) {
                .ctl = ctl,
                .domain = domain,
                .name = name,
                .live = isatty(STDERR_FILENO),
                .next_usec = ctl->o.quiet ? USEC_INFINITY : usec_add(now, FIRST_USEC),
        };
        (void) str_print(w->id_suffix, sizeof(w->id_suffix), ":%ju", (uintmax_t) claim_id);
}

static int waiting_on_owner(const struct tooz_owner *o, void *userdata) {
        Waiting *w = userdata;

        if (o->waiting) {
                w->n_waiters++;
                /* Ids end in the number of the claim; another host may have the same, but not for the same process. */
                if (o->pid == (uint32_t) getpid() && str_ends_with(o->id, w->id_suffix))
                        w->position = w->n_waiters;
        } else if (!*w->holder) {
                (void) owner_describe(w->holder, o);
                w->holder_since_usec = o->since_realtime_usec;
                w->token = o->token;
                if (str_copy(w->reason, sizeof(w->reason), o->description) >= 0)
                        str_defuse(w->reason, strlen(w->reason));
        }
        return 0;
}

bool waiting_ask(Waiting *w) {
        w->holder[0] = w->reason[0] = '\0';
        w->n_waiters = w->position = 0;
        w->token = w->holder_since_usec = 0;
        (void) tooz_client_set_call_timeout(w->ctl->client, QUERY_TIMEOUT_USEC);
        (void) tooz_lock_foreach_owner(w->ctl->client, w->domain, w->name, waiting_on_owner, w);
        (void) tooz_client_set_call_timeout(w->ctl->client, CALL_TIMEOUT_USEC);
        return *w->holder;
}

static void waiting_print(const Waiting *w) {
        const char *dot = format_sign(" · ", ", ");
        char span[TIME_TEXT_SIZE];

        fprintf(stderr, "%sWaiting for %s/%s%s", w->live ? "\r\033[K" : "", w->domain, w->name,
                format_sign("…", "..."));
        if (w->position > 0)
                fprintf(stderr, " position %u of %u", w->position, w->n_waiters);
        if (*w->holder)
                fprintf(stderr, "%sheld by %s", dot, w->holder);
        if (*w->holder && w->holder_since_usec > 0)
                fprintf(stderr, " for %s", format_age(span, w->holder_since_usec));
        if (w->live)
                fprintf(stderr, "%s^C to give up", dot);
        else
                fputc('\n', stderr);
        (void) fflush(stderr);
}

void waiting_show(Waiting *w, uint64_t now) {
        if (now < w->next_usec)
                return;
        if (now >= w->query_usec) {
                (void) waiting_ask(w);
                w->query_usec = usec_add(time_now(), QUERY_USEC);
        }
        waiting_print(w);
        w->shown = true;
        w->next_usec = w->live ? usec_add(time_now(), SHOW_USEC) : USEC_INFINITY;
}

void waiting_done(Waiting *w) {
        if (w->live && w->shown)
                fputs("\r\033[K", stderr);
        w->shown = false;
}

void waiting_say_conflict(Waiting *w, const char *words) {
        char span[TIME_TEXT_SIZE];

        if (!*w->holder) {
                ctl_say("lock %s/%s: %s", w->domain, w->name, words);
                return;
        }
        fprintf(stderr, "toozctl: lock %s/%s is held by %s", w->domain, w->name, w->holder);
        if (w->holder_since_usec > 0)
                fprintf(stderr, " for %s", format_age(span, w->holder_since_usec));
        if (w->token > 0)
                fprintf(stderr, ", token %ju", (uintmax_t) w->token);
        if (*w->reason)
                fprintf(stderr, ": \"%s\"", w->reason);
        fputs(".\n", stderr);
}
