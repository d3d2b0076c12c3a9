/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-local: libtoozlocal beside the locks of libc and of the kernel, as one JSON object.
 *
 *     bench-local pair ARENA ROUNDS                      nsec of acquiring and releasing alone, best of rounds
 *     bench-local locks ARENA ROUNDS N...                the same with N - 1 other locks held, each N in its own arena
 *     bench-local contended ARENA PROCESSES RUNS SECONDS HOLD THINK    pairs a second, and waits in usec, of each run;
 *                                                        HOLD usec inside of the lock, THINK outside
 *     bench-local handover ARENA N                       usec from a release to the return of a sleeping acquire
 *     bench-local recovery ARENA exclusive|shared N      usec from SIGKILL of a holder of that mode to the next holder
 *
 * Ours and the robust mutex take turns, so that both see the same machine. An arena that is not there is made, and
 * removed at the end.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"
#include "bench-local.h"

#define PAIRS 100000
#define PAIRS_OFD 1000
#define OPENS 1000
#define HELD_EACH 1000u /* locks that one process holds */
#define SIZES_MAX 8u

/* An arena with `n_locks` locks; nsec, the best so far. */
typedef struct Size {
        unsigned n_locks;
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        double pair, open;
} Size;

/* --- alone ---------------------------------------------------------------------------------------- */

