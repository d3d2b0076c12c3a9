/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of bench-local share: time, processes, and the two kinds of lock */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <tooz/tooz-local.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include "base/macro.h"

#define CHILDREN_MAX 256
#define SUB_BITS 5 /* 32 buckets an octave */
#define SUB (1u << SUB_BITS)
#define BUCKETS ((65 - SUB_BITS) * SUB)

/* Of one process, in ticks. */
typedef struct Waits {
        uint64_t n;
        uint64_t longest;
        uint64_t buckets[BUCKETS];
} Waits;

/* What all processes see. */
typedef struct Shared {
        pthread_mutex_t mutex __attribute__((aligned(64)));
        pthread_rwlock_t rwlock __attribute__((aligned(64)));
        volatile uint64_t counter __attribute__((aligned(64))); /* under the lock */
        _Atomic uint32_t n_ready __attribute__((aligned(64)));
        _Atomic uint64_t end;   /* ticks; 0: not begun */
        _Atomic bool acquiring; /* the waiter has nothing but the lock to sleep for */
        int result;             /* of the waiter's acquire, and when it returned */
        uint64_t acquired;
        Waits waits[CHILDREN_MAX];
} Shared;

extern Shared *shared;
extern tooz_local_lock *lock; /* of this process */
extern double ticks_per_usec;

/* Before all else. */
void kit_begin(void);
void remove_made(void);
_noreturn_ _printf_(1, 2) void fail(const char *format, ...);
int check(int r, const char *what);
int check_errno(int r, const char *what);

/* 0 in the child, which ends with its parent. */
pid_t spawn(void);
/* The same; for reap_children(). */
pid_t spawn_child(void);
/* They end by themselves, or are killed first. */
void reap_children(bool kill_them);
void await_ready(unsigned n);
/* On one CPU of those that we may use, by turns: where else it runs decides how contended a lock is. */
void place(unsigned i);
/* Until the waiter sleeps in acquire. */
void await_sleeper(pid_t pid);

/* Made if it is not there; then it is removed at the end. */
void make_arena(const char *path);
tooz_local_arena *open_arena(const char *path);
tooz_local_lock *open_lock(tooz_local_arena *arena, const char *name);

/* bench-local-wait.c */
int run_contended(const char *path, unsigned n_processes, unsigned n_runs, double seconds, double hold_usec,
                  double think_usec);
int run_handover(const char *path, unsigned n);
int run_recovery(const char *path, tooz_lock_mode mode, unsigned n);

static inline uint64_t now_nsec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

/* Cheaper than the clock: a wait is measured by two of them. */
static inline uint64_t ticks(void) {
#ifdef __x86_64__
        unsigned cpu;

        return __rdtscp(&cpu);
#else
        return now_nsec();
#endif
}

/* 1: a holder before us died with it. */
static inline int take(bool ours, tooz_lock_mode mode) {
        int r;

        if (ours) {
                r = tooz_local_lock_acquire(lock, mode, TOOZ_USEC_INFINITY);
                if (r > 0)
                        r = tooz_local_lock_mark_consistent(lock) ?: 1;
        } else {
                r = -pthread_mutex_lock(&shared->mutex);
                if (r == -EOWNERDEAD)
                        r = -pthread_mutex_consistent(&shared->mutex) ?: 1;
        }
        return r < 0 ? check(r, ours ? "acquire" : "pthread_mutex_lock") : r;
}

static inline void give(bool ours) {
        int r = ours ? tooz_local_lock_release(lock) : -pthread_mutex_unlock(&shared->mutex);

        if (r < 0)
                (void) check(r, ours ? "release" : "pthread_mutex_unlock");
}
