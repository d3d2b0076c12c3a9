/* SPDX-License-Identifier: Apache-2.0 */
/* The `zookeeper` backend: its parts, what the agent calls, what comes out of the inbox
 *
 * The agent calls node(), lock(), session() and query() in the deferred phase: they submit requests to the library and
 * return. Answers come through the inbox in the run phase of a later turn, where they are reported to the core. So
 * neither calls the other from within.
 *
 * All calls of the library are asynchronous; its synchronous ones are banned (tests/backend/test-zk-async). */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-backend.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#define ZXID_SAVE_USEC (30 * USEC_PER_SEC)
#define COMPLAIN_USEC (60 * USEC_PER_SEC)

/* --- shared by the parts ------------------------------------------------------------------------ */

bool zk_may_complain(ZkBackend *zk) {
        uint64_t now = zk_now(zk);

        if (zk->complained_usec != 0 && now < usec_add(zk->complained_usec, COMPLAIN_USEC))
                return false;
        zk->complained_usec = now;
        return true;
}

void zk_out_of_memory(ZkBackend *zk) {
        if (zk->session.handle)
                zk_thread_trouble(&zk->session.handle->door);
}

static void zxid_save(ZkBackend *zk) {
        int r = zk_zxid_save(&zk->zxid);

        if (r < 0 && zk_may_complain(zk))
                log_warning_errno(r, "%s: can't keep the highest zxid in %s", zk_domain(zk)->name, zk->zxid.path);
}

static void zxid_on_timer(LoopTimer *timer, uint64_t now) {
        zxid_save(container_of(timer, ZkBackend, zxid_timer));
}

static void zxid_on_regressed(ZkBackend *zk) {
        static const char text[] = "the servers went back in time (restored from a backup?): fencing tokens would "
                                   "repeat, so nothing is granted until a file acknowledge-regression is made in the "
                                   "state directory and the agent restarted";

        log_error("%s: %s", zk_domain(zk)->name, text);
        (void) str_copy(zk->session.detail, sizeof(zk->session.detail), text);
        lock_table_refuse(&zk_domain(zk)->locks, true, zk_now(zk), zk_effects(zk));
}

void zk_see_zxid(ZkBackend *zk, int64_t zxid, bool of_write) {
        bool first = zk->zxid.saved == 0;

        switch (zk_zxid_see(&zk->zxid, zxid, of_write)) {
        case ZK_ZXID_REGRESSED:
                zxid_on_regressed(zk);
                return;
        case ZK_ZXID_ACKNOWLEDGED:
                log_warning("%s: the servers went back in time, as acknowledged: fencing tokens may repeat",
                            zk_domain(zk)->name);
                first = true;
                break;
        case ZK_ZXID_FINE:
                break;
        }
        if (!zk_zxid_is_unsaved(&zk->zxid))
                return;
        if (first)
                zxid_save(zk);
        else if (!loop_timer_is_set(&zk->zxid_timer))
                loop_timer_set(&zk->zxid_timer, usec_add(zk_now(zk), ZXID_SAVE_USEC));
}

/* --- inbox -------------------------------------------------------------------------------------- */

static void on_event(ZkBackend *zk, ZkEvent *event) {
        ZkHandle *h = event->item.handle;

        if (event->type == ZOO_SESSION_EVENT)
                zk_session_on_event(zk, h, event->state);
        else {
                char host[ZK_PATH_SIZE];

                zk_handle_on_watch(h, event);
                if (zk_session_is_current(zk, h)) {
                        tooz_assert(zk_path_host(&zk->root, zk_domain(zk)->session.id, NULL, host) >= 0);
                        zk_lock_on_watch(zk, event->path);
                        zk_break_on_watch(zk, event->path);
                        if (streq(event->path, host))
                                zk_host_on_children(zk);
                }
        }
        free(event);
}

static void on_log(ZkBackend *zk, ZkLogLine *line) {
        atomic_fetch_sub(&line->door->n_log_lines, 1);
        zk_session_on_log(zk, line->item.handle, line->text);
        free(line);
}

static void on_op(ZkBackend *zk, ZkOp *op) {
        ZkHandle *h = op->item.handle;
        bool starved = op->rc == ZK_RC_NOMEM;

        zk_handle_on_op(h, op);
        if (starved)
                zk_session_on_trouble(zk, h);
        zk_session_on_idle(zk, h);
}

