/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* A guard against truncation
 *
 * Whoever may write an arena's file may also truncate it, and then the next access raises SIGBUS. A program that must
 * survive that, as the agent must, has its arena guarded: the handler lays empty memory over it, marks it as broken,
 * and lets the access go on. From then on shm_arena_check() says -EBADMSG.
 *
 * The library does not do this by itself: signal handlers belong to the program. */

#include "shm/arena.h"

/* Installs the handler, once in a process, and guards this arena until the process ends. A SIGBUS elsewhere goes where
 * it went before. 0 or -errno; -EUSERS: too many are guarded. */
int shm_sigbus_guard(ShmArena *arena);
