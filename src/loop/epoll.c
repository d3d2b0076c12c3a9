/* SPDX-License-Identifier: Apache-2.0 */
/* The loop on epoll, where io_uring is refused
 *
 * An operation is *attached* to its descriptor while it waits for readiness, and *hot* when it is worth an
 * attempt. A turn: cancel, start, wait, attempt what is hot.
 *
 *     started  poll, accept, recv  attached, and the kernel asked afresh whether the descriptor is ready
 *              send                hot: mostly there is room; attached only after EAGAIN
 *     event                        the operations attached to that descriptor become hot
 *     attempt  EAGAIN              cold, still attached
 *              a result            completion; a one-shot operation is detached first
 *
 * A descriptor has one registration, whatever the number of operations on it: edge-triggered, so that an
 * event nobody waits for any more doesn't spin, and the mask needs no shrinking. It goes with the last
 * attached operation, *before* that one's owner is called, who may close the descriptor then: a duplicate of
 * it elsewhere (a descriptor store, a child) would keep a forgotten registration alive for ever. To find it
 * gone already is an assertion: a descriptor was closed under an armed operation.
 *
 * Each attachment makes the kernel check readiness afresh (EPOLL_CTL_ADD or MOD): no edge can be missed. */

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "loop/loop-internal.h"

#define N_READY_DEFAULT 512
#define N_EVENTS 128
#define ACCEPTS_PER_TURN 64 /* of one listener: the others have their turn too */

typedef struct EpollFd {
        LoopOp *first;   /* attached operations */
        uint32_t events; /* registered */
} EpollFd;

typedef struct Epoll {
        int fd;
        EpollFd *fds;        /* by descriptor */
        size_t n_fds;
        List hot;
        struct epoll_event events[N_EVENTS];
} Epoll;

static const uint32_t kind_events[_LOOP_OP_KIND_MAX] = {
        [LOOP_OP_ACCEPT] = EPOLLIN,
        [LOOP_OP_RECV] = EPOLLIN,
        [LOOP_OP_RECVMSG] = EPOLLIN,
        [LOOP_OP_SEND] = EPOLLOUT,
};

static uint32_t op_events(const LoopOp *op) {
        return op->kind == LOOP_OP_POLL ? op->events : kind_events[op->kind];
}

static void op_make_hot(LoopOp *op) {
        if (!list_is_linked(&op->link))
                list_append(&op->loop->epoll->hot, &op->link);
}

static int epoll_control(Loop *loop, int how, int fd, uint32_t events) {
        struct epoll_event event = { .events = events | EPOLLET, .data.fd = fd };

        loop->stats.n_enters++;
        return epoll_ctl(loop->epoll->fd, how, fd, &event) < 0 ? -errno : 0;
}

static int epoll_reserve(Epoll *e, int fd) {
        size_t n = MAX(e->n_fds, (size_t) 64);
        EpollFd *fds;

        if ((size_t) fd < e->n_fds)
                return 0;
        while (n <= (size_t) fd)
                n *= 2;
        fds = reallocarray(e->fds, n, sizeof(*fds));
        if (!fds)
                return -ENOMEM;
        memset(fds + e->n_fds, 0, (n - e->n_fds) * sizeof(*fds));
        e->fds = fds;
        e->n_fds = n;
        return 0;
}

static LoopOp **op_find(LoopOp *op) {
        Epoll *e = op->loop->epoll;
        LoopOp **slot;

        if ((size_t) op->fd >= e->n_fds)
                return NULL;
        for (slot = &e->fds[op->fd].first; *slot; slot = &(*slot)->fd_next)
                if (*slot == op)
                        return slot;
        return NULL;
}

static int op_attach(LoopOp *op) {
        Epoll *e = op->loop->epoll;
        EpollFd *entry;
        uint32_t events;
        int r;

        r = epoll_reserve(e, op->fd);
        if (r < 0)
                return r;

        entry = &e->fds[op->fd];
        events = op_events(op);
        if (entry->first) {
                events |= entry->events;
                r = epoll_control(op->loop, EPOLL_CTL_MOD, op->fd, events);
                tooz_assert(r != -EBADF && r != -ENOENT);
        } else
                r = epoll_control(op->loop, EPOLL_CTL_ADD, op->fd, events);
        if (r < 0)
                return r;

        entry->events = events;
        op->fd_next = entry->first;
        entry->first = op;
        return 0;
}

static void op_detach(LoopOp *op) {
        LoopOp **slot = op_find(op);

        if (!slot)
                return;
        *slot = TAKE_PTR(op->fd_next);
        if (!op->loop->epoll->fds[op->fd].first)
                tooz_assert(epoll_control(op->loop, EPOLL_CTL_DEL, op->fd, 0) == 0);
}

static void op_complete(LoopOp *op, int result, bool more) {
        if (!more)
                op_detach(op);
        loop_push_ready(op->loop, op, result, more);
}

static void op_attempt_poll(LoopOp *op) {
        uint32_t revents = TAKE(op->revents, 0);

        if (revents)
                op_complete(op, (int) revents, op->multishot);
}

