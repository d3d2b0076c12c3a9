/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tests of the loop: each runs on io_uring and on epoll
 *
 *     LOOP_TEST(op, send_then_recv) { ... uses `kind` ... }
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "loop/loop-internal.h"
#include "support/kit.h"

static inline void loop_kit_require(LoopKind kind) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        int r;

        r = loop_new(&loop, kind);
        if (r < 0)
                cr_skip_test("%s is refused here: %s", loop_kind_to_string(kind), strerror(-r));
}

#define LOOP_TEST(suite, name, ...)                                    \
        static void suite##_##name(LoopKind kind);                     \
        Test(suite, name##_on_io_uring, ##__VA_ARGS__) {               \
                loop_kit_require(LOOP_URING);                          \
                suite##_##name(LOOP_URING);                            \
        }                                                              \
        Test(suite, name##_on_epoll, ##__VA_ARGS__) {                  \
                suite##_##name(LOOP_EPOLL);                            \
        }                                                              \
        static void suite##_##name(LoopKind kind)

static inline Loop *loop_kit_new(LoopKind kind) {
        Loop *loop;

        kit_ok(loop_new(&loop, kind));
        cr_assert_eq(loop_kind(loop), kind);
        return loop;
}

/* An operation that notes what it is told. */
typedef struct Probe {
        LoopOp op;
        unsigned n;        /* completions */
        unsigned n_ended;  /* of these, terminal ones */
        int result;        /* of the last one */
        uint32_t flags;
} Probe;

static inline void probe_note(LoopOp *op, int result, uint32_t flags) {
        Probe *probe = container_of(op, Probe, op);

        cr_assert_eq(loop_op_is_idle(op), !(flags & LOOP_OP_MORE));
        probe->n++;
        probe->n_ended += !(flags & LOOP_OP_MORE);
        probe->result = result;
        probe->flags = flags;
}

static inline void probe_init(Probe *probe, Loop *loop) {
        *probe = (Probe) {};
        loop_op_init(&probe->op, loop, probe_note);
}

/* Turns until it has been told `n` times. */
static inline void probe_await(Probe *probe, unsigned n) {
        while (probe->n < n)
                kit_ok(loop_run_once(probe->op.loop));
}

static inline void probe_await_end(Probe *probe) {
        while (!loop_op_is_idle(&probe->op))
                kit_ok(loop_run_once(probe->op.loop));
}

static inline void loop_kit_pair(int type, int fds[2]) {
        cr_assert_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
}

static inline void loop_kit_close_pair(int fds[2]) {
        close(fds[0]);
        close(fds[1]);
}

static inline int loop_kit_eventfd(void) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        cr_assert_geq(fd, 0);
        return fd;
}

static inline void loop_kit_poke(int event_fd) {
        uint64_t one = 1;

        cr_assert_eq(write(event_fd, &one, sizeof(one)), (ssize_t) sizeof(one));
}

static inline void loop_kit_unpoke(int event_fd) {
        uint64_t n;

        cr_assert_eq(read(event_fd, &n, sizeof(n)), (ssize_t) sizeof(n));
}

/* What could be done is done after this, in a few turns: their reason is a descriptor that is ready. */
static inline void loop_kit_settle(Loop *loop) {
        int fd = loop_kit_eventfd();
        Probe probe;

        loop_kit_poke(fd);
        probe_init(&probe, loop);
        for (unsigned i = 1; i <= 3; i++) {
                loop_poll(&probe.op, fd, POLLIN, false);
                probe_await(&probe, i);
        }
        close(fd);
}
