/* SPDX-License-Identifier: Apache-2.0 */
/* Sending, receiving, accepting */

#include <sys/un.h>

#include "loop/loop-kit.h"

KIT_SUITE(op);

LOOP_TEST(op, send_then_recv) {
        Loop *loop = loop_kit_new(kind);
        Probe send, recv;
        char buf[16];
        int fds[2];

        loop_kit_pair(SOCK_SEQPACKET, fds);
        probe_init(&send, loop);
        probe_init(&recv, loop);
        loop_recv(&recv.op, fds[1], buf, sizeof(buf));
        kit_streq(loop_op_state_to_string(recv.op.state), "queued");
        loop_send(&send.op, fds[0], "hello", 5);
        cr_assert_eq(send.n + recv.n, 0); /* never from inside the arming call */

        probe_await(&recv, 1);
        probe_await(&send, 1);
        cr_assert_eq(send.result, 5);
        cr_assert_eq(recv.result, 5);
        cr_assert_arr_eq(buf, "hello", 5);
        cr_assert_eq(send.flags | recv.flags, 0);

        loop_free(loop);
        loop_kit_close_pair(fds);
}

LOOP_TEST(op, recv_takes_what_is_there_and_then_the_end) {
        static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM };
        Loop *loop = loop_kit_new(kind);
        Probe recv;
        char buf[16];
        int fds[2];

        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                loop_kit_pair(types[i], fds);
                cr_assert_eq(write(fds[0], "abc", 3), 3);
                close(fds[0]);

                probe_init(&recv, loop);
                loop_recv(&recv.op, fds[1], buf, sizeof(buf));
                probe_await(&recv, 1);
                cr_assert_eq(recv.result, 3);
                loop_recv(&recv.op, fds[1], buf, sizeof(buf));
                probe_await(&recv, 2);
                cr_assert_eq(recv.result, 0);
                close(fds[1]);
        }
        loop_free(loop);
}

LOOP_TEST(op, recv_ends_when_the_peer_goes) {
        Loop *loop = loop_kit_new(kind);
        Probe recv;
        char buf[16];
        int fds[2];

        loop_kit_pair(SOCK_SEQPACKET, fds);
        probe_init(&recv, loop);
        loop_recv(&recv.op, fds[1], buf, sizeof(buf));
        loop_kit_settle(loop);
        cr_assert_eq(recv.n, 0);
        close(fds[0]);
        probe_await(&recv, 1);
        cr_assert_eq(recv.result, 0);
        loop_free(loop);
        close(fds[1]);
}

LOOP_TEST(op, recvmsg_brings_descriptors) {
        Loop *loop = loop_kit_new(kind);
        union {
                char space[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = {};
        char buf[16];
        struct iovec iov = { .iov_base = (char[]) { "x" }, .iov_len = 1 };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = sizeof(control) };
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        int fds[2], got;
        Probe recv;

        loop_kit_pair(SOCK_SEQPACKET, fds);
        *cmsg = (struct cmsghdr) { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                   .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(cmsg), &fds[0], sizeof(int));
        cr_assert_eq(sendmsg(fds[0], &msg, 0), 1);

        iov = (struct iovec) { .iov_base = buf, .iov_len = sizeof(buf) };
        memset(&control, 0, sizeof(control));
        msg.msg_controllen = sizeof(control);
        probe_init(&recv, loop);
        loop_recvmsg(&recv.op, fds[1], &msg);
        probe_await(&recv, 1);
        cr_assert_eq(recv.result, 1);
        cr_assert_eq(buf[0], 'x');

        cmsg = CMSG_FIRSTHDR(&msg);
        cr_assert_not_null(cmsg);
        memcpy(&got, CMSG_DATA(cmsg), sizeof(int));
        cr_assert_eq(fcntl(got, F_GETFD), FD_CLOEXEC);
        close(got);
        loop_free(loop);
        loop_kit_close_pair(fds);
}

LOOP_TEST(op, send_to_one_who_has_gone) {
        static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM };
        Loop *loop = loop_kit_new(kind);
        Probe send;
        int fds[2];

        /* A SIGPIPE would end the test. */
        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                loop_kit_pair(types[i], fds);
                close(fds[1]);
                probe_init(&send, loop);
                loop_send(&send.op, fds[0], "x", 1);
                probe_await(&send, 1);
                cr_assert_eq(send.result, -EPIPE);
                close(fds[0]);
        }
        loop_free(loop);
}

/* Reads all that is there, and checks that packet follows packet. */
static size_t read_packets(int fd, bool packets, unsigned *n_packets) {
        char buf[4096];
        size_t n_bytes = 0;
        ssize_t n;

        while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
                if (packets) {
                        cr_assert_eq(n, (ssize_t) sizeof(buf));
                        cr_assert_eq(buf[0], (char) *n_packets);
                        (*n_packets)++;
                }
                n_bytes += (size_t) n;
        }
        cr_assert(n < 0 && errno == EAGAIN);
        return n_bytes;
}

