/* SPDX-License-Identifier: Apache-2.0 */
/* A host: nodes and listings. See host-node.h; where this differs from src/backend/zk-lock.c, one of them is wrong */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bug.h"
#include "base/str.h"
#include "sim/host-node.h"

#define CREATE_TRIES 3
#define DELETE_TRIES 3

/* One request, and for which node it was. A listing is two. */
typedef struct HostOp {
        ZkOp op;
        Host *host;
        ZkClient *zk;
        uint64_t serial;
        uint64_t epoch;
        int32_t sequence;
        unsigned n_tries;
        char lock[32];
        ZkOp died; /* of a listing: the second request */
        unsigned n_pending;
} HostOp;

static LockTable *locks_of(const Host *h) {
        return &h->domain->locks;
}

static void host_op_free(ZkOp *op) {
        HostOp *n = container_of(op, HostOp, op);

        free(op->reply.names);
        free(n);
}

static HostOp *host_op_new(Host *h, void (*done)(ZkOp *op)) {
        HostOp *n = calloc(1, sizeof(*n));

        tooz_assert(n);
        n->op.done = done;
        n->op.drop = host_op_free;
        n->host = h;
        n->zk = h->zk;
        n->epoch = h->domain->session.epoch;
        return n;
}

static HostOp *node_op_new(Host *h, const Node *node, void (*done)(ZkOp *op)) {
        HostOp *n = host_op_new(h, done);

        n->serial = node->serial;
        n->sequence = node->sequence;
        tooz_assert(str_copy(n->lock, sizeof(n->lock), node->lock->name) >= 0);
        return n;
}

/* Answers of a session that is over are of no interest. */
static bool op_is_current(const HostOp *n) {
        return n->zk == n->host->zk && n->host->domain->session.id != 0 && n->epoch == n->host->domain->session.epoch;
}

static Node *op_node(const HostOp *n) {
        return op_is_current(n) ? lock_table_find_node(locks_of(n->host), n->lock, n->serial) : NULL;
}

static void node_path(const Node *node, int32_t sequence, char *path) {
        const char *kind = node->mode == LOCK_SHARED ? "__r__lock__" : "__lock__";
        int r;

        if (sequence < 0)
                r = str_print(path, TREE_PATH_SIZE, "/locks/%s/%s%s", node->lock->name, node->guid, kind);
        else
                r = str_print(path, TREE_PATH_SIZE, "/locks/%s/%s%s%010d", node->lock->name, node->guid, kind, (int) sequence);
        tooz_assert(r >= 0);
}

static void dir_path(const char *top, const char *lock, char *path) {
        tooz_assert(str_print(path, TREE_PATH_SIZE, "/%s/%s", top, lock) >= 0);
}

static void submit(HostOp *n) {
        zk_client_submit(n->zk, &n->op);
}

/* --- create ------------------------------------------------------------------------------------- */

static void dir_on_made(ZkOp *op) {
        host_op_free(op);
}

static void make_dir(Host *h, const char *lock) {
        HostOp *n = host_op_new(h, dir_on_made);

        n->op.request.kind = OP_CREATE;
        dir_path("locks", lock, n->op.request.path);
        submit(n);
}

static void create_submit(HostOp *n, const Node *node) {
        n->n_tries++;
        n->op.request = (Request) { .kind = OP_CREATE, .ephemeral = true };
        node_path(node, -1, n->op.request.path);
        submit(n);
}

static int32_t path_sequence(const char *path) {
        return (int32_t) atoi(path + strlen(path) - 10);
}

static void create_on_done(ZkOp *op) {
        HostOp *n = container_of(op, HostOp, op);
        Host *h = n->host;
        Node *node = op_node(n);
        const NodeFacts facts = {
                .sequence = op->reply.rc == RC_OK ? path_sequence(op->reply.path) : -1,
                .czxid = op->reply.czxid,
                .owner = op->reply.owner,
        };

        if (node && op->reply.rc == RC_OK)
                lock_table_on_created(locks_of(h), node, &facts, h->sim->now, &h->fx);
        else if (node && op->reply.rc == RC_NO_NODE && node->state == NODE_CREATING && n->n_tries < CREATE_TRIES) {
                make_dir(h, n->lock);
                create_submit(n, node);
                return;
        } else if (node && node->state == NODE_DELETING && op->reply.rc == RC_NO_NODE) {
                node->creating = false;
                lock_table_on_deleted(locks_of(h), node, true, h->sim->now, &h->fx);
        } else if (node)
                lock_table_on_create_failed(locks_of(h), node,
                                            op->reply.rc == RC_LOST ? REASON_NONE : REASON_BACKEND_ERROR, h->sim->now, &h->fx);
        host_op_free(op);
}

