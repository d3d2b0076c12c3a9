/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Event loop: one thread, declared phases, io_uring or epoll below */

#include <stdbool.h>
#include <stdint.h>

#include "base/macro.h"
#include "base/table.h"

typedef struct Loop Loop;

typedef enum LoopKind {
        LOOP_AUTO, /* io_uring where the kernel allows it, else epoll */
        LOOP_URING,
        LOOP_EPOLL,
        _LOOP_KIND_MAX,
} LoopKind;

DECLARE_STRING_TABLE(loop_kind, LoopKind); /* "auto", "io_uring", "epoll" */

typedef struct LoopStats {
        uint64_t n_turns;
        uint64_t n_enters;    /* system calls of the loop: io_uring_enter, or epoll's and the direct ones; timerfd */
        uint64_t n_submitted; /* operations handed to the kernel */
        uint64_t n_completed; /* completions given to callbacks */
        uint64_t n_overflow;  /* turns that found the completion queue overflown */
        uint64_t n_rearmed;   /* multishot operations that the kernel had ended without being asked */
} LoopStats;

/* The calling thread becomes the owner: all but inbox_push() is for it alone. Make the loop after every
 * change of credentials: requests keep those of the time when the ring was made. */
int loop_new(Loop **ret, LoopKind kind);

/* Nothing may be armed any more: operations idle, timers unset, defers not triggered, hooks, inboxes and
 * signals gone. See loop_drain(). */
Loop *loop_free(Loop *loop);
DEFINE_CLEANUP(Loop, loop_free);

/* Turns until loop_exit(); returns its code, or a negative errno when the loop itself failed. */
int loop_run(Loop *loop);

/* One turn, which waits only when there is nothing to do. */
int loop_run_once(Loop *loop);

/* Turns until no operation of the owner is armed. For the way out, after everything was cancelled. */
int loop_drain(Loop *loop);

/* loop_run() returns `code` (not negative) at the end of this turn. */
void loop_exit(Loop *loop, int code);

LoopKind loop_kind(const Loop *loop); /* never LOOP_AUTO */

/* Why LOOP_AUTO came to epoll: a negative errno, else 0. */
int loop_refusal(const Loop *loop);

/* CLOCK_BOOTTIME as of the end of this turn's wait; between turns, the time itself. */
uint64_t loop_now(const Loop *loop);

const LoopStats *loop_stats(const Loop *loop);
void loop_assert_owner(const Loop *loop);
