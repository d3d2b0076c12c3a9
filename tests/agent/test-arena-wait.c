/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping on words beside the loop, by io_uring and by a thread */

#include <unistd.h>

#include "agent/arena-wait.h"
#include "base/time.h"
#include "support/kit.h"

#define MANY 400u

static Loop *loop;
static ArenaWait w;
static _Atomic uint32_t words[MANY];
static unsigned n_calls;
static _Atomic uint32_t *woken;
static bool again; /* commit in the callback, as the backend does */

static void set(size_t n) {
        arena_wait_begin(&w);
        for (size_t i = 0; i < n; i++)
                arena_wait_add(&w, (ShmWord) { .address = &words[i], .value = atomic_load(&words[i]) });
        arena_wait_commit(&w);
}

static void on_wake(ArenaWait *wait, _Atomic uint32_t *word) {
        n_calls++;
        woken = word;
        if (again)
                arena_wait_commit(wait);
}

static void tick(LoopTimer *timer, uint64_t now_usec) {
}

/* Turns for so long, or until it has been called so often. */
static void turn(uint64_t usec, unsigned calls) {
        uint64_t until = time_now() + usec;
        LoopTimer timer;

        loop_timer_init(&timer, loop, tick);
        while (time_now() < until && n_calls < calls) {
                loop_timer_set(&timer, MIN(until, time_now() + 5 * USEC_PER_MSEC));
                kit_ok(loop_run_once(loop));
        }
        loop_timer_unset(&timer);
}

static void begin(LoopKind kind) {
        int r = loop_new(&loop, kind);

        if (r < 0)
                cr_skip_test("no such loop here");
        n_calls = 0;
        woken = NULL;
        again = false;
        for (size_t i = 0; i < MANY; i++)
                atomic_store(&words[i], 7);
        kit_ok(arena_wait_init(&w, loop, on_wake));
        cr_assert_eq(w.has_thread, !loop_can_futex(loop));
}

static void end(void) {
        arena_wait_deinit(&w);
        kit_ok(loop_drain(loop));
        loop_free(loop);
}

static void ring(size_t i) {
        (void) atomic_fetch_add(&words[i], 1);
        shm_futex_wake(&words[i]);
}

static void sleeps_until_woken(LoopKind kind) {
        begin(kind);
        set(3);
        turn(30 * USEC_PER_MSEC, 1);
        cr_assert_eq(n_calls, 0);
        ring(2);
        turn(5 * USEC_PER_SEC, 1);
        cr_assert_eq(n_calls, 1);
        cr_assert(!woken || woken == &words[2]);
        /* Not again before a new set. */
        ring(1);
        turn(30 * USEC_PER_MSEC, 2);
        cr_assert_eq(n_calls, 1);
        set(3);
        turn(30 * USEC_PER_MSEC, 2);
        cr_assert_eq(n_calls, 1);
        ring(0);
        turn(5 * USEC_PER_SEC, 2);
        cr_assert_eq(n_calls, 2);
        end();
}

static void what_has_changed_before_is_told_at_once(LoopKind kind) {
        begin(kind);
        arena_wait_begin(&w);
        arena_wait_add(&w, (ShmWord) { .address = &words[0], .value = 6 });
        arena_wait_commit(&w);
        turn(5 * USEC_PER_SEC, 1);
        cr_assert_eq(n_calls, 1);
        end();
}

static void a_new_set_replaces_the_old_one(LoopKind kind) {
        begin(kind);
        set(5);
        turn(10 * USEC_PER_MSEC, 1);
        set(2);
        turn(10 * USEC_PER_MSEC, 1);
        ring(4);
        turn(50 * USEC_PER_MSEC, 1);
        cr_assert_eq(n_calls, 0);
        ring(1);
        turn(5 * USEC_PER_SEC, 1);
        cr_assert_eq(n_calls, 1);
        end();
}

static void each_of_many_is_heard(LoopKind kind) {
        begin(kind);
        for (size_t i = 0; i < MANY; i += 57) {
                n_calls = 0;
                set(MANY);
                turn(20 * USEC_PER_MSEC, 1);
                cr_assert_eq(n_calls, 0, "word %zu", i);
                ring(i);
                turn(5 * USEC_PER_SEC, 1);
                cr_assert_eq(n_calls, 1, "word %zu", i);
        }
        end();
}

static void it_can_be_left_at_any_moment(LoopKind kind) {
        for (unsigned i = 0; i < 200; i++) {
                begin(kind);
                again = i & 1;
                if (i & 2)
                        set(MANY);
                if (i & 4)
                        ring(0);
                if (i & 8)
                        turn(USEC_PER_MSEC, 3);
                if (i & 16)
                        set(3);
                if (i & 32)
                        ring(1);
                end();
        }
}

#define BOTH(name)                                                             \
        Test(arena_wait_uring, name, .init = kit_setup, .fini = kit_teardown, .timeout = 60) { \
                name(LOOP_URING);                                              \
        }                                                                      \
        Test(arena_wait_epoll, name, .init = kit_setup, .fini = kit_teardown, .timeout = 60) { \
                name(LOOP_EPOLL);                                              \
        }

BOTH(sleeps_until_woken)
BOTH(what_has_changed_before_is_told_at_once)
BOTH(a_new_set_replaces_the_old_one)
BOTH(each_of_many_is_heard)
BOTH(it_can_be_left_at_any_moment)
