/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>

#include "base/bug.h"
#include "shm/futex.h"
#include "shm/hold.h"
#include "shm/queue.h"
#include "shm/recover.h"

#define GUARD_SPINS 100u
/* Who finds the guard taken for longer naps: its holder is not running. It may be dead, and that is looked at then. */
#define GUARD_NAP_USEC 1000u
#define GUARD_MIN_USEC 2000u

/* --- guard ------------------------------------------------------------------------------------------ */

/* The guard is never left to a standing agent: what it was doing is finished from the journals. */
static bool guard_is_dead(const ShmArena *arena, uint32_t ref) {
        _Atomic uint32_t *live = shm_ref_live(arena, ref);

        return !live || shm_word_is_dead(atom_load(live));
}

static void guard_nap(ShmSlot *slot, uint32_t value) {
        ShmWord word = { .address = &slot->guard, .value = value };

        (void) shm_futex_wait(&word, 1, shm_now() + GUARD_NAP_USEC);
}

static uint64_t patience(uint64_t deadline_usec) {
        return MAX(deadline_usec, shm_now() + GUARD_MIN_USEC);
}

int shm_guard_lock(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t self, uint64_t deadline_usec) {
        uint64_t until = 0;
        uint32_t old, holder;

        for (unsigned n = 0;; n++) {
                old = 0;
                if (atom_cas(&slot->guard, &old, self))
                        return 0;
                if (n < GUARD_SPINS) {
                        atom_pause();
                        continue;
                }
                holder = old & ~SHM_GUARD_WAIT;
                if (holder == self || guard_is_dead(arena, holder)) {
                        if (!atom_cas(&slot->guard, &old, self | SHM_GUARD_WAIT))
                                continue;
                        if (!bug("shm-no-rebuild"))
                                shm_queue_rebuild(arena, slot, place);
                        return 0;
                }
                if (until == 0)
                        until = patience(deadline_usec);
                else if (shm_now() >= until)
                        return -ETIMEDOUT;
                if (old & SHM_GUARD_WAIT || atom_cas(&slot->guard, &old, old | SHM_GUARD_WAIT))
                        guard_nap(slot, holder | SHM_GUARD_WAIT);
        }
}

void shm_guard_unlock(ShmSlot *slot) {
        if (atom_swap(&slot->guard, 0) & SHM_GUARD_WAIT)
                shm_futex_wake(&slot->guard);
}

/* --- links ------------------------------------------------------------------------------------------ */

static void link_set(ShmArena *arena, uint32_t ref, uint32_t prev, uint32_t next) {
        ShmEntry *e = shm_entry(arena, ref);

        atom_store(&e->prev, prev);
        atom_store(&e->next, next);
}

static bool is_delegated(const ShmArena *arena, uint32_t ref) {
        const ShmBlock *b = shm_ref_block(arena, ref);

        return b && atom_load(&b->state) == SHM_BLOCK_DELEGATED;
}

static bool block_holds_shared(const ShmBlock *b, uint64_t place) {
        for (uint32_t e = 0; e < SHM_ENTRIES; e++) {
                uint64_t j = atom_load(&b->journal[e]);

                if (SHM_J_PLACE(j) == place && (SHM_J_PHASE(j) == SHM_SH || SHM_J_PHASE(j) == SHM_UP))
                        return true;
        }
        return false;
}

/* An agent stops granting to clients of its own who came later than others: so it must know who stands behind it. A
 * writer looks at all readers anyway. */
static void tell_agents(ShmArena *arena, const ShmSlot *slot, uint64_t place, uint32_t before, bool shared) {
        uint64_t w = atom_load(&slot->word), mask = atom_load(&slot->readers);
        uint32_t n_blocks = shm_n_blocks(arena), owner = (uint32_t) (w & SHM_W_OWNER);

        if (is_delegated(arena, owner))
                shm_ring(arena, owner);
        if (is_delegated(arena, before))
                shm_ring(arena, before);
        for (uint32_t b = 0; w & SHM_W_READ && !shared && b < n_blocks; b++)
                if (mask >> b % 64 & 1 && atom_load(&arena->blocks[b].state) == SHM_BLOCK_DELEGATED &&
                    block_holds_shared(&arena->blocks[b], place))
                        shm_ring(arena, shm_ref(b, 0));
}

