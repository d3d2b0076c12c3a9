/* SPDX-License-Identifier: Apache-2.0 */
/* The hash table: found, removed, kept in order, and a failed allocation that is only an error */

#include <stdio.h>
#include <stdlib.h>

/* uthash allocates through this name alone. */
static void *(*test_malloc)(size_t size) = malloc;
#define uthash_malloc(size) test_malloc(size)

#include "base/hash.h"
#include "base/random.h"
#include "support/kit.h"

typedef struct Entry {
        UT_hash_handle hh;
        char name[16];
} Entry;

static void *no_memory(size_t size) {
        return NULL;
}

static Entry *entry_find(Entry *table, const char *name) {
        Entry *entry;

        hash_find(hh, table, name, strlen(name), entry);
        return entry;
}

KIT_SUITE(hash);

Test(hash, add_find_remove) {
        static Entry entries[1000];
        Entry *table = NULL, *entry, *tmp;
        size_t i = 0;

        for (; i < ARRAY_SIZE(entries); i++) {
                (void) snprintf(entries[i].name, sizeof(entries[i].name), "name-%zu", i);
                kit_ok(hash_add(hh, table, entries[i].name, strlen(entries[i].name), &entries[i]));
        }
        cr_assert_eq(hash_count(hh, table), ARRAY_SIZE(entries));

        i = 0;
        hash_foreach(hh, table, entry)
                cr_assert_eq(entry, &entries[i++]);
        cr_assert_eq(i, ARRAY_SIZE(entries));

        cr_assert_eq(entry_find(table, "name-77"), &entries[77]);
        cr_assert_null(entry_find(table, "name-1000"));
        hash_remove(hh, table, &entries[77]);
        hash_remove(hh, table, &entries[77]);
        cr_assert_null(entry_find(table, "name-77"));
        cr_assert_not(hash_is_linked(hh, &entries[77]));

        hash_foreach_safe(hh, table, entry, tmp)
                hash_remove(hh, table, entry);
        cr_assert_null(table);
}

Test(hash, no_memory_for_the_table) {
        Entry *table = NULL, entry = { .name = "x" };

        test_malloc = no_memory;
        kit_fails(hash_add(hh, table, entry.name, 1, &entry), -ENOMEM);
        cr_assert_null(table);
        cr_assert_not(hash_is_linked(hh, &entry));

        test_malloc = malloc;
        kit_ok(hash_add(hh, table, entry.name, 1, &entry));
        hash_remove(hh, table, &entry);
}

/* Growing the buckets fails: the new element is refused, the others stay. */
Test(hash, no_memory_to_grow) {
        static Entry entries[4096];
        Entry *table = NULL;
        size_t i = 0;
        int r = 0;

        kit_ok(hash_add(hh, table, entries[0].name, sizeof(entries[0].name), &entries[0]));
        test_malloc = no_memory;
        while (r == 0) {
                i++;
                cr_assert_lt(i, ARRAY_SIZE(entries));
                (void) snprintf(entries[i].name, sizeof(entries[i].name), "%zu", i);
                r = hash_add(hh, table, entries[i].name, sizeof(entries[i].name), &entries[i]);
        }
        kit_fails(r, -ENOMEM);
        cr_assert_eq(hash_count(hh, table), i);

        while (i-- > 0) {
                Entry *found;

                hash_find(hh, table, entries[i].name, sizeof(entries[i].name), found);
                cr_assert_eq(found, &entries[i]);
                hash_remove(hh, table, found);
        }
        cr_assert_null(table);
}

/* Each bit of the key must reach the hash: neighbours differ, and half of the bits change on average. */
Test(hash, every_byte_counts) {
        char key[24] = {};
        unsigned base = hash_bytes(key, sizeof(key)), changed = 0;

        for (size_t i = 0; i < sizeof(key) * 8; i++) {
                unsigned other;

                key[i / 8] ^= (char) (1 << i % 8);
                other = hash_bytes(key, sizeof(key));
                key[i / 8] ^= (char) (1 << i % 8);
                cr_assert_neq(other, base, "bit %zu", i);
                changed += (unsigned) __builtin_popcount(other ^ base);
        }
        cr_assert_gt(changed, 24 * 8 * 12);
        cr_assert_lt(changed, 24 * 8 * 20);

        for (size_t len = 0; len < sizeof(key); len++)
                cr_assert_neq(hash_bytes(key, len), hash_bytes(key, len + 1), "length %zu", len);
}
