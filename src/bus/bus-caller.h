/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Caller: who is at the other end of a direct connection, or behind a unique name of the message bus */

#include <systemd/sd-bus.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/table.h"
#include "core/access.h"
#include "core/quota.h"
#include "loop/op.h"

typedef struct BusServer BusServer;
typedef struct BusConn BusConn;

#define BUS_HELD_MAX 64u     /* messages of one caller that wait for its credentials */
#define BUS_UNKNOWN_MAX 512u /* callers whose credentials are being asked for */
#define BUS_QUERIES_MAX 64u  /* questions of one caller that are being worked on */

typedef enum BusCallerState {
        BUS_CALLER_UNKNOWN, /* the bus was asked for its credentials */
        BUS_CALLER_KNOWN,
        BUS_CALLER_ORPHAN, /* the message bus is gone, but its process lives */
        BUS_CALLER_GONE,
        _BUS_CALLER_STATE_MAX,
} BusCallerState;

DECLARE_STRING_TABLE(bus_caller_state, BusCallerState);

typedef struct BusCaller {
        unsigned n_refs;
        BusServer *server;
        BusConn *conn; /* NULL when orphaned or gone */
        BusCallerState state;
        char *name; /* unique name; "" on a direct connection */
        UT_hash_handle hh;

        AccessSubject who;
        gid_t *gids; /* behind who.gids */
        pid_t pid;
        int proc_fd; /* its process (bus-proc.h); -1: not known */
        int pidfd;   /* orphan: the same, to wait for */
        char *unit;
        char *comm;

        QuotaCharge charge;
        unsigned n_queries;
        List claims; /* BusClaim.caller_link */
        sd_bus_message *held[BUS_HELD_MAX];
        unsigned n_held;
        sd_bus_slot *asking;
        LoopOp exit; /* orphan: its process, */
        ListLink orphan; /* on server->orphans until that has ended */
} BusCaller;

BusCaller *bus_caller_ref(BusCaller *c);
BusCaller *bus_caller_unref(BusCaller *c);
DEFINE_CLEANUP(BusCaller, bus_caller_unref);

/* Of a direct connection: credentials of the socket. -EDQUOT, -errno. */
int bus_caller_new_peer(BusCaller **ret, BusServer *s, int fd);

/* Filter of the message bus: keeps calls back until it is known who calls. */
int bus_caller_filter(BusConn *conn, sd_bus_message *m, sd_bus_error *error);
/* Who sent it; NULL: not known. */
BusCaller *bus_caller_of(BusConn *conn, sd_bus_message *m);

/* The name has left the bus, or the direct connection is closed. */
void bus_caller_gone(BusCaller *c);
/* The message bus itself is gone. */
void bus_caller_orphan(BusCaller *c);
void bus_caller_vanished(BusConn *conn, const char *name);
