/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An arena in the folder of the test, and actors in it
 *
 * Several actors of one thread are as good as several threads: nothing in src/shm asks who calls. Who must really die
 * is a child. */

#include <signal.h>
#include <stdio.h>

#include "shm/actor.h"
#include "shm/arena.h"
#include "shm/hold.h"
#include "support/kit.h"

#define SHM_SUITE(suite) TestSuite(suite, .init = shm_kit_setup, .fini = shm_kit_teardown, .timeout = 300)

#define EXCLUSIVE false
#define SHARED true
#define TRY false
#define QUEUE true

void shm_kit_setup(void);
/* What is pinned stays mapped, but its descriptor is closed: it has not leaked. */
void shm_kit_teardown(void);

/* The arena of the test, made by the first call. */
ShmArena *shm_kit_arena(void);
const char *shm_kit_path(void);

/* Freed by the teardown. */
ShmActor *shm_kit_actor(void);
ShmActor *shm_kit_delegate(void);
/* Says of all its blocks what the kernel says when a thread dies. */
void shm_kit_die(ShmActor *actor);

ShmHold shm_kit_hold(const char *name);
uint32_t shm_kit_bell(const ShmActor *actor);

/* Runs fn(arena, arg) in a child, which has opened the arena for itself, and then sleeps. Returns when fn has. */
typedef void (*ShmKitRole)(ShmArena *arena, void *arg);
pid_t shm_kit_child(ShmKitRole fn, void *arg);
void shm_kit_kill(pid_t pid);
/* The same; fn is all that it does, and it ends well. */
void shm_kit_run(ShmKitRole fn, void *arg);

/* In a child, where cr_assert() would end the wrong process. */
#define must(expr)                                                               \
        do {                                                                     \
                if (!(expr)) {                                                   \
                        (void) dprintf(2, "%s:%d: %s\n", __FILE__, __LINE__, #expr); \
                        _exit(1);                                                \
                }                                                                \
        } while (0)
