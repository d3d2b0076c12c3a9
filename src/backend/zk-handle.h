/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One handle of libzookeeper: its life, the requests under way on it, and the account of its watches
 *
 *     OPENING --> OPEN --> CLOSING --> CLOSED
 *        |                                ^
 *        +--------------------------------+    could not be opened
 *
 * Opening resolves names and closing waits for the server: both block, so a helper thread does them, at most one per
 * handle at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/zk-thread.h"
#include "backend/zk-watch.h"
#include "base/list.h"

typedef enum ZkHandleState {
        ZK_HANDLE_OPENING,
        ZK_HANDLE_OPEN,
        ZK_HANDLE_CLOSING,
        ZK_HANDLE_CLOSED,
} ZkHandleState;

typedef struct ZkOpen {
        const char *servers;
        int timeout_msec;
        bool acl_private; /* nodes that it makes are for their creator alone */
} ZkOpen;

struct ZkHandle {
        ListLink link; /* its owner's */
        ZkHandleState state;
        ZkDoor door;
        ZkHelper helper;
        zhandle_t *zh; /* while OPEN */
        bool close_wanted;
        bool acl_private;
        List ops; /* ZkOp.link: those that the library has */
        size_t n_ops; /* under way: these, and those on their way back */
        ZkWatches watches;
};

/* OPENING; -ENOMEM, -EAGAIN: no thread to be had. */
int zk_handle_new(ZkHandle **ret, Inbox *inbox, const ZkOpen *open);
/* CLOSED, and the last request has been told its end: it may be freed. */
bool zk_handle_is_done(const ZkHandle *h);
ZkHandle *zk_handle_free(ZkHandle *h);

/* Towards CLOSED, as soon as it can be. To be repeated while it returns -EAGAIN. */
int zk_handle_close(ZkHandle *h);

/* Items of the inbox. The helper's: afterwards it is OPEN or CLOSED, or CLOSING if that was asked for meanwhile;
 * when CLOSED, all that the library had has been told its end. */
void zk_handle_on_helper(ZkHandle *h);
void zk_handle_on_op(ZkHandle *h, ZkOp *op);
void zk_handle_on_watch(ZkHandle *h, const ZkEvent *event);

/* --- requests: `op` is told its end by op->done, exactly once, later ------------------------------ */

void zk_op_init(ZkOp *op, ZkOpFn done);
/* Frees what the answer brought. */
void zk_op_deinit(ZkOp *op);

void zk_create(ZkHandle *h, ZkOp *op, const char *path, const char *data, size_t len, int mode);
void zk_delete(ZkHandle *h, ZkOp *op, const char *path);
void zk_set(ZkHandle *h, ZkOp *op, const char *path, const char *data, size_t len);
void zk_stat(ZkHandle *h, ZkOp *op, const char *path);
/* With a watch: ZK_RC_NO_WATCH when none is to be had, and nothing was asked. */
void zk_get(ZkHandle *h, ZkOp *op, const char *path, bool watch);
/* With a watch, but without it when none is to be had: see zk_op_is_watching(). */
void zk_list(ZkHandle *h, ZkOp *op, const char *path, bool watch);
void zk_multi(ZkHandle *h, ZkOp *op, const zoo_op_t *ops, int n);

const struct ACL_vector *zk_handle_acl(const ZkHandle *h);
bool zk_op_is_watching(const ZkOp *op);

/* What an answer means for who asked for a change. */
typedef enum ZkOutcome {
        ZK_DONE,
        ZK_NO_NODE,
        ZK_UNKNOWN, /* done or not done: the answer was lost */
        ZK_REFUSED, /* certainly not done, nor ever will be */
} ZkOutcome;

ZkOutcome zk_outcome(int rc);
/* For people: "no node", "not authenticated". */
const char *zk_rc_text(int rc);
