/* SPDX-License-Identifier: Apache-2.0 */
/* Clients: ask, hold, convert, release, die. What they want of their agent goes through its inbox */

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sim/world.h"

static World *world_of(const Client *c) {
        return c->host->world;
}

static Sim *sim_of(const Client *c) {
        return c->host->sim;
}

static LockTable *locks_of(const Client *c) {
        return &c->host->domain->locks;
}

/* Around a mean, seldom much more. */
static void client_act_in(Client *c, uint64_t usec) {
        if (sim_chance(sim_of(c), 1, 20))
                usec *= 20;
        sim_at(sim_of(c), &c->act, sim_of(c)->now + sim_between(sim_of(c), usec / 2, usec * 3 / 2));
}

static void claim_forget(WorldClaim *wc) {
        wc->client->claim = NULL;
        claim_deinit(&wc->claim);
        free(wc);
}

static void client_think(Client *c) {
        c->converting = false;
        if (world_of(c)->calm)
                sim_cancel(sim_of(c), &c->act);
        else
                client_act_in(c, world_of(c)->config.think_usec);
}

static void client_hold_on(Client *c) {
        uint64_t hold = world_of(c)->config.hold_usec;

        client_act_in(c, world_of(c)->calm ? MIN(hold, 20 * USEC_PER_MSEC) : hold);
}

/* --- what reaches the agent --------------------------------------------------------------------- */

static void in_request(Host *h, void *arg) {
        WorldClaim *wc = arg;
        Client *c = wc->client;
        uint64_t wait = sim_chance(h->sim, 1, 3) ? h->sim->now + sim_between(h->sim, 0, h->model->timeout_usec) : USEC_INFINITY;
        int r;

        r = lock_table_request(locks_of(c), &wc->claim, world_name(wc->name), wait, h->sim->now, &h->fx);
        tooz_assert(r >= 0);
        if (r == 0)
                return;
        /* A try that this host alone can refuse. */
        claim_forget(wc);
        client_think(c);
}

static void in_release(Host *h, void *arg) {
        Client *c = arg;

        /* It may have ended before the words came in, or in this turn. */
        if (!c->claim || !c->claim->let_go || !c->claim->claim.lock)
                return;
        if (claim_is_holding(&c->claim->claim))
                world_of(c)->names[c->claim->name].last_died = c->claim->died;
        lock_table_release(locks_of(c), &c->claim->claim, c->claim->died, h->sim->now, &h->fx);
}

static void in_convert(Host *h, void *arg) {
        Client *c = arg;
        WorldClaim *wc = c->claim;
        int r;

        if (!wc || !wc->held || wc->let_go || wc->ended)
                return;
        r = lock_table_convert(locks_of(c), &wc->claim, wc->mode == LOCK_SHARED ? LOCK_EXCLUSIVE : LOCK_SHARED,
                               h->sim->now + sim_between(h->sim, 0, 2 * h->model->timeout_usec), h->sim->now, &h->fx);
        if (r == 0)
                return;
        c->converting = false;
        client_hold_on(c);
}

/* Anybody may break what it knows the token of. */
static void in_break(Host *h, void *arg) {
        Client *c = arg;
        WorldClaim *wc = c->claim;

        if (!wc || !wc->held || wc->ended)
                return;
        (void) lock_table_break(locks_of(c), world_name(wc->name),
                                sim_chance(h->sim, 1, 2) ? wc->token : token_tenure(wc->token), h->sim->now, &h->fx);
}

/* --- the life of a client ----------------------------------------------------------------------- */

static void client_ask(Client *c) {
        World *w = world_of(c);
        static const ClaimOwner nobody = { .uid = 1000 };
        WorldClaim *wc = calloc(1, sizeof(*wc));
        uint64_t flags = (sim_chance(&w->sim, 1, 8) ? CLAIM_NO_QUEUE : 0) | (sim_chance(&w->sim, 1, 4) ? CLAIM_NOTIFY_CONTENTION : 0);

        tooz_assert(wc);
        wc->client = c;
        wc->name = (unsigned) sim_between(&w->sim, 0, w->config.n_names - 1);
        wc->mode = wc->name > 0 && sim_chance(&w->sim, w->config.shared_percent, 100) ? LOCK_SHARED : LOCK_EXCLUSIVE;
        wc->arrival = ++w->n_arrivals;
        tooz_assert(claim_init(&wc->claim, wc->arrival, wc->mode, flags, &nobody) >= 0);
        c->claim = wc;
        host_call(c->host, in_request, wc);
        /* Some lose patience. */
        if (sim_chance(&w->sim, 1, 10))
                client_act_in(c, w->config.hold_usec);
}

/* From this moment on the client counts on nothing. */
static void client_let_go(Client *c) {
        c->claim->let_go = true;
        c->claim->died = sim_chance(sim_of(c), 1, 5);
        world_of(c)->stats.n_died += c->claim->died;
        sim_trace(sim_of(c), "host %u: client %u: %s", c->host->id, c->id, c->claim->died ? "dies" : "lets go");
        host_call(c->host, in_release, c);
}

static void client_on_act(SimEvent *e) {
        Client *c = container_of(e, Client, act);
        World *w = world_of(c);
        WorldClaim *wc = c->claim;

        if (!wc) {
                if (!w->calm && c->host->alive)
                        client_ask(c);
                else
                        client_think(c);
                return;
        }
        if (wc->let_go)
                return;
        if (wc->held && wc->name > 0 && !c->converting && !w->calm && sim_chance(&w->sim, 1, 4)) {
                c->converting = true;
                host_call(c->host, in_convert, c);
        } else if (wc->held && w->stats.n_faults > 0 && sim_chance(&w->sim, 1, 60)) {
                host_call(c->host, in_break, c);
                client_hold_on(c);
        } else
                client_let_go(c);
}

static void client_end(Client *c) {
        c->claim->ended = true;
        c->claim->held = false;
        claim_forget(c->claim);
        client_think(c);
}

void client_told(Client *c, unsigned news) {
        WorldClaim *wc = c->claim;

        if (news & NEWS_TERMINAL)
                client_end(c);
        else if (news & (NEWS_CONVERTED | NEWS_CONVERT_FAILED) && !wc->let_go) {
                c->converting = false;
                client_hold_on(c);
        } else if (news & NEWS_ACQUIRED && !wc->let_go)
                client_hold_on(c);
}

void client_orphan(Client *c) {
        if (c->claim)
                client_end(c);
}

void client_init(Client *c, Host *h, unsigned id) {
        *c = (Client) { .host = h, .id = id };
        sim_event_init(&c->act, client_on_act);
        client_think(c);
}

void client_deinit(Client *c) {
        sim_cancel(sim_of(c), &c->act);
        if (c->claim)
                claim_forget(c->claim);
}
