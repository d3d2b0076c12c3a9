/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Open-file-description locks: the kind that excludes programs with fcntl() locks of their own
 *
 * Never F_SETLK: its locks belong to the process, exclude no thread of it, and are gone as soon as anybody in the
 * process closes any descriptor of the file.
 *
 * A wait for ever is the kernel's, F_OFD_SETLKW. One with a time-out is tried again and again, after 10 to 50 ms and at
 * the deadline, since nothing better exists for a library:
 *      - fcntl() has no wait with a time-out, and io_uring no operation for locks;
 *      - alarm(), timers and the signals that they send belong to the application;
 *      - a thread that waits in our place would be a thread, would not exist in a forked child, and could be got out of
 *        fcntl() by a signal only.
 * The price: such a waiter has the lock up to 50 ms late, 20 system calls a second, and no place in a queue. Whoever
 * tries at the right time is first; a stream of readers may keep a writer out. The kernel's own waiters are woken at
 * once, but have no order either. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/time.h"
#include "local/ofd.h"
#include "shm/futex.h"

#define PERIOD_MIN_USEC (10 * USEC_PER_MSEC)
#define PERIOD_MAX_USEC (50 * USEC_PER_MSEC)

/* Devices and pipes are refused once they are open: that must neither block nor get us a terminal. */
#define OPEN_FLAGS (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define OPEN_TRIES 8

/* open(), F_OFD_SETLKW, sleeping and close() would be cancellation points. */
static int cancel_disable(void) {
        int state;

        (void) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
        return state;
}

static void cancel_restore(const int *state) {
        (void) pthread_setcancelstate(*state, NULL);
}

#define _cleanup_cancel_ _unused_ _cleanup_(cancel_restore)

static int open_existing(const char *path) {
        int fd;

        fd = open(path, O_RDWR | OPEN_FLAGS);
        if (fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS || errno == ETXTBSY))
                fd = open(path, O_RDONLY | OPEN_FLAGS);
        return fd < 0 ? -errno : fd;
}

/* Two steps rather than one open() with O_CREAT: that refuses another user's file in /tmp (fs.protected_regular), and
 * makes files where somebody's symbolic link points to. To follow a link to what exists is right: whoever else locks
 * that file has followed it too. */
static int open_or_make(const char *path) {
        for (unsigned i = 0; i < OPEN_TRIES; i++) {
                int fd;

                fd = open_existing(path);
                if (fd != -ENOENT)
                        return fd;
                fd = open(path, O_RDWR | O_CREAT | O_EXCL | OPEN_FLAGS, 0666);
                if (fd >= 0)
                        return fd;
                if (errno != EEXIST)
                        return -errno;
        }
        return -ELOOP;
}

int ofd_open(const char *path, bool existing) {
        _cleanup_cancel_ int cancel = cancel_disable();
        _cleanup_close_ int fd = -1;
        struct stat st;

        fd = existing ? open_existing(path) : open_or_make(path);
        if (fd < 0)
                return fd == -ENXIO ? -EINVAL : fd; /* a socket */
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        return TAKE_FD(fd);
}

/* fcntl() says EBADF when the descriptor can't write. */
static int explain_bad_fd(int fd) {
        int flags = fcntl(fd, F_GETFL);
        struct statvfs fs;

        if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY)
                return -EBADF;
        return fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_RDONLY) ? -EROFS : -EACCES;
}

/* Only EAGAIN is a conflict: with EACCES a security module refuses, which no waiting will change. */
static int ofd_set(int fd, int command, short type, bool interruptible) {
        struct flock whole = { .l_type = type, .l_whence = SEEK_SET }; /* l_len 0: however long it gets */
        int r;

        do
                r = fcntl(fd, command, &whole);
        while (r < 0 && errno == EINTR && !interruptible);

        if (r >= 0)
                return 0;
        return errno == EBADF ? explain_bad_fd(fd) : -errno;
}

static int sleep_until(uint64_t usec, bool interruptible) {
        struct timespec ts = { .tv_sec = (time_t) (usec / USEC_PER_SEC),
                               .tv_nsec = (long) (usec % USEC_PER_SEC * NSEC_PER_USEC) };
        int error;

        do
                error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
        while (error == EINTR && !interruptible);
        return -error;
}

static int ofd_poll(int fd, short type, uint64_t deadline_usec, bool interruptible) {
        uint64_t period = PERIOD_MIN_USEC;

        for (;;) {
                uint64_t now = shm_now(); /* before trying: the last try is not earlier than the deadline */
                int r;

                r = ofd_set(fd, F_OFD_SETLK, type, interruptible);
                if (r != -EAGAIN)
                        return r;
                if (now >= deadline_usec)
                        return -ETIMEDOUT;

                r = sleep_until(MIN(usec_add(now, period), deadline_usec), interruptible);
                if (r < 0)
                        return r;
                period = MIN(period * 2, PERIOD_MAX_USEC);
        }
}

static int ofd_wait(int fd, bool shared, uint64_t deadline_usec, bool interruptible) {
        short type = shared ? F_RDLCK : F_WRLCK;

        if (deadline_usec == 0)
                return ofd_set(fd, F_OFD_SETLK, type, interruptible);
        if (deadline_usec == USEC_INFINITY)
                return ofd_set(fd, F_OFD_SETLKW, type, interruptible);
        return ofd_poll(fd, type, deadline_usec, interruptible);
}

/* Who opens the path of a removed file now gets another file, and a lock that excludes nobody here. Links are counted
 * rather than the path looked up: that may mean something else by now (chdir(), chroot(), mounts). So a file that was
 * moved away is not noticed, nor one that an NFS client keeps as .nfsXXXX. */
static int check_linked(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        return st.st_nlink > 0 ? 0 : -ESTALE;
}

int ofd_lock(int fd, bool shared, uint64_t deadline_usec, bool interruptible) {
        _cleanup_cancel_ int cancel = cancel_disable();
        int r;

        r = ofd_wait(fd, shared, deadline_usec, interruptible);
        if (r < 0)
                return r;
        r = check_linked(fd);
        if (r < 0)
                (void) ofd_unlock(fd);
        return r;
}

int ofd_convert(int fd, bool shared, uint64_t deadline_usec, bool interruptible) {
        _cleanup_cancel_ int cancel = cancel_disable();
        int r;

        r = ofd_wait(fd, shared, deadline_usec, interruptible);
        if (r < 0 || shared)
                return r;
        r = check_linked(fd);
        if (r < 0)
                (void) ofd_set(fd, F_OFD_SETLK, F_RDLCK, false); /* never waits: nobody was beside us */
        return r;
}

int ofd_unlock(int fd) {
        int saved = errno, r;

        r = ofd_set(fd, F_OFD_SETLK, F_UNLCK, false);
        errno = saved;
        return r;
}
