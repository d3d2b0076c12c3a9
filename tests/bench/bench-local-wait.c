/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of bench-local in which processes wait for each other. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-local.h"

typedef struct Load {
        unsigned n_processes;
        double seconds;
        uint64_t hold, think; /* ticks */
} Load;

typedef struct Run {
        double rate, p9999, longest;
} Run;

typedef struct Samples {
        double *usec;
        size_t n;
} Samples;

static void *zalloc(size_t n, size_t size) {
        void *p = calloc(n, size);

        if (!p)
                fail("no memory");
        return p;
}

/* --- waits ---------------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t v) {
        unsigned shift;

        if (v < SUB)
                return (unsigned) v;
        shift = 63 - SUB_BITS - (unsigned) __builtin_clzll(v);
        return shift * SUB + (unsigned) (v >> shift);
}

/* The greatest value that belongs to it. */
static double bucket_end(unsigned i) {
        unsigned shift = i < SUB ? 0 : i / SUB - 1;

        return (double) ((((uint64_t) i - shift * SUB + 1) << shift) - 1);
}

static void note(Waits *w, uint64_t wait) {
        if (wait > INT64_MAX) /* counters of two CPUs that differ by less than the wait takes */
                wait = 0;
        w->n++;
        w->longest = MAX(w->longest, wait);
        w->buckets[bucket_of(wait)]++;
}

static Run summarize(const Load *load) {
        uint64_t total = 0, longest = 0, above = 0;
        unsigned b = BUCKETS;

        for (unsigned i = 0; i < load->n_processes; i++) {
                total += shared->waits[i].n;
                longest = MAX(longest, shared->waits[i].longest);
        }
        if (total != shared->counter)
                fail("not exclusive: %ju pairs counted to %ju", (uintmax_t) total, (uintmax_t) shared->counter);
        while (b > 0 && above <= total / 10000) {
                b--;
                for (unsigned i = 0; i < load->n_processes; i++)
                        above += shared->waits[i].buckets[b];
        }
        return (Run) {
                .rate = (double) total / load->seconds,
                .p9999 = MIN(bucket_end(b), (double) longest) / ticks_per_usec,
                .longest = (double) longest / ticks_per_usec,
        };
}

/* --- contended ------------------------------------------------------------------------------------ */

static void spin_until(uint64_t end) {
        while (ticks() < end)
                ;
}

_noreturn_ static void contend(const char *path, bool ours, const Load *load, unsigned number) {
        Waits *w = &shared->waits[number];
        uint64_t end, start, acquired;

        place(number);
        lock = open_lock(open_arena(path), "contended");
        (void) take(ours, TOOZ_LOCK_EXCLUSIVE); /* what only the first one costs */
        give(ours);
        (void) atomic_fetch_add(&shared->n_ready, 1);
        while (!(end = atomic_load(&shared->end)))
                sched_yield();
        do {
                start = ticks();
                (void) take(ours, TOOZ_LOCK_EXCLUSIVE);
                acquired = ticks();
                shared->counter = shared->counter + 1;
                if (load->hold)
                        spin_until(acquired + load->hold);
                give(ours);
                note(w, acquired - start);
                if (load->think)
                        spin_until(ticks() + load->think);
        } while (acquired < end);
        _exit(0);
}

static Run run_once(const char *path, bool ours, const Load *load) {
        memset(shared->waits, 0, sizeof(shared->waits));
        shared->counter = 0;
        atomic_store(&shared->n_ready, 0);
        atomic_store(&shared->end, 0);
        for (unsigned i = 0; i < load->n_processes; i++)
                if (spawn_child() == 0)
                        contend(path, ours, load, i);
        await_ready(load->n_processes);
        atomic_store(&shared->end, ticks() + (uint64_t) (load->seconds * 1e6 * ticks_per_usec));
        reap_children(false);
        return summarize(load);
}

static void print_runs(const char *name, const Run *runs, unsigned n) {
        printf("\"%s\": [", name);
        for (unsigned i = 0; i < n; i++)
                printf("%s{\"rate\": %.0f, \"p9999\": %.3f, \"longest\": %.3f}", i ? ", " : "", runs[i].rate,
                       runs[i].p9999, runs[i].longest);
        printf("]");
}

int run_contended(const char *path, unsigned n_processes, unsigned n_runs, double seconds, double hold_usec,
                  double think_usec) {
        Load load = { n_processes, seconds, (uint64_t) (hold_usec * ticks_per_usec),
                      (uint64_t) (think_usec * ticks_per_usec) };
        Run *ours = zalloc(n_runs, sizeof(Run)), *robust = zalloc(n_runs, sizeof(Run));

        make_arena(path);
        for (unsigned i = 0; i < n_runs; i++) {
                ours[i] = run_once(path, true, &load);
                robust[i] = run_once(path, false, &load);
        }
        printf("{");
        print_runs("ours", ours, n_runs);
        printf(", ");
        print_runs("robust", robust, n_runs);
        printf("}\n");
        free(ours);
        free(robust);
        return 0;
}

