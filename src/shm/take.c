/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>

#include "base/bug.h"
#include "shm/queue.h"
#include "shm/recover.h"
#include "shm/take.h"

static bool is_stale(const ShmHold *h, uint64_t w) {
        return (w & SHM_W_GENERATION) != h->idle || w & SHM_W_RETIRED;
}

static uint32_t owner_of(uint64_t w) {
        return (uint32_t) (w & SHM_W_OWNER);
}

/* --- watching --------------------------------------------------------------------------------------- */

static void watch_word(ShmHold *h, _Atomic uint32_t *word, uint32_t value) {
        h->words[h->n_words++] = (ShmWord) { .address = word, .value = value };
}

void shm_watch_begin(ShmHold *h) {
        _Atomic uint32_t *bell = &h->actor->first->bell;

        h->n_words = 0;
        h->until_usec = UINT64_MAX;
        watch_word(h, bell, atom_load(bell));
}

/* The kernel wakes at death only if it is told in the word that somebody waits; it then wakes one, so at most one may
 * wait for each entry. */
bool shm_watch(ShmHold *h, uint32_t ref) {
        _Atomic uint32_t *live = shm_ref_live(h->arena, ref);
        uint32_t value;

        if (!live)
                return false;
        value = atom_load(live);
        do {
                if (shm_word_is_dead(value)) {
                        if (!shm_ref_is_standing(h->arena, ref))
                                return false;
                        h->until_usec = MIN(h->until_usec, shm_now() + SHM_STANDING_USEC);
                        return true;
                }
        } while (!(value & FUTEX_WAITERS) && !atom_cas(live, &value, value | FUTEX_WAITERS));
        if (!bug("shm-no-liveness"))
                watch_word(h, live, value | FUTEX_WAITERS);
        return true;
}

/* True: somebody lives who is in the way. Else the slot has been recovered: look again. */
static bool watch_or_recover(ShmHold *h, uint32_t ref) {
        if (shm_watch(h, ref))
                return true;
        shm_recover(h->arena, h->slot, h->place, ref);
        return false;
}

/* Those who wait keep others out, unless it is a dead one who does, or nobody: that only a damaged arena has. */
static bool head_recovered(ShmHold *h) {
        uint32_t head = atom_load(&h->slot->head);

        if (!head)
                return atom_and(&h->slot->word, ~(SHM_W_HAND | SHM_W_WAIT)) & (SHM_W_HAND | SHM_W_WAIT);
        if (!shm_ref_is_dead(h->arena, head))
                return false;
        shm_recover(h->arena, h->slot, h->place, head);
        return atom_load(&h->slot->head) != head;
}

/* --- what a taker leaves in the word ---------------------------------------------------------------- */

/* Does the next in the queue look by itself? It said so under the guard when it looked last. */
static bool next_is_quiet(const ShmHold *h, const ShmEntry *next) {
        return atom_load(&next->clock_usec) != 0 && shm_now() < atom_load(&h->slot->hot_usec);
}

/* Of those who wait. The head takes itself out, and HAND with it. */
static uint64_t flags_after(const ShmHold *h, uint64_t w, bool head) {
        uint64_t flags = w & (SHM_W_GENERATION | SHM_W_DIED | SHM_W_READ | SHM_W_WAIT | SHM_W_HAND | SHM_W_WOKEN);
        const ShmEntry *next;

        if (!head)
                return flags;
        flags &= ~(SHM_W_WAIT | SHM_W_HAND | SHM_W_WOKEN);
        next = shm_ref_entry(h->arena, atom_load(&h->seat->entry->next));
        if (!next)
                return flags;
        return flags | SHM_W_WAIT | (next_is_quiet(h, next) ? SHM_W_WOKEN : 0);
}

/* --- exclusive -------------------------------------------------------------------------------------- */

static bool phase_reads(ShmPhase phase) {
        return phase == SHM_SA || phase == SHM_SH || phase == SHM_UP;
}

