/* SPDX-License-Identifier: Apache-2.0 */
/* Turns and their phases */

#include "loop/timer.h"
#include "loop/loop-kit.h"

KIT_SUITE(loop);

/* One of each thing that runs in a turn; `story` tells in what order. */
typedef struct Cast {
        Loop *loop;
        LoopOp op;
        LoopTimer timer;
        LoopDefer defer;
        LoopDefer publish;
        LoopHook defer_hook;
        LoopHook publish_hook;
        char story[64];
        int fd;
} Cast;

static void cast_tell(Cast *cast, char what) {
        size_t n = strlen(cast->story);

        cr_assert_lt(n, sizeof(cast->story) - 1);
        cast->story[n] = what;
        cast->story[n + 1] = '\0';
}

static void cast_op(LoopOp *op, int result, uint32_t flags) {
        cast_tell(container_of(op, Cast, op), 'o');
}

static void cast_timer(LoopTimer *timer, uint64_t now_usec) {
        cast_tell(container_of(timer, Cast, timer), 't');
}

static void cast_defer(LoopDefer *defer) {
        cast_tell(container_of(defer, Cast, defer), 'd');
}

static void cast_publish(LoopDefer *defer) {
        cast_tell(container_of(defer, Cast, publish), 'p');
}

static void cast_defer_hook(LoopHook *hook) {
        cast_tell(container_of(hook, Cast, defer_hook), 'D');
}

static void cast_publish_hook(LoopHook *hook) {
        cast_tell(container_of(hook, Cast, publish_hook), 'P');
}

static void cast_init(Cast *cast, LoopKind kind) {
        *cast = (Cast) { .loop = loop_kit_new(kind), .fd = loop_kit_eventfd() };
        loop_op_init(&cast->op, cast->loop, cast_op);
        loop_timer_init(&cast->timer, cast->loop, cast_timer);
        loop_defer_init(&cast->defer, cast->loop, LOOP_PHASE_DEFERRED, cast_defer);
        loop_defer_init(&cast->publish, cast->loop, LOOP_PHASE_PUBLISH, cast_publish);
}

static void cast_deinit(Cast *cast) {
        loop_free(cast->loop);
        close(cast->fd);
}

LOOP_TEST(loop, phases_in_their_order) {
        Cast cast;

        cast_init(&cast, kind);
        loop_hook_add(&cast.publish_hook, cast.loop, LOOP_PHASE_PUBLISH, cast_publish_hook);
        loop_hook_add(&cast.defer_hook, cast.loop, LOOP_PHASE_DEFERRED, cast_defer_hook);
        loop_defer_trigger(&cast.publish);
        loop_defer_trigger(&cast.defer);
        loop_defer_trigger(&cast.defer); /* twice is once */
        loop_timer_set(&cast.timer, time_now());
        loop_kit_poke(cast.fd);
        loop_poll(&cast.op, cast.fd, POLLIN, false);

        kit_ok(loop_run_once(cast.loop));
        kit_streq(cast.story, "otdDpP");
        cr_assert_eq(loop_stats(cast.loop)->n_turns, 1);

        loop_hook_remove(&cast.publish_hook);
        loop_hook_remove(&cast.defer_hook);
        cast_deinit(&cast);
}

/* With each callback triggering for a phase ahead of it, all comes within the turn. */
static void ahead_op(LoopOp *op, int result, uint32_t flags) {
        Cast *cast = container_of(op, Cast, op);

        cast_tell(cast, 'o');
        loop_timer_set(&cast->timer, 1);
}

static void ahead_timer(LoopTimer *timer, uint64_t now_usec) {
        Cast *cast = container_of(timer, Cast, timer);

        cast_tell(cast, 't');
        loop_defer_trigger(&cast->defer);
}

static void ahead_defer(LoopDefer *defer) {
        Cast *cast = container_of(defer, Cast, defer);

        cast_tell(cast, 'd');
        loop_defer_trigger(&cast->publish);
}

