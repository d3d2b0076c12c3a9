/* SPDX-License-Identifier: Apache-2.0 */
/* The model's kernel: when a process stops, futexes, the clock, and what happens at death
 *
 * As Linux does it (kernel/futex): the words of a sleep are compared and queued on one after the other. Who was woken
 * stays queued on its other words until it runs; if several woke it, it is told the last. Who is killed leaves all
 * queues, and only then are its entries marked dead, the newest first, each with one wake-up if somebody waits. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "model/model.h"

char failure[512];
bool model_solo;
bool model_trace;
const char *model_bug = "none";
uint64_t n_steps;

static void *scheduler_sp;
static const volatile void *access_where; /* what the running process does now, and what was there */
static uint64_t access_before;
static jmp_buf *solo_jump;

/* --- failing ---------------------------------------------------------------------------------------- */

void model_fail(const char *format, ...) {
        va_list args;

        if (failure[0])
                return;
        va_start(args, format);
        (void) vsnprintf(failure, sizeof(failure), format, args);
        va_end(args);
}

_noreturn_ void model_stop_forever(void) {
        if (model_solo)
                longjmp(*solo_jump, 1);
        for (;;)
                proc_stop();
}

_noreturn_ void assert_failed(const char *expr, const char *file, int line, const char *func) {
        model_fail("%s:%d: %s: %s", file, line, func, expr);
        model_stop_forever();
}

bool model_alone(void (*run)(void)) {
        jmp_buf jump;

        solo_jump = &jump;
        model_solo = true;
        if (setjmp(jump) == 0)
                run();
        model_solo = false;
        return !failure[0];
}

/* base/bug.h asks for $TOOZ_BUG. That it is set takes the 1 s net away, which would hide what is lost. */
char *model_getenv(const char *name) {
        return strcmp(name, "TOOZ_BUG") == 0 ? (char *) (uintptr_t) model_bug : NULL;
}

/* --- stopping --------------------------------------------------------------------------------------- */

static Proc *self(void) {
        return &world.proc[world.current];
}

void proc_stop(void) {
        coroutine_switch(&self()->sp, scheduler_sp);
}

/* What the last access did: only after something changed does it make a difference when a process is killed. */
static void access_settle(Proc *p) {
        if (!access_where)
                return;
        if (trace_value(access_where) != access_before)
                p->fresh = 1;
        if (model_trace && p->spins < 3)
                trace_step(world.current, access_before);
        access_where = NULL;
}

static void access_begin(const volatile void *where) {
        access_where = where;
        access_before = trace_value(where);
}

typedef enum Kind {
        KIND_IGNORED,  /* only counted, never changes, or never used */
        KIND_GUARDED,  /* nobody else looks while we have the guard */
        KIND_VISIBLE,
} Kind;

static bool has_guard(const ShmSlot *s) {
        uint32_t holder = s->guard & ~SHM_GUARD_WAIT;

        return holder > 0 && (holder - 1) / SHM_ENTRIES == world.current;
}

static bool has_any_guard(void) {
        return has_guard(&world.slots[1]) || has_guard(&world.slots[2]);
}

static Kind kind_in_block(size_t offset) {
        uint32_t entries = scenario->entries;

        if (offset < 8)
                return KIND_VISIBLE;
        if (offset < offsetof(ShmBlock, journal))
                return KIND_IGNORED;
        if (offset < offsetof(ShmBlock, entries))
                return (offset - offsetof(ShmBlock, journal)) / 8 < entries ? KIND_VISIBLE : KIND_IGNORED;
        if (offset < offsetof(ShmBlock, live))
                return has_any_guard() ? KIND_GUARDED : KIND_VISIBLE;
        return (offset - offsetof(ShmBlock, live)) / sizeof(ShmLive) < entries ? KIND_VISIBLE : KIND_IGNORED;
}

