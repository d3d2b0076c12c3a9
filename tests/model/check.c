/* SPDX-License-Identifier: Apache-2.0 */
/* What must be true after every step, and when all has ended */

#include "model/model.h"

/* --- who holds -------------------------------------------------------------------------------------- */

static bool counts(uint32_t p, uint32_t slot) {
        return world.proc[p].belief[slot] != BELIEF_NONE && !world.proc[p].breaking[slot];
}

static void check_exclusion(uint32_t slot) {
        for (uint32_t p = 0; p < n_procs; p++)
                for (uint32_t q = 0; q < p; q++)
                        if (counts(p, slot) && counts(q, slot) &&
                            (world.proc[p].belief[slot] == BELIEF_EXCLUSIVE ||
                             world.proc[q].belief[slot] == BELIEF_EXCLUSIVE))
                                model_fail("exclusion: P%u and P%u hold it", q, p);
}

/* Whoever believes to hold it stands in the word, or in its journal as a reader. */
static void check_stands(uint32_t p, uint32_t slot) {
        const ShmHold *h = &world.hold[p][slot];
        uint64_t word = world.slots[slot + 1].word, j;

        if ((word & SHM_W_OWNER) == h->seat->ref && !(word & SHM_W_DRAIN))
                return;
        j = *h->seat->journal;
        if (world.proc[p].belief[slot] == BELIEF_SHARED && SHM_J_PLACE(j) == h->place &&
            (SHM_J_PHASE(j) == SHM_SH || SHM_J_PHASE(j) == SHM_UP))
                return;
        model_fail("P%u believes to hold it %s, but neither word nor journal say so", p,
                   world.proc[p].belief[slot] == BELIEF_SHARED ? "shared" : "exclusively");
}

/* A reader with the token that was to be broken: that may have been meant for it too. One that was broken before it
 * had returned may have seen a later token: shm_hold_get_token() tells it -ENOLCK. */
static void note_break(uint32_t p, uint32_t slot, uint64_t token) {
        bool broken = SHM_J_PHASE(*world.hold[p][slot].seat->journal) == SHM_BROKEN_S;
        Proc *proc = &world.proc[p];

        if (token != world.break_token[slot] && !(broken && world.break_token[slot] % 2 == 1))
                return;
        proc->told[slot] = 1;
        proc->breaking[slot] = world.breaks;
        if (broken)
                proc->belief[slot] = BELIEF_NONE;
}

/* Called when it returned, by the process. */
void check_granted(uint32_t p, uint32_t slot) {
        const ShmHold *h = &world.hold[p][slot];
        uint64_t token = h->shared ? h->token : world.slots[slot + 1].token;

        world.proc[p].token[slot] = token;
        if (h->shared)
                note_break(p, slot, token);
        if (world.proc[p].belief[slot] == BELIEF_NONE)
                return;
        check_exclusion(slot);
        if (h->state != SHM_HOLD_HELD)
                model_fail("P%u: taken, but in state %u", p, h->state);
        if (h->shared != (world.proc[p].belief[slot] == BELIEF_SHARED))
                model_fail("P%u: taken in the other mode", p);
        if (token <= world.max_exclusive[slot])
                model_fail("P%u: token %lu after %lu", p, token, world.max_exclusive[slot]);
        if (!h->shared && token <= world.max_shared[slot])
                model_fail("P%u: token %lu after %lu of a reader", p, token, world.max_shared[slot]);
        if (world.died[slot] && !h->died)
                model_fail("P%u: it was not told that a holder died", p);
        if (h->shared)
                world.max_shared[slot] = MAX(world.max_shared[slot], token);
        else
                world.max_exclusive[slot] = token;
}

void check_killed(uint32_t p) {
        Proc *proc = &world.proc[p];

        for (uint32_t slot = 0; slot < SLOTS; slot++) {
                if (proc->belief[slot] == BELIEF_EXCLUSIVE && !proc->breaking[slot])
                        world.died[slot] = 1;
                proc->belief[slot] = BELIEF_NONE;
                proc->breaking[slot] = proc->told[slot] = 0;
        }
        world.any_killed = 1;
}

/* --- the queue -------------------------------------------------------------------------------------- */

static bool waits_in(uint64_t journal, uint32_t index) {
        return (journal & SHM_J_SLOT) == index && (SHM_J_PHASE(journal) == SHM_WX || SHM_J_PHASE(journal) == SHM_WS);
}

