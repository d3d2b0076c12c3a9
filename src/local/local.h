/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Inside libtoozlocal */

#include <stdbool.h>
#include <sys/types.h>
#include <tooz/tooz-local.h>

#include "base/macro.h"
#include "shm/hold.h"

#define _public_ __attribute__((__visibility__("default")))
/* Kept out of the fast path's registers and cache lines. */
#define _slow_ __attribute__((__noinline__, __cold__))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

struct tooz_local_arena {
        ShmArena *shm;
        _Atomic unsigned n_refs;
};

struct tooz_local_lock {
        ShmHold hold;
        ShmArena *shm;   /* NULL: the kind for files */
        char *name;      /* or the path */
        uint64_t flags;
        pid_t pid;       /* of whoever opened it */
        _Atomic unsigned n_refs;
        /* the kind for files */
        int fd;
        bool file_held;
        bool file_shared;
};

/* This thread's actor in the arena that it used last. Wiped in a forked child. */
extern __thread ShmActor *local_actor __attribute__((__tls_model__("initial-exec"), __visibility__("hidden")));

/* The calling thread's actor, made if need be. -ECHILD and what shm_actor_new() says. */
int local_actor_get(ShmActor **ret, ShmArena *arena);
/* Whether the calling thread is the one that holds or waits. 0, -ECHILD, -EPERM. */
int local_check_thread(const tooz_local_lock *lock);

/* shm_hold_start(), with the name looked up again when its slot has become another's. */
int local_start(tooz_local_lock *lock, ShmActor *actor, bool shared, bool queue);

/* Waits for a hold that is WAITING or UPGRADING, and gives up at the deadline: 0, -ETIMEDOUT, -EINTR or an error. */
int local_wait(ShmHold *h, uint64_t deadline_usec, bool interruptible);

/* The kind for files: as the public functions. */
int file_acquire(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec);
int file_convert(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec);
int file_release(tooz_local_lock *lock);
