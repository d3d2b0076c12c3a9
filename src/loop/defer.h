/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Work for the last phases of a turn: once when triggered, or in every turn */

#include <stdbool.h>

#include "base/list.h"
#include "base/table.h"
#include "loop/loop.h"

typedef enum LoopPhase {
        LOOP_PHASE_DEFERRED, /* apply effects, collect garbage */
        LOOP_PHASE_PUBLISH,  /* tell the world: shared memory, signals, watchdog */
        _LOOP_PHASE_MAX,
} LoopPhase;

DECLARE_STRING_TABLE(loop_phase, LoopPhase);

typedef struct LoopDefer LoopDefer;
typedef void (*LoopDeferFn)(LoopDefer *defer);

struct LoopDefer {
        Loop *loop;
        LoopDeferFn fn;
        LoopPhase phase;
        ListLink link;
};

void loop_defer_init(LoopDefer *defer, Loop *loop, LoopPhase phase, LoopDeferFn fn);

/* Called once, in the order of triggering: in this turn when the phase is yet to come, else (also from
 * within the phase) in the next one, which then doesn't wait. Triggering twice is once. */
void loop_defer_trigger(LoopDefer *defer);
void loop_defer_cancel(LoopDefer *defer); /* idempotent */

static inline bool loop_defer_is_triggered(const LoopDefer *defer) {
        return list_is_linked(&defer->link);
}

/* A hook is called in each turn, behind the phase's defers, in the order of adding. It keeps no turn from
 * waiting. It may remove itself and no other. */
typedef struct LoopHook LoopHook;
typedef void (*LoopHookFn)(LoopHook *hook);

struct LoopHook {
        Loop *loop;
        LoopHookFn fn;
        ListLink link;
};

void loop_hook_add(LoopHook *hook, Loop *loop, LoopPhase phase, LoopHookFn fn);
void loop_hook_remove(LoopHook *hook); /* idempotent */
