/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of the `zookeeper` backend: carries out what the core wants of nodes and directories, and reports
 *
 * A request names its node by lock name and serial, and its lock by name: both may be gone when the answer comes, and
 * then the answer is dropped, as are answers of a session that is over. On one session the servers carry requests out
 * in the order in which they were submitted, and answer in it: create, list, read the died record. The record comes
 * last: when the listing shows nobody before us any more, what those before us had to write, or to take away, is done.
 *
 *   create   refused because the directory is missing: the directories are made and it is created again, all
 *            pipelined, and the listing behind it is repeated
 *   delete   with the record of a death: one multi, so that the record is there when the next holder looks. When the
 *            record can't be written, the delete is repeated without it: a lock that stays is worse than a death
 *            that is not told
 *   watch    on the predecessor: reading it arms the watch
 *
 * Runs on the loop's thread. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-backend.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/random.h"
#include "base/str.h"
#include "base/time.h"

#define CREATE_TRIES 3
#define DELETE_TRIES 3

/* How a death is recorded, or its record cleared, with the delete. */
typedef enum DiedChange {
        DIED_KEEP,
        DIED_CREATE,
        DIED_SET,
        DIED_CLEAR,
} DiedChange;

/* One request about one node. */
typedef struct NodeOp {
        ZkOp op;
        ZkBackend *zk;
        uint64_t serial;
        uint64_t epoch;
        int32_t sequence;
        unsigned n_tries;
        DiedChange died;
        char lock[];
} NodeOp;

static LockTable *locks_of(const ZkBackend *zk) {
        return &zk_domain(zk)->locks;
}

static NodeOp *node_op_new(ZkBackend *zk, const Node *node, ZkOpFn done) {
        size_t len = strlen(node->lock->name);
        NodeOp *n = calloc(1, sizeof(*n) + len + 1);

        if (!n) {
                zk_out_of_memory(zk);
                return NULL;
        }
        zk_op_init(&n->op, done);
        n->zk = zk;
        n->serial = node->serial;
        n->epoch = node->epoch;
        n->sequence = node->sequence;
        memcpy(n->lock, node->lock->name, len);
        return n;
}

static void node_op_free(NodeOp *n) {
        zk_op_deinit(&n->op);
        free(n);
}

/* NULL: the answer is of no interest any more. */
static Node *node_op_node(const NodeOp *n) {
        if (!zk_session_is_current(n->zk, n->op.item.handle) || n->epoch != zk_domain(n->zk)->session.epoch)
                return NULL;
        return lock_table_find_node(locks_of(n->zk), n->lock, n->serial);
}

static int node_path(const ZkBackend *zk, const Node *node, int32_t sequence, char *path) {
        char name[ZK_NODE_NAME_SIZE];

        zk_node_name(node->guid, node->mode, sequence, name);
        return zk_path(&zk->root, ZK_DIR_LOCKS, node->lock->name, name, path);
}

static void node_complain(const NodeOp *n, const char *what) {
        if (zk_may_complain(n->zk))
                log_warning("%s: can't %s lock '%s': %s", zk_domain(n->zk)->name, what, n->lock, zk_rc_text(n->op.rc));
}

/* --- directories -------------------------------------------------------------------------------- */

typedef struct DirOp {
        ZkOp op;
} DirOp;

static void dir_on_made(ZkOp *op) {
        DirOp *d = container_of(op, DirOp, op);

        zk_op_deinit(&d->op);
        free(d);
}

/* The lock's directory, or all down to it. Whether that went well shows when the node is created again. */
static void lock_make_dirs(ZkBackend *zk, const char *lock, bool all) {
        size_t len = all ? 0 : strlen(zk->root.dirs[ZK_DIR_LOCKS]);
        char path[ZK_PATH_SIZE];

        tooz_assert(zk_path(&zk->root, ZK_DIR_LOCKS, lock, NULL, path) >= 0);
        while ((len = zk_path_next_prefix(path, len)) > 0) {
                DirOp *d = calloc(1, sizeof(*d));
                char rest = path[len];

                if (!d) {
                        zk_out_of_memory(zk);
                        return;
                }
                zk_op_init(&d->op, dir_on_made);
                path[len] = '\0';
                zk_create(zk->session.handle, &d->op, path, "", 0, ZOO_PERSISTENT);
                path[len] = rest;
        }
}

/* --- create ------------------------------------------------------------------------------------- */

static int node_make_guid(Node *node) {
        uint8_t raw[NODE_GUID_LEN / 2];
        int r;

        r = random_bytes(raw, sizeof(raw));
        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(raw); i++)
                (void) snprintf(node->guid + 2 * i, 3, "%02x", raw[i]);
        return 0;
}

