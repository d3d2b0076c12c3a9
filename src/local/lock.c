/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Locks: opening, acquiring, releasing. The fast path is shm_hold_start_fast(): all that stands before it here is paid
 * for by every acquisition. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "local/local.h"
#include "local/ofd.h"
#include "shm/directory.h"

#define FLAGS_ALL (TOOZ_LOCAL_EXISTING | TOOZ_LOCAL_INTERRUPTIBLE | TOOZ_LOCAL_STAMP | TOOZ_LOCAL_FCNTL)

/* --- opening ---------------------------------------------------------------------------------------- */

static bool has_control(const char *name) {
        for (const unsigned char *p = (const unsigned char *) name; *p; p++)
                if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0))
                        return true;
        return false;
}

/* The rules of the domain `node`. */
static bool name_is_valid(const char *name) {
        size_t len = strlen(name);

        return len >= 1 && len <= SHM_NAME_MAX && !streq(name, ".") && !streq(name, "..") && str_is_utf8(name, len) &&
               !has_control(name);
}

static tooz_local_lock *lock_free(tooz_local_lock *lock) {
        if (!lock)
                return NULL;
        shm_arena_unref(lock->shm);
        fd_close(lock->fd);
        free(lock->name);
        free(lock);
        return NULL;
}

DEFINE_CLEANUP(tooz_local_lock, lock_free);

static int lock_new(tooz_local_lock **ret, const char *name, uint64_t flags) {
        tooz_local_lock *lock;
        int r;

        if (flags & ~FLAGS_ALL)
                return -EINVAL;
        lock = calloc(1, sizeof(*lock));
        if (!lock)
                return -ENOMEM;
        lock->n_refs = 1;
        lock->flags = flags;
        lock->fd = -1;
        lock->pid = getpid();
        r = strdup_to(&lock->name, name);
        if (r < 0) {
                free(lock);
                return r;
        }
        *ret = lock;
        return 0;
}

static int lock_find(tooz_local_lock *lock, bool make) {
        uint32_t index, generation;
        int r;

        r = shm_directory_find(lock->shm, lock->name, make, &index, &generation);
        if (r < 0)
                return r;
        shm_hold_init(&lock->hold, lock->shm, index, generation);
        if (lock->flags & TOOZ_LOCAL_STAMP)
                lock->hold.fast = NULL;
        return 0;
}

_public_ int tooz_local_lock_open(tooz_local_lock **ret, tooz_local_arena *arena, const char *name, uint64_t flags) {
        _cleanup_(lock_freep) tooz_local_lock *lock = NULL;
        int r;

        if (!name_is_valid(name) || flags & TOOZ_LOCAL_FCNTL)
                return -EINVAL;
        if (arena->shm->pid != getpid())
                return -ECHILD;
        r = lock_new(&lock, name, flags);
        if (r < 0)
                return r;
        lock->shm = shm_arena_ref(arena->shm);
        r = lock_find(lock, !(flags & TOOZ_LOCAL_EXISTING));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(lock);
        return 0;
}

_public_ int tooz_local_lock_open_path(tooz_local_lock **ret, const char *path, uint64_t flags) {
        _cleanup_(lock_freep) tooz_local_lock *lock = NULL;
        int r;

        r = lock_new(&lock, path, flags);
        if (r < 0)
                return r;
        lock->fd = ofd_open(path, flags & TOOZ_LOCAL_EXISTING);
        if (lock->fd < 0)
                return lock->fd;
        *ret = TAKE_PTR(lock);
        return 0;
}

_public_ tooz_local_lock *tooz_local_lock_ref(tooz_local_lock *lock) {
        (void) atomic_fetch_add(&lock->n_refs, 1);
        return lock;
}

static void lock_let_go(tooz_local_lock *lock) {
        /* A forked child may keep the description open: closing it would not be enough. */
        if (!lock->shm && lock->pid == getpid())
                (void) file_release(lock);
        if (!lock->shm || local_check_thread(lock) < 0)
                return;
        if (lock->hold.state == SHM_HOLD_WAITING)
                (void) tooz_local_lock_cancel(lock);
        if (lock->hold.state == SHM_HOLD_HELD)
                (void) shm_hold_release(&lock->hold);
}

