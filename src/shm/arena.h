/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* An arena mapped into this process
 *
 * One mapping per arena and process, found again by device and inode. It is not there in a forked child
 * (MADV_DONTFORK), and once a thread has locked in it, it stays until the process ends: the thread's list of robust
 * mutexes, which the kernel walks when the thread dies, leads through it. */

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/macro.h"
#include "shm/format.h"

typedef struct ShmArena {
        ShmHeader *header;
        _Atomic uint32_t *buckets;
        ShmBlock *blocks;
        ShmSlot *slots;
        struct ShmArena *next; /* of this process */
        int fd;
        char *path;
        dev_t dev;
        ino_t ino;
        pid_t pid;
        unsigned n_refs;
        bool readonly;
        uint64_t patience_usec;      /* of those who look for names or blocks */
        _Atomic bool pinned;         /* a thread has locked in it */
        pthread_mutex_t directory;   /* record locks do not exclude threads of one process */
        _Atomic uint64_t checked_usec; /* last found whole, CLOCK_MONOTONIC */
        _Atomic bool broken;         /* SIGBUS: what is mapped now is empty memory */
} ShmArena;

/* Flags of shm_arena_open() */
#define SHM_OPEN_CREATE 1u
#define SHM_OPEN_READONLY 2u

/* Makes and maps the file, or maps what is there. The folder must exist. Errors as tooz_local_arena_open(). */
int shm_arena_open(ShmArena **ret, const char *path, mode_t mode, unsigned flags);
ShmArena *shm_arena_ref(ShmArena *arena);
ShmArena *shm_arena_unref(ShmArena *arena); /* NULL */
DEFINE_CLEANUP(ShmArena, shm_arena_unref);

/* 0; -ECHILD in a forked child; -ESTALE when the file was removed or replaced; -EBADMSG when it was damaged. */
int shm_arena_check(const ShmArena *arena);
/* The same, but what was found is good for a tenth of a second: for those who come by often. */
int shm_arena_check_often(ShmArena *arena);

/* The directory: names, free slots, blocks. Excludes processes and threads; -ETIMEDOUT after `patience_usec`, -EROFS.
 * Whoever dies with it leaves it free, and `dirty` set if it was changing something. */
int shm_directory_lock(ShmArena *arena, uint64_t patience_usec);
void shm_directory_unlock(ShmArena *arena);
#define SHM_DIRECTORY_PATIENCE_USEC UINT64_C(5000000)
/* No agent waits for longer for what others have, guards and the directory. */
#define SHM_AGENT_PATIENCE_USEC UINT64_C(500000)

/* Gives memory to a range of the file: a full file system must say so here, and not by SIGBUS later. */
int shm_arena_allocate(ShmArena *arena, size_t offset, size_t len);

/* Everything read from the arena goes through these: NULL when there is no such thing. */
static inline ShmSlot *shm_slot(const ShmArena *arena, uint32_t index) {
        return index > 0 && index < SHM_SLOTS_MAX ? &arena->slots[index] : NULL;
}

static inline ShmBlock *shm_block(const ShmArena *arena, uint32_t index) {
        return index < SHM_BLOCKS_MAX ? &arena->blocks[index] : NULL;
}

static inline uint32_t shm_n_blocks(const ShmArena *arena) {
        uint32_t n = atomic_load_explicit(&arena->header->n_blocks, memory_order_acquire);

        return MIN(n, SHM_BLOCKS_MAX);
}

static inline uint32_t shm_n_slots(const ShmArena *arena) {
        uint32_t n = atomic_load_explicit(&arena->header->n_slots, memory_order_acquire);

        return MAX(MIN(n, SHM_SLOTS_MAX), 1u);
}
