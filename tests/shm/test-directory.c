/* SPDX-License-Identifier: Apache-2.0 */
/* Names to slots: finding, making, retiring, rebuilding, and tokens that never come twice */

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/time.h"
#include "shm/directory.h"
#include "shm/shm-kit.h"

#define MANY 10000u
#define SWEEP_FROM 1024u /* as in directory.c: with fewer slots nothing is retired */
#define FAR UINT64_C(0x7000000000000000) /* a token that no clock reaches */

SHM_SUITE(directory);

static ShmSlot *slot_at(uint32_t index) {
        return &shm_kit_arena()->slots[index];
}

static uint32_t make(const char *name) {
        uint32_t index, generation;

        kit_ok(shm_directory_find(shm_kit_arena(), name, true, &index, &generation));
        return index;
}

/* 0: there is none. */
static uint32_t find(const char *name) {
        uint32_t index, generation;
        int r = shm_directory_find(shm_kit_arena(), name, false, &index, &generation);

        if (r == -ENOENT)
                return 0;
        kit_ok(r);
        cr_assert_eq(atom_load(&slot_at(index)->word) >> 32, generation);
        return index;
}

static const char *numbered(unsigned i) {
        static char name[32];

        (void) snprintf(name, sizeof(name), "name-%u", i);
        return name;
}

/* A lock that is in use is not retired. */
static void use(uint32_t index, bool on) {
        if (on)
                (void) atom_or(&slot_at(index)->word, 1);
        else
                (void) atom_and(&slot_at(index)->word, ~SHM_W_OWNER);
}

/* So many that old ones are retired; these are not. */
static void fill(unsigned n) {
        for (unsigned i = 0; i < n; i++)
                use(make(numbered(i)), true);
}

/* New names, each in use, until a name has lost its slot. */
static void press_out(const char *name) {
        for (unsigned i = 0; i < 4 * SWEEP_FROM && find(name); i++) {
                char other[32];

                (void) snprintf(other, sizeof(other), "press-%u", i);
                use(make(other), true);
        }
        cr_assert_eq(find(name), 0, "%s was not retired", name);
}

static void long_name(char *buf, size_t len, char last) {
        memset(buf, 'n', len);
        buf[len - 1] = last;
        buf[len] = 0;
}

/* --- names ------------------------------------------------------------------------------------------------------- */

Test(directory, find_and_make) {
        uint32_t index, generation, again;

        kit_fails(shm_directory_find(shm_kit_arena(), "a", false, &index, &generation), -ENOENT);
        kit_ok(shm_directory_find(shm_kit_arena(), "a", true, &index, &generation));
        cr_assert_gt(index, 0);
        kit_ok(shm_directory_find(shm_kit_arena(), "a", true, &again, &generation));
        cr_assert_eq(index, again);
        cr_assert_eq(find("a"), index);
        cr_assert_neq(make("b"), index);
        cr_assert_eq(shm_kit_arena()->header->n_names, 2);
        cr_assert_eq(find("A"), 0);
        cr_assert_eq(find("aa"), 0);
}

Test(directory, names_of_each_length) {
        char name[SHM_NAME_MAX + 1], buf[SHM_NAME_MAX + 1];

        for (size_t len = 1; len <= SHM_NAME_MAX; len++) {
                uint32_t index, other;

                long_name(name, len, 'x');
                index = make(name);
                cr_assert_eq(shm_directory_name(shm_kit_arena(), index, buf), (int) len);
                kit_streq(buf, name);
                cr_assert_eq(slot_at(index)->partner != 0, len > SHM_NAME_INLINE, "%zu", len);
                long_name(name, len, 'y');
                other = make(name);
                cr_assert_neq(index, other, "%zu", len);
        }
        for (size_t len = 1; len <= SHM_NAME_MAX; len++) {
                long_name(name, len, 'x');
                cr_assert_neq(find(name), 0, "%zu", len);
                long_name(name, len, 'z');
                cr_assert_eq(find(name), 0, "%zu", len);
        }
        cr_assert_eq(shm_kit_arena()->header->n_names, 2 * SHM_NAME_MAX);
}

