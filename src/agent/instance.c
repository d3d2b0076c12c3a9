/* SPDX-License-Identifier: Apache-2.0 */
/* Single instance
 *
 * An open-file-description lock goes when its last descriptor does, however the process ends, and no stale file is in
 * anybody's way. The file stays: to remove it would let two processes lock two files of the same name. The kernel
 * doesn't tell who has such a lock, so the file's content does, for people. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/instance.h"
#include "base/fd.h"
#include "base/macro.h"

static int read_pid(int fd) {
        char text[32];
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        if (n <= 0)
                return 0;
        text[n] = 0;
        return atoi(text);
}

static int write_pid(int fd) {
        char text[32];
        int n = snprintf(text, sizeof(text), "%d\n", (int) getpid());

        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t) n, 0) < 0)
                return -errno;
        return 0;
}

/* A directory that is missing is made: a service's is there already. */
static void make_parent(const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *parent = slash && slash > path ? strndup(path, (size_t) (slash - path)) : NULL;

        if (parent)
                (void) mkdir(parent, 0755);
}

int instance_lock(const char *path, int *ret_fd, int *ret_pid) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        _cleanup_close_ int fd = -1;
        int r;

        make_parent(path);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
                if (errno != EAGAIN && errno != EACCES)
                        return -errno;
                *ret_pid = read_pid(fd);
                return -EEXIST;
        }

        r = write_pid(fd);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
