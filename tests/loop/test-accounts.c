/* SPDX-License-Identifier: Apache-2.0 */
/* Random events, with every byte and every arming accounted for
 *
 * On io_uring also with faults: a tiny ring, multishots that end, and (since the functions below stand before
 * those of liburing) a kernel that is interrupted, short of memory, or has a full completion queue. */

#include <dlfcn.h>
#include <liburing.h>

#include "base/random.h"
#include "loop/loop-kit.h"

KIT_SUITE(accounts);

static Prng fault_prng;
static unsigned fault_percent;
static bool submit_fails;
static unsigned unknown_flags; /* of io_uring_setup(), as on older kernels */
static unsigned n_faults;

static int fault_draw(void) {
        static const int faults[] = { -EINTR, -EAGAIN, -EBUSY };

        if (!prng_chance(&fault_prng, fault_percent, 100))
                return 0;
        n_faults++;
        return faults[prng_below(&fault_prng, ARRAY_SIZE(faults))];
}

#define REAL(name) ((__typeof__(&(name))) (uintptr_t) dlsym(RTLD_NEXT, #name))

int io_uring_queue_init(unsigned n_entries, struct io_uring *ring, unsigned flags) {
        return flags & unknown_flags ? -EINVAL : REAL(io_uring_queue_init)(n_entries, ring, flags);
}

int io_uring_submit(struct io_uring *ring) {
        int r = submit_fails ? -EAGAIN : fault_draw();

        return r < 0 ? r : REAL(io_uring_submit)(ring);
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned wait_nr) {
        int r = fault_draw();

        return r < 0 ? r : REAL(io_uring_submit_and_wait)(ring, wait_nr);
}

int io_uring_submit_and_get_events(struct io_uring *ring) {
        int r = fault_draw();

        return r < 0 ? r : REAL(io_uring_submit_and_get_events)(ring);
}

#define N_PIPES 40
#define N_STEPS 6000

/* One direction of a socket pair. */
typedef struct Pipe {
        LoopOp send;
        LoopOp recv;
        LoopOp watch; /* multishot poll of the reading end */
        int fds[2];
        char out[512];
        char in[512];
        unsigned n_armed; /* minus terminal completions */
        uint64_t n_sent;  /* bytes */
        uint64_t n_got;
} Pipe;

static void pipe_account(Pipe *p, LoopOp *op, int result, uint32_t flags, uint64_t *n_bytes) {
        cr_assert(result >= 0 || result == -ECANCELED, "%s: %s", loop_op_kind_to_string(op->kind), strerror(-result));
        if (result > 0 && n_bytes)
                *n_bytes += (uint64_t) result;
        if (flags & LOOP_OP_MORE)
                return;
        cr_assert_gt(p->n_armed, 0);
        p->n_armed--;
}

static void pipe_sent(LoopOp *op, int result, uint32_t flags) {
        Pipe *p = container_of(op, Pipe, send);

        pipe_account(p, op, result, flags, &p->n_sent);
}

static void pipe_received(LoopOp *op, int result, uint32_t flags) {
        Pipe *p = container_of(op, Pipe, recv);

        cr_assert_neq(result, 0);
        pipe_account(p, op, result, flags, &p->n_got);
}

static void pipe_watched(LoopOp *op, int result, uint32_t flags) {
        Pipe *p = container_of(op, Pipe, watch);

        pipe_account(p, op, result, flags, NULL);
}

static void pipe_init(Pipe *p, Loop *loop) {
        *p = (Pipe) {};
        loop_kit_pair(SOCK_STREAM, p->fds);
        loop_op_init(&p->send, loop, pipe_sent);
        loop_op_init(&p->recv, loop, pipe_received);
        loop_op_init(&p->watch, loop, pipe_watched);
}

static void pipe_toggle(Pipe *p, LoopOp *op, Prng *prng) {
        if (!loop_op_is_idle(op)) {
                loop_op_cancel(op);
                return;
        }
        p->n_armed++;
        if (op == &p->send)
                loop_send(op, p->fds[0], p->out, 1 + prng_below(prng, sizeof(p->out)));
        else if (op == &p->recv)
                loop_recv(op, p->fds[1], p->in, 1 + prng_below(prng, sizeof(p->in)));
        else
                loop_poll(op, p->fds[1], POLLIN, true);
}