static void node_submit_create(NodeOp *n, const Node *node) {
        ZkBackend *zk = n->zk;
        char path[ZK_PATH_SIZE], data[ZK_DATA_SIZE];
        const Claim *head = lock_queue_head(&node->lock->queue);
        size_t len;

        n->n_tries++;
        len = zk_data_write_node(data, zk->backend.realm->host, head, time_now_realtime());
        tooz_assert(node_path(zk, node, -1, path) >= 0);
        zk_create(zk->session.handle, &n->op, path, data, len, ZOO_EPHEMERAL_SEQUENTIAL);
}

static void node_on_created(NodeOp *n, Node *node) {
        const NodeFacts facts = {
                .sequence = zk_node_sequence(n->op.text),
                .czxid = n->op.stat.czxid,
                .owner = n->op.stat.ephemeralOwner,
        };

        lock_table_on_created(locks_of(n->zk), node, &facts, zk_now(n->zk), zk_effects(n->zk));
}

/* true: submitted again. */
static bool node_create_again(NodeOp *n, const Node *node) {
        if (n->n_tries >= CREATE_TRIES || node->state != NODE_CREATING)
                return false;
        lock_make_dirs(n->zk, n->lock, n->n_tries > 1);
        node_submit_create(n, node);
        return true;
}

static void node_create_on_done(ZkOp *op) {
        NodeOp *n = container_of(op, NodeOp, op);
        ZkBackend *zk = n->zk;
        ZkOutcome outcome = zk_outcome(op->rc);
        ClaimReason reason = outcome == ZK_UNKNOWN ? REASON_NONE : REASON_BACKEND_ERROR;
        Node *node;

        /* First of all: it may say that nothing is to be granted. */
        if (outcome == ZK_DONE && zk_session_is_current(zk, op->item.handle))
                zk_see_zxid(zk, op->stat.czxid, true);
        node = node_op_node(n);
        if (!node)
                ;
        else if (outcome == ZK_DONE)
                node_on_created(n, node);
        else if (outcome == ZK_NO_NODE && node_create_again(n, node))
                return;
        else if (node->state == NODE_DELETING && outcome != ZK_UNKNOWN) {
                /* Nobody wants it any more, and it does not exist. */
                node->creating = false;
                lock_table_on_deleted(locks_of(zk), node, true, zk_now(zk), zk_effects(zk));
        } else {
                if (reason != REASON_NONE)
                        node_complain(n, "take");
                lock_table_on_create_failed(locks_of(zk), node, reason, zk_now(zk), zk_effects(zk));
        }
        node_op_free(n);
}

static void node_create(ZkBackend *zk, Node *node) {
        NodeOp *n;

        n = node_op_new(zk, node, node_create_on_done);
        if (!n)
                return;
        if (node_make_guid(node) < 0) {
                zk_out_of_memory(zk);
                node_op_free(n);
                return;
        }
        node_submit_create(n, node);
}

/* --- stat --------------------------------------------------------------------------------------- */

static void node_stat_on_done(ZkOp *op) {
        NodeOp *n = container_of(op, NodeOp, op);
        ZkBackend *zk = n->zk;
        Node *node = node_op_node(n);
        const NodeFacts facts = {
                .sequence = n->sequence,
                .czxid = op->stat.czxid,
                .owner = op->stat.ephemeralOwner,
        };

        if (node && op->rc == ZOK) {
                zk_see_zxid(zk, facts.czxid, false);
                lock_table_on_statted(locks_of(zk), node, &facts, zk_now(zk), zk_effects(zk));
        } else if (node && op->rc == ZNONODE)
                lock_table_on_statted(locks_of(zk), node, NULL, zk_now(zk), zk_effects(zk));
        /* Not answered: the core asks again with the next contact. */
        node_op_free(n);
}

static void node_stat(ZkBackend *zk, Node *node) {
        char path[ZK_PATH_SIZE];
        NodeOp *n;

        tooz_assert(node->sequence >= 0);
        n = node_op_new(zk, node, node_stat_on_done);
        if (!n)
                return;
        tooz_assert(node_path(zk, node, node->sequence, path) >= 0);
        zk_stat(zk->session.handle, &n->op, path);
}

/* --- watch -------------------------------------------------------------------------------------- */

static void node_watch_on_done(ZkOp *op) {
        NodeOp *n = container_of(op, NodeOp, op);
        ZkBackend *zk = n->zk;
        Node *node = node_op_node(n);
        bool gone = op->rc == ZNONODE;

        if (node)
                lock_table_on_watch_armed(locks_of(zk), node, op->rc == ZOK, !gone && op->rc != ZOK, zk_now(zk),
                                          zk_effects(zk));
        node_op_free(n);
}

