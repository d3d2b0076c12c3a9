/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Taking a slot, and what stands in the way. For hold.c: under the guard, but for shm_take_barge(). */

#include "shm/hold.h"

/* One look without the guard, ahead of those who sleep, as far as they allow it. 0, -EAGAIN, -ESTALE. */
int shm_take_barge(ShmHold *h);
/* 0: taken. -EINPROGRESS: `h` has been given the words to sleep on. -ESTALE. `head`: it stands first in the queue;
 * else it comes from outside, and those who wait may refuse to be overtaken. */
int shm_take(ShmHold *h, bool head);
/* Waits until it is the only reader: 0, -EINPROGRESS, -EDEADLK, -ENOLCK. */
int shm_take_upgrade(ShmHold *h);
/* Gives back a word that was taken while readers were to leave. */
void shm_take_undo(ShmHold *h);

/* Begins a look: forgets the words of the last one, and reads the bell. */
void shm_watch_begin(ShmHold *h);
/* Adds what says that the thread of `ref` is dead. False: it is dead. */
bool shm_watch(ShmHold *h, uint32_t ref);
