/* SPDX-License-Identifier: Apache-2.0 */
/* Supervisor of a command that runs under a lock
 *
 *      IDLE --> RUNNING --> LINGERING ---+
 *                 |   |         |        |
 *                 |   +---------|--------+--> GONE
 *                 |             |             ^
 *                 +------+------+             |
 *                        v                    |
 *                   TERMINATING --> KILLING --+
 *                        +--------------------+
 *
 * RUNNING      the command runs. When it ends and something that it started has not, LINGERING: the lock is kept as
 *              long as work may go on under it. With `close` what is left is let go instead.
 * TERMINATING  the lock is lost: every process below us got TERM (and CONT, since a stopped one would not see it).
 * KILLING      they get KILL, again and again, until none is left: one that was being started may have been missed.
 * GONE         no process below us is left. Only then is the lock given back.
 *
 * This process is a subreaper (prctl(2)), so what is below us stays below us, also after setsid() and daemon(): it can
 * be found by its parents, and wait() tells when there is none left. Children that were here before us (a shell that
 * exec()ed us had started them) are none of our business.
 *
 * If this process is killed itself, the kernel kills the command; what that has started lives on, but it has inherited
 * the handle, so the lock is kept until it has ended too.
 *
 * One thread; the caller has SIGCHLD blocked and tells of it. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/time.h"
#include "ctl/options.h"
#include "ctl/supervise.h"

/* How soon after a KILL to look for those that it missed. */
#define KILL_AGAIN_USEC (20 * USEC_PER_MSEC)

static const char *const supervise_state_table[_SUPERVISE_STATE_MAX] = {
        [SUPERVISE_IDLE] = "idle",
        [SUPERVISE_RUNNING] = "running",
        [SUPERVISE_LINGERING] = "lingering",
        [SUPERVISE_TERMINATING] = "terminating",
        [SUPERVISE_KILLING] = "killing",
        [SUPERVISE_GONE] = "gone",
};
DEFINE_STRING_TABLE(supervise_state, SuperviseState, _SUPERVISE_STATE_MAX);

static const bool legal[_SUPERVISE_STATE_MAX][_SUPERVISE_STATE_MAX] = {
        [SUPERVISE_IDLE] = { [SUPERVISE_RUNNING] = true },
        [SUPERVISE_RUNNING] = { [SUPERVISE_LINGERING] = true, [SUPERVISE_TERMINATING] = true,
                                [SUPERVISE_KILLING] = true, [SUPERVISE_GONE] = true },
        [SUPERVISE_LINGERING] = { [SUPERVISE_TERMINATING] = true, [SUPERVISE_KILLING] = true,
                                  [SUPERVISE_GONE] = true },
        [SUPERVISE_TERMINATING] = { [SUPERVISE_KILLING] = true, [SUPERVISE_GONE] = true },
        [SUPERVISE_KILLING] = { [SUPERVISE_GONE] = true },
};

static void supervisor_enter(Supervisor *s, SuperviseState state) {
        tooz_assert(legal[s->state][state]);
        s->state = state;
        s->timer_usec = USEC_INFINITY;
}

int supervisor_init(Supervisor *s, const sigset_t *mask) {
        *s = (Supervisor) { .tty_fd = -1, .mask = *mask, .timer_usec = USEC_INFINITY, .kill_usec = USEC_INFINITY };

        if (prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) < 0)
                return -errno;
        return process_find_below(getpid(), NULL, &s->own);
}

void supervisor_deinit(Supervisor *s) {
        s->tty_fd = fd_close(s->tty_fd);
        process_set_done(&s->own);
}

bool supervisor_is_stopping(const Supervisor *s) {
        return s->state == SUPERVISE_TERMINATING || s->state == SUPERVISE_KILLING;
}

/* --- terminal ----------------------------------------------------------------------------------- */

/* Keeps the terminal if our process group is the one in its foreground. */
static void tty_open(Supervisor *s) {
        s->tty_fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (s->tty_fd >= 0 && tcgetpgrp(s->tty_fd) != getpgrp())
                s->tty_fd = fd_close(s->tty_fd);
}

static void tty_set(const Supervisor *s, pid_t group) {
        sigset_t set, old;

        /* From the background this would stop us. */
        sigemptyset(&set);
        sigaddset(&set, SIGTTOU);
        (void) sigprocmask(SIG_BLOCK, &set, &old);
        (void) tcsetpgrp(s->tty_fd, group);
        (void) sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Only what is ours is lent, and only what we lent is taken back. */
static void tty_lend(const Supervisor *s, pid_t to) {
        if (s->tty_fd >= 0 && tcgetpgrp(s->tty_fd) == getpgrp())
                tty_set(s, to);
}

static void tty_take_back(const Supervisor *s) {
        if (s->tty_fd >= 0 && tcgetpgrp(s->tty_fd) == s->pid)
                tty_set(s, getpgrp());
}

/* --- starting ----------------------------------------------------------------------------------- */

static void child_fail(int error_fd) {
        int error = errno;

        (void) fd_write_all(error_fd, &error, sizeof(error));
        _exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN);
}

static void child_run(const Supervisor *s, char *const argv[], int handle_fd, pid_t parent, int error_fd) {
        (void) setpgid(0, 0);
        if (s->tty_fd >= 0)
                tty_set(s, getpid());
        if (prctl(PR_SET_PDEATHSIG, (unsigned long) SIGKILL, 0UL, 0UL, 0UL) < 0)
                child_fail(error_fd);
        if (getppid() != parent)
                _exit(EXIT_CANNOT_RUN);
        if (handle_fd >= 0 && fd_set_cloexec(handle_fd, false) < 0)
                child_fail(error_fd);
        (void) sigprocmask(SIG_SETMASK, &s->mask, NULL);
        (void) execvp(argv[0], argv);
        child_fail(error_fd);
}