static void node_create(Host *h, Node *node) {
        tooz_assert(str_print(node->guid, sizeof(node->guid), "%08x%024" PRIx64, h->id, ++h->n_nodes) == NODE_GUID_LEN);
        create_submit(node_op_new(h, node, create_on_done), node);
}

/* --- stat and watch ----------------------------------------------------------------------------- */

static void stat_on_done(ZkOp *op) {
        HostOp *n = container_of(op, HostOp, op);
        Host *h = n->host;
        Node *node = op_node(n);
        const NodeFacts facts = { .sequence = n->sequence, .czxid = op->reply.czxid, .owner = op->reply.owner };

        if (node && op->reply.rc == RC_OK)
                lock_table_on_statted(locks_of(h), node, &facts, h->sim->now, &h->fx);
        else if (node && op->reply.rc == RC_NO_NODE)
                lock_table_on_statted(locks_of(h), node, NULL, h->sim->now, &h->fx);
        host_op_free(op);
}

static void node_stat(Host *h, const Node *node) {
        HostOp *n = node_op_new(h, node, stat_on_done);

        n->op.request.kind = OP_GET;
        node_path(node, node->sequence, n->op.request.path);
        submit(n);
}

static void watch_on_done(ZkOp *op) {
        HostOp *n = container_of(op, HostOp, op);
        Host *h = n->host;
        Node *node = op_node(n);
        Rc rc = op->reply.rc;

        if (node)
                lock_table_on_watch_armed(locks_of(h), node, rc == RC_OK, rc != RC_OK && rc != RC_NO_NODE, h->sim->now, &h->fx);
        host_op_free(op);
}

static void node_watch(Host *h, const Node *node) {
        HostOp *n;

        if (!node->predecessor)
                return;
        n = node_op_new(h, node, watch_on_done);
        n->op.request.kind = OP_GET;
        n->op.request.watch = true;
        tooz_assert(str_print(n->op.request.path, TREE_PATH_SIZE, "/locks/%s/%s", n->lock, node->predecessor) >= 0);
        submit(n);
}

/* --- delete ------------------------------------------------------------------------------------- */

static void delete_submit(HostOp *n, const Node *node, RecordChange record) {
        n->n_tries++;
        n->op.request = (Request) { .kind = OP_DELETE, .record = record, .record_value = node->czxid };
        node_path(node, node->sequence, n->op.request.path);
        dir_path("died", n->lock, n->op.request.record_path);
        submit(n);
}

static RecordChange record_otherwise(const HostOp *n) {
        if (n->n_tries >= DELETE_TRIES)
                return RECORD_KEEP;
        if (n->op.request.record == RECORD_CREATE && n->op.reply.record_rc == RC_NODE_EXISTS)
                return RECORD_SET;
        if (n->op.request.record == RECORD_SET && n->op.reply.record_rc == RC_NO_NODE)
                return RECORD_CREATE;
        return RECORD_KEEP;
}

static void delete_on_done(ZkOp *op) {
        HostOp *n = container_of(op, HostOp, op);
        Host *h = n->host;
        Node *node = op_node(n);
        Rc rc = op->reply.rc;

        if (node && op->request.record != RECORD_KEEP && rc != RC_OK && rc != RC_LOST) {
                delete_submit(n, node, record_otherwise(n));
                return;
        }
        if (node)
                lock_table_on_deleted(locks_of(h), node, rc == RC_OK || rc == RC_NO_NODE, h->sim->now, &h->fx);
        host_op_free(op);
}

static void node_delete(Host *h, Node *node) {
        RecordChange record = RECORD_KEEP;

        if (node->deleting)
                return;
        if (node->record_died && node->czxid > 0)
                record = RECORD_CREATE;
        else if (node->clear_died)
                record = RECORD_CLEAR;
        node->deleting = true;
        delete_submit(node_op_new(h, node, delete_on_done), node, record);
}

void host_carry_out_node(Host *h, Node *node) {
        unsigned want = node->want;

        node->want = 0;
        if (!h->zk)
                return;
        if (want & NODE_WANT_CREATE)
                node_create(h, node);
        if (want & NODE_WANT_STAT)
                node_stat(h, node);
        if (want & NODE_WANT_WATCH)
                node_watch(h, node);
        if (want & NODE_WANT_DELETE)
                node_delete(h, node);
}

