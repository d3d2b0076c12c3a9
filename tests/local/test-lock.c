/* SPDX-License-Identifier: Apache-2.0 */
/* Locks by the public functions: opening, acquiring, converting, releasing, breaking, and what each refuses */

#include <unistd.h>

#include "local/local-kit.h"
#include "shm/directory.h"
#include "shm/futex.h"

LOCAL_SUITE(local_lock);

static int open_named(const char *name, uint64_t flags) {
        tooz_local_lock *lock;
        int r = tooz_local_lock_open(&lock, local_kit_arena(), name, flags);

        if (r >= 0)
                tooz_local_lock_unref(lock);
        return r;
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

Test(local_lock, names) {
        char name[257];

        memset(name, 'n', sizeof(name));
        name[256] = 0;
        kit_fails(open_named(name, 0), -EINVAL);
        name[255] = 0;
        kit_ok(open_named(name, 0));
        kit_ok(open_named("a", 0));
        kit_ok(open_named("...", 0));
        kit_ok(open_named("with / and blanks", 0));
        kit_ok(open_named("\xc3\xa4\xf0\x9f\x98\x80", 0));
        kit_fails(open_named("", 0), -EINVAL);
        kit_fails(open_named(".", 0), -EINVAL);
        kit_fails(open_named("..", 0), -EINVAL);
        kit_fails(open_named("a\nb", 0), -EINVAL);
        kit_fails(open_named("a\x7f", 0), -EINVAL);
        kit_fails(open_named("\xc2\x85", 0), -EINVAL);
        kit_fails(open_named("\xff", 0), -EINVAL);
        kit_fails(open_named("\xc0\x80", 0), -EINVAL);
        kit_fails(open_named("\xed\xa0\x80", 0), -EINVAL);
}

Test(local_lock, flags) {
        kit_fails(open_named("a", TOOZ_LOCAL_EXISTING), -ENOENT);
        kit_fails(open_named("a", TOOZ_LOCAL_FCNTL), -EINVAL);
        kit_fails(open_named("a", UINT64_C(16)), -EINVAL);
        kit_fails(open_named("a", TOOZ_LOCAL_EXISTING), -ENOENT);
        kit_ok(open_named("a", TOOZ_LOCAL_STAMP | TOOZ_LOCAL_INTERRUPTIBLE));
        kit_ok(open_named("a", TOOZ_LOCAL_EXISTING));
        cr_assert_null(tooz_local_lock_unref(NULL));
}

Test(local_lock, references) {
        tooz_local_lock *a, *b = local_kit_lock("a", 0);
        const char *name;

        kit_ok(tooz_local_lock_open(&a, local_kit_arena(), "a", 0));
        kit_ok(tooz_local_lock_get_name(a, &name));
        kit_streq(name, "a");
        kit_ok(tooz_local_lock_acquire(a, X, 0));
        cr_assert_eq(tooz_local_lock_ref(a), a);
        cr_assert_null(tooz_local_lock_unref(a));
        kit_fails(tooz_local_lock_is_held(a), 1);
        kit_fails(tooz_local_lock_try(b, X), -EDEADLK);
        cr_assert_null(tooz_local_lock_unref(a));
        kit_fails(tooz_local_lock_try(b, X), 0);
        kit_ok(tooz_local_lock_release(b));
}

/* --- acquiring --------------------------------------------------------------------------------------------------- */

Test(local_lock, acquire_and_release) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        uint64_t token = 0, last = 0;

        for (unsigned i = 0; i < 10; i++) {
                kit_fails(tooz_local_lock_is_held(lock), 0);
                kit_fails(tooz_local_lock_get_token(lock, &token), -EPERM);
                kit_fails(tooz_local_lock_release(lock), -EPERM);
                kit_fails(tooz_local_lock_acquire(lock, X, i % 2 ? FOREVER : 0), 0);
                kit_fails(tooz_local_lock_is_held(lock), 1);
                token = local_kit_token(lock);
                cr_assert_gt(token, last);
                last = token;
                kit_fails(tooz_local_lock_release(lock), 0);
        }
        for (unsigned i = 0; i < 10; i++) {
                kit_fails(tooz_local_lock_acquire(lock, S, i % 2 ? FOREVER : 0), 0);
                cr_assert_gt(local_kit_token(lock), last, "of conflicting grants before");
                kit_fails(tooz_local_lock_release(lock), 0);
        }
}

