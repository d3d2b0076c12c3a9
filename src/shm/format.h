/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* The format of an arena, which docs/SHM_FORMAT.md explains: what its words mean, who writes them and in which order,
 * and why no kill at any instruction leaves it in a state that the next one can't go on from.
 *
 *      header | buckets | blocks | slots          all at fixed offsets of a sparse file; nothing ever moves
 *
 * A *slot* is one lock. A *block* belongs to one thread and has 32 *entries*; an entry journals one lock that the
 * thread holds, takes or waits for, and has a robust mutex that the thread holds as long as it lives.
 *
 * All is written by whoever may write the file. So every index read from it is checked before it is used. */

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define SHM_MAGIC UINT64_C(0x314d48535a4f4f54) /* "TOOZSHM1" */
#define SHM_VERSION UINT32_C(1)

#define SHM_ENTRIES 32u          /* of a block */
#define SHM_BLOCKS_MAX 16384u
#define SHM_BUCKETS 65536u
#define SHM_SLOTS_MAX 262144u    /* slot 0 is none */
#define SHM_NAME_MAX 255u
#define SHM_NAME_INLINE 112u

/* --- journal: ShmBlock.journal[] --------------------------------------------------------------------
 *
 *      | generation of the slot 32 | phase 4 | 4 | slot 24 |
 *
 * Written by the thread of the block in one store; by others only when the thread is dead (recovery, under the guard
 * of the slot) and to break a holder, by CAS. */

typedef enum ShmPhase {
        SHM_NONE,
        SHM_X,       /* takes exclusively: the word of the slot tells whether it has it */
        SHM_H,       /* holds exclusively, and the token of the slot is its own; or has just given it back */
        SHM_SA,      /* about to hold shared; counts as a reader */
        SHM_SH,      /* holds shared */
        SHM_UP,      /* holds shared, and waits until it is the only one */
        SHM_WX,      /* in the queue, for exclusive */
        SHM_WS,      /* in the queue, for shared */
        SHM_GUARD,   /* only uses the guard */
        SHM_BROKEN_X, /* somebody took it away */
        SHM_BROKEN_S,
} ShmPhase;

#define SHM_J_SLOT UINT64_C(0x00ffffff)
#define SHM_J_PHASE_SHIFT 28
#define SHM_J(phase) ((uint64_t) (phase) << SHM_J_PHASE_SHIFT)
#define SHM_J_PHASE(j) ((ShmPhase) ((j) >> SHM_J_PHASE_SHIFT & 0xf))
/* Generation and slot, without the phase. */
#define SHM_J_PLACE(j) ((j) & ~(UINT64_C(0xf) << SHM_J_PHASE_SHIFT))

/* --- word: ShmSlot.word -----------------------------------------------------------------------------
 *
 *      | generation 32 | PART RETIRED DRAIN READ DIED HAND WOKEN WAIT | 4 | owner 20 |
 *
 * Free and unwanted is the generation alone: then one CAS takes it, and one gives it back. */

#define SHM_W_OWNER UINT64_C(0x000fffff)   /* number of an entry, from 1; 0: nobody holds it exclusively */
#define SHM_W_WAIT UINT64_C(0x01000000)    /* the queue is not empty: who releases looks after it */
#define SHM_W_WOKEN UINT64_C(0x02000000)   /* the head has been woken and has not looked yet, or looks by itself */
#define SHM_W_HAND UINT64_C(0x04000000)    /* the head has waited for long: nobody may overtake it */
#define SHM_W_DIED UINT64_C(0x08000000)    /* a holder died, and nobody marked it consistent */
#define SHM_W_READ UINT64_C(0x10000000)    /* there may be readers: they stand in the journals alone */
#define SHM_W_DRAIN UINT64_C(0x20000000)   /* the owner does not hold it yet, it waits for readers to leave */
#define SHM_W_RETIRED UINT64_C(0x40000000) /* no lock: free, or PART */
#define SHM_W_PART UINT64_C(0x80000000)    /* of RETIRED: the rest of a long name; directory lock */
#define SHM_W_GENERATION UINT64_C(0xffffffff00000000)

