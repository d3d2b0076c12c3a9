/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lock: one name in one domain. See lock.c for how it decides. */

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/heap.h"
#include "core/claim.h"
#include "core/lock-queue.h"
#include "core/tenure.h"

typedef struct LockTable LockTable;

/* What the backend is asked to do in the lock's directory. Bits. */
typedef enum LockWant {
        LOCK_WANT_LIST = 1 << 0,       /* list the children, and read the died record */
        LOCK_WANT_LIST_WATCH = 1 << 1, /* the same, and leave a watch on the children */
} LockWant;

struct Lock {
        LockTable *table;
        char *name;
        UT_hash_handle hh; /* in table->by_name */
        LockQueue queue;
        Tenure tenure; /* empty in `node` */
        HeapNode timer;
        ListLink dirty; /* on table->dirty */

        uint64_t token_last; /* of the last grant on this host */
        Previous previous;   /* how the last holder on this host left… */
        bool previous_known; /* …when it was under the node in force, or in `node` */
        bool remembered;     /* kept without claims, because the next holder is to be told of a death */
        ListLink memory;     /* on table->remembered */

        unsigned want; /* LockWant */
        Effect effect;
};

/* What one listing of a lock's directory brought. */
typedef struct Listing {
        const Contender *contenders;
        size_t n_contenders;
        int64_t died_czxid; /* node named by the died record, 0: no record */
        bool watch_armed;   /* a children watch is armed now */
} Listing;

/* What the reply to a create, or a stat, said. */
typedef struct NodeFacts {
        int32_t sequence;
        int64_t czxid;
        int64_t owner; /* ephemeralOwner */
} NodeFacts;