/* The readers of one block. False: enough are in the way to sleep on. */
static bool watch_block(ShmHold *h, uint32_t index, unsigned *n_readers) {
        const ShmBlock *b = &h->arena->blocks[index];

        for (uint32_t e = 0; e < SHM_ENTRIES; e++) {
                uint64_t j = atom_load(&b->journal[e]);
                uint32_t ref = shm_ref(index, e);

                if (SHM_J_PLACE(j) != h->place || !phase_reads(SHM_J_PHASE(j)) || ref == h->seat->ref)
                        continue;
                if (!watch_or_recover(h, ref))
                        continue;
                if (++*n_readers >= SHM_WATCH_MAX)
                        return false;
        }
        return true;
}

/* How many readers are in the way, as far as we count: all of them must leave, so to watch some is enough. */
static unsigned watch_readers(ShmHold *h) {
        uint64_t mask = atom_load(&h->slot->readers);
        uint32_t n_blocks = shm_n_blocks(h->arena);
        unsigned n = 0;

        for (uint32_t b = 0; b < n_blocks; b++)
                if (mask >> b % 64 & 1 && !watch_block(h, b, &n))
                        break;
        return n;
}

/* We stand in the word, so no new reader comes. 0: the last one has left, and we hold it. -EAGAIN: one of them
 * upgrades, and goes first. */
static int drain(ShmHold *h, bool head) {
        uint64_t w;

        if (!bug("shm-no-drain") && watch_readers(h) > 0)
                return -EINPROGRESS;
        w = atom_load(&h->slot->word);
        do {
                if (owner_of(w) != h->seat->ref)
                        return -EAGAIN;
        } while (!atom_cas(&h->slot->word, &w, (flags_after(h, w, head) & ~SHM_W_READ) | h->seat->ref));
        return 0;
}

static int take_exclusive(ShmHold *h, bool head) {
        uint64_t w, new;
        int r;

        for (;;) {
                w = atom_load(&h->slot->word);
                if (is_stale(h, w))
                        return -ESTALE;
                if (owner_of(w) == h->seat->ref) {
                        r = drain(h, head);
                        if (r != -EAGAIN)
                                return r;
                        continue;
                }
                if (owner_of(w)) {
                        if (watch_or_recover(h, owner_of(w)))
                                return -EINPROGRESS;
                        continue;
                }
                if (!head && (w & SHM_W_HAND || (w & SHM_W_READ && w & SHM_W_WAIT))) {
                        if (head_recovered(h))
                                continue;
                        return -EINPROGRESS;
                }
                if (w & SHM_W_READ) {
                        (void) atom_cas(&h->slot->word, &w, w | SHM_W_DRAIN | h->seat->ref);
                        continue;
                }
                new = flags_after(h, w, head) | h->seat->ref;
                if (atom_cas(&h->slot->word, &w, new))
                        return 0;
        }
}

/* --- shared ----------------------------------------------------------------------------------------- */

static void mark_reader(ShmHold *h) {
        if (!(atom_load(&h->slot->readers) & h->seat->reader_bit))
                (void) atom_or(&h->slot->readers, h->seat->reader_bit);
}

/* Not a reader after all. A drainer may have seen it as one. */
void shm_hold_unread(ShmHold *h, ShmSeat *seat, uint64_t journal) {
        uint64_t w;

        (void) atom_swap(seat->journal, journal);
        w = atom_load(&h->slot->word);
        if (w & SHM_W_DRAIN)
                shm_ring(h->arena, owner_of(w));
}

static int take_shared_once(ShmHold *h, uint64_t w, bool head, uint64_t back) {
        if (bug("shm-no-journal"))
                return atom_cas(&h->slot->word, &w, flags_after(h, w, head) | SHM_W_READ) ? 0 : -EAGAIN;
        (void) atom_swap(h->seat->journal, h->place | SHM_J(SHM_SA));
        if (atom_cas(&h->slot->word, &w, flags_after(h, w, head) | SHM_W_READ)) {
                atom_store(h->seat->journal, h->place | SHM_J(SHM_SH));
                return 0;
        }
        shm_hold_unread(h, h->seat, back);
        return -EAGAIN;
}

