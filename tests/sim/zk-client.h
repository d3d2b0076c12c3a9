/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The client library, as the backend sees it (libzookeeper_mt)
 *
 * It connects to any server, goes on with its session there, arms its watches again in one packet before anything
 * else, and pings when there is nothing to say. Requests are answered in order; when the connection breaks, all that
 * are unanswered end with RC_LOST, behind the event of the state. It notices a silent cut when nothing was heard for
 * 2T/3. It does not know that its session has ended before a server says so. */

#include "sim/model.h"

typedef enum LibState {
        LIB_CONNECTING,
        LIB_CONNECTED,
        LIB_EXPIRED,
} LibState;

typedef struct ZkOp ZkOp;
struct ZkOp {
        ListLink link;
        Request request;
        Reply reply;
        void (*done)(ZkOp *op);
        void (*drop)(ZkOp *op); /* frees it: nobody is interested any more */
};

typedef struct LibWatch {
        ListLink link;
        WatchKey key;
} LibWatch;

typedef struct ZkClientOps {
        void (*state)(ZkClient *c, LibState state);
        void (*op)(ZkClient *c, ZkOp *op); /* it belongs to the receiver again */
        void (*event)(ZkClient *c, const char *path, bool children);
} ZkClientOps;

struct ZkClient {
        const ZkClientOps *ops;
        Sim *sim;
        Model *model;
        LibState state;
        Conn *conn;
        int64_t session;
        int64_t last_zxid;
        uint64_t timeout_usec;
        uint64_t submitted_usec; /* the connect request went out */
        uint64_t sent_usec, heard_usec;
        List unanswered; /* ZkOp, in the order of their requests */
        List watches;
        List held; /* arrived while the process was stopped */
        SimEvent timer;
        bool stopped;
};

void zk_client_init(ZkClient *c, const ZkClientOps *ops, Model *model);
/* Ends every request with RC_LOST, without a word about states. */
void zk_client_close(ZkClient *c);
void zk_client_submit(ZkClient *c, ZkOp *op);
/* SIGSTOP and SIGCONT of the process that it is part of. */
void zk_client_stop(ZkClient *c);
void zk_client_continue(ZkClient *c);
