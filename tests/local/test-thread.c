/* SPDX-License-Identifier: Apache-2.0 */
/* Whose is it: other threads, the end of a thread, forked children */

#include <sys/wait.h>
#include <unistd.h>

#include "local/local-kit.h"

LOCAL_SUITE(local_thread);

/* Runs it in another thread. */
static void in_thread(void *(*fn)(void *), void *arg) {
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, fn, arg), 0);
        (void) pthread_join(thread, NULL);
}

static void *not_mine(void *arg) {
        tooz_local_wait wait = { .size = sizeof(wait) };
        tooz_local_lock *lock = arg;

        must(tooz_local_lock_release(lock) == -EPERM);
        must(tooz_local_lock_convert(lock, S, 0) == -EPERM);
        must(tooz_local_lock_mark_consistent(lock) == -EPERM);
        must(tooz_local_lock_get_wait(lock, &wait) == -EPERM);
        must(tooz_local_lock_resume(lock) == -EPERM);
        must(tooz_local_lock_cancel(lock) == -EPERM);
        must(tooz_local_lock_acquire(lock, X, 0) == -EDEADLK);
        must(tooz_local_lock_is_held(lock) == 1);
        return NULL;
}

/* An object that is held can't be acquired by anybody: the same answer as to its own thread. */
Test(local_thread, what_is_held_belongs_to_its_thread) {
        tooz_local_lock *lock = local_kit_lock("a", 0), *other = local_kit_lock("other", 0);

        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        in_thread(not_mine, lock);
        kit_ok(tooz_local_lock_acquire(other, X, 0));
        in_thread(not_mine, lock);
        kit_fails(tooz_local_lock_is_held(lock), 1);
        kit_fails(tooz_local_lock_release(lock), 0);
        kit_fails(tooz_local_lock_release(other), 0);
}

static void *use_it(void *arg) {
        must(tooz_local_lock_acquire(arg, X, 0) == 0);
        must(tooz_local_lock_release(arg) == 0);
        must(tooz_local_lock_acquire(arg, S, 0) == 0);
        must(tooz_local_lock_release(arg) == 0);
        return NULL;
}

Test(local_thread, one_object_by_one_thread_after_the_other) {
        tooz_local_lock *lock = local_kit_lock("a", 0);

        for (unsigned i = 0; i < 20; i++) {
                (void) use_it(lock);
                in_thread(use_it, lock);
        }
}

static void *end_with_it(void *arg) {
        must(tooz_local_lock_acquire(arg, X, 0) >= 0);
        return NULL;
}

Test(local_thread, the_end_of_a_thread) {
        tooz_local_lock *lock = local_kit_lock("a", 0), *mine = local_kit_lock("a", 0);

        in_thread(end_with_it, lock);
        kit_fails(tooz_local_lock_release(lock), -EPERM);
        kit_fails(tooz_local_lock_acquire(mine, X, FOREVER), 1);
        kit_ok(tooz_local_lock_mark_consistent(mine));
        kit_ok(tooz_local_lock_release(mine));
        kit_fails(tooz_local_lock_is_held(lock), 0);
}

Test(local_thread, a_thread_that_ends_wakes_who_waits) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Other holder, waiter;

        other_begin(&holder, "a", X);
        kit_fails(other_result(&holder), 0);
        other_begin(&waiter, "a", X);
        local_kit_await_waiters(lock, 1);
        other_die(&holder);
        kit_fails(other_result(&waiter), 1);
        kit_fails(other_end(&waiter), 0);
}

static void *unref_it(void *arg) {
        tooz_local_lock_unref(arg);
        return NULL;
}

/* It can't be released there: it stays held as long as the thread lives that acquired it. */
Test(local_thread, unref_by_another_thread) {
        tooz_local_lock *lock, *again = local_kit_lock("a", 0);
        Other o;

        kit_ok(tooz_local_lock_open(&lock, local_kit_arena(), "a", 0));
        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        in_thread(unref_it, lock);
        kit_fails(tooz_local_lock_try(again, X), -EDEADLK);
        other_begin(&o, "a", X);
        local_kit_await_waiters(again, 1);
        /* What it can be freed by: breaking. */
        kit_ok(tooz_local_lock_break(again, atomic_load(&again->hold.slot->token)));
        kit_fails(other_result(&o), 0);
        kit_fails(other_end(&o), 0);
}

Test(local_thread, unref_releases) {
        tooz_local_lock *lock, *again = local_kit_lock("a", 0);

        for (int mode = X; mode <= (int) S; mode++) {
                kit_ok(tooz_local_lock_open(&lock, local_kit_arena(), "a", 0));
                kit_ok(tooz_local_lock_acquire(lock, mode, 0));
                kit_fails(tooz_local_lock_try(again, S), -EDEADLK);
                tooz_local_lock_unref(lock);
                kit_fails(tooz_local_lock_try(again, X), 0);
                kit_ok(tooz_local_lock_release(again));
        }
}

/* --- many -------------------------------------------------------------------------------------------------------- */

static unsigned counter;

static void *count(void *arg) {
        tooz_local_lock *lock;

        must(tooz_local_lock_open(&lock, local_kit_arena(), "a", 0) == 0);
        for (unsigned i = 0; i < 3000; i++) {
                must(tooz_local_lock_acquire(lock, X, FOREVER) == 0);
                counter++;
                must(tooz_local_lock_release(lock) == 0);
        }
        tooz_local_lock_unref(lock);
        return NULL;
}

