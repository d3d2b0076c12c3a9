/* SPDX-License-Identifier: Apache-2.0 */
/* A world: see world.h. Clients: load.c, faults: faults.c, promises: check.c */

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sim/world.h"

/* After so many session timeouts of calm everything must have come to its end. */
#define CALM_TIMEOUTS 20
#define CALM_STEPS_MAX 2000000

const char *world_name(unsigned name) {
        static const char *const names[WORLD_NAMES] = { "writers", "mixed", "more" };

        return names[name];
}

static void world_count(World *w, const WorldClaim *wc, unsigned news) {
        const Claim *c = &wc->claim;

        w->stats.n_grants += !!(news & NEWS_ACQUIRED);
        w->stats.n_shared += news & NEWS_ACQUIRED && c->mode == LOCK_SHARED;
        w->stats.n_upgrades += news & NEWS_CONVERTED && c->mode == LOCK_EXCLUSIVE;
        w->stats.n_deadlocks += news & NEWS_CONVERT_FAILED && c->convert_reason == REASON_DEADLOCK;
        w->stats.n_suspended += !!(news & NEWS_SUSPENDED);
        w->stats.n_resumed += !!(news & NEWS_RESUMED);
        w->stats.n_deadline += c->reason == REASON_DEADLINE;
        w->stats.n_expired += c->reason == REASON_SESSION_EXPIRED;
        w->stats.n_broken += c->reason == REASON_BROKEN;
        w->stats.n_failed += !!(news & NEWS_FAILED);
}

void world_tell(World *w, Host *h, Claim *claim, unsigned news) {
        WorldClaim *wc = container_of(claim, WorldClaim, claim);

        sim_trace(&w->sim, "host %u: client %u: %s%s%s%s%s %s", h->id, wc->client->id, world_name(wc->name),
                  news & NEWS_ACQUIRED ? " acquired" : "", news & NEWS_CONVERTED ? " converted" : "",
                  news & NEWS_CONVERT_FAILED ? " not converted" : "", news & NEWS_QUEUED ? " queued" : "",
                  news & ~(unsigned) (NEWS_ACQUIRED | NEWS_CONVERTED | NEWS_CONVERT_FAILED | NEWS_QUEUED)
                          ? claim_state_to_string(claim->state) : lock_mode_to_string(claim->mode));
        world_count(w, wc, news);
        sim_check(&w->sim, !wc->ended, "promise 6: client %u of host %u is told twice of the end", wc->client->id, h->id);
        sim_check(&w->sim, !!(news & NEWS_TERMINAL) == claim_is_terminal(claim), "promise 6: the end is not told");

        if (news & NEWS_ACQUIRED) {
                wc->mode = claim->mode;
                world_check_grant(w, wc);
                wc->held = true;
        }
        if (news & NEWS_CONVERTED) {
                bool upgraded = claim->mode == LOCK_EXCLUSIVE && claim->token != wc->token;

                wc->mode = claim->mode;
                if (upgraded)
                        world_check_grant(w, wc);
        }
        client_told(wc->client, news);
}

static void world_configure(World *w, bool faults) {
        static const uint64_t spans[] = { 2000, 20000, 200000, 1000000, 10000000 };
        Sim *sim = &w->sim;

        w->config = (WorldConfig) {
                .n_hosts = (unsigned) sim_between(sim, 2, WORLD_HOSTS),
                .n_names = (unsigned) sim_between(sim, 1, WORLD_NAMES),
                .n_clients = (unsigned) sim_between(sim, 1, WORLD_CLIENTS),
                .think_usec = spans[sim_between(sim, 0, ARRAY_SIZE(spans) - 1)],
                .hold_usec = spans[sim_between(sim, 0, ARRAY_SIZE(spans) - 1)],
                .calm_steps = sim_between(sim, 1000, 30000),
                .shared_percent = (unsigned) sim_between(sim, 0, 100),
        };
        if (faults)
                w->config.fault_usec = sim_between(sim, 1, 40) * 100 * USEC_PER_MSEC;
}

