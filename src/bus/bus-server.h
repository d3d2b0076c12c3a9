/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the D-Bus face share: the server, its connections, a call */

#include <systemd/sd-bus.h>

#include "base/list.h"
#include "bus/bus-caller.h"
#include "bus/bus-error.h"
#include "bus/bus-pump.h"
#include "bus/bus.h"
#include "core/access.h"
#include "core/realm.h"
#include "loop/defer.h"
#include "loop/loop.h"
#include "loop/op.h"
#include "loop/timer.h"

#define BUS_NAME "org.tooz.Agent1"
#define BUS_PATH "/org/tooz/Agent1"
#define BUS_PATH_CLAIM BUS_PATH "/claim"
#define BUS_PATH_DOMAIN BUS_PATH "/domain"
#define BUS_MANAGER "org.tooz.Agent1.Manager"
#define BUS_CLAIM "org.tooz.Agent1.Claim"
#define BUS_DOMAIN "org.tooz.Agent1.Domain"

/* Longest call that is answered when it is done: below the 25 s that clients wait by default. */
#define BUS_MAX_BLOCKING_USEC (20 * USEC_PER_SEC)

#define BUS_CONN_MAGIC 0x636f6e6eu

typedef struct BusClaim BusClaim;
typedef struct BusHandle BusHandle;

/* One connection: to the message bus, or of a direct client. */
typedef struct BusConn {
        unsigned magic;
        BusServer *server;
        ListLink link; /* server->conns */
        BusPump pump;
        BusCaller *peer;    /* direct: who is at the other end. NULL: a message bus */
        BusCaller *callers; /* message bus: by unique name */
        unsigned n_unknown; /* of these, whose credentials are not known yet */
} BusConn;

typedef enum BusLinkState {
        BUS_LINK_OFF,        /* no message bus is wanted, or we are stopping */
        BUS_LINK_WAITING,    /* for the next try */
        BUS_LINK_CONNECTING, /* and asking for the name */
        BUS_LINK_OWNED,      /* the name is ours */
        _BUS_LINK_STATE_MAX,
} BusLinkState;

DECLARE_STRING_TABLE(bus_link_state, BusLinkState);

/* The connection to the message bus, and its comings and goings. */
typedef struct BusLink {
        BusLinkState state;
        char *address; /* NULL: the system bus */
        BusConn *conn;
        LoopTimer retry;
        uint64_t backoff_usec;
        bool complained;
} BusLink;

/* The direct socket. */
typedef struct BusListener {
        int fd;
        char *path; /* to be removed; NULL: it is not ours */
        LoopOp accept;
        LoopTimer retry;
} BusListener;

/* Answers that are held back for a turn. */
typedef struct BusReplies {
        List later;
        List now;
        LoopDefer turn;
        LoopDefer send;
} BusReplies;

struct BusServer {
        Loop *loop;
        Realm *realm;
        BusFacts *facts;
        void (*on_ready)(BusServer *s);
        LoopDefer ready;

        List conns;
        BusLink link;
        BusListener listener;
        BusClaim *claims;   /* by id */
        BusHandle *handles; /* by cookie */
        List orphans;       /* BusCaller.orphan: those whose process is watched */
        List queries;       /* BusQuery.link */
        BusReplies replies;
        List domains;       /* BusDomain.link: what was told of each */

        bool stopping;
        bool forced; /* no more patience */
        const char *state; /* as last told */
        LoopHook turn;     /* while stopping */
        LoopTimer patience;
};

/* --- a call ------------------------------------------------------------------------------------- */

typedef struct BusCall {
        BusServer *server;
        BusConn *conn;
        BusCaller *caller; /* known */
        sd_bus_message *message;
        sd_bus_error *error;
} BusCall;

/* First thing in a method: who calls. 0, or a negative errno with the error set. */
int bus_call_begin(BusCall *call, sd_bus_message *m, sd_bus_error *error);
/* `name` may be NULL. 0, or a negative errno with the error set. */
int bus_call_allow(const BusCall *call, AccessVerb verb, const Domain *d, const char *name);
int bus_call_domain(const BusCall *call, const char *name, Domain **ret);
int bus_call_name(const BusCall *call, const Domain *d, const char *name);
bool bus_call_allows(const BusCall *call, AccessVerb verb, const Domain *d, const char *name);
/* Owner's uid, root, the agent's own user, or who may manage. */
bool bus_call_is_over(const BusCall *call, uid_t owner, const Domain *d, const char *name);

/* The connection of a message, for getters and for calls. */
BusConn *bus_conn_current(sd_bus *bus);

/* --- bus-conn.c --------------------------------------------------------------------------------- */

/* Takes the bus when it succeeds, and the reference to the peer. */
int bus_conn_new(BusConn **ret, BusServer *s, sd_bus *bus, BusCaller *peer);
void bus_conn_close(BusConn *conn, int error);
/* Sends, and sees to it that it leaves. Errors are the connection's, which then closes. */
void bus_conn_send(BusConn *conn, sd_bus_message *m);
/* --- bus-reply.c -------------------------------------------------------------------------------- */

/* Answers a call of this caller later on. Its connection may be gone: then nothing happens. */
void bus_reply(BusCaller *caller, sd_bus_message *reply);
void bus_reply_error(BusCaller *caller, sd_bus_message *call, BusErrorCode code, const char *text);

/* The same, not before the news of this turn are on their way. -ENOMEM. */
int bus_reply_later(BusCaller *caller, sd_bus_message *reply);
void bus_replies_init(BusReplies *replies, Loop *loop);
void bus_replies_deinit(BusReplies *replies);
bool bus_replies_are_sent(const BusReplies *replies);

/* --- bus-link.c, bus-listener.c ----------------------------------------------------------------- */

void bus_link_init(BusServer *s);
int bus_link_start(BusServer *s, const char *address);
void bus_link_stop(BusServer *s);
void bus_link_on_closed(BusServer *s, BusConn *conn, int error);
void bus_listener_init(BusServer *s);
int bus_listener_start(BusServer *s, const BusConfig *config);
void bus_listener_stop(BusServer *s);
bool bus_listener_is_idle(const BusServer *s);

/* --- interfaces --------------------------------------------------------------------------------- */

int bus_manager_export(BusConn *conn);
int bus_claim_export(BusConn *conn);
int bus_domain_export(BusConn *conn);

/* Handlers that stand in other files than the vtable. */
int bus_lock_on_request(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_lock_on_lock(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_lock_on_unlock(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_query_on_list_locks(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_query_on_query_lock(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_query_on_break_lock(sd_bus_message *m, void *userdata, sd_bus_error *error);
int bus_query_on_verify_token(sd_bus_message *m, void *userdata, sd_bus_error *error);
/* Asks who holds the lock, to say so in the error that ends `call`. */
int bus_query_explain(BusCaller *caller, sd_bus_message *call, BusErrorCode code, Domain *d, const char *name);

/* Overall state has perhaps changed: a property signal of the manager. */
void bus_manager_tell_state(BusServer *s);
void bus_domain_forget(BusServer *s);
void bus_server_check_ready(BusServer *s);
