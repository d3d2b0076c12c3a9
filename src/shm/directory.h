/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Names to slots
 *
 * A slot belongs to its name until it is retired: when new names come and old ones have not been used for a whole
 * round of them. Then its generation goes up, and who still uses it under the old name gets -ESTALE and looks the name
 * up again. No token of a name is ever given twice: a new slot starts above all that were retired, and at the wall
 * clock. */

#include <stdint.h>

#include "shm/arena.h"

/* The slot of `name`, made if need be (`make`): its number and generation. -ENOENT, -ENOSPC, -ETIMEDOUT, -EBADMSG. */
int shm_directory_find(ShmArena *arena, const char *name, bool make, uint32_t *ret_index, uint32_t *ret_generation);

/* No token of this arena will be as small as `token` any more: what an agent kept over a reboot. */
int shm_directory_raise(ShmArena *arena, uint64_t token);
/* Above every token of the arena. Looks at all slots. */
uint64_t shm_directory_high(const ShmArena *arena);

/* The name of a slot that is in use: its length, or 0. */
int shm_directory_name(const ShmArena *arena, uint32_t index, char buf[static SHM_NAME_MAX + 1]);