static void world_init(World *w, uint64_t seed, uint64_t n_steps, bool faults, bool verbose) {
        sim_init(&w->sim, seed, n_steps, verbose);
        world_configure(w, faults);
        model_init(&w->model, &w->sim, sim_between(&w->sim, 4, 12) * MODEL_TICK);
        for (unsigned i = 0; i < w->config.n_hosts; i++) {
                host_init(&w->hosts[i], w, &w->model, i);
                host_start(&w->hosts[i]);
                for (unsigned j = 0; j < w->config.n_clients; j++)
                        client_init(&w->clients[i][j], &w->hosts[i], j);
        }
        faults_init(w);
}

static void world_deinit(World *w) {
        TokenSeen *seen, *tmp;

        faults_stop(w);
        for (unsigned i = 0; i < w->config.n_hosts; i++) {
                if (w->hosts[i].alive)
                        host_kill(&w->hosts[i]);
                sim_cancel(&w->sim, &w->hosts[i].restart);
                for (unsigned j = 0; j < w->config.n_clients; j++)
                        client_deinit(&w->clients[i][j]);
        }
        model_deinit(&w->model);
        /* Closed connections go when their last words have arrived. */
        while (sim_step(&w->sim, USEC_INFINITY))
                ;
        for (unsigned i = 0; i < WORLD_NAMES; i++)
                hash_foreach_safe(hh, w->names[i].tokens, seen, tmp) {
                        hash_remove(hh, w->names[i].tokens, seen);
                        free(seen);
                }
        sim_deinit(&w->sim);
}

static bool world_is_idle(const World *w) {
        for (unsigned i = 0; i < w->config.n_hosts; i++) {
                const Host *h = &w->hosts[i];

                if (!h->alive || h->domain->session.state != SESSION_UP || h->domain->locks.n_locks > 0)
                        return false;
                for (unsigned j = 0; j < w->config.n_clients; j++)
                        if (w->clients[i][j].claim)
                                return false;
        }
        return hash_count(hh, w->model.sessions) == w->config.n_hosts;
}

/* Faults stop, nobody asks any more, and within the bound everything ends. */
static void world_calm(World *w) {
        uint64_t until = w->sim.now + CALM_TIMEOUTS * 12 * MODEL_TICK, steps = 0;

        sim_trace(&w->sim, "--- calm");
        w->calm = true;
        w->stats.n_calms++;
        faults_stop(w);
        for (unsigned i = 0; i < w->config.n_hosts; i++)
                for (unsigned j = 0; j < w->config.n_clients; j++)
                        sim_at(&w->sim, &w->clients[i][j].act, w->sim.now + sim_between(&w->sim, 0, USEC_PER_SEC));
        while (!world_is_idle(w) && sim_step(&w->sim, until)) {
                world_check(w);
                sim_check(&w->sim, ++steps < CALM_STEPS_MAX, "promise 6: no end of steps in calm");
        }
        world_check_calm(w);
        sim_trace(&w->sim, "--- and on");
        w->calm = false;
        for (unsigned i = 0; i < w->config.n_hosts; i++)
                for (unsigned j = 0; j < w->config.n_clients; j++)
                        sim_at(&w->sim, &w->clients[i][j].act, w->sim.now + sim_between(&w->sim, 0, USEC_PER_SEC));
        faults_start(w);
}

void world_run(uint64_t seed, uint64_t n_steps, bool faults, bool verbose, WorldStats *ret) {
        World *w = calloc(1, sizeof(*w));
        uint64_t calm_at;

        tooz_assert(w);
        world_init(w, seed, n_steps, faults, verbose);
        calm_at = w->config.calm_steps;
        while (w->sim.n_steps < n_steps) {
                tooz_assert(sim_step(&w->sim, USEC_INFINITY));
                world_check(w);
                if (w->sim.n_steps < calm_at)
                        continue;
                world_calm(w);
                calm_at = w->sim.n_steps + w->config.calm_steps;
        }
        world_calm(w);
        w->stats.digest = w->sim.digest;
        *ret = w->stats;
        world_deinit(w);
        free(w);
}