static void on_item(Inbox *inbox, InboxItem *raw) {
        ZkBackend *zk = container_of(inbox, ZkBackend, inbox);
        ZkItem *item = container_of(raw, ZkItem, item);

        switch (item->kind) {
        case ZK_ITEM_OP:
                on_op(zk, container_of(item, ZkOp, item));
                break;
        case ZK_ITEM_EVENT:
                on_event(zk, container_of(item, ZkEvent, item));
                break;
        case ZK_ITEM_LOG:
                on_log(zk, container_of(item, ZkLogLine, item));
                break;
        case ZK_ITEM_HELPER:
                zk_session_on_helper(zk, item->handle);
                break;
        case ZK_ITEM_TROUBLE:
                zk_session_on_trouble(zk, item->handle);
                break;
        }
}

/* --- what the agent calls ----------------------------------------------------------------------- */

static void backend_node(Backend *b, Node *node) {
        zk_lock_carry_out_node(zk_of(b), node);
}

static void backend_lock(Backend *b, Lock *lock) {
        zk_lock_carry_out(zk_of(b), lock);
}

/* SESSION_WANT_PUBLISH is the agent's. */
static void backend_session(Backend *b, Session *session) {
        ZkBackend *zk = zk_of(b);
        unsigned want = session->want;

        session->want &= ~(unsigned) (SESSION_WANT_HEARTBEAT | SESSION_WANT_REPLACE);
        if (want & SESSION_WANT_REPLACE)
                zk_session_replace(zk);
        else if (want & SESSION_WANT_HEARTBEAT)
                zk_host_beat(zk);
}

static void backend_query(Backend *b, Query *q) {
        if (q->kind == QUERY_BREAK)
                zk_break_start(zk_of(b), q);
        else
                zk_query_start(zk_of(b), q);
}

static void backend_stop(Backend *b) {
        ZkBackend *zk = zk_of(b);

        if (zk_session_is_stopping(zk))
                return;
        loop_timer_unset(&zk->zxid_timer);
        zxid_save(zk);
        zk_host_leave(zk);
        zk_session_stop(zk);
        zk_break_end_all(zk, -ENOTCONN);
}

static bool backend_stopped(const Backend *b) {
        const ZkBackend *zk = container_of(b, ZkBackend, backend);

        return zk_session_is_stopped(zk) && zk->n_queries == 0;
}

static void forget_secret(char *secret) {
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

static Backend *backend_free_zk(Backend *b) {
        ZkBackend *zk = zk_of(b);

        zk_session_deinit(zk);
        loop_timer_unset(&zk->zxid_timer);
        inbox_deinit(&zk->inbox);
        zk_zxid_deinit(&zk->zxid);
        free(zk->servers);
        free(zk->auth_scheme);
        forget_secret(zk->auth);
        free(zk->host_data);
        free(zk);
        return NULL;
}

static const BackendOps zk_ops = {
        .node = backend_node,
        .lock = backend_lock,
        .session = backend_session,
        .query = backend_query,
        .stop = backend_stop,
        .stopped = backend_stopped,
        .free = backend_free_zk,
};

/* --- making it ---------------------------------------------------------------------------------- */

static int copy_config(ZkBackend *zk, const ZkConfig *config) {
        int r;

        zk->timeout_usec = config->timeout_usec;
        zk->tick_usec = config->tick_usec;
        zk->acl_private = config->acl_private;
        r = zk_root_init(&zk->root, config->chroot ?: "", config->namespace_);
        if (r >= 0)
                r = strdup_to(&zk->servers, config->servers);
        if (r >= 0)
                r = strdup_to(&zk->auth_scheme, config->auth_scheme);
        if (r >= 0)
                r = strdup_to(&zk->auth, config->auth_scheme ? config->auth ?: "" : NULL);
        if (r >= 0)
                r = strdup_to(&zk->host_data, config->host_data ?: "");
        return r;
}

int zk_backend_new(Backend **ret, Loop *loop, Realm *realm, Domain *domain, const ZkConfig *config) {
        _cleanup_(backend_freep) Backend *b = NULL;
        ZkBackend *zk;
        int r;

        zk = calloc(1, sizeof(*zk));
        if (!zk)
                return -ENOMEM;
        b = &zk->backend;
        *b = (Backend) { .ops = &zk_ops, .loop = loop, .realm = realm, .domain = domain, .info.kind = "zookeeper" };
        list_init(&zk->breaks);
        loop_timer_init(&zk->zxid_timer, loop, zxid_on_timer);
        zk_session_init(zk);

        /* DEBUG would make the library read freed memory (ZOOKEEPER-4809). */
        zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
        r = copy_config(zk, config);
        if (r >= 0)
                r = zk_zxid_init(&zk->zxid, config->state_directory, domain->name, config->acknowledge_regression);
        if (r >= 0)
                r = inbox_init(&zk->inbox, loop, on_item);
        if (r < 0)
                return r;

        zk_session_start(zk);
        *ret = TAKE_PTR(b);
        return 0;
}