_public_ tooz_local_lock *tooz_local_lock_unref(tooz_local_lock *lock) {
        if (lock && atomic_fetch_sub(&lock->n_refs, 1) == 1) {
                lock_let_go(lock);
                lock_free(lock);
        }
        return NULL;
}

/* --- acquiring -------------------------------------------------------------------------------------- */

static uint64_t deadline_of(uint64_t timeout_usec) {
        uint64_t now;

        if (timeout_usec == 0 || timeout_usec == UINT64_MAX)
                return timeout_usec;
        now = shm_now();
        return timeout_usec > UINT64_MAX - now ? UINT64_MAX : now + timeout_usec;
}

static bool is_interruptible(const tooz_local_lock *lock) {
        return lock->flags & TOOZ_LOCAL_INTERRUPTIBLE;
}

/* The slot may have become another name's since. */
int local_start(tooz_local_lock *lock, ShmActor *actor, bool shared, bool queue) {
        int r;

        while ((r = shm_hold_start(&lock->hold, actor, shared, queue)) == -ESTALE) {
                r = lock_find(lock, true);
                if (r < 0)
                        return r;
        }
        return r;
}

/* Whoever has to wait is told at last if the arena was taken away meanwhile: then others lock in another one. */
static int waited(tooz_local_lock *lock) {
        int r = shm_arena_check_often(lock->shm);

        if (r < 0) {
                (void) shm_hold_release(&lock->hold);
                return r;
        }
        return lock->hold.died;
}

static _slow_ int acquire_slow(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec) {
        ShmActor *actor;
        int r;

        if ((unsigned) mode >= _TOOZ_LOCK_MODE_MAX)
                return -EINVAL;
        if (!lock->shm)
                return lock->pid != getpid() ? -ECHILD : file_acquire(lock, mode, deadline_usec);
        r = local_actor_get(&actor, lock->shm);
        if (r < 0)
                return r;
        lock->hold.deadline_usec = deadline_usec;
        r = local_start(lock, actor, mode == TOOZ_LOCK_SHARED, deadline_usec != 0);
        if (r != -EINPROGRESS)
                return r < 0 ? r : lock->hold.died;
        r = local_wait(&lock->hold, deadline_usec, is_interruptible(lock));
        return r < 0 ? r : waited(lock);
}

static _slow_ int acquire_unread(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec) {
        shm_hold_unread(&lock->hold, local_actor->spare, 0);
        return acquire_slow(lock, mode, deadline_usec);
}

static bool acquire_past(tooz_local_lock *lock, tooz_lock_mode mode) {
        ShmActor *actor = local_actor;

        return mode == TOOZ_LOCK_EXCLUSIVE && actor && actor->arena == lock->hold.fast &&
               shm_hold_start_past(&lock->hold, actor);
}

static _slow_ int acquire_timeout(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t timeout_usec, ShmFast fast) {
        uint64_t deadline_usec;

        if (fast == SHM_FAST_NO && acquire_past(lock, mode))
                return 0;
        deadline_usec = deadline_of(timeout_usec);
        return fast == SHM_FAST_UNREAD ? acquire_unread(lock, mode, deadline_usec) :
                                         acquire_slow(lock, mode, deadline_usec);
}

static inline __attribute__((__always_inline__)) ShmFast acquire_fast(tooz_local_lock *lock, tooz_lock_mode mode) {
        ShmActor *actor = local_actor;

        if (unlikely(!actor || actor->arena != lock->hold.fast))
                return SHM_FAST_NO;
        if (mode == TOOZ_LOCK_EXCLUSIVE)
                return shm_hold_start_fast(&lock->hold, actor, false);
        return mode == TOOZ_LOCK_SHARED ? shm_hold_start_fast(&lock->hold, actor, true) : SHM_FAST_NO;
}

_public_ int tooz_local_lock_acquire(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t timeout_usec) {
        ShmFast fast = acquire_fast(lock, mode);

        return likely(fast == SHM_FAST_YES) ? 0 : acquire_timeout(lock, mode, timeout_usec, fast);
}

_public_ int tooz_local_lock_acquire_until(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec) {
        ShmFast fast = acquire_fast(lock, mode);

        if (likely(fast == SHM_FAST_YES))
                return 0;
        if (fast == SHM_FAST_UNREAD)
                return acquire_unread(lock, mode, MAX(deadline_usec, 1u));
        return acquire_slow(lock, mode, MAX(deadline_usec, 1u));
}