Test(directory, what_is_no_name) {
        char name[SHM_NAME_MAX + 1], buf[SHM_NAME_MAX + 1];
        uint32_t index;

        long_name(name, 200, 'x');
        index = make(name);
        cr_assert_eq(shm_directory_name(shm_kit_arena(), 0, buf), 0);
        cr_assert_eq(shm_directory_name(shm_kit_arena(), SHM_SLOTS_MAX, buf), 0);
        cr_assert_eq(shm_directory_name(shm_kit_arena(), slot_at(index)->partner, buf), 0);
        cr_assert_eq(shm_directory_name(shm_kit_arena(), slot_at(index)->partner + 1, buf), 0);
        atom_store(&slot_at(index)->partner, SHM_SLOTS_MAX + 7);
        cr_assert_eq(shm_directory_name(shm_kit_arena(), index, buf), 0);
        atom_store(&slot_at(index)->name_len, 60000);
        cr_assert_leq(shm_directory_name(shm_kit_arena(), index, buf), (int) SHM_NAME_MAX);
}

Test(directory, ten_thousand_in_use) {
        static uint32_t indices[MANY];
        char seen[SHM_NAME_MAX + 1];

        for (unsigned i = 0; i < MANY; i++) {
                indices[i] = make(numbered(i));
                use(indices[i], true);
        }
        cr_assert_eq(shm_kit_arena()->header->n_names, MANY);
        for (unsigned i = 0; i < MANY; i++) {
                cr_assert_eq(find(numbered(i)), indices[i]);
                cr_assert_gt(shm_directory_name(shm_kit_arena(), indices[i], seen), 0);
                kit_streq(seen, numbered(i));
        }
}

/* --- chains ------------------------------------------------------------------------------------------------------ */

static uint32_t bucket_of(const char *name) {
        uint32_t hash = 2166136261u;

        for (; *name; name++)
                hash = (hash ^ (unsigned char) *name) * 16777619u;
        return hash % SHM_BUCKETS;
}

/* Names of one bucket, by trying. */
static void collide(char names[][32], unsigned n) {
        uint32_t bucket = bucket_of("first");

        (void) snprintf(names[0], 32, "first");
        for (unsigned i = 0, found = 1; found < n; i++) {
                (void) snprintf(names[found], 32, "c%u", i);
                if (bucket_of(names[found]) == bucket)
                        found++;
        }
}

Test(directory, names_of_one_bucket) {
        char names[8][32];
        uint32_t indices[8];

        collide(names, 8);
        for (unsigned i = 0; i < 8; i++)
                indices[i] = make(names[i]);
        for (unsigned i = 0; i < 8; i++)
                cr_assert_eq(find(names[i]), indices[i]);
        cr_assert_eq(shm_kit_arena()->buckets[bucket_of("first")], indices[7], "the test knows the hash");
}

/* From the end, the middle and the beginning of a chain. */
Test(directory, names_of_one_bucket_are_retired) {
        char names[5][32];
        uint32_t indices[5];

        collide(names, 5);
        for (unsigned i = 0; i < 5; i++) {
                indices[i] = make(names[i]);
                use(indices[i], true);
        }
        fill(SWEEP_FROM + 1);
        for (unsigned round = 0; round < 3; round++) {
                unsigned gone = (unsigned[]) { 2, 0, 4 }[round];

                use(indices[gone], false);
                press_out(names[gone]);
                cr_assert_eq(find(names[1]), indices[1]);
                cr_assert_eq(find(names[3]), indices[3]);
        }
}

Test(directory, a_chain_in_a_circle_ends) {
        uint32_t index = make("first");
        char names[2][32];

        collide(names, 2);
        atom_store(&slot_at(index)->next, index);
        cr_assert_eq(find(names[1]), 0);
        cr_assert_eq(find("first"), index);
        atom_store(&slot_at(index)->next, SHM_SLOTS_MAX + 1);
        cr_assert_eq(find(names[1]), 0);
        atom_store(&shm_kit_arena()->buckets[bucket_of("first")], UINT32_MAX);
        cr_assert_eq(find("first"), 0);
}