void shm_queue_append(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t ref, bool shared) {
        ShmEntry *e = shm_entry(arena, ref), *last;
        uint32_t tail = atom_load(&slot->tail);
        uint64_t ticket = atom_load(&slot->next_ticket);

        atom_store(&slot->next_ticket, ticket + 1);
        atom_store(&e->ticket, ticket);
        atom_store(&e->since_usec, shm_now());
        link_set(arena, ref, tail, 0);
        atom_store(shm_ref_journal(arena, ref), place | SHM_J(shared ? SHM_WS : SHM_WX));

        last = shm_ref_entry(arena, tail);
        if (last)
                atom_store(&last->next, ref);
        else {
                atom_store(&slot->hand_usec, atom_load(&e->since_usec) + SHM_OVERTAKE_USEC);
                atom_store(&slot->head, ref);
        }
        atom_store(&slot->tail, ref);
        atom_store(&slot->n_contended, atom_load(&slot->n_contended) + 1);
        tell_agents(arena, slot, place, tail, shared);
        atom_store(&slot->n_waiting, atom_load(&slot->n_waiting) + 1);
}

void shm_queue_set_hand(ShmArena *arena, ShmSlot *slot, uint64_t taken_usec) {
        const ShmEntry *head = shm_ref_entry(arena, atom_load(&slot->head));
        uint64_t due = head ? atom_load(&head->since_usec) + SHM_OVERTAKE_USEC : 0;

        if (due < taken_usec)
                due = taken_usec + SHM_OVERTAKE_USEC / (atom_load(&slot->n_waiting) + 1);
        atom_store(&slot->hand_usec, due);
}

/* Links that do not agree with each other were left by somebody who died, or are forged. */
static bool links_agree(const ShmArena *arena, const ShmSlot *slot, uint32_t ref, uint32_t prev, uint32_t next) {
        const ShmEntry *p = shm_ref_entry(arena, prev), *n = shm_ref_entry(arena, next);

        return (p ? atom_load(&p->next) : atom_load(&slot->head)) == ref &&
               (n ? atom_load(&n->prev) : atom_load(&slot->tail)) == ref;
}

void shm_queue_unlink(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t ref) {
        ShmEntry *e = shm_entry(arena, ref), *p, *n;
        uint32_t prev = atom_load(&e->prev), next = atom_load(&e->next);

        if (!links_agree(arena, slot, ref, prev, next)) {
                shm_queue_rebuild(arena, slot, place);
                return;
        }
        p = shm_ref_entry(arena, prev);
        n = shm_ref_entry(arena, next);
        if (p)
                atom_store(&p->next, next);
        else
                atom_store(&slot->head, next);
        if (n)
                atom_store(&n->prev, prev);
        else
                atom_store(&slot->tail, prev);
        atom_store(&slot->n_waiting, atom_load(&slot->n_waiting) - 1);
        if (!p && !n)
                (void) atom_and(&slot->word, ~(SHM_W_WAIT | SHM_W_HAND | SHM_W_WOKEN));
}

/* --- rebuilding ------------------------------------------------------------------------------------- */

bool shm_queue_has(uint64_t journal, uint64_t place) {
        return SHM_J_PLACE(journal) == place && (SHM_J_PHASE(journal) == SHM_WX || SHM_J_PHASE(journal) == SHM_WS);
}

static uint32_t list_next(ShmArena *arena, uint32_t ref) {
        return atom_load(&shm_entry(arena, ref)->next);
}

static uint64_t list_ticket(ShmArena *arena, uint32_t ref) {
        return atom_load(&shm_entry(arena, ref)->ticket);
}

