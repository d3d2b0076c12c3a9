/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tenure: this host's nodes for one cluster lock
 *
 * Whatever the number of local claims, a host has at most one node in force and one waiting per lock; the local
 * claims queue behind them. Nodes on their way out are kept until the backend says that they are gone: a lost reply
 * to a delete must not leave a lock behind.
 *
 *   CREATING ----> UNKNOWN ----> (found) STATTING
 *      |  \            \              |
 *      |   \            +--> GONE     |
 *      |    +---------------+---------+
 *      v                    v
 *   WAITING ------------> READY ------> IN_FORCE
 *      \                    \              \
 *       +--------------------+--------------+--> DELETING ----> GONE (freed)
 *
 *   CREATING  create + list were submitted, in this order
 *   UNKNOWN   the reply to create was lost: the directory must be listed, after a write of ours, to know
 *   STATTING  found there by its GUID: its czxid and owner are being read
 *   WAITING   ours (ephemeralOwner is our session), others are before it
 *   READY     nothing of others is before it in its mode's sense
 *   IN_FORCE  local claims are granted under it
 *   DELETING  no claim may be granted under it; deleted again and again until it is gone
 *
 * Invariants (tenure_check()): at most one IN_FORCE; at most one of CREATING, UNKNOWN, STATTING, WAITING, READY
 * (`next`); every node in force belongs to the session of `epoch`; tokens given under a node never exceed
 * TOKEN_GRANTS_MAX. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/table.h"
#include "core/effect.h"
#include "core/mode.h"

#define NODE_GUID_LEN 32
/* kazoo compares the sequence as a string and 2^31 wraps to a minus sign: stop a million before it */
#define NODE_SEQUENCE_MAX (INT32_MAX - (1 << 20))
/* While another host waits, a tenure ends after so many grants or so much time. */
#define TENURE_GRANTS_BOUND 16u
#define TENURE_TIME_BOUND_USEC UINT64_C(100000)

typedef struct Lock Lock;

typedef enum NodeState {
        NODE_CREATING,
        NODE_UNKNOWN,
        NODE_STATTING,
        NODE_WAITING,
        NODE_READY,
        NODE_IN_FORCE,
        NODE_DELETING,
        NODE_GONE,
        _NODE_STATE_MAX,
        _NODE_STATE_INVALID = -1,
} NodeState;

/* What the backend is asked to do. Bits, carried out in this order. */
typedef enum NodeWant {
        NODE_WANT_CREATE = 1 << 0, /* and list behind it (LOCK_WANT_LIST is pushed with it, after it) */
        NODE_WANT_STAT = 1 << 1,   /* read czxid and owner of `sequence` */
        NODE_WANT_WATCH = 1 << 2,  /* read `predecessor` and arm a watch on it */
        NODE_WANT_DELETE = 1 << 3, /* by path if the sequence is known; see record_died, clear_died */
} NodeWant;

typedef struct Node {
        uint64_t serial; /* names this node in completions; never used twice */
        Lock *lock;
        ListLink link; /* on tenure->nodes */
        LockMode mode;
        NodeState state;
        uint64_t epoch;
        char guid[NODE_GUID_LEN + 1]; /* the backend fills it in when it creates the node */
        int32_t sequence;             /* -1: not known */
        int64_t czxid;
        uint32_t n_grants;
        bool creating;    /* the create is in flight: its reply is still to come */
        bool listed;      /* seen in a listing of this session since its creation or the last resume */
        bool died_before; /* the holder before it is recorded as dead */
        bool record_died; /* with the delete, record that our holder died */
        bool clear_died;  /* with the delete, forget the record that we have told */
        bool deleting;    /* a delete is in flight */
        char *predecessor; /* child that is watched, or to be watched; NULL: none */
        unsigned want;
        Effect effect;
} Node;

/* A child of the lock's directory, as the backend has parsed it. Children that are no contenders are left out. */
typedef struct Contender {
        const char *name;
        LockMode mode;
        int32_t sequence;
} Contender;

/* Facts of one lock in the cluster. `force` and `next` point into `nodes`. */
typedef struct Tenure {
        List nodes;
        Node *force;
        Node *next;
        bool listing;          /* a list is in flight */
        bool list_again;       /* something happened since it was submitted */
        bool foreign_waits;    /* a contender of another host stands behind our node in force */
        bool watching;         /* a children watch is armed */
        uint32_t grants_bound; /* n_grants at which the tenure ends, since foreign_waits */
        uint64_t time_bound_usec;
        uint64_t retry_usec;   /* a watch was refused, or a delete failed: list and delete again then */
} Tenure;

DECLARE_STRING_TABLE(node_state, NodeState);

void tenure_init(Tenure *t);
/* All nodes must be gone. */
void tenure_deinit(Tenure *t);

/* -ENOMEM. The node is CREATING and `next`. */
int tenure_add_next(Tenure *t, Lock *lock, LockMode mode, uint64_t serial, uint64_t epoch);
Node *tenure_find(const Tenure *t, uint64_t serial);
void node_enter(Node *node, NodeState state);
void node_want(Node *node, NodeWant want, Effects *fx);
/* Takes the node off the tenure and frees it. It must be GONE. */
Node *node_free(Node *node);

/* Gives up a node: no grant under it any more, deleted as soon as its sequence is known. */
void tenure_give_up(Tenure *t, Node *node, Effects *fx);
/* The session is over: every node is gone. */
void tenure_forget(Tenure *t);

/* Finds the nodes of ours among `c`, by GUID. */
const Contender *tenure_find_contender(const Node *node, const Contender *c, size_t n);
bool tenure_is_ours(const Tenure *t, const Contender *c);
/* The contender that `node` waits for: the nearest before it that conflicts and is not ours; NULL if none. */
const Contender *tenure_predecessor(const Tenure *t, const Node *node, const Contender *c, size_t n);
/* Does a writer of another host, which waits for our shared node in force, stand before `node`? Then who holds under
 * the one until it has the other would wait for ever. */
bool tenure_is_trapped(const Tenure *t, const Node *node, const Contender *c, size_t n);
bool tenure_has_foreign_behind(const Tenure *t, const Node *node, const Contender *c, size_t n);

void tenure_check(const Tenure *t);
