/* SPDX-License-Identifier: Apache-2.0 */
/* What is read from /proc: units, names, dying processes */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "bus/bus-proc.h"
#include "support/kit.h"

KIT_SUITE(bus_proc);

static void check_unit(const char *cgroup, const char *want) {
        char unit[PROC_TEXT_SIZE] = "before";

        proc_parse_unit(cgroup, unit, sizeof(unit));
        kit_streq(unit, want);
}

Test(bus_proc, unit_is_the_outermost_that_is_no_slice) {
        check_unit("0::/system.slice/backup.service\n", "backup.service");
        check_unit("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service");
        check_unit("0::/system.slice/docker-0a.scope/init.scope\n", "docker-0a.scope");
        check_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "user@1000.service");
        check_unit("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope");
        check_unit("0::/system.slice/backup.service/payload/deep\n", "backup.service");
        check_unit("0::/_cgroup.service\n", "cgroup.service");
        check_unit("2:cpu:/a\n1:name=systemd:/system.slice/old.service\n0::/\n", "old.service");
        check_unit("2:cpu:/\n1:name=systemd:/\n0::/system.slice/new.service\n", "new.service");
        check_unit("0::/../../system.slice/out.service\n", "out.service");
}

Test(bus_proc, no_unit) {
        check_unit("", "");
        check_unit("0::/\n", "");
        check_unit("0::/user.slice\n", "");
        check_unit("garbage", "");
        check_unit("::::\n\n:", "");
        check_unit("2:cpu:/x.service\n", "");
        check_unit("0::/evil\x01.service\n", "evil?.service");
}

Test(bus_proc, long_names_are_left_out) {
        char text[2048] = "0::/";

        memset(text + 4, 'x', 1000);
        (void) str_copy(text + 1004, 100, ".service\n");
        check_unit(text, "");
}

Test(bus_proc, exiting_is_to_have_no_memory) {
        cr_assert(proc_parse_exiting("0 0 0 0 0 0 0\n"));
        cr_assert(!proc_parse_exiting("10123 45 6 7 0 8 0\n"));
        cr_assert(!proc_parse_exiting("10 0 0 0 0 0 0\n"));
        cr_assert(!proc_parse_exiting(""));
}

Test(bus_proc, own_name) {
        char comm[PROC_TEXT_SIZE];

        prctl(PR_SET_NAME, "two\nlines");
        proc_read_comm(getpid(), comm, sizeof(comm));
        kit_streq(comm, "two?lines");
        prctl(PR_SET_NAME, "\xff\xfe");
        proc_read_comm(getpid(), comm, sizeof(comm));
        kit_streq(comm, "");
        proc_read_comm(0, comm, sizeof(comm));
        kit_streq(comm, "");
}

Test(bus_proc, the_living_and_the_dead) {
        struct pollfd p;
        pid_t pid;
        int fd, pidfd;

        fd = kit_ok(proc_open(getpid()));
        cr_assert(!proc_is_dead(fd));
        cr_assert(!proc_is_dead(-1));
        fd_close(fd);

        pid = fork();
        if (pid == 0) {
                pause();
                _exit(0);
        }
        fd = kit_ok(proc_open(pid));
        pidfd = kit_ok(proc_open_pidfd(pid, fd));
        cr_assert(!proc_is_dead(fd));
        kit_ok(kill(pid, SIGKILL));
        p = (struct pollfd) { .fd = pidfd, .events = POLLIN };
        cr_assert_eq(poll(&p, 1, -1), 1);
        /* A zombie, and then nothing at all: both are dead. */
        cr_assert(proc_is_dead(fd));
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        cr_assert(proc_is_dead(fd));
        kit_fails(proc_open_pidfd(pid, fd), -ESRCH);
        kit_fails(proc_open_pidfd(getpid(), -1), -ESRCH);
        fd_close(pidfd);
        fd_close(fd);
}

/* The moment in which it counts: descriptors are closed, but the process is still there. */
Test(bus_proc, dead_as_soon_as_its_descriptors_are_closed) {
        for (int i = 0; i < 200; i++) {
                int fd, pair[2];
                char c;
                pid_t pid;

                cr_assert_eq(pipe(pair), 0);
                pid = fork();
                if (pid == 0) {
                        pause();
                        _exit(0);
                }
                close(pair[1]);
                fd = kit_ok(proc_open(pid));
                kit_ok(kill(pid, SIGKILL));
                cr_assert_eq(read(pair[0], &c, 1), 0);
                cr_assert(proc_is_dead(fd), "round %d", i);
                cr_assert_eq(waitpid(pid, NULL, 0), pid);
                fd_close(fd);
                close(pair[0]);
        }
}

Test(bus_proc, other_end_of_a_socket) {
        int fd, pair[2];

        kit_ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        fd = kit_ok(proc_open_peer(pair[0], getpid()));
        cr_assert(!proc_is_dead(fd));
        fd_close(fd);
        close(pair[0]);
        close(pair[1]);

}
