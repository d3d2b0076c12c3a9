/* SPDX-License-Identifier: Apache-2.0 */
/* Handle of libzookeeper: see zk-handle.h
 *
 * The library calls a completion once for each request that it took, but not for those that it has when it is closed:
 * these stay on `ops`, and are ended here when the helper reports that the handle is closed. A request that the
 * library does not take comes back through the inbox like all others, so no caller is called from its own call.
 *
 * Runs on the loop's thread. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-handle.h"
#include "base/assert.h"
#include "base/macro.h"
#include "base/str.h"

/* --- life --------------------------------------------------------------------------------------- */

static void helper_prepare(ZkHandle *h) {
        h->helper.item = (ZkItem) { .kind = ZK_ITEM_HELPER, .handle = h };
        h->helper.door = &h->door;
}

int zk_handle_new(ZkHandle **ret, Inbox *inbox, const ZkOpen *open) {
        ZkHandle *h;
        int r;

        h = calloc(1, sizeof(*h));
        if (!h)
                return -ENOMEM;
        h->state = ZK_HANDLE_OPENING;
        h->acl_private = open->acl_private;
        h->door.inbox = inbox;
        h->door.handle = h;
        h->door.trouble = (ZkItem) { .kind = ZK_ITEM_TROUBLE, .handle = h };
        list_link_init(&h->link);
        list_init(&h->ops);
        zk_watches_init(&h->watches, ZK_WATCH_BYTES_MAX);

        helper_prepare(h);
        h->helper.timeout_msec = open->timeout_msec;
        h->helper.log = zk_thread_take_log(&h->door);
        r = strdup_to(&h->helper.servers, open->servers);
        if (r >= 0)
                r = zk_thread_start_open(&h->helper);
        if (r < 0) {
                h->state = ZK_HANDLE_CLOSED;
                zk_handle_free(h);
                return r;
        }
        *ret = h;
        return 0;
}

ZkHandle *zk_handle_free(ZkHandle *h) {
        if (!h)
                return NULL;
        tooz_assert(zk_handle_is_done(h));
        list_unlink(&h->link);
        zk_thread_release_log(&h->door);
        zk_watches_deinit(&h->watches);
        free(h->helper.servers);
        free(h);
        return NULL;
}

bool zk_handle_is_done(const ZkHandle *h) {
        return h->state == ZK_HANDLE_CLOSED && h->n_ops == 0;
}

int zk_handle_close(ZkHandle *h) {
        int r;

        h->close_wanted = true;
        if (h->state != ZK_HANDLE_OPEN)
                return 0;
        helper_prepare(h);
        h->helper.zh = h->zh;
        r = zk_thread_start_close(&h->helper);
        if (r < 0)
                return -EAGAIN;
        h->state = ZK_HANDLE_CLOSING;
        h->zh = NULL;
        return 0;
}

/* The library is gone: what it did not answer it never will. */
static void handle_end_ops(ZkHandle *h) {
        ListLink *link;

        h->state = ZK_HANDLE_CLOSED;
        while ((link = list_first(&h->ops))) {
                ZkOp *op = list_entry(link, ZkOp, link);

                op->rc = ZCLOSING;
                zk_handle_on_op(h, op);
        }
}

void zk_handle_on_helper(ZkHandle *h) {
        zk_thread_join(&h->helper);
        if (h->state == ZK_HANDLE_CLOSING) {
                handle_end_ops(h);
                return;
        }

        tooz_assert(h->state == ZK_HANDLE_OPENING);
        h->zh = TAKE_PTR(h->helper.zh);
        if (!h->zh) {
                handle_end_ops(h);
                return;
        }
        h->state = ZK_HANDLE_OPEN;
        if (h->close_wanted)
                (void) zk_handle_close(h);
}

/* --- watches ------------------------------------------------------------------------------------ */

void zk_handle_on_watch(ZkHandle *h, const ZkEvent *event) {
        bool data = event->type == ZOO_DELETED_EVENT || event->type == ZOO_CHANGED_EVENT ||
                    event->type == ZOO_CREATED_EVENT;
        bool children = event->type == ZOO_DELETED_EVENT || event->type == ZOO_CHILD_EVENT;

        zk_watches_fired(&h->watches, event->path, data, children);
}

static bool op_ask_watch(ZkHandle *h, ZkOp *op, const char *path, ZkWatchKind kind) {
        char *copy = strdup(path);

        if (!copy || zk_watches_ask(&h->watches, path, kind) < 0) {
                free(copy);
                return false;
        }
        op->watch_path = copy;
        op->watch_kind = (int) kind;
        return true;
}

bool zk_op_is_watching(const ZkOp *op) {
        return op->watch_path && op->rc == ZOK;
}

/* The library arms the watch when the servers say ZOK, whether or not we had the memory for the rest. */
static void op_settle_watch(ZkHandle *h, const ZkOp *op) {
        if (op->watch_path)
                zk_watches_answer(&h->watches, op->watch_path, (ZkWatchKind) op->watch_kind,
                                  op->rc == ZOK || op->rc == ZK_RC_NOMEM);
}

/* --- requests ----------------------------------------------------------------------------------- */