typedef struct ShmSlot {
        /* The line of the fast path */
        _Atomic uint64_t word;
        _Atomic uint64_t readers;    /* bit b: a thread of a block b modulo 64 has been reader. Only grows. */
        _Atomic uint64_t token;      /* last exclusive one, even steps; holder writes; readers have it + 1 */
        _Atomic uint64_t token_first; /* where it began: half the difference is the number of exclusive grants */
        _Atomic uint64_t since_usec; /* CLOCK_MONOTONIC, at `since_token`: holder, or the first who had to wait */
        _Atomic uint64_t since_token;
        _Atomic uint64_t swept;      /* token when it was last looked at for retiring; directory lock */
        uint64_t pad;

        /* The queue: under the guard, but for readers of `head` */
        _Atomic uint32_t guard;      /* entry that has it | SHM_GUARD_WAIT; 0: free */
        _Atomic uint32_t head;       /* entries, from 1; 0: empty */
        _Atomic uint32_t tail;
        _Atomic uint32_t n_died;
        _Atomic uint64_t next_ticket;
        _Atomic uint64_t n_contended;
        _Atomic uint64_t wait_usec_total;
        _Atomic uint64_t hot_usec;   /* in such demand until then that heads are quiet from the start */
        _Atomic uint32_t n_broken;
        _Atomic uint32_t n_waiting;
        _Atomic uint64_t hand_usec;  /* the head is not to be overtaken after this moment of CLOCK_MONOTONIC */

        /* The name: directory lock */
        _Atomic uint32_t hash;
        _Atomic uint32_t next;       /* in its bucket, or in the list of free ones */
        _Atomic uint32_t partner;    /* slot with the rest of a long name */
        _Atomic uint16_t name_len;   /* 0: not in use */
        uint16_t pad3;
        char name[SHM_NAME_INLINE];
} __attribute__((aligned(64))) ShmSlot;

#define SHM_GUARD_WAIT UINT32_C(0x80000000)
/* A partner keeps the rest of a name where its own would be, and the last of it where its queue would be. */
#define SHM_NAME_PARTNER (SHM_NAME_INLINE + 64)

/* --- block ------------------------------------------------------------------------------------------ */

typedef enum ShmBlockState {
        SHM_BLOCK_FREE,
        SHM_BLOCK_USED,      /* its entries live and die with their robust mutexes */
        SHM_BLOCK_DELEGATED, /* with that of entry 0 of `master`; a record lock on the file outlives it */
} ShmBlockState;

typedef struct ShmEntry {
        _Atomic uint64_t ticket;     /* place in the queue */
        _Atomic uint64_t since_usec; /* in the queue since, CLOCK_MONOTONIC */
        _Atomic uint64_t clock_usec; /* it looks by itself then, at the latest; 0: not. Under the guard */
        _Atomic uint64_t token;      /* delegated: of the claim that it serves; 0: that of the slot */
        _Atomic uint32_t next;       /* in the queue; under the guard */
        _Atomic uint32_t prev;
} ShmEntry;

typedef union ShmLive {
        pthread_mutex_t mutex;
        _Atomic uint32_t word; /* glibc: owner's thread id, FUTEX_WAITERS, FUTEX_OWNER_DIED */
        char size[64];
} ShmLive;

typedef struct ShmBlock {
        _Atomic uint32_t bell;     /* futex: rung when something happened that this thread waits for */
        _Atomic uint32_t sleepers; /* who rings need not call the kernel when it is 0 */
        _Atomic uint32_t state;    /* ShmBlockState; directory lock */
        _Atomic uint32_t master;   /* block with the life of this one; itself, mostly */
        _Atomic uint32_t n_broken; /* delegated: entries of it that were broken, ever */
        uint32_t pid, tid, uid;    /* written before `state` */
        uint64_t start_time;
        uint64_t pid_ns;
        char comm[16];

        _Atomic uint64_t journal[SHM_ENTRIES];
        ShmEntry entries[SHM_ENTRIES];
        ShmLive live[SHM_ENTRIES];
} __attribute__((aligned(64))) ShmBlock;

