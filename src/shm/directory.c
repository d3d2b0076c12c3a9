/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* See directory.h. All that changes here does so under the directory lock, with `dirty` set: buckets, chains and the
 * list of free slots only save looking through the slots, and are made anew from them when their changer died.
 *
 *      FREE --> LIVE --> FREE          retired, with the next generation
 *      FREE --> PART --> FREE          holds the rest of a name longer than 112 bytes, and goes with it */

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "shm/atom.h"
#include "shm/directory.h"

#define SLOTS_STEP 256u    /* given memory at once */
#define SWEEP_FROM 1024u   /* with fewer slots nothing is retired */
#define SWEEP_STEP 8u      /* looked at for each new name */

/* FNV-1a: the names are not chosen by an enemy who gains more by collisions than by taking locks. */
static uint32_t hash_name(const char *name, size_t len) {
        uint32_t hash = 2166136261u;

        for (size_t i = 0; i < len; i++)
                hash = (hash ^ (unsigned char) name[i]) * 16777619u;
        return hash;
}

static _Atomic uint32_t *bucket_of(const ShmArena *arena, uint32_t hash) {
        return &arena->buckets[hash % SHM_BUCKETS];
}

/* --- names ------------------------------------------------------------------------------------------ */

/* The rest of a long name, in its partner. */
static void rest_write(ShmSlot *partner, const char *rest, size_t len) {
        size_t head = MIN(len, SHM_NAME_INLINE);

        memcpy(partner->name, rest, head);
        memcpy((char *) partner + offsetof(ShmSlot, guard), rest + head, len - head);
}

static void rest_read(const ShmSlot *partner, char *rest, size_t len) {
        size_t head = MIN(len, SHM_NAME_INLINE);

        memcpy(rest, partner->name, head);
        memcpy(rest + head, (const char *) partner + offsetof(ShmSlot, guard), len - head);
}

int shm_directory_name(const ShmArena *arena, uint32_t index, char buf[static SHM_NAME_MAX + 1]) {
        const ShmSlot *slot = shm_slot(arena, index), *partner;
        size_t len, head;

        if (!slot || atom_load(&slot->word) & SHM_W_RETIRED)
                return 0;
        len = MIN(atom_load(&slot->name_len), SHM_NAME_MAX);
        head = MIN(len, SHM_NAME_INLINE);
        memcpy(buf, slot->name, head);
        if (len > head) {
                partner = shm_slot(arena, atom_load(&slot->partner));
                if (!partner)
                        return 0;
                rest_read(partner, buf + head, len - head);
        }
        buf[len] = 0;
        return (int) strlen(buf);
}

static bool slot_is(const ShmArena *arena, uint32_t index, const char *name, size_t len, uint32_t hash) {
        const ShmSlot *slot = shm_slot(arena, index);
        char buf[SHM_NAME_MAX + 1];

        return atom_load(&slot->hash) == hash && atom_load(&slot->name_len) == len &&
               shm_directory_name(arena, index, buf) == (int) len && memcmp(buf, name, len) == 0;
}

static uint32_t lookup(const ShmArena *arena, const char *name, size_t len) {
        uint32_t hash = hash_name(name, len), index = atom_load(bucket_of(arena, hash)), budget = shm_n_slots(arena);

        for (; shm_slot(arena, index) && budget > 0; budget--) {
                if (slot_is(arena, index, name, len, hash))
                        return index;
                index = atom_load(&shm_slot(arena, index)->next);
        }
        return 0;
}

/* --- chains ----------------------------------------------------------------------------------------- */

static void chain_add(ShmArena *arena, uint32_t index) {
        ShmSlot *slot = shm_slot(arena, index);
        _Atomic uint32_t *bucket = bucket_of(arena, atom_load(&slot->hash));

        atom_store(&slot->next, atom_load(bucket));
        atom_store(bucket, index);
}

static void chain_remove(ShmArena *arena, uint32_t index) {
        ShmSlot *slot = shm_slot(arena, index), *at;
        _Atomic uint32_t *link = bucket_of(arena, atom_load(&slot->hash));

        for (uint32_t budget = shm_n_slots(arena); budget > 0; budget--) {
                uint32_t found = atom_load(link);

                if (found == index) {
                        atom_store(link, atom_load(&slot->next));
                        return;
                }
                at = shm_slot(arena, found);
                if (!at)
                        return;
                link = &at->next;
        }
}

