/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of a process
 *
 * A process that dies closes its descriptors while it is still there: a pidfd becomes readable only afterwards. But it
 * gives up its memory before its descriptors (exit_mm() comes before exit_files() in the kernel's do_exit()), and
 * /proc/PID/statm shows that: all zeros. A descriptor of that file is bound to the process and not to its PID, can be
 * read again and again, and fails with ESRCH when there is nothing left. So one read at the end of a handle tells a
 * holder that died from one that closed it. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/str.h"
#include "bus/bus-proc.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define PROC_FILE_MAX 8192

static const char *const unit_suffixes[] = { ".service", ".scope", ".socket", ".mount", ".swap" };

static bool is_unit(const char *name) {
        for (size_t i = 0; i < ARRAY_SIZE(unit_suffixes); i++)
                if (str_ends_with(name, unit_suffixes[i]))
                        return true;
        return false;
}

/* The first element of the path that is a unit. */
static bool unit_in_path(const char *p, const char *end, char *ret, size_t size) {
        while (p < end) {
                char name[PROC_TEXT_SIZE];
                const char *slash = memchr(p, '/', (size_t) (end - p)) ?: end;
                size_t len = (size_t) (slash - p);

                /* A name that would be one of the kernel's files is escaped with an underscore. */
                if (len > 0 && len < sizeof(name)) {
                        const char *s = name;

                        memcpy(name, p, len);
                        name[len] = 0;
                        s += *s == '_';
                        if (is_unit(s)) {
                                (void) str_copy(ret, size, s);
                                str_defuse(ret, strlen(ret));
                                return true;
                        }
                }
                p = slash < end ? slash + 1 : end;
        }
        return false;
}

/* Of the unified hierarchy or of systemd's own in the old layout: where both are mounted, one of them has the units. */
void proc_parse_unit(const char *cgroup, char *ret, size_t size) {
        for (const char *line = cgroup, *end; *line; line = *end ? end + 1 : end) {
                const char *colon = strchr(line, ':'), *path;

                end = strchrnul(line, '\n');
                if (!colon || colon > end)
                        continue;
                path = str_skip_prefix(colon, "::") ?: str_skip_prefix(colon, ":name=systemd:");
                if (path && unit_in_path(path, end, ret, size))
                        return;
        }
        ret[0] = 0;
}

bool proc_parse_exiting(const char *statm) {
        return str_skip_prefix(statm, "0 ");
}

static int proc_read(pid_t pid, const char *name, char **ret) {
        char path[64];
        int r;

        r = str_print(path, sizeof(path), "/proc/%d/%s", (int) pid, name);
        if (r < 0)
                return r;
        return file_read(path, PROC_FILE_MAX, ret, NULL);
}

void proc_read_unit(pid_t pid, char *ret, size_t size) {
        _cleanup_free_ char *text = NULL;

        ret[0] = 0;
        if (pid > 0 && proc_read(pid, "cgroup", &text) >= 0)
                proc_parse_unit(text, ret, size);
        if (!str_is_utf8(ret, strlen(ret)))
                ret[0] = 0;
}

void proc_read_comm(pid_t pid, char *ret, size_t size) {
        _cleanup_free_ char *text = NULL;
        size_t len;

        ret[0] = 0;
        if (pid <= 0 || proc_read(pid, "comm", &text) < 0)
                return;

        len = strlen(text);
        if (len > 0 && text[len - 1] == '\n')
                text[--len] = 0;
        str_defuse(text, len);
        if (str_is_utf8(text, len))
                (void) str_copy(ret, size, text);
}

static bool pidfd_has_ended(int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

int proc_open(pid_t pid) {
        char path[64];
        int r, fd;

        r = str_print(path, sizeof(path), "/proc/%d/statm", (int) pid);
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int proc_open_peer(int socket_fd, pid_t pid) {
        _cleanup_close_ int fd = -1, pidfd = -1;
        socklen_t len = sizeof(pidfd);

        fd = proc_open(pid);
        if (fd < 0)
                return fd;
        /* As long as it has not ended, its PID is its own. */
        if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) >= 0 && pidfd_has_ended(pidfd))
                return -ESRCH;
        return TAKE_FD(fd);
}

int proc_open_pidfd(pid_t pid, int proc_fd) {
        _cleanup_close_ int pidfd = -1;

        if (proc_fd < 0)
                return -ESRCH;
        pidfd = pidfd_open(pid, 0); /* close-on-exec by itself */
        if (pidfd < 0)
                return -errno;
        if (proc_is_dead(proc_fd))
                return -ESRCH;
        return TAKE_FD(pidfd);
}

bool proc_is_dead(int proc_fd) {
        char text[128];
        ssize_t n;

        if (proc_fd < 0)
                return false;
        n = pread(proc_fd, text, sizeof(text) - 1, 0);
        if (n < 0)
                return errno == ESRCH;
        text[n] = 0;
        return proc_parse_exiting(text);
}
