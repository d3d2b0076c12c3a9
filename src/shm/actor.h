/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Actor: a thread in an arena, with the blocks that are its own
 *
 * Its memory is wiped in a forked child (MADV_WIPEONFORK): there `arena` is NULL, and no actor is the one of its
 * arena any more. So the fast path finds out about fork without asking. */

#include <stdbool.h>
#include <stdint.h>

#include "shm/arena.h"
#include "shm/atom.h"

#define SHM_ACTOR_BLOCKS 32u             /* of a thread: 1,024 entries, which the kernel walks at its death */
#define SHM_DELEGATE_BLOCKS 4096u        /* of an agent */

/* An entry of our own, with all that is known of it. */
typedef struct ShmSeat {
        uint32_t ref; /* number of the entry, from 1 */
        _Atomic uint64_t *journal; /* 0: the seat is free */
        uint64_t reader_bit;       /* in ShmSlot.readers */
        ShmEntry *entry;
        _Atomic uint32_t *live;
        ShmBlock *block;
} ShmSeat;

typedef struct ShmActor {
        ShmArena *arena; /* NULL: this is a forked child */
        ShmSeat *spare;  /* given back last: most likely free */
        ShmBlock *first; /* its bell is rung for all blocks */
        uint64_t serial; /* never used twice in this process, as its address may be */
        bool delegated;
        uint32_t n_blocks;
        uint32_t blocks_max;
        ShmSeat **chunks; /* of SHM_ENTRIES each, one a block */
        struct ShmActor *next; /* of this thread, in another arena */
} ShmActor;

/* Makes this thread an actor. Takes a block that is free or whose thread is dead (and recovers what that one left).
 * -EUSERS: no block is left; -ENOSPC: no memory for one; -ETIMEDOUT: the directory. */
int shm_actor_new(ShmActor **ret, ShmArena *arena);
/* An agent: its entries outlive it as long as somebody keeps `arena->fd`. See delegate.h. */
int shm_actor_new_delegated(ShmActor **ret, ShmArena *arena);
/* Frees the memory of an actor whose thread ends. Its blocks are found dead by others. */
ShmActor *shm_actor_free(ShmActor *actor);

/* A free seat, which is taken by what is written to its journal; or NULL with -EMFILE, -EUSERS and so on in
 * *ret_error. */
ShmSeat *shm_seat_take(ShmActor *actor, int *ret_error);

static inline bool shm_seat_is_used(const ShmSeat *seat) {
        return atom_load_relaxed(seat->journal) != 0;
}

/* Its journal is clear. Async-signal-safe: a handler may release between any two instructions of the thread. */
static inline void shm_seat_give(ShmActor *actor, ShmSeat *seat) {
        if (actor->spare != seat)
                actor->spare = seat;
}
