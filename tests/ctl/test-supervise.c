/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor with real commands: what ends, what is stopped, and how */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "ctl/options.h"
#include "ctl/supervise.h"
#include "support/kit.h"

KIT_SUITE(supervise);

static Supervisor s;
static int signal_fd;

static void setup(void) {
        sigset_t set, old;

        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        cr_assert_eq(sigprocmask(SIG_BLOCK, &set, &old), 0);
        signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        cr_assert_geq(signal_fd, 0);
        kit_ok(supervisor_init(&s, &old));
}

static void teardown(void) {
        supervisor_deinit(&s);
        (void) fd_close(signal_fd);
}

/* Handles what comes until `done`, or for ever: the suite has a time-out. */
static void run_until(bool (*done)(void)) {
        while (!done()) {
                struct pollfd p = { .fd = signal_fd, .events = POLLIN };
                uint64_t timer_usec = supervisor_next_timer(&s), now = time_now();
                struct signalfd_siginfo info;
                int timeout_msec = 20;

                if (timer_usec != USEC_INFINITY)
                        timeout_msec = (int) MIN(usec_sub(timer_usec, now) / USEC_PER_MSEC + 1, (uint64_t) 20);
                (void) poll(&p, 1, timeout_msec);
                (void) !read(signal_fd, &info, sizeof(info));
                supervisor_on_child(&s, time_now());
                supervisor_on_timer(&s, time_now());
        }
}

static bool is_gone(void) {
        return s.state == SUPERVISE_GONE;
}

static bool is_lingering(void) {
        return s.state == SUPERVISE_LINGERING;
}

static const char *mark;

static bool is_marked(void) {
        return access(mark, F_OK) == 0;
}

static int start(const char *script) {
        char *argv[] = { (char *) (uintptr_t) "sh", (char *) (uintptr_t) "-c", (char *) (uintptr_t) script, NULL };

        mark = kit_path("mark");
        cr_assert_eq(setenv("MARK", mark, 1), 0);
        return supervisor_start(&s, argv, -1);
}

