/* SPDX-License-Identifier: Apache-2.0 */
/* What a process does, a letter each; what is not held is passed over
 *
 *      X S   acquire exclusively, shared        x s   try         T t   with a time-out
 *      U     convert to exclusive               u     try         V     with a time-out
 *      D     convert to shared                  r     release
 *      C     mark consistent if somebody died   B     break who holds it
 *      K     die holding it, told by another (shm_hold_release_died, as an agent does for a client)
 *      /     from here on the other lock        \     the first one again */

#include <errno.h>

#include "model/model.h"

int local_wait(ShmHold *h, uint64_t deadline_usec, bool interruptible);

static void hold_it(uint32_t slot) {
        world.proc[world.current].fresh = 1;
        if (!model_solo)
                stop_in_call("holds", &world.slots[slot + 1].word, __builtin_return_address(0));
}

/* As src/local/lock.c: the fast path, the one past sleepers, the slow one. */
int model_acquire(uint32_t p, uint32_t slot, bool shared, uint64_t timeout_usec) {
        ShmHold *h = &world.hold[p][slot];
        ShmActor *actor = &world.actor[p];
        bool may = actor->arena == h->fast;
        ShmFast fast = may ? shm_hold_start_fast(h, actor, shared) : SHM_FAST_NO;
        uint64_t deadline = timeout_usec == UINT64_MAX ? UINT64_MAX : shm_now() + timeout_usec;
        int r;

        if (fast == SHM_FAST_YES)
                return 0;
        if (fast == SHM_FAST_NO && !shared && may && shm_hold_start_past(h, actor))
                return 0;
        if (fast == SHM_FAST_UNREAD)
                shm_hold_unread(h, actor->spare, 0);
        r = shm_hold_start(h, actor, shared, timeout_usec != 0);
        return r == -EINPROGRESS ? local_wait(h, deadline, false) : r;
}

static void believe(uint32_t p, uint32_t slot, Belief belief) {
        world.proc[p].belief[slot] = (uint8_t) belief;
        if (belief != BELIEF_NONE)
                check_granted(p, slot);
        hold_it(slot);
}

static void do_acquire(uint32_t p, uint32_t slot, bool shared, uint64_t timeout_usec) {
        int r = model_acquire(p, slot, shared, timeout_usec);

        if (r == 0)
                believe(p, slot, shared ? BELIEF_SHARED : BELIEF_EXCLUSIVE);
        else if (timeout_usec == UINT64_MAX || (r != -EAGAIN && r != -ETIMEDOUT)) {
                model_fail("P%u: acquire: %s", p, strerror(-r));
                model_stop_forever();
        }
}

/* Only who was broken may be told so. */
static void lost(uint32_t p, uint32_t slot, int r, const char *what) {
        Proc *proc = &world.proc[p];

        if (r == -ENOLCK && (proc->told[slot] || proc->breaking[slot]))
                return;
        model_fail("P%u: %s: %s", p, what, strerror(-r));
        model_stop_forever();
}

static void do_release(uint32_t p, uint32_t slot, bool died) {
        ShmHold *h = &world.hold[p][slot];
        Proc *proc = &world.proc[p];
        int r;

        if (h->state == SHM_HOLD_IDLE)
                return;
        if (died && proc->belief[slot] == BELIEF_EXCLUSIVE && !proc->breaking[slot])
                world.died[slot] = 2; /* at latest when it has returned */
        proc->belief[slot] = BELIEF_NONE;
        r = died ? shm_hold_release_died(h) : shm_hold_release(h);
        if (r < 0)
                lost(p, slot, r, "release");
        proc->told[slot] = proc->breaking[slot] = 0;
        proc->token[slot] = 0;
}

