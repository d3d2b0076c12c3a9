/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: one thread, one turn, six phases
 *
 *     1. submit    what was armed or cancelled since the last turn goes to the kernel, in one batch
 *     2. reap      completions are copied to a list; with none there and nothing to do, the turn waits here,
 *                  in the same system call that submits
 *     3. run       each completion's callback
 *     4. timers    each timer that is due, by its deadline
 *     5. deferred  triggered defers, then hooks: effects are applied, garbage is collected
 *     6. publish   triggered defers, then hooks: shared memory, signals, watchdog
 *
 * Laws:
 *
 *  - No callback runs inside of another one, nor while completions are reaped. Whatever a callback arms,
 *    cancels, sets or triggers is acted upon in a later phase or turn: callers need not fear re-entrance.
 *  - Each phase takes its list as a whole before it calls anybody. What comes up meanwhile is for the next
 *    turn, which doesn't wait then: no phase can starve another.
 *  - An operation has one owner and one terminal completion (op.c). The loop allocates nothing after
 *    loop_new(), but epoll's table of descriptors: arming can't fail.
 *  - A turn in which all phases went by is what a watchdog may be fed with: a hook of the publish phase.
 *  - Time is CLOCK_BOOTTIME, read once after the wait. A deadline that went by while the host was suspended
 *    is due in the first turn after it (timer.c).
 *  - All is for the thread that made the loop, except inbox_push().
 *
 * Below stands a LoopBackend: uring.c, or epoll.c where io_uring is refused (sysctl, seccomp, old kernels) or
 * not wanted. Both keep the same contract, and the tests run on both. */

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/time.h"
#include "loop/loop-internal.h"

static const char *const loop_kind_table[_LOOP_KIND_MAX] = {
        [LOOP_AUTO] = "auto",
        [LOOP_URING] = "io_uring",
        [LOOP_EPOLL] = "epoll",
};

DEFINE_STRING_TABLE(loop_kind, LoopKind, _LOOP_KIND_MAX);

static const LoopBackend *const backends[_LOOP_KIND_MAX] = {
        [LOOP_URING] = &uring_backend,
        [LOOP_EPOLL] = &epoll_backend,
};

static int loop_open(Loop *loop, LoopKind kind, const LoopParams *params) {
        int r;

        r = backends[kind]->open(loop, params);
        if (r >= 0)
                loop->backend = backends[kind];
        return r;
}

static bool loop_has_work(const Loop *loop) {
        return !list_is_empty(&loop->finished) ||
               !list_is_empty(&loop->defers[LOOP_PHASE_DEFERRED]) ||
               !list_is_empty(&loop->defers[LOOP_PHASE_PUBLISH]) ||
               loop_timers_next(loop) <= loop->now_usec;
}

/* Phases 1 and 2. */
static int loop_enter_kernel(Loop *loop) {
        bool wait = !loop_has_work(loop);
        int r;

        loop->stage = LOOP_STAGE_KERNEL;
        loop->n_ready = 0;
        if (wait)
                loop_timers_arm(loop);
        r = loop->backend->turn(loop, wait);
        loop->now_usec = time_now();
        return r;
}

static void loop_run_completions(Loop *loop) {
        List finished = LIST_INIT(finished);
        ListLink *link;

        loop->stage = LOOP_STAGE_RUN;
        list_splice(&finished, &loop->finished);

        /* Nothing but the next turn writes to `ready`. */
        for (size_t i = 0; i < loop->n_ready; i++)
                loop_op_run(loop->ready[i].op, loop->ready[i].result, loop->ready[i].more);

        while ((link = list_pop_first(&finished))) {
                LoopOp *op = list_entry(link, LoopOp, link);

                loop_op_run(op, op->result, false);
        }
}

/* Ends the operations of the loop itself. */
static void loop_close_internals(Loop *loop) {
        while (loop->n_internal > 0) {
                loop_op_cancel(&loop->timers.op);
                loop_op_cancel(&loop->inboxes.op);
                tooz_assert(loop_enter_kernel(loop) >= 0);
                loop_run_completions(loop);
        }
        loop->stage = LOOP_STAGE_NONE;
}