static int take_shared(ShmHold *h, bool head) {
        uint64_t w, back = h->place | SHM_J(head ? SHM_WS : SHM_GUARD);

        mark_reader(h);
        for (;;) {
                w = atom_load(&h->slot->word);
                if (is_stale(h, w))
                        return -ESTALE;
                if (owner_of(w)) {
                        if (watch_or_recover(h, owner_of(w)))
                                return -EINPROGRESS;
                        continue;
                }
                if (!head && w & SHM_W_HAND) {
                        if (head_recovered(h))
                                continue;
                        return -EINPROGRESS;
                }
                if (take_shared_once(h, w, head, back) == 0)
                        return 0;
        }
}

/* --- entry points ----------------------------------------------------------------------------------- */

int shm_take(ShmHold *h, bool head) {
        return h->shared ? take_shared(h, head) : take_exclusive(h, head);
}

int shm_take_barge(ShmHold *h) {
        uint64_t w = atom_load(&h->slot->word);

        if (is_stale(h, w))
                return -ESTALE;
        if (owner_of(w) || w & SHM_W_HAND)
                return -EAGAIN;
        if (h->shared) {
                mark_reader(h);
                return take_shared_once(h, w, false, h->place | SHM_J(SHM_GUARD));
        }
        if (w & SHM_W_READ)
                return -EAGAIN;
        return atom_cas(&h->slot->word, &w, w | h->seat->ref) ? 0 : -EAGAIN;
}

void shm_take_undo(ShmHold *h) {
        uint64_t w = atom_load(&h->slot->word);

        do {
                if (owner_of(w) != h->seat->ref || bug("shm-no-undo"))
                        return;
        } while (!atom_cas(&h->slot->word, &w, w & ~(SHM_W_OWNER | SHM_W_DRAIN)));
}

/* Says in its journal that it upgrades before it stands in the word. -ENOLCK: broken meanwhile. */
static int upgrade_announce(ShmHold *h) {
        uint64_t j = h->place | SHM_J(SHM_SH);

        if (atom_cas(h->seat->journal, &j, h->place | SHM_J(SHM_UP)))
                return 0;
        return j == (h->place | SHM_J(SHM_UP)) ? 0 : -ENOLCK;
}

/* A writer that waits for us to leave stands back. Two who upgrade would wait for each other. */
static int upgrade_steal(ShmHold *h, uint64_t w) {
        uint32_t owner = owner_of(w);
        _Atomic uint64_t *journal = shm_ref_journal(h->arena, owner);

        if (shm_ref_is_dead(h->arena, owner)) {
                shm_recover(h->arena, h->slot, h->place, owner);
                return 0;
        }
        if (!(w & SHM_W_DRAIN))
                return -ENOLCK;
        if (journal && SHM_J_PHASE(atom_load(journal)) == SHM_UP)
                return -EDEADLK;
        if (atom_cas(&h->slot->word, &w, (w & ~SHM_W_OWNER) | h->seat->ref))
                shm_ring(h->arena, owner);
        return 0;
}

int shm_take_upgrade(ShmHold *h) {
        uint64_t w;
        int r;

        r = upgrade_announce(h);
        if (r < 0)
                return r;
        for (;;) {
                w = atom_load(&h->slot->word);
                if (is_stale(h, w))
                        return -ENOLCK;
                if (owner_of(w) == h->seat->ref) {
                        r = drain(h, false);
                        if (r != -EAGAIN)
                                return r;
                        continue;
                }
                if (owner_of(w)) {
                        r = upgrade_steal(h, w);
                        if (r < 0)
                                return r;
                        continue;
                }
                (void) atom_cas(&h->slot->word, &w, w | SHM_W_DRAIN | h->seat->ref);
        }
}
