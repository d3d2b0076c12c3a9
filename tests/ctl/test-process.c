/* SPDX-License-Identifier: Apache-2.0 */
/* Processes below one: found wherever they hide, and only they get signals */

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/process.h"
#include "support/kit.h"

KIT_SUITE(process);

/* A child that starts a grandchild in a session of its own and says so; both sleep. */
static pid_t start_family(pid_t *ret_grandchild) {
        int fds[2];
        pid_t pid;

        cr_assert_eq(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
                pid = fork();
                if (pid == 0)
                        (void) setsid();
                else
                        (void) !write(fds[1], &pid, sizeof(pid));
                for (;;)
                        (void) pause();
        }
        cr_assert_eq(read(fds[0], ret_grandchild, sizeof(pid_t)), (ssize_t) sizeof(pid_t));
        close(fds[0]);
        close(fds[1]);
        return pid;
}

static bool has_pid(const ProcessSet *set, pid_t pid) {
        for (size_t i = 0; i < set->n; i++)
                if (set->ids[i].pid == pid)
                        return true;
        return false;
}

Test(process, finds_children_of_children_in_other_sessions) {
        ProcessSet set = {}, except = {};
        pid_t child, grandchild;

        cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL), 0);
        kit_ok(process_find_below(getpid(), NULL, &set));
        cr_assert_eq(set.n, 0);
        child = start_family(&grandchild);
        kit_ok(process_find_below(getpid(), NULL, &set));
        cr_assert_eq(set.n, 2);
        cr_assert_eq(set.ids[0].pid, child, "parents come first");
        cr_assert(has_pid(&set, grandchild));

        /* What is below an excepted one is excepted too. */
        kit_ok(process_find_below(getpid(), NULL, &except));
        kit_ok(process_find_below(getpid(), &except, &set));
        cr_assert_eq(set.n, 0);

        process_signal_all(&except, SIGKILL);
        cr_assert_eq(waitpid(-1, NULL, 0) > 0, true);
        cr_assert_eq(waitpid(-1, NULL, 0) > 0, true);
        cr_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
        process_set_done(&set);
        process_set_done(&except);
}

Test(process, a_number_that_was_used_again_gets_no_signal) {
        ProcessSet set = {};
        pid_t grandchild;

        cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL), 0);
        (void) start_family(&grandchild);
        kit_ok(process_find_below(getpid(), NULL, &set));
        for (size_t i = 0; i < set.n; i++)
                set.ids[i].start++;
        process_signal_all(&set, SIGKILL);
        kit_ok(process_find_below(getpid(), NULL, &set));
        cr_assert_eq(set.n, 2);

        process_signal_all(&set, SIGKILL);
        while (waitpid(-1, NULL, 0) > 0)
                ;
        process_set_done(&set);
}

Test(process, zombies_are_not_alive) {
        ProcessSet set = {};
        siginfo_t info;
        pid_t pid = fork();

        if (pid == 0)
                _exit(0);
        cr_assert_eq(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT), 0);
        kit_ok(process_find_below(getpid(), NULL, &set));
        cr_assert_eq(set.n, 0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        process_set_done(&set);
}
