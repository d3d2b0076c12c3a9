/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: never early, in order, once. How late they are is the machine's affair and no matter of a test. */

#include <sched.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/random.h"
#include "loop/loop-kit.h"
#include "loop/timer.h"

KIT_SUITE(timer);

/* A timer that notes when it was called. */
typedef struct Alarm {
        LoopTimer timer;
        uint64_t deadline_usec;
        unsigned n;
        uint64_t turn; /* of the last call */
        struct Alarm *victim;
} Alarm;

static uint64_t last_deadline_usec;
static unsigned n_rung;

static void alarm_ring(LoopTimer *timer, uint64_t now_usec) {
        Alarm *alarm = container_of(timer, Alarm, timer);

        cr_assert_leq(alarm->deadline_usec, now_usec);
        cr_assert_leq(now_usec, time_now());
        cr_assert_eq(now_usec, loop_now(timer->loop));
        cr_assert_not(loop_timer_is_set(timer));
        alarm->n++;
        alarm->turn = loop_stats(timer->loop)->n_turns;
        n_rung++;
}

static void alarm_ring_in_order(LoopTimer *timer, uint64_t now_usec) {
        Alarm *alarm = container_of(timer, Alarm, timer);

        alarm_ring(timer, now_usec);
        cr_assert_leq(last_deadline_usec, alarm->deadline_usec);
        last_deadline_usec = alarm->deadline_usec;
}

static void alarm_init(Alarm *alarm, Loop *loop, LoopTimerFn fn) {
        *alarm = (Alarm) {};
        loop_timer_init(&alarm->timer, loop, fn);
}

static void alarm_set(Alarm *alarm, uint64_t deadline_usec) {
        alarm->deadline_usec = deadline_usec;
        loop_timer_set(&alarm->timer, deadline_usec);
        cr_assert(loop_timer_is_set(&alarm->timer));
}

static void alarm_await(Alarm *alarm, unsigned n) {
        while (alarm->n < n)
                kit_ok(loop_run_once(alarm->timer.loop));
}

/* All are set before the first turn, so that the deadlines' order is the order of the calls. */
LOOP_TEST(timer, never_early_and_in_order) {
        static Alarm alarms[300];
        Loop *loop = loop_kit_new(kind);
        uint64_t start_usec;
        Prng prng;

        prng_init(&prng, kit_seed());
        start_usec = time_now();
        for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
                alarm_init(&alarms[i], loop, alarm_ring_in_order);
                alarm_set(&alarms[i], start_usec + prng_below(&prng, 100 * USEC_PER_MSEC));
        }
        while (n_rung < ARRAY_SIZE(alarms))
                kit_ok(loop_run_once(loop));
        for (size_t i = 0; i < ARRAY_SIZE(alarms); i++)
                cr_assert_eq(alarms[i].n, 1);
        loop_free(loop);
}

LOOP_TEST(timer, waits_once_for_each) {
        Loop *loop = loop_kit_new(kind);
        uint64_t n_turns;
        Alarm alarm;

        /* Else the loop would be spinning. */
        alarm_init(&alarm, loop, alarm_ring);
        for (unsigned i = 1; i <= 5; i++) {
                n_turns = loop_stats(loop)->n_turns;
                alarm_set(&alarm, time_now() + 2 * USEC_PER_MSEC);
                alarm_await(&alarm, i);
                cr_assert_leq(loop_stats(loop)->n_turns - n_turns, 2);
        }
        loop_free(loop);
}

/* The kernel's time-out is moved to the earlier one, again and again. */
LOOP_TEST(timer, earlier_than_the_armed_one) {
        Loop *loop = loop_kit_new(kind);
        Alarm alarms[20], far;

        alarm_init(&far, loop, alarm_ring);
        alarm_set(&far, time_now() + 1000 * USEC_PER_SEC);
        for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
                loop_kit_settle(loop);
                alarm_init(&alarms[i], loop, alarm_ring);
                alarm_set(&alarms[i], time_now() + (100 - i) * USEC_PER_SEC);
        }
        loop_kit_settle(loop);
        alarm_set(&alarms[7], time_now() + USEC_PER_MSEC);
        alarm_await(&alarms[7], 1);
        cr_assert_eq(n_rung, 1);

        for (size_t i = 0; i < ARRAY_SIZE(alarms); i++)
                loop_timer_unset(&alarms[i].timer);
        loop_timer_unset(&far.timer);
        loop_free(loop);
}

