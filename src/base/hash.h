/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Hash tables: <uthash.h> with errors instead of exit() and a keyed hash against crafted names */

#include <errno.h>
#include <stddef.h>

/* Clients choose the keys, so the hash is SipHash-1-3 under a key that differs in each process. */
unsigned hash_bytes(const void *data, size_t len);

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = hash_bytes(keyptr, keylen))
#include <uthash.h>

/* Elements carry a `UT_hash_handle` (member name `hh` below) and own their key; a table is a pointer
 * to its first element, NULL when empty. Iteration is in insertion order, whatever the hash.
 *
 *     r = hash_add(hh, agent->locks, lock->name, strlen(lock->name), lock);   0 or -ENOMEM
 *     hash_find(hh, agent->locks, name, strlen(name), lock);                  lock or NULL
 *     hash_foreach_safe(hh, agent->locks, lock, tmp) ...
 *
 * `hash_add` does not look for duplicates: find first. */
#define hash_add(hh, head, keyptr, keylen, e)                         \
        ({                                                            \
                HASH_ADD_KEYPTR(hh, head, keyptr, keylen, e);         \
                (e)->hh.tbl ? 0 : -ENOMEM;                            \
        })
#define hash_find(hh, head, keyptr, keylen, out) HASH_FIND(hh, head, keyptr, keylen, out)
#define hash_count(hh, head) HASH_CNT(hh, head)

/* Idempotent when the handle was zeroed before its first use: a removed element has no table. */
#define hash_is_linked(hh, e) ((e)->hh.tbl != NULL)
#define hash_remove(hh, head, e)                                      \
        do {                                                          \
                if (hash_is_linked(hh, e)) {                          \
                        HASH_DELETE(hh, head, e);                     \
                        (e)->hh.tbl = NULL;                           \
                }                                                     \
        } while (0)

#define hash_foreach(hh, head, e) for (e = (head); e; e = (__typeof__(e)) (e)->hh.next)
#define hash_foreach_safe(hh, head, e, tmp) HASH_ITER(hh, head, e, tmp)
