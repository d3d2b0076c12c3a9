/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The D-Bus face: org.tooz.Agent1 on a message bus and, the same objects, peer-to-peer on a socket */

#include <stdbool.h>
#include <stdint.h>

#include "core/realm.h"
#include "loop/loop.h"

typedef struct BusServer BusServer;

/* What the face shows but does not decide; the agent fills it in. Borrowed for the life of the server. */
typedef struct BusFacts BusFacts;
struct BusFacts {
        const char *version;
        /* Read-only status page of a cluster domain as a new fd (caller closes), or -errno. */
        int (*page)(BusFacts *facts, const Domain *d);
        /* Server, detail: never NULL. */
        const char *(*server)(BusFacts *facts, const Domain *d);
        const char *(*detail)(BusFacts *facts, const Domain *d);
        /* SIGHUP by D-Bus: 0 or -errno. */
        int (*reload)(BusFacts *facts);
};

typedef struct BusConfig {
        const char *address;     /* NULL: the system bus; "none": no message bus */
        const char *socket_path; /* NULL: no direct socket */
        int socket_fd;           /* from socket activation, or -1 */
        unsigned socket_mode;    /* 0666 */
} BusConfig;

/* Starts to connect; the name is owned later (bus_server_is_ready()). Without a bus it retries for ever with
 * back-off, and losing the bus loses no claim. */
int bus_server_new(BusServer **ret, Loop *loop, Realm *realm, BusFacts *facts, const BusConfig *config);
BusServer *bus_server_free(BusServer *s);

/* The name is owned (or no bus is wanted) and the socket listens. `on_ready` is called once when that becomes so. */
bool bus_server_is_ready(const BusServer *s);
void bus_server_on_ready(BusServer *s, void (*fn)(BusServer *s));

/* Carries out EFFECT_CLAIM: sends the claim's news on its handle, as signals, and as replies to pending calls; frees
 * the claim after terminal news. */
void bus_server_tell_claim(BusServer *s, Claim *claim);
/* Domain and name of the lock that a claim of this server is or was for, also after it has ended: claim->lock is
 * NULL by then. The agent's log needs them. */
void bus_claim_names(const Claim *claim, const char **ret_domain, const char **ret_name);
/* Carries out EFFECT_QUERY_DONE: replies, and frees the query. */
void bus_server_tell_query(BusServer *s, Query *q);
/* Domain state changed (EFFECT_SESSION with PUBLISH): property signals. */
void bus_server_tell_domain(BusServer *s, Domain *d);

/* Stops accepting requests, tells everybody what is pending, flushes; true when all is sent. */
void bus_server_stop(BusServer *s);
bool bus_server_is_flushed(const BusServer *s);
