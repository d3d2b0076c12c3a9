/* SPDX-License-Identifier: Apache-2.0 */
/* Simulation: see sim.h */

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "sim/sim.h"

/* An assertion of the core knows nothing of seeds: its SIGABRT comes through here. */
static Sim *running;

static void print_end(const Sim *sim) {
        uint64_t first = sim->n_traced > SIM_TRACE_LINES ? sim->n_traced - SIM_TRACE_LINES : 0;

        for (uint64_t i = first; !sim->verbose && i < sim->n_traced; i++)
                (void) dprintf(STDERR_FILENO, "%s\n", sim->trace[i % SIM_TRACE_LINES]);
        (void) dprintf(STDERR_FILENO, "sim: TOOZ_SEED=%" PRIu64 " failed at step %" PRIu64 "; again: sim --seed %" PRIu64 " --steps %" PRIu64 "\n",
                       sim->seed, sim->n_steps, sim->seed, sim->n_wanted);
}

static void on_abort(int signal_number) {
        if (running)
                print_end(running);
        running = NULL;
}

void sim_init(Sim *sim, uint64_t seed, uint64_t n_wanted, bool verbose) {
        const struct sigaction action = { .sa_handler = on_abort, .sa_flags = (int) SA_RESETHAND };

        *sim = (Sim) { .seed = seed, .n_wanted = n_wanted, .now = 1000 * USEC_PER_SEC, .verbose = verbose };
        prng_init(&sim->prng, seed);
        heap_init(&sim->events);
        running = sim;
        (void) sigaction(SIGABRT, &action, NULL);
}

void sim_deinit(Sim *sim) {
        tooz_assert(heap_is_empty(&sim->events));
        running = NULL;
        signal(SIGABRT, SIG_DFL);
}

void sim_at(Sim *sim, SimEvent *e, uint64_t usec) {
        heap_set(&sim->events, &e->node, usec);
}

void sim_cancel(Sim *sim, SimEvent *e) {
        heap_remove(&sim->events, &e->node);
}

bool sim_step(Sim *sim, uint64_t until) {
        HeapNode *node = heap_min(&sim->events);
        SimEvent *e;

        if (!node || node->key > until) {
                sim->now = sim->now > until ? sim->now : until;
                return false;
        }
        heap_remove(&sim->events, node);
        if (node->key > sim->now)
                sim->now = node->key;
        e = container_of(node, SimEvent, node);
        sim->n_steps++;
        e->fire(e);
        return true;
}

uint64_t sim_between(Sim *sim, uint64_t lo, uint64_t hi) {
        return lo + prng_below(&sim->prng, hi - lo + 1);
}

bool sim_chance(Sim *sim, uint64_t hits, uint64_t of) {
        return prng_chance(&sim->prng, hits, of);
}

void sim_trace(Sim *sim, const char *fmt, ...) {
        char *line = sim->trace[sim->n_traced++ % SIM_TRACE_LINES];
        int n = snprintf(line, SIM_TRACE_SIZE, "%9.4f ", (double) (sim->now - 1000 * USEC_PER_SEC) / 1e6);
        va_list ap;

        va_start(ap, fmt);
        (void) vsnprintf(line + n, SIM_TRACE_SIZE - (size_t) n, fmt, ap);
        va_end(ap);
        for (const char *p = line; *p; p++)
                sim->digest = (sim->digest ^ (unsigned char) *p) * UINT64_C(0x100000001b3);
        if (sim->verbose)
                fprintf(stderr, "%s\n", line);
}

void sim_fail(Sim *sim, const char *fmt, ...) {
        char text[512];
        va_list ap;

        va_start(ap, fmt);
        (void) vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        sim_trace(sim, "BROKEN: %s", text);
        (void) dprintf(STDERR_FILENO, "sim: BROKEN: %s\n", text);
        abort();
}
