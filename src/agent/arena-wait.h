/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sleeping on words of an arena beside the loop
 *
 * With io_uring that has futexes it is one operation; else one helper thread sleeps and tells the loop. Either sleeps
 * on so many words at a time; when there are more, on some after the others, the first of them always. */

#include <pthread.h>

#include "loop/inbox.h"
#include "loop/op.h"
#include "loop/timer.h"
#include "shm/futex.h"

typedef struct ArenaWait ArenaWait;
/* A word was woken or has another value; NULL: it is not known which. Look at everything, and commit anew. */
typedef void (*ArenaWaitFn)(ArenaWait *w, _Atomic uint32_t *word);

struct ArenaWait {
        Loop *loop;
        ArenaWaitFn fn;
        ShmWord *words; /* [0]: the bell */
        size_t n_words;
        size_t n_max;
        size_t at;       /* where the window begins */
        LoopTimer rotate;
        bool stopping;

        /* io_uring */
        LoopOp op;
        struct futex_waitv *submitted;
        size_t n_submitted;
        bool stale; /* what was submitted is not what is wanted */

        /* else */
        bool has_thread;
        pthread_t thread;
        pthread_mutex_t mutex;
        _Atomic uint32_t control; /* futex: the set has changed */
        ShmWord *wanted;          /* under the mutex, from here */
        size_t n_wanted;
        bool end;
        bool told;                /* nothing but the control word is slept on */
        bool in_inbox;            /* the item */
        _Atomic uint32_t *woken;
        Inbox inbox;
        InboxItem item;
};

int arena_wait_init(ArenaWait *w, Loop *loop, ArenaWaitFn fn);
/* Between two turns. Joins the thread, and turns until the operation has ended. */
void arena_wait_deinit(ArenaWait *w);
void arena_wait_stop(ArenaWait *w);
bool arena_wait_is_stopped(const ArenaWait *w);

/* The new set: begin, add, commit. The first word added is the bell. */
void arena_wait_begin(ArenaWait *w);
void arena_wait_add(ArenaWait *w, ShmWord word);
void arena_wait_commit(ArenaWait *w);
