/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An arena in the folder of the test, and other threads and processes that lock in it */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <tooz/tooz-local.h>

#include "local/local.h"
#include "support/kit.h"

#define LOCAL_SUITE(suite) TestSuite(suite, .init = kit_setup, .fini = local_kit_teardown, .timeout = 300)

#define X TOOZ_LOCK_EXCLUSIVE
#define S TOOZ_LOCK_SHARED
#define FOREVER TOOZ_USEC_INFINITY
#define SHORT UINT64_C(20000)

/* Frees this thread's actors. What is pinned stays mapped, but its descriptor is closed: it has not leaked. */
void local_kit_teardown(void);

/* Made by the first call, given back by the teardown. */
tooz_local_arena *local_kit_arena(void);
const char *local_kit_path(void);
tooz_local_lock *local_kit_lock(const char *name, uint64_t flags);
/* The teardown gives them back. */
void local_kit_keep(tooz_local_lock *lock);

uint64_t local_kit_token(tooz_local_lock *lock);
/* Until so many wait for it. */
void local_kit_await_waiters(tooz_local_lock *lock, uint32_t n);

/* Another thread, with an object of its own: it acquires when it is begun, and gives back when it is told to. */
typedef struct Other {
        pthread_t thread;
        const char *name;
        tooz_lock_mode mode;
        uint64_t flags;
        bool dies; /* without releasing */
        _Atomic int result;  /* of the acquisition */
        _Atomic int released;
        uint64_t token;
        pid_t tid;
        sem_t done, go;
} Other;

void other_begin(Other *o, const char *name, tooz_lock_mode mode);
int other_result(Other *o); /* waits for the acquisition */
int other_end(Other *o);    /* gives back: what release said */
void other_die(Other *o);

/* Keeps the guard of a lock, as an entry that lives, for so long. */
void local_kit_guard(tooz_local_lock *lock, uint64_t usec);
void local_kit_guard_end(void);

/* A child that has acquired `name` in the arena, opened for itself, and sleeps. */
pid_t child_hold(const char *name, tooz_lock_mode mode);
void child_kill(pid_t pid);
/* Runs it in a child, which ends well. */
void child_run(void (*fn)(void *arg), void *arg);

/* In another thread or process, where cr_assert() would end the wrong one. */
#define must(expr)                                                                   \
        do {                                                                         \
                if (!(expr)) {                                                       \
                        (void) dprintf(2, "%s:%d: %s\n", __FILE__, __LINE__, #expr); \
                        _exit(1);                                                    \
                }                                                                    \
        } while (0)
