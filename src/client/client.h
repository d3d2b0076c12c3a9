/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Inside of libtooz: the client and its claims */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <tooz/tooz-event.h>
#include <tooz/tooz.h>

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/macro.h"
#include "base/time.h"
#include "client/event.h"
#include "client/page.h"

#define AGENT_NAME "org.tooz.Agent1"
#define AGENT_PATH "/org/tooz/Agent1"
#define AGENT_SOCKET "/run/tooz/agent.sock"
#define AGENT_MANAGER AGENT_NAME ".Manager"
#define AGENT_CLAIM AGENT_NAME ".Claim"
#define AGENT_CLAIM_PATH AGENT_PATH "/claim"

#define DOMAIN_NODE "node" /* built in; has no status page */

#define CALL_TIMEOUT_USEC (10 * USEC_PER_SEC)
#define CONVERT_SLICE_USEC (20 * USEC_PER_SEC)
#define DESCRIPTION_MAX 255
#define CLAIM_EVENTS_MAX 64 /* kept for a handler */
#define HANDLE_READ_MAX 1024 /* datagrams in one go: more than a socket holds, so that a check sees all */
#define BUS_READ_MAX 64      /* messages in one go */

/* Exported functions; everything else is hidden. */
#define _public_ __attribute__((__visibility__("default")))

/* The page of one domain, kept while the handle lives. */
typedef struct DomainPage {
        ListLink link; /* on client->pages */
        Page *page;
        char domain[];
} DomainPage;

struct tooz_client {
        unsigned n_ref;
        pid_t pid; /* of who opened it */
        char *address;
        char *description;
        uint64_t call_timeout_usec;

        sd_bus *bus;
        const char *destination; /* NULL: peer to peer */
        char *default_domain;    /* as long as the connection lives */
        char *error;             /* the agent's words */

        int epoll_fd; /* over handle_fd, timer_fd and the fd of the bus */
        int timer_fd;
        int handle_fd; /* -1: none yet, or gone */
        int bus_fd;    /* as registered */
        uint64_t armed_usec; /* what timer_fd is set to */
        bool handle_blocked; /* waiting for POLLOUT */

        List all;           /* claims: as long as they have memory */
        tooz_claim *claims; /* by id; those that have not ended */
        Heap deadlines;     /* claim->timer: when the page is to be looked at */
        List ready;         /* claims with events for their handler */
        List releases;      /* claims of whose end the agent is to be told */
        List pages;

        sd_event_source *source;
};

struct tooz_claim {
        unsigned n_ref;
        pid_t pid;
        tooz_client *client; /* NULL when that is gone */
        ListLink link;       /* on client->all */
        UT_hash_handle hh;   /* in client->claims */
        uint64_t id;
        char *domain;
        char *name;
        Page *page; /* NULL in `node` */
        tooz_lock_mode mode;
        tooz_claim_state state;
        char *reason;
        uint64_t token; /* 0: never held */
        tooz_previous previous;
        uint64_t epoch;
        uint32_t position;
        HeapNode timer;
        ListLink to_release; /* on client->releases */

        List events;
        unsigned n_events;
        uint64_t n_missed;
        ListLink ready; /* on client->ready */
        tooz_claim_handler handler;
        void *userdata;
        tooz_destroy_handler destroy;
};

/* --- client.c --- */

/* 0, -EINVAL without an object, -ECHILD in a forked child. */
int client_check(const tooz_client *c);
/* Takes in what arrived, and looks at deadlines. 1: there was something; 0: nothing. `bus` too, or only the handle. */
int client_pump(tooz_client *c, bool bus);
/* Sleeps until there may be something to take in: 1; 0: time-out; -EINTR. */
int client_sleep(tooz_client *c, uint64_t timeout_usec);
void client_arm(tooz_client *c);
int client_watch(tooz_client *c, int fd, uint32_t events);
void client_unwatch(tooz_client *c, int fd);

/* --- connect.c --- */

/* Connects to an address (tooz_client_open()), within the time-out. */
int connect_agent(const char *address, uint64_t timeout_usec, sd_bus **ret, const char **ret_destination);

/* --- call.c --- */

typedef struct AgentCall {
        const char *path; /* NULL: AGENT_PATH */
        const char *interface;
        const char *member;
        uint64_t timeout_usec; /* 0: the client's */
        /* Appends what comes behind the arguments; may be NULL. */
        int (*fill)(sd_bus_message *m, const void *with);
        const void *with;
} AgentCall;

/* One round trip, over a new connection if the old one broke. The agent's errors become -errno, its words
 * tooz_client_get_error(). `ret` may be NULL. */
int client_call(tooz_client *c, const AgentCall *call, sd_bus_message **ret, const char *types, ...);
/* A connection that is up. */
int client_connect(tooz_client *c);
void client_drop_bus(tooz_client *c);
/* 1: a message was processed, 0: none. */
int client_process_bus(tooz_client *c);
/* NULL and "" become the default domain. Borrowed. */
int client_domain(tooz_client *c, const char *domain, const char **ret);
void client_forget_error(tooz_client *c);

/* --- handle.c --- */

/* Takes the descriptor. */
int handle_adopt(tooz_client *c, int fd);
/* Reads what there is: 1, or 0: nothing. Its end ends all claims. */
int handle_read(tooz_client *c);
void handle_drop(tooz_client *c);
/* Sends what waits on client->releases. */
void handle_flush(tooz_client *c);
/* One RELEASE; 0, -EAGAIN, or another error: the handle is gone. */
int handle_send_release(tooz_client *c, uint64_t claim_id);

/* --- claim.c --- */

int claim_new(tooz_claim **ret, tooz_client *c, uint64_t id, const char *domain, const char *name, tooz_lock_mode mode);
/* Applies an event and keeps it for the handler. Takes the event. */
void claim_on_event(tooz_claim *claim, Event *e, uint64_t now);
/* Ends the claim because nobody is there to say it: EVENT_LOST or EVENT_FAILED, as its state has it. */
void claim_end(tooz_claim *claim, const char *reason, uint64_t now);
/* Looks at the page: lost when the deadline has passed. */
void claim_on_timer(tooz_claim *claim, uint64_t now);
/* Delivers the first event that is kept; what the handler returned. */
int claim_deliver(tooz_claim *claim);
/* The claim's client goes. */
void claim_orphan(tooz_claim *claim);
/* Tells the agent, now or as soon as the handle takes it, and frees the claim then if nobody refers to it. */
void claim_tell_release(tooz_claim *claim);
void claim_free(tooz_claim *claim);
int claim_check_caller(const tooz_claim *claim);
bool claim_is_over(const tooz_claim *claim);
bool claim_is_held(const tooz_claim *claim);
/* Why it is over as -errno, 0: it is not. */
int claim_error(const tooz_claim *claim);
