/* SPDX-License-Identifier: Apache-2.0 */
/* The phases behind input and time: defers once, hooks always */

#include "loop/loop-internal.h"

static const char *const loop_phase_table[_LOOP_PHASE_MAX] = {
        [LOOP_PHASE_DEFERRED] = "deferred",
        [LOOP_PHASE_PUBLISH] = "publish",
};

DEFINE_STRING_TABLE(loop_phase, LoopPhase, _LOOP_PHASE_MAX);

void loop_defer_init(LoopDefer *defer, Loop *loop, LoopPhase phase, LoopDeferFn fn) {
        *defer = (LoopDefer) { .loop = loop, .fn = fn, .phase = phase };
        list_link_init(&defer->link);
}

void loop_defer_trigger(LoopDefer *defer) {
        loop_assert_owner(defer->loop);
        if (!list_is_linked(&defer->link))
                list_append(&defer->loop->defers[defer->phase], &defer->link);
}

void loop_defer_cancel(LoopDefer *defer) {
        list_unlink(&defer->link);
}

void loop_hook_add(LoopHook *hook, Loop *loop, LoopPhase phase, LoopHookFn fn) {
        loop_assert_owner(loop);
        *hook = (LoopHook) { .loop = loop, .fn = fn };
        list_link_init(&hook->link);
        list_append(&loop->hooks[phase], &hook->link);
}

void loop_hook_remove(LoopHook *hook) {
        list_unlink(&hook->link);
}

void loop_defers_run(Loop *loop, LoopPhase phase) {
        List triggered = LIST_INIT(triggered);
        ListLink *link;
        LoopHook *hook, *next;

        /* What is triggered from here on is for the next turn. */
        list_splice(&triggered, &loop->defers[phase]);
        while ((link = list_pop_first(&triggered))) {
                LoopDefer *defer = list_entry(link, LoopDefer, link);

                defer->fn(defer);
        }

        list_foreach_safe(hook, next, &loop->hooks[phase], LoopHook, link)
                hook->fn(hook);
}
