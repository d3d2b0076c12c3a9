/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Locks of the second kind: open-file-description locks (fcntl_locking(2)) over a whole file */

#include <stdbool.h>
#include <stdint.h>

/* Deadlines are moments of CLOCK_MONOTONIC; 0 tries, UINT64_MAX waits for ever.
 *
 * The lock belongs to the open file description: whatever shares it (dup(), a forked child until exec()) holds it too,
 * and it is released when the last of them is closed. A forked child must close its copy and do nothing else with it:
 * ofd_unlock() there would release the parent's lock, and a child that lives on after its parent's death keeps it.
 * Two descriptors from two ofd_open() exclude each other, also within one process or thread. */

/* Opens, or makes unless `existing`, the file `path`. A file that may be read only serves for shared locks.
 *      -ENOENT              it does not exist, or its folder does not
 *      -EISDIR, -EINVAL     not a regular file
 *      -ELOOP               a symbolic link to nothing: files are not made through links */
int ofd_open(const char *path, bool existing);

/* Acquires.
 *      -EAGAIN              deadline 0, and it is held
 *      -ETIMEDOUT           not acquired in time
 *      -EINTR               only if `interruptible`: a signal handler ran. A wait for ever ends by those alone that
 *                           were installed without SA_RESTART
 *      -EACCES, -EROFS      an exclusive lock on a file that was opened for reading: for want of permission, or because
 *                           its file system is mounted so
 *      -ESTALE              the file was removed, or another was renamed to its name, and nothing is held: open it anew
 *      -ENOLCK              the file system has no locks, or no more of them */
int ofd_lock(int fd, bool shared, uint64_t deadline_usec, bool interruptible);

/* Changes what is held to the other mode. While it waits, and when it fails, the old mode is held: the kernel looks
 * for conflicts before it touches what is there, and then changes the mode in place. So -ESTALE leaves a shared lock;
 * a downgrade does not look whether the file was removed. Two that both upgrade, and for ever, wait for each other: the
 * kernel finds no deadlocks among these locks. */
int ofd_convert(int fd, bool shared, uint64_t deadline_usec, bool interruptible);

/* Releases what is held, if anything. AS-safe. */
int ofd_unlock(int fd);
