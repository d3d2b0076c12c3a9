/* SPDX-License-Identifier: Apache-2.0 */
/* Breaking a lock that another host holds
 *
 *   LISTING --> LOOKING --> ASKING --> WAITING --> (answered)
 *                 |           |           |
 *                 |           v           | --force, and no answer
 *                 |        DELETING <-----+
 *                 +--> (nobody holds it with that token)
 *
 *   LISTING   the contenders: who holds it
 *   LOOKING   one holder after the other, for the one with the tenure that the token names
 *   ASKING    a request is left with the agent whose session owns that node: it tells its claim, and then deletes.
 *             Without such an agent the holder is foreign: refused, or with --force
 *   DELETING  the node itself, outside of promise 1
 *   WAITING   until the holder's node is gone, or the request has its answer: both are watched, and read again now
 *             and then in case that no watch is to be had; for a session timeout at the most
 *
 * Requests are ephemeral: of an agent that died meanwhile nothing stays. Runs on the loop's thread. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-backend.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#define LOOK_AGAIN_USEC (1 * USEC_PER_SEC)

typedef enum BreakState {
        BREAK_LISTING,
        BREAK_LOOKING,
        BREAK_ASKING,
        BREAK_WAITING,
        BREAK_DELETING,
        BREAK_OVER, /* told; only requests under way are left */
} BreakState;

typedef struct ZkBreak {
        ListLink link; /* on zk->breaks */
        ZkBackend *zk;
        Query *q; /* NULL: it has its answer */
        BreakState state;
        uint64_t epoch;
        uint64_t deadline_usec;
        LoopTimer timer;
        ZkOp op;     /* the step; WAITING: the holder's node */
        ZkOp answer; /* WAITING: the request */
        ZkOp remove; /* of the request */
        unsigned n_pending;
        bool reading_holder; /* WAITING: the operation is under way */
        bool reading_answer;
        bool no_watch; /* none is to be had: only looking again helps */
        char **holders; /* their paths */
        size_t n_holders;
        size_t at;
        char request[ZK_PATH_SIZE]; /* "": not made */
} ZkBreak;

static void break_free(ZkBreak *b) {
        for (size_t i = 0; i < b->n_holders; i++)
                free(b->holders[i]);
        free(b->holders);
        loop_timer_unset(&b->timer);
        list_unlink(&b->link);
        zk_op_deinit(&b->op);
        zk_op_deinit(&b->answer);
        zk_op_deinit(&b->remove);
        free(b);
}

static bool break_is_current(const ZkBreak *b) {
        const Session *session = &zk_domain(b->zk)->session;

        return session->id != 0 && session->epoch == b->epoch && b->zk->session.handle;
}

/* Each operation ends with this. */
static void break_release(ZkBreak *b) {
        if (b->state == BREAK_OVER && b->n_pending == 0)
                break_free(b);
}

static void break_on_removed(ZkOp *op) {
        ZkBreak *b = container_of(op, ZkBreak, remove);

        b->n_pending--;
        break_release(b);
}

/* The answer is given; the request is taken back if it is still there. */
static void break_finish(ZkBreak *b, int result) {
        Query *q = TAKE_PTR(b->q);

        b->state = BREAK_OVER;
        loop_timer_unset(&b->timer);
        b->zk->n_queries--;
        query_finish(q, result, zk_effects(b->zk));
        if (*b->request && break_is_current(b)) {
                b->n_pending++;
                zk_delete(b->zk->session.handle, &b->remove, b->request);
        }
}

static int break_error(int rc) {
        if (rc == ZK_RC_NOMEM)
                return -ENOMEM;
        return zk_outcome(rc) == ZK_REFUSED ? -EACCES : -ENOTCONN;
}

static const char *break_holder(const ZkBreak *b) {
        return b->holders[b->at];
}

/* --- waiting ------------------------------------------------------------------------------------ */

static void break_read_holder(ZkBreak *b) {
        if (b->reading_holder)
                return;
        b->reading_holder = true;
        b->n_pending++;
        zk_get(b->zk->session.handle, &b->op, break_holder(b), !b->no_watch);
}

static void break_read_answer(ZkBreak *b) {
        if (b->reading_answer)
                return;
        b->reading_answer = true;
        b->n_pending++;
        zk_get(b->zk->session.handle, &b->answer, b->request, !b->no_watch);
}

static void break_delete(ZkBreak *b) {
        log_warning("%s: deleting the node of lock '%s' by force", zk_domain(b->zk)->name, b->q->name);
        b->state = BREAK_DELETING;
        b->n_pending++;
        zk_delete(b->zk->session.handle, &b->op, break_holder(b));
}

