/* SPDX-License-Identifier: Apache-2.0 */
/* A command under a lock, with libtoozlocal: runner [-w SECONDS] NAME COMMAND [ARGUMENT..]
 *
 * Waits for at most 10 s, or SECONDS. Returns the command's status; or, as toozctl lock does, 124 when the wait was too
 * long, 75 when it was not to wait (-w 0), 123 when the lock was broken meanwhile, 125 to 127 when nothing was run. The
 * arena is $TOOZ_ARENA, or that of the host, or else that of the user.
 *
 *     cc runner.c -o runner $(pkg-config --cflags --libs libtoozlocal) */

#define _GNU_SOURCE 1
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tooz/tooz-local.h>
#include <unistd.h>

static int open_lock(tooz_local_lock **ret, const char *name) {
        const char *arena_name = getenv("TOOZ_ARENA"); /* NULL: the default one */
        tooz_local_arena *arena = NULL;
        int r;

        r = tooz_local_arena_open(&arena, arena_name, 0660, TOOZ_LOCAL_ARENA_CREATE);
        if ((r == -EACCES || r == -ENOENT) && (!arena_name || arena_name[0] != '/'))
                r = tooz_local_arena_open(&arena, arena_name, 0600, TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER);
        if (r < 0)
                return r;
        r = tooz_local_lock_open(ret, arena, name, TOOZ_LOCAL_STAMP);
        tooz_local_arena_unref(arena); /* the lock keeps it */
        return r;
}

static int say_holder(tooz_local_lock *lock, const char *name, int error) {
        tooz_local_owner owner;

        owner.size = sizeof(owner);
        if (error != -EAGAIN && error != -ETIMEDOUT)
                fprintf(stderr, "%s: %s\n", name, strerror(-error));
        else if (tooz_local_lock_get_owner(lock, &owner) > 0)
                fprintf(stderr, "%s: held by %s, pid %d, token %" PRIu64 "\n", name, owner.comm, (int) owner.pid,
                        owner.token);
        else
                fprintf(stderr, "%s: was held until now\n", name);
        return error == -EAGAIN ? 75 : error == -ETIMEDOUT ? 124 : 125;
}

/* The lock is that of this process, which therefore stays: exec() here would release it. Should it be killed, so is the
 * command, though a moment after the next one has the lock: what the command changes had better look at the token. */
static int run(char **command) {
        const pid_t parent = getpid();
        const pid_t child = fork();
        int status;

        if (child < 0)
                return 125;
        if (child == 0) {
                if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
                        _exit(125);
                execvp(command[0], command);
                perror(command[0]);
                _exit(127);
        }
        signal(SIGINT, SIG_IGN); /* the terminal's are for the command */
        signal(SIGQUIT, SIG_IGN);
        while (waitpid(child, &status, 0) < 0)
                if (errno != EINTR)
                        return 125;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_locked(tooz_local_lock *lock, const char *name, uint64_t timeout_usec, char **command) {
        uint64_t token = 0;
        char text[32];
        int died, r;

        died = tooz_local_lock_acquire(lock, TOOZ_LOCK_EXCLUSIVE, timeout_usec);
        if (died < 0)
                return say_holder(lock, name, died);
        if (died > 0)
                fprintf(stderr, "%s: the holder before died with it\n", name);
        (void) tooz_local_lock_get_token(lock, &token);
        snprintf(text, sizeof(text), "%" PRIu64, token);
        setenv("TOOZ_FENCING_TOKEN", text, 1);
        r = run(command);
        if (died > 0 && r == 0) /* else the next one is told, too */
                (void) tooz_local_lock_mark_consistent(lock);
        return tooz_local_lock_release(lock) == -ENOLCK ? 123 : r;
}

int main(int argc, char **argv) {
        tooz_local_lock *lock = NULL;
        double seconds = 10;
        int r, c;

        while ((c = getopt(argc, argv, "+w:")) == 'w')
                seconds = strtod(optarg, NULL);
        if (c != -1 || argc - optind < 2 || !(seconds >= 0 && seconds < 1e9)) {
                fprintf(stderr, "usage: %s [-w SECONDS] NAME COMMAND [ARGUMENT..]\n", argv[0]);
                return 125;
        }
        r = open_lock(&lock, argv[optind]);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", argv[optind], strerror(-r));
                return 125;
        }
        r = run_locked(lock, argv[optind], (uint64_t) (seconds * 1e6), argv + optind + 1);
        tooz_local_lock_unref(lock);
        return r;
}