Test(local_lock, bad_modes) {
        tooz_local_lock *lock = local_kit_lock("a", 0);

        for (int mode = -1; mode <= 2; mode += 3) {
                kit_fails(tooz_local_lock_acquire(lock, (tooz_lock_mode) mode, 0), -EINVAL);
                kit_fails(tooz_local_lock_acquire_until(lock, (tooz_lock_mode) mode, 0), -EINVAL);
                kit_fails(tooz_local_lock_try(lock, (tooz_lock_mode) mode), -EINVAL);
                kit_fails(tooz_local_lock_start(lock, (tooz_lock_mode) mode), -EINVAL);
        }
        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        kit_fails(tooz_local_lock_acquire(lock, (tooz_lock_mode) 2, 0), -EINVAL);
        kit_fails(tooz_local_lock_convert(lock, (tooz_lock_mode) 2, 0), -EINVAL);
        kit_fails(tooz_local_lock_release(lock), 0);
}

Test(local_lock, by_this_thread_already) {
        tooz_local_lock *lock = local_kit_lock("a", 0), *again = local_kit_lock("a", 0);

        for (int mode = X; mode <= (int) S; mode++) {
                kit_ok(tooz_local_lock_acquire(lock, mode, 0));
                for (int other = X; other <= (int) S; other++) {
                        kit_fails(tooz_local_lock_try(lock, other), -EDEADLK);
                        kit_fails(tooz_local_lock_acquire(lock, other, FOREVER), -EDEADLK);
                        kit_fails(tooz_local_lock_acquire(again, other, FOREVER), -EDEADLK);
                        kit_fails(tooz_local_lock_start(again, other), -EDEADLK);
                }
                kit_ok(tooz_local_lock_release(lock));
        }
}

Test(local_lock, as_many_as_a_thread_may) {
        enum { MAX = 1024 };
        static tooz_local_lock *locks[MAX + 1];
        char name[32];

        for (unsigned i = 0; i <= MAX; i++) {
                (void) snprintf(name, sizeof(name), "n%u", i);
                kit_ok(tooz_local_lock_open(&locks[i], local_kit_arena(), name, 0));
                kit_fails(tooz_local_lock_acquire(locks[i], i % 3 ? X : S, FOREVER), i < MAX ? 0 : -EMFILE);
        }
        kit_fails(tooz_local_lock_is_held(locks[MAX]), 0);
        kit_ok(tooz_local_lock_release(locks[500]));
        kit_ok(tooz_local_lock_acquire(locks[MAX], X, 0));
        for (unsigned i = 0; i <= MAX; i++)
                tooz_local_lock_unref(locks[i]);
        cr_assert_eq(local_actor->n_blocks, 32);
}

/* --- from others ------------------------------------------------------------------------------------------------- */

Test(local_lock, held_by_another_thread) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        uint64_t before;
        Other o;

        other_begin(&o, "a", X);
        kit_fails(other_result(&o), 0);
        kit_fails(tooz_local_lock_try(lock, X), -EAGAIN);
        kit_fails(tooz_local_lock_acquire(lock, S, 0), -EAGAIN);
        before = shm_now();
        kit_fails(tooz_local_lock_acquire(lock, X, SHORT), -ETIMEDOUT);
        cr_assert_geq(shm_now() - before, SHORT);
        before = shm_now();
        kit_fails(tooz_local_lock_acquire_until(lock, S, before + SHORT), -ETIMEDOUT);
        cr_assert_geq(shm_now() - before, SHORT);
        kit_fails(tooz_local_lock_acquire_until(lock, X, 0), -ETIMEDOUT);
        kit_fails(tooz_local_lock_acquire_until(lock, X, before), -ETIMEDOUT);
        kit_fails(tooz_local_lock_is_held(lock), 0);
        kit_fails(other_end(&o), 0);
        kit_fails(tooz_local_lock_acquire_until(lock, X, 0), 0);
        cr_assert_eq(local_kit_token(lock), o.token + 2);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_lock, shared_with_another_thread) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Other o;

        other_begin(&o, "a", S);
        kit_fails(other_result(&o), 0);
        kit_fails(tooz_local_lock_try(lock, X), -EAGAIN);
        kit_fails(tooz_local_lock_acquire(lock, X, SHORT), -ETIMEDOUT);
        kit_fails(tooz_local_lock_try(lock, S), 0);
        cr_assert_eq(local_kit_token(lock), o.token);
        kit_fails(tooz_local_lock_convert(lock, X, 0), -EAGAIN);
        kit_fails(tooz_local_lock_convert(lock, X, SHORT), -ETIMEDOUT);
        kit_fails(tooz_local_lock_is_held(lock), 1);
        kit_fails(other_end(&o), 0);
        kit_fails(tooz_local_lock_convert(lock, X, 0), 0);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_lock, waits_until_it_is_released) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Other others[3];

        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        for (unsigned i = 0; i < 3; i++) {
                other_begin(&others[i], "a", i == 1 ? S : X);
                local_kit_await_waiters(lock, i + 1);
        }
        kit_ok(tooz_local_lock_release(lock));
        for (unsigned i = 0; i < 3; i++) {
                kit_fails(other_result(&others[i]), 0);
                cr_assert(i == 0 || others[i].token > others[i - 1].token, "in the order of arrival");
                kit_fails(other_end(&others[i]), 0);
        }
        local_kit_await_waiters(lock, 0);
}