/* --- list --------------------------------------------------------------------------------------- */

static bool contender_parse(const char *name, Contender *ret) {
        const char *at = strstr(name, "__lock__");

        if (!at || strlen(at) != strlen("__lock__") + 10)
                return false;
        ret->name = name;
        ret->mode = at - name == NODE_GUID_LEN + 3 ? LOCK_SHARED : LOCK_EXCLUSIVE;
        ret->sequence = path_sequence(name);
        return true;
}

static void list_report(HostOp *n, Lock *lock) {
        const Reply *reply = &n->op.reply, *died = &n->died.reply;
        Contender *contenders = calloc(reply->n_names + 1, sizeof(*contenders));
        Host *h = n->host;
        Listing listing = {
                .died_czxid = died->rc == RC_OK ? died->value : 0,
                .watch_armed = n->op.request.watch && reply->rc == RC_OK,
        };
        bool answered = (reply->rc == RC_OK || reply->rc == RC_NO_NODE) && (died->rc == RC_OK || died->rc == RC_NO_NODE);

        tooz_assert(contenders);
        for (size_t i = 0; answered && i < reply->n_names; i++)
                if (contender_parse(reply->names[i], &contenders[listing.n_contenders]))
                        listing.n_contenders++;
        listing.contenders = contenders;
        lock_table_on_listed(locks_of(h), lock, answered ? &listing : NULL, h->sim->now, &h->fx);
        free(contenders);
}

/* The record of a death is read behind the listing: when that shows nobody before us any more, all that those before us
 * had to write is written. The other way round, a record could be read that is taken away before the listing. */
static void list_submit(HostOp *n, bool watch) {
        n->n_pending = 2;
        free(n->op.reply.names);
        n->op.reply = (Reply) {};
        n->op.request = (Request) { .kind = OP_LIST, .watch = watch };
        dir_path("locks", n->lock, n->op.request.path);
        zk_client_submit(n->zk, &n->op);
        n->died.request = (Request) { .kind = OP_GET };
        dir_path("died", n->lock, n->died.request.path);
        zk_client_submit(n->zk, &n->died);
}

static void list_op_on_done(HostOp *n) {
        Lock *lock;

        if (--n->n_pending > 0)
                return;
        lock = lock_table_find(locks_of(n->host), n->lock);
        if (lock && lock->tenure.listing && op_is_current(n)) {
                /* The directory is missing, and its node is being created again. */
                if (n->op.reply.rc == RC_NO_NODE && lock->tenure.next && lock->tenure.next->creating) {
                        list_submit(n, n->op.request.watch);
                        return;
                }
                list_report(n, lock);
        }
        host_op_free(&n->op);
}

static void list_on_done(ZkOp *op) {
        list_op_on_done(container_of(op, HostOp, op));
}

static void died_on_done(ZkOp *op) {
        list_op_on_done(container_of(op, HostOp, died));
}

static void list_drop(ZkOp *op) {
        HostOp *n = container_of(op, HostOp, op);

        if (--n->n_pending == 0)
                host_op_free(op);
}

static void died_drop(ZkOp *op) {
        list_drop(&container_of(op, HostOp, died)->op);
}

void host_carry_out_lock(Host *h, Lock *lock) {
        unsigned want = lock->want;
        HostOp *n;

        lock->want = 0;
        if (!h->zk || !(want & (LOCK_WANT_LIST | LOCK_WANT_LIST_WATCH)))
                return;
        n = host_op_new(h, list_on_done);
        n->op.drop = list_drop;
        n->died.done = died_on_done;
        n->died.drop = died_drop;
        tooz_assert(str_copy(n->lock, sizeof(n->lock), lock->name) >= 0);
        list_submit(n, want & LOCK_WANT_LIST_WATCH);
}

/* --- what comes back ---------------------------------------------------------------------------- */

/* "/locks/<lock>" or "/locks/<lock>/<node>" */
void host_on_watch(Host *h, const WatchKey *key) {
        const char *at = str_skip_prefix(key->path, "/locks/");
        char name[TREE_PATH_SIZE];
        Lock *lock;

        if (!at)
                return;
        tooz_assert(str_copy(name, sizeof(name), at) >= 0);
        name[strcspn(name, "/")] = '\0';
        lock = lock_table_find(locks_of(h), name);
        if (lock)
                lock_table_on_hint(locks_of(h), lock, key->children, h->sim->now, &h->fx);
}
