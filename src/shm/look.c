/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <string.h>

#include "base/str.h"
#include "shm/atom.h"
#include "shm/futex.h"
#include "shm/look.h"
#include "shm/recover.h"

static void party_fill(const ShmArena *arena, uint32_t ref, ShmParty *p) {
        const ShmBlock *b = shm_ref_block(arena, ref);

        *p = (ShmParty) {
                .ref = ref,
                .delegated = atom_load(&b->state) == SHM_BLOCK_DELEGATED,
                .dead = shm_ref_is_dead(arena, ref),
                .pid = b->pid,
                .tid = b->tid,
                .uid = b->uid,
                .start_time = b->start_time,
                .pid_ns = b->pid_ns,
        };
        memcpy(p->comm, b->comm, sizeof(p->comm) - 1);
        str_repair(p->comm, strlen(p->comm));
}

static void note_since(const ShmArena *arena, ShmSlot *slot, uint64_t token) {
        if (arena->readonly || atom_load(&slot->since_token) == token)
                return;
        atom_store(&slot->since_usec, shm_now());
        atom_store(&slot->since_token, token);
}

static void fill_writer(const ShmArena *arena, ShmSlot *slot, uint32_t ref, ShmParty *p) {
        uint64_t token = atom_load(&slot->token);

        party_fill(arena, ref, p);
        note_since(arena, slot, token);
        if (atom_load(&slot->since_token) == token)
                p->since_usec = atom_load(&slot->since_usec);
        p->token = p->delegated ? atom_load(&shm_ref_entry(arena, ref)->token) : token;
}

static unsigned look_readers(const ShmArena *arena, const ShmSlot *slot, uint64_t place, ShmParty *ret, unsigned max) {
        uint64_t mask = atom_load(&slot->readers);
        uint32_t n_blocks = shm_n_blocks(arena);
        unsigned n = 0;

        for (uint32_t b = 0; b < n_blocks; b++)
                for (uint32_t e = 0; mask >> b % 64 & 1 && e < SHM_ENTRIES && n < max; e++) {
                        uint64_t j = atom_load(&arena->blocks[b].journal[e]);
                        ShmParty *p = &ret[n];

                        if (SHM_J_PLACE(j) != place || (SHM_J_PHASE(j) != SHM_SH && SHM_J_PHASE(j) != SHM_UP))
                                continue;
                        party_fill(arena, shm_ref(b, e), p);
                        p->shared = true;
                        p->token = p->delegated ? atom_load(&arena->blocks[b].entries[e].token) :
                                                  atom_load(&slot->token) + 1;
                        n++;
                }
        return n;
}

unsigned shm_look_holders(const ShmArena *arena, uint32_t index, ShmParty *ret, unsigned max) {
        ShmSlot *slot = shm_slot(arena, index);
        uint64_t w = slot ? atom_load(&slot->word) : SHM_W_RETIRED;
        uint32_t owner = (uint32_t) (w & SHM_W_OWNER);

        if (w & SHM_W_RETIRED || max == 0)
                return 0;
        if (owner && !(w & SHM_W_DRAIN) && shm_ref_block(arena, owner)) {
                fill_writer(arena, slot, owner, ret);
                return 1;
        }
        return w & SHM_W_READ ? look_readers(arena, slot, (w & SHM_W_GENERATION) | index, ret, max) : 0;
}

unsigned shm_look_waiters(const ShmArena *arena, uint32_t index, ShmParty *ret, unsigned max) {
        const ShmSlot *slot = shm_slot(arena, index);
        uint32_t ref = slot ? atom_load(&slot->head) : 0;
        unsigned n = 0;

        for (; n < max && shm_ref_block(arena, ref); n++) {
                party_fill(arena, ref, &ret[n]);
                ret[n].shared = SHM_J_PHASE(atom_load(shm_ref_journal(arena, ref))) == SHM_WS;
                ret[n].since_usec = atom_load(&shm_ref_entry(arena, ref)->since_usec);
                ref = atom_load(&shm_ref_entry(arena, ref)->next);
        }
        return n;
}