static void break_on_holder_read(ZkBreak *b, const ZkOp *op) {
        b->reading_holder = false;
        b->no_watch = b->no_watch || op->rc == ZK_RC_NO_WATCH;
        if (b->state != BREAK_WAITING)
                return;
        if (op->rc == ZNONODE)
                break_finish(b, 0);
        else if (!break_is_current(b))
                break_finish(b, -ENOTCONN);
}

static void break_on_answer_read(ZkOp *op) {
        ZkBreak *b = container_of(op, ZkBreak, answer);
        int r;

        b->reading_answer = false;
        b->no_watch = b->no_watch || op->rc == ZK_RC_NO_WATCH;
        b->n_pending--;
        if (b->state == BREAK_WAITING) {
                r = op->rc == ZOK ? zk_data_read_answer(op->text, op->text_len) : 0;
                if (op->rc == ZNONODE) {
                        b->request[0] = '\0';
                        break_finish(b, 0);
                } else if (!break_is_current(b))
                        break_finish(b, -ENOTCONN);
                else if (r < 0)
                        break_finish(b, r);
        }
        break_release(b);
}

static void break_wait(ZkBreak *b) {
        b->state = BREAK_WAITING;
        loop_timer_set(&b->timer, usec_add(zk_now(b->zk), LOOK_AGAIN_USEC));
        break_read_answer(b);
        break_read_holder(b);
}

static void break_on_timer(LoopTimer *timer, uint64_t now) {
        ZkBreak *b = container_of(timer, ZkBreak, timer);

        if (!break_is_current(b))
                break_finish(b, -ENOTCONN);
        else if (now < b->deadline_usec) {
                loop_timer_set(&b->timer, MIN(b->deadline_usec, usec_add(now, LOOK_AGAIN_USEC)));
                break_read_answer(b);
                break_read_holder(b);
        } else if (b->q->flags & QUERY_BREAK_FORCE && b->reading_holder)
                loop_timer_set(&b->timer, usec_add(now, LOOK_AGAIN_USEC / 10));
        else if (b->q->flags & QUERY_BREAK_FORCE)
                break_delete(b);
        else
                break_finish(b, -ETIMEDOUT);
        break_release(b);
}

/* --- asking ------------------------------------------------------------------------------------- */

static void break_ask(ZkBreak *b, int64_t owner) {
        ZkBackend *zk = b->zk;
        char data[ZK_DATA_SIZE], path[ZK_PATH_SIZE];
        int len = zk_data_write_break(data, b->q->name, b->q->token, b->q->uid, zk->backend.realm->host);

        if (len < 0) {
                break_finish(b, len);
                return;
        }
        tooz_assert(zk_path_host(&zk->root, owner, ZK_BREAK_PREFIX, path) >= 0);
        b->state = BREAK_ASKING;
        b->n_pending++;
        zk_create(zk->session.handle, &b->op, path, data, (size_t) len, ZOO_EPHEMERAL_SEQUENTIAL);
}

static void break_on_asked(ZkBreak *b, const ZkOp *op) {
        if (op->rc == ZOK && str_copy(b->request, sizeof(b->request), op->text) >= 0)
                break_wait(b);
        else if (op->rc != ZNONODE)
                break_finish(b, break_error(op->rc));
        else if (b->q->flags & QUERY_BREAK_FORCE)
                break_delete(b);
        else
                break_finish(b, -EPERM);
}

/* --- looking ------------------------------------------------------------------------------------ */

static void break_look(ZkBreak *b) {
        if (b->at >= b->n_holders) {
                break_finish(b, b->n_holders > 0 ? -ESTALE : -ENOENT);
                return;
        }
        b->state = BREAK_LOOKING;
        b->n_pending++;
        zk_stat(b->zk->session.handle, &b->op, break_holder(b));
}

static void break_on_looked(ZkBreak *b, const ZkOp *op) {
        bool found = op->rc == ZOK && token_zxid_is_valid(op->stat.czxid) &&
                     token_from_czxid(op->stat.czxid, 0) == token_tenure(b->q->token);

        if (op->rc != ZOK && op->rc != ZNONODE)
                break_finish(b, break_error(op->rc));
        else if (!found) {
                b->at++;
                break_look(b);
        } else if (op->stat.ephemeralOwner == zk_domain(b->zk)->session.id)
                /* Ours, and the local queue has said no. */
                break_finish(b, -ESTALE);
        else
                break_ask(b, op->stat.ephemeralOwner);
}

/* Is the contender a holder, as far as the list goes? Nothing that conflicts is before it. */
static bool contender_holds(const Contender *c, const ZkOp *list) {
        Contender other;

        for (size_t i = 0; i < list->n_names; i++)
                if (zk_contender_parse(list->names[i], &other) && other.sequence < c->sequence &&
                    !lock_mode_compatible(other.mode, c->mode))
                        return false;
        return true;
}

