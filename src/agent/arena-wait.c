/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping on words of an arena. See arena-wait.h
 *
 * The thread knows nothing but addresses. It sleeps on the words it was given and on one of its own, by which it is
 * told of new ones; when another word wakes it, it tells the loop and sleeps on its own word alone until the loop has
 * looked and given it a new set. So there is one item under way at most, and none is lost: what changes after the
 * loop's look differs from the value that it gave. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arena-wait.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/time.h"

#define WINDOW 127u /* the thread has one word more */
#define ROTATE_USEC (50 * USEC_PER_MSEC)

/* --- thread --------------------------------------------------------------------------------------- */

static size_t thread_take(ArenaWait *w, ShmWord words[static WINDOW + 1], bool *ret_end) {
        size_t n;

        (void) pthread_mutex_lock(&w->mutex);
        words[0] = (ShmWord) { .address = &w->control, .value = atomic_load(&w->control) };
        n = w->told ? 0 : w->n_wanted;
        if (n > 0)
                memcpy(&words[1], w->wanted, n * sizeof(*words));
        *ret_end = w->end;
        (void) pthread_mutex_unlock(&w->mutex);
        return n + 1;
}

static void thread_tell(ArenaWait *w, const ShmWord *words, int index) {
        bool tell, push;

        (void) pthread_mutex_lock(&w->mutex);
        tell = !w->told && atomic_load(&w->control) == words[0].value;
        if (tell) {
                w->told = true;
                w->woken = index > 0 ? words[index].address : NULL;
        }
        push = tell && !w->in_inbox;
        w->in_inbox |= push;
        (void) pthread_mutex_unlock(&w->mutex);
        /* A set that has changed meanwhile is slept on anew: what differs in it ends that sleep at once. But a wake-up
         * that the kernel has given to us alone is passed on. */
        if (push)
                inbox_push(&w->inbox, &w->item);
        else if (!tell && index > 0)
                shm_futex_wake(words[index].address);
}

static void *thread_run(void *arg) {
        ArenaWait *w = arg;
        ShmWord words[WINDOW + 1];
        bool end;
        size_t n;
        int r;

        for (;;) {
                n = thread_take(w, words, &end);
                if (end)
                        return NULL;
                r = shm_futex_wait(words, n, UINT64_MAX);
                if (r > 0 || (r == -EAGAIN && n > 1))
                        thread_tell(w, words, r);
        }
}

static void thread_set(ArenaWait *w, const ShmWord *words, size_t n) {
        (void) pthread_mutex_lock(&w->mutex);
        memcpy(w->wanted, words, n * sizeof(*words));
        w->n_wanted = n;
        w->told = false;
        (void) atomic_fetch_add(&w->control, 1);
        (void) pthread_mutex_unlock(&w->mutex);
        shm_futex_wake(&w->control);
}

static void on_told(Inbox *inbox, InboxItem *item) {
        ArenaWait *w = container_of(inbox, ArenaWait, inbox);
        _Atomic uint32_t *word;

        (void) pthread_mutex_lock(&w->mutex);
        w->in_inbox = false;
        word = TAKE(w->woken, NULL);
        (void) pthread_mutex_unlock(&w->mutex);
        if (!w->stopping)
                w->fn(w, word);
}

static int thread_start(ArenaWait *w) {
        sigset_t all, before;
        int r;

        w->wanted = calloc(WINDOW, sizeof(*w->wanted));
        if (!w->wanted)
                return -ENOMEM;
        r = inbox_init(&w->inbox, w->loop, on_told);
        if (r < 0)
                return r;
        (void) pthread_mutex_init(&w->mutex, NULL);
        sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&w->thread, NULL, thread_run, w);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0)
                return -r;
        w->has_thread = true;
        return 0;
}

static void thread_join(ArenaWait *w) {
        if (!w->has_thread)
                return;
        (void) pthread_mutex_lock(&w->mutex);
        w->end = true;
        (void) atomic_fetch_add(&w->control, 1);
        (void) pthread_mutex_unlock(&w->mutex);
        shm_futex_wake(&w->control);
        (void) pthread_join(w->thread, NULL);
        w->has_thread = false;
        w->stopping = true;
        inbox_drain(&w->inbox);
}

/* --- operation ------------------------------------------------------------------------------------ */

static void op_submit(ArenaWait *w, const ShmWord *words, size_t n) {
        for (size_t i = 0; i < n; i++)
                w->submitted[i] = (struct futex_waitv) { .val = words[i].value, .flags = FUTEX_32,
                                                         .uaddr = (uint64_t) (uintptr_t) words[i].address };
        w->n_submitted = n;
        w->stale = false;
        loop_futex(&w->op, w->submitted, n);
}

