/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of loop/ share: the loop's state and the two faces of the kernel */

#include <pthread.h>

#include "base/heap.h"
#include "base/list.h"
#include "loop/defer.h"
#include "loop/loop.h"
#include "loop/op.h"

typedef enum LoopStage {
        LOOP_STAGE_NONE, /* between two turns */
        LOOP_STAGE_KERNEL,
        LOOP_STAGE_RUN,
        LOOP_STAGE_TIMERS,
        LOOP_STAGE_DEFERRED,
        LOOP_STAGE_PUBLISH,
} LoopStage;

/* A completion of a submitted operation, reaped and not yet run. */
typedef struct Completion {
        LoopOp *op;
        int result;
        bool more;
} Completion;

/* For tests; zeroes are what the program uses. */
typedef struct LoopParams {
        unsigned n_entries;     /* of the submission queue; the completion queue has twice as many */
        unsigned oneshot_every; /* io_uring: arm each n-th multishot as one-shot, so that it ends without F_MORE */
} LoopParams;

typedef struct LoopBackend {
        LoopKind kind;
        int (*open)(Loop *loop, const LoopParams *params); /* sets up loop->ready as well */
        void (*close)(Loop *loop);
        /* Submits `cancelling` and `queued`, waits if asked and if nothing is there, fills `ready`. */
        int (*turn)(Loop *loop, bool wait);
} LoopBackend;

extern const LoopBackend uring_backend;
extern const LoopBackend epoll_backend;

/* timer.c */
typedef struct LoopTimers {
        Heap heap;
        int fd;              /* timerfd for the earliest one */
        LoopOp op;           /* polls it */
        uint64_t armed_usec; /* what it is set to, or USEC_INFINITY */
} LoopTimers;

/* inbox.c */
typedef struct LoopInboxes {
        List list;
        int fd;    /* eventfd that foreign threads write, or -1 */
        LoopOp op; /* polls it */
} LoopInboxes;

struct Loop {
        const LoopBackend *backend;
        union {
                struct Uring *uring;
                struct Epoll *epoll;
        };
        pthread_t owner;
        LoopStage stage;
        bool exiting;
        bool can_futex;
        int exit_code;
        int refusal;     /* why io_uring is not used, or 0 */
        uint64_t now_usec;

        List queued;     /* armed, to be submitted */
        List cancelling; /* submitted, to be cancelled */
        List finished;   /* ended without the kernel */
        Completion *ready;
        size_t n_ready;
        size_t n_ready_max;
        unsigned n_armed;    /* operations that are not idle */
        unsigned n_internal; /* of these, the loop's own */

        LoopTimers timers;
        LoopInboxes inboxes;
        List defers[_LOOP_PHASE_MAX];
        List hooks[_LOOP_PHASE_MAX];
        unsigned n_signals;
        LoopStats stats;
};

int loop_new_with(Loop **ret, LoopKind kind, const LoopParams *params);

/* The backend ends an operation that the kernel never saw or has forgotten. */
void loop_op_finish(LoopOp *op, int result);

/* Gives a completion to the owner. */
void loop_op_run(LoopOp *op, int result, bool more);

/* There must be room. */
static inline void loop_push_ready(Loop *loop, LoopOp *op, int result, bool more) {
        tooz_assert(loop->n_ready < loop->n_ready_max);
        loop->ready[loop->n_ready++] = (Completion) { .op = op, .result = result, .more = more };
}

int loop_timers_open(Loop *loop);
void loop_timers_close(Loop *loop);
uint64_t loop_timers_next(const Loop *loop); /* USEC_INFINITY: none is set */
void loop_timers_arm(Loop *loop);            /* lets the kernel wake the loop for the earliest */
void loop_timers_run(Loop *loop);

void loop_defers_run(Loop *loop, LoopPhase phase);
