/* SPDX-License-Identifier: Apache-2.0 */
/* Handle: one end of a SOCK_SEQPACKET pair; the client has the other
 *
 *    OPEN ----> CLOSING ----> closed()
 *
 * OPEN     a receive is always in flight; it sees the end of the other side. At most one send is in flight.
 * CLOSING  operations are being cancelled; no seat is left.
 *
 * Lifetime. When the last copy of the client's end is closed, by whatever death, all claims on the handle end:
 * left() is called for each seat, with `died` when the process that asked for the handle is dead or dying.
 *
 * News. Sending never blocks, and nothing is allocated for it: what a claim has to say is a set of bits, and the
 * datagram is written from the claim itself when the socket takes it. A slow reader thus costs nothing; it finds the
 * latest state of each claim and, in MISSED=, how many steps it did not see. A seat waits in line once, whatever it
 * has to say. SEQ= counts the news of each claim, those missed included.
 *
 * The end of a claim must be told. If a loss can't be sent because the socket still does not take what was begun in
 * an earlier turn, the handle is shut down at once: end of file is `lost`, and the reader can't miss it. An end that
 * harms nobody (a wait that failed, a release) has HANDLE_PATIENCE_USEC until then, so that a reader with hundreds
 * of claims is not punished for being a moment late.
 *
 * What the holder may say is RELEASE=1, with CLAIM= for one claim, else for all. One datagram per handle and turn is
 * read; what is too long, garbled or unknown is ignored. */

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/time.h"
#include "bus/bus-proc.h"
#include "bus/handle.h"

#define NEWS_HARMLESS (NEWS_RELEASED | NEWS_FAILED)

const char *handle_event_name(ClaimNews news) {
        switch (news) {
        case NEWS_QUEUED:
                return "queued";
        case NEWS_ACQUIRED:
                return "acquired";
        case NEWS_CONVERTED:
                return "converted";
        case NEWS_CONVERT_FAILED:
                return "convert-failed";
        case NEWS_CONTENDED:
                return "contended";
        case NEWS_SUSPENDED:
                return "suspended";
        case NEWS_RESUMED:
                return "resumed";
        case NEWS_RELEASED:
                return "released";
        case NEWS_LOST:
                return "lost";
        case NEWS_FAILED:
                return "failed";
        case NEWS_TERMINAL:
                break;
        }
        assert_not_reached();
}

/* --- closing ------------------------------------------------------------------------------------ */

static void handle_on_settled(Handle *h) {
        if (!h->closing || !loop_op_is_idle(&h->recv) || !loop_op_is_idle(&h->send))
                return;

        loop_defer_cancel(&h->haste);
        h->fd = fd_close(h->fd);
        h->ops->closed(h);
}

static void seat_set_pending(HandleSeat *seat, unsigned pending) {
        Handle *h = seat->handle;

        h->n_losses += !!(pending & NEWS_LOST);
        h->n_losses -= !!(seat->pending & NEWS_LOST);
        h->n_ends += !!(pending & NEWS_HARMLESS);
        h->n_ends -= !!(seat->pending & NEWS_HARMLESS);
        seat->pending = pending;
}

void handle_leave(HandleSeat *seat) {
        Handle *h = seat->handle;

        if (!h)
                return;
        if (h->sending == seat)
                h->sending = NULL;
        seat_set_pending(seat, 0);
        list_unlink(&seat->link);
        list_unlink(&seat->waiting);
        h->n_seats--;
        seat->handle = NULL;
}

void handle_close(Handle *h) {
        ListLink *link;

        if (h->closing)
                return;
        h->closing = true;
        while ((link = list_first(&h->seats)))
                handle_leave(list_entry(link, HandleSeat, link));

        loop_defer_cancel(&h->haste);
        loop_timer_unset(&h->patience);
        /* Wakes whoever still has the other end. */
        if (!h->hung_up)
                (void) shutdown(h->fd, SHUT_RDWR);
        loop_op_cancel(&h->recv);
        loop_op_cancel(&h->send);
        /* Who calls may be in the middle of something with this handle: closed() is never called from here. */
        if (loop_op_is_idle(&h->recv) && loop_op_is_idle(&h->send))
                loop_defer_trigger(&h->haste);
}

void handle_give_up(Handle *h, bool died) {
        ListLink *link;

        while ((link = list_first(&h->seats))) {
                HandleSeat *seat = list_entry(link, HandleSeat, link);

                handle_leave(seat);
                h->ops->left(seat, died);
        }
        handle_close(h);
}

