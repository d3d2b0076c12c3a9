/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors and small files */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/str.h"

int fd_close(int fd) {
        int saved = errno;

        if (fd >= 0) {
                /* EBADF means that someone closes descriptors that are not his: stop before he closes ours. */
                tooz_assert(close(fd) == 0 || errno != EBADF);
                errno = saved;
        }
        return -1;
}

static int fd_set_flag(int fd, int get, int set, int flag, bool on) {
        int flags = fcntl(fd, get);

        if (flags < 0)
                return -errno;
        if (fcntl(fd, set, on ? flags | flag : flags & ~flag) < 0)
                return -errno;
        return 0;
}

int fd_set_nonblock(int fd, bool on) {
        return fd_set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on) {
        return fd_set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int fd_is_same_file(int a, int b) {
        struct stat sa, sb;

        if (fstat(a, &sa) < 0 || fstat(b, &sb) < 0)
                return -errno;
        return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

int fd_write_all(int fd, const void *data, size_t len) {
        const char *p = data;

        while (len > 0) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t) n;
        }
        return 0;
}

static ssize_t fd_read_upto(int fd, char *buf, size_t size) {
        size_t len = 0;

        while (len < size) {
                ssize_t n = read(fd, buf + len, size - len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                len += (size_t) n;
        }
        return (ssize_t) len;
}

int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *data = NULL;
        ssize_t n;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;

        data = malloc(max + 1);
        if (!data)
                return -ENOMEM;

        n = fd_read_upto(fd, data, max + 1);
        if (n < 0)
                return (int) n;
        if ((size_t) n > max)
                return -EFBIG;

        data[n] = 0;
        *ret_data = TAKE_PTR(data);
        if (ret_len)
                *ret_len = (size_t) n;
        return 0;
}

static int directory_sync(const char *path) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *dir = NULL;
        const char *slash = strrchr(path, '/');

        dir = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t) (slash - path));
        if (!dir)
                return -ENOMEM;

        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

static int temporary_fill(int fd, const void *data, size_t len, mode_t mode) {
        int r;

        r = fd_write_all(fd, data, len);
        if (r < 0)
                return r;
        if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode) {
        _cleanup_free_ char *temporary = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        temporary = strjoin(path, ".XXXXXX");
        if (!temporary)
                return -ENOMEM;
        fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return -errno;

        r = temporary_fill(fd, data, len, mode);
        if (r >= 0 && rename(temporary, path) < 0)
                r = -errno;
        if (r < 0) {
                (void) unlink(temporary);
                return r;
        }
        return directory_sync(path);
}
