/* SPDX-License-Identifier: Apache-2.0 */
/* This agent's node /toozd/hosts/<session>
 *
 *   <session>        a container with what others may know of this host; each heartbeat writes it again
 *   <session>/alive  ephemeral: when the session ends it goes, and the servers sweep the empty container
 *   <session>/break-<sequence>  ephemeral, of another agent: asks us to break a lock that we hold
 *
 * The nodes are created right before the first heartbeat of a session, pipelined, so that its reply is also the proof
 * that they are there. A heartbeat that finds its node gone (somebody cleaned up) makes it again and is repeated.
 *
 * Requests to break: one children watch stands on our node as long as there is a session. A request that was carried
 * out is deleted; one that could not be is given its answer as data, and its maker deletes it. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-backend.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#define BEAT_TRIES 3
#define REQUESTS_MAX 64u /* read at a time */

/* --- making our nodes --------------------------------------------------------------------------- */

/* A request of which only a failure matters. */
typedef struct HostOp {
        ZkOp op;
        ZkBackend *zk;
        int64_t session;
        bool alive;  /* the last one of ours */
        bool silent; /* on the way out */
        char path[];
} HostOp;

static void host_op_free(HostOp *h) {
        zk_op_deinit(&h->op);
        free(h);
}

static void host_complain(ZkBackend *zk, const char *what, int rc) {
        char detail[ZK_DETAIL_SIZE];

        (void) str_print(detail, sizeof(detail), "%.160s: %.60s", what, zk_rc_text(rc));
        memcpy(zk->session.detail, detail, sizeof(detail));
        if (zk_may_complain(zk))
                log_warning("%s: %s", zk_domain(zk)->name, detail);
}

static void host_op_on_done(ZkOp *op) {
        HostOp *h = container_of(op, HostOp, op);
        ZkBackend *zk = h->zk;
        bool there = op->rc == ZOK || op->rc == ZNODEEXISTS;

        if (zk_session_is_current(zk, op->item.handle) && !h->silent) {
                if (h->alive && there)
                        zk->host.made_for = h->session;
                if (op->rc == ZUNIMPLEMENTED)
                        zk->host.no_containers = true;
                else if (!there && zk_outcome(op->rc) != ZK_UNKNOWN)
                        host_complain(zk, h->path, op->rc);
        }
        host_op_free(h);
}

static HostOp *host_op_new(ZkBackend *zk, const char *path, size_t len) {
        HostOp *h = calloc(1, sizeof(*h) + len + 1);

        if (!h) {
                zk_out_of_memory(zk);
                return NULL;
        }
        memcpy(h->path, path, len);
        h->zk = zk;
        h->session = zk_domain(zk)->session.id;
        zk_op_init(&h->op, host_op_on_done);
        return h;
}

static HostOp *host_make(ZkBackend *zk, const char *path, size_t len, const char *data, int mode) {
        HostOp *h = host_op_new(zk, path, len);

        if (h)
                zk_create(zk->session.handle, &h->op, h->path, data, strlen(data), mode);
        return h;
}

/* Was "/a/b" among the prefixes of a directory before this one? */
static bool dir_is_repeated(const ZkRoot *root, unsigned dir, size_t len) {
        for (unsigned i = 0; i < dir; i++)
                if (strncmp(root->dirs[i], root->dirs[dir], len) == 0 &&
                    (root->dirs[i][len] == '/' || root->dirs[i][len] == '\0'))
                        return true;
        return false;
}

static void host_make_dirs(ZkBackend *zk) {
        for (unsigned dir = 0; dir < ZK_N_DIRS; dir++) {
                const char *path = zk->root.dirs[dir];
                size_t len = 0;

                while ((len = zk_path_next_prefix(path, len)) > 0)
                        if (!dir_is_repeated(&zk->root, dir, len))
                                (void) host_make(zk, path, len, "", ZOO_PERSISTENT);
        }
        zk->host.dirs_made = true;
}

