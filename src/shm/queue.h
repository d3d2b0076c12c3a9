/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* The queue of a slot, and the guard under which it changes
 *
 * What is true of the queue stands in the journals: an entry with phase WX or WS waits, in the order of the tickets.
 * The links between entries only save looking for them. So a queue of which a link was half made, because somebody
 * was killed with the guard, is made anew from the journals by the next who takes the guard: no kill of anybody in it
 * can lose a place or change the order.
 *
 * The guard is held for some hundred instructions, and by nobody who sleeps. It holds the number of an entry, never a
 * thread id, so it means the same in every PID namespace. */

#include <stdbool.h>
#include <stdint.h>

#include "shm/arena.h"
#include "shm/atom.h"

/* `self`: an entry of the caller, whose journal names the slot. 0, or -ETIMEDOUT: it was not free until the deadline, nor
 * for 2 ms. Then its holder does not run, or the arena is damaged. */
int shm_guard_lock(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t self, uint64_t deadline_usec);
void shm_guard_unlock(ShmSlot *slot);

/* Does this entry of a journal say that it waits there? */
bool shm_queue_has(uint64_t journal, uint64_t place);

/* --- under the guard -------------------------------------------------------------------------------- */

/* Puts an entry behind the others; its journal then says so. */
void shm_queue_append(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t ref, bool shared);
/* Takes an entry out, whose journal must not say any more that it waits. */
void shm_queue_unlink(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t ref);
/* Makes the links anew. */
void shm_queue_rebuild(ShmArena *arena, ShmSlot *slot, uint64_t place);
/* The head is to look at the slot, if there is one and the slot is not held. Needs no guard. */
void shm_queue_pass(ShmArena *arena, ShmSlot *slot);
/* When is the new head not to be overtaken any more? `taken_usec`: the moment at which the one before it took the slot;
 * 0: it did not. */
void shm_queue_set_hand(ShmArena *arena, ShmSlot *slot, uint64_t taken_usec);
