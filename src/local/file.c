/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* The kind for files: what ofd.c does, with the answers of the other kind */

#include <errno.h>

#include "local/local.h"
#include "local/ofd.h"

int file_acquire(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec) {
        int r;

        if (lock->file_held)
                return -EDEADLK;
        r = ofd_lock(lock->fd, mode == TOOZ_LOCK_SHARED, deadline_usec, lock->flags & TOOZ_LOCAL_INTERRUPTIBLE);
        if (r < 0)
                return r;
        lock->file_held = true;
        lock->file_shared = mode == TOOZ_LOCK_SHARED;
        return 0;
}

int file_convert(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec) {
        int r;

        if (!lock->file_held)
                return -EPERM;
        if (lock->file_shared == (mode == TOOZ_LOCK_SHARED))
                return 0;
        r = ofd_convert(lock->fd, mode == TOOZ_LOCK_SHARED, deadline_usec, lock->flags & TOOZ_LOCAL_INTERRUPTIBLE);
        if (r < 0)
                return r;
        lock->file_shared = mode == TOOZ_LOCK_SHARED;
        return 0;
}

int file_release(tooz_local_lock *lock) {
        int r;

        if (!lock->file_held)
                return -EPERM;
        r = ofd_unlock(lock->fd);
        if (r >= 0)
                lock->file_held = false;
        return r;
}
