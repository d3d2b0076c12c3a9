/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Entries of other threads: are they dead, and then, what of theirs must be undone? */

#include <stdbool.h>
#include <stdint.h>

#include "shm/arena.h"
#include "shm/atom.h"

static inline uint32_t shm_ref(uint32_t block, uint32_t entry) {
        return block * SHM_ENTRIES + entry + 1;
}

/* Where an entry is. A number out of range, as only a damaged arena has it, gives NULL. The range is that of the mapping,
 * and no number from the arena: that might be another one at the second look. Who is not there is dead. */
static inline ShmBlock *shm_ref_block(const ShmArena *arena, uint32_t ref) {
        return ref > 0 && ref <= SHM_BLOCKS_MAX * SHM_ENTRIES ? &arena->blocks[(ref - 1) / SHM_ENTRIES] : NULL;
}

static inline ShmEntry *shm_ref_entry(const ShmArena *arena, uint32_t ref) {
        ShmBlock *b = shm_ref_block(arena, ref);

        return b ? &b->entries[(ref - 1) % SHM_ENTRIES] : NULL;
}

/* For numbers that have been looked at: whatever a forger makes of them meanwhile, it is memory of the arena. */
static inline ShmEntry *shm_entry(const ShmArena *arena, uint32_t ref) {
        return &arena->blocks[(ref - 1) / SHM_ENTRIES % SHM_BLOCKS_MAX].entries[(ref - 1) % SHM_ENTRIES];
}

static inline _Atomic uint64_t *shm_ref_journal(const ShmArena *arena, uint32_t ref) {
        ShmBlock *b = shm_ref_block(arena, ref);

        return b ? &b->journal[(ref - 1) % SHM_ENTRIES] : NULL;
}

/* The word in which the kernel says that its thread is dead; NULL: no such entry. */
_Atomic uint32_t *shm_ref_live(const ShmArena *arena, uint32_t ref);

/* Its thread is gone, and nobody stands in for it. What does not exist is dead. */
bool shm_ref_is_dead(const ShmArena *arena, uint32_t ref);

/* Delegated, and its agent is gone, but somebody keeps its file: the agent is coming back. */
bool shm_ref_is_standing(const ShmArena *arena, uint32_t ref);

/* Rings for the thread of an entry: it looks at what it waits for again. */
void shm_ring(const ShmArena *arena, uint32_t ref);

/* Undoes what a dead entry left in its slot, under the guard of the slot. `place`: the slot and its generation. Every
 * step may be the last one and is then repeated by the next who comes. */
void shm_recover(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t ref);

/* The same from outside, with the guard taken if it is free or its holder is dead. `self`: an entry of our own that is
 * free. 0, or -EBUSY. */
int shm_recover_stray(ShmArena *arena, uint32_t self, uint32_t ref);