static unsigned count_waiting(uint32_t index) {
        unsigned n = 0;

        for (uint32_t p = 0; p < n_procs; p++)
                for (uint32_t e = 0; e < scenario->entries; e++)
                        n += waits_in(world.blocks[p].journal[e], index);
        return n;
}

static ShmEntry *entry_of(uint32_t ref) {
        return &world.blocks[(ref - 1) / SHM_ENTRIES].entries[(ref - 1) % SHM_ENTRIES];
}

/* While nobody has the guard, the links say what the journals say, in the order of the tickets. */
static void check_queue(uint32_t index) {
        const ShmSlot *s = &world.slots[index];
        unsigned n = 0, n_waiting = count_waiting(index);
        uint64_t ticket = 0;
        uint32_t prev = 0;

        for (uint32_t ref = s->head; ref; prev = ref, ref = entry_of(ref)->next) {
                if (++n > n_waiting)
                        break;
                if (!waits_in(world.blocks[(ref - 1) / SHM_ENTRIES].journal[(ref - 1) % SHM_ENTRIES], index))
                        model_fail("the queue leads to entry %u, which does not wait", ref);
                if (entry_of(ref)->prev != prev)
                        model_fail("the queue: entry %u says that it is behind %u, not %u", ref, entry_of(ref)->prev,
                                   prev);
                if (entry_of(ref)->ticket <= ticket)
                        model_fail("the queue is not in the order of the tickets");
                ticket = entry_of(ref)->ticket;
        }
        if (n != n_waiting)
                model_fail("the queue has %u entries, %u wait", n, n_waiting);
        if (s->tail != prev)
                model_fail("the tail of the queue is %u, not %u", s->tail, prev);
        if (s->n_waiting != n_waiting)
                model_fail("n_waiting is %u, and %u wait", s->n_waiting, n_waiting);
        if (s->next_ticket <= ticket)
                model_fail("the next ticket was given to somebody");
}

void check_step(void) {
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
                for (uint32_t p = 0; p < n_procs; p++)
                        if (counts(p, slot))
                                check_stands(p, slot);
                check_exclusion(slot);
                if (world.slots[slot + 1].guard == 0)
                        check_queue(slot + 1);
        }
}

/* --- the end ---------------------------------------------------------------------------------------- */

static void check_idle(const char *when) {
        for (uint32_t i = 1; i <= SLOTS; i++) {
                uint64_t w = world.slots[i].word;

                if (w & (SHM_W_OWNER | SHM_W_WAIT | SHM_W_HAND | SHM_W_WOKEN | SHM_W_DRAIN))
                        model_fail("%s the word of slot %u is not idle: %lx", when, i, w);
                if (world.slots[i].head || world.slots[i].tail || world.slots[i].guard)
                        model_fail("%s the queue or the guard of slot %u are not empty", when, i);
        }
}

static void check_journals(void) {
        for (uint32_t p = 0; p < n_procs; p++)
                for (uint32_t e = 0; e < scenario->entries; e++)
                        if (world.blocks[p].journal[e] != 0 && world.proc[p].state == PROC_DONE)
                                model_fail("P%u left something in its journal", p);
}

/* Whoever comes later gets it, and takes the blocks of the dead. */
static void clean_up(void) {
        world.current = JANITOR;
        for (uint32_t slot = 0; slot < SLOTS; slot++) {
                int r = model_acquire(JANITOR, slot, false, UINT64_MAX);

                if (r < 0) {
                        model_fail("after the end: acquire: %s", strerror(-r));
                        return;
                }
                if (world.died[slot] && !world.hold[JANITOR][slot].died)
                        model_fail("after the end: nobody was told that a holder died");
                if (shm_hold_release(&world.hold[JANITOR][slot]) < 0)
                        model_fail("after the end: release");
        }
        for (uint32_t p = 0; p < n_procs; p++)
                for (uint32_t e = 0; e < scenario->entries; e++)
                        if (world.blocks[p].journal[e] != 0 &&
                            shm_recover_stray(world.actor[0].arena, world.actor[JANITOR].spare->ref, shm_ref(p, e)) < 0)
                                model_fail("after the end: entry %u of P%u can't be recovered", e, p);
}

void check_end(void) {
        for (uint32_t p = 0; p < n_procs; p++)
                if (world.proc[p].state == PROC_SLEEPS)
                        model_fail("P%u waits for ever", p);
        check_journals();
        if (!world.any_killed)
                check_idle("at the end");
        if (failure[0] || !model_alone(clean_up))
                return;
        check_idle("after the end");
        for (uint32_t i = 1; i <= SLOTS; i++)
                check_queue(i);
}