/* All who wait, in a list by `next`, unordered. Entries that start to wait meanwhile can't: we have the guard. */
static uint32_t collect(ShmArena *arena, uint64_t place, uint32_t *ret_n) {
        uint32_t first = 0, n_blocks = shm_n_blocks(arena);

        *ret_n = 0;
        for (uint32_t b = n_blocks; b > 0; b--)
                for (uint32_t e = SHM_ENTRIES; e > 0; e--) {
                        if (!shm_queue_has(atom_load(&arena->blocks[b - 1].journal[e - 1]), place))
                                continue;
                        atom_store(&arena->blocks[b - 1].entries[e - 1].next, first);
                        first = shm_ref(b - 1, e - 1);
                        (*ret_n)++;
                }
        return first;
}

/* Cuts `n` off the front of a list: the rest is returned. */
static uint32_t cut(ShmArena *arena, uint32_t list, uint32_t n) {
        uint32_t rest;

        while (list && n-- > 1)
                list = list_next(arena, list);
        if (!list)
                return 0;
        rest = list_next(arena, list);
        atom_store(&shm_entry(arena, list)->next, 0);
        return rest;
}

static void append(ShmArena *arena, uint32_t *tail, uint32_t list) {
        if (*tail)
                atom_store(&shm_entry(arena, *tail)->next, list);
        *tail = list;
}

/* Merges two ordered lists behind `*tail`. Returns the first of them. `budget`: links that are forged meanwhile must
 * not keep us here for ever. */
static uint32_t merge(ShmArena *arena, uint32_t a, uint32_t b, uint32_t *tail, uint32_t *budget) {
        uint32_t first = 0, taken, *from;

        while ((a || b) && *budget > 0) {
                (*budget)--;
                from = !b || (a && list_ticket(arena, a) <= list_ticket(arena, b)) ? &a : &b;
                taken = *from;
                *from = list_next(arena, taken);
                append(arena, tail, taken);
                if (!first)
                        first = taken;
        }
        if (*tail)
                atom_store(&shm_entry(arena, *tail)->next, 0);
        return first;
}

/* Bottom-up merge sort by ticket: n log n, and no memory but the links. */
static uint32_t sort(ShmArena *arena, uint32_t list, uint32_t n) {
        for (uint32_t width = 1; width < n; width *= 2) {
                uint32_t rest = list, tail = 0, budget = n;

                list = 0;
                while (rest && budget > 0) {
                        uint32_t a = rest, b = cut(arena, a, width), first;

                        rest = cut(arena, b, width);
                        first = merge(arena, a, b, &tail, &budget);
                        if (!list)
                                list = first;
                }
        }
        return list;
}

/* Each may have slept on the word of one who is not before it any more. */
static void ring_all(ShmArena *arena, uint32_t list, uint32_t n) {
        for (; list && n > 0; list = list_next(arena, list), n--)
                shm_ring(arena, list);
}

void shm_queue_rebuild(ShmArena *arena, ShmSlot *slot, uint64_t place) {
        uint32_t n, left, prev = 0, list;
        uint64_t ticket = 0;

        list = collect(arena, place, &n);
        atom_store(&slot->n_waiting, n);
        list = sort(arena, list, n);
        atom_store(&slot->head, list);
        left = n;
        for (uint32_t ref = list; ref && left > 0; ref = list_next(arena, ref), left--) {
                atom_store(&shm_entry(arena, ref)->prev, prev);
                ticket = list_ticket(arena, ref);
                prev = ref;
        }
        atom_store(&slot->tail, prev);
        if (atom_load(&slot->next_ticket) <= ticket)
                atom_store(&slot->next_ticket, ticket + 1);

        (void) atom_and(&slot->word, ~(SHM_W_WOKEN | SHM_W_HAND | (list ? 0 : SHM_W_WAIT)));
        shm_queue_set_hand(arena, slot, 0);
        ring_all(arena, list, n);
}

/* --- passing on ------------------------------------------------------------------------------------- */

void shm_queue_pass(ShmArena *arena, ShmSlot *slot) {
        uint64_t w = atom_load(&slot->word);

        do {
                if (w & (SHM_W_OWNER | SHM_W_WOKEN) || !(w & SHM_W_WAIT))
                        return;
        } while (!atom_cas(&slot->word, &w, w | SHM_W_WOKEN));
        shm_ring(arena, atom_load(&slot->head));
}