LOOP_TEST(loop, triggered_for_a_phase_ahead) {
        Cast cast;

        cast_init(&cast, kind);
        cast.op.fn = ahead_op;
        cast.timer.fn = ahead_timer;
        cast.defer.fn = ahead_defer;
        loop_kit_poke(cast.fd);
        loop_poll(&cast.op, cast.fd, POLLIN, false);

        kit_ok(loop_run_once(cast.loop));
        kit_streq(cast.story, "otdp");
        cast_deinit(&cast);
}

/* Each callback wants itself again, and the phase before it: that is for the next turn, which doesn't wait. */
static void again_defer(LoopDefer *defer) {
        Cast *cast = container_of(defer, Cast, defer);

        cast_tell(cast, 'd');
        if (strlen(cast->story) < 7)
                loop_defer_trigger(defer);
}

static void again_publish(LoopDefer *defer) {
        Cast *cast = container_of(defer, Cast, publish);

        cast_tell(cast, 'p');
        if (strlen(cast->story) < 8) {
                loop_defer_trigger(defer);
                loop_defer_trigger(&cast->defer);
        }
}

LOOP_TEST(loop, triggered_in_its_own_phase) {
        Cast cast;

        cast_init(&cast, kind);
        cast.defer.fn = again_defer;
        cast.publish.fn = again_publish;
        loop_defer_trigger(&cast.defer);
        loop_defer_trigger(&cast.publish);

        kit_ok(loop_run_once(cast.loop));
        kit_streq(cast.story, "dp");
        kit_ok(loop_run_once(cast.loop));
        kit_streq(cast.story, "dpdp");
        kit_ok(loop_run_once(cast.loop));
        kit_ok(loop_run_once(cast.loop));
        kit_streq(cast.story, "dpdpdpdp");
        cr_assert_not(loop_defer_is_triggered(&cast.defer));
        cr_assert_not(loop_defer_is_triggered(&cast.publish));
        cast_deinit(&cast);
}

/* Alone, with nothing else that would end a wait. */
static void lone_defer(LoopDefer *defer) {
        Cast *cast = container_of(defer, Cast, defer);

        cast_tell(cast, 'd');
        if (strlen(cast->story) < 3)
                loop_defer_trigger(defer);
}

LOOP_TEST(loop, triggered_phase_lets_no_turn_wait) {
        Cast cast;

        for (LoopPhase phase = 0; phase < _LOOP_PHASE_MAX; phase++) {
                cast_init(&cast, kind);
                loop_defer_init(&cast.defer, cast.loop, phase, lone_defer);
                loop_defer_trigger(&cast.defer);
                for (int i = 0; i < 3; i++)
                        kit_ok(loop_run_once(cast.loop));
                kit_streq(cast.story, "ddd");
                cast_deinit(&cast);
        }
}

static void eager_defer(LoopDefer *defer) {
        loop_defer_trigger(defer);
}

/* A loop that never waits still sees what comes in. */
LOOP_TEST(loop, busy_phases_starve_no_operation) {
        Cast cast;

        cast_init(&cast, kind);
        loop_poll(&cast.op, cast.fd, POLLIN, true);
        loop_kit_settle(cast.loop);
        cast.defer.fn = eager_defer;
        loop_defer_trigger(&cast.defer);
        for (int i = 0; i < 3; i++) {
                loop_kit_poke(cast.fd);
                kit_ok(loop_run_once(cast.loop));
        }
        kit_streq(cast.story, "ooo");
        loop_defer_cancel(&cast.defer);
        loop_op_cancel(&cast.op);
        kit_ok(loop_drain(cast.loop));
        cast_deinit(&cast);
}

static void rival_defer(LoopDefer *defer) {
        Cast *cast = container_of(defer, Cast, defer);

        cast_tell(cast, 'd');
        loop_defer_cancel(&cast->publish);
        loop_hook_remove(&cast->defer_hook);
}

LOOP_TEST(loop, defers_and_hooks_are_taken_back) {
        Cast cast;

        cast_init(&cast, kind);
        cast.defer.fn = rival_defer;
        loop_hook_add(&cast.defer_hook, cast.loop, LOOP_PHASE_DEFERRED, cast_defer_hook);
        loop_defer_trigger(&cast.defer);
        loop_defer_trigger(&cast.publish);

        kit_ok(loop_run_once(cast.loop));
        kit_streq(cast.story, "d");
        loop_defer_cancel(&cast.publish);
        loop_hook_remove(&cast.defer_hook);
        cast_deinit(&cast);
}