/* --- retiring ---------------------------------------------------------------------------------------------------- */

/* Who does not let go of names gets no more slots than a round of them. */
Test(directory, unused_names_make_room) {
        for (unsigned i = 0; i < MANY; i++)
                make(numbered(i));
        cr_assert_lt(shm_kit_arena()->header->n_slots, 2 * SWEEP_FROM);
        cr_assert_lt(shm_kit_arena()->header->n_names, 2 * SWEEP_FROM);
        cr_assert_neq(find(numbered(MANY - 1)), 0);
        cr_assert_eq(find(numbered(0)), 0);
}

Test(directory, retired_and_found_again_with_a_greater_token) {
        ShmActor *actor = shm_kit_actor();
        ShmHold h = shm_kit_hold("old"), anew;
        uint64_t last, token;

        atom_store(&h.slot->token, FAR);
        kit_ok(shm_hold_start(&h, actor, EXCLUSIVE, TRY));
        kit_ok(shm_hold_get_token(&h, &last));
        kit_ok(shm_hold_release(&h));
        cr_assert_eq(last, FAR + 2);

        fill(SWEEP_FROM + 1);
        press_out("old");
        kit_fails(shm_hold_start(&h, actor, EXCLUSIVE, TRY), -ESTALE);
        kit_fails(shm_hold_start(&h, actor, SHARED, QUEUE), -ESTALE);
        cr_assert_eq(shm_hold_start_fast(&h, actor, false), SHM_FAST_NO);
        cr_assert_eq(h.state, SHM_HOLD_IDLE);

        anew = shm_kit_hold("old");
        cr_assert_neq(anew.place, h.place);
        kit_ok(shm_hold_start(&anew, actor, SHARED, TRY));
        kit_ok(shm_hold_get_token(&anew, &token));
        cr_assert_gt(token, last + 1, "greater than that of a reader too");
        kit_ok(shm_hold_release(&anew));
}

/* Of a slot and of its partner both. */
Test(directory, a_retired_slot_gets_another_name) {
        char name[SHM_NAME_MAX + 1];
        uint32_t index, generation, partner, other_generation, seen = 0;

        fill(SWEEP_FROM + 1);
        long_name(name, 200, 'x');
        kit_ok(shm_directory_find(shm_kit_arena(), name, true, &index, &generation));
        partner = slot_at(index)->partner;
        press_out(name);
        for (unsigned i = 0; i < 3 * SWEEP_FROM && seen != 3; i++) {
                uint32_t other;

                (void) snprintf(name, sizeof(name), "other-%u", i);
                kit_ok(shm_directory_find(shm_kit_arena(), name, true, &other, &other_generation));
                use(other, true);
                if (other == index)
                        cr_assert_gt(other_generation, generation);
                seen |= other == index ? 1 : other == partner ? 2 : 0;
        }
        cr_assert(seen == 3 || slot_at(index)->name_len > 0, "the slot is used again");
}

Test(directory, what_is_in_use_is_not_retired) {
        ShmActor *actors[] = { shm_kit_actor(), shm_kit_actor() };
        ShmHold reader = shm_kit_hold("read"), writer = shm_kit_hold("written"), waiter = shm_kit_hold("written");

        kit_ok(shm_hold_start(&reader, actors[0], SHARED, TRY));
        kit_ok(shm_hold_start(&writer, actors[0], EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&waiter, actors[1], SHARED, QUEUE), -EINPROGRESS);
        fill(SWEEP_FROM + 1);
        make("busy");
        for (unsigned i = 0; i < 3 * SWEEP_FROM; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "other-%u", i);
                make(name);
                atom_store(&slot_at(find("busy"))->token, i + FAR);
        }
        cr_assert_eq(find("read"), reader.place & SHM_J_SLOT);
        cr_assert_eq(find("written"), writer.place & SHM_J_SLOT);
        cr_assert_neq(find("busy"), 0, "it was used between two looks");
        kit_ok(shm_hold_release(&reader));
        kit_ok(shm_hold_release(&writer));
        kit_ok(shm_hold_resume(&waiter));
        kit_ok(shm_hold_release(&waiter));
        press_out("read");
        press_out("written");
}