static void do_upgrade(uint32_t p, uint32_t slot, uint64_t timeout_usec) {
        ShmHold *h = &world.hold[p][slot];
        uint64_t deadline = timeout_usec == UINT64_MAX ? UINT64_MAX : shm_now() + timeout_usec;
        int r;

        if (h->state != SHM_HOLD_HELD || !h->shared)
                return;
        r = shm_hold_convert(h, false, timeout_usec != 0);
        if (r == -EINPROGRESS)
                r = local_wait(h, deadline, false);
        if (r == 0)
                believe(p, slot, BELIEF_EXCLUSIVE);
        else if (r == -ENOLCK)
                lost(p, slot, r, "upgrade");
        else if (r != -EDEADLK && (timeout_usec == UINT64_MAX || (r != -EAGAIN && r != -ETIMEDOUT))) {
                model_fail("P%u: upgrade: %s", p, strerror(-r));
                model_stop_forever();
        }
}

static void do_downgrade(uint32_t p, uint32_t slot) {
        ShmHold *h = &world.hold[p][slot];
        int r;

        if (h->state != SHM_HOLD_HELD || h->shared)
                return;
        if (world.proc[p].belief[slot] == BELIEF_EXCLUSIVE)
                world.proc[p].belief[slot] = BELIEF_SHARED;
        r = shm_hold_convert(h, true, true);
        if (r < 0)
                lost(p, slot, r, "downgrade");
        else if (world.proc[p].belief[slot] == BELIEF_SHARED)
                believe(p, slot, BELIEF_SHARED);
}

static void do_consistent(uint32_t p, uint32_t slot) {
        ShmHold *h = &world.hold[p][slot];

        if (h->state != SHM_HOLD_HELD || h->shared || !h->died || !shm_hold_is_held(h))
                return;
        world.died[slot] = 0;
        shm_hold_mark_consistent(h);
}

/* From here on the victims exclude nobody. */
static void do_break(uint32_t p, uint32_t slot) {
        uint64_t token = 0;
        int r;

        for (uint32_t q = 0; q < n_procs && token == 0; q++)
                if (q != p && world.proc[q].belief[slot] != BELIEF_NONE)
                        token = world.proc[q].token[slot];
        if (token == 0)
                return;
        for (uint32_t q = 0; q < n_procs; q++)
                if (world.proc[q].belief[slot] != BELIEF_NONE && world.proc[q].token[slot] == token)
                        world.proc[q].breaking[slot] = 1;
        world.breaks = 1;
        world.break_token[slot] = token;
        r = shm_hold_break(&world.hold[p][slot], &world.actor[p], token);
        world.breaks = 0;
        for (uint32_t q = 0; q < n_procs; q++) {
                if (!world.proc[q].breaking[slot] || world.proc[q].token[slot] != token)
                        continue;
                world.proc[q].breaking[slot] = 0;
                if (r < 0)
                        continue;
                world.proc[q].belief[slot] = BELIEF_NONE;
                world.proc[q].told[slot] = 1; /* it may be giving it back already */
        }
}

static void do_letter(uint32_t p, uint32_t slot, char c) {
        switch (c) {
        case 'X': case 'S':
                do_acquire(p, slot, c == 'S', UINT64_MAX);
                return;
        case 'x': case 's':
                do_acquire(p, slot, c == 's', 0);
                return;
        case 'T': case 't':
                do_acquire(p, slot, c == 't', scenario->timeout_usec);
                return;
        case 'U': case 'u': case 'V':
                do_upgrade(p, slot, c == 'U' ? UINT64_MAX : c == 'u' ? 0 : scenario->timeout_usec);
                return;
        case 'D':
                do_downgrade(p, slot);
                return;
        case 'r': case 'K':
                do_release(p, slot, c == 'K');
                return;
        case 'C':
                do_consistent(p, slot);
                return;
        case 'B':
                do_break(p, slot);
                return;
        }
        model_fail("no letter %c", c);
        model_stop_forever();
}

void proc_main(void) {
        uint32_t p = world.current, slot = 0;
        Proc *proc = &world.proc[p];

        for (const char *c = scenario->program[p]; *c; c++) {
                if (*c == '/' || *c == '\\')
                        slot = *c == '/';
                else
                        do_letter(p, slot, *c);
        }
        proc->state = PROC_DONE;
        for (;;)
                proc_stop();
}
