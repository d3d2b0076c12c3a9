/* SPDX-License-Identifier: Apache-2.0 */
/* Realm: everything that the agent decides about */

#include <stdlib.h>

#include "base/macro.h"
#include "base/str.h"
#include "base/time.h"
#include "core/realm.h"

int realm_init(Realm *r, const char *host, uid_t agent_uid, gid_t agent_gid) {
        *r = (Realm) { .next_claim_id = 1 };
        list_init(&r->domains);
        quota_init(&r->quota);
        access_init(&r->access, agent_uid, agent_gid);
        effects_init(&r->effects);
        return strdup_to(&r->host, host);
}

void realm_deinit(Realm *r) {
        Domain *d, *tmp;

        list_foreach_safe(d, tmp, &r->domains, Domain, link)
                domain_free(d);
        access_deinit(&r->access);
        quota_deinit(&r->quota);
        free(r->host);
}

void realm_add_domain(Realm *r, Domain *d) {
        list_append(&r->domains, &d->link);
        if (!r->default_domain || (r->default_domain->kind == DOMAIN_NODE && d->kind != DOMAIN_NODE))
                r->default_domain = d;
}

Domain *realm_find_domain(const Realm *r, const char *name) {
        Domain *d;

        if (str_is_empty(name))
                return r->default_domain;
        list_foreach(d, &r->domains, Domain, link)
                if (streq(d->name, name))
                        return d;
        return NULL;
}

uint64_t realm_new_claim_id(Realm *r) {
        return r->next_claim_id++;
}

void realm_on_timer(Realm *r, uint64_t now) {
        Domain *d;

        list_foreach(d, &r->domains, Domain, link)
                domain_on_timer(d, now, &r->effects);
}

uint64_t realm_next_timer(const Realm *r) {
        uint64_t next = USEC_INFINITY;
        Domain *d;

        list_foreach(d, &r->domains, Domain, link)
                next = MIN(next, domain_next_timer(d));
        return next;
}

void realm_query(Realm *r, Query *q, uint64_t now, uint64_t realtime_now) {
        domain_query(q->domain, q, r->host, now, realtime_now, &r->effects);
}

void realm_stop(Realm *r, uint64_t now) {
        Domain *d;

        list_foreach(d, &r->domains, Domain, link)
                lock_table_stop(&d->locks, now, &r->effects);
}
