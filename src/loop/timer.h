/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Deadlines on CLOCK_BOOTTIME: called in their order, never early, each once */

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "loop/loop.h"

typedef struct LoopTimer LoopTimer;

/* `now` is loop_now(): how late it is can be seen from it. The timer is unset when called, and may be set
 * again or freed. */
typedef void (*LoopTimerFn)(LoopTimer *timer, uint64_t now_usec);

struct LoopTimer {
        Loop *loop;
        LoopTimerFn fn;
        HeapNode node;
        ListLink due_link; /* taken from the heap in this turn, to be called */
};

void loop_timer_init(LoopTimer *timer, Loop *loop, LoopTimerFn fn);

/* Moves it when it is set. A moment in the past comes in this turn's timer phase or, when that has begun,
 * in the next turn's; USEC_INFINITY unsets. */
void loop_timer_set(LoopTimer *timer, uint64_t boottime_usec);
void loop_timer_unset(LoopTimer *timer);

static inline bool loop_timer_is_set(const LoopTimer *timer) {
        return heap_is_linked(&timer->node) || list_is_linked(&timer->due_link);
}
