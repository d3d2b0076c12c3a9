/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Looking at a slot without being anybody in it. What is said may be over when it is read. Works read-only. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shm/arena.h"

typedef struct ShmParty {
        uint32_t ref;
        bool shared;
        bool delegated; /* an agent's, for its clients */
        bool dead;
        uint32_t pid, tid, uid;
        uint64_t start_time, pid_ns;
        uint64_t token;      /* of a holder */
        uint64_t since_usec; /* CLOCK_MONOTONIC; 0: not known */
        char comm[16];
} ShmParty;

/* The exclusive holder or all shared ones, up to `max`. How many. Looking at an exclusive holder for the first time
 * notes the time, if the arena is writable. */
unsigned shm_look_holders(const ShmArena *arena, uint32_t index, ShmParty *ret, unsigned max);
/* Those who wait, in their order. */
unsigned shm_look_waiters(const ShmArena *arena, uint32_t index, ShmParty *ret, unsigned max);