static void host_make_own(ZkBackend *zk) {
        int64_t session = zk_domain(zk)->session.id;
        char path[ZK_PATH_SIZE];
        HostOp *alive;

        if (!zk->host.dirs_made)
                host_make_dirs(zk);
        tooz_assert(zk_path_host(&zk->root, session, NULL, path) >= 0);
        (void) host_make(zk, path, strlen(path), zk->host_data, zk->host.no_containers ? ZOO_PERSISTENT : ZOO_CONTAINER);
        tooz_assert(zk_path_host(&zk->root, session, ZK_ALIVE, path) >= 0);
        alive = host_make(zk, path, strlen(path), "", ZOO_EPHEMERAL);
        if (alive)
                alive->alive = true;
}

void zk_host_leave(ZkBackend *zk) {
        const char *const children[] = { ZK_ALIVE, NULL };
        char path[ZK_PATH_SIZE];

        if (!zk->session.connected || zk->host.made_for != zk_domain(zk)->session.id)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(children); i++) {
                HostOp *h;

                tooz_assert(zk_path_host(&zk->root, zk->host.made_for, children[i], path) >= 0);
                h = host_op_new(zk, path, strlen(path));
                if (!h)
                        return;
                h->silent = true;
                zk_delete(zk->session.handle, &h->op, path);
        }
}

/* --- requests to break -------------------------------------------------------------------------- */

typedef struct RequestOp {
        ZkOp op;
        ZkBackend *zk;
        char path[];
} RequestOp;

static void request_op_free(RequestOp *r) {
        zk_op_deinit(&r->op);
        free(r);
}

static void request_on_answered(ZkOp *op) {
        request_op_free(container_of(op, RequestOp, op));
}

static int request_break(ZkBackend *zk, const ZkBreakRequest *b) {
        int r = lock_table_break(&zk_domain(zk)->locks, b->lock, b->token, zk_now(zk), zk_effects(zk));

        log_notice("%s: %s asks to break lock '%s', token %" PRIu64 ": %s", zk_domain(zk)->name, b->by ?: "somebody",
                   b->lock, b->token, r == 0 ? "done" : "not held with that token");
        return r == 0 ? 0 : r == LOCK_E_STALE_TOKEN ? -ESTALE : -ENOENT;
}

/* Breaks what is asked for, and answers: takes `r`. */
static void request_carry_out(RequestOp *r, const ZkBreakRequest *b) {
        ZkBackend *zk = r->zk;
        char answer[ZK_DATA_SIZE];
        int result = request_break(zk, b);

        r->op.done = request_on_answered;
        if (result < 0)
                zk_set(zk->session.handle, &r->op, r->path, answer, zk_data_write_answer(answer, result));
        else
                zk_delete(zk->session.handle, &r->op, r->path);
}

static void request_on_read(ZkOp *op) {
        RequestOp *r = container_of(op, RequestOp, op);
        ZkBackend *zk = r->zk;
        ZkBreakRequest b = {};

        zk->host.n_requests--;
        if (!zk_session_is_current(zk, op->item.handle) || zk_session_is_stopping(zk) || op->rc != ZOK ||
            zk_data_read_break(op->text, op->text_len, &b) < 0) {
                request_op_free(r);
                return;
        }
        request_carry_out(r, &b);
        zk_break_request_done(&b);
}

static void request_read(ZkBackend *zk, const char *child) {
        RequestOp *r;

        r = calloc(1, sizeof(*r) + ZK_PATH_SIZE);
        if (!r) {
                zk_out_of_memory(zk);
                return;
        }
        r->zk = zk;
        if (zk_path_host(&zk->root, zk_domain(zk)->session.id, child, r->path) < 0) {
                free(r);
                return;
        }
        zk_op_init(&r->op, request_on_read);
        zk->host.n_requests++;
        zk_get(zk->session.handle, &r->op, r->path, false);
}

static void host_read_requests(ZkBackend *zk, const ZkOp *op) {
        for (size_t i = 0; i < op->n_names; i++) {
                if (!zk_is_break_request(op->names[i]))
                        continue;
                if (zk->host.n_requests >= REQUESTS_MAX) {
                        zk->host.list_due = true;
                        return;
                }
                request_read(zk, op->names[i]);
        }
        if (!zk_op_is_watching(op))
                zk->host.list_due = true;
}

