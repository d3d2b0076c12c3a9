/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Query: a question to a domain that may need its backend, and its answer
 *
 * `node` answers from the lock table at once; `cluster` asks ZooKeeper and merges what is known here: holders and
 * waiters of this host appear with all details, each other host with what its node's data says. Whoever asks owns
 * the memory, embeds the Query, and is told by EFFECT_QUERY_DONE. A query can't be cancelled; it always ends. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/table.h"
#include "core/effect.h"
#include "core/mode.h"

typedef struct Domain Domain;

typedef enum QueryKind {
        QUERY_LOCK,  /* holders and waiters of `name` */
        QUERY_LIST,  /* all locks: names with counts */
        QUERY_BREAK, /* break the holder of `name` that has `token` */
        _QUERY_KIND_MAX,
        _QUERY_KIND_INVALID = -1,
} QueryKind;

typedef enum QueryFlags {
        QUERY_LIST_LOCAL = 1 << 0,  /* only locks with claims on this host */
        QUERY_BREAK_FORCE = 1 << 1, /* delete another's node directly; outside promise 1 */
} QueryFlags;

/* One holder or waiter. Strings may be NULL (unknown). */
typedef struct OwnerInfo {
        bool waiting;
        bool local;          /* a claim of this agent */
        uint64_t claim_id;   /* if local */
        LockMode mode;
        char *host;
        char *unit;
        char *comm;
        char *description;
        char *node;          /* cluster: name of the znode */
        uint32_t pid;
        uint32_t uid;
        uint64_t token;      /* of a holder; elsewhere that of its tenure */
        uint64_t since_realtime_usec;
        bool foreign;        /* not an agent of ours: a Python program, say */
} OwnerInfo;

typedef struct LockInfo {
        char *name;
        LockMode mode;
        unsigned n_holders;
        unsigned n_waiters;
        OwnerInfo first; /* first holder, if n_holders, else first waiter */
} LockInfo;

typedef struct Query {
        QueryKind kind;
        Domain *domain;
        char *name;
        uint64_t token;
        uint64_t flags;
        uint32_t uid; /* of who asks */

        /* answer */
        int result; /* 0; negative errno: -ENOTCONN, -ESTALE (token), -ENOENT (not held), -ETIMEDOUT, -EPERM (foreign, no FORCE)… */
        OwnerInfo *owners; /* QUERY_LOCK: holders first, then waiters in order */
        size_t n_owners;
        LockInfo *locks; /* QUERY_LIST */
        size_t n_locks;

        Effect effect;
} Query;

DECLARE_STRING_TABLE(query_kind, QueryKind);

int query_init(Query *q, QueryKind kind, Domain *domain, const char *name);
void query_deinit(Query *q);
/* A zeroed entry at the end, or NULL: out of memory. */
OwnerInfo *query_add_owner(Query *q);
LockInfo *query_add_lock(Query *q);
void owner_info_done(OwnerInfo *o);
void lock_info_done(LockInfo *l);
/* Ends the query: EFFECT_QUERY_DONE. */
void query_finish(Query *q, int result, Effects *fx);