static void leaving_hook(LoopHook *hook) {
        cast_tell(container_of(hook, Cast, defer_hook), 'D');
        loop_hook_remove(hook);
}

LOOP_TEST(loop, hook_removes_itself) {
        Cast cast;

        cast_init(&cast, kind);
        loop_hook_add(&cast.defer_hook, cast.loop, LOOP_PHASE_DEFERRED, leaving_hook);
        loop_hook_add(&cast.publish_hook, cast.loop, LOOP_PHASE_DEFERRED, cast_publish_hook);
        for (int i = 0; i < 2; i++) {
                loop_defer_trigger(&cast.defer);
                kit_ok(loop_run_once(cast.loop));
        }
        kit_streq(cast.story, "dDPdP");
        loop_hook_remove(&cast.publish_hook);
        cast_deinit(&cast);
}

static void exit_op(LoopOp *op, int result, uint32_t flags) {
        Cast *cast = container_of(op, Cast, op);

        cast_tell(cast, 'o');
        loop_defer_trigger(&cast->publish);
        loop_exit(cast->loop, 75);
}

LOOP_TEST(loop, exit_ends_the_run_behind_its_turn) {
        Cast cast;

        cast_init(&cast, kind);
        cast.op.fn = exit_op;
        for (int i = 0; i < 2; i++) {
                loop_kit_poke(cast.fd);
                loop_poll(&cast.op, cast.fd, POLLIN, false);
                cr_assert_eq(loop_run(cast.loop), 75);
        }
        kit_streq(cast.story, "opop");
        cast_deinit(&cast);
}

static void clock_op(LoopOp *op, int result, uint32_t flags) {
        Cast *cast = container_of(op, Cast, op);
        uint64_t now_usec = loop_now(cast->loop);

        cast_tell(cast, 'o');
        while (time_now() == now_usec)
                ;
        cr_assert_eq(loop_now(cast->loop), now_usec); /* stands still within a turn */
}

LOOP_TEST(loop, time_stands_within_a_turn) {
        uint64_t before_usec;
        Cast cast;

        cast_init(&cast, kind);
        cast.op.fn = clock_op;
        for (int i = 0; i < 2; i++) {
                before_usec = time_now();
                cr_assert_leq(before_usec, loop_now(cast.loop));
                loop_kit_poke(cast.fd);
                loop_poll(&cast.op, cast.fd, POLLIN, false);
                kit_ok(loop_run_once(cast.loop));
                cr_assert_lt(before_usec, loop_now(cast.loop));
        }
        kit_streq(cast.story, "oo");
        cast_deinit(&cast);
}

LOOP_TEST(loop, drain_awaits_what_was_cancelled) {
        Probe probes[3];
        Loop *loop = loop_kit_new(kind);
        int fd = loop_kit_eventfd();

        for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
                probe_init(&probes[i], loop);
                loop_poll(&probes[i].op, fd, POLLIN, i == 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
                loop_op_cancel(&probes[i].op);
        kit_ok(loop_drain(loop));
        for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
                cr_assert_eq(probes[i].n_ended, 1);
        loop_free(loop);
        close(fd);
}

/* Batching, which the benchmark is about: the number of system calls doesn't grow with the operations. */
Test(loop, one_enter_for_many_operations) {
        Probe probes[100];
        Loop *loop;
        int fd;

        loop_kit_require(LOOP_URING);
        loop = loop_kit_new(LOOP_URING);
        fd = loop_kit_eventfd();
        loop_kit_poke(fd);
        for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
                probe_init(&probes[i], loop);
                loop_poll(&probes[i].op, fd, POLLIN, false);
        }
        kit_ok(loop_run_once(loop));
        cr_assert_eq(loop_stats(loop)->n_enters, 1);
        cr_assert_eq(loop_stats(loop)->n_submitted, ARRAY_SIZE(probes));
        cr_assert_eq(loop_stats(loop)->n_completed, ARRAY_SIZE(probes));
        loop_free(loop);
        close(fd);
}