/* What could not be done now, or not be watched, is due again with the next heartbeat. */
static void host_on_listed(ZkOp *op) {
        HostOp *h = container_of(op, HostOp, op);
        ZkBackend *zk = h->zk;
        bool current = zk_session_is_current(zk, op->item.handle) && !zk_session_is_stopping(zk);

        zk->host.listing = false;
        if (current && op->rc == ZOK)
                host_read_requests(zk, op);
        else
                zk->host.list_due = true;
        host_op_free(h);
}

static void host_list(ZkBackend *zk) {
        char path[ZK_PATH_SIZE];
        HostOp *h;

        if (zk->host.listing) {
                zk->host.list_due = true;
                return;
        }
        tooz_assert(zk_path_host(&zk->root, zk_domain(zk)->session.id, NULL, path) >= 0);
        h = host_op_new(zk, path, strlen(path));
        if (!h)
                return;
        h->op.done = host_on_listed;
        zk->host.listing = true;
        zk->host.list_due = false;
        zk_list(zk->session.handle, &h->op, h->path, true);
}

void zk_host_on_children(ZkBackend *zk) {
        if (!zk_session_is_stopping(zk))
                host_list(zk);
}

/* --- heartbeat ---------------------------------------------------------------------------------- */

typedef struct Beat {
        ZkOp op;
        ZkBackend *zk;
        uint64_t connection; /* session.n_connects */
        uint64_t submitted_usec;
        unsigned n_tries;
} Beat;

static void beat_submit(Beat *beat) {
        ZkBackend *zk = beat->zk;
        char path[ZK_PATH_SIZE];

        beat->n_tries++;
        if (zk->host.made_for != zk_domain(zk)->session.id)
                host_make_own(zk);
        tooz_assert(zk_path_host(&zk->root, zk_domain(zk)->session.id, NULL, path) >= 0);
        zk_set(zk->session.handle, &beat->op, path, zk->host_data, strlen(zk->host_data));
}

static void beat_on_ack(ZkBackend *zk, const Beat *beat) {
        zk_see_zxid(zk, beat->op.stat.mzxid, true);
        zk_session_saw_contact(zk, beat->submitted_usec);
        if (!zk->zxid.regressed)
                zk->session.detail[0] = '\0';
        domain_on_heartbeat_ack(zk_domain(zk), zk_now(zk), zk_effects(zk));
        if (zk->host.list_due && zk->host.made_for == zk_domain(zk)->session.id)
                host_list(zk);
}

/* Our node is gone: it is made again, with a child that is not there either. */
static bool beat_on_gone(ZkBackend *zk, Beat *beat) {
        if (beat->n_tries >= BEAT_TRIES)
                return false;
        zk->host.made_for = 0;
        zk->host.dirs_made = false;
        zk->host.list_due = true;
        beat_submit(beat);
        return true;
}

static void beat_on_done(ZkOp *op) {
        Beat *beat = container_of(op, Beat, op);
        ZkBackend *zk = beat->zk;

        if (zk_session_is_current(zk, op->item.handle) && beat->connection == zk->session.n_connects) {
                if (op->rc == ZOK)
                        beat_on_ack(zk, beat);
                else if (op->rc == ZNONODE && beat_on_gone(zk, beat))
                        return;
                else {
                        if (zk_outcome(op->rc) != ZK_UNKNOWN)
                                host_complain(zk, "heartbeat", op->rc);
                        domain_on_heartbeat_failed(zk_domain(zk), zk_now(zk), zk_effects(zk));
                }
        }
        zk_op_deinit(&beat->op);
        free(beat);
}

void zk_host_beat(ZkBackend *zk) {
        Beat *beat;

        if (!zk->session.connected)
                return;
        /* Our node is gone already; the core need not ask again for what will not be answered. */
        if (zk_session_is_stopping(zk)) {
                domain_on_heartbeat_sent(zk_domain(zk), zk_now(zk));
                return;
        }
        beat = calloc(1, sizeof(*beat));
        if (!beat) {
                zk_out_of_memory(zk);
                return;
        }
        beat->zk = zk;
        beat->connection = zk->session.n_connects;
        beat->submitted_usec = zk_now(zk);
        zk_op_init(&beat->op, beat_on_done);
        domain_on_heartbeat_sent(zk_domain(zk), beat->submitted_usec);
        beat_submit(beat);
}

void zk_host_on_connected(ZkBackend *zk) {
        zk->host.list_due = true;
}