static void free_add(ShmArena *arena, uint32_t index) {
        ShmSlot *slot = shm_slot(arena, index);

        if (!slot)
                return;
        atom_store(&slot->next, atom_load(&arena->header->free_slots));
        atom_store(&arena->header->free_slots, index);
}

static void set_part(ShmArena *arena, uint32_t index, bool part) {
        ShmSlot *slot = shm_slot(arena, index);

        if (slot && part)
                (void) atom_or(&slot->word, SHM_W_PART);
        else if (slot)
                (void) atom_and(&slot->word, ~SHM_W_PART);
}

/* What has a name and was closed was not freed yet, or not opened yet: it is opened. Its generation is right. */
static void slots_restore(ShmArena *arena, uint32_t n) {
        for (uint32_t i = 1; i < n; i++)
                set_part(arena, i, false);
        for (uint32_t i = 1; i < n; i++) {
                ShmSlot *slot = &arena->slots[i];

                if (atom_load(&slot->name_len) == 0)
                        continue;
                (void) atom_and(&slot->word, ~SHM_W_RETIRED);
                set_part(arena, atom_load(&slot->partner), true);
        }
}

static void rebuild(ShmArena *arena) {
        uint32_t n = shm_n_slots(arena), n_names = 0;

        for (uint32_t b = 0; b < SHM_BUCKETS; b++)
                atom_store(&arena->buckets[b], 0);
        atom_store(&arena->header->free_slots, 0);
        slots_restore(arena, n);
        for (uint32_t i = n - 1; i > 0; i--) {
                uint64_t w = atom_load(&arena->slots[i].word);

                if (w & SHM_W_RETIRED) {
                        if (!(w & SHM_W_PART))
                                free_add(arena, i);
                        continue;
                }
                chain_add(arena, i);
                n_names++;
        }
        atom_store(&arena->header->n_names, n_names);
        atom_store(&arena->header->dirty, 0);
}

/* --- retiring --------------------------------------------------------------------------------------- */

static bool has_readers(const ShmArena *arena, const ShmSlot *slot, uint64_t place) {
        uint64_t mask = atom_load(&slot->readers);
        uint32_t n_blocks = shm_n_blocks(arena);

        for (uint32_t b = 0; b < n_blocks; b++)
                for (uint32_t e = 0; mask >> b % 64 & 1 && e < SHM_ENTRIES; e++)
                        if (SHM_J_PLACE(atom_load(&arena->blocks[b].journal[e])) == place)
                                return true;
        return false;
}

static void raise_high(ShmArena *arena, uint64_t token) {
        if (token > atom_load(&arena->header->token_high))
                atom_store(&arena->header->token_high, token);
}

/* Closes it for good, then looks for readers that came before: they are seen, as a writer would see them. */
static bool slot_close(ShmArena *arena, uint32_t index) {
        ShmSlot *slot = shm_slot(arena, index);
        uint64_t w = atom_load(&slot->word), idle = w & SHM_W_GENERATION;

        if (w != idle && w != (idle | SHM_W_READ))
                return false;
        if (!atom_cas(&slot->word, &w, w | SHM_W_RETIRED))
                return false;
        if (!(w & SHM_W_READ) || !has_readers(arena, slot, idle | index))
                return true;
        (void) atom_and(&slot->word, ~SHM_W_RETIRED);
        return false;
}

static void slot_free(ShmArena *arena, uint32_t index) {
        ShmSlot *slot = shm_slot(arena, index);
        uint32_t partner = atom_load(&slot->partner);

        atom_store(&slot->name_len, 0);
        atom_store(&slot->partner, 0);
        free_add(arena, index);
        if (shm_slot(arena, partner)) {
                set_part(arena, partner, false);
                free_add(arena, partner);
        }
}

static void sweep_one(ShmArena *arena, uint32_t index) {
        ShmSlot *slot = shm_slot(arena, index);
        uint64_t token = atom_load(&slot->token);

        if (atom_load(&slot->word) & SHM_W_RETIRED)
                return;
        if (atom_load(&slot->swept) != token) {
                atom_store(&slot->swept, token);
                return;
        }
        raise_high(arena, token + 2);
        if (!slot_close(arena, index))
                return;
        chain_remove(arena, index);
        slot_free(arena, index);
        atom_store(&arena->header->n_names, atom_load(&arena->header->n_names) - 1);
}

