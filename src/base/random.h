/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Randomness: the kernel's for identifiers, a seeded one for back-off, tests and the simulator */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 or -errno. */
int random_bytes(void *buf, size_t len);

/* One seed, one sequence, on every machine (SplitMix64). Not for secrets. */
typedef struct Prng {
        uint64_t state;
} Prng;

static inline void prng_init(Prng *prng, uint64_t seed) {
        prng->state = seed;
}

uint64_t prng_next(Prng *prng);
uint64_t prng_below(Prng *prng, uint64_t bound);                 /* 0 <= x < bound, without bias */
bool prng_chance(Prng *prng, uint64_t hits, uint64_t of);        /* true `hits` times in `of` */