static void node_watch(ZkBackend *zk, Node *node) {
        char path[ZK_PATH_SIZE];
        NodeOp *n;

        if (!node->predecessor)
                return;
        n = node_op_new(zk, node, node_watch_on_done);
        if (!n)
                return;
        /* A name too long to be asked for comes back as one that can't be watched. */
        if (zk_path(&zk->root, ZK_DIR_LOCKS, node->lock->name, node->predecessor, path) < 0)
                path[0] = '\0';
        zk_get(zk->session.handle, &n->op, path, true);
}

/* --- delete ------------------------------------------------------------------------------------- */

static void node_submit_delete(NodeOp *n, const Node *node) {
        ZkBackend *zk = n->zk;
        char path[ZK_PATH_SIZE], record[ZK_PATH_SIZE], data[ZK_DATA_SIZE];
        size_t len = zk_data_write_died(data, node->czxid);
        zoo_op_t ops[2];

        n->n_tries++;
        tooz_assert(node_path(zk, node, node->sequence, path) >= 0);
        tooz_assert(zk_path(&zk->root, ZK_DIR_DIED, n->lock, NULL, record) >= 0);
        switch (n->died) {
        case DIED_KEEP:
                zk_delete(zk->session.handle, &n->op, path);
                return;
        case DIED_CREATE:
                zoo_create_op_init(&ops[0], record, data, (int) len, zk_handle_acl(zk->session.handle), ZOO_PERSISTENT,
                                   NULL, 0);
                break;
        case DIED_SET:
                zoo_set_op_init(&ops[0], record, data, (int) len, -1, NULL);
                break;
        case DIED_CLEAR:
                zoo_delete_op_init(&ops[0], record, -1);
                break;
        default:
                assert_not_reached();
        }
        zoo_delete_op_init(&ops[1], path, -1);
        zk_multi(zk->session.handle, &n->op, ops, 2);
}

/* The other way to write the record, if it was the record's part that failed; without it when none is left. */
static DiedChange died_otherwise(const NodeOp *n) {
        int rc = n->op.results[0].err;

        if (n->n_tries >= DELETE_TRIES)
                return DIED_KEEP;
        if (n->died == DIED_CREATE && rc == ZNODEEXISTS)
                return DIED_SET;
        if (n->died == DIED_SET && rc == ZNONODE)
                return DIED_CREATE;
        return DIED_KEEP;
}

static void node_delete_on_done(ZkOp *op) {
        NodeOp *n = container_of(op, NodeOp, op);
        ZkBackend *zk = n->zk;
        Node *node = node_op_node(n);
        ZkOutcome outcome = zk_outcome(op->rc);
        bool alone = n->died == DIED_KEEP;

        if (node && !alone && outcome != ZK_DONE && outcome != ZK_UNKNOWN) {
                n->died = died_otherwise(n);
                node_submit_delete(n, node);
                return;
        }
        if (node) {
                if (outcome == ZK_REFUSED)
                        node_complain(n, "give up");
                lock_table_on_deleted(locks_of(zk), node, outcome == ZK_DONE || outcome == ZK_NO_NODE, zk_now(zk),
                                      zk_effects(zk));
        }
        node_op_free(n);
}

static void node_delete(ZkBackend *zk, Node *node) {
        NodeOp *n;

        tooz_assert(node->sequence >= 0);
        if (node->deleting)
                return;
        n = node_op_new(zk, node, node_delete_on_done);
        if (!n)
                return;
        if (node->record_died && node->czxid > 0)
                n->died = DIED_CREATE;
        else if (node->clear_died)
                n->died = DIED_CLEAR;
        node->deleting = true;
        node_submit_delete(n, node);
}

void zk_lock_carry_out_node(ZkBackend *zk, Node *node) {
        unsigned want = node->want;

        node->want = 0;
        /* Without a handle there is no session, and the core forgets the node with it. */
        if (!zk->session.handle)
                return;
        if (want & NODE_WANT_CREATE)
                node_create(zk, node);
        if (want & NODE_WANT_STAT)
                node_stat(zk, node);
        if (want & NODE_WANT_WATCH)
                node_watch(zk, node);
        if (want & NODE_WANT_DELETE)
                node_delete(zk, node);
}

/* --- list --------------------------------------------------------------------------------------- */

/* Two answers, of which the later one makes the report. */
typedef struct ListOp {
        ZkOp died;
        ZkOp list;
        ZkBackend *zk;
        uint64_t epoch;
        unsigned n_pending;
        bool watch;
        char lock[];
} ListOp;

