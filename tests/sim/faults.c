/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong */

#include <inttypes.h>

#include "base/assert.h"
#include "base/str.h"
#include "sim/world.h"

static Host *any_host(World *w) {
        return &w->hosts[sim_between(&w->sim, 0, w->config.n_hosts - 1)];
}

static Server *any_server(World *w) {
        return &w->model.servers[sim_between(&w->sim, 0, MODEL_SERVERS - 1)];
}

static uint64_t any_span(World *w) {
        uint64_t t = w->model.timeout_usec;

        return sim_chance(&w->sim, 1, 3) ? sim_between(&w->sim, 0, 3 * t) : sim_between(&w->sim, 0, t / 3);
}

/* --- one host ----------------------------------------------------------------------------------- */

static void fault_reset(World *w) {
        Host *h = any_host(w);

        if (!h->zk || !h->zk->conn)
                return;
        sim_trace(&w->sim, "fault: host %u: connection reset", h->id);
        conn_reset(h->zk->conn);
}

/* The reply to what is in flight is lost for certain, or the request is. */
static void fault_silence(World *w) {
        Host *h = any_host(w);
        uint64_t way = sim_between(&w->sim, 1, 3);

        if (!h->zk || !h->zk->conn)
                return;
        sim_trace(&w->sim, "fault: host %u: silent%s%s", h->id, way & 1 ? " up" : "", way & 2 ? " down" : "");
        h->zk->conn->up.lost |= way & 1;
        h->zk->conn->down.lost |= way & 2;
}

static void fault_stop(World *w) {
        host_stop(any_host(w), any_span(w));
}

static void fault_hang(World *w) {
        host_hang(any_host(w), any_span(w));
}

static void fault_kill(World *w) {
        Host *h = any_host(w);

        if (!h->alive)
                return;
        host_kill(h);
        w->stats.n_kills++;
        for (unsigned i = 0; i < w->config.n_clients; i++)
                client_orphan(&w->clients[h->id][i]);
        sim_at(&w->sim, &h->restart, w->sim.now + any_span(w));
}

/* What the deadline counts from the last but one heartbeat for: the host is stopped for a while, its first heartbeat
 * after that is answered, and then it is cut off, before the leader has been told of it. */
static void world_on_strand(SimEvent *e) {
        World *w = container_of(e, World, strand);
        Host *h = w->stranded;

        if (!h->alive || !h->zk || !h->zk->conn || !h->zk->conn->server)
                return;
        model_cut(&w->model, h->zk->conn->server);
        h->zk->conn->up.lost = h->zk->conn->down.lost = true;
}

static void fault_strand(World *w) {
        uint64_t t = w->model.timeout_usec, usec = sim_between(&w->sim, t / 8, t * 2 / 3);

        w->stranded = any_host(w);
        host_stop(w->stranded, usec);
        sim_at(&w->sim, &w->strand, w->sim.now + usec + sim_between(&w->sim, 1000, MODEL_TICK / 2));
}

/* --- servers ------------------------------------------------------------------------------------ */

static void fault_cut(World *w) {
        model_cut(&w->model, any_server(w));
}

static void fault_mend(World *w) {
        model_mend(&w->model, any_server(w));
}

static void fault_crash(World *w) {
        model_crash(&w->model, any_server(w));
}

static void fault_elect(World *w) {
        model_elect(&w->model, sim_between(&w->sim, MODEL_TICK / 10, 3 * MODEL_TICK));
}

static void fault_slow(World *w) {
        Server *s = any_server(w);

        s->slow = !s->slow;
        sim_trace(&w->sim, "fault: server %u is %s", s->id, s->slow ? "slow" : "quick");
}

/* Somebody tidies up: sequence numbers start again at 0. */
static void fault_remove(World *w) {
        char path[TREE_PATH_SIZE];

        tooz_assert(str_print(path, sizeof(path), "/locks/%s", world_name((unsigned) sim_between(&w->sim, 0, w->config.n_names - 1))) >=
                    0);
        model_remove(&w->model, path);
}

static void fault_reconfigure(World *w) {
        w->model.timeout_usec = sim_between(&w->sim, 4, 12) * MODEL_TICK;
        sim_trace(&w->sim, "fault: T is %" PRIu64 " for who connects", w->model.timeout_usec);
}

/* --- when --------------------------------------------------------------------------------------- */

static const struct {
        unsigned weight;
        void (*fn)(World *w);
} faults[] = {
        { 10, fault_reset }, { 10, fault_silence }, { 8, fault_stop }, { 4, fault_hang }, { 3, fault_kill },  { 6, fault_cut },
        { 6, fault_mend },   { 2, fault_crash },    { 2, fault_elect }, { 4, fault_slow }, { 8, fault_remove }, { 1, fault_reconfigure },
        { 6, fault_strand },
};

static void world_on_fault(SimEvent *e) {
        World *w = container_of(e, World, fault);
        unsigned sum = 0, pick;

        for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
                sum += faults[i].weight;
        pick = (unsigned) sim_between(&w->sim, 0, sum - 1);
        for (size_t i = 0; i < ARRAY_SIZE(faults); i++) {
                if (pick < faults[i].weight) {
                        faults[i].fn(w);
                        break;
                }
                pick -= faults[i].weight;
        }
        w->stats.n_faults++;
        sim_at(&w->sim, &w->fault, w->sim.now + sim_between(&w->sim, 0, 2 * w->config.fault_usec));
}

/* Servers come back by themselves. */
static void world_on_repair(SimEvent *e) {
        World *w = container_of(e, World, repair);
        Server *s = any_server(w);

        if (sim_chance(&w->sim, 1, 2))
                model_start(&w->model, s);
        if (sim_chance(&w->sim, 1, 2))
                model_mend(&w->model, s);
        sim_at(&w->sim, &w->repair, w->sim.now + sim_between(&w->sim, 0, 2 * MODEL_TICK));
}

void faults_init(World *w) {
        sim_event_init(&w->fault, world_on_fault);
        sim_event_init(&w->repair, world_on_repair);
        sim_event_init(&w->strand, world_on_strand);
        faults_start(w);
}

void faults_start(World *w) {
        if (w->config.fault_usec == 0)
                return;
        sim_at(&w->sim, &w->fault, w->sim.now + sim_between(&w->sim, 0, 2 * w->config.fault_usec));
        sim_at(&w->sim, &w->repair, w->sim.now + MODEL_TICK);
}

void faults_stop(World *w) {
        sim_cancel(&w->sim, &w->fault);
        sim_cancel(&w->sim, &w->repair);
        sim_cancel(&w->sim, &w->strand);
        model_heal(&w->model);
        for (unsigned i = 0; i < w->config.n_hosts; i++) {
                Host *h = &w->hosts[i];

                host_continue(h);
                if (!h->alive)
                        sim_at(&w->sim, &h->restart, w->sim.now);
        }
}
