/* SPDX-License-Identifier: Apache-2.0 */
/* Readers and writers, with libtoozlocal.
 *
 * Six processes read one entry of a cache in shared memory. They read side by side; who finds the entry stale makes its
 * lock exclusive, fills the entry, and goes on as a reader. The lock is in an arena of their own.
 *
 *     cc cache.c -o cache $(pkg-config --cflags --libs libtoozlocal) */

#define _GNU_SOURCE 1
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <tooz/tooz-local.h>
#include <unistd.h>

#define N_PROCESSES 6
#define N_ROUNDS 500
#define FRESH_USEC 2000 /* how long an entry is good */

struct cache {
        uint64_t until_usec; /* CLOCK_MONOTONIC; 0: nothing in it yet */
        uint64_t words[64];  /* what is cached: all equal, or somebody looked in the middle of a write */
        unsigned n_filled;
        unsigned n_again; /* had to let another one upgrade first */
};

static uint64_t now_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static void fill(struct cache *cache) {
        for (size_t i = 0; i < sizeof(cache->words) / sizeof(cache->words[0]); i++)
                cache->words[i]++;
        cache->until_usec = now_usec() + FRESH_USEC;
        cache->n_filled++;
}

/* The lock is held in shared mode, before and after. */
static int refresh(tooz_local_lock *lock, struct cache *cache, bool died) {
        bool again;
        int r;

        r = tooz_local_lock_convert(lock, TOOZ_LOCK_EXCLUSIVE, TOOZ_USEC_INFINITY);
        again = r == -EDEADLK; /* another reader upgrades, and waits for us among others: let it */
        if (again)
                r = tooz_local_lock_release(lock);
        if (again && r >= 0)
                r = tooz_local_lock_acquire(lock, TOOZ_LOCK_EXCLUSIVE, TOOZ_USEC_INFINITY);
        if (r < 0)
                return r;
        cache->n_again += again;
        died |= r > 0;
        if (died || cache->until_usec <= now_usec()) /* that other reader may have filled it */
                fill(cache);
        r = died ? tooz_local_lock_mark_consistent(lock) : 0;
        return r < 0 ? r : tooz_local_lock_convert(lock, TOOZ_LOCK_SHARED, 0);
}

static int look(tooz_local_lock *lock, struct cache *cache) {
        int r, torn;

        r = tooz_local_lock_acquire(lock, TOOZ_LOCK_SHARED, TOOZ_USEC_INFINITY);
        if (r > 0 || (r == 0 && cache->until_usec <= now_usec()))
                r = refresh(lock, cache, r > 0);
        if (r < 0)
                return r;
        torn = memcmp(cache->words, cache->words + 1, sizeof(cache->words) - sizeof(cache->words[0]));
        r = tooz_local_lock_release(lock);
        return torn ? -EIO : r;
}

static int look_often(struct cache *cache, const char *path) {
        tooz_local_arena *arena = NULL;
        tooz_local_lock *lock = NULL;
        int r;

        r = tooz_local_arena_open(&arena, path, 0600, TOOZ_LOCAL_ARENA_CREATE);
        if (r >= 0)
                r = tooz_local_lock_open(&lock, arena, "cache", 0);
        for (int i = 0; r >= 0 && i < N_ROUNDS; i++, usleep(100)) /* there is other work, too */
                r = look(lock, cache);
        if (r < 0)
                fprintf(stderr, "cache: %s\n", strerror(-r));
        tooz_local_lock_unref(lock); /* releases it if need be */
        tooz_local_arena_unref(arena);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(void) {
        char directory[] = "/tmp/cache-XXXXXX", path[sizeof(directory) + sizeof("/arena")];
        int status, r = EXIT_SUCCESS;
        struct cache *cache;

        cache = (struct cache *) mmap(NULL, sizeof(*cache), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (cache == MAP_FAILED || !mkdtemp(directory)) {
                perror("cache");
                return EXIT_FAILURE;
        }
        snprintf(path, sizeof(path), "%s/arena", directory);
        for (int i = 0; i < N_PROCESSES; i++)
                if (fork() == 0)
                        return look_often(cache, path);
        while (wait(&status) > 0)
                r = status == 0 ? r : EXIT_FAILURE;
        printf("%d looks, filled %u times, gave way %u times\n", N_PROCESSES * N_ROUNDS, cache->n_filled,
               cache->n_again);
        unlink(path);
        rmdir(directory);
        return r;
}
