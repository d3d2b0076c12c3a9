/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/local-kit.h"
#include "shm/futex.h"

#define LOCKS_MAX 64

static tooz_local_arena *the_arena;
static tooz_local_lock *locks[LOCKS_MAX];
static unsigned n_locks;

static void free_actors(void) {
        ShmActor *next;

        for (ShmActor *actor = local_actor; actor; actor = next) {
                next = actor->next;
                shm_actor_free(actor);
        }
        local_actor = NULL;
}

void local_kit_teardown(void) {
        int fd = -1;

        while (n_locks > 0)
                tooz_local_lock_unref(locks[--n_locks]);
        free_actors();
        if (the_arena) {
                if (the_arena->shm->pinned)
                        fd = the_arena->shm->fd;
                tooz_local_arena_unref(the_arena);
        }
        if (fd >= 0)
                (void) close(fd);
        kit_teardown();
}

const char *local_kit_path(void) {
        static const char *path;

        if (!path)
                path = kit_path("arena");
        return path;
}

tooz_local_arena *local_kit_arena(void) {
        if (!the_arena)
                kit_ok(tooz_local_arena_open(&the_arena, local_kit_path(), 0600, TOOZ_LOCAL_ARENA_CREATE));
        return the_arena;
}

void local_kit_keep(tooz_local_lock *lock) {
        cr_assert_lt(n_locks, LOCKS_MAX);
        locks[n_locks++] = lock;
}

tooz_local_lock *local_kit_lock(const char *name, uint64_t flags) {
        tooz_local_lock *lock;

        kit_ok(tooz_local_lock_open(&lock, local_kit_arena(), name, flags));
        local_kit_keep(lock);
        return lock;
}

uint64_t local_kit_token(tooz_local_lock *lock) {
        uint64_t token;

        kit_ok(tooz_local_lock_get_token(lock, &token));
        return token;
}

void local_kit_await_waiters(tooz_local_lock *lock, uint32_t n) {
        tooz_local_stat stat = { .size = sizeof(stat) };

        do {
                kit_ok(tooz_local_lock_get_stat(lock, &stat));
                (void) usleep(500);
        } while (stat.waiters != n);
}

/* --- another thread ---------------------------------------------------------------------------------------------- */

static void *other_main(void *arg) {
        tooz_local_lock *lock;
        Other *o = arg;

        must(tooz_local_lock_open(&lock, the_arena, o->name, o->flags) == 0);
        o->tid = (pid_t) syscall(SYS_gettid);
        o->result = tooz_local_lock_acquire(lock, o->mode, FOREVER);
        if (o->result >= 0)
                must(tooz_local_lock_get_token(lock, &o->token) == 0);
        (void) sem_post(&o->done);
        while (sem_wait(&o->go) < 0)
                ;
        if (o->dies) {
                /* Its thread ends in a moment: who has it unrefs the object too late for a release. */
                local_kit_keep(lock);
                return NULL;
        }
        o->released = tooz_local_lock_release(lock);
        tooz_local_lock_unref(lock);
        return NULL;
}

void other_begin(Other *o, const char *name, tooz_lock_mode mode) {
        *o = (Other) { .name = name, .mode = mode };
        (void) local_kit_arena();
        (void) sem_init(&o->done, 0, 0);
        (void) sem_init(&o->go, 0, 0);
        cr_assert_eq(pthread_create(&o->thread, NULL, other_main, o), 0);
}

int other_result(Other *o) {
        while (sem_wait(&o->done) < 0)
                ;
        return o->result;
}

int other_end(Other *o) {
        (void) sem_post(&o->go);
        cr_assert_eq(pthread_join(o->thread, NULL), 0);
        return o->released;
}

void other_die(Other *o) {
        o->dies = true;
        (void) other_end(o);
}

/* --- the guard --------------------------------------------------------------------------------------------------- */

static pthread_t guard_thread;
static uint64_t guard_usec;

static void *guard_main(void *arg) {
        ShmSlot *slot = arg;

        (void) usleep((useconds_t) guard_usec);
        if (atomic_exchange(&slot->guard, 0) & SHM_GUARD_WAIT)
                shm_futex_wake(&slot->guard);
        return NULL;
}

void local_kit_guard(tooz_local_lock *lock, uint64_t usec) {
        cr_assert_not_null(local_actor);
        /* The last entry of ours: nobody uses it. */
        atomic_store(&lock->hold.slot->guard, local_actor->chunks[0][SHM_ENTRIES - 1].ref);
        guard_usec = usec;
        cr_assert_eq(pthread_create(&guard_thread, NULL, guard_main, lock->hold.slot), 0);
}

void local_kit_guard_end(void) {
        cr_assert_eq(pthread_join(guard_thread, NULL), 0);
}

/* --- another process --------------------------------------------------------------------------------------------- */

pid_t child_hold(const char *name, tooz_lock_mode mode) {
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        int ready[2];
        pid_t pid;
        char c;

        (void) local_kit_arena();
        cr_assert_eq(pipe(ready), 0);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                must(tooz_local_arena_open(&arena, local_kit_path(), 0600, 0) == 0);
                must(tooz_local_lock_open(&lock, arena, name, 0) == 0);
                must(tooz_local_lock_acquire(lock, mode, FOREVER) >= 0);
                must(write(ready[1], "", 1) == 1);
                for (;;)
                        pause();
        }
        (void) close(ready[1]);
        cr_assert_eq(read(ready[0], &c, 1), 1);
        (void) close(ready[0]);
        return pid;
}

void child_kill(pid_t pid) {
        cr_assert_eq(kill(pid, SIGKILL), 0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

void child_run(void (*fn)(void *arg), void *arg) {
        pid_t pid = fork();
        int status;

        cr_assert_geq(pid, 0);
        if (pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                fn(arg);
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