static void expect_nobody(void) {
        cr_assert(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

Test(supervise, status_of_the_command) {
        setup();
        kit_ok(start("exit 7"));
        run_until(is_gone);
        cr_assert_eq(s.exit_status, 7);
        teardown();
}

Test(supervise, a_signal_counts_from_128) {
        setup();
        kit_ok(start("kill -USR1 $$"));
        run_until(is_gone);
        cr_assert_eq(s.exit_status, EXIT_SIGNAL + SIGUSR1);
        teardown();
}

Test(supervise, what_cannot_be_run) {
        char *absent[] = { (char *) (uintptr_t) kit_path("absent"), NULL };
        char *folder[] = { (char *) (uintptr_t) kit_folder(), NULL };

        setup();
        kit_fails(supervisor_start(&s, absent, -1), -ENOENT);
        expect_nobody();
        kit_fails(supervisor_start(&s, folder, -1), -EACCES);
        expect_nobody();
        teardown();
}

Test(supervise, keeps_the_lock_while_something_is_left) {
        setup();
        kit_ok(start("(setsid sh -c 'touch $MARK; while test -e $MARK; do sleep 0.01; done') & "
                     "while ! test -e $MARK; do sleep 0.01; done; exit 3"));
        run_until(is_lingering);
        cr_assert_eq(s.exit_status, 3);
        cr_assert_eq(unlink(mark), 0);
        run_until(is_gone);
        expect_nobody();
        teardown();
}

Test(supervise, close_lets_go_what_is_left) {
        ProcessSet left = {};

        setup();
        s.close = true;
        kit_ok(start("sleep 1000 & touch $MARK; exit 3"));
        run_until(is_gone);
        cr_assert_eq(s.exit_status, 3);
        kit_ok(process_find_below(getpid(), NULL, &left));
        cr_assert_eq(left.n, 1);
        process_signal_all(&left, SIGKILL);
        cr_assert_gt(waitpid(-1, NULL, 0), 0);
        process_set_done(&left);
        teardown();
}

Test(supervise, stops_all_with_term) {
        setup();
        kit_ok(start("setsid sh -c 'setsid sleep 1000 & sleep 1000' & touch $MARK; sleep 1000"));
        run_until(is_marked);
        supervisor_stop(&s, USEC_INFINITY, time_now());
        cr_assert_eq(s.state, SUPERVISE_TERMINATING);
        run_until(is_gone);
        expect_nobody();
        cr_assert_eq(s.exit_status, EXIT_SIGNAL + SIGTERM);
        teardown();
}

Test(supervise, kills_what_ignores_term) {
        setup();
        kit_ok(start("trap '' TERM; setsid sh -c 'trap \"\" TERM; touch $MARK; while :; do sleep 0.01; done' & "
                     "while :; do sleep 0.01; done"));
        run_until(is_marked);
        supervisor_stop(&s, time_now() + 50 * USEC_PER_MSEC, time_now());
        cr_assert_eq(s.state, SUPERVISE_TERMINATING);
        run_until(is_gone);
        expect_nobody();
        cr_assert_eq(s.exit_status, EXIT_SIGNAL + SIGKILL);
        teardown();
}

Test(supervise, kills_at_once_when_it_is_too_late_for_term) {
        setup();
        kit_ok(start("trap 'exit 1' TERM; touch $MARK; while :; do sleep 0.01; done"));
        run_until(is_marked);
        supervisor_stop(&s, time_now(), time_now());
        cr_assert_eq(s.state, SUPERVISE_KILLING);
        run_until(is_gone);
        cr_assert_eq(s.exit_status, EXIT_SIGNAL + SIGKILL);
        teardown();
}

Test(supervise, a_later_stop_only_brings_kill_forward) {
        setup();
        kit_ok(start("trap '' TERM; touch $MARK; while :; do sleep 0.01; done"));
        run_until(is_marked);
        supervisor_stop(&s, time_now() + 3600 * USEC_PER_SEC, time_now());
        supervisor_stop(&s, USEC_INFINITY, time_now());
        cr_assert_lt(supervisor_next_timer(&s), USEC_INFINITY);
        supervisor_stop(&s, 0, time_now());
        run_until(is_gone);
        teardown();
}

Test(supervise, stopped_processes_see_term) {
        setup();
        kit_ok(start("touch $MARK; kill -STOP $$; exit 9"));
        run_until(is_marked);
        supervisor_stop(&s, USEC_INFINITY, time_now());
        run_until(is_gone);
        expect_nobody();
        teardown();
}

Test(supervise, signals_are_passed_on_to_the_group) {
        setup();
        kit_ok(start("trap 'exit 5' USR2; touch $MARK; while :; do sleep 0.01; done"));
        run_until(is_marked);
        supervisor_forward(&s, SIGUSR2);
        run_until(is_gone);
        cr_assert_eq(s.exit_status, 5);
        teardown();
}

Test(supervise, children_from_before_are_left_alone) {
        pid_t mine = fork();

        if (mine == 0)
                for (;;)
                        (void) pause();
        setup();
        kit_ok(start("touch $MARK; sleep 1000"));
        run_until(is_marked);
        supervisor_stop(&s, 0, time_now());
        run_until(is_gone);
        cr_assert_eq(kill(mine, 0), 0);
        cr_assert_eq(waitpid(mine, NULL, WNOHANG), 0);
        cr_assert_eq(kill(mine, SIGKILL), 0);
        cr_assert_eq(waitpid(mine, NULL, 0), mine);
        teardown();
}

Test(supervise, the_command_has_a_group_the_old_mask_and_the_handle) {
        char script[256];
        char *argv[] = { (char *) (uintptr_t) "sh", (char *) (uintptr_t) "-c", script, NULL };
        int handle = open("/dev/null", O_RDONLY | O_CLOEXEC);

        setup();
        /* A blocked SIGCHLD would be bit 16 of SigBlk. */
        kit_ok(str_print(script, sizeof(script),
                         "test -e /proc/self/fd/%d && grep -q 'SigBlk:.0*$' /proc/self/status && "
                         "test $(cut -d' ' -f5 /proc/$$/stat) = $$", handle));
        kit_ok(supervisor_start(&s, argv, handle));
        run_until(is_gone);
        cr_assert_eq(s.exit_status, 0);
        cr_assert(fcntl(handle, F_GETFD) & FD_CLOEXEC);
        (void) fd_close(handle);
        teardown();
}

Test(supervise, the_command_dies_with_its_supervisor) {
        int fds[2];
        char byte;
        pid_t middle;

        /* The write end is open in the middle process and in its command alone. */
        cr_assert_eq(pipe(fds), 0);
        middle = fork();
        if (middle == 0) {
                close(fds[0]);
                setup();
                kit_ok(start("touch $MARK; exec sleep 1000"));
                run_until(is_marked);
                (void) kill(getpid(), SIGKILL);
        }
        close(fds[1]);
        cr_assert_eq(read(fds[0], &byte, 1), 0, "end of file: the command is gone");
        close(fds[0]);
        cr_assert_eq(waitpid(middle, NULL, 0), middle);
        while (waitpid(-1, NULL, 0) > 0)
                ;
}
