/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Connection between a client library and a server: two ways, each in order, each of which may go silent
 *
 * A message in flight is delivered later, or never when the connection is reset, or when its way is lost: a lost way
 * swallows everything from then on, and nobody is told. Closing one end tells the other end behind all that was sent
 * before, unless the way is lost. */

#include "base/list.h"
#include "sim/sim.h"
#include "sim/tree.h"

typedef struct Conn Conn;
typedef struct Server Server;
typedef struct ZkClient ZkClient;

typedef enum OpKind {
        OP_CONNECT,
        OP_SET_WATCHES,
        OP_PING,
        OP_CREATE,
        OP_DELETE,
        OP_BEAT, /* a write that changes nothing */
        OP_GET,
        OP_LIST,
        OP_EVENT, /* from the server only: a watch fired */
        OP_CLOSED,
} OpKind;

typedef enum Rc {
        RC_OK,
        RC_NO_NODE,
        RC_NODE_EXISTS,
        RC_NOT_EMPTY,
        RC_ABORTED, /* another part of the multi failed */
        RC_LOST,    /* connection lost: done or not */
        RC_EXPIRED,
} Rc;

/* The record of a death is written, or taken away, in one transaction with a delete. */
typedef enum RecordChange {
        RECORD_KEEP,
        RECORD_CREATE,
        RECORD_SET,
        RECORD_CLEAR,
} RecordChange;

typedef struct WatchKey {
        char path[TREE_PATH_SIZE];
        bool children;
} WatchKey;

typedef struct Request {
        OpKind kind;
        char path[TREE_PATH_SIZE];
        bool watch;
        bool ephemeral; /* and sequential */
        RecordChange record;
        char record_path[TREE_PATH_SIZE];
        int64_t record_value;
        int64_t session;   /* CONNECT: to go on with, or 0 */
        int64_t last_zxid; /* CONNECT, SET_WATCHES: highest seen */
        WatchKey *watches; /* SET_WATCHES */
        size_t n_watches;
} Request;

typedef struct Reply {
        OpKind kind;
        Rc rc;
        RecordChange record; /* of a failed multi: was it the record's part? RECORD_KEEP: no */
        Rc record_rc;
        int64_t zxid;
        int64_t czxid;
        int64_t owner;
        int64_t value;
        int64_t session;
        uint64_t timeout_usec;
        bool children; /* EVENT */
        char path[TREE_PATH_SIZE];
        char (*names)[TREE_PATH_SIZE];
        size_t n_names;
} Reply;

typedef struct Message {
        SimEvent event;
        ListLink link; /* on a way of the connection, or queued at its end */
        Conn *conn;     /* NULL: nobody waits for the answer */
        Server *server; /* which forwards it */
        Request request;
        Reply reply;
} Message;

typedef struct Way {
        List in_flight;
        uint64_t last_usec; /* when the last of them arrives */
        bool lost;
} Way;

struct Conn {
        Sim *sim;
        Server *server;   /* NULL: closed at this end */
        ZkClient *client; /* NULL: closed at this end */
        ListLink link;    /* on server->conns */
        Way up, down;
        List queue; /* at the server: requests not carried out */
        Message *busy; /* at the server: the write that is under way */
        int64_t session;
};

Conn *conn_new(Sim *sim, ZkClient *client);
Message *message_new(Conn *conn);
void message_free(Message *m);
void conn_send_up(Conn *conn, Message *m);
void conn_send_down(Conn *conn, Message *m);
/* Each of them may free it. */
void conn_close_client(Conn *conn);
void conn_close_server(Conn *conn);
/* Both ends are told at once; of what is in flight, some arrives and the rest does not. */
void conn_reset(Conn *conn);

/* The two ends: what arrives belongs to them. */
void server_receive(Server *server, Message *m);
void client_receive(ZkClient *client, Message *m);
/* It is about to be closed at the server's end. */
void server_forget(Server *server, const Conn *conn);
