/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For the tests that kill: TAP, a folder for arenas, shared memory, processes that do not outlive the test, and a
 * look at an arena that may be in any state. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <tooz/tooz-local.h>

#include "shm/format.h"

/* --- TAP --- */
void tap(bool good, const char *format, ...) __attribute__((__format__(__printf__, 2, 3)));
void tap_skip(const char *name, const char *reason);
void diag(const char *format, ...) __attribute__((__format__(__printf__, 1, 2)));
int tap_done(void); /* exit status */

/* --- numbers --- */
uint64_t kit_now(void); /* CLOCK_MONOTONIC, microseconds */
uint64_t kit_random(void);
uint64_t kit_below(uint64_t n);
void kit_seed(uint64_t seed);
/* --seed N, or else one that is different each time; printed. Other options: kit_option(argc, argv, "--kills", &n). */
void kit_seed_from(int argc, char **argv);
bool kit_option(int argc, char **argv, const char *name, uint64_t *ret);

/* --- places --- */
/* A new folder, which goes with the process that asks first. */
const char *kit_folder(void);
/* A path in it; static memory, a few at a time. */
const char *kit_path(const char *name);
void *kit_shared(size_t size);
/* The same, behind a descriptor that outlives exec(). */
void *kit_shared_fd(size_t size, int *ret_fd);

/* --- processes --- */
pid_t kit_fork(void); /* the child dies with the parent */
/* Waits for its end; after `seconds` it is killed: -1. */
int kit_reap(pid_t pid, unsigned seconds);
void kit_kill(pid_t pid); /* and reaps */
void kit_sleep(uint64_t usec);

/* --- the arena from outside --- */
typedef struct KitMap {
        const char *base;
        const ShmHeader *header;
        const ShmBlock *blocks;
        const ShmSlot *slots;
} KitMap;

/* An arena with KIT_LOCKS locks lock0, lock1, ... that have been used, in place of what is there. */
#define KIT_LOCKS 4u
void kit_make_arena(const char *path);
bool kit_map(KitMap *ret, const char *path);
void kit_unmap(KitMap *map);
/* Word, queue, guard of a slot and all journals that name it, as diagnostics. */
void kit_dump(const KitMap *map, uint32_t slot);
/* What is left in a slot that nobody uses any more, and in journals: NULL, or what. Only readers' traces may stay. */
const char *kit_not_idle(const KitMap *map, uint32_t slot);
uint32_t kit_slot(const tooz_local_lock *lock);
