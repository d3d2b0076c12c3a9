/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting from an event loop: start, get_wait, resume, cancel, with futexes of our own */

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "local/local-kit.h"
#include "shm/futex.h"

LOCAL_SUITE(local_event);

/* As a caller does it: the index of the word that woke us, or -errno. */
static int sleep_on(const tooz_local_wait *wait, uint64_t until_usec) {
        struct futex_waitv v[TOOZ_LOCAL_WAIT_WORDS];
        uint64_t until = MIN(wait->until_usec, until_usec);
        struct timespec ts = { .tv_sec = (time_t) (until / 1000000), .tv_nsec = (long) (until % 1000000 * 1000) };
        long r;

        for (uint32_t i = 0; i < wait->n_words; i++)
                v[i] = (struct futex_waitv) { .val = wait->words[i].value, .flags = FUTEX_32,
                                              .uaddr = (uint64_t) (uintptr_t) wait->words[i].address };
        r = syscall(SYS_futex_waitv, v, wait->n_words, 0, until == TOOZ_USEC_INFINITY ? NULL : &ts, CLOCK_MONOTONIC);
        return r < 0 ? -errno : (int) r;
}

/* The loop of the header. */
static int acquire(tooz_local_lock *lock, tooz_lock_mode mode) {
        tooz_local_wait wait = { .size = sizeof(wait) };
        int r;

        r = tooz_local_lock_start(lock, mode);
        while (r == -EINPROGRESS) {
                must(tooz_local_lock_get_wait(lock, &wait) == 0);
                must(wait.n_words >= 1 && wait.n_words <= TOOZ_LOCAL_WAIT_WORDS);
                (void) sleep_on(&wait, TOOZ_USEC_INFINITY);
                r = tooz_local_lock_resume(lock);
        }
        return r;
}

Test(local_event, nothing_to_wait_for) {
        tooz_local_wait wait = { .size = sizeof(wait) }, small = { .size = 16 };
        tooz_local_lock *lock = local_kit_lock("a", 0);

        kit_fails(tooz_local_lock_get_wait(lock, &wait), -EPERM);
        kit_fails(tooz_local_lock_get_wait(lock, &small), -EINVAL);
        kit_fails(tooz_local_lock_resume(lock), -EPERM);
        kit_fails(tooz_local_lock_cancel(lock), -EPERM);
        kit_fails(tooz_local_lock_start(lock, X), 0);
        kit_fails(tooz_local_lock_is_held(lock), 1);
        kit_fails(tooz_local_lock_get_wait(lock, &wait), -EPERM);
        kit_fails(tooz_local_lock_resume(lock), -EPERM);
        kit_fails(tooz_local_lock_cancel(lock), -EPERM);
        kit_fails(tooz_local_lock_start(lock, S), -EDEADLK);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_event, waiting) {
        tooz_local_wait wait = { .size = sizeof(wait) };
        tooz_local_lock *lock = local_kit_lock("a", 0), *again = local_kit_lock("a", 0);
        uint64_t token;
        Other o;
        int r;

        other_begin(&o, "a", X);
        kit_fails(other_result(&o), 0);
        kit_fails(tooz_local_lock_start(lock, X), -EINPROGRESS);
        kit_fails(tooz_local_lock_start(lock, X), -EDEADLK);
        kit_fails(tooz_local_lock_start(again, S), -EDEADLK);
        kit_fails(tooz_local_lock_acquire(lock, X, FOREVER), -EDEADLK);
        kit_fails(tooz_local_lock_release(lock), -EPERM);
        kit_fails(tooz_local_lock_convert(lock, S, 0), -EPERM);
        kit_fails(tooz_local_lock_get_token(lock, &token), -EPERM);
        kit_fails(tooz_local_lock_is_held(lock), 0);

        kit_ok(tooz_local_lock_get_wait(lock, &wait));
        cr_assert_eq(wait.n_words, 2);
        kit_fails(tooz_local_lock_resume(lock), -EINPROGRESS);
        kit_fails(tooz_local_lock_resume(lock), -EINPROGRESS);
        kit_fails(other_end(&o), 0);
        do {
                kit_ok(tooz_local_lock_get_wait(lock, &wait));
                (void) sleep_on(&wait, TOOZ_USEC_INFINITY);
                r = tooz_local_lock_resume(lock);
        } while (r == -EINPROGRESS);
        kit_fails(r, 0);
        cr_assert_gt(local_kit_token(lock), o.token);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_event, the_bell_wakes) {
        tooz_local_wait wait = { .size = sizeof(wait) };
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Other o;
        int r;

        other_begin(&o, "a", S);
        kit_fails(other_result(&o), 0);
        kit_fails(tooz_local_lock_start(lock, X), -EINPROGRESS);
        /* Who drains is rung for, whatever the clock. */
        kit_ok(tooz_local_lock_get_wait(lock, &wait));
        kit_fails(other_end(&o), 0);
        wait.until_usec = TOOZ_USEC_INFINITY;
        r = sleep_on(&wait, TOOZ_USEC_INFINITY);
        cr_assert(r == 0 || r == -EAGAIN, "%d", r);
        kit_fails(tooz_local_lock_resume(lock), 0);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_event, death_wakes) {
        tooz_local_wait wait = { .size = sizeof(wait) };
        tooz_local_lock *lock = local_kit_lock("a", 0);
        pid_t pid = child_hold("a", X);
        int r;

        kit_fails(tooz_local_lock_start(lock, S), -EINPROGRESS);
        kit_ok(tooz_local_lock_get_wait(lock, &wait));
        child_kill(pid);
        wait.until_usec = TOOZ_USEC_INFINITY;
        r = sleep_on(&wait, TOOZ_USEC_INFINITY);
        cr_assert(r == 1 || r == -EAGAIN, "%d", r);
        kit_fails(tooz_local_lock_resume(lock), 1);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_event, given_up) {
        tooz_local_stat stat = { .size = sizeof(stat) };
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Other holder, waiter;

        other_begin(&holder, "a", X);
        kit_fails(other_result(&holder), 0);
        kit_fails(tooz_local_lock_start(lock, X), -EINPROGRESS);
        other_begin(&waiter, "a", X);
        local_kit_await_waiters(lock, 2);
        kit_fails(other_end(&holder), 0);
        kit_fails(tooz_local_lock_cancel(lock), 0);
        kit_fails(tooz_local_lock_cancel(lock), -EPERM);
        kit_fails(other_result(&waiter), 0);
        kit_ok(tooz_local_lock_get_stat(lock, &stat));
        cr_assert_eq(stat.waiters, 0);
        cr_assert_eq(stat.holders, 1);
        kit_fails(other_end(&waiter), 0);
        kit_fails(tooz_local_lock_start(lock, X), 0);
        kit_ok(tooz_local_lock_release(lock));
        cr_assert_eq(local_actor->first->sleepers, 0);
}

