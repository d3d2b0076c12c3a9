/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Taking blocks, and recovering those of dead threads
 *
 *      FREE --> USED --> (thread dead: every mutex of it is) --> USED by another
 *
 * A thread dies at one moment, but the kernel walks its mutexes one after the other. So a block is taken over only
 * when all of them are dead, and when each journal entry has been recovered under the guard of its slot. That needs an
 * entry of one's own: who comes takes a block that needs none of it first, and then looks after the others. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "shm/actor.h"
#include "shm/futex.h"
#include "shm/recover.h"

#define BLOCKS_STEP 16u /* given memory at once */

/* --- who we are ------------------------------------------------------------------------------------- */

/* Field 22 of /proc/self/stat; the second is in parentheses and may contain anything. */
static uint64_t start_time(void) {
        _cleanup_free_ char *data = NULL;
        unsigned long long value = 0;
        const char *p;
        size_t len;

        if (file_read("/proc/self/stat", 4096, &data, &len) < 0)
                return 0;
        p = strrchr(data, ')');
        for (unsigned field = 2; p && field < 22; field++)
                p = strchr(p + 1, ' ');
        if (!p || sscanf(p, "%llu", &value) != 1)
                return 0;
        return value;
}

static void block_sign(ShmBlock *b) {
        _cleanup_free_ char *comm = NULL;
        struct stat st;
        size_t len;

        b->pid = (uint32_t) getpid();
        b->tid = (uint32_t) syscall(SYS_gettid);
        b->uid = (uint32_t) geteuid();
        b->start_time = start_time();
        b->pid_ns = stat("/proc/self/ns/pid", &st) < 0 ? 0 : st.st_ino;
        memset(b->comm, 0, sizeof(b->comm));
        if (file_read("/proc/thread-self/comm", 64, &comm, &len) >= 0) {
                comm[strcspn(comm, "\n")] = 0;
                str_defuse(comm, strlen(comm));
                (void) str_copy(b->comm, sizeof(b->comm), comm);
        }
}

/* --- taking a block --------------------------------------------------------------------------------- */

static bool block_is_dead(const ShmArena *arena, uint32_t index) {
        for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                if (!shm_ref_is_dead(arena, shm_ref(index, e)))
                        return false;
        return true;
}

static bool block_is_clean(const ShmArena *arena, uint32_t index) {
        for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                if (SHM_J_PHASE(atom_load(&arena->blocks[index].journal[e])) != SHM_NONE)
                        return false;
        return true;
}

static bool block_is_free(const ShmArena *arena, uint32_t index) {
        if (atom_load(&arena->blocks[index].state) == SHM_BLOCK_FREE)
                return true;
        return block_is_dead(arena, index) && block_is_clean(arena, index);
}

/* What dead threads left is recovered, for the next who need a block. A guard that is busy is not waited for. */
static void recover_blocks(ShmActor *actor) {
        ShmArena *arena = actor->arena;
        uint32_t n = shm_n_blocks(arena);

        for (uint32_t b = 0; b < n; b++) {
                if (atom_load(&arena->blocks[b].state) == SHM_BLOCK_FREE || block_is_clean(arena, b) ||
                    !block_is_dead(arena, b))
                        continue;
                for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                        if (SHM_J_PHASE(atom_load(&arena->blocks[b].journal[e])) != SHM_NONE)
                                (void) shm_recover_stray(arena, actor->spare->ref, shm_ref(b, e));
        }
}

static int blocks_grow(ShmArena *arena) {
        uint32_t n = shm_n_blocks(arena), step = MIN(BLOCKS_STEP, SHM_BLOCKS_MAX - n);
        int r;

        if (step == 0)
                return -EUSERS;
        r = shm_arena_allocate(arena, SHM_BLOCKS_OFFSET + n * sizeof(ShmBlock), step * sizeof(ShmBlock));
        if (r < 0)
                return r;
        atomic_store(&arena->header->n_blocks, n + step);
        return (int) n;
}

static int block_find(ShmArena *arena) {
        uint32_t n = shm_n_blocks(arena);

        for (uint32_t i = 0; i < n; i++)
                if (block_is_free(arena, i))
                        return (int) i;
        return blocks_grow(arena);
}

static int live_lock(ShmLive *live) {
        pthread_mutexattr_t attributes;
        int r;

        memset(live, 0, sizeof(*live));
        r = pthread_mutexattr_init(&attributes);
        if (r == 0) {
                (void) pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
                (void) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
                r = pthread_mutex_init(&live->mutex, &attributes);
                (void) pthread_mutexattr_destroy(&attributes);
        }
        /* Nobody else locks it. Waiting for it would be waiting for a forger. */
        if (r == 0)
                r = pthread_mutex_trylock(&live->mutex);
        return r == EBUSY ? -EBADMSG : -r;
}

