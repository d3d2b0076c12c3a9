/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Model of a ZooKeeper ensemble: three servers, one of which leads
 *
 * Writes go to the leader, which orders them in one log; each server applies the log at its own pace, and answers
 * reads from what it has. A session's requests are carried out in order. The leader ends a session when it has not
 * heard of it for the session timeout, and it hears of a session only by the report that each follower sends every
 * half tick: a forwarded write tells it nothing. A follower that is cut off from the leader goes on to answer reads,
 * and to believe in its sessions, until it gives up.
 *
 * Servers crash and come back, followers are cut off and lag, leaders are elected, connections break. */

#include "sim/wire.h"

#define MODEL_SERVERS 3
#define MODEL_TICK (USEC_PER_SEC)

typedef struct Model Model;

typedef struct ModelSession {
        UT_hash_handle hh; /* in model->sessions */
        int64_t id;
        Model *model;
        Server *server; /* the one that it is connected to, or was last */
        uint64_t timeout_usec;
        uint64_t heard_usec; /* by the leader */
        bool touched[MODEL_SERVERS]; /* since the last report of that server */
        SimEvent expiry;
} ModelSession;

typedef struct TxnOp {
        OpKind kind; /* OP_CREATE, OP_DELETE, OP_BEAT: set */
        char path[TREE_PATH_SIZE];
        int64_t owner;
        int64_t value;
} TxnOp;

typedef struct Txn {
        ListLink link;
        int64_t zxid;
        unsigned applied; /* bits: by which servers */
        Server *origin;
        Message *message; /* to be answered by the origin when it has applied it */
        int64_t ended;    /* session */
        size_t n_ops;
        TxnOp ops[];
} Txn;

typedef struct ServerWatch {
        ListLink link;
        Conn *conn;
        WatchKey key;
} ServerWatch;

struct Server {
        Model *model;
        unsigned id;
        Tree tree;
        int64_t applied_zxid;
        bool up;
        bool cut; /* off from the leader */
        bool slow;
        List conns;
        List watches;
        List held;            /* writes that can't be forwarded */
        uint64_t forward_usec; /* when the last of those forwarded arrives */
        SimEvent apply;
        SimEvent report;
        SimEvent give_up; /* when cut for long */
};

struct Model {
        Sim *sim;
        Server servers[MODEL_SERVERS];
        Server *leader; /* NULL: being elected */
        Tree committed;
        List log;      /* of what not all have applied */
        List forwarded; /* writes on their way to the leader */
        int64_t zxid;
        int64_t next_session;
        ModelSession *sessions;
        uint64_t timeout_usec; /* T, for who connects from now on */
        SimEvent election;
        uint64_t n_expired, n_moved, n_stale_connects;
};

void model_init(Model *m, Sim *sim, uint64_t timeout_usec);
/* All clients must be closed. */
void model_deinit(Model *m);

/* NULL: refused. */
Conn *model_connect(Model *m, ZkClient *client);
/* Servers for which the connection refuses to work are of no use to anybody. */
void model_crash(Model *m, Server *s);
void model_start(Model *m, Server *s);
void model_cut(Model *m, Server *s);
void model_mend(Model *m, Server *s);
void model_elect(Model *m, uint64_t usec);
/* Somebody tidies up: deletes a directory when it is empty. */
void model_remove(Model *m, const char *path);
/* Everything runs well again. */
void model_heal(Model *m);
/* What is there, according to the leader. */
const Znode *model_find(const Model *m, const char *path);
bool model_has_session(const Model *m, int64_t id);