Test(local_event, unref_gives_up) {
        tooz_local_lock *lock, *looker = local_kit_lock("a", 0);
        Other o;

        other_begin(&o, "a", X);
        kit_fails(other_result(&o), 0);
        kit_ok(tooz_local_lock_open(&lock, local_kit_arena(), "a", 0));
        kit_fails(tooz_local_lock_start(lock, X), -EINPROGRESS);
        tooz_local_lock_unref(lock);
        local_kit_await_waiters(looker, 0);
        cr_assert_eq(local_actor->first->sleepers, 0);
        kit_fails(other_end(&o), 0);
        kit_fails(tooz_local_lock_try(looker, X), 0);
        kit_ok(tooz_local_lock_release(looker));
}

/* One thread waits for several locks at once, and is woken for each. */
Test(local_event, several_at_once) {
        enum { N = 5 };
        tooz_local_wait wait[N];
        tooz_local_lock *locks[N];
        Other others[N];
        char names[N][8];
        unsigned n_left = N;
        int r;

        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(names[i], sizeof(names[i]), "n%u", i);
                other_begin(&others[i], names[i], X);
                kit_fails(other_result(&others[i]), 0);
                locks[i] = local_kit_lock(names[i], 0);
                kit_fails(tooz_local_lock_start(locks[i], i % 2 ? X : S), -EINPROGRESS);
        }
        for (unsigned i = 0; i < N; i++)
                kit_fails(other_end(&others[(i + 2) % N]), 0);
        while (n_left > 0)
                for (unsigned i = 0; i < N; i++) {
                        wait[i].size = sizeof(wait[i]);
                        if (tooz_local_lock_get_wait(locks[i], &wait[i]) == -EPERM)
                                continue;
                        r = tooz_local_lock_resume(locks[i]);
                        if (r == -EINPROGRESS)
                                continue;
                        kit_fails(r, 0);
                        n_left--;
                }
        for (unsigned i = 0; i < N; i++)
                kit_ok(tooz_local_lock_release(locks[i]));
}

/* It waits for ever, whatever the object was asked for before. */
Test(local_event, is_patient_with_the_guard) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Other o;

        other_begin(&o, "a", X);
        kit_fails(other_result(&o), 0);
        kit_fails(tooz_local_lock_try(lock, X), -EAGAIN);
        local_kit_guard(lock, 400000);
        kit_fails(tooz_local_lock_start(lock, X), -EINPROGRESS);
        local_kit_guard_end();
        local_kit_guard(lock, 400000);
        kit_fails(tooz_local_lock_resume(lock), -EINPROGRESS);
        local_kit_guard_end();
        kit_ok(tooz_local_lock_cancel(lock));
        kit_fails(other_end(&o), 0);
}

/* --- many, of both kinds ----------------------------------------------------------------------------------------- */

static unsigned counter;

static void *count(void *arg) {
        tooz_local_lock *lock;
        bool by_event = arg;

        must(tooz_local_lock_open(&lock, local_kit_arena(), "a", 0) == 0);
        for (unsigned i = 0; i < 2000; i++) {
                must((by_event ? acquire(lock, X) : tooz_local_lock_acquire(lock, X, FOREVER)) == 0);
                counter++;
                must(tooz_local_lock_release(lock) == 0);
        }
        tooz_local_lock_unref(lock);
        return NULL;
}

Test(local_event, beside_those_who_block) {
        pthread_t threads[4];

        (void) local_kit_arena();
        for (unsigned i = 0; i < 4; i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, count, i % 2 ? &counter : NULL), 0);
        for (unsigned i = 0; i < 4; i++)
                (void) pthread_join(threads[i], NULL);
        cr_assert_eq(counter, 4 * 2000);
}