/* Nothing but `state` says that it is ours: who dies before leaves it free, or dead. */
static int block_take(ShmActor *actor, uint32_t index, uint32_t master) {
        ShmBlock *b = &actor->arena->blocks[index];
        uint32_t n_live = !actor->delegated ? SHM_ENTRIES : index == master ? 1 : 0;
        int r;

        atomic_store(&b->state, SHM_BLOCK_FREE);
        for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                atomic_store(&b->journal[e], 0);
        atomic_store(&b->master, master);
        atomic_store(&b->sleepers, 0);
        block_sign(b);
        for (uint32_t e = 0; e < n_live; e++) {
                r = live_lock(&b->live[e]);
                if (r < 0)
                        return r;
        }
        atomic_store(&b->state, actor->delegated ? SHM_BLOCK_DELEGATED : SHM_BLOCK_USED);
        return 0;
}

static void seats_fill(ShmActor *actor, ShmSeat *seats, uint32_t index) {
        ShmBlock *b = &actor->arena->blocks[index], *life = actor->delegated ? actor->first : b;

        for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                seats[e] = (ShmSeat) {
                        .ref = shm_ref(index, e),
                        .reader_bit = UINT64_C(1) << index % 64,
                        .journal = &b->journal[e],
                        .entry = &b->entries[e],
                        .live = &life->live[actor->delegated ? 0 : e].word,
                        .block = b,
                };
}

static int actor_grow_locked(ShmActor *actor) {
        ShmSeat *seats;
        int index, r;

        index = block_find(actor->arena);
        if (index < 0)
                return index;
        seats = calloc(SHM_ENTRIES, sizeof(*seats));
        if (!seats)
                return -ENOMEM;
        if (!actor->first)
                actor->first = &actor->arena->blocks[index];
        r = block_take(actor, (uint32_t) index, (uint32_t) (actor->first - actor->arena->blocks));
        if (r < 0) {
                free(seats);
                return r;
        }
        seats_fill(actor, seats, (uint32_t) index);
        actor->chunks[actor->n_blocks++] = seats;
        actor->spare = seats;
        return 0;
}

static int actor_grow(ShmActor *actor) {
        bool first;
        int r;

        if (actor->n_blocks >= actor->blocks_max)
                return -EMFILE;
        r = shm_directory_lock(actor->arena, actor->arena->patience_usec);
        if (r < 0)
                return r;
        if (actor->first && !shm_seat_is_used(actor->spare))
                recover_blocks(actor);
        first = !actor->first;
        r = actor_grow_locked(actor);
        if (r >= 0 && first)
                recover_blocks(actor);
        shm_directory_unlock(actor->arena);
        return r;
}

ShmSeat *shm_seat_take(ShmActor *actor, int *ret_error) {
        ShmSeat *seat = actor->spare;

        if (shm_seat_is_used(seat)) {
                /* Newest first: that is where the last growth left free ones. */
                for (uint32_t c = actor->n_blocks; c > 0; c--)
                        for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                                if (!shm_seat_is_used(&actor->chunks[c - 1][e]))
                                        return &actor->chunks[c - 1][e];
                *ret_error = actor_grow(actor);
                if (*ret_error < 0)
                        return NULL;
                seat = actor->spare;
        }
        return seat;
}

/* --- actors ----------------------------------------------------------------------------------------- */

static _Atomic uint64_t last_serial;

static int actor_new(ShmActor **ret, ShmArena *arena, bool delegated) {
        uint32_t blocks_max = delegated ? SHM_DELEGATE_BLOCKS : SHM_ACTOR_BLOCKS;
        ShmActor *actor;
        int r;

        if (arena->readonly)
                return -EROFS;
        r = shm_arena_check(arena);
        if (r < 0)
                return r;
        actor = mmap(NULL, sizeof(*actor), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (actor == MAP_FAILED)
                return -errno;
        if (madvise(actor, sizeof(*actor), MADV_WIPEONFORK) < 0) {
                r = -errno;
                (void) munmap(actor, sizeof(*actor));
                return r;
        }
        actor->serial = atomic_fetch_add(&last_serial, 1) + 1;
        actor->delegated = delegated;
        actor->blocks_max = blocks_max;
        actor->arena = shm_arena_ref(arena);
        actor->chunks = calloc(blocks_max, sizeof(*actor->chunks));
        r = actor->chunks ? actor_grow(actor) : -ENOMEM;
        if (r < 0) {
                shm_actor_free(actor);
                return r;
        }
        arena->pinned = true;
        *ret = actor;
        return 0;
}

int shm_actor_new(ShmActor **ret, ShmArena *arena) {
        return actor_new(ret, arena, false);
}

int shm_actor_new_delegated(ShmActor **ret, ShmArena *arena) {
        return actor_new(ret, arena, true);
}

ShmActor *shm_actor_free(ShmActor *actor) {
        if (!actor)
                return NULL;
        for (uint32_t c = 0; actor->chunks && c < actor->n_blocks; c++)
                free(actor->chunks[c]);
        free(actor->chunks);
        shm_arena_unref(actor->arena);
        (void) munmap(actor, sizeof(*actor));
        return NULL;
}