/* Readers before the first writer hold it, or that writer when it is the first of all. */
static int break_take_holders(ZkBreak *b, const ZkOp *list) {
        char path[ZK_PATH_SIZE];
        int32_t writer = INT32_MAX;
        Contender c;

        b->holders = calloc(MAX(list->n_names, (size_t) 1), sizeof(b->holders[0]));
        if (!b->holders)
                return -ENOMEM;
        for (size_t i = 0; i < list->n_names; i++)
                if (zk_contender_parse(list->names[i], &c) && c.mode == LOCK_EXCLUSIVE)
                        writer = MIN(writer, c.sequence);
        for (size_t i = 0; i < list->n_names; i++) {
                if (!zk_contender_parse(list->names[i], &c) || c.sequence > writer)
                        continue;
                if (c.sequence == writer && !contender_holds(&c, list))
                        continue;
                if (zk_path(&b->zk->root, ZK_DIR_LOCKS, b->q->name, c.name, path) < 0)
                        continue;
                if (strdup_to(&b->holders[b->n_holders], path) < 0)
                        return -ENOMEM;
                b->n_holders++;
        }
        return 0;
}

static void break_on_listed(ZkBreak *b, const ZkOp *op) {
        int r = 0;

        if (op->rc == ZOK)
                r = break_take_holders(b, op);
        else if (op->rc != ZNONODE)
                r = break_error(op->rc);
        if (r < 0)
                break_finish(b, r);
        else
                break_look(b);
}

/* --- steps -------------------------------------------------------------------------------------- */

static void break_on_step(ZkOp *op) {
        ZkBreak *b = container_of(op, ZkBreak, op);

        b->n_pending--;
        if (b->state != BREAK_OVER && b->state != BREAK_WAITING && !break_is_current(b))
                break_finish(b, -ENOTCONN);
        switch (b->state) {
        case BREAK_LISTING:
                break_on_listed(b, op);
                break;
        case BREAK_LOOKING:
                break_on_looked(b, op);
                break;
        case BREAK_ASKING:
                break_on_asked(b, op);
                break;
        case BREAK_WAITING:
                break_on_holder_read(b, op);
                break;
        case BREAK_DELETING:
                break_finish(b, op->rc == ZOK || op->rc == ZNONODE ? 0 : break_error(op->rc));
                break;
        case BREAK_OVER:
                break;
        }
        break_release(b);
}

void zk_break_on_watch(ZkBackend *zk, const char *path) {
        ZkBreak *b;

        list_foreach(b, &zk->breaks, ZkBreak, link) {
                if (b->state != BREAK_WAITING)
                        continue;
                if (streq(path, b->request))
                        break_read_answer(b);
                else if (streq(path, break_holder(b)))
                        break_read_holder(b);
        }
}

void zk_break_end_all(ZkBackend *zk, int error) {
        ZkBreak *b, *tmp;

        list_foreach_safe(b, tmp, &zk->breaks, ZkBreak, link) {
                if (b->state == BREAK_WAITING)
                        break_finish(b, error);
                break_release(b);
        }
}

static int break_new(ZkBackend *zk, Query *q, ZkBreak **ret) {
        const Session *session = &zk_domain(zk)->session;
        ZkBreak *b;

        if (!zk->session.connected || zk_session_is_stopping(zk))
                return -ENOTCONN;
        b = calloc(1, sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->zk = zk;
        b->q = q;
        b->epoch = session->epoch;
        b->deadline_usec = usec_add(zk_now(zk), session->timeout_usec);
        loop_timer_init(&b->timer, zk->backend.loop, break_on_timer);
        zk_op_init(&b->op, break_on_step);
        zk_op_init(&b->answer, break_on_answer_read);
        zk_op_init(&b->remove, break_on_removed);
        list_link_init(&b->link);
        list_append(&zk->breaks, &b->link);
        zk->n_queries++;
        *ret = b;
        return 0;
}

void zk_break_start(ZkBackend *zk, Query *q) {
        char path[ZK_PATH_SIZE];
        ZkBreak *b;
        int r;

        /* What is held here needs nobody else. */
        r = lock_table_break(&zk_domain(zk)->locks, q->name, q->token, zk_now(zk), zk_effects(zk));
        if (r == 0) {
                query_finish(q, 0, zk_effects(zk));
                return;
        }
        r = break_new(zk, q, &b);
        if (r < 0) {
                query_finish(q, r, zk_effects(zk));
                return;
        }
        b->n_pending++;
        tooz_assert(zk_path(&zk->root, ZK_DIR_LOCKS, q->name, NULL, path) >= 0);
        zk_list(zk->session.handle, &b->op, path, false);
}