int loop_new_with(Loop **ret, LoopKind kind, const LoopParams *params) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        int r;

        loop = calloc(1, sizeof(*loop));
        if (!loop)
                return -ENOMEM;

        loop->owner = pthread_self();
        loop->timers.fd = -1;
        loop->inboxes.fd = -1;
        list_init(&loop->queued);
        list_init(&loop->cancelling);
        list_init(&loop->finished);
        list_init(&loop->inboxes.list);
        for (LoopPhase phase = 0; phase < _LOOP_PHASE_MAX; phase++) {
                list_init(&loop->defers[phase]);
                list_init(&loop->hooks[phase]);
        }

        r = loop_timers_open(loop);
        if (r < 0)
                return r;
        r = loop_open(loop, kind == LOOP_AUTO ? LOOP_URING : kind, params);
        if (r < 0 && kind == LOOP_AUTO) {
                loop->refusal = r;
                r = loop_open(loop, LOOP_EPOLL, params);
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(loop);
        return 0;
}

int loop_new(Loop **ret, LoopKind kind) {
        return loop_new_with(ret, kind, &(LoopParams) {});
}

Loop *loop_free(Loop *loop) {
        if (!loop)
                return NULL;

        if (loop->backend) {
                loop_assert_owner(loop);
                tooz_assert(loop->stage == LOOP_STAGE_NONE);
                tooz_assert(loop->n_armed == loop->n_internal);
                tooz_assert(heap_is_empty(&loop->timers.heap));
                tooz_assert(list_is_empty(&loop->inboxes.list));
                tooz_assert(loop->n_signals == 0);
                for (LoopPhase phase = 0; phase < _LOOP_PHASE_MAX; phase++) {
                        tooz_assert(list_is_empty(&loop->defers[phase]));
                        tooz_assert(list_is_empty(&loop->hooks[phase]));
                }
                loop_close_internals(loop);
                loop->backend->close(loop);
        }
        fd_close(loop->inboxes.fd);
        loop_timers_close(loop);
        free(loop->ready);
        free(loop);
        return NULL;
}

int loop_run_once(Loop *loop) {
        int r;

        loop_assert_owner(loop);
        tooz_assert(loop->stage == LOOP_STAGE_NONE);

        loop->stats.n_turns++;
        r = loop_enter_kernel(loop);
        if (r >= 0) {
                loop_run_completions(loop);
                loop->stage = LOOP_STAGE_TIMERS;
                loop_timers_run(loop);
                loop->stage = LOOP_STAGE_DEFERRED;
                loop_defers_run(loop, LOOP_PHASE_DEFERRED);
                loop->stage = LOOP_STAGE_PUBLISH;
                loop_defers_run(loop, LOOP_PHASE_PUBLISH);
        }
        loop->stage = LOOP_STAGE_NONE;
        return r;
}

int loop_run(Loop *loop) {
        int r;

        while (!loop->exiting) {
                r = loop_run_once(loop);
                if (r < 0)
                        return r;
        }
        loop->exiting = false;
        return loop->exit_code;
}

int loop_drain(Loop *loop) {
        int r;

        while (loop->n_armed > loop->n_internal) {
                r = loop_run_once(loop);
                if (r < 0)
                        return r;
        }
        return 0;
}

void loop_exit(Loop *loop, int code) {
        loop_assert_owner(loop);
        tooz_assert(code >= 0);
        loop->exiting = true;
        loop->exit_code = code;
}

LoopKind loop_kind(const Loop *loop) {
        return loop->backend->kind;
}

int loop_refusal(const Loop *loop) {
        return loop->refusal;
}

uint64_t loop_now(const Loop *loop) {
        return loop->stage == LOOP_STAGE_NONE ? time_now() : loop->now_usec;
}

const LoopStats *loop_stats(const Loop *loop) {
        return &loop->stats;
}

void loop_assert_owner(const Loop *loop) {
        tooz_assert(pthread_equal(loop->owner, pthread_self()));
}