/* --- sending ------------------------------------------------------------------------------------ */

static ClaimNews lowest_news(unsigned bits) {
        return (ClaimNews) (bits & -bits);
}

/* What is still worth telling. */
static unsigned news_merge(unsigned pending, unsigned news) {
        unsigned all = pending | news;

        if (news & NEWS_TERMINAL)
                return news & NEWS_TERMINAL;
        if (all & NEWS_ACQUIRED)
                all &= ~(unsigned) NEWS_QUEUED;
        if (news & NEWS_SUSPENDED)
                all &= ~(unsigned) NEWS_RESUMED;
        else if (news & NEWS_RESUMED)
                all &= ~(unsigned) NEWS_SUSPENDED;
        return all;
}

static size_t handle_write(Handle *h, HandleSeat *seat, ClaimNews news) {
        KvWriter w = KV_WRITER(h->out);
        int r;

        kv_add(&w, "EVENT", handle_event_name(news));
        kv_add_u64(&w, "CLAIM", seat->id);
        kv_add_u64(&w, "SEQ", seat->sequence);
        kv_add_u64(&w, "BOOTTIME_USEC", seat->told_usec);
        if (seat->missed > 0)
                kv_add_u64(&w, "MISSED", seat->missed);
        h->ops->write(seat, news, &w);

        r = kv_finish(&w);
        tooz_assert(r > 0); /* all texts in it are bounded and defused where they come in */
        return (size_t) r;
}

static void handle_send_next(Handle *h) {
        HandleSeat *seat = list_first_entry(&h->waiting, HandleSeat, waiting);
        size_t len;

        if (!seat || h->closing || !loop_op_is_idle(&h->send))
                return;

        h->sending = seat;
        h->sending_news = lowest_news(seat->pending);
        seat->sequence += 1 + seat->missed;
        len = handle_write(h, seat, h->sending_news);
        seat->missed = 0;

        seat_set_pending(seat, seat->pending & ~(unsigned) h->sending_news);
        list_unlink(&seat->waiting);
        if (seat->pending)
                list_append(&h->waiting, &seat->waiting);
        loop_send(&h->send, h->fd, h->out, len);
}

static bool handle_owes_loss(const Handle *h) {
        return h->n_losses > 0 || (h->sending && h->sending_news & NEWS_LOST);
}

static bool handle_owes_end(const Handle *h) {
        return h->n_ends > 0 || (h->sending && h->sending_news & NEWS_HARMLESS);
}

/* Sees to it that the end of a claim is told soon, or the handle given up. */
static void handle_watch(Handle *h) {
        if (!handle_owes_loss(h))
                loop_defer_cancel(&h->haste);
        else if (!loop_defer_is_triggered(&h->haste)) {
                h->idle_turns = 0;
                loop_defer_trigger(&h->haste);
        }
        if (!handle_owes_end(h))
                loop_timer_unset(&h->patience);
        else if (!loop_timer_is_set(&h->patience))
                loop_timer_set(&h->patience, usec_add(time_now(), HANDLE_PATIENCE_USEC));
}

static void handle_on_sent(LoopOp *op, int result, uint32_t flags) {
        Handle *h = container_of(op, Handle, send);
        HandleSeat *seat = TAKE_PTR(h->sending);

        if (h->closing) {
                handle_on_settled(h);
                return;
        }
        if (result < 0) {
                handle_give_up(h, proc_is_dead(h->proc_fd));
                return;
        }

        /* The socket takes something, so the reader reads: everything gets its time anew. */
        h->idle_turns = 0;
        loop_timer_unset(&h->patience);
        if (seat && h->sending_news & NEWS_TERMINAL) {
                handle_leave(seat);
                h->ops->told(seat);
        }
        handle_send_next(h);
        handle_watch(h);
}

/* In each turn while a loss is untold. The first may come before what was begun has been submitted at all. */
static void handle_on_haste(LoopDefer *defer) {
        Handle *h = container_of(defer, Handle, haste);

        if (h->closing)
                handle_on_settled(h);
        else if (handle_owes_loss(h) && h->idle_turns++ < 2)
                loop_defer_trigger(&h->haste);
        else if (handle_owes_loss(h))
                handle_give_up(h, false);
}

static void handle_on_patience(LoopTimer *timer, uint64_t now_usec) {
        Handle *h = container_of(timer, Handle, patience);

        if (handle_owes_end(h))
                handle_give_up(h, false);
}