/* --- rebuilding -------------------------------------------------------------------------------------------------- */

/* All but the parts of long names, which have no links. */
static void scramble(void) {
        ShmArena *a = shm_kit_arena();
        static bool is_part[SHM_SLOTS_MAX];
        uint32_t n = a->header->n_slots;

        for (uint32_t i = 1; i < n; i++)
                if (!(a->slots[i].word & SHM_W_RETIRED))
                        is_part[a->slots[i].partner] = true;

        atom_store(&a->header->dirty, 1);
        for (uint32_t b = 0; b < SHM_BUCKETS; b++)
                atom_store(&a->buckets[b], b * 2654435761u);
        for (uint32_t i = 1; i < n; i++)
                if (!is_part[i])
                        atom_store(&a->slots[i].next, i % 3 ? i : UINT32_MAX);
        atom_store(&a->header->free_slots, 1);
        atom_store(&a->header->n_names, 99);
}

/* Each free slot once, none that is in use, none that is a part of one. */
static unsigned count_free(void) {
        ShmArena *a = shm_kit_arena();
        static bool seen[SHM_SLOTS_MAX];
        char buf[SHM_NAME_MAX + 1];
        unsigned n = 0;

        memset(seen, 0, sizeof(seen));
        for (uint32_t i = 1; i < a->header->n_slots; i++)
                if (shm_directory_name(a, i, buf) > 0) {
                        seen[i] = true;
                        seen[a->slots[i].partner] = true;
                }
        for (uint32_t i = a->header->free_slots; i; i = a->slots[i].next, n++) {
                cr_assert_lt(i, a->header->n_slots);
                cr_assert_not(seen[i], "%u", i);
                seen[i] = true;
        }
        return n;
}

Test(directory, a_dirty_one_is_made_anew) {
        static uint32_t indices[2000], long_indices[SHM_NAME_MAX - SHM_NAME_INLINE];
        char name[SHM_NAME_MAX + 1];
        unsigned n_free;

        for (unsigned i = 0; i < ARRAY_SIZE(indices); i++)
                use(indices[i] = make(numbered(i)), true);
        for (unsigned i = 0; i < ARRAY_SIZE(long_indices); i++) {
                long_name(name, SHM_NAME_INLINE + 1 + i, 'l');
                use(long_indices[i] = make(name), true);
        }
        n_free = count_free();
        scramble();
        cr_assert_eq(find(numbered(7)), indices[7]);
        cr_assert_eq(shm_kit_arena()->header->dirty, 0);
        cr_assert_eq(shm_kit_arena()->header->n_names, ARRAY_SIZE(indices) + ARRAY_SIZE(long_indices));
        cr_assert_eq(count_free(), n_free);
        for (unsigned i = 0; i < ARRAY_SIZE(indices); i++)
                cr_assert_eq(find(numbered(i)), indices[i]);
        for (unsigned i = 0; i < ARRAY_SIZE(long_indices); i++) {
                long_name(name, SHM_NAME_INLINE + 1 + i, 'l');
                cr_assert_eq(find(name), long_indices[i], "%zu bytes", strlen(name));
        }
        make("another one");
}

static void die_making(ShmArena *a, void *arg) {
        uint32_t index, generation;

        must(shm_directory_find(a, "child's", true, &index, &generation) == 0);
        must(shm_directory_lock(a, 0) == 0);
        atom_store(&a->header->dirty, 1);
        /* Taken for a name of which nothing is written yet. */
        atom_store(&a->header->free_slots, a->slots[a->header->free_slots].next);
        atom_store(&a->buckets[bucket_of("child's")], 0);
}

Test(directory, who_died_changing_it) {
        unsigned n_free;
        pid_t pid;

        make("a");
        n_free = count_free();
        pid = shm_kit_child(die_making, NULL);
        shm_kit_kill(pid);
        cr_assert_neq(find("child's"), 0);
        cr_assert_neq(find("a"), 0);
        cr_assert_eq(count_free(), n_free - 1);
}