static void sweep(ShmArena *arena) {
        uint32_t n = shm_n_slots(arena), index = atom_load(&arena->header->sweep);

        if (n <= SWEEP_FROM)
                return;
        for (unsigned i = 0; i < SWEEP_STEP; i++) {
                index = index + 1 < n ? index + 1 : 1;
                sweep_one(arena, index);
        }
        atom_store(&arena->header->sweep, index);
}

/* There is no more room: whatever nobody holds or waits for is given up, however lately it was used. */
static void sweep_all(ShmArena *arena) {
        uint32_t n = shm_n_slots(arena);

        for (uint32_t i = 1; i < n; i++) {
                ShmSlot *slot = &arena->slots[i];

                if (atom_load(&slot->word) & SHM_W_RETIRED)
                        continue;
                raise_high(arena, atom_load(&slot->token) + 2);
                if (slot_close(arena, i)) {
                        atom_store(&slot->name_len, 0);
                        atom_store(&slot->partner, 0);
                }
        }
        rebuild(arena);
        atom_store(&arena->header->dirty, 1);
}

/* --- making ----------------------------------------------------------------------------------------- */

static int slots_grow(ShmArena *arena) {
        uint32_t n = shm_n_slots(arena), step = MIN(SLOTS_STEP, SHM_SLOTS_MAX - n);
        int r;

        if (step == 0)
                return -ENOSPC;
        r = shm_arena_allocate(arena, SHM_SLOTS_OFFSET + n * sizeof(ShmSlot), step * sizeof(ShmSlot));
        if (r < 0)
                return r;
        for (uint32_t i = n; i < n + step; i++)
                atom_store(&arena->slots[i].word, SHM_W_RETIRED);
        atom_store(&arena->header->n_slots, n + step);
        for (uint32_t i = n + step - 1; i >= n; i--)
                free_add(arena, i);
        return 0;
}

static bool has_free(const ShmArena *arena, unsigned want) {
        uint32_t index = atom_load(&arena->header->free_slots);

        for (; want > 0; want--) {
                if (!shm_slot(arena, index))
                        return false;
                index = atom_load(&shm_slot(arena, index)->next);
        }
        return true;
}

/* All at once: what is given up to make room makes the list anew. */
static int make_free(ShmArena *arena, unsigned want) {
        int r;

        if (has_free(arena, want))
                return 0;
        r = slots_grow(arena);
        if (r < 0)
                sweep_all(arena);
        return has_free(arena, want) ? 0 : r < 0 ? r : -EBADMSG;
}

static uint32_t slot_take(ShmArena *arena) {
        uint32_t index = atom_load(&arena->header->free_slots);
        ShmSlot *slot = shm_slot(arena, index);

        if (!slot)
                return 0;
        atom_store(&arena->header->free_slots, atom_load(&slot->next));
        return index;
}

static uint64_t first_token(const ShmArena *arena) {
        uint64_t now = time_now_realtime() * NSEC_PER_USEC, high = atom_load(&arena->header->token_high);

        return (MAX(now, high) + 2) & ~UINT64_C(1);
}

static void slot_clear(ShmSlot *slot) {
        atom_store(&slot->readers, 0);
        atom_store(&slot->since_usec, 0);
        atom_store(&slot->since_token, 0);
        atom_store(&slot->guard, 0);
        atom_store(&slot->head, 0);
        atom_store(&slot->tail, 0);
        atom_store(&slot->n_died, 0);
        atom_store(&slot->next_ticket, 1);
        atom_store(&slot->n_contended, 0);
        atom_store(&slot->wait_usec_total, 0);
        atom_store(&slot->swept, 0);
        atom_store(&slot->n_broken, 0);
        atom_store(&slot->n_waiting, 0);
        atom_store(&slot->hand_usec, 0);
        atom_store(&slot->hot_usec, 0);
}