Test(local_lock, held_by_another_process) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        pid_t pid = child_hold("a", X);

        kit_fails(tooz_local_lock_try(lock, S), -EAGAIN);
        child_kill(pid);
        kit_fails(tooz_local_lock_try(lock, S), 1);
        kit_ok(tooz_local_lock_release(lock));
        kit_fails(tooz_local_lock_try(lock, X), 1);
        kit_ok(tooz_local_lock_mark_consistent(lock));
        kit_ok(tooz_local_lock_release(lock));
        kit_fails(tooz_local_lock_try(lock, X), 0);
        kit_ok(tooz_local_lock_release(lock));
}

/* --- converting -------------------------------------------------------------------------------------------------- */

Test(local_lock, convert) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        uint64_t token;

        kit_fails(tooz_local_lock_convert(lock, S, 0), -EPERM);
        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        token = local_kit_token(lock);
        kit_fails(tooz_local_lock_convert(lock, X, 0), 0);
        cr_assert_eq(local_kit_token(lock), token, "as it was");
        kit_fails(tooz_local_lock_convert(lock, S, 0), 0);
        kit_fails(tooz_local_lock_convert(lock, S, FOREVER), 0);
        kit_fails(tooz_local_lock_convert(lock, X, FOREVER), 0);
        cr_assert_gt(local_kit_token(lock), token + 1);
        kit_ok(tooz_local_lock_release(lock));
        kit_fails(tooz_local_lock_convert(lock, X, 0), -EPERM);
}

static void *upgrade(void *arg) {
        tooz_local_lock *lock;
        sem_t *ready = arg;

        must(tooz_local_lock_open(&lock, local_kit_arena(), "a", 0) == 0);
        must(tooz_local_lock_acquire(lock, S, 0) == 0);
        (void) sem_post(&ready[0]);
        must(sem_wait(&ready[1]) == 0);
        must(tooz_local_lock_convert(lock, X, FOREVER) == 0);
        must(tooz_local_lock_release(lock) == 0);
        tooz_local_lock_unref(lock);
        return NULL;
}

static int upgrade_soon(tooz_local_lock *lock) {
        int r;

        do
                r = tooz_local_lock_convert(lock, X, 1000);
        while (r == -ETIMEDOUT);
        return r;
}

Test(local_lock, two_that_upgrade) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        sem_t ready[2];
        pthread_t thread;

        (void) sem_init(&ready[0], 0, 0);
        (void) sem_init(&ready[1], 0, 0);
        cr_assert_eq(pthread_create(&thread, NULL, upgrade, ready), 0);
        cr_assert_eq(sem_wait(&ready[0]), 0);
        kit_fails(tooz_local_lock_acquire(lock, S, 0), 0);
        (void) sem_post(&ready[1]);
        /* One of us is told so: if it were the other thread, that one would end the test. So it is upgrading first. */
        while (!(atomic_load(&lock->hold.slot->word) & SHM_W_DRAIN))
                (void) usleep(100);
        kit_fails(upgrade_soon(lock), -EDEADLK);
        kit_fails(tooz_local_lock_is_held(lock), 1);
        kit_ok(tooz_local_lock_release(lock));
        (void) pthread_join(thread, NULL);
}

Test(local_lock, convert_is_patient_with_the_guard) {
        tooz_local_lock *lock = local_kit_lock("a", 0);

        kit_fails(tooz_local_lock_try(lock, S), 0);
        local_kit_guard(lock, 400000);
        kit_fails(tooz_local_lock_convert(lock, X, FOREVER), 0);
        local_kit_guard_end();
        kit_ok(tooz_local_lock_release(lock));
}

