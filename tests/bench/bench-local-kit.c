/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "bench-local.h"

#define MADE_MAX 16

Shared *shared;
tooz_local_lock *lock;
double ticks_per_usec;

static pid_t main_pid, children[CHILDREN_MAX];
static unsigned n_children;
static char made[MADE_MAX][PATH_MAX]; /* arenas to be removed */
static unsigned n_made;
static cpu_set_t cpus;

/* --- ends ----------------------------------------------------------------------------------------- */

void remove_made(void) {
        for (unsigned i = 0; getpid() == main_pid && i < n_made; i++)
                (void) unlink(made[i]);
}

static void on_signal(int number) {
        remove_made();
        _exit(128 + number);
}

void fail(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        fputs("bench-local: ", stderr);
        vfprintf(stderr, format, ap);
        fputc('\n', stderr);
        va_end(ap);
        remove_made();
        _exit(1);
}

int check(int r, const char *what) {
        if (r < 0)
                fail("%s: %s", what, strerror(-r));
        return r;
}

int check_errno(int r, const char *what) {
        return check(r < 0 ? -errno : r, what);
}

/* --- processes ------------------------------------------------------------------------------------ */

pid_t spawn(void) {
        pid_t parent = getpid(), pid = check_errno(fork(), "fork");

        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (getppid() != parent)
                        _exit(1);
        }
        return pid;
}

pid_t spawn_child(void) {
        pid_t pid;

        if (n_children >= CHILDREN_MAX)
                fail("more than %u processes", CHILDREN_MAX);
        pid = spawn();
        if (pid != 0)
                children[n_children++] = pid;
        return pid;
}

void reap_children(bool kill_them) {
        int status;

        while (n_children > 0) {
                pid_t pid = children[--n_children];

                if (kill_them)
                        (void) kill(pid, SIGKILL);
                check_errno(waitpid(pid, &status, 0), "waitpid");
                if (!kill_them && status != 0)
                        fail("a process ended with status %d", status);
        }
}

void await_ready(unsigned n) {
        siginfo_t info = { 0 };

        while (atomic_load(&shared->n_ready) < n) {
                check_errno(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), "waitid");
                if (info.si_pid != 0)
                        fail("process %d ended", (int) info.si_pid);
                usleep(1000);
        }
}

void place(unsigned i) {
        cpu_set_t one;

        CPU_ZERO(&one);
        for (int cpu = 0, n = (int) (i % (unsigned) CPU_COUNT(&cpus)); cpu < CPU_SETSIZE; cpu++)
                if (CPU_ISSET(cpu, &cpus) && n-- == 0)
                        CPU_SET(cpu, &one);
        (void) check_errno(sched_setaffinity(0, sizeof(one), &one), "sched_setaffinity");
}

static char state_of(pid_t pid) {
        char path[32], buf[512], *end;
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
        fd = check_errno(open(path, O_RDONLY | O_CLOEXEC), path);
        n = read(fd, buf, sizeof(buf) - 1);
        close(fd);
        buf[n < 0 ? 0 : n] = '\0';
        end = strrchr(buf, ')');
        return end && end[1] ? end[2] : '?';
}

void await_sleeper(pid_t pid) {
        char state;

        while (!atomic_load(&shared->acquiring) || state_of(pid) != 'S') {
                state = state_of(pid);
                if (state == 'Z' || state == '?')
                        fail("the waiter ended");
                sched_yield();
        }
}

/* --- locks ---------------------------------------------------------------------------------------- */

void make_arena(const char *path) {
        tooz_local_arena *arena;

        if (access(path, F_OK) < 0) {
                if (n_made >= MADE_MAX)
                        fail("more than %d arenas", MADE_MAX);
                snprintf(made[n_made++], PATH_MAX, "%s", path);
        }
        check(tooz_local_arena_open(&arena, path, 0600, TOOZ_LOCAL_ARENA_CREATE), path);
        tooz_local_arena_unref(arena);
}

tooz_local_arena *open_arena(const char *path) {
        tooz_local_arena *arena;

        (void) check(tooz_local_arena_open(&arena, path, 0600, 0), path);
        return arena;
}

tooz_local_lock *open_lock(tooz_local_arena *arena, const char *name) {
        tooz_local_lock *l;

        (void) check(tooz_local_lock_open(&l, arena, name, 0), name);
        return l;
}

static void make_shared(void) {
        pthread_mutexattr_t mutex;
        pthread_rwlockattr_t rwlock;

        shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                fail("mmap: %m");
        pthread_mutexattr_init(&mutex);
        pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
        pthread_rwlockattr_init(&rwlock);
        pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
        if (pthread_mutex_init(&shared->mutex, &mutex) || pthread_rwlock_init(&shared->rwlock, &rwlock))
                fail("pthread_mutex_init");
}

/* --- begin ---------------------------------------------------------------------------------------- */

static void calibrate(void) {
        uint64_t nsec = now_nsec(), start = ticks();

        usleep(50000);
        nsec = now_nsec() - nsec;
        ticks_per_usec = (double) (ticks() - start) / ((double) nsec / 1e3);
}

void kit_begin(void) {
        static const int signals[] = { SIGHUP, SIGINT, SIGPIPE, SIGTERM };

        main_pid = getpid();
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                (void) signal(signals[i], on_signal);
        (void) check_errno(sched_getaffinity(0, sizeof(cpus), &cpus), "sched_getaffinity");
        make_shared();
        calibrate();
}