/* The next generation, and not open yet: who still uses the former name finds out. */
static void slot_renew(ShmArena *arena, ShmSlot *slot) {
        uint64_t token = MAX(first_token(arena), (atom_load(&slot->token) + 3) & ~UINT64_C(1));

        atom_store(&slot->word, (atom_load(&slot->word) & SHM_W_GENERATION) + (UINT64_C(1) << 32) + SHM_W_RETIRED);
        slot_clear(slot);
        atom_store(&slot->token, token);
        atom_store(&slot->token_first, token);
}

/* `name_len` says that it is whole. */
static void slot_name(ShmArena *arena, ShmSlot *slot, uint32_t partner, const char *name, size_t len) {
        size_t head = MIN(len, SHM_NAME_INLINE);

        memcpy(slot->name, name, head);
        atom_store(&slot->partner, partner);
        set_part(arena, partner, true);
        if (partner)
                rest_write(shm_slot(arena, partner), name + head, len - head);
        atom_store(&slot->hash, hash_name(name, len));
        atom_store(&slot->name_len, (uint16_t) len);
}

static int slot_make(ShmArena *arena, const char *name, size_t len, uint32_t *ret) {
        bool is_long = len > SHM_NAME_INLINE;
        uint32_t index, partner;
        ShmSlot *slot;
        int r;

        r = make_free(arena, is_long ? 2 : 1);
        if (r < 0)
                return r;
        index = slot_take(arena);
        partner = is_long ? slot_take(arena) : 0;
        slot = shm_slot(arena, index);
        if (!slot || index == partner || (is_long && !partner))
                return -EBADMSG;
        slot_renew(arena, slot);
        slot_name(arena, slot, partner, name, len);
        chain_add(arena, index);
        (void) atom_and(&slot->word, SHM_W_GENERATION);
        *ret = index;
        return 0;
}

static int find_locked(ShmArena *arena, const char *name, bool make, uint32_t *ret) {
        size_t len = strlen(name);
        ShmHeader *h = arena->header;
        int r;

        if (atom_load(&h->dirty))
                rebuild(arena);
        *ret = lookup(arena, name, len);
        if (*ret)
                return 0;
        if (!make)
                return -ENOENT;
        atom_store(&h->dirty, 1);
        sweep(arena);
        r = slot_make(arena, name, len, ret);
        if (r >= 0)
                atom_store(&h->n_names, atom_load(&h->n_names) + 1);
        else
                rebuild(arena); /* a slot that was taken for the first half is free again */
        atom_store(&h->dirty, 0);
        return r;
}

static uint32_t generation_of(const ShmArena *arena, uint32_t index) {
        return (uint32_t) (atom_load(&shm_slot(arena, index)->word) >> 32);
}

/* Without the lock: a name that is being moved may be missed. */
static int find_readonly(ShmArena *arena, const char *name, uint32_t *ret_index, uint32_t *ret_generation) {
        *ret_index = lookup(arena, name, strlen(name));
        if (!*ret_index)
                return -ENOENT;
        *ret_generation = generation_of(arena, *ret_index);
        return 0;
}

int shm_directory_find(ShmArena *arena, const char *name, bool make, uint32_t *ret_index, uint32_t *ret_generation) {
        int r;

        r = shm_arena_check(arena);
        if (r < 0)
                return r;
        if (arena->readonly)
                return make ? -EROFS : find_readonly(arena, name, ret_index, ret_generation);
        r = shm_directory_lock(arena, arena->patience_usec);
        if (r < 0)
                return r;
        r = find_locked(arena, name, make, ret_index);
        if (r >= 0)
                *ret_generation = generation_of(arena, *ret_index);
        shm_directory_unlock(arena);
        return r;
}

/* --- tokens ----------------------------------------------------------------------------------------- */

int shm_directory_raise(ShmArena *arena, uint64_t token) {
        int r;

        r = shm_directory_lock(arena, arena->patience_usec);
        if (r < 0)
                return r;
        raise_high(arena, token);
        shm_directory_unlock(arena);
        return 0;
}

uint64_t shm_directory_high(const ShmArena *arena) {
        uint64_t high = atom_load(&arena->header->token_high);
        uint32_t n = shm_n_slots(arena);

        for (uint32_t i = 1; i < n; i++)
                high = MAX(high, atom_load(&arena->slots[i].token) + 1);
        return high;
}