static void list_op_free(ListOp *l) {
        zk_op_deinit(&l->died);
        zk_op_deinit(&l->list);
        free(l);
}

/* NULL without memory. */
static Contender *contenders_parse(const ZkOp *op, size_t *ret_n) {
        Contender *c = malloc(MAX(op->n_names, (size_t) 1) * sizeof(*c));
        size_t n = 0;

        if (!c)
                return NULL;
        for (size_t i = 0; i < op->n_names; i++)
                if (zk_contender_parse(op->names[i], &c[n]))
                        n++;
        *ret_n = n;
        return c;
}

static void list_report(ListOp *l, Lock *lock) {
        ZkBackend *zk = l->zk;
        _cleanup_free_ Contender *contenders = NULL;
        bool armed = zk_op_is_watching(&l->list);
        Listing listing = { .watch_armed = armed, .watch_refused = l->watch && l->list.rc == ZOK && !armed };
        bool answered = (l->list.rc == ZOK || l->list.rc == ZNONODE) && (l->died.rc == ZOK || l->died.rc == ZNONODE);

        contenders = answered ? contenders_parse(&l->list, &listing.n_contenders) : NULL;
        listing.contenders = contenders;
        if (l->died.rc == ZOK)
                listing.died_czxid = zk_data_read_died(l->died.text, l->died.text_len);
        if (l->list.rc == ZOK)
                zk_see_zxid(zk, l->list.stat.pzxid, false);
        lock_table_on_listed(locks_of(zk), lock, contenders ? &listing : NULL, zk_now(zk), zk_effects(zk));
}

static void list_submit(ListOp *l) {
        ZkBackend *zk = l->zk;
        char path[ZK_PATH_SIZE];

        l->n_pending = 2;
        tooz_assert(zk_path(&zk->root, ZK_DIR_LOCKS, l->lock, NULL, path) >= 0);
        zk_list(zk->session.handle, &l->list, path, l->watch);
        tooz_assert(zk_path(&zk->root, ZK_DIR_DIED, l->lock, NULL, path) >= 0);
        zk_get(zk->session.handle, &l->died, path, false);
}

/* The directory is missing, and its node is being created again. */
static bool list_came_too_early(const ListOp *l, const Lock *lock) {
        return l->list.rc == ZNONODE && lock->tenure.next && lock->tenure.next->creating;
}

static void list_on_done(ListOp *l) {
        Lock *lock;

        if (--l->n_pending > 0)
                return;
        lock = lock_table_find(locks_of(l->zk), l->lock);
        if (lock && lock->tenure.listing && zk_session_is_current(l->zk, l->list.item.handle) &&
            l->epoch == zk_domain(l->zk)->session.epoch) {
                if (list_came_too_early(l, lock)) {
                        list_submit(l);
                        return;
                }
                list_report(l, lock);
        }
        list_op_free(l);
}

static void list_died_on_done(ZkOp *op) {
        list_on_done(container_of(op, ListOp, died));
}

static void list_list_on_done(ZkOp *op) {
        list_on_done(container_of(op, ListOp, list));
}

void zk_lock_carry_out(ZkBackend *zk, Lock *lock) {
        unsigned want = lock->want;
        size_t len = strlen(lock->name);
        ListOp *l;

        lock->want = 0;
        if (!zk->session.handle || !(want & (LOCK_WANT_LIST | LOCK_WANT_LIST_WATCH)))
                return;
        l = calloc(1, sizeof(*l) + len + 1);
        if (!l) {
                zk_out_of_memory(zk);
                return;
        }
        memcpy(l->lock, lock->name, len);
        l->zk = zk;
        l->epoch = zk_domain(zk)->session.epoch;
        l->watch = want & LOCK_WANT_LIST_WATCH;
        zk_op_init(&l->died, list_died_on_done);
        zk_op_init(&l->list, list_list_on_done);
        list_submit(l);
}

/* --- watches ------------------------------------------------------------------------------------ */

void zk_lock_on_watch(ZkBackend *zk, const char *path) {
        char name[NAME_LEN_MAX + 1];
        const char *at, *child;
        size_t len;
        Lock *lock;

        if (!zk_path_parse(&zk->root, ZK_DIR_LOCKS, path, &len, &at, &child) || len >= sizeof(name))
                return;
        memcpy(name, at, len);
        name[len] = '\0';
        lock = lock_table_find(locks_of(zk), name);
        if (lock)
                lock_table_on_hint(locks_of(zk), lock, !child, zk_now(zk), zk_effects(zk));
}
