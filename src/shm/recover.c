/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>

#include "shm/futex.h"
#include "shm/queue.h"
#include "shm/recover.h"

_Atomic uint32_t *shm_ref_live(const ShmArena *arena, uint32_t ref) {
        ShmBlock *b = shm_ref_block(arena, ref), *master;

        if (!b)
                return NULL;
        if (atom_load(&b->state) != SHM_BLOCK_DELEGATED)
                return &b->live[(ref - 1) % SHM_ENTRIES].word;
        master = shm_block(arena, atom_load(&b->master));
        return master ? &master->live[0].word : NULL;
}

bool shm_ref_is_standing(const ShmArena *arena, uint32_t ref) {
        const ShmBlock *b = shm_ref_block(arena, ref);
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };

        if (!b || atom_load(&b->state) != SHM_BLOCK_DELEGATED)
                return false;
        lock.l_start = SHM_DELEGATE_BYTE(atom_load(&b->master));
        return fcntl(arena->fd, F_OFD_GETLK, &lock) >= 0 && lock.l_type != F_UNLCK;
}

bool shm_ref_is_dead(const ShmArena *arena, uint32_t ref) {
        _Atomic uint32_t *live = shm_ref_live(arena, ref);

        return !live || (shm_word_is_dead(atom_load(live)) && !shm_ref_is_standing(arena, ref));
}

void shm_ring(const ShmArena *arena, uint32_t ref) {
        ShmBlock *b = shm_ref_block(arena, ref);

        b = b ? shm_block(arena, atom_load(&b->master)) : NULL;
        if (!b)
                return;
        (void) atom_add(&b->bell, 1);
        if (atom_load(&b->sleepers) > 0)
                shm_futex_wake(&b->bell);
}

/* --- recovery --------------------------------------------------------------------------------------- */

/* Takes the word away from a dead owner. It was holding unless it was still waiting for readers to leave. Returns
 * whether a holder died. */
static bool word_recover(ShmSlot *slot, uint32_t ref, bool held) {
        uint64_t w = atom_load(&slot->word), new;

        do {
                if ((w & SHM_W_OWNER) != ref)
                        return false;
                new = w & ~(SHM_W_OWNER | SHM_W_DRAIN);
                if (held && !(w & SHM_W_DRAIN))
                        new |= SHM_W_DIED;
        } while (!atom_cas(&slot->word, &w, new));
        return held && !(w & SHM_W_DRAIN);
}

static bool phase_waits(ShmPhase phase) {
        return phase == SHM_WX || phase == SHM_WS;
}

/* Whoever stood behind it watched it, and must watch somebody else now. */
static void leave_queue(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t ref) {
        uint32_t next = atom_load(&shm_entry(arena, ref)->next);
        bool was_head = atom_load(&slot->head) == ref;

        atom_store(shm_ref_journal(arena, ref), place | SHM_J(SHM_GUARD));
        shm_queue_unlink(arena, slot, place, ref);
        if (was_head) {
                (void) atom_and(&slot->word, ~(SHM_W_HAND | SHM_W_WOKEN));
                shm_queue_set_hand(arena, slot, 0);
        }
        if (next)
                shm_ring(arena, next);
}

void shm_recover(ShmArena *arena, ShmSlot *slot, uint64_t place, uint32_t ref) {
        _Atomic uint64_t *journal = shm_ref_journal(arena, ref);
        uint64_t j = journal ? atom_load(journal) : 0;
        ShmPhase phase = SHM_J_PHASE(j);
        bool ours = journal && SHM_J_PLACE(j) == place, died;

        died = word_recover(slot, ref, phase == SHM_H || phase == SHM_SH || phase == SHM_UP);
        if (ours && (phase == SHM_SH || phase == SHM_UP)) {
                (void) atom_or(&slot->word, SHM_W_DIED);
                died = true;
        }
        if (died)
                atom_store(&slot->n_died, atom_load(&slot->n_died) + 1);
        if (!ours)
                return;
        if (phase_waits(phase))
                leave_queue(arena, slot, place, ref);
        atom_store(journal, 0);
        /* Was it the one that a drainer waits for? */
        if (atom_load(&slot->word) & SHM_W_DRAIN)
                shm_ring(arena, (uint32_t) (atom_load(&slot->word) & SHM_W_OWNER));
}

/* The guard is taken in the name of somebody who lives: a dead entry in it is taken for a holder that died there. */
int shm_recover_stray(ShmArena *arena, uint32_t self, uint32_t ref) {
        _Atomic uint64_t *journal = shm_ref_journal(arena, ref), *own = shm_ref_journal(arena, self);
        uint64_t j = atom_load(journal), place = SHM_J_PLACE(j);
        ShmSlot *slot = shm_slot(arena, (uint32_t) (j & SHM_J_SLOT));
        int r;

        /* A slot that is no more: nothing to undo. */
        if (!slot || atom_load(&slot->word) >> 32 != place >> 32) {
                atom_store(journal, 0);
                return 0;
        }
        atom_store(own, place | SHM_J(SHM_GUARD));
        r = shm_guard_lock(arena, slot, place, self, 0);
        if (r >= 0) {
                shm_recover(arena, slot, place, ref);
                shm_guard_unlock(slot);
                shm_queue_pass(arena, slot);
        }
        atom_store_release(own, 0);
        return r < 0 ? -EBUSY : 0;
}