/* --- consistency ------------------------------------------------------------------------------------------------- */

Test(local_lock, mark_consistent_needs_it_exclusively) {
        tooz_local_lock *lock = local_kit_lock("a", 0);

        kit_fails(tooz_local_lock_mark_consistent(lock), -EPERM);
        child_kill(child_hold("a", X));
        kit_fails(tooz_local_lock_acquire(lock, S, FOREVER), 1);
        kit_fails(tooz_local_lock_mark_consistent(lock), -EPERM);
        kit_fails(tooz_local_lock_convert(lock, X, FOREVER), 1);
        kit_fails(tooz_local_lock_convert(lock, X, FOREVER), 0);
        kit_fails(tooz_local_lock_convert(lock, S, FOREVER), 0);
        kit_fails(tooz_local_lock_convert(lock, X, FOREVER), 1);
        kit_fails(tooz_local_lock_mark_consistent(lock), 0);
        kit_fails(tooz_local_lock_mark_consistent(lock), 0);
        kit_fails(tooz_local_lock_convert(lock, S, FOREVER), 0);
        kit_fails(tooz_local_lock_convert(lock, X, FOREVER), 0);
        kit_ok(tooz_local_lock_release(lock));
        kit_fails(tooz_local_lock_mark_consistent(lock), -EPERM);
}

/* --- breaking ---------------------------------------------------------------------------------------------------- */

Test(local_lock, break_by_its_token) {
        tooz_local_lock *lock = local_kit_lock("a", 0), *other = local_kit_lock("a", 0);
        uint64_t token;

        kit_fails(tooz_local_lock_break(lock, 0), -ENOLCK);
        for (int mode = X; mode <= (int) S; mode++) {
                kit_ok(tooz_local_lock_acquire(lock, mode, 0));
                token = local_kit_token(lock);
                kit_fails(tooz_local_lock_break(other, token + 2), -ENOLCK);
                kit_fails(tooz_local_lock_is_held(lock), 1);
                kit_fails(tooz_local_lock_break(mode == X ? other : lock, token), 0);
                kit_fails(tooz_local_lock_break(other, token), -ENOLCK);
                kit_fails(tooz_local_lock_is_held(lock), 0);
                kit_fails(tooz_local_lock_get_token(lock, &token), -ENOLCK);
                kit_fails(tooz_local_lock_convert(lock, mode == X ? S : X, 0), -ENOLCK);
                kit_fails(tooz_local_lock_mark_consistent(lock), -EPERM);
                kit_fails(tooz_local_lock_release(lock), -ENOLCK);
                kit_fails(tooz_local_lock_release(lock), -EPERM);
        }
        kit_fails(tooz_local_lock_acquire(lock, X, 0), 0);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_lock, break_gives_it_to_the_next) {
        tooz_local_lock *lock = local_kit_lock("a", 0), *breaker = local_kit_lock("a", 0);
        Other o;

        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        other_begin(&o, "a", X);
        local_kit_await_waiters(lock, 1);
        kit_fails(tooz_local_lock_break(breaker, local_kit_token(lock)), 0);
        kit_fails(other_result(&o), 0);
        kit_fails(tooz_local_lock_is_held(lock), 0);
        kit_fails(tooz_local_lock_release(lock), -ENOLCK);
        kit_fails(other_end(&o), 0);
}

/* --- names that lost their slot ---------------------------------------------------------------------------------- */

/* An object goes on with the new slot of its name. */
Test(local_lock, unused_for_long) {
        tooz_local_lock *old = local_kit_lock("old", 0), *lock;
        uint32_t index, generation;
        char name[32];
        uint64_t token;

        kit_ok(tooz_local_lock_acquire(old, X, 0));
        token = local_kit_token(old);
        kit_ok(tooz_local_lock_release(old));
        for (unsigned i = 0; shm_directory_find(old->shm, "old", false, &index, &generation) >= 0; i++) {
                cr_assert_lt(i, 10000);
                (void) snprintf(name, sizeof(name), "n%u", i);
                kit_ok(tooz_local_lock_open(&lock, local_kit_arena(), name, 0));
                tooz_local_lock_unref(lock);
        }
        kit_fails(tooz_local_lock_is_held(old), 0);
        kit_fails(tooz_local_lock_break(old, token), -ENOLCK);
        kit_fails(tooz_local_lock_acquire(old, S, FOREVER), 0);
        cr_assert_gt(local_kit_token(old), token);
        kit_ok(tooz_local_lock_release(old));
}