/* The kernel wakes up for one that was unset, and goes on to the next. */
LOOP_TEST(timer, unset_before_its_time) {
        Loop *loop = loop_kit_new(kind);
        Alarm unset, set;

        alarm_init(&unset, loop, alarm_ring);
        alarm_init(&set, loop, alarm_ring);
        alarm_set(&unset, time_now() + USEC_PER_MSEC);
        alarm_set(&set, time_now() + 3 * USEC_PER_MSEC);
        loop_kit_settle(loop);
        if (unset.n == 0) { /* on a slow machine it has rung */
                loop_timer_unset(&unset.timer);
                loop_timer_unset(&unset.timer);
                cr_assert_not(loop_timer_is_set(&unset.timer));
        }
        alarm_await(&set, 1);
        cr_assert_leq(unset.n, 1);
        loop_free(loop);
}

LOOP_TEST(timer, in_the_past) {
        Loop *loop = loop_kit_new(kind);
        Alarm alarms[3];
        uint64_t deadlines_usec[] = { 0, 1, time_now() };

        for (size_t i = 0; i < ARRAY_SIZE(alarms); i++) {
                alarm_init(&alarms[i], loop, alarm_ring_in_order);
                alarm_set(&alarms[i], deadlines_usec[i]);
        }
        while (n_rung < ARRAY_SIZE(alarms))
                kit_ok(loop_run_once(loop));
        cr_assert_leq(loop_stats(loop)->n_turns, 2);
        loop_free(loop);
}

LOOP_TEST(timer, never) {
        Loop *loop = loop_kit_new(kind);
        Alarm alarm;

        alarm_init(&alarm, loop, alarm_ring);
        alarm_set(&alarm, time_now() + 1000 * USEC_PER_SEC);
        loop_timer_set(&alarm.timer, USEC_INFINITY);
        cr_assert_not(loop_timer_is_set(&alarm.timer));
        loop_kit_settle(loop);

        alarm_set(&alarm, USEC_INFINITY - 1); /* beyond what the kernel can count */
        loop_kit_settle(loop);
        cr_assert_eq(alarm.n, 0);
        loop_timer_unset(&alarm.timer);
        loop_free(loop);
}

/* Set by its own callback to the past: in each turn once, for ever. */
static void alarm_repeat(LoopTimer *timer, uint64_t now_usec) {
        Alarm *alarm = container_of(timer, Alarm, timer);

        alarm_ring(timer, now_usec);
        if (alarm->n < 5)
                alarm_set(alarm, now_usec);
}

LOOP_TEST(timer, set_again_in_its_callback) {
        Loop *loop = loop_kit_new(kind);
        Alarm alarm;

        alarm_init(&alarm, loop, alarm_repeat);
        alarm_set(&alarm, 1);
        for (unsigned i = 1; i <= 5; i++) {
                uint64_t turn;

                alarm_await(&alarm, i);
                cr_assert_eq(alarm.n, i);
                turn = alarm.turn;
                cr_assert_eq(turn, loop_stats(loop)->n_turns);
        }
        cr_assert_not(loop_timer_is_set(&alarm.timer));
        loop_free(loop);
}

/* Two are due, and the first one takes the second back, or puts it off. */
static void alarm_disarm(LoopTimer *timer, uint64_t now_usec) {
        Alarm *alarm = container_of(timer, Alarm, timer);

        alarm_ring(timer, now_usec);
        cr_assert(loop_timer_is_set(&alarm->victim->timer));
        if (alarm->victim->deadline_usec == 2)
                loop_timer_unset(&alarm->victim->timer);
        else
                alarm_set(alarm->victim, 4);
}