static bool op_is_as_wanted(const ArenaWait *w, const ShmWord *words, size_t n) {
        if (n != w->n_submitted)
                return false;
        for (size_t i = 0; i < n; i++)
                if (w->submitted[i].uaddr != (uint64_t) (uintptr_t) words[i].address ||
                    w->submitted[i].val != words[i].value)
                        return false;
        return true;
}

/* What was promised is refused, by a sandbox perhaps: the thread does it. */
static void op_give_up(ArenaWait *w, int error) {
        int r;

        log_notice("io_uring can't wait on the arena here, a thread does: %s", strerror(-error));
        r = thread_start(w);
        if (r < 0)
                log_error_errno(r, "Can't start the thread that waits on the arena");
}

static void op_on_done(LoopOp *op, int result, uint32_t flags) {
        ArenaWait *w = container_of(op, ArenaWait, op);
        _Atomic uint32_t *word = NULL;

        if (w->stopping)
                return;
        if (result == -ECANCELED && w->stale) {
                arena_wait_commit(w);
                return;
        }
        if (result >= 0 && (size_t) result < w->n_submitted)
                word = (_Atomic uint32_t *) (uintptr_t) w->submitted[result].uaddr;
        else if (result != -EAGAIN && result != -ECANCELED && result != -EINTR)
                op_give_up(w, result);
        w->fn(w, word);
}

/* --- the set -------------------------------------------------------------------------------------- */

/* The bell and a part of the others. */
static size_t window(ArenaWait *w, ShmWord ret[static WINDOW]) {
        size_t n = 1;

        if (w->n_words == 0)
                return 0;
        ret[0] = w->words[0];
        if (w->at == 0 || w->at >= w->n_words)
                w->at = 1;
        for (size_t i = w->at; i < w->n_words && n < WINDOW; i++)
                ret[n++] = w->words[i];
        return n;
}

static void on_rotate(LoopTimer *timer, uint64_t now_usec) {
        ArenaWait *w = container_of(timer, ArenaWait, rotate);

        w->at += WINDOW - 1;
        arena_wait_commit(w);
}

void arena_wait_begin(ArenaWait *w) {
        w->n_words = 0;
}

/* Without memory for more a word is not slept on; the second look that each waiter takes finds what it says. */
void arena_wait_add(ArenaWait *w, ShmWord word) {
        size_t max = MAX(2 * w->n_max, (size_t) 64);
        ShmWord *words;

        if (w->n_words == w->n_max) {
                words = reallocarray(w->words, max, sizeof(*words));
                if (!words)
                        return;
                w->words = words;
                w->n_max = max;
        }
        w->words[w->n_words++] = word;
}

void arena_wait_commit(ArenaWait *w) {
        ShmWord words[WINDOW];
        size_t n = window(w, words);

        if (w->stopping || n == 0)
                return;
        if (w->n_words > WINDOW)
                loop_timer_set(&w->rotate, usec_add(loop_now(w->loop), ROTATE_USEC));
        else
                loop_timer_unset(&w->rotate);
        if (w->has_thread)
                thread_set(w, words, n);
        else if (loop_op_is_idle(&w->op))
                op_submit(w, words, n);
        else if (!op_is_as_wanted(w, words, n)) {
                w->stale = true;
                loop_op_cancel(&w->op);
        } else
                w->stale = false;
}

/* --- life ----------------------------------------------------------------------------------------- */

int arena_wait_init(ArenaWait *w, Loop *loop, ArenaWaitFn fn) {
        *w = (ArenaWait) { .loop = loop, .fn = fn };
        loop_timer_init(&w->rotate, loop, on_rotate);
        loop_op_init(&w->op, loop, op_on_done);
        if (!loop_can_futex(loop))
                return thread_start(w);
        w->submitted = calloc(WINDOW, sizeof(*w->submitted));
        return w->submitted ? 0 : -ENOMEM;
}

void arena_wait_stop(ArenaWait *w) {
        w->stopping = true;
        loop_timer_unset(&w->rotate);
        loop_op_cancel(&w->op);
}

bool arena_wait_is_stopped(const ArenaWait *w) {
        return w->stopping && loop_op_is_idle(&w->op);
}

void arena_wait_deinit(ArenaWait *w) {
        if (!w->loop)
                return;
        arena_wait_stop(w);
        while (!loop_op_is_idle(&w->op) && loop_run_once(w->loop) >= 0)
                ;
        thread_join(w);
        inbox_deinit(&w->inbox);
        free(w->wanted);
        free(w->words);
        free(w->submitted);
        w->wanted = w->words = NULL;
        w->submitted = NULL;
}