void zk_op_init(ZkOp *op, ZkOpFn done) {
        *op = (ZkOp) { .item.kind = ZK_ITEM_OP, .done = done };
        list_link_init(&op->link);
}

void zk_op_deinit(ZkOp *op) {
        tooz_assert(!list_is_linked(&op->link));
        free(op->watch_path);
        free(op->text);
        free(op->names);
        op->watch_path = op->text = NULL;
        op->names = NULL;
}

void zk_handle_on_op(ZkHandle *h, ZkOp *op) {
        list_unlink(&op->link);
        h->n_ops--;
        op_settle_watch(h, op);
        op->done(op);
}

static void op_start(ZkHandle *h, ZkOp *op) {
        ZkOpFn done = op->done;

        /* It may be the second time that it is used. */
        zk_op_deinit(op);
        zk_op_init(op, done);
        op->item.handle = h;
        op->door = &h->door;
        list_append(&h->ops, &op->link);
        h->n_ops++;
}

/* Comes back through the inbox like an answer. It is not the library's, so it is not to be ended with the handle. */
static void op_fail(ZkOp *op, int rc) {
        list_unlink(&op->link);
        op->rc = rc;
        inbox_push(op->door->inbox, &op->item.item);
}

/* `rc` says whether the library took it. */
static void op_submitted(ZkOp *op, int rc) {
        if (rc != ZOK)
                op_fail(op, rc);
}

static bool op_can_start(ZkHandle *h, ZkOp *op) {
        op_start(h, op);
        if (h->state == ZK_HANDLE_OPEN)
                return true;
        op_fail(op, ZINVALIDSTATE);
        return false;
}

const struct ACL_vector *zk_handle_acl(const ZkHandle *h) {
        return h->acl_private ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
}

void zk_create(ZkHandle *h, ZkOp *op, const char *path, const char *data, size_t len, int mode) {
        if (op_can_start(h, op))
                op_submitted(op, zoo_acreate2(h->zh, path, data, (int) len, zk_handle_acl(h), mode, zk_thread_on_created, op));
}

void zk_delete(ZkHandle *h, ZkOp *op, const char *path) {
        if (op_can_start(h, op))
                op_submitted(op, zoo_adelete(h->zh, path, -1, zk_thread_on_void, op));
}

void zk_set(ZkHandle *h, ZkOp *op, const char *path, const char *data, size_t len) {
        if (op_can_start(h, op))
                op_submitted(op, zoo_aset(h->zh, path, data, (int) len, -1, zk_thread_on_stat, op));
}

void zk_stat(ZkHandle *h, ZkOp *op, const char *path) {
        if (op_can_start(h, op))
                op_submitted(op, zoo_aexists(h->zh, path, 0, zk_thread_on_stat, op));
}

void zk_get(ZkHandle *h, ZkOp *op, const char *path, bool watch) {
        if (!op_can_start(h, op))
                return;
        if (!watch)
                op_submitted(op, zoo_aget(h->zh, path, 0, zk_thread_on_data, op));
        else if (op_ask_watch(h, op, path, ZK_WATCH_DATA))
                op_submitted(op, zoo_awget(h->zh, path, zk_thread_on_event, &h->door, zk_thread_on_data, op));
        else
                op_fail(op, ZK_RC_NO_WATCH);
}

void zk_list(ZkHandle *h, ZkOp *op, const char *path, bool watch) {
        if (!op_can_start(h, op))
                return;
        if (watch && op_ask_watch(h, op, path, ZK_WATCH_CHILDREN))
                op_submitted(op, zoo_awget_children2(h->zh, path, zk_thread_on_event, &h->door, zk_thread_on_names, op));
        else
                op_submitted(op, zoo_aget_children2(h->zh, path, 0, zk_thread_on_names, op));
}

void zk_multi(ZkHandle *h, ZkOp *op, const zoo_op_t *ops, int n) {
        tooz_assert(n > 0 && (size_t) n <= ARRAY_SIZE(op->results));
        if (op_can_start(h, op))
                op_submitted(op, zoo_amulti(h->zh, n, ops, op->results, zk_thread_on_void, op));
}

/* --- meaning of answers ------------------------------------------------------------------------- */

ZkOutcome zk_outcome(int rc) {
        switch (rc) {
        case ZOK:
                return ZK_DONE;
        case ZNONODE:
                return ZK_NO_NODE;
        case ZNOAUTH:
        case ZINVALIDACL:
        case ZBADARGUMENTS:
        case ZUNIMPLEMENTED:
        case ZNOCHILDRENFOREPHEMERALS:
        case ZNODEEXISTS:
        case ZNOTEMPTY:
        case ZBADVERSION:
        case ZNOTREADONLY:
        case -125: /* ZQUOTAEXCEEDED of newer servers */
                return ZK_REFUSED;
        default:
                return ZK_UNKNOWN;
        }
}

const char *zk_rc_text(int rc) {
        switch (rc) {
        case ZK_RC_NOMEM:
                return "out of memory";
        case ZK_RC_NO_WATCH:
                return "too many watches";
        case -125:
                return "quota exceeded";
        default:
                return zerror(rc);
        }
}