/* --- header ----------------------------------------------------------------------------------------- */

typedef struct ShmHeader {
        _Atomic uint64_t magic; /* written last */
        uint32_t version;
        uint32_t header_size;
        uint64_t signature; /* of the layout: SHM_SIGNATURE */
        uint64_t created_usec; /* CLOCK_REALTIME */
        /* directory lock, from here */
        _Atomic uint32_t n_blocks; /* with memory behind them */
        _Atomic uint32_t n_slots;
        _Atomic uint32_t dirty;    /* buckets and free list are being changed: rebuilt if this is found set */
        _Atomic uint32_t free_slots;
        _Atomic uint32_t sweep;    /* next slot to be looked at for retiring */
        _Atomic uint32_t n_names;
        _Atomic uint64_t token_high; /* no token of a slot that was given up reaches it */
        char pad[4096 - 64];
} ShmHeader;

#define SHM_BUCKETS_OFFSET ((size_t) 4096)
#define SHM_BLOCKS_OFFSET (SHM_BUCKETS_OFFSET + SHM_BUCKETS * sizeof(uint32_t))
#define SHM_SLOTS_OFFSET (SHM_BLOCKS_OFFSET + (size_t) SHM_BLOCKS_MAX * sizeof(ShmBlock))
#define SHM_FILE_SIZE (SHM_SLOTS_OFFSET + (size_t) SHM_SLOTS_MAX * sizeof(ShmSlot))

/* Record locks on bytes of the file: beyond its end, so that they mean nothing to anybody else. */
#define SHM_DIRECTORY_BYTE ((off_t) 1 << 40)
#define SHM_DELEGATE_BYTE(block) (((off_t) 1 << 41) + (off_t) (block))

/* Changes with every size and offset that a program must agree on. */
#define SHM_MIX(a, b) ((uint64_t) (a) * 1000003u + (uint64_t) (b))
#define SHM_SIGNATURE                                                                                     \
        SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_MIX(SHM_FILE_SIZE, sizeof(ShmSlot)), sizeof(ShmBlock)), \
                                offsetof(ShmBlock, entries)), offsetof(ShmBlock, live)), SHM_ENTRIES),      \
                sizeof(pthread_mutex_t))

static_assert(sizeof(ShmHeader) == 4096, "");
static_assert(offsetof(ShmHeader, token_high) == 56, "");
static_assert(sizeof(ShmSlot) == 256, "");
static_assert(offsetof(ShmSlot, guard) == 64, "");
static_assert(offsetof(ShmSlot, hash) == 128, "");
static_assert(offsetof(ShmSlot, name) == 144, "");
static_assert(SHM_NAME_INLINE + SHM_NAME_PARTNER >= SHM_NAME_MAX, "");
static_assert(sizeof(ShmEntry) == 40, "");
static_assert(sizeof(ShmLive) == 64, "");
static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0, "the kernel and waiters look at the first word");
static_assert(offsetof(ShmBlock, journal) == 64, "");
static_assert(offsetof(ShmBlock, entries) == 320, "");
static_assert(offsetof(ShmBlock, live) == 1600, "");
static_assert(sizeof(ShmBlock) == 3648, "");
static_assert(SHM_BLOCKS_OFFSET % 64 == 0 && SHM_SLOTS_OFFSET % 64 == 0, "");
static_assert(SHM_BLOCKS_MAX * SHM_ENTRIES < SHM_W_OWNER, "every entry has a number");
static_assert(SHM_SLOTS_MAX <= SHM_J_SLOT, "every slot has a number");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "");
