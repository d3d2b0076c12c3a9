/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One operation in flight, embedded in its owner
 *
 *     IDLE → QUEUED → INFLIGHT → IDLE            the arming call, the kernel, the terminal completion
 *              └──────────┴──→ CANCELLING → IDLE loop_op_cancel()
 *
 * Each arming is followed by exactly one terminal completion, the one without LOOP_OP_MORE, in a later run
 * phase: never inside the arming or cancelling call. The operation is idle while its callback handles the
 * terminal completion: it may be armed again or freed there. Only an idle one may be freed, and its
 * descriptor and buffers must stay until then. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/table.h"
#include "loop/loop.h"

typedef struct LoopOp LoopOp;

/* `result` is a negative errno, or what the system call would return. */
typedef void (*LoopOpFn)(LoopOp *op, int result, uint32_t flags);

#define LOOP_OP_MORE (UINT32_C(1) << 0) /* not the last completion: the operation goes on */

typedef enum LoopOpState {
        LOOP_OP_IDLE,
        LOOP_OP_QUEUED,     /* armed, not yet submitted */
        LOOP_OP_INFLIGHT,   /* the kernel has it */
        LOOP_OP_CANCELLING, /* its end was asked for */
        _LOOP_OP_STATE_MAX,
} LoopOpState;

DECLARE_STRING_TABLE(loop_op_state, LoopOpState);

typedef enum LoopOpKind {
        LOOP_OP_POLL,
        LOOP_OP_ACCEPT,
        LOOP_OP_RECV,
        LOOP_OP_SEND,
        LOOP_OP_RECVMSG,
        LOOP_OP_FUTEX,
        _LOOP_OP_KIND_MAX,
} LoopOpKind;

DECLARE_STRING_TABLE(loop_op_kind, LoopOpKind);

/* The fields are the loop's. */
struct LoopOp {
        Loop *loop;
        LoopOpFn fn;
        LoopOpKind kind;
        LoopOpState state;
        int fd;
        bool multishot;
        bool internal;    /* of the loop itself: not counted as the owner's */
        uint32_t events;  /* POLL: those asked for */
        uint32_t revents; /* epoll: those seen and not yet acted upon */
        int result;       /* of a completion that the loop made up */
        void *buf;        /* RECV, SEND; FUTEX: its words */
        size_t len;
        struct msghdr *msg; /* RECVMSG */
        LoopOp *fd_next;    /* epoll: the next one that waits for the same descriptor */
        ListLink link;      /* in one of the loop's queues */
};

void loop_op_init(LoopOp *op, Loop *loop, LoopOpFn fn);

/* Arming: the operation must be idle. It can't fail; errors come as the completion. */

/* Result: the events (as poll(2)). Multishot reports edges: handle all that is there, up to EAGAIN, or the
 * next report may never come; a report without news is possible. */
void loop_poll(LoopOp *op, int fd, uint32_t events, bool multishot);

/* Result: a new CLOEXEC descriptor, many times. An error is terminal: the owner decides when to go on.
 * Descriptors that arrived before a cancellation are still delivered. The listener may become
 * non-blocking. */
void loop_accept(LoopOp *op, int fd);

/* Result: number of bytes, 0 at the end. Sockets only; what exceeds a packet socket's buffer is cut off. */
void loop_recv(LoopOp *op, int fd, void *buf, size_t len);
void loop_recvmsg(LoopOp *op, int fd, struct msghdr *msg); /* descriptors arrive CLOEXEC */

/* Completes when the socket took the data, without SIGPIPE. On a stream perhaps not all of it. */
void loop_send(LoopOp *op, int fd, const void *buf, size_t len);

/* Waits on up to 128 futexes. Result: the index of one that was woken; -EAGAIN: one had another value. Only io_uring
 * has it, since Linux 6.7. */
struct futex_waitv;
bool loop_can_futex(const Loop *loop);
void loop_futex(LoopOp *op, struct futex_waitv *words, size_t n);

/* Its terminal completion is -ECANCELED, or the real result if that came first. Harmless on an operation
 * that is idle or already being cancelled. */
void loop_op_cancel(LoopOp *op);

static inline bool loop_op_is_idle(const LoopOp *op) {
        return op->state == LOOP_OP_IDLE;
}