Test(local_thread, many_threads_count) {
        pthread_t threads[6];

        (void) local_kit_arena();
        for (unsigned i = 0; i < 6; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
        for (unsigned i = 0; i < 6; i++)
                (void) pthread_join(threads[i], NULL);
        cr_assert_eq(counter, 6 * 3000);
}

/* The block of a thread that has ended serves the next one. */
Test(local_thread, threads_come_and_go) {
        tooz_local_lock *lock = local_kit_lock("a", 0);

        for (unsigned i = 0; i < 200; i++)
                in_thread(use_it, lock);
        cr_assert_leq(local_kit_arena()->shm->header->n_blocks, 16);
}

/* --- forked children --------------------------------------------------------------------------------------------- */

static void nothing_works(tooz_local_lock *lock) {
        tooz_local_owner owner = { .size = sizeof(owner) };
        tooz_local_stat stat = { .size = sizeof(stat) };
        tooz_local_wait wait = { .size = sizeof(wait) };
        uint64_t token;

        must(tooz_local_lock_acquire(lock, X, 0) == -ECHILD);
        must(tooz_local_lock_acquire(lock, S, FOREVER) == -ECHILD);
        must(tooz_local_lock_acquire_until(lock, X, FOREVER) == -ECHILD);
        must(tooz_local_lock_try(lock, S) == -ECHILD);
        must(tooz_local_lock_convert(lock, S, 0) == -ECHILD);
        must(tooz_local_lock_release(lock) == -ECHILD);
        must(tooz_local_lock_mark_consistent(lock) == -ECHILD);
        must(tooz_local_lock_break(lock, 1) == -ECHILD);
        must(tooz_local_lock_get_token(lock, &token) == -ECHILD);
        must(tooz_local_lock_is_held(lock) == -ECHILD);
        must(tooz_local_lock_get_owner(lock, &owner) == -ECHILD);
        must(tooz_local_lock_get_stat(lock, &stat) == -ECHILD);
        must(tooz_local_lock_start(lock, X) == -ECHILD);
        must(tooz_local_lock_get_wait(lock, &wait) == -ECHILD);
        must(tooz_local_lock_resume(lock) == -ECHILD);
        must(tooz_local_lock_cancel(lock) == -ECHILD);
}

static void child_of_holder(void *arg) {
        tooz_local_lock **locks = arg, *own;
        tooz_local_arena *arena;
        uint64_t cookie = 0;
        char name[256];

        for (unsigned i = 0; i < 3; i++)
                nothing_works(locks[i]);
        must(tooz_local_lock_open(&own, local_kit_arena(), "a", 0) == -ECHILD);
        must(tooz_local_arena_next(local_kit_arena(), &cookie, name, sizeof(name), NULL) == -ECHILD);

        must(tooz_local_arena_open(&arena, local_kit_path(), 0600, 0) == 0);
        for (unsigned i = 0; i < 2; i++) {
                must(tooz_local_lock_open(&own, arena, i == 0 ? "x" : "s", 0) == 0);
                must(tooz_local_lock_try(own, X) == -EAGAIN);
                must(tooz_local_lock_try(own, S) == (i == 0 ? -EAGAIN : 0));
                tooz_local_lock_unref(own);
        }
        must(tooz_local_lock_open(&own, arena, "free", 0) == 0);
        must(tooz_local_lock_try(own, X) == 0);
        for (unsigned i = 0; i < 3; i++) {
                tooz_local_lock_unref(locks[i]);
                must(tooz_local_lock_is_held(own) == 1);
        }
        must(tooz_local_lock_release(own) == 0);
}

Test(local_thread, a_forked_child) {
        tooz_local_lock *locks[] = { local_kit_lock("x", 0), local_kit_lock("s", 0), local_kit_lock("free", 0) };

        kit_ok(tooz_local_lock_acquire(locks[0], X, 0));
        kit_ok(tooz_local_lock_acquire(locks[1], S, 0));
        child_run(child_of_holder, locks);
        kit_fails(tooz_local_lock_is_held(locks[0]), 1);
        kit_fails(tooz_local_lock_is_held(locks[1]), 1);
        kit_fails(tooz_local_lock_release(locks[0]), 0);
        kit_fails(tooz_local_lock_release(locks[1]), 0);
        kit_fails(tooz_local_lock_try(locks[2], X), 0);
        kit_ok(tooz_local_lock_release(locks[2]));
}

/* What a child opened is no business of its child either. */
static void child_that_forks(void *arg) {
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        int status;
        pid_t pid;

        must(tooz_local_arena_open(&arena, local_kit_path(), 0600, 0) == 0);
        must(tooz_local_lock_open(&lock, arena, "b", 0) == 0);
        must(tooz_local_lock_try(lock, X) == 0);
        pid = fork();
        if (pid == 0) {
                nothing_works(lock);
                _exit(0);
        }
        must(waitpid(pid, &status, 0) == pid && status == 0);
        must(tooz_local_lock_release(lock) == 0);
}

Test(local_thread, a_forked_child_of_a_forked_child) {
        tooz_local_lock *lock = local_kit_lock("a", 0);

        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        child_run(child_that_forks, NULL);
        kit_ok(tooz_local_lock_release(lock));
}