LOOP_TEST(timer, due_and_taken_back) {
        Loop *loop = loop_kit_new(kind);
        Alarm first, second;

        alarm_init(&first, loop, alarm_disarm);
        alarm_init(&second, loop, alarm_ring);
        first.victim = &second;
        alarm_set(&first, 1);
        alarm_set(&second, 2);
        alarm_await(&first, 1);
        loop_kit_settle(loop);
        cr_assert_eq(second.n, 0);

        alarm_set(&first, 1);
        alarm_set(&second, 3);
        alarm_await(&second, 1);
        cr_assert_eq(second.turn, first.turn + 1);
        loop_free(loop);
}

static void alarm_free(LoopTimer *timer, uint64_t now_usec) {
        n_rung++;
        free(container_of(timer, Alarm, timer));
}

LOOP_TEST(timer, freed_in_its_callback) {
        Loop *loop = loop_kit_new(kind);

        for (unsigned i = 0; i < 10; i++) {
                Alarm *alarm = malloc(sizeof(*alarm));

                alarm_init(alarm, loop, alarm_free);
                alarm_set(alarm, time_now() + i * 100);
        }
        while (n_rung < 10)
                kit_ok(loop_run_once(loop));
        loop_free(loop);
}

/* Timers that never elapse cost no system calls. */
LOOP_TEST(timer, set_and_unset_for_nothing) {
        Loop *loop = loop_kit_new(kind);
        Alarm guard, alarm;
        uint64_t n_enters, n_turns;

        alarm_init(&guard, loop, alarm_ring);
        alarm_init(&alarm, loop, alarm_ring);
        alarm_set(&guard, time_now() + 100 * USEC_PER_SEC);
        loop_kit_settle(loop);
        n_enters = loop_stats(loop)->n_enters;
        n_turns = loop_stats(loop)->n_turns;
        for (unsigned i = 0; i < 10; i++) {
                alarm_set(&alarm, time_now() + 200 * USEC_PER_SEC);
                loop_kit_settle(loop);
                loop_timer_unset(&alarm.timer);
        }
        if (kind == LOOP_URING)
                cr_assert_eq(loop_stats(loop)->n_enters - n_enters, loop_stats(loop)->n_turns - n_turns);
        else /* with epoll_ctl() to attach and detach loop_kit_settle()'s descriptor */
                cr_assert_eq(loop_stats(loop)->n_enters - n_enters, 3 * (loop_stats(loop)->n_turns - n_turns));
        loop_timer_unset(&guard.timer);
        loop_free(loop);
}

/* --- in a time namespace BOOTTIME isn't the host's ---------------------------------------------------- */

static void ring_in_namespace(LoopKind kind) {
        Loop *loop = loop_kit_new(kind);
        Alarm alarm;

        alarm_init(&alarm, loop, alarm_ring);
        for (unsigned i = 1; i <= 3; i++) {
                alarm_set(&alarm, time_now() + 2 * USEC_PER_MSEC);
                alarm_await(&alarm, i);
        }
        cr_assert_leq(loop_stats(loop)->n_turns, 6); /* else it was spinning */
        loop_free(loop);
}

/* The namespace is entered by fork(). */
static void fork_with_boottime_offset(LoopKind kind, const char *offset) {
        _cleanup_close_ int fd = -1;
        int status;
        pid_t pid;

        if (unshare(CLONE_NEWTIME) < 0)
                cr_skip_test("no time namespace here: %s", strerror(errno));
        fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
        cr_assert_geq(fd, 0);
        kit_ok(fd_write_all(fd, offset, strlen(offset)));

        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0) {
                ring_in_namespace(kind);
                _exit(EXIT_SUCCESS);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
}

LOOP_TEST(timer, in_a_namespace_ahead_of_the_host) {
        fork_with_boottime_offset(kind, "boottime 1000000 0\n");
}

LOOP_TEST(timer, in_a_namespace_behind_the_host) {
        fork_with_boottime_offset(kind, "boottime -1 0\n");
}