/* The send waits for a reader that doesn't read, everything else goes on, and nothing is lost. */
static void slow_reader(LoopKind kind, int type) {
        unsigned n_packets = 0, n_sent = 0;
        size_t n_bytes = 0, n_read;
        Loop *loop = loop_kit_new(kind);
        char packet[4096] = {};
        Probe send;
        int fds[2];

        loop_kit_pair(type, fds);
        probe_init(&send, loop);
        for (;;) {
                memset(packet, (int) n_sent++, sizeof(packet));
                loop_send(&send.op, fds[0], packet, sizeof(packet));
                loop_kit_settle(loop);
                if (!loop_op_is_idle(&send.op))
                        break;
                cr_assert_gt(send.result, 0);
                n_bytes += (size_t) send.result;
        }
        cr_assert_gt(n_sent, 1);
        kit_streq(loop_op_state_to_string(send.op.state), "inflight");

        n_read = read_packets(fds[1], type == SOCK_SEQPACKET, &n_packets);
        probe_await_end(&send);
        cr_assert_gt(send.result, 0);
        n_bytes += (size_t) send.result;
        n_read += read_packets(fds[1], type == SOCK_SEQPACKET, &n_packets);
        cr_assert_eq(n_read, n_bytes);
        cr_assert_eq(n_packets, type == SOCK_SEQPACKET ? n_sent : 0);
        loop_free(loop);
        loop_kit_close_pair(fds);
}

LOOP_TEST(op, slow_reader_of_packets) {
        slow_reader(kind, SOCK_SEQPACKET);
}

LOOP_TEST(op, slow_reader_of_a_stream) {
        slow_reader(kind, SOCK_STREAM);
}

/* --- accept ------------------------------------------------------------------------------------------ */

typedef struct Listener {
        LoopOp op;
        int fd;
        struct sockaddr_un address;
        socklen_t address_len;
        int accepted[64];
        unsigned n_accepted;
        int end; /* result of the terminal completion */
} Listener;

static void listener_accepted(LoopOp *op, int result, uint32_t flags) {
        Listener *listener = container_of(op, Listener, op);

        if (result >= 0) {
                cr_assert_lt(listener->n_accepted, ARRAY_SIZE(listener->accepted));
                listener->accepted[listener->n_accepted++] = result;
        }
        if (!(flags & LOOP_OP_MORE))
                listener->end = result;
}

static void listener_init(Listener *listener, Loop *loop, int flags) {
        *listener = (Listener) { .address.sun_family = AF_UNIX, .address_len = sizeof(sa_family_t) };
        loop_op_init(&listener->op, loop, listener_accepted);
        listener->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
        cr_assert_geq(listener->fd, 0);

        /* The kernel picks an abstract name. */
        cr_assert_eq(bind(listener->fd, (struct sockaddr *) &listener->address, listener->address_len), 0);
        cr_assert_eq(listen(listener->fd, 64), 0);
        listener->address_len = sizeof(listener->address);
        cr_assert_eq(getsockname(listener->fd, (struct sockaddr *) &listener->address, &listener->address_len), 0);
}

static void listener_deinit(Listener *listener) {
        while (listener->n_accepted > 0)
                close(listener->accepted[--listener->n_accepted]);
        close(listener->fd);
}

static int listener_connect(const Listener *listener) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

        cr_assert_geq(fd, 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *) &listener->address, listener->address_len), 0);
        return fd;
}

static void accept_many(Loop *loop, int flags) {
        int fds[ARRAY_SIZE(((Listener *) NULL)->accepted)];
        Listener listener;

        listener_init(&listener, loop, flags);
        loop_accept(&listener.op, listener.fd);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                fds[i] = listener_connect(&listener);
                if (i % 7 == 0)
                        kit_ok(loop_run_once(loop));
        }
        while (listener.n_accepted < ARRAY_SIZE(fds))
                kit_ok(loop_run_once(loop));

        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                cr_assert_eq(fcntl(listener.accepted[i], F_GETFD), FD_CLOEXEC);
                close(fds[i]);
        }
        cr_assert_not(loop_op_is_idle(&listener.op));
        loop_op_cancel(&listener.op);
        kit_ok(loop_drain(loop));
        cr_assert_eq(listener.end, -ECANCELED);
        listener_deinit(&listener);
}

LOOP_TEST(op, accept_many_from_a_blocking_listener) {
        Loop *loop = loop_kit_new(kind);

        accept_many(loop, 0);
        loop_free(loop);
}

LOOP_TEST(op, accept_many_from_a_nonblocking_listener) {
        Loop *loop = loop_kit_new(kind);

        accept_many(loop, SOCK_NONBLOCK);
        loop_free(loop);
}

LOOP_TEST(op, accept_many_in_a_tiny_ring) {
        Loop *loop;

        kit_ok(loop_new_with(&loop, kind, &(LoopParams) { .n_entries = 4 }));
        accept_many(loop, 0);
        loop_free(loop);
}

LOOP_TEST(op, accept_where_nobody_listens) {
        Loop *loop = loop_kit_new(kind);
        Probe probe;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        probe_init(&probe, loop);
        loop_accept(&probe.op, fd);
        probe_await(&probe, 1);
        cr_assert_eq(probe.result, -EINVAL);
        cr_assert_eq(probe.n_ended, 1);
        loop_free(loop);
        close(fd);
}
