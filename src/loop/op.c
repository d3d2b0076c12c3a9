/* SPDX-License-Identifier: Apache-2.0 */
/* Life of an operation
 *
 *     state       link is in            left by
 *     IDLE        nothing               loop_poll() and its like → QUEUED
 *     QUEUED      loop->queued          the backend's submission → INFLIGHT; cancel → CANCELLING
 *     INFLIGHT    nothing, or a list    terminal completion → IDLE; cancel → CANCELLING; the kernel ended a
 *                 of the backend        multishot by itself → QUEUED
 *     CANCELLING  loop->cancelling,     terminal completion → IDLE
 *                 nothing, or finished
 *
 * What the kernel never saw (a queued operation that is cancelled) ends through loop->finished, so that its
 * owner too is called in a run phase and not inside of its own call. A completion that was reaped before the
 * cancellation is delivered as it is: an accepted descriptor or received bytes must not vanish. */

#include <errno.h>
#include <limits.h>

#include "base/assert.h"
#include "loop/loop-internal.h"

static const char *const loop_op_state_table[_LOOP_OP_STATE_MAX] = {
        [LOOP_OP_IDLE] = "idle",
        [LOOP_OP_QUEUED] = "queued",
        [LOOP_OP_INFLIGHT] = "inflight",
        [LOOP_OP_CANCELLING] = "cancelling",
};

DEFINE_STRING_TABLE(loop_op_state, LoopOpState, _LOOP_OP_STATE_MAX);

static const char *const loop_op_kind_table[_LOOP_OP_KIND_MAX] = {
        [LOOP_OP_POLL] = "poll",
        [LOOP_OP_ACCEPT] = "accept",
        [LOOP_OP_RECV] = "recv",
        [LOOP_OP_SEND] = "send",
        [LOOP_OP_RECVMSG] = "recvmsg",
        [LOOP_OP_FUTEX] = "futex",
};

DEFINE_STRING_TABLE(loop_op_kind, LoopOpKind, _LOOP_OP_KIND_MAX);

static void loop_op_arm(LoopOp *op, LoopOpKind kind, int fd) {
        loop_assert_owner(op->loop);
        tooz_assert(op->state == LOOP_OP_IDLE);
        tooz_assert(fd >= 0 || kind == LOOP_OP_FUTEX);

        op->kind = kind;
        op->fd = fd;
        op->multishot = false;
        op->revents = 0;
        op->state = LOOP_OP_QUEUED;
        list_append(&op->loop->queued, &op->link);
        op->loop->n_armed++;
        op->loop->n_internal += op->internal;
}

/* The kernel has ended a multishot operation that nobody wanted to end: out of memory, or a full queue. */
static void loop_op_rearm(LoopOp *op) {
        op->revents = 0;
        op->state = LOOP_OP_QUEUED;
        list_append(&op->loop->queued, &op->link);
        op->loop->stats.n_rearmed++;
}

static void loop_op_end(LoopOp *op) {
        list_unlink(&op->link);
        op->state = LOOP_OP_IDLE;
        op->loop->n_armed--;
        op->loop->n_internal -= op->internal;
}

void loop_op_init(LoopOp *op, Loop *loop, LoopOpFn fn) {
        *op = (LoopOp) { .loop = loop, .fn = fn, .fd = -1 };
        list_link_init(&op->link);
}

void loop_poll(LoopOp *op, int fd, uint32_t events, bool multishot) {
        loop_op_arm(op, LOOP_OP_POLL, fd);
        op->events = events;
        op->multishot = multishot;
}

void loop_accept(LoopOp *op, int fd) {
        loop_op_arm(op, LOOP_OP_ACCEPT, fd);
        op->multishot = true;
}

void loop_recv(LoopOp *op, int fd, void *buf, size_t len) {
        loop_op_arm(op, LOOP_OP_RECV, fd);
        op->buf = buf;
        op->len = MIN(len, (size_t) INT_MAX);
}

void loop_recvmsg(LoopOp *op, int fd, struct msghdr *msg) {
        loop_op_arm(op, LOOP_OP_RECVMSG, fd);
        op->msg = msg;
}

void loop_send(LoopOp *op, int fd, const void *buf, size_t len) {
        loop_op_arm(op, LOOP_OP_SEND, fd);
        op->buf = (void *) (uintptr_t) buf; /* only read */
        op->len = MIN(len, (size_t) INT_MAX);
}

bool loop_can_futex(const Loop *loop) {
        return loop->can_futex;
}

void loop_futex(LoopOp *op, struct futex_waitv *words, size_t n) {
        tooz_assert(op->loop->can_futex);
        loop_op_arm(op, LOOP_OP_FUTEX, -1);
        op->buf = words;
        op->len = n;
}

void loop_op_cancel(LoopOp *op) {
        switch (op->state) {
        case LOOP_OP_IDLE:
        case LOOP_OP_CANCELLING:
                return;
        case LOOP_OP_QUEUED:
                loop_op_finish(op, -ECANCELED);
                break;
        case LOOP_OP_INFLIGHT:
                list_unlink(&op->link);
                list_append(&op->loop->cancelling, &op->link);
                break;
        case _LOOP_OP_STATE_MAX:
                assert_not_reached();
        }
        loop_assert_owner(op->loop);
        op->state = LOOP_OP_CANCELLING;
}

void loop_op_finish(LoopOp *op, int result) {
        op->result = result;
        list_unlink(&op->link);
        list_append(&op->loop->finished, &op->link);
}

void loop_op_run(LoopOp *op, int result, bool more) {
        tooz_assert(op->state == LOOP_OP_INFLIGHT || op->state == LOOP_OP_CANCELLING);
        op->loop->stats.n_completed++;

        if (!more) {
                if (op->multishot && op->state == LOOP_OP_INFLIGHT && result >= 0) {
                        loop_op_rearm(op);
                        more = true;
                } else
                        loop_op_end(op);
        }

        /* Behind a terminal completion the operation may be gone. */
        op->fn(op, result, more ? LOOP_OP_MORE : 0);
}
