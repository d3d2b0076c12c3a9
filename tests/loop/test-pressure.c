/* SPDX-License-Identifier: Apache-2.0 */
/* Rings that are too small, multishots that end by themselves */

#include "loop/loop-kit.h"

KIT_SUITE(pressure);

static Loop *tiny_loop(LoopKind kind, unsigned oneshot_every) {
        LoopParams params = { .n_entries = 8, .oneshot_every = oneshot_every };
        Loop *loop;

        kit_ok(loop_new_with(&loop, kind, &params));
        return loop;
}

/* --- multishot without F_MORE: the loop arms again, the owner sees no difference ---------------------- */

typedef struct Reader {
        Probe probe;
        int fd;
        uint64_t n_read;
} Reader;

static void reader_run(LoopOp *op, int result, uint32_t flags) {
        Reader *reader = container_of(op, Reader, probe.op);
        uint64_t n;

        probe_note(op, result, flags);
        if (result >= 0 && read(reader->fd, &n, sizeof(n)) == (ssize_t) sizeof(n))
                reader->n_read += n;
}

Test(pressure, poll_ends_each_time) {
        Reader reader = { .fd = -1 };
        Loop *loop;

        loop_kit_require(LOOP_URING);
        loop = tiny_loop(LOOP_URING, 1);
        reader.fd = loop_kit_eventfd();
        probe_init(&reader.probe, loop);
        reader.probe.op.fn = reader_run;
        loop_poll(&reader.probe.op, reader.fd, POLLIN, true);
        for (unsigned i = 1; i <= 100; i++) {
                loop_kit_poke(reader.fd);
                while (reader.n_read < i) {
                        kit_ok(loop_run_once(loop));
                        cr_assert_eq(reader.probe.flags, LOOP_OP_MORE);
                }
        }
        cr_assert_eq(reader.probe.n_ended, 0);
        cr_assert_eq(loop_stats(loop)->n_rearmed, 100);

        loop_op_cancel(&reader.probe.op);
        kit_ok(loop_drain(loop));
        cr_assert_eq(reader.probe.n_ended, 1);
        loop_free(loop);
        close(reader.fd);
}

/* One that was armed again is queued, as well as in a callback: cancelled there, it ends once. */
static void quitter_run(LoopOp *op, int result, uint32_t flags) {
        probe_note(op, result, flags);
        if (flags & LOOP_OP_MORE) {
                cr_assert_eq(op->state, LOOP_OP_QUEUED);
                loop_op_cancel(op);
        }
}

Test(pressure, cancelled_when_it_had_ended) {
        Probe probe;
        Loop *loop;
        int fd;

        loop_kit_require(LOOP_URING);
        loop = tiny_loop(LOOP_URING, 1);
        fd = loop_kit_eventfd();
        probe_init(&probe, loop);
        probe.op.fn = quitter_run;
        loop_kit_poke(fd);
        loop_poll(&probe.op, fd, POLLIN, true);
        kit_ok(loop_drain(loop));
        cr_assert_eq(probe.n, 2);
        cr_assert_eq(probe.n_ended, 1);
        cr_assert_eq(probe.result, -ECANCELED);
        loop_free(loop);
        close(fd);
}

/* --- more operations than entries ------------------------------------------------------------------- */

#define N_MANY 1000

static void arm_many(Probe *probes, Loop *loop, int fd, bool multishot) {
        for (size_t i = 0; i < N_MANY; i++) {
                probe_init(&probes[i], loop);
                loop_poll(&probes[i].op, fd, POLLIN, multishot);
        }
}

static void await_many(Probe *probes, unsigned n) {
        for (size_t i = 0; i < N_MANY; i++)
                probe_await(&probes[i], n);
}

LOOP_TEST(pressure, thousand_operations_in_a_ring_of_eight) {
        static Probe probes[N_MANY];
        Loop *loop = tiny_loop(kind, 0);
        int fd = loop_kit_eventfd();

        arm_many(probes, loop, fd, false);
        loop_kit_settle(loop);
        cr_assert_eq(loop_stats(loop)->n_submitted, N_MANY + 3);
        cr_assert_eq(loop_stats(loop)->n_turns, 3); /* all in the first one */
        loop_kit_poke(fd);
        await_many(probes, 1);
        kit_ok(loop_drain(loop));
        for (size_t i = 0; i < N_MANY; i++) {
                cr_assert_eq(probes[i].n, 1);
                cr_assert_eq(probes[i].result, POLLIN);
        }
        cr_assert_eq(loop_stats(loop)->n_completed, N_MANY + 3);
        loop_free(loop);
        close(fd);
}

LOOP_TEST(pressure, thousand_cancelled_in_a_ring_of_eight) {
        static Probe probes[N_MANY];
        Loop *loop = tiny_loop(kind, 0);
        int fd = loop_kit_eventfd();

        arm_many(probes, loop, fd, false);
        loop_kit_settle(loop);
        for (size_t i = 0; i < N_MANY; i++)
                loop_op_cancel(&probes[i].op);
        kit_ok(loop_drain(loop));
        for (size_t i = 0; i < N_MANY; i++) {
                cr_assert_eq(probes[i].n, 1);
                cr_assert_eq(probes[i].result, -ECANCELED);
        }
        loop_free(loop);
        close(fd);
}

/* The completion queue has sixteen entries; the kernel ends multishots for which it has none. */
LOOP_TEST(pressure, overflow_loses_no_edge) {
        static Probe probes[N_MANY];
        Loop *loop = tiny_loop(kind, 0);
        int fd = loop_kit_eventfd();

        arm_many(probes, loop, fd, true);
        loop_kit_settle(loop);
        for (unsigned round = 1; round <= 5; round++) {
                for (size_t i = 0; i < N_MANY; i++)
                        probes[i].n = 0;
                loop_kit_poke(fd);
                await_many(probes, 1);
        }
        cr_assert(kind == LOOP_EPOLL || loop_stats(loop)->n_overflow > 0);
        for (size_t i = 0; i < N_MANY; i++) {
                cr_assert_eq(probes[i].n_ended, 0);
                loop_op_cancel(&probes[i].op);
        }
        kit_ok(loop_drain(loop));
        for (size_t i = 0; i < N_MANY; i++) {
                cr_assert_eq(probes[i].n_ended, 1);
                /* POLLIN: the kernel had just ended it for want of room. */
                cr_assert(probes[i].result == -ECANCELED || probes[i].result == POLLIN);
        }
        loop_free(loop);
        close(fd);
}
