/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Claim as a client sees it: an object on the bus, a seat on a handle, and calls that wait for an answer */

#include "base/table.h"
#include "bus/bus-caller.h"
#include "bus/bus-server.h"
#include "bus/handle.h"
#include "core/claim.h"
#include "core/quota.h"

#define BUS_CLAIM_MAGIC 0x636c6d31u

typedef enum BusLifetime {
        BUS_LIFETIME_HANDLE, /* until the handle is closed */
        BUS_LIFETIME_PEER,   /* until the caller has left the bus, or its process has ended */
        _BUS_LIFETIME_MAX,
        _BUS_LIFETIME_INVALID = -EINVAL,
} BusLifetime;

DECLARE_STRING_TABLE(bus_lifetime, BusLifetime);

/* A handle and who has it. */
struct BusHandle {
        Handle handle;
        BusServer *server;
        BusCaller *caller;
        UT_hash_handle hh; /* server->handles, by handle.cookie */
        QuotaCharge charge;
};

struct BusClaim {
        unsigned magic;
        BusLifetime lifetime;
        Claim claim;
        BusServer *server;
        UT_hash_handle hh; /* server->claims, by claim.id */
        Domain *domain;
        HandleSeat seat;
        BusCaller *caller;
        ListLink caller_link;
        sd_bus_message *lock_call;    /* Lock() that waits for the grant, */
        int client_fd;                /* and the client's end that goes with the answer */
        sd_bus_message *convert_call; /* Convert() that waits, */
        BusCaller *convert_caller;    /* and whose it is */
        QuotaCharge charge;
        bool convert_tries; /* it was not to wait */
        bool signals;       /* Event signals are wanted */
        uint64_t n_signals;
        char name[];  /* of the lock: the core forgets it when the claim ends */
};

/* What a client asks for; the strings belong to its message. */
typedef struct LockRequest {
        Domain *domain;
        const char *name;
        LockMode mode;
        uint64_t flags;
        uint64_t timeout_usec;
        const char *description;
        BusLifetime lifetime;
        int handle_fd; /* -1: make one */
        int signals;   /* -1: as suits the lifetime */
} LockRequest;

/* bus-request.c: everything behind domain, name, mode. 0, or a negative errno with the error set. */
int bus_request_read_target(const BusCall *call, LockRequest *req);
int bus_request_read_options(const BusCall *call, LockRequest *req);
int bus_request_check_flags(const BusCall *call, uint64_t flags, uint64_t allowed);

/* bus-claim.c. The claim is on its handle, but not on its lock. `ret_client` is the new client's end, or -1 if the
 * handle is an old one. */
int bus_claim_new(BusClaim **ret, const BusCall *call, const LockRequest *req, int *ret_client);
BusClaim *bus_claim_free(BusClaim *bc);
DEFINE_CLEANUP(BusClaim, bus_claim_free);

/* Ends it, unless it has ended. */
void bus_claim_end(BusClaim *bc, bool died);
BusClaim *bus_claim_find(const BusServer *s, uint64_t id);
/* Nobody waits for the answers any more: a claim that only a pending Lock() has is cancelled. */
void bus_claim_drop_calls(BusClaim *bc);
BusClaim *bus_claim_of(Claim *claim);

#define BUS_CLAIM_PATH_SIZE (sizeof(BUS_PATH_CLAIM) + 64)
const char *bus_claim_path(uint64_t id, char buf[static BUS_CLAIM_PATH_SIZE]);

/* bus-handle.c */
int bus_handle_new(BusHandle **ret, const BusCall *call, int *ret_client);
int bus_handle_find(BusHandle **ret, const BusCall *call, int fd);
void bus_handle_close_all(BusServer *s);
bool bus_handle_all_flushed(const BusServer *s);
/* The lines of one piece of news. */
void bus_claim_write(BusClaim *bc, ClaimNews news, KvWriter *w);

/* --- bus-text.c: what people read. Bounded, printable ------------------------------------------- */

#define BUS_TEXT_SIZE 2048

typedef struct BusWho {
        const char *host;
        const char *unit;
        const char *comm;
        uint32_t pid;
} BusWho;

void bus_who_of_claim(BusWho *who, const BusServer *s, const Claim *c);
/* "" for NULL, "?" for what is no UTF-8: sd-bus would refuse it. */
const char *bus_text_safe(const char *s);
/* "host unit (pid 17)" */
const char *bus_text_who(char buf[static BUS_TEXT_SIZE], const BusWho *who);
/* `Lock "backup" is held by …`, as far as this host knows and the reader may; and as a query found out. */
const char *bus_text_conflict(char buf[static BUS_TEXT_SIZE], const BusCaller *reader, const Domain *d, const char *name);
const char *bus_text_query(char buf[static BUS_TEXT_SIZE], const Query *q);
