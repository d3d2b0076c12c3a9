/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that change plain data under locks, for ThreadSanitizer: test-tsan.sh builds the library with it too
 *
 *     test-threads ARENA [broken]
 *
 * Speaks no TAP: it ends well if the data is right, and ThreadSanitizer ends it if it sees a race. `broken`: without
 * the lock, so that the script sees that it is looked for. */

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tooz/tooz-local.h>
#include <unistd.h>

#define N_THREADS 4
#define ROUNDS 2000

#define must(expr)                                                                         \
        do {                                                                               \
                if (!(expr)) {                                                             \
                        (void) fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr); \
                        exit(1);                                                           \
                }                                                                          \
        } while (0)

/* A result, of which the value is to be known. */
#define works(expr)                                                                                            \
        do {                                                                                                   \
                int _r = (expr);                                                                               \
                                                                                                               \
                if (_r != 0) {                                                                                 \
                        (void) fprintf(stderr, "%s:%d: %s: %s (%d)\n", __FILE__, __LINE__, #expr, strerror(-_r), _r); \
                        exit(1);                                                                               \
                }                                                                                              \
        } while (0)

/* ThreadSanitizer of Clang 14 and GCC 12 sees nothing in libc's: the library gets one that it understands. */
int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
        return pthread_mutex_lock(mutex);
}

static tooz_local_arena *arena;
static pthread_barrier_t barrier; /* they all begin at once */
static bool broken;

/* What the locks protect: two words that are always equal. */
static struct {
        unsigned long a, b;
} data[3];

static const char *const names[] = { "first", "second", "third" };

typedef struct Thread {
        pthread_t thread;
        unsigned number;
        unsigned long added[3];
} Thread;

static tooz_local_lock *lock_open(unsigned i) {
        tooz_local_lock *lock;

        works(tooz_local_lock_open(&lock, arena, names[i], 0));
        return lock;
}

static void change(Thread *t, unsigned i) {
        data[i].a++;
        data[i].b++;
        t->added[i]++;
}

static void look(unsigned i) {
        must(broken || data[i].a == data[i].b);
}

/* --- each way to acquire ----------------------------------------------------------------------------------------- */

static void write_it(Thread *t, tooz_local_lock *lock, unsigned i) {
        if (!broken)
                works(tooz_local_lock_acquire(lock, TOOZ_LOCK_EXCLUSIVE, TOOZ_USEC_INFINITY));
        change(t, i);
        if (!broken)
                works(tooz_local_lock_release(lock));
}

static void read_it(Thread *t, tooz_local_lock *lock, unsigned i) {
        if (!broken)
                works(tooz_local_lock_acquire(lock, TOOZ_LOCK_SHARED, TOOZ_USEC_INFINITY));
        look(i);
        if (!broken)
                works(tooz_local_lock_release(lock));
}

static void try_it(Thread *t, tooz_local_lock *lock, unsigned i) {
        if (broken || tooz_local_lock_try(lock, TOOZ_LOCK_EXCLUSIVE) < 0)
                return;
        change(t, i);
        works(tooz_local_lock_release(lock));
}

/* Some give up in between. */
static void hurry(Thread *t, tooz_local_lock *lock, unsigned i) {
        int r = broken ? -EAGAIN : tooz_local_lock_acquire(lock, TOOZ_LOCK_EXCLUSIVE, 50);

        if (r < 0)
                return;
        change(t, i);
        works(tooz_local_lock_release(lock));
}

static void convert_it(Thread *t, tooz_local_lock *lock, unsigned i) {
        int r;

        if (broken)
                return;
        works(tooz_local_lock_acquire(lock, TOOZ_LOCK_SHARED, TOOZ_USEC_INFINITY));
        look(i);
        r = tooz_local_lock_convert(lock, TOOZ_LOCK_EXCLUSIVE, TOOZ_USEC_INFINITY);
        must(r == 0 || r == -EDEADLK);
        if (r == 0) {
                change(t, i);
                works(tooz_local_lock_convert(lock, TOOZ_LOCK_SHARED, 0));
        }
        look(i);
        works(tooz_local_lock_release(lock));
}

/* Without sleeping: another thread may do so. */
static void by_event(Thread *t, tooz_local_lock *lock, unsigned i) {
        int r;

        if (broken)
                return;
        r = tooz_local_lock_start(lock, TOOZ_LOCK_EXCLUSIVE);
        while (r == -EINPROGRESS)
                r = tooz_local_lock_resume(lock);
        works(r);
        change(t, i);
        works(tooz_local_lock_release(lock));
}

static void (*const ways[])(Thread *t, tooz_local_lock *lock, unsigned i) = {
        write_it, read_it, try_it, hurry, convert_it, by_event, write_it, read_it,
};

/* --- threads ----------------------------------------------------------------------------------------------------- */

static void *run(void *arg) {
        tooz_local_owner owner = { .size = sizeof(owner) };
        tooz_local_lock *locks[3];
        Thread *t = arg;

        for (unsigned i = 0; i < 3; i++)
                locks[i] = lock_open(i);
        (void) pthread_barrier_wait(&barrier);
        for (unsigned n = 0; n < ROUNDS; n++) {
                unsigned i = (n + t->number) % 3;

                ways[(n / 7 + t->number) % (sizeof(ways) / sizeof(ways[0]))](t, locks[i], i);
                if (n % 100 == 0 && !broken)
                        must(tooz_local_lock_get_owner(locks[i], &owner) >= 0);
        }
        for (unsigned i = 0; i < 3; i++)
                tooz_local_lock_unref(locks[i]);
        return NULL;
}

/* Threads that begin and end: their actors come and go. */
static void *visit(void *arg) {
        for (unsigned n = 0; n < 3; n++) {
                tooz_local_lock *lock = lock_open(n);

                write_it(arg, lock, n);
                tooz_local_lock_unref(lock);
        }
        return NULL;
}

static void run_all(Thread *threads, void *(*fn)(void *)) {
        for (unsigned i = 0; i < N_THREADS; i++)
                must(pthread_create(&threads[i].thread, NULL, fn, &threads[i]) == 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                must(pthread_join(threads[i].thread, NULL) == 0);
}

int main(int argc, char *argv[]) {
        Thread threads[N_THREADS] = { { 0 } };
        unsigned long sum;

        must(argc >= 2);
        broken = argc > 2 && strcmp(argv[2], "broken") == 0;
        works(tooz_local_arena_open(&arena, argv[1], 0600, TOOZ_LOCAL_ARENA_CREATE));
        must(pthread_barrier_init(&barrier, NULL, N_THREADS) == 0);
        for (unsigned i = 0; i < N_THREADS; i++)
                threads[i].number = i;
        run_all(threads, run);
        for (unsigned n = 0; n < 20; n++)
                run_all(threads, visit);
        for (unsigned i = 0; i < 3; i++) {
                sum = 0;
                for (unsigned n = 0; n < N_THREADS; n++)
                        sum += threads[n].added[i];
                must(broken || (data[i].a == sum && data[i].b == sum));
        }
        tooz_local_arena_unref(arena);
        return 0;
}