void handle_tell(HandleSeat *seat, unsigned news, uint64_t now) {
        Handle *h = seat->handle;
        unsigned merged;

        if (!h || h->closing || news == 0)
                return;

        merged = news_merge(seat->pending, news);
        seat->missed += (unsigned) (__builtin_popcount(seat->pending) + __builtin_popcount(news) -
                                    __builtin_popcount(merged));
        seat->told_usec = now;
        seat_set_pending(seat, merged);
        if (!list_is_linked(&seat->waiting))
                list_append(&h->waiting, &seat->waiting);
        handle_send_next(h);
        if (news & NEWS_TERMINAL)
                handle_watch(h);
}

bool handle_is_flushed(const Handle *h) {
        return list_is_empty(&h->waiting) && loop_op_is_idle(&h->send);
}

/* --- receiving ---------------------------------------------------------------------------------- */

static void handle_release(Handle *h, bool one, uint64_t id) {
        HandleSeat *seat, *next;

        if (one) {
                seat = h->ops->find(h, id);
                if (seat && seat->handle == h)
                        h->ops->release(seat);
                return;
        }
        list_foreach_safe(seat, next, &h->seats, HandleSeat, link)
                h->ops->release(seat);
}

static void handle_parse(Handle *h, size_t len) {
        bool release = false, one = false;
        uint64_t id = 0;
        KvReader reader;
        KvPair pair;
        int r;

        kv_reader_init(&reader, h->in, len);
        while ((r = kv_next(&reader, &pair)) > 0) {
                if (kv_key_is(&pair, "RELEASE"))
                        release = kv_value_is(&pair, "1");
                else if (kv_key_is(&pair, "CLAIM")) {
                        one = true;
                        if (kv_value_u64(&pair, &id) < 0)
                                return;
                }
        }
        if (r == 0 && release)
                handle_release(h, one, id);
}

/* An empty packet reads like the end of the file. */
static bool is_hung_up(int fd) {
        struct pollfd p = { .fd = fd };

        return poll(&p, 1, 0) < 0 || p.revents & (POLLHUP | POLLERR);
}

static void handle_on_received(LoopOp *op, int result, uint32_t flags) {
        Handle *h = container_of(op, Handle, recv);

        if (h->closing) {
                handle_on_settled(h);
                return;
        }
        h->hung_up = result == 0 && is_hung_up(h->fd);
        if (result < 0 || h->hung_up) {
                handle_give_up(h, proc_is_dead(h->proc_fd));
                return;
        }
        if (result > 0 && result <= HANDLE_DATAGRAM_MAX)
                handle_parse(h, (size_t) result);
        if (!h->closing)
                loop_recv(&h->recv, h->fd, h->in, sizeof(h->in));
}

/* --- opening ------------------------------------------------------------------------------------ */

int handle_cookie(int fd, uint64_t *ret) {
        socklen_t len = sizeof(*ret);

        if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret, &len) < 0)
                return -errno;
        return 0;
}

int handle_open(Handle *h, Loop *loop, const HandleOps *ops, int *ret_client) {
        _cleanup_close_ int ours = -1, theirs = -1;
        int r, pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];

        h->loop = loop;
        h->ops = ops;
        h->proc_fd = -1;
        h->n_seats = h->n_losses = h->n_ends = h->idle_turns = 0;
        h->closing = h->hung_up = false;
        h->sending = NULL;
        r = handle_cookie(theirs, &h->cookie);
        if (r < 0)
                return r;

        list_init(&h->seats);
        list_init(&h->waiting);
        loop_op_init(&h->recv, loop, handle_on_received);
        loop_op_init(&h->send, loop, handle_on_sent);
        loop_defer_init(&h->haste, loop, LOOP_PHASE_DEFERRED, handle_on_haste);
        loop_timer_init(&h->patience, loop, handle_on_patience);
        h->fd = TAKE_FD(ours);
        loop_recv(&h->recv, h->fd, h->in, sizeof(h->in));

        *ret_client = TAKE_FD(theirs);
        return 0;
}

void handle_seat_init(HandleSeat *seat, uint64_t id) {
        *seat = (HandleSeat) { .id = id };
        list_link_init(&seat->link);
        list_link_init(&seat->waiting);
}

void handle_join(Handle *h, HandleSeat *seat) {
        tooz_assert(!seat->handle && !h->closing);
        seat->handle = h;
        list_append(&h->seats, &seat->link);
        h->n_seats++;
}
