/* SPDX-License-Identifier: Apache-2.0 */
/* A lock whose holder is killed, with libtoozlocal.
 *
 * Four processes count in shared memory under one lock. One of them is killed in the middle; the next holder is told,
 * repairs the count, and all go on. The lock is in an arena of their own, in a temporary directory.
 *
 *     cc counter.c -o counter $(pkg-config --cflags --libs libtoozlocal) */

#define _GNU_SOURCE 1
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <tooz/tooz-local.h>
#include <unistd.h>

#define N_PROCESSES 4
#define N_ROUNDS 10000
#define VICTIM 0                  /* the process that is killed .. */
#define LAST_ROUND (N_ROUNDS / 2) /* .. in this round */

/* Equal, except in the middle of a step: so whoever comes after a death sees how far the dead one had come. */
struct counter {
        uint64_t begun;
        uint64_t done;
        unsigned n_deaths;
};

static int open_lock(tooz_local_lock **ret, const char *path) {
        tooz_local_arena *arena = NULL;
        int r;

        r = tooz_local_arena_open(&arena, path, 0600, TOOZ_LOCAL_ARENA_CREATE);
        if (r < 0)
                return r;
        r = tooz_local_lock_open(ret, arena, "counter", 0);
        tooz_local_arena_unref(arena); /* the lock keeps it */
        return r;
}

/* Acquires, and takes a half-done step back. */
static int enter(tooz_local_lock *lock, struct counter *counter) {
        int r;

        r = tooz_local_lock_acquire(lock, TOOZ_LOCK_EXCLUSIVE, TOOZ_USEC_INFINITY);
        if (r <= 0)
                return r;
        counter->begun = counter->done;
        counter->n_deaths++;
        return tooz_local_lock_mark_consistent(lock);
}

static int count(const char *path, struct counter *counter, int who) {
        tooz_local_lock *lock = NULL;
        int r;

        r = open_lock(&lock, path); /* after fork(): what the parent opened is of no use here */
        for (int round = 0; r >= 0 && round < N_ROUNDS; round++) {
                r = enter(lock, counter);
                if (r < 0)
                        break;
                counter->begun++;
                if (who == VICTIM && round == LAST_ROUND)
                        raise(SIGKILL);
                counter->done++;
                r = tooz_local_lock_release(lock);
        }
        if (r < 0)
                fprintf(stderr, "process %d: %s\n", who, strerror(-r));
        tooz_local_lock_unref(lock);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* When the killed one was the last of all, it is us who repair. */
static int check(const char *path, struct counter *counter) {
        const uint64_t expected = (uint64_t) (N_PROCESSES - 1) * N_ROUNDS + LAST_ROUND;
        tooz_local_lock *lock = NULL;
        int r;

        r = open_lock(&lock, path);
        if (r >= 0)
                r = enter(lock, counter);
        printf("sum %" PRIu64 " of %" PRIu64 ", holders that died: %u\n", counter->done, expected, counter->n_deaths);
        tooz_local_lock_unref(lock); /* releases it */
        return r >= 0 && counter->done == expected && counter->n_deaths == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void) {
        char directory[] = "/tmp/counter-XXXXXX", path[sizeof(directory) + sizeof("/arena")];
        struct counter *counter;
        int r;

        counter = (struct counter *) mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                                          -1, 0);
        if (counter == MAP_FAILED || !mkdtemp(directory)) {
                perror("counter");
                return EXIT_FAILURE;
        }
        snprintf(path, sizeof(path), "%s/arena", directory);
        for (int who = 0; who < N_PROCESSES; who++)
                if (fork() == 0)
                        return count(path, counter, who);
        while (wait(NULL) > 0)
                ;
        r = check(path, counter);
        unlink(path);
        rmdir(directory);
        return r;
}
