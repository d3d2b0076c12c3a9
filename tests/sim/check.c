/* SPDX-License-Identifier: Apache-2.0 */
/* The promises: see world.h */

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "sim/world.h"

/* A turn that is due now may come a moment later. */
#define MOMENT 5

static WorldClaim *claim_at(World *w, unsigned i) {
        return w->clients[i / WORLD_CLIENTS][i % WORLD_CLIENTS].claim;
}

#define N_CLIENTS (WORLD_HOSTS * WORLD_CLIENTS)

/* May its client count on it now? What a client can read is the deadline on the page of its host. */
static bool claim_is_valid(const World *w, const WorldClaim *c) {
        const Host *h = c->client->host;

        return c->held && !c->let_go && h->alive && w->sim.now < h->domain->session.deadline_usec;
}

static void check_exclusion(World *w) {
        WorldClaim *a, *b;

        for (unsigned i = 0; i < N_CLIENTS; i++) {
                a = claim_at(w, i);
                if (!a || !claim_is_valid(w, a))
                        continue;
                for (unsigned j = i + 1; j < N_CLIENTS; j++) {
                        b = claim_at(w, j);
                        if (!b || b->name != a->name || lock_mode_compatible(a->mode, b->mode) || !claim_is_valid(w, b))
                                continue;
                        sim_fail(&w->sim,
                                 "promise 1: %s is held by host %u client %u (token %" PRIx64 ") and host %u client %u (token %" PRIx64
                                 ")",
                                 world_name(a->name), a->client->host->id, a->client->id, a->token, b->client->host->id,
                                 b->client->id, b->token);
                }
        }
}

static void check_told_in_time(World *w, const WorldClaim *c) {
        const Host *h = c->client->host;
        const Session *s;

        if (!c->held || !host_is_running(h))
                return;
        s = &h->domain->session;
        sim_check(&w->sim, w->sim.now <= s->deadline_usec + MOMENT, "promise 3: host %u has not told client %u of the loss of %s",
                  h->id, c->client->id, world_name(c->name));
        sim_check(&w->sim, c->claim.state != CLAIM_HELD || s->state == SESSION_UP || sim_is_scheduled(&h->turn),
                  "promise 3: host %u has not told client %u that %s is suspended", h->id, c->client->id, world_name(c->name));
}

void world_check(World *w) {
        check_exclusion(w);
        for (unsigned i = 0; i < N_CLIENTS; i++) {
                WorldClaim *c = claim_at(w, i);

                if (c)
                        check_told_in_time(w, c);
        }
}

/* --- grants ------------------------------------------------------------------------------------- */

static void check_token(World *w, WorldClaim *c) {
        NameState *n = &w->names[c->name];
        uint64_t token = c->claim.token;
        TokenSeen *seen;

        hash_find(hh, n->tokens, &token, sizeof(token), seen);
        sim_check(&w->sim, !seen, "promise 2: token %" PRIx64 " of %s is not unique", token, world_name(c->name));
        sim_check(&w->sim, token > n->token_exclusive && (c->mode == LOCK_SHARED || token > n->token_any),
                  "promise 2: token %" PRIx64 " of %s is not above %" PRIx64, token, world_name(c->name),
                  c->mode == LOCK_SHARED ? n->token_exclusive : n->token_any);
        seen = calloc(1, sizeof(*seen));
        tooz_assert(seen);
        seen->token = token;
        tooz_assert(hash_add(hh, n->tokens, &seen->token, sizeof(seen->token), seen) >= 0);
        n->token_any = MAX(n->token_any, token);
        if (c->mode == LOCK_EXCLUSIVE)
                n->token_exclusive = token;
        c->token = token;
}

/* Of one host, for one name. */
static void check_order(World *w, const WorldClaim *c) {
        for (unsigned i = 0; i < N_CLIENTS; i++) {
                const WorldClaim *other = claim_at(w, i);

                if (!other || other == c || other->client->host != c->client->host || other->name != c->name)
                        continue;
                sim_check(&w->sim, other->claim.state != CLAIM_WAITING || other->arrival > c->arrival,
                          "promise 5: client %u of host %u was served before client %u", c->client->id, c->client->host->id,
                          other->client->id);
        }
}

void world_check_grant(World *w, WorldClaim *c) {
        bool died = c->claim.previous == PREVIOUS_DIED;

        check_token(w, c);
        if (!c->held)
                check_order(w, c);
        w->stats.n_told_died += died;
        /* The first name is locked for writing only: of it the last holder is known. */
        if (w->stats.n_faults == 0 && c->name == 0)
                sim_check(&w->sim, died == w->names[0].last_died, "promise 4: %s after a holder that %s",
                          previous_to_string(c->claim.previous), w->names[0].last_died ? "died" : "did not die");
}

/* --- calm --------------------------------------------------------------------------------------- */

static void check_no_znodes(World *w, unsigned name) {
        char path[TREE_PATH_SIZE];
        const Znode *dir, *child;

        tooz_assert(str_print(path, sizeof(path), "/locks/%s", world_name(name)) >= 0);
        dir = model_find(&w->model, path);
        if (!dir)
                return;
        list_foreach(child, &dir->children, Znode, link)
                sim_fail(&w->sim, "promise 8: %s of session %" PRId64 " is left behind", child->path, child->owner);
}

void world_check_calm(World *w) {
        for (unsigned i = 0; i < N_CLIENTS; i++) {
                const WorldClaim *c = claim_at(w, i);

                if (c)
                        sim_fail(&w->sim, "promise 6: client %u of host %u %s %s for ever", c->client->id, c->client->host->id,
                                 c->held ? "holds" : "waits for", world_name(c->name));
        }
        for (unsigned i = 0; i < w->config.n_hosts; i++) {
                const Domain *d = w->hosts[i].domain;

                sim_check(&w->sim, d->session.state == SESSION_UP, "host %u found no contact", i);
                sim_check(&w->sim, d->locks.n_locks == 0, "promise 8: host %u keeps a lock that nobody wants", i);
        }
        for (unsigned name = 0; name < w->config.n_names; name++)
                check_no_znodes(w, name);
}