static Kind kind_in_slot(const ShmSlot *s, size_t offset) {
        switch (offset) {
        case offsetof(ShmSlot, word):
        case offsetof(ShmSlot, readers):
        case offsetof(ShmSlot, token):
        case offsetof(ShmSlot, guard):
        case offsetof(ShmSlot, head):
        case offsetof(ShmSlot, hot_usec):
                return KIND_VISIBLE;
        case offsetof(ShmSlot, tail):
        case offsetof(ShmSlot, next_ticket):
        case offsetof(ShmSlot, n_waiting):
        case offsetof(ShmSlot, hand_usec):
                return has_guard(s) ? KIND_GUARDED : KIND_VISIBLE;
        }
        return KIND_IGNORED;
}

static Kind kind_of(const volatile void *where) {
        size_t offset = (size_t) ((const volatile char *) where - (const volatile char *) world.blocks);

        if (offset < sizeof(world.blocks))
                return kind_in_block(offset % sizeof(ShmBlock));
        offset = (size_t) ((const volatile char *) where - (const volatile char *) world.slots);
        return kind_in_slot(&world.slots[offset / sizeof(ShmSlot)], offset % sizeof(ShmSlot));
}

/* A process that looks at a word again and again, while nobody else runs, sees the same. */
static bool only_spins(Proc *p, const volatile void *where) {
        bool again = where == p->at && trace_value(where) == access_before && access_where == NULL &&
                     (where == &world.slots[1].guard || where == &world.slots[2].guard ||
                      where == &world.blocks[world.current].bell);

        p->spins = again ? (uint8_t) MIN(p->spins + 1, 3) : 0;
        return p->spins == 3;
}

static void stop_before(const volatile void *where, const char *call, const void *site, bool kill_only) {
        Proc *p = self();

        p->at = where;
        p->call = call;
        p->site = site;
        p->kill_only = kill_only;
        proc_stop();
        p->kill_only = 0;
}

void model_step(const volatile void *where) {
        Proc *p;
        Kind kind;

        if (model_solo)
                return;
        p = self();
        access_settle(p);
        kind = kind_of(where);
        n_steps++;
        if (kind == KIND_IGNORED)
                return;
        if (kind == KIND_VISIBLE && !only_spins(p, where))
                stop_before(where, NULL, __builtin_return_address(0), false);
        else if (kind == KIND_GUARDED && p->fresh && world.kills_left > 0)
                stop_before(where, NULL, __builtin_return_address(0), true);
        else {
                p->at = where;
                p->site = __builtin_return_address(0);
                p->call = NULL;
        }
        access_begin(where);
}

void stop_in_call(const char *call, const volatile void *where, const void *site) {
        access_settle(self());
        self()->spins = 0;
        n_steps++;
        stop_before(where, call, site, false);
        if (model_trace)
                trace_call();
}

/* --- futexes ---------------------------------------------------------------------------------------- */

static void queue_remove(uint32_t i) {
        memmove(&world.queue[i], &world.queue[i + 1], (world.n_queued - i - 1) * sizeof(Queued));
        world.n_queued--;
}

void kernel_unqueue(uint32_t p) {
        for (uint32_t i = world.n_queued; i > 0; i--)
                if (world.queue[i - 1].proc == p)
                        queue_remove(i - 1);
}

static unsigned kernel_wake(_Atomic uint32_t *word, unsigned n_max) {
        unsigned n = 0;

        for (uint32_t i = 0; i < world.n_queued && n < n_max;) {
                Queued q = world.queue[i];

                if (q.address != word) {
                        i++;
                        continue;
                }
                world.proc[q.proc].woken |= UINT32_C(1) << q.index;
                queue_remove(i);
                n++;
                if (model_trace)
                        trace_note("wakes P%u", q.proc);
        }
        return n;
}

void shm_futex_wake(_Atomic uint32_t *word) {
        if (!model_solo)
                stop_in_call("futex_wake", word, __builtin_return_address(0));
        if (kernel_wake(word, UINT32_MAX) > 0 && !model_solo)
                self()->fresh = 1;
}

uint64_t shm_now(void) {
        return world.now;
}

