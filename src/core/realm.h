/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Realm: everything that the agent decides about: domains, claims by id, quotas, access, effects to carry out
 *
 * This is what the D-Bus face and the backends hold a pointer to. They call transitions; the agent drains
 * `effects` afterwards, in the deferred phase of the loop. */

#include "core/access.h"
#include "core/claim.h"
#include "core/domain.h"
#include "core/effect.h"
#include "core/name.h"
#include "core/query.h"
#include "core/quota.h"

typedef struct Realm {
        List domains; /* Domain.link; `node` first */
        Domain *default_domain;
        uint64_t next_claim_id;
        unsigned n_claims;
        char *host; /* name of this host, as shown to others */
        Quota quota;
        Access access;
        Effects effects;
} Realm;

int realm_init(Realm *r, const char *host, uid_t agent_uid, gid_t agent_gid);
void realm_deinit(Realm *r);

/* Takes the domain; the first non-`node` one becomes the default. */
void realm_add_domain(Realm *r, Domain *d);
/* "" or NULL: the default domain. NULL: there is none of that name. */
Domain *realm_find_domain(const Realm *r, const char *name);
uint64_t realm_new_claim_id(Realm *r);

void realm_on_timer(Realm *r, uint64_t now);
uint64_t realm_next_timer(const Realm *r);
void realm_query(Realm *r, Query *q, uint64_t now, uint64_t realtime_now);
/* The agent stops: every claim ends. */
void realm_stop(Realm *r, uint64_t now);
