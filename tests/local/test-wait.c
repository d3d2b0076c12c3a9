/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting: signals, time-outs, and those who die meanwhile */

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "local/local-kit.h"
#include "shm/futex.h"

LOCAL_SUITE(local_wait);

static _Atomic unsigned n_signals;

static void on_signal(int number) {
        (void) atomic_fetch_add(&n_signals, 1);
}

static void handle(int number, int flags) {
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

        cr_assert_eq(sigaction(number, &action, NULL), 0);
}

/* Waits for a lock that is held, in a thread to which signals are sent. */
typedef struct Waiter {
        pthread_t thread;
        uint64_t flags;
        uint64_t timeout_usec;
        bool upgrades;
        _Atomic bool over;
        _Atomic bool begun;
        int result;
        bool held; /* after it */
} Waiter;

static void *wait_main(void *arg) {
        tooz_local_lock *lock;
        Waiter *w = arg;

        must(tooz_local_lock_open(&lock, local_kit_arena(), "a", w->flags) == 0);
        if (w->upgrades)
                must(tooz_local_lock_acquire(lock, S, 0) == 0);
        w->begun = true;
        w->result = w->upgrades ? tooz_local_lock_convert(lock, X, w->timeout_usec) :
                                  tooz_local_lock_acquire(lock, X, w->timeout_usec);
        w->held = tooz_local_lock_is_held(lock);
        w->over = true;
        tooz_local_lock_unref(lock);
        return NULL;
}

static void waiter_begin(Waiter *w) {
        (void) local_kit_arena();
        cr_assert_eq(pthread_create(&w->thread, NULL, wait_main, w), 0);
        while (!w->begun)
                (void) usleep(100);
}

/* One signal may come before it sleeps. */
static void signal_until_over(Waiter *w, unsigned max) {
        for (unsigned i = 0; i < max && !w->over; i++) {
                (void) pthread_kill(w->thread, SIGUSR1);
                (void) usleep(1000);
        }
}

static void interrupted(bool upgrades) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Waiter w = { .flags = TOOZ_LOCAL_INTERRUPTIBLE, .timeout_usec = 60 * UINT64_C(1000000), .upgrades = upgrades };

        handle(SIGUSR1, 0);
        kit_ok(tooz_local_lock_acquire(lock, upgrades ? S : X, 0));
        waiter_begin(&w);
        signal_until_over(&w, 20000);
        (void) pthread_join(w.thread, NULL);
        kit_fails(w.result, -EINTR);
        cr_assert_eq(w.held, upgrades, "what was shared stays");
        kit_ok(tooz_local_lock_release(lock));
        kit_fails(tooz_local_lock_try(lock, X), 0);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_wait, interruptible) {
        interrupted(false);
}

Test(local_wait, interruptible_upgrade) {
        interrupted(true);
}

/* The kernel begins the wait again. */
Test(local_wait, a_handler_with_restart_does_not_interrupt) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Waiter w = { .flags = TOOZ_LOCAL_INTERRUPTIBLE, .timeout_usec = 2 * SHORT };

        handle(SIGUSR1, SA_RESTART);
        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        waiter_begin(&w);
        signal_until_over(&w, 60000);
        (void) pthread_join(w.thread, NULL);
        kit_fails(w.result, -ETIMEDOUT);
        kit_ok(tooz_local_lock_release(lock));
}

Test(local_wait, goes_on_after_a_signal) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Waiter w = { .timeout_usec = FOREVER };

        handle(SIGUSR1, 0);
        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        waiter_begin(&w);
        signal_until_over(&w, 30);
        cr_assert_not(w.over);
        cr_assert_geq(n_signals, 1);
        kit_ok(tooz_local_lock_release(lock));
        (void) pthread_join(w.thread, NULL);
        kit_fails(w.result, 0);
        cr_assert(w.held);
}

Test(local_wait, times_out_in_spite_of_signals) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        Waiter w = { .timeout_usec = SHORT };
        uint64_t before = shm_now();

        handle(SIGUSR1, 0);
        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        waiter_begin(&w);
        signal_until_over(&w, 60000);
        (void) pthread_join(w.thread, NULL);
        kit_fails(w.result, -ETIMEDOUT);
        cr_assert_geq(shm_now() - before, SHORT);
        cr_assert_not(w.held);
        kit_ok(tooz_local_lock_release(lock));
}

/* A place in the queue that was given up leaves nothing. */
Test(local_wait, many_that_time_out) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        tooz_local_stat stat = { .size = sizeof(stat) };
        Waiter w[8];

        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        for (unsigned i = 0; i < 8; i++) {
                w[i] = (Waiter) { .timeout_usec = 1000 + 3000 * i };
                waiter_begin(&w[i]);
        }
        for (unsigned i = 0; i < 8; i++) {
                (void) pthread_join(w[i].thread, NULL);
                kit_fails(w[i].result, -ETIMEDOUT);
        }
        kit_ok(tooz_local_lock_get_stat(lock, &stat));
        cr_assert_eq(stat.waiters, 0);
        cr_assert_eq(stat.holders, 1);
        kit_ok(tooz_local_lock_release(lock));
        cr_assert_eq(atomic_load(&lock->hold.slot->word), lock->hold.idle);
}

/* --- death ------------------------------------------------------------------------------------------------------- */

Test(local_wait, the_holder_is_killed) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        pid_t pid = child_hold("a", X);
        Other o;

        other_begin(&o, "a", X);
        local_kit_await_waiters(lock, 1);
        child_kill(pid);
        kit_fails(other_result(&o), 1);
        kit_fails(other_end(&o), 0);
}

Test(local_wait, readers_are_killed) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        pid_t pids[30];
        Other o;

        for (unsigned i = 0; i < 30; i++)
                pids[i] = child_hold("a", S);
        other_begin(&o, "a", X);
        local_kit_await_waiters(lock, 1);
        for (unsigned i = 0; i < 30; i++)
                child_kill(pids[i]);
        kit_fails(other_result(&o), 1);
        kit_fails(other_end(&o), 0);
}

Test(local_wait, those_before_us_are_killed) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        pid_t pids[3];
        Other o;

        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        for (unsigned i = 0; i < 3; i++) {
                pids[i] = fork();
                if (pids[i] == 0) {
                        tooz_local_arena *arena;
                        tooz_local_lock *mine;

                        must(tooz_local_arena_open(&arena, local_kit_path(), 0600, 0) == 0);
                        must(tooz_local_lock_open(&mine, arena, "a", 0) == 0);
                        _exit(tooz_local_lock_acquire(mine, X, FOREVER));
                }
                local_kit_await_waiters(lock, i + 1);
        }
        other_begin(&o, "a", X);
        local_kit_await_waiters(lock, 4);
        for (unsigned i = 0; i < 3; i++)
                child_kill(pids[i]);
        kit_ok(tooz_local_lock_release(lock));
        kit_fails(other_result(&o), 0); /* they did not hold it */
        kit_fails(other_end(&o), 0);
}

/* It lives. */
Test(local_wait, a_holder_that_is_stopped_keeps_it) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        pid_t pid = child_hold("a", X);

        cr_assert_eq(kill(pid, SIGSTOP), 0);
        kit_fails(tooz_local_lock_acquire(lock, X, SHORT), -ETIMEDOUT);
        child_kill(pid);
        kit_fails(tooz_local_lock_acquire(lock, X, FOREVER), 1);
        kit_ok(tooz_local_lock_release(lock));
}