/* --- one who sleeps ------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void print_samples(const char *name, Samples *s) {
        qsort(s->usec, s->n, sizeof(double), compare);
        printf("\"%s\": {\"n\": %zu, \"p50\": %.2f, \"p99\": %.2f, \"max\": %.2f}", name, s->n, s->usec[s->n / 2],
               s->usec[s->n * 99 / 100], s->usec[s->n - 1]);
}

/* For each byte of `fd`: acquires, says when, releases. */
_noreturn_ static void wait_in_turn(const char *path, int fd) {
        bool ours;

        place(1);
        lock = open_lock(open_arena(path), "lock");
        while (read(fd, &ours, 1) == 1) {
                atomic_store(&shared->acquiring, true);
                shared->result = take(ours, TOOZ_LOCK_EXCLUSIVE);
                shared->acquired = ticks();
                atomic_store(&shared->acquiring, false);
                give(ours);
                if (write(fd, &ours, 1) != 1)
                        break;
        }
        _exit(0);
}

/* The other end of its socket. */
static int start_waiter(const char *path, pid_t *ret) {
        int fds[2];

        (void) check_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), "socketpair");
        *ret = spawn_child();
        if (*ret == 0) {
                close(fds[0]);
                wait_in_turn(path, fds[1]);
        }
        close(fds[1]);
        return fds[0];
}

static void send_waiter(int fd, pid_t waiter, bool ours) {
        if (write(fd, &ours, 1) != 1)
                fail("the waiter ended");
        await_sleeper(waiter);
}

/* usec from `start` until it had the lock. */
static double await_waiter(int fd, uint64_t start) {
        bool ours;

        if (read(fd, &ours, 1) != 1)
                fail("the waiter ended");
        return (double) (int64_t) (shared->acquired - start) / ticks_per_usec;
}

static void print_both(Samples samples[static 2]) {
        printf("{");
        print_samples("ours", &samples[0]);
        if (samples[1].n > 0) {
                printf(", ");
                print_samples("robust", &samples[1]);
        }
        printf("}\n");
        free(samples[0].usec);
        free(samples[1].usec);
}

int run_handover(const char *path, unsigned n) {
        Samples samples[2] = { { zalloc(n, sizeof(double)), n }, { zalloc(n, sizeof(double)), n } };
        pid_t waiter;
        int fd;

        make_arena(path);
        fd = start_waiter(path, &waiter);
        place(0);
        lock = open_lock(open_arena(path), "lock");
        for (unsigned i = 0; i < 2 * n; i++) {
                bool ours = i % 2 == 0;
                uint64_t start;

                (void) take(ours, TOOZ_LOCK_EXCLUSIVE);
                send_waiter(fd, waiter, ours);
                start = ticks();
                give(ours);
                samples[i % 2].usec[i / 2] = await_waiter(fd, start);
        }
        close(fd);
        reap_children(false);
        print_both(samples);
        return 0;
}

/* --- one who dies --------------------------------------------------------------------------------- */

static pid_t start_holder(const char *path, bool ours, tooz_lock_mode mode) {
        pid_t pid;

        atomic_store(&shared->n_ready, 0);
        pid = spawn();
        if (pid == 0) {
                lock = open_lock(open_arena(path), "lock");
                (void) take(ours, mode);
                (void) atomic_fetch_add(&shared->n_ready, 1);
                for (;;)
                        pause();
        }
        await_ready(1);
        return pid;
}

static double kill_holder(const char *path, int fd, pid_t waiter, bool ours, tooz_lock_mode mode) {
        pid_t holder = start_holder(path, ours, mode);
        uint64_t start;
        double usec;

        send_waiter(fd, waiter, ours);
        start = ticks();
        (void) check_errno(kill(holder, SIGKILL), "kill");
        usec = await_waiter(fd, start);
        (void) check_errno(waitpid(holder, NULL, 0), "waitpid");
        if (shared->result != 1 && mode == TOOZ_LOCK_EXCLUSIVE)
                fail("nobody was told of a death");
        return usec;
}

/* The robust mutex knows no readers. */
int run_recovery(const char *path, tooz_lock_mode mode, unsigned n) {
        Samples samples[2] = { { zalloc(n, sizeof(double)), n },
                               { zalloc(n, sizeof(double)), mode == TOOZ_LOCK_EXCLUSIVE ? n : 0 } };
        pid_t waiter;
        int fd;

        make_arena(path);
        fd = start_waiter(path, &waiter);
        for (unsigned i = 0; i < n; i++) {
                samples[0].usec[i] = kill_holder(path, fd, waiter, true, mode);
                if (samples[1].n > 0)
                        samples[1].usec[i] = kill_holder(path, fd, waiter, false, mode);
        }
        close(fd);
        reap_children(false);
        print_both(samples);
        return 0;
}
