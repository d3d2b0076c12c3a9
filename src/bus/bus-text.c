/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds it, since when: what people read in errors and events
 *
 * What comes from other hosts, or from clients, may be anything: what is no UTF-8 becomes a question mark, control
 * bytes too, and everything is cut to its buffer. */

#include <stdio.h>

#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

const char *bus_text_safe(const char *s) {
        if (!s)
                return "";
        return str_is_utf8(s, strlen(s)) ? s : "?";
}

const char *bus_text_who(char buf[static BUS_TEXT_SIZE], const BusWho *who) {
        const char *what = str_is_empty(who->unit) ? bus_text_safe(who->comm) : bus_text_safe(who->unit);
        char pid[32] = "";

        if (who->pid > 0)
                (void) snprintf(pid, sizeof(pid), " (pid %u)", who->pid);
        (void) snprintf(buf, BUS_TEXT_SIZE, "%.255s%s%.255s%s", bus_text_safe(who->host), *what ? " " : "", what, pid);
        str_defuse(buf, strlen(buf));
        return str_is_utf8(buf, strlen(buf)) ? buf : "?";
}

static const char *text_held(char buf[static BUS_TEXT_SIZE], const char *name, const BusWho *who, uint64_t age_usec,
                             uint64_t token) {
        char shown[NAME_FORM_SIZE] = "", owner[BUS_TEXT_SIZE], age[TIME_TEXT_SIZE];

        (void) name_encode(NAME_FORM_LOG, name, shown, sizeof(shown));
        (void) snprintf(buf, BUS_TEXT_SIZE, "Lock \"%s\" is held by %s for %s, token %ju", shown,
                        bus_text_who(owner, who), time_format_span(age, age_usec), (uintmax_t) token);
        return buf;
}

const char *bus_text_conflict(char buf[static BUS_TEXT_SIZE], const BusCaller *reader, const Domain *d, const char *name) {
        const Realm *realm = reader->server->realm;
        const Lock *lock = lock_table_find(&d->locks, name);
        char shown[NAME_FORM_SIZE] = "";
        const Claim *c;
        BusWho who;

        /* Who may take a lock need not be one who may read. */
        if (!access_allows(&realm->access, &reader->who, ACCESS_READ, d->name, name))
                lock = NULL;
        if (lock && lock->queue.n_holders > 0) {
                c = list_first_entry(&lock->queue.holders, Claim, link);
                bus_who_of_claim(&who, reader->server, c);
                return text_held(buf, name, &who, usec_sub(time_now(), c->held_since_usec), c->token);
        }
        (void) name_encode(NAME_FORM_LOG, name, shown, sizeof(shown));
        (void) snprintf(buf, BUS_TEXT_SIZE, "Lock \"%s\" is %s", shown,
                        lock && lock->queue.n_waiters > 0 ? "waited for by others" : "not free");
        return buf;
}

const char *bus_text_query(char buf[static BUS_TEXT_SIZE], const Query *q) {
        char shown[NAME_FORM_SIZE] = "";

        for (size_t i = 0; i < q->n_owners; i++) {
                const OwnerInfo *o = &q->owners[i];
                const BusWho who = { o->host, o->unit, o->comm, o->pid };

                if (!o->waiting)
                        return text_held(buf, q->name, &who, usec_sub(time_now_realtime(), o->since_realtime_usec),
                                         o->token);
        }
        (void) name_encode(NAME_FORM_LOG, q->name, shown, sizeof(shown));
        (void) snprintf(buf, BUS_TEXT_SIZE, "Lock \"%s\" was not free", shown);
        return buf;
}

void bus_who_of_claim(BusWho *who, const BusServer *s, const Claim *c) {
        *who = (BusWho) { s->realm->host, c->owner.unit, c->owner.comm, (uint32_t) c->owner.pid };
}