_public_ int tooz_local_lock_try(tooz_local_lock *lock, tooz_lock_mode mode) {
        return tooz_local_lock_acquire(lock, mode, 0);
}

/* --- held ------------------------------------------------------------------------------------------- */

static int check_held(const tooz_local_lock *lock) {
        int r = local_check_thread(lock);

        return r < 0 ? r : lock->hold.state == SHM_HOLD_WAITING ? -EPERM : 0;
}

static _slow_ int release_slow(tooz_local_lock *lock) {
        int r;

        if (!lock->shm)
                return lock->pid != getpid() ? -ECHILD : file_release(lock);
        r = check_held(lock);
        if (r < 0)
                return r;
        return shm_hold_release(&lock->hold);
}

_public_ int tooz_local_lock_release(tooz_local_lock *lock) {
        ShmActor *actor = local_actor;

        if (likely(actor && lock->hold.state == SHM_HOLD_HELD && actor == lock->hold.actor &&
                   actor->serial == lock->hold.serial))
                return shm_hold_release(&lock->hold);
        return release_slow(lock);
}

_public_ int tooz_local_lock_convert(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t timeout_usec) {
        uint64_t deadline_usec = deadline_of(timeout_usec);
        int r;

        if ((unsigned) mode >= _TOOZ_LOCK_MODE_MAX)
                return -EINVAL;
        if (!lock->shm)
                return lock->pid != getpid() ? -ECHILD : file_convert(lock, mode, deadline_usec);
        r = local_check_thread(lock);
        if (r < 0)
                return r;
        if (lock->hold.state != SHM_HOLD_HELD)
                return -EPERM;
        if (lock->hold.shared == (mode == TOOZ_LOCK_SHARED))
                return shm_hold_is_held(&lock->hold) ? 0 : -ENOLCK;
        lock->hold.deadline_usec = deadline_usec;
        r = shm_hold_convert(&lock->hold, mode == TOOZ_LOCK_SHARED, deadline_usec != 0);
        if (r == -EINPROGRESS)
                r = local_wait(&lock->hold, deadline_usec, is_interruptible(lock));
        return r < 0 ? r : mode == TOOZ_LOCK_EXCLUSIVE && lock->hold.died;
}

_public_ int tooz_local_lock_mark_consistent(tooz_local_lock *lock) {
        int r;

        if (!lock->shm)
                return -EOPNOTSUPP;
        r = check_held(lock);
        if (r < 0)
                return r;
        if (lock->hold.shared || !shm_hold_is_held(&lock->hold))
                return -EPERM;
        shm_hold_mark_consistent(&lock->hold);
        return 0;
}

_public_ int tooz_local_lock_break(tooz_local_lock *lock, uint64_t token) {
        _cleanup_(lock_freep) tooz_local_lock *other = NULL;
        ShmActor *actor;
        int r;

        if (!lock->shm)
                return -EOPNOTSUPP;
        r = local_actor_get(&actor, lock->shm);
        if (r < 0)
                return r;
        /* The object may hold it itself: a use of its own for this one. */
        r = lock_new(&other, lock->name, 0);
        if (r < 0)
                return r;
        other->shm = shm_arena_ref(lock->shm);
        r = lock_find(other, false);
        if (r == -ENOENT)
                return -ENOLCK;
        if (r < 0)
                return r;
        r = shm_hold_break(&other->hold, actor, token);
        return r == -ESTALE ? -ENOLCK : r;
}

_public_ int tooz_local_lock_get_name(tooz_local_lock *lock, const char **ret) {
        *ret = lock->name;
        return 0;
}

/* The state of an object of the parent says in a child what was true when it was forked. */
_public_ int tooz_local_lock_get_token(tooz_local_lock *lock, uint64_t *ret) {
        if (lock->pid != getpid())
                return -ECHILD;
        if (!lock->shm) {
                if (!lock->file_held)
                        return -EPERM;
                *ret = 0;
                return 0;
        }
        if (lock->hold.state != SHM_HOLD_HELD && lock->hold.state != SHM_HOLD_UPGRADING)
                return -EPERM;
        return shm_hold_get_token(&lock->hold, ret);
}

_public_ int tooz_local_lock_is_held(tooz_local_lock *lock) {
        if (lock->pid != getpid())
                return -ECHILD;
        return lock->shm ? shm_hold_is_held(&lock->hold) : lock->file_held;
}