/* What child_fail() wrote: 0 when the command has been executed. */
static int child_result(int fd) {
        int error = 0;
        ssize_t n;

        do
                n = read(fd, &error, sizeof(error));
        while (n < 0 && errno == EINTR);
        return n == sizeof(error) ? -error : 0;
}

int supervisor_start(Supervisor *s, char *const argv[], int handle_fd) {
        _cleanup_close_ int reader = -1, writer = -1;
        int fds[2], r;
        pid_t parent = getpid(), pid;

        tooz_assert(s->state == SUPERVISE_IDLE);
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        reader = fds[0];
        writer = fds[1];
        tty_open(s);

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_run(s, argv, handle_fd, parent, writer);

        (void) setpgid(pid, pid);
        s->pid = pid;
        writer = fd_close(writer);
        r = child_result(reader);
        if (r < 0) {
                (void) waitpid(pid, NULL, 0);
                tty_take_back(s);
                return r;
        }
        supervisor_enter(s, SUPERVISE_RUNNING);
        return 0;
}

/* --- ending ------------------------------------------------------------------------------------- */

static void signal_all(const Supervisor *s, int sig) {
        _cleanup_(process_set_done) ProcessSet set = {};

        /* Whatever was found gets it, also when memory ran out. */
        (void) process_find_below(getpid(), &s->own, &set);
        process_signal_all(&set, sig);
}

static void supervisor_gone(Supervisor *s) {
        supervisor_enter(s, SUPERVISE_GONE);
        tty_take_back(s);
}

static void supervisor_kill(Supervisor *s, uint64_t now) {
        if (s->state != SUPERVISE_KILLING)
                supervisor_enter(s, SUPERVISE_KILLING);
        signal_all(s, SIGKILL);
        s->timer_usec = usec_add(now, KILL_AGAIN_USEC);
}

void supervisor_stop(Supervisor *s, uint64_t kill_usec, uint64_t now) {
        if (s->state == SUPERVISE_GONE || s->state == SUPERVISE_KILLING)
                return;

        s->kill_usec = MIN(s->kill_usec, kill_usec);
        if (s->kill_usec <= now) {
                supervisor_kill(s, now);
                return;
        }
        if (s->state != SUPERVISE_TERMINATING) {
                supervisor_enter(s, SUPERVISE_TERMINATING);
                signal_all(s, SIGTERM);
                signal_all(s, SIGCONT);
        }
        s->timer_usec = s->kill_usec;
}

void supervisor_on_timer(Supervisor *s, uint64_t now) {
        if (now >= s->timer_usec)
                supervisor_kill(s, now);
}

uint64_t supervisor_next_timer(const Supervisor *s) {
        return s->timer_usec;
}

static void command_ended(Supervisor *s, int status) {
        s->reaped = true;
        s->stopped = false;
        s->exit_status = WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Is a process left that is ours? `waited` is what wait() said at last: with no child there is nobody below. */
static bool is_empty(const Supervisor *s, int waited) {
        _cleanup_(process_set_done) ProcessSet set = {};

        if (waited < 0)
                return true;
        if (s->own.n == 0)
                return false;
        return process_find_below(getpid(), &s->own, &set) >= 0 && set.n == 0;
}

void supervisor_continue(Supervisor *s) {
        if (s->pid <= 0 || s->reaped)
                return;
        s->stopped = false;
        /* `bg` continues us without the terminal. */
        tty_lend(s, s->pid);
        (void) kill(-s->pid, SIGCONT);
}

static void command_stopped(Supervisor *s, int sig) {
        bool wants_tty = sig == SIGTTIN || sig == SIGTTOU;

        /* Without a terminal that we lent, a stop is between the command and who stopped it. */
        if (s->tty_fd < 0 || supervisor_is_stopping(s))
                return;
        if (wants_tty && tcgetpgrp(s->tty_fd) == getpgrp()) {
                /* We were brought to the foreground meanwhile. */
                supervisor_continue(s);
                return;
        }
        s->stopped = true;
        tty_take_back(s);
}

void supervisor_on_child(Supervisor *s, uint64_t now) {
        int status, waited;

        while ((waited = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
                if (waited != s->pid)
                        continue;
                if (WIFSTOPPED(status))
                        command_stopped(s, WSTOPSIG(status));
                else
                        command_ended(s, status);
        }

        if (s->state == SUPERVISE_IDLE || s->state == SUPERVISE_GONE)
                return;
        if (is_empty(s, waited) || (s->state == SUPERVISE_RUNNING && s->reaped && s->close))
                supervisor_gone(s);
        else if (s->state == SUPERVISE_RUNNING && s->reaped) {
                supervisor_enter(s, SUPERVISE_LINGERING);
                tty_take_back(s);
        } else if (s->state == SUPERVISE_KILLING)
                supervisor_kill(s, now);
}

void supervisor_forward(Supervisor *s, int sig) {
        if (s->pid > 0 && !s->reaped)
                (void) kill(-s->pid, sig);
        else if (s->state == SUPERVISE_LINGERING)
                signal_all(s, sig);
}

void supervisor_suspend(Supervisor *s) {
        /* All of our job: the shell waits for that. */
        (void) kill(0, SIGSTOP);
}
