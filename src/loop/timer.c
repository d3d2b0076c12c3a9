/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: a heap in the loop; the kernel knows of the earliest one only
 *
 * The kernel's part is a timerfd on CLOCK_BOOTTIME, set to an absolute time and touched only when an earlier
 * deadline than that turns up: timers that are set and unset without ever elapsing cost no system call. A
 * wake-up for a timer that was unset meanwhile finds nothing due, and the next one is armed.
 *
 * Not the loop's other means, each of which can be late by the length of the wait: the time-out of
 * epoll_wait() stands still while the host is suspended, a relative one starts late when the process is
 * stopped before it gets there, and io_uring takes an absolute one for the host's clock, which is wrong in
 * a time namespace (seen with Linux 6.18). */

#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/time.h"
#include "loop/loop-internal.h"
#include "loop/timer.h"

void loop_timer_init(LoopTimer *timer, Loop *loop, LoopTimerFn fn) {
        *timer = (LoopTimer) { .loop = loop, .fn = fn };
        heap_node_init(&timer->node);
        list_link_init(&timer->due_link);
}

void loop_timer_set(LoopTimer *timer, uint64_t boottime_usec) {
        loop_assert_owner(timer->loop);
        loop_timer_unset(timer);
        if (boottime_usec != USEC_INFINITY)
                heap_insert(&timer->loop->timers.heap, &timer->node, boottime_usec);
}

void loop_timer_unset(LoopTimer *timer) {
        if (heap_is_linked(&timer->node))
                heap_remove(&timer->loop->timers.heap, &timer->node);
        list_unlink(&timer->due_link);
}

static void loop_timers_elapsed(LoopOp *op, int result, uint32_t flags) {
        LoopTimers *timers = &op->loop->timers;
        uint64_t n;

        /* What is due is for the timer phase. With an error, the next arming polls again. */
        timers->armed_usec = USEC_INFINITY;
        if (result < 0)
                return;
        op->loop->stats.n_enters++;
        (void) !read(timers->fd, &n, sizeof(n));
}

int loop_timers_open(Loop *loop) {
        LoopTimers *timers = &loop->timers;

        timers->fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (timers->fd < 0)
                return -errno;
        timers->armed_usec = USEC_INFINITY;
        loop_op_init(&timers->op, loop, loop_timers_elapsed);
        timers->op.internal = true;
        return 0;
}

void loop_timers_close(Loop *loop) {
        loop->timers.fd = fd_close(loop->timers.fd);
}

uint64_t loop_timers_next(const Loop *loop) {
        const HeapNode *node = heap_min(&loop->timers.heap);

        return node ? node->key : USEC_INFINITY;
}

void loop_timers_arm(Loop *loop) {
        LoopTimers *timers = &loop->timers;
        uint64_t next_usec = loop_timers_next(loop);
        struct itimerspec spec = {
                .it_value.tv_sec = (time_t) (next_usec / USEC_PER_SEC),
                .it_value.tv_nsec = (long) (next_usec % USEC_PER_SEC * NSEC_PER_USEC),
        };

        if (next_usec >= timers->armed_usec)
                return;
        if (next_usec == 0)
                spec.it_value.tv_nsec = 1; /* zero would disarm */

        loop->stats.n_enters++;
        tooz_assert(timerfd_settime(timers->fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0);
        timers->armed_usec = next_usec;
        if (loop_op_is_idle(&timers->op))
                loop_poll(&timers->op, timers->fd, POLLIN, true);
}

void loop_timers_run(Loop *loop) {
        List due = LIST_INIT(due);
        ListLink *link;

        /* Taken first and called then: one that a callback sets to the past comes in the next turn. */
        while (loop_timers_next(loop) <= loop->now_usec) {
                LoopTimer *timer = container_of(heap_pop(&loop->timers.heap), LoopTimer, node);

                list_append(&due, &timer->due_link);
        }

        while ((link = list_pop_first(&due))) {
                LoopTimer *timer = list_entry(link, LoopTimer, due_link);

                timer->fn(timer, loop->now_usec);
        }
}
