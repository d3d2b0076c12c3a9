/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel says of a process
 *
 * A process that dies closes its descriptors while it is still there: its pidfd becomes readable only afterwards. So
 * at the end of a handle both are asked: the pidfd, and the flag PF_EXITING in /proc/PID/stat, which each thread sets
 * before it gives up its descriptors. As long as the pidfd is not readable the PID is that of our process, so that
 * reading by PID is safe in this order: read, then ask the pidfd. */

#include <errno.h>
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

#define PF_EXITING UINT64_C(0x4)
#define STAT_STATE 0 /* fields behind the name */
#define STAT_FLAGS 6
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

bool proc_parse_exiting(const char *stat) {
        const char *p = strrchr(stat, ')'); /* the name before it may hold anything */

        for (int field = STAT_STATE; p && (p = strchr(p, ' ')); field++) {
                p++;
                if (field == STAT_STATE && (*p == 'Z' || *p == 'X' || *p == 'x'))
                        return true;
                if (field == STAT_FLAGS)
                        return strtoull(p, NULL, 10) & PF_EXITING;
        }
        return false;
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

int proc_open(pid_t pid) {
        int fd = pidfd_open(pid, 0); /* close-on-exec by itself */

        return fd < 0 ? -errno : fd;
}

int proc_open_peer(int socket_fd, pid_t pid) {
        int fd = -1;
        socklen_t len = sizeof(fd);

        if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) >= 0)
                return fd;
        return proc_open(pid);
}

bool proc_is_dead(pid_t pid, int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        _cleanup_free_ char *stat = NULL;
        bool exiting;

        if (pid <= 0 || pidfd < 0)
                return false;

        exiting = proc_read(pid, "stat", &stat) < 0 || proc_parse_exiting(stat);
        if (poll(&p, 1, 0) > 0)
                return true;
        /* It lives, so what could be read was its own; what could not be read says nothing. */
        return stat && exiting;
}