/* Killed between closing a slot and giving it up: it is opened again, or gone for all who knew it. */
Test(directory, who_died_retiring) {
        char name[SHM_NAME_MAX + 1] = "";
        ShmHold h = shm_kit_hold("old"), anew;
        ShmActor *actor = shm_kit_actor();

        make("a");
        atom_store(&h.slot->token, FAR);
        (void) atom_or(&h.slot->word, SHM_W_RETIRED);
        atom_store(&shm_kit_arena()->header->dirty, 1);
        for (unsigned i = 0; i < 300; i++)
                make(numbered(i));
        if (shm_hold_start(&h, actor, EXCLUSIVE, TRY) == 0) {
                cr_assert_gt(shm_directory_name(shm_kit_arena(), (uint32_t) (h.place & SHM_J_SLOT), name), 0);
                kit_streq(name, "old");
                kit_ok(shm_hold_release(&h));
                cr_assert_eq(find("old"), h.place & SHM_J_SLOT);
        }
        anew = shm_kit_hold("old");
        cr_assert_geq(atom_load(&anew.slot->token), FAR);
        kit_ok(shm_hold_start(&anew, actor, EXCLUSIVE, TRY));
        kit_ok(shm_hold_release(&anew));
}

/* What was in a part is no name of its own when it is free. */
Test(directory, parts_that_were_freed) {
        char names[3][SHM_NAME_MAX + 1];
        unsigned n_free;

        fill(SWEEP_FROM + 1);
        for (unsigned i = 0; i < 3; i++) {
                long_name(names[i], SHM_NAME_MAX - i, 'x');
                use(make(names[i]), i == 1);
        }
        press_out(names[0]);
        press_out(names[2]);
        n_free = count_free();
        for (unsigned round = 0; round < 2; round++) {
                scramble();
                cr_assert_neq(find(names[1]), 0);
                cr_assert_eq(find(names[0]), 0);
                cr_assert_eq(count_free(), n_free);
        }
}

Test(directory, a_forged_free_list_is_noticed) {
        uint32_t index, generation;

        make("a");
        atom_store(&shm_kit_arena()->header->free_slots, SHM_SLOTS_MAX + 5);
        kit_ok(shm_directory_find(shm_kit_arena(), "b", true, &index, &generation));
        cr_assert_neq(index, find("a"));
}

/* --- a full file system ------------------------------------------------------------------------------------------ */

static const char *mount_small(const char *options) {
        const char *folder = kit_path("small");

        if (unshare(CLONE_NEWNS) < 0)
                cr_skip_test("no mount namespace: %s", strerror(errno));
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        cr_assert_eq(mkdir(folder, 0700), 0);
        cr_assert_eq(mount("tmpfs", folder, "tmpfs", 0, options), 0);
        return folder;
}

Test(directory, no_room_for_an_arena) {
        const char *folder = mount_small("size=64k,mode=0700");
        ShmArena *a;

        kit_fails(shm_arena_open(&a, kit_path("small/arena"), 0600, SHM_OPEN_CREATE), -ENOSPC);
        kit_fails(shm_arena_open(&a, kit_path("small/arena"), 0600, 0), -EPROTO);
        cr_assert_eq(umount2(folder, MNT_DETACH), 0);
}

static unsigned make_until_full(ShmArena *a) {
        uint32_t index, generation;
        unsigned n;
        int r = 0;

        for (n = 0; n < MANY; n++) {
                r = shm_directory_find(a, numbered(n), true, &index, &generation);
                if (r < 0)
                        break;
                (void) atom_or(&a->slots[index].word, 1);
        }
        kit_fails(r, -ENOSPC);
        return n;
}

