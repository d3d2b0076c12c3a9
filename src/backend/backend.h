/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Backend: where truth lives for one domain
 *
 * A backend carries out what the core wants (nodes, listings, heartbeats, questions) and reports what happened with
 * the lock_table_on_…() and domain_on_…() transitions, always from the loop thread, never from inside one of the
 * calls below. Reports leave effects on realm->effects, which the agent drains in the deferred phase of the turn. */

#include <stdbool.h>

#include "base/macro.h"
#include "core/lock.h"
#include "core/realm.h"
#include "loop/loop.h"

typedef struct Backend Backend;

typedef struct BackendOps {
        /* Carry out and clear node->want / lock->want / session->want. */
        void (*node)(Backend *b, Node *node);
        void (*lock)(Backend *b, Lock *lock);
        void (*place)(Backend *b, Place *place); /* NULL: never asked */
        void (*session)(Backend *b, Session *session);
        /* Answer with query_finish(), now or later. */
        void (*query)(Backend *b, Query *q);
        /* Makes the reports that could be made at once. Called after what was wanted has been carried out, and again as
         * long as it returns true. NULL: there never are any. */
        bool (*report)(Backend *b);
        /* Stops: no new work; `stopped(b)` is true once nothing is in flight and the session is closed. */
        void (*stop)(Backend *b);
        bool (*stopped)(const Backend *b);
        Backend *(*free)(Backend *b);
} BackendOps;

/* What `status` shows of a backend. Strings belong to the backend. */
typedef struct BackendInfo {
        const char *kind;   /* "node", "zookeeper" */
        const char *server; /* connected to, or "" */
        const char *detail; /* why it is not up, or "" */
} BackendInfo;

struct Backend {
        const BackendOps *ops;
        Loop *loop;
        Realm *realm;
        Domain *domain;
        BackendInfo info;
};

static inline Backend *backend_free(Backend *b) {
        return b ? b->ops->free(b) : NULL;
}

DEFINE_CLEANUP(Backend, backend_free);

/* `node`: keeps the ceiling of tokens in `state_directory` (NULL: nowhere). -errno when it can't be read. */
int node_backend_new(Backend **ret, Loop *loop, Realm *realm, Domain *domain, const char *state_directory);

/* One [Domain] section of kind zookeeper. Borrowed while zk_backend_new() runs. */
typedef struct ZkConfig {
        const char *servers;     /* "host:port,host:port" */
        const char *chroot;      /* "/…" or "" */
        const char *namespace_;  /* "/tooz" */
        uint64_t timeout_usec;   /* requested T */
        uint64_t tick_usec;      /* of the servers: T must be at least 4 ticks */
        const char *auth_scheme; /* "digest", or NULL */
        const char *auth;        /* "user:password": a secret */
        bool acl_private;        /* nodes for the authenticated user alone instead of open */
        const char *state_directory;
        const char *host_data;   /* KEY=VALUE lines about this host, for /toozd/hosts/<session> */
        bool acknowledge_regression; /* accept an ensemble that went back in time, once */
} ZkConfig;

/* -EOPNOTSUPP: built without ZooKeeper. Connects in the background. */
int zk_backend_new(Backend **ret, Loop *loop, Realm *realm, Domain *domain, const ZkConfig *config);
