/* SPDX-License-Identifier: Apache-2.0 */
/* Readiness: once, as edges, and several operations on one descriptor */

#include "loop/loop-kit.h"

KIT_SUITE(poll);

LOOP_TEST(poll, poll_once_reports_what_is_ready) {
        Loop *loop = loop_kit_new(kind);
        Probe probe;
        int fds[2];

        loop_kit_pair(SOCK_STREAM, fds);
        probe_init(&probe, loop);
        loop_poll(&probe.op, fds[0], POLLOUT, false);
        probe_await(&probe, 1);
        cr_assert_eq(probe.result, POLLOUT);

        loop_poll(&probe.op, fds[0], POLLIN, false);
        loop_kit_settle(loop);
        cr_assert_eq(probe.n, 1); /* writable, which isn't asked for any more */
        cr_assert_eq(write(fds[1], "x", 1), 1);
        probe_await(&probe, 2);
        cr_assert_eq(probe.result, POLLIN);

        /* Not read: ready again at once. */
        loop_poll(&probe.op, fds[0], POLLIN | POLLOUT, false);
        probe_await(&probe, 3);
        cr_assert_eq(probe.result, POLLIN | POLLOUT);

        close(fds[1]);
        loop_poll(&probe.op, fds[0], POLLRDHUP, false);
        probe_await(&probe, 4);
        cr_assert_eq(probe.result & (POLLRDHUP | POLLHUP), POLLRDHUP | POLLHUP);
        loop_free(loop);
        close(fds[0]);
}

LOOP_TEST(poll, poll_many_reports_each_edge) {
        Loop *loop = loop_kit_new(kind);
        int fd = loop_kit_eventfd();
        Probe probe;

        probe_init(&probe, loop);
        loop_poll(&probe.op, fd, POLLIN, true);
        loop_kit_settle(loop);
        cr_assert_eq(probe.n, 0);
        for (unsigned i = 1; i <= 5; i++) {
                loop_kit_poke(fd);
                probe_await(&probe, i);
                cr_assert_eq(probe.result, POLLIN);
                cr_assert_eq(probe.flags, LOOP_OP_MORE);
                loop_kit_settle(loop);
                cr_assert_eq(probe.n, i); /* an edge, not a level */
                if (i % 2 == 0)
                        loop_kit_unpoke(fd);
        }
        loop_op_cancel(&probe.op);
        kit_ok(loop_drain(loop));
        cr_assert_eq(probe.result, -ECANCELED);
        loop_free(loop);
        close(fd);
}

/* Reader, writer and watcher of one descriptor don't take each other's events. */
LOOP_TEST(poll, several_on_one_descriptor) {
        Loop *loop = loop_kit_new(kind);
        Probe recv, in, out, hup;
        char buf[16];
        int fds[2];

        loop_kit_pair(SOCK_STREAM, fds);
        probe_init(&recv, loop);
        probe_init(&in, loop);
        probe_init(&out, loop);
        probe_init(&hup, loop);
        loop_poll(&hup.op, fds[0], POLLRDHUP, true);
        loop_poll(&in.op, fds[0], POLLIN, false);
        loop_recv(&recv.op, fds[0], buf, sizeof(buf));
        loop_kit_settle(loop);
        loop_poll(&out.op, fds[0], POLLOUT, false);
        probe_await(&out, 1);
        cr_assert_eq(out.result, POLLOUT);
        cr_assert_eq(in.n + recv.n + hup.n, 0);

        for (unsigned i = 1; i <= 3; i++) {
                cr_assert_eq(write(fds[1], "abc", 3), 3);
                probe_await(&recv, i);
                cr_assert_eq(recv.result, 3);
                loop_recv(&recv.op, fds[0], buf, sizeof(buf));
        }
        probe_await(&in, 1);
        cr_assert_eq(in.n, 1);

        cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
        probe_await(&recv, 4);
        probe_await(&hup, 1);
        cr_assert_eq(recv.result, 0);
        cr_assert(hup.result & POLLRDHUP);
        loop_op_cancel(&hup.op);
        kit_ok(loop_drain(loop));
        loop_free(loop);
        loop_kit_close_pair(fds);
}

/* One packet for two readers: one has it, the other waits on. */
LOOP_TEST(poll, two_readers_of_one_descriptor) {
        Loop *loop = loop_kit_new(kind);
        Probe readers[2];
        char buf[16];
        int fds[2];

        loop_kit_pair(SOCK_SEQPACKET, fds);
        for (int i = 0; i < 2; i++) {
                probe_init(&readers[i], loop);
                loop_recv(&readers[i].op, fds[0], buf, sizeof(buf));
        }
        loop_kit_settle(loop);
        for (unsigned n = 1; n <= 2; n++) {
                cr_assert_eq(write(fds[1], "abc", 3), 3);
                loop_kit_settle(loop);
                cr_assert_eq(readers[0].n + readers[1].n, n);
        }
        cr_assert_eq(readers[0].n_ended, 1);
        cr_assert_eq(readers[1].n_ended, 1);
        loop_free(loop);
        loop_kit_close_pair(fds);
}

/* A duplicate keeps the file open: with the descriptor closed, its events must not turn up as those of the
 * next file with that number. */
LOOP_TEST(poll, closed_descriptor_with_a_duplicate) {
        Loop *loop = loop_kit_new(kind);
        int fd = loop_kit_eventfd(), copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), other;
        Probe probe;

        probe_init(&probe, loop);
        loop_kit_poke(fd);
        loop_poll(&probe.op, fd, POLLIN, false);
        probe_await(&probe, 1);
        close(fd);

        other = loop_kit_eventfd();
        cr_assert_eq(other, fd);
        loop_poll(&probe.op, other, POLLIN, false);
        loop_kit_poke(copy);
        loop_kit_settle(loop);
        cr_assert_eq(probe.n, 1);
        loop_op_cancel(&probe.op);
        kit_ok(loop_drain(loop));
        loop_free(loop);
        close(copy);
        close(other);
}