/* Nobody else runs any more: who would sleep does so until its clock, or for ever. */
static int wait_alone(const ShmWord *words, size_t n, uint64_t until_usec) {
        for (size_t i = 0; i < n; i++)
                if (*words[i].address != words[i].value)
                        return -EAGAIN;
        if (until_usec == UINT64_MAX || ++world.forced_clocks > 50) {
                model_fail("after the end, somebody who wants it waits for ever");
                model_stop_forever();
        }
        world.now = MAX(world.now, until_usec);
        return -ETIMEDOUT;
}

static int last_woken(Proc *p) {
        uint32_t woken = TAKE(p->woken, 0);

        kernel_unqueue(world.current);
        return woken ? 31 - __builtin_clz(woken) : -1;
}

int shm_futex_wait(const ShmWord *words, size_t n, uint64_t until_usec) {
        Proc *p = self();
        int woken;

        if (model_solo)
                return wait_alone(words, n, until_usec);
        for (size_t i = 0; i < n; i++) {
                stop_in_call("futex_wait looks at", words[i].address, __builtin_return_address(0));
                if (*words[i].address != words[i].value) {
                        woken = last_woken(p);
                        return woken >= 0 ? woken : -EAGAIN;
                }
                tooz_assert(world.n_queued < QUEUE_MAX);
                world.queue[world.n_queued++] = (Queued) { .address = words[i].address, .proc = world.current,
                                                           .index = (uint32_t) i };
        }
        p->fresh = 1;
        p->until_usec = until_usec;
        p->state = PROC_SLEEPS;
        stop_in_call("wakes up from", words[0].address, __builtin_return_address(0));
        p->state = PROC_RUNS;
        p->until_usec = 0;
        woken = last_woken(p);
        return woken >= 0 ? woken : -ETIMEDOUT;
}

/* --- processes -------------------------------------------------------------------------------------- */

bool proc_can_run(uint32_t p) {
        const Proc *proc = &world.proc[p];

        return proc->state == PROC_RUNS || proc->state == PROC_DYING ||
               (proc->state == PROC_SLEEPS && (proc->woken || proc->until_usec <= world.now));
}

bool proc_has_clock(uint32_t p, uint64_t *ret_usec) {
        *ret_usec = world.proc[p].until_usec;
        return world.proc[p].state == PROC_SLEEPS && *ret_usec != UINT64_MAX && !proc_can_run(p);
}

void proc_kill(uint32_t p) {
        Proc *proc = &world.proc[p];

        check_killed(p);
        proc->state = PROC_DYING;
        proc->at = proc->site = NULL;
        proc->call = NULL;
        proc->exit_step = proc->fresh = proc->spins = proc->kill_only = 0;
        proc->until_usec = 0;
}

/* Steps 0: out of the queues; then two for each entry: marked dead, one wake-up. */
static void die(uint32_t p) {
        Proc *proc = &world.proc[p];
        uint32_t n = scenario->entries, entry, value;
        _Atomic uint32_t *live;

        if (proc->exit_step == 0) {
                kernel_unqueue(p);
                proc->woken = 0;
        } else {
                entry = n - 1 - (proc->exit_step - 1u) / 2;
                live = &world.blocks[p].live[entry].word;
                value = *live;
                if (proc->exit_step % 2 == 1)
                        *live = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
                if (model_trace)
                        trace_note("P%u dies: entry %u %s", p, entry, proc->exit_step % 2 ? "is marked" : "wakes one");
                if (proc->exit_step % 2 == 0 && value & FUTEX_WAITERS)
                        (void) kernel_wake(live, 1);
                if (proc->exit_step % 2 == 1 && !(value & FUTEX_WAITERS))
                        proc->exit_step++;
        }
        if (++proc->exit_step > 2 * n)
                proc->state = PROC_DEAD;
}

void proc_resume(uint32_t p) {
        world.current = (uint8_t) p;
        if (world.proc[p].state == PROC_DYING) {
                die(p);
                return;
        }
        coroutine_switch(&scheduler_sp, world.proc[p].sp);
        access_settle(&world.proc[p]);
        if (world.proc[p].state == PROC_DONE) {
                world.proc[p].at = world.proc[p].site = NULL;
                world.proc[p].call = NULL;
        }
}
