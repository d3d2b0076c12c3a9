/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The `zookeeper` backend, for its own files
 *
 *   zk-backend.c   what it is made of, what the agent calls, what comes out of the inbox
 *   zk-session.c   handles, connection, the core's session
 *   zk-host.c      our own node: heartbeats, requests to break
 *   zk-lock.c      nodes and listings of locks
 *   zk-query.c     questions;   zk-break.c  breaking what another host holds
 *   zk-handle.c    one handle of the library;   zk-thread.c  all that runs on its threads
 *   zk-path.c, zk-data.c, zk-watch.c, zk-zxid.c   pure */

#include "backend/backend.h"
#include "backend/zk-host.h"
#include "backend/zk-path.h"
#include "backend/zk-session.h"
#include "backend/zk-zxid.h"
#include "loop/inbox.h"
#include "loop/timer.h"

typedef struct ZkBackend {
        Backend backend;
        Inbox inbox;
        ZkRoot root;
        ZkSession session;
        ZkHost host;
        ZkZxid zxid;
        LoopTimer zxid_timer;

        /* configuration */
        char *servers;
        uint64_t timeout_usec;
        uint64_t tick_usec;
        char *auth_scheme;
        char *auth; /* a secret */
        bool acl_private;
        char *host_data;

        List breaks; /* ZkBreak.link: locks of others being broken */
        unsigned n_queries;
        uint64_t complained_usec; /* a message that may come often was last logged */
} ZkBackend;

static inline ZkBackend *zk_of(Backend *b) {
        return container_of(b, ZkBackend, backend);
}

static inline Domain *zk_domain(const ZkBackend *zk) {
        return zk->backend.domain;
}

static inline Effects *zk_effects(const ZkBackend *zk) {
        return &zk->backend.realm->effects;
}

static inline uint64_t zk_now(const ZkBackend *zk) {
        return loop_now(zk->backend.loop);
}

/* A reply named this zxid; see zk-zxid.h. Refuses grants when it went back. */
void zk_see_zxid(ZkBackend *zk, int64_t zxid, bool of_write);
/* Want of memory where nothing else can be done: the session starts over. */
void zk_out_of_memory(ZkBackend *zk);
/* At most once in a minute: may a warning that could come often be logged? */
bool zk_may_complain(ZkBackend *zk);

/* zk-lock.c */
void zk_lock_carry_out_node(ZkBackend *zk, Node *node);
void zk_lock_carry_out(ZkBackend *zk, Lock *lock);
void zk_lock_on_watch(ZkBackend *zk, const char *path);

/* zk-query.c, zk-break.c */
void zk_query_start(ZkBackend *zk, Query *q);
void zk_break_start(ZkBackend *zk, Query *q);
void zk_break_on_watch(ZkBackend *zk, const char *path);
/* The session is over, or the agent stops: none will be answered. */
void zk_break_end_all(ZkBackend *zk, int error);