static void pipe_deinit(Pipe *p) {
        char buf[4096];
        ssize_t n;

        cr_assert_eq(p->n_armed, 0);
        while ((n = recv(p->fds[1], buf, sizeof(buf), MSG_DONTWAIT)) > 0)
                p->n_got += (uint64_t) n;
        cr_assert_eq(p->n_got, p->n_sent);
        loop_kit_close_pair(p->fds);
}

static void tick(LoopDefer *defer) {
}

static void random_events(Loop *loop) {
        static Pipe pipes[N_PIPES];
        LoopDefer no_wait;
        Prng prng;

        prng_init(&prng, kit_seed());
        loop_defer_init(&no_wait, loop, LOOP_PHASE_PUBLISH, tick);
        for (size_t i = 0; i < N_PIPES; i++)
                pipe_init(&pipes[i], loop);

        for (unsigned step = 0; step < N_STEPS; step++) {
                Pipe *p = &pipes[prng_below(&prng, N_PIPES)];
                LoopOp *ops[] = { &p->send, &p->recv, &p->watch };

                pipe_toggle(p, ops[prng_below(&prng, ARRAY_SIZE(ops))], &prng);
                if (prng_chance(&prng, 1, 10)) {
                        loop_defer_trigger(&no_wait);
                        kit_ok(loop_run_once(loop));
                }
        }

        for (size_t i = 0; i < N_PIPES; i++) {
                loop_op_cancel(&pipes[i].send);
                loop_op_cancel(&pipes[i].recv);
                loop_op_cancel(&pipes[i].watch);
        }
        loop_defer_cancel(&no_wait);
        kit_ok(loop_drain(loop));
        for (size_t i = 0; i < N_PIPES; i++)
                pipe_deinit(&pipes[i]);
        cr_assert_gt(pipes[0].n_got, 0);
        loop_free(loop);
}

LOOP_TEST(accounts, plain) {
        random_events(loop_kit_new(kind));
}

LOOP_TEST(accounts, in_a_tiny_ring_with_ends) {
        Loop *loop;

        kit_ok(loop_new_with(&loop, kind, &(LoopParams) { .n_entries = 8, .oneshot_every = 3 }));
        random_events(loop);
}

static void tiny_random_events(void) {
        Loop *loop;

        loop_kit_require(LOOP_URING);
        kit_ok(loop_new_with(&loop, LOOP_URING, &(LoopParams) { .n_entries = 8, .oneshot_every = 3 }));
        prng_init(&fault_prng, kit_seed());
        random_events(loop);
}

Test(accounts, with_a_failing_kernel) {
        fault_percent = 30;
        tiny_random_events();
        cr_assert_gt(n_faults, 100);
}

Test(accounts, on_linux_6_0) {
        unknown_flags = IORING_SETUP_DEFER_TASKRUN;
        tiny_random_events();
}

Test(accounts, on_linux_5_19) {
        unknown_flags = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER;
        tiny_random_events();
}

/* What finds no entry in this turn isn't left behind while the loop waits for those that did. */
Test(accounts, more_than_can_be_submitted) {
        Probe idle[8], ready;
        int never, fd;
        Loop *loop;

        loop_kit_require(LOOP_URING);
        kit_ok(loop_new_with(&loop, LOOP_URING, &(LoopParams) { .n_entries = ARRAY_SIZE(idle) }));
        never = loop_kit_eventfd();
        fd = loop_kit_eventfd();
        loop_kit_poke(fd);
        submit_fails = true;

        for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
                probe_init(&idle[i], loop);
                loop_poll(&idle[i].op, never, POLLIN, false);
        }
        probe_init(&ready, loop);
        loop_poll(&ready.op, fd, POLLIN, false);
        probe_await(&ready, 1);

        for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
                loop_op_cancel(&idle[i].op);
        kit_ok(loop_drain(loop));
        loop_free(loop);
        close(never);
        close(fd);
}
