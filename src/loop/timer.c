/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: a heap in the loop; the kernel knows of the earliest one only
 *
 * The backend arms one absolute BOOTTIME timeout, and touches it only when an earlier deadline than the armed
 * one turns up: timers that are set and unset without ever elapsing cost no system call. A wake-up for a
 * timer that was unset meanwhile finds nothing due and arms the next. */

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
                heap_insert(&timer->loop->timers, &timer->node, boottime_usec);
}

void loop_timer_unset(LoopTimer *timer) {
        if (heap_is_linked(&timer->node))
                heap_remove(&timer->loop->timers, &timer->node);
        list_unlink(&timer->due_link);
}

uint64_t loop_timers_next(const Loop *loop) {
        const HeapNode *node = heap_min(&loop->timers);

        return node ? node->key : USEC_INFINITY;
}

void loop_timers_run(Loop *loop) {
        List due = LIST_INIT(due);
        ListLink *link;

        /* Taken first and called then: one that a callback sets to the past comes in the next turn. */
        while (loop_timers_next(loop) <= loop->now_usec) {
                LoopTimer *timer = container_of(heap_pop(&loop->timers), LoopTimer, node);

                list_append(&due, &timer->due_link);
        }

        while ((link = list_pop_first(&due))) {
                LoopTimer *timer = list_entry(link, LoopTimer, due_link);

                timer->fn(timer, loop->now_usec);
        }
}
