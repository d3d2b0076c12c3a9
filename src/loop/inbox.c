/* SPDX-License-Identifier: Apache-2.0 */
/* The one door for foreign threads
 *
 * Producers push on a stack with compare-and-swap; the loop takes the whole stack with one exchange and
 * reverses it, which gives the order of arrival (there is no pop, hence no ABA). Who finds the stack empty
 * writes the loop's eventfd; all others rely on that write. Nothing is lost: the loop reads the eventfd
 * before it takes the stacks, so a push that comes too late for the exchange finds an empty stack, and
 * writes again.
 *
 * All inboxes of a loop share the eventfd: there are a handful, and looking into an empty one is a load. */

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "loop/inbox.h"
#include "loop/loop-internal.h"

static void inboxes_wake(LoopOp *op, int result, uint32_t flags) {
        Loop *loop = op->loop;
        List todo = LIST_INIT(todo);
        ListLink *link;
        uint64_t n;

        if (result < 0) {
                /* Not to be deaf for want of memory in the kernel. */
                if (result != -ECANCELED)
                        loop_poll(op, loop->inboxes.fd, POLLIN, true);
                return;
        }

        loop->stats.n_enters++;
        (void) !read(loop->inboxes.fd, &n, sizeof(n));

        /* A callback may remove any inbox, this one too. */
        list_splice(&todo, &loop->inboxes.list);
        while ((link = list_pop_first(&todo))) {
                list_append(&loop->inboxes.list, link);
                inbox_drain(list_entry(link, Inbox, link));
        }
}

static int inboxes_open(Loop *loop) {
        if (loop->inboxes.fd >= 0)
                return 0;

        loop->inboxes.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (loop->inboxes.fd < 0)
                return -errno;

        loop_op_init(&loop->inboxes.op, loop, inboxes_wake);
        loop->inboxes.op.internal = true;
        loop_poll(&loop->inboxes.op, loop->inboxes.fd, POLLIN, true);
        return 0;
}

int inbox_init(Inbox *inbox, Loop *loop, InboxFn fn) {
        int r;

        loop_assert_owner(loop);
        *inbox = (Inbox) {};
        r = inboxes_open(loop);
        if (r < 0)
                return r;

        inbox->loop = loop;
        inbox->fn = fn;
        list_link_init(&inbox->link);
        list_append(&loop->inboxes.list, &inbox->link);
        return 0;
}

void inbox_push(Inbox *inbox, InboxItem *item) {
        InboxItem *newest = atomic_load_explicit(&inbox->newest, memory_order_relaxed);
        int wake_fd = inbox->loop->inboxes.fd; /* read before: with the push the item may end the inbox */
        uint64_t one = 1;

        do
                item->next = newest;
        while (!atomic_compare_exchange_weak_explicit(&inbox->newest, &newest, item, memory_order_release,
                                                      memory_order_relaxed));

        /* EAGAIN is a counter that stands at its maximum: the loop is woken already. */
        if (!newest)
                (void) !write(wake_fd, &one, sizeof(one));
}

void inbox_drain(Inbox *inbox) {
        InboxItem *newest = atomic_exchange_explicit(&inbox->newest, NULL, memory_order_acquire);
        InboxItem *oldest = NULL;
        InboxFn fn = inbox->fn;

        while (newest) {
                InboxItem *next = newest->next;

                newest->next = oldest;
                oldest = newest;
                newest = next;
        }

        while (oldest) {
                InboxItem *item = oldest;

                oldest = item->next;
                fn(inbox, item);
        }
}

void inbox_deinit(Inbox *inbox) {
        if (!inbox->loop)
                return;
        loop_assert_owner(inbox->loop);
        tooz_assert(!atomic_load_explicit(&inbox->newest, memory_order_relaxed));
        list_unlink(&inbox->link);
        *inbox = (Inbox) {};
}