static void small_cases(ShmArena *a) {
        uint32_t index, generation;
        char name[SHM_NAME_MAX + 1];
        unsigned n = make_until_full(a);

        cr_assert_gt(n, 100);
        cr_assert_eq(a->header->n_names, n);
        for (unsigned i = 0; i < n; i++)
                kit_ok(shm_directory_find(a, numbered(i), false, &index, &generation));
        kit_fails(shm_directory_find(a, "new", true, &index, &generation), -ENOSPC);
        kit_fails(shm_directory_find(a, "new", false, &index, &generation), -ENOENT);

        /* One is given back: enough for a short name, not for a long one, of which nothing must stay. */
        kit_ok(shm_directory_find(a, numbered(3), false, &index, &generation));
        (void) atom_and(&a->slots[index].word, ~SHM_W_OWNER);
        long_name(name, 200, 'x');
        kit_fails(shm_directory_find(a, name, true, &index, &generation), -ENOSPC);
        kit_ok(shm_directory_find(a, "new", true, &index, &generation));
        kit_fails(shm_directory_find(a, numbered(3), false, &index, &generation), -ENOENT);
        cr_assert_eq(a->header->n_names, n);
}

Test(directory, no_room_for_slots) {
        const char *folder = mount_small("size=600k,mode=0700");
        ShmArena *a;

        kit_ok(shm_arena_open(&a, kit_path("small/arena"), 0600, SHM_OPEN_CREATE));
        small_cases(a);
        shm_arena_unref(a);
        cr_assert_eq(umount2(folder, MNT_DETACH), 0);
}

Test(directory, no_room_for_threads) {
        const char *folder = mount_small("size=300k,mode=0700");
        ShmActor *actor;
        ShmArena *a;

        kit_ok(shm_arena_open(&a, kit_path("small/arena"), 0600, SHM_OPEN_CREATE));
        kit_fails(shm_actor_new(&actor, a), -ENOSPC);
        shm_arena_unref(a);
        cr_assert_eq(umount2(folder, MNT_DETACH), 0);
}

/* --- tokens ------------------------------------------------------------------------------------------------------ */

Test(directory, tokens_start_above_the_clock_and_the_floor) {
        uint64_t before = time_now_realtime() * NSEC_PER_USEC;
        uint32_t index = make("a");

        cr_assert_gt(slot_at(index)->token, before);
        cr_assert_eq(slot_at(index)->token % 2, 0);
        cr_assert_geq(shm_directory_high(shm_kit_arena()), slot_at(index)->token);

        kit_ok(shm_directory_raise(shm_kit_arena(), FAR + 1));
        kit_ok(shm_directory_raise(shm_kit_arena(), 5));
        cr_assert_geq(shm_directory_high(shm_kit_arena()), FAR + 1);
        index = make("b");
        cr_assert_gt(slot_at(index)->token, FAR + 1);
        cr_assert_eq(slot_at(index)->token % 2, 0);
        cr_assert_gt(shm_directory_high(shm_kit_arena()), slot_at(index)->token);
}

/* --- others who look --------------------------------------------------------------------------------------------- */

Test(directory, readonly) {
        uint32_t index, generation, there = make("a");
        ShmArena *a;

        kit_ok(shm_arena_open(&a, shm_kit_path(), 0600, SHM_OPEN_READONLY));
        kit_ok(shm_directory_find(a, "a", false, &index, &generation));
        cr_assert_eq(index, there);
        kit_fails(shm_directory_find(a, "b", false, &index, &generation), -ENOENT);
        kit_fails(shm_directory_find(a, "b", true, &index, &generation), -EROFS);
        kit_fails(shm_directory_raise(a, 1), -EROFS);
        shm_arena_unref(a);
}

Test(directory, in_a_forked_child) {
        ShmArena *a = shm_kit_arena();
        int status;
        pid_t pid;

        make("a");
        pid = fork();
        if (pid == 0) {
                uint32_t index, generation;

                must(shm_directory_find(a, "a", false, &index, &generation) == -ECHILD);
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0);
}

Test(directory, of_an_arena_that_is_gone) {
        uint32_t index, generation;

        make("a");
        cr_assert_eq(unlink(shm_kit_path()), 0);
        kit_fails(shm_directory_find(shm_kit_arena(), "a", false, &index, &generation), -ESTALE);
}
