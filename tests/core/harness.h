/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A domain under test: claims that remember what they were told, and a backend that answers as the test says
 *
 * Every call leaves no effect behind: news go to the claims, wishes for the backend become requests. A test takes a
 * request with take(), which fails when there is none, and answers it, or does not. Heartbeats are answered at once
 * while `auto_beat` is set. After each call the invariants of the table are checked. */

#include "base/time.h"
#include "core/domain.h"
#include "support/kit.h"

/* T of the session: T/12 is a second. */
#define HARNESS_TIMEOUT (12 * USEC_PER_SEC)
#define HARNESS_SESSION 77

typedef enum RequestKind {
        REQUEST_CREATE,
        REQUEST_STAT,
        REQUEST_WATCH,
        REQUEST_DELETE,
        REQUEST_LIST,
        REQUEST_HEARTBEAT,
        REQUEST_REPLACE,
        REQUEST_QUERY,
        REQUEST_PLACE,
        _REQUEST_KIND_MAX,
} RequestKind;

/* What the backend was asked for, in the words of the moment when it was. */
typedef struct Request {
        RequestKind kind;
        ListLink link;
        char lock[32];
        uint64_t serial; /* of the node */
        LockMode mode;
        char guid[NODE_GUID_LEN + 1];
        int32_t sequence;
        char predecessor[64];
        bool watch; /* REQUEST_LIST: leave a watch */
        bool record_died;
        bool clear_died;
        Place *place; /* REQUEST_PLACE */
        unsigned want;
} Request;

typedef struct TestClaim {
        Claim claim;
        ListLink link;
        unsigned told; /* ClaimNews since the last look */
        unsigned n_terminal;
} TestClaim;

typedef struct Harness {
        Domain *domain;
        Effects fx;
        uint64_t now;
        uint64_t next_id;
        bool auto_beat;
        List claims;
        List requests;
        int64_t zxid;
        int32_t sequence;
} Harness;

Harness *harness_new(DomainKind kind);
/* Ends all claims and frees them. */
Harness *harness_free(Harness *h);

/* A cluster with a session that is up. */
Harness *harness_new_up(void);
void harness_up(Harness *h, int64_t id);
void harness_cut(Harness *h);
/* The library is connected again, with the same session; its first write is not acknowledged yet. */
void harness_reconnect(Harness *h);
void harness_expire(Harness *h);
/* Lets time pass, running every timer at its moment. */
void harness_pass(Harness *h, uint64_t usec);
/* Lets time pass at once, as after SIGSTOP: timers are late. */
void harness_jump(Harness *h, uint64_t usec);
/* Carries out what is on h->fx. */
void harness_drain(Harness *h);

/* --- clients ------------------------------------------------------------------------------------ */

Claim *claim_new(Harness *h, LockMode mode, uint64_t flags);
/* A new claim that was taken. */
Claim *ask(Harness *h, const char *name, LockMode mode);
Claim *ask_until(Harness *h, const char *name, LockMode mode, uint64_t flags, uint64_t wait_usec);
void release(Harness *h, Claim *claim);
void die(Harness *h, Claim *claim);
int convert(Harness *h, Claim *claim, LockMode mode, uint64_t wait_usec);
int break_lock(Harness *h, const char *name, uint64_t token);
/* What it was told since the last look. */
unsigned told(Claim *claim);
/* A holder, told so just now. */
bool granted(Claim *claim);
bool failed(Claim *claim, ClaimReason reason);
bool lost(Claim *claim, ClaimReason reason);
bool waits(const Claim *claim);

/* --- the backend -------------------------------------------------------------------------------- */

/* The oldest request of that kind for that lock. It must exist. */
Request take(Harness *h, RequestKind kind, const char *lock);
/* Is there one? */
bool asked(const Harness *h, RequestKind kind, const char *lock);
/* Nothing is asked of the backend. */
bool idle(const Harness *h);

/* Children of the lock's directory, for listings. */
typedef struct Children {
        Contender contenders[64];
        char names[64][64];
        size_t n;
        int64_t died_czxid;
} Children;

void children_add(Children *c, const char *guid, LockMode mode, int32_t sequence);

/* The create was done: the next sequence and zxid, or those given. */
Node *on_created(Harness *h, const Request *create);
Node *on_created_as(Harness *h, const Request *create, NodeFacts facts);
void on_create_failed(Harness *h, const Request *create, ClaimReason reason);
void on_statted(Harness *h, const Request *stat, const NodeFacts *facts);
void on_listed(Harness *h, const Request *list, const Children *c);
void on_watch_armed(Harness *h, const Request *watch, bool armed, bool retry);
void on_hint(Harness *h, const char *lock, bool children);
void on_deleted(Harness *h, const Request *delete, bool gone);

/* Answers the listing: it shows our nodes, and those of others. */
void list_with(Harness *h, const char *lock, const Children *others);
/* Answers create and listing. */
Node *serve_with(Harness *h, const char *lock, const Children *others);
Node *serve_alone(Harness *h, const char *lock);
Lock *the_lock(Harness *h, const char *name);