/* nsec of one `pair`, which is 0 when it works. */
#define BEST(best, n, pair)                                                   \
        do {                                                                  \
                uint64_t _start = now_nsec();                                 \
                int _r = 0;                                                   \
                for (unsigned _i = 0; _i < (n); _i++)                         \
                        _r |= (pair);                                         \
                (best) = MIN(best, (double) (now_nsec() - _start) / (n));     \
                if (_r)                                                       \
                        fail("%s failed", #pair);                             \
        } while (0)

static inline int pair_ours(tooz_local_lock *l, tooz_lock_mode mode) {
        return tooz_local_lock_acquire(l, mode, TOOZ_USEC_INFINITY) ?: tooz_local_lock_release(l);
}

static inline int pair_ofd(int fd) {
        struct flock set = { .l_type = F_WRLCK }, unset = { .l_type = F_UNLCK };

        return fcntl(fd, F_OFD_SETLKW, &set) ?: fcntl(fd, F_OFD_SETLK, &unset);
}

static int run_pair(const char *path, unsigned n_rounds) {
        double ours = 1e9, robust = 1e9, ofd = 1e9, reader = 1e9, rwlock = 1e9;
        int fd = check_errno(memfd_create("bench-local", MFD_CLOEXEC), "memfd_create");
        tooz_local_arena *arena;
        tooz_local_lock *readers;

        make_arena(path);
        arena = open_arena(path);
        lock = open_lock(arena, "writer");
        readers = open_lock(arena, "readers");
        for (unsigned i = 0; i < n_rounds; i++) {
                BEST(ours, PAIRS, pair_ours(lock, TOOZ_LOCK_EXCLUSIVE));
                BEST(robust, PAIRS, pthread_mutex_lock(&shared->mutex) ?: pthread_mutex_unlock(&shared->mutex));
                BEST(ofd, PAIRS_OFD, pair_ofd(fd));
                BEST(reader, PAIRS, pair_ours(readers, TOOZ_LOCK_SHARED));
                BEST(rwlock, PAIRS, pthread_rwlock_rdlock(&shared->rwlock) ?: pthread_rwlock_unlock(&shared->rwlock));
        }
        printf("{\"ours\": %.3f, \"robust\": %.3f, \"ofd\": %.3f, \"ours_shared\": %.3f, \"rwlock\": %.3f}\n", ours,
               robust, ofd, reader, rwlock);
        return 0;
}

/* --- among many ----------------------------------------------------------------------------------- */

/* Locks that nobody holds are given up in a large arena: so these are held. */
_noreturn_ static void hold_locks(const char *path, unsigned from, unsigned to) {
        tooz_local_arena *arena = open_arena(path);
        char name[32];

        for (unsigned i = from; i < to; i++) {
                snprintf(name, sizeof(name), "lock-%u", i);
                lock = open_lock(arena, name);
                (void) take(true, TOOZ_LOCK_EXCLUSIVE);
        }
        (void) atomic_fetch_add(&shared->n_ready, 1);
        for (;;)
                pause();
}

static void fill_arena(Size *size, const char *path) {
        unsigned n_processes = (size->n_locks - 1 + HELD_EACH - 1) / HELD_EACH;

        make_arena(path);
        atomic_store(&shared->n_ready, 0);
        for (unsigned i = 0; i < n_processes; i++)
                if (spawn_child() == 0)
                        hold_locks(path, 1 + i * HELD_EACH, MIN(1 + (i + 1) * HELD_EACH, size->n_locks));
        await_ready(n_processes);
        size->arena = open_arena(path);
        size->lock = open_lock(size->arena, "lock-0");
}

static int open_one(const Size *size, unsigned number) {
        tooz_local_lock *l;
        char name[32];
        int r;

        snprintf(name, sizeof(name), "lock-%u", number % size->n_locks);
        r = tooz_local_lock_open(&l, size->arena, name, TOOZ_LOCAL_EXISTING);
        if (r >= 0)
                tooz_local_lock_unref(l);
        return r;
}

static int run_locks(const char *path, unsigned n_rounds, char **sizes, unsigned n_sizes) {
        Size list[SIZES_MAX];
        char name[PATH_MAX];

        n_sizes = MIN(n_sizes, SIZES_MAX);
        for (unsigned k = 0; k < n_sizes; k++) {
                list[k] = (Size) { .n_locks = MAX((unsigned) atoi(sizes[k]), 1u), .pair = 1e9, .open = 1e9 };
                snprintf(name, sizeof(name), "%s.%u", path, k);
                fill_arena(&list[k], name);
        }
        for (unsigned i = 0; i < n_rounds; i++)
                for (Size *s = list; s < list + n_sizes; s++) {
                        if (pair_ours(s->lock, TOOZ_LOCK_EXCLUSIVE) < 0) /* the arena in use is this one now */
                                fail("pair failed");
                        BEST(s->pair, PAIRS, pair_ours(s->lock, TOOZ_LOCK_EXCLUSIVE));
                        BEST(s->open, OPENS, open_one(s, (i * OPENS + _i) * 7919u));
                }
        reap_children(true);
        for (unsigned k = 0; k < n_sizes; k++)
                printf("%s{\"n\": %u, \"pair\": %.3f, \"open\": %.3f}", k ? ", " : "{\"sizes\": [", list[k].n_locks,
                       list[k].pair, list[k].open);
        printf("]}\n");
        return 0;
}

static int run(int argc, char **argv) {
        const char *mode = argv[1], *path = argv[2];
        unsigned n = (unsigned) atoi(argv[3]);

        if (argc == 4 && streq(mode, "pair"))
                return run_pair(path, n);
        if (argc > 4 && streq(mode, "locks"))
                return run_locks(path, n, argv + 4, (unsigned) argc - 4);
        if (argc == 8 && streq(mode, "contended"))
                return run_contended(path, n, (unsigned) atoi(argv[4]), atof(argv[5]), atof(argv[6]), atof(argv[7]));
        if (argc == 4 && streq(mode, "handover"))
                return run_handover(path, n);
        if (argc == 5 && streq(mode, "recovery"))
                return run_recovery(path, streq(argv[3], "shared") ? TOOZ_LOCK_SHARED : TOOZ_LOCK_EXCLUSIVE,
                                    (unsigned) atoi(argv[4]));
        return 2;
}

int main(int argc, char **argv) {
        int r = 2;

        kit_begin();
        if (argc >= 4)
                r = run(argc, argv);
        if (r == 2)
                fprintf(stderr, "usage: bench-local pair|locks|contended|handover|recovery ARENA ...\n");
        remove_made();
        return r;
}
