/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Simulation: one clock, one queue of events, one source of randomness
 *
 * Everything that happens is an event at a moment of the simulated clock. An event may schedule others; equal moments
 * fire in the order in which they were scheduled. So one seed is one run, step by step. */

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/macro.h"
#include "base/random.h"
#include "base/time.h"

#define SIM_TRACE_LINES 400
#define SIM_TRACE_SIZE 192

typedef struct SimEvent SimEvent;
struct SimEvent {
        HeapNode node;
        void (*fire)(SimEvent *e);
};

typedef struct Sim {
        uint64_t seed;
        uint64_t n_wanted; /* steps of this run: part of what makes it the same */
        uint64_t now;
        uint64_t n_steps;
        Prng prng;
        Heap events;
        bool verbose; /* print the trace as it grows */
        uint64_t n_traced;
        uint64_t digest; /* of the whole trace: equal for equal runs */
        char trace[SIM_TRACE_LINES][SIM_TRACE_SIZE];
} Sim;

void sim_init(Sim *sim, uint64_t seed, uint64_t n_wanted, bool verbose);
/* No event may be left. */
void sim_deinit(Sim *sim);

static inline void sim_event_init(SimEvent *e, void (*fire)(SimEvent *e)) {
        *e = (SimEvent) { .fire = fire };
}

/* Schedules it, or moves it. */
void sim_at(Sim *sim, SimEvent *e, uint64_t usec);
void sim_cancel(Sim *sim, SimEvent *e); /* idempotent */
static inline bool sim_is_scheduled(const SimEvent *e) {
        return heap_is_linked(&e->node);
}

/* Fires the next event. false: there is none, or it is later than `until`. */
bool sim_step(Sim *sim, uint64_t until);

/* lo <= x <= hi */
uint64_t sim_between(Sim *sim, uint64_t lo, uint64_t hi);
bool sim_chance(Sim *sim, uint64_t hits, uint64_t of);

/* The last lines are printed when the run fails. */
void sim_trace(Sim *sim, const char *fmt, ...) _printf_(2, 3);
/* A promise is broken: prints trace and seed, and aborts. */
_noreturn_ void sim_fail(Sim *sim, const char *fmt, ...) _printf_(2, 3);

#define sim_check(sim, expr, ...)                     \
        do {                                          \
                if (!(expr))                          \
                        sim_fail((sim), __VA_ARGS__); \
        } while (0)