static void op_attempt_accept(LoopOp *op) {
        Loop *loop = op->loop;

        for (unsigned n = 0; n < ACCEPTS_PER_TURN && loop->n_ready < loop->n_ready_max; n++) {
                int fd;

                loop->stats.n_enters++;
                fd = accept4(op->fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0 && errno == EAGAIN)
                        return;
                op_complete(op, fd < 0 ? -errno : fd, fd >= 0);
                if (fd < 0)
                        return;
        }
        op_make_hot(op);
}

static void op_attempt_transfer(LoopOp *op) {
        ssize_t n;
        int r;

        op->loop->stats.n_enters++;
        if (op->kind == LOOP_OP_SEND)
                n = send(op->fd, op->buf, op->len, MSG_NOSIGNAL | MSG_DONTWAIT);
        else if (op->kind == LOOP_OP_RECV)
                n = recv(op->fd, op->buf, op->len, MSG_DONTWAIT);
        else
                n = recvmsg(op->fd, op->msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

        r = n < 0 ? -errno : (int) n;
        if (r == -EAGAIN) {
                if (op_find(op))
                        return;
                r = op_attach(op);
                if (r >= 0)
                        return;
        }
        op_complete(op, r, false);
}

/* Called with room for at least one completion. */
static void (*const op_attempts[_LOOP_OP_KIND_MAX])(LoopOp *op) = {
        [LOOP_OP_POLL] = op_attempt_poll,
        [LOOP_OP_ACCEPT] = op_attempt_accept,
        [LOOP_OP_RECV] = op_attempt_transfer,
        [LOOP_OP_RECVMSG] = op_attempt_transfer,
        [LOOP_OP_SEND] = op_attempt_transfer,
};

static int op_start(LoopOp *op) {
        int r;

        if (op->kind == LOOP_OP_SEND) {
                op_make_hot(op);
                return 0;
        }
        if (op->kind == LOOP_OP_ACCEPT) {
                /* A connection may be gone again when it is accepted: that mustn't wait for the next one. */
                op->loop->stats.n_enters++;
                r = fd_set_nonblock(op->fd, true);
                if (r < 0)
                        return r;
        }
        return op_attach(op);
}

static void epoll_submit(Loop *loop) {
        ListLink *link;
        int r;

        while ((link = list_pop_first(&loop->cancelling))) {
                LoopOp *op = list_entry(link, LoopOp, link);

                op_detach(op);
                loop_op_finish(op, -ECANCELED);
        }

        while ((link = list_pop_first(&loop->queued))) {
                LoopOp *op = list_entry(link, LoopOp, link);

                op->state = LOOP_OP_INFLIGHT;
                loop->stats.n_submitted++;
                r = op_start(op);
                if (r < 0)
                        loop_op_finish(op, r);
        }
}

static void epoll_handle(Epoll *e, const struct epoll_event *event) {
        for (LoopOp *op = e->fds[event->data.fd].first; op; op = op->fd_next) {
                uint32_t seen = event->events & (op_events(op) | EPOLLERR | EPOLLHUP);

                op->revents |= seen;
                if (seen)
                        op_make_hot(op);
        }
}

static int epoll_wait_events(Loop *loop, bool wait) {
        Epoll *e = loop->epoll;
        int n;

        loop->stats.n_enters++;
        n = epoll_wait(e->fd, e->events, N_EVENTS, wait ? -1 : 0);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        for (int i = 0; i < n; i++)
                epoll_handle(e, &e->events[i]);
        return 0;
}

static int epoll_turn(Loop *loop, bool wait) {
        Epoll *e = loop->epoll;
        List hot = LIST_INIT(hot);
        ListLink *link;
        int r;

        epoll_submit(loop);
        r = epoll_wait_events(loop, wait && list_is_empty(&e->hot) && list_is_empty(&loop->finished));
        if (r < 0)
                return r;

        list_splice(&hot, &e->hot);
        while (loop->n_ready < loop->n_ready_max && (link = list_pop_first(&hot))) {
                LoopOp *op = list_entry(link, LoopOp, link);

                op_attempts[op->kind](op);
        }

        /* Those that had no room come first in the next turn. */
        list_splice(&hot, &e->hot);
        list_splice(&e->hot, &hot);
        return 0;
}

static void epoll_close(Loop *loop) {
        Epoll *e = loop->epoll;

        fd_close(e->fd);
        free(e->fds);
        free(e);
        loop->epoll = NULL;
}

static int epoll_open(Loop *loop, const LoopParams *params) {
        _cleanup_free_ Epoll *e = NULL;

        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        list_init(&e->hot);

        loop->n_ready_max = params->n_entries ?: N_READY_DEFAULT;
        loop->ready = calloc(loop->n_ready_max, sizeof(*loop->ready));
        if (!loop->ready)
                return -ENOMEM;

        e->fd = epoll_create1(EPOLL_CLOEXEC);
        if (e->fd < 0)
                return -errno;
        loop->epoll = TAKE_PTR(e);
        return 0;
}

const LoopBackend epoll_backend = {
        .kind = LOOP_EPOLL,
        .open = epoll_open,
        .close = epoll_close,
        .turn = epoll_turn,
};
