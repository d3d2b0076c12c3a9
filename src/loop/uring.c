/* SPDX-License-Identifier: Apache-2.0 */
/* The loop on io_uring
 *
 * One io_uring_enter a turn: it submits what was armed, waits, and (with DEFER_TASKRUN) is the only place
 * where the kernel works on completions. A completion's user_data is the address of its operation, or a tag
 * that is none.
 *
 *  - Submission queue full: what is there is submitted, then the next entry is taken. When even that gives
 *    none, the rest stays queued and the turn doesn't wait.
 *  - Completion queue full: the kernel keeps what doesn't fit (FEAT_NODROP), says so in a flag, and hands it
 *    over at the next enter, which doesn't wait then. Multishot operations end without F_MORE: loop_op_run()
 *    arms them again. A completion that the kernel had no memory to keep makes enter fail with EBADR: that
 *    can't be mended and ends loop_run().
 *  - Cancellation names the operation's address. Its own completion is nothing: the operation's tells all.
 *    It can't hit the operation's next life: the kernel looks it up while submitting, and the next arming is
 *    submitted behind it.
 *
 * Asks for Linux 5.19 (multishot accept); SINGLE_ISSUER (6.0) and DEFER_TASKRUN (6.1) are used where they
 * are. No SQPOLL: its thread would keep the credentials of the time when the ring was made. A child of fork
 * doesn't see the ring. */

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "base/assert.h"
#include "loop/loop-internal.h"

#define N_ENTRIES_DEFAULT 256

#define TAG_IGNORE UINT64_C(1)

/* Linux 6.7; liburing 2.3 and its headers do not know it. */
#define OP_FUTEX_WAITV 53

typedef struct Uring {
        struct io_uring ring;
        bool starved; /* there was no entry for all of this turn */
        unsigned oneshot_every;
        unsigned n_multishots;
} Uring;

/* In the order of preference. SUBMIT_ALL: a request that is refused doesn't hold up those behind it.
 * TASKRUN_FLAG tells when there is nothing to enter the kernel for. */
static const unsigned setup_flags[] = {
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                IORING_SETUP_SINGLE_ISSUER,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
};

static int uring_setup(struct io_uring *ring, unsigned n_entries) {
        int r = -EINVAL;

        for (size_t i = 0; i < ARRAY_SIZE(setup_flags) && r == -EINVAL; i++)
                r = io_uring_queue_init(n_entries, ring, setup_flags[i]);
        return r;
}

/* IORING_OP_SOCKET came with the same kernel as multishot accept, which can't be asked for. */
static int uring_check(Loop *loop, struct io_uring *ring) {
        struct io_uring_probe *probe;
        bool good;

        probe = io_uring_get_probe_ring(ring);
        if (!probe)
                return -EOPNOTSUPP;
        good = io_uring_opcode_supported(probe, IORING_OP_SOCKET) && (ring->features & IORING_FEAT_NODROP);
        loop->can_futex = io_uring_opcode_supported(probe, OP_FUTEX_WAITV);
        io_uring_free_probe(probe);
        return good ? 0 : -EOPNOTSUPP;
}

static int uring_open(Loop *loop, const LoopParams *params) {
        _cleanup_free_ Uring *u = NULL;
        int r;

        u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;
        u->oneshot_every = params->oneshot_every;

        r = uring_setup(&u->ring, params->n_entries ?: N_ENTRIES_DEFAULT);
        if (r < 0)
                return r;

        r = uring_check(loop, &u->ring);
        if (r >= 0)
                r = io_uring_ring_dontfork(&u->ring);
        if (r >= 0) {
                loop->n_ready_max = *u->ring.cq.kring_entries;
                loop->ready = calloc(loop->n_ready_max, sizeof(*loop->ready));
                r = loop->ready ? 0 : -ENOMEM;
        }
        if (r < 0) {
                io_uring_queue_exit(&u->ring);
                return r;
        }

        /* Spares the kernel a look-up; older ones don't have it. */
        (void) io_uring_register_ring_fd(&u->ring);
        loop->uring = TAKE_PTR(u);
        return 0;
}

static void uring_close(Loop *loop) {
        io_uring_queue_exit(&loop->uring->ring);
        free(loop->uring);
        loop->uring = NULL;
}

/* Not an error where the next turn can go on: interrupted, out of memory, or a full completion queue that
 * this turn is about to empty. */
static int uring_result(int r) {
        return r >= 0 || r == -EINTR || r == -EAGAIN || r == -EBUSY ? 0 : r;
}

