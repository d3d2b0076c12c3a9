/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Assertions of the house under test: does a statement end in abort()? */

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/kit.h"

static inline _noreturn_ void aborts_child(void (*fn)(const void *), const void *arg) {
        const struct rlimit no_core = { 0, 0 };

        /* The message of the assertion is expected, and must not end up in the TAP stream. */
        (void) setrlimit(RLIMIT_CORE, &no_core);
        (void) dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        fn(arg);
        _exit(0);
}

/* Runs fn(arg) in a child: true when it ended by SIGABRT, false when it came to its end. Nothing else passes. */
static inline bool aborts(void (*fn)(const void *), const void *arg) {
        pid_t pid = fork();
        int status;

        if (pid == 0)
                aborts_child(fn, arg);
        cr_assert_gt(pid, 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status)) {
                cr_assert_eq(WTERMSIG(status), SIGABRT, "signal %d", WTERMSIG(status));
                return true;
        }
        cr_assert_eq(WEXITSTATUS(status), 0, "exit %d", WEXITSTATUS(status));
        return false;
}
