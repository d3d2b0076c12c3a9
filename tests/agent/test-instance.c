/* SPDX-License-Identifier: Apache-2.0 */
/* Single instance */

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/instance.h"
#include "base/macro.h"
#include "support/kit.h"

KIT_SUITE(instance);

Test(instance, the_second_is_told_of_the_first) {
        _cleanup_close_ int fd = -1;
        int second = -1, pid = 0;

        kit_ok(instance_lock(kit_path("lock"), &fd, &pid));
        kit_fails(instance_lock(kit_path("lock"), &second, &pid), -EEXIST);
        cr_assert_eq(second, -1);
        cr_assert_eq(pid, getpid());
}

Test(instance, a_lock_ends_with_its_descriptor_and_leaves_no_obstacle) {
        _cleanup_close_ int fd = -1;
        int pid = 0;

        kit_ok(instance_lock(kit_path("lock"), &fd, &pid));
        close(TAKE_FD(fd));
        kit_ok(access(kit_path("lock"), F_OK));
        kit_ok(instance_lock(kit_path("lock"), &fd, &pid));
}

Test(instance, of_a_killed_process) {
        _cleanup_close_ int fd = -1;
        const char *path = kit_path("lock");
        int pipes[2], pid = 0, status;
        pid_t child;
        char byte;

        kit_ok(pipe(pipes));
        child = fork();
        if (child == 0) {
                int mine = -1;

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (instance_lock(path, &mine, &pid) == 0 && write(pipes[1], "x", 1) == 1)
                        pause();
                _exit(1);
        }
        cr_assert_eq(read(pipes[0], &byte, 1), 1);
        kit_fails(instance_lock(path, &fd, &pid), -EEXIST);
        cr_assert_eq(pid, child);

        kit_ok(kill(child, SIGKILL));
        cr_assert_eq(waitpid(child, &status, 0), child);
        kit_ok(instance_lock(path, &fd, &pid));
        close(pipes[0]);
        close(pipes[1]);
}

Test(instance, makes_the_directory_but_not_a_path) {
        _cleanup_close_ int fd = -1;
        int pid = 0;

        kit_fails(instance_lock(kit_path("a/b/lock"), &fd, &pid), -ENOENT);
        kit_ok(instance_lock(kit_path("a/lock"), &fd, &pid));
}