/* NULL: none left in this turn. */
static struct io_uring_sqe *uring_get_sqe(Loop *loop) {
        Uring *u = loop->uring;
        struct io_uring_sqe *sqe;

        sqe = io_uring_get_sqe(&u->ring);
        if (!sqe) {
                loop->stats.n_enters++;
                (void) io_uring_submit(&u->ring);
                sqe = io_uring_get_sqe(&u->ring);
        }
        u->starved |= !sqe;
        return sqe;
}

/* As a kernel would do it that is short of memory, when a test wants it. */
static bool uring_multishot(Uring *u, const LoopOp *op) {
        if (!op->multishot)
                return false;
        return u->oneshot_every == 0 || ++u->n_multishots % u->oneshot_every != 0;
}

static void uring_prepare(Uring *u, struct io_uring_sqe *sqe, const LoopOp *op) {
        switch (op->kind) {
        case LOOP_OP_POLL:
                io_uring_prep_poll_add(sqe, op->fd, op->events);
                if (uring_multishot(u, op))
                        sqe->len |= IORING_POLL_ADD_MULTI;
                break;
        case LOOP_OP_ACCEPT:
                io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
                if (uring_multishot(u, op))
                        sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
                break;
        case LOOP_OP_RECV:
                io_uring_prep_recv(sqe, op->fd, op->buf, op->len, 0);
                break;
        case LOOP_OP_RECVMSG:
                io_uring_prep_recvmsg(sqe, op->fd, op->msg, MSG_CMSG_CLOEXEC);
                break;
        case LOOP_OP_SEND:
                io_uring_prep_send(sqe, op->fd, op->buf, op->len, MSG_NOSIGNAL);
                break;
        case LOOP_OP_FUTEX:
                io_uring_prep_rw(OP_FUTEX_WAITV, sqe, 0, op->buf, (unsigned) op->len, 0);
                break;
        case _LOOP_OP_KIND_MAX:
                assert_not_reached();
        }
        io_uring_sqe_set_data64(sqe, (uintptr_t) op);
}

static void uring_submit_cancelling(Loop *loop) {
        struct io_uring_sqe *sqe;

        while (!list_is_empty(&loop->cancelling) && (sqe = uring_get_sqe(loop))) {
                LoopOp *op = list_entry(list_pop_first(&loop->cancelling), LoopOp, link);

                io_uring_prep_cancel64(sqe, (uintptr_t) op, 0);
                io_uring_sqe_set_data64(sqe, TAG_IGNORE);
        }
}

static void uring_submit_queued(Loop *loop) {
        struct io_uring_sqe *sqe;

        while (!list_is_empty(&loop->queued) && (sqe = uring_get_sqe(loop))) {
                LoopOp *op = list_entry(list_pop_first(&loop->queued), LoopOp, link);

                uring_prepare(loop->uring, sqe, op);
                op->state = LOOP_OP_INFLIGHT;
                loop->stats.n_submitted++;
        }
}

static bool uring_needs_enter(const struct io_uring *ring) {
        unsigned flags = IO_URING_READ_ONCE(*ring->sq.kflags);

        return io_uring_sq_ready(ring) > 0 || (flags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN));
}

static int uring_enter(Loop *loop, bool wait) {
        struct io_uring *ring = &loop->uring->ring;

        if (wait) {
                loop->stats.n_enters++;
                return uring_result(io_uring_submit_and_wait(ring, 1));
        }
        if (!uring_needs_enter(ring))
                return 0;
        loop->stats.n_enters++;
        return uring_result(io_uring_submit_and_get_events(ring));
}

static void uring_reap(Loop *loop) {
        Uring *u = loop->uring;
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;

        io_uring_for_each_cqe(&u->ring, head, cqe) {
                uint64_t data = io_uring_cqe_get_data64(cqe);

                if (data != TAG_IGNORE)
                        loop_push_ready(loop, (LoopOp *) (uintptr_t) data, cqe->res,
                                        cqe->flags & IORING_CQE_F_MORE);
                n++;
        }
        io_uring_cq_advance(&u->ring, n);
}

static int uring_turn(Loop *loop, bool wait) {
        Uring *u = loop->uring;
        int r;

        loop->stats.n_overflow += io_uring_cq_has_overflow(&u->ring);
        u->starved = false;
        uring_submit_cancelling(loop);
        uring_submit_queued(loop);

        r = uring_enter(loop, wait && !u->starved);
        if (r < 0)
                return r;
        uring_reap(loop);
        return 0;
}

const LoopBackend uring_backend = {
        .kind = LOOP_URING,
        .open = uring_open,
        .close = uring_close,
        .turn = uring_turn,
};
