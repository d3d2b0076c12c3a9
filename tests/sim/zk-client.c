/* SPDX-License-Identifier: Apache-2.0 */
/* The client library: see zk-client.h */

#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "sim/zk-client.h"

static void client_retry(ZkClient *c);

/* --- sending ------------------------------------------------------------------------------------ */

static void client_send(ZkClient *c, const Request *request) {
        Message *m = message_new(c->conn);

        m->request = *request;
        c->sent_usec = c->sim->now;
        conn_send_up(c->conn, m);
}

static void client_set_watches(ZkClient *c) {
        Request r = { .kind = OP_SET_WATCHES, .last_zxid = c->last_zxid };
        LibWatch *w;

        list_foreach(w, &c->watches, LibWatch, link)
                r.n_watches++;
        if (r.n_watches == 0)
                return;
        r.watches = calloc(r.n_watches, sizeof(*r.watches));
        tooz_assert(r.watches);
        r.n_watches = 0;
        list_foreach(w, &c->watches, LibWatch, link)
                r.watches[r.n_watches++] = w->key;
        client_send(c, &r);
}

void zk_client_submit(ZkClient *c, ZkOp *op) {
        list_link_init(&op->link);
        list_append(&c->unanswered, &op->link);
        if (c->state == LIB_CONNECTED)
                client_send(c, &op->request);
}

/* --- losing the connection ---------------------------------------------------------------------- */

static void client_end_ops(ZkClient *c, Rc rc) {
        List ended;
        ListLink *link;

        list_init(&ended);
        list_splice(&ended, &c->unanswered);
        while ((link = list_pop_first(&ended))) {
                ZkOp *op = container_of(link, ZkOp, link);

                op->reply = (Reply) { .kind = op->request.kind, .rc = rc };
                c->ops->op(c, op);
        }
}

static void client_drop_conn(ZkClient *c) {
        Message *m, *tmp;

        list_foreach_safe(m, tmp, &c->held, Message, link)
                message_free(m);
        if (c->conn)
                conn_close_client(c->conn);
        c->conn = NULL;
}

static void client_lose(ZkClient *c) {
        bool was_connected = c->state == LIB_CONNECTED;

        client_drop_conn(c);
        c->state = LIB_CONNECTING;
        if (was_connected)
                c->ops->state(c, LIB_CONNECTING);
        client_end_ops(c, RC_LOST);
        client_retry(c);
}

static void client_expire(ZkClient *c) {
        client_drop_conn(c);
        sim_cancel(c->sim, &c->timer);
        c->state = LIB_EXPIRED;
        c->ops->state(c, LIB_EXPIRED);
        client_end_ops(c, RC_EXPIRED);
}

/* --- connecting --------------------------------------------------------------------------------- */

static void client_connect(ZkClient *c) {
        const Request r = { .kind = OP_CONNECT, .session = c->session, .last_zxid = c->last_zxid };

        c->conn = model_connect(c->model, c);
        if (!c->conn) {
                client_retry(c);
                return;
        }
        c->submitted_usec = c->heard_usec = c->sim->now;
        client_send(c, &r);
        sim_at(c->sim, &c->timer, c->sim->now + c->timeout_usec / 3);
}

static void client_retry(ZkClient *c) {
        if (!c->stopped)
                sim_at(c->sim, &c->timer, c->sim->now + sim_between(c->sim, 1000, c->timeout_usec / 20));
}

static void client_on_connected(ZkClient *c, const Reply *reply) {
        ZkOp *op;

        if (reply->rc == RC_EXPIRED) {
                client_expire(c);
                return;
        }
        c->session = reply->session;
        c->timeout_usec = reply->timeout_usec;
        c->state = LIB_CONNECTED;
        client_set_watches(c);
        c->ops->state(c, LIB_CONNECTED);
        list_foreach(op, &c->unanswered, ZkOp, link)
                client_send(c, &op->request);
}

/* --- time --------------------------------------------------------------------------------------- */

static void client_on_timer(SimEvent *e) {
        ZkClient *c = container_of(e, ZkClient, timer);
        static const Request ping = { .kind = OP_PING };

        if (!c->conn) {
                client_connect(c);
                return;
        }
        if (c->sim->now >= c->heard_usec + (c->state == LIB_CONNECTED ? c->timeout_usec * 2 / 3 : c->timeout_usec / 3)) {
                client_lose(c);
                return;
        }
        if (c->state == LIB_CONNECTED && c->sim->now >= c->sent_usec + c->timeout_usec / 3)
                client_send(c, &ping);
        sim_at(c->sim, &c->timer, c->sim->now + c->timeout_usec / 12);
}

/* --- what arrives ------------------------------------------------------------------------------- */

static LibWatch *watch_find(ZkClient *c, const char *path, bool children) {
        LibWatch *w;

        list_foreach(w, &c->watches, LibWatch, link)
                if (w->key.children == children && streq(w->key.path, path))
                        return w;
        return NULL;
}

static void watch_add(ZkClient *c, const char *path, bool children) {
        LibWatch *w;

        if (watch_find(c, path, children))
                return;
        w = calloc(1, sizeof(*w));
        tooz_assert(w);
        list_link_init(&w->link);
        w->key.children = children;
        (void) str_copy(w->key.path, sizeof(w->key.path), path);
        list_append(&c->watches, &w->link);
}

static void client_on_event(ZkClient *c, const Reply *reply) {
        LibWatch *w = watch_find(c, reply->path, reply->children);

        if (!w)
                return;
        list_unlink(&w->link);
        free(w);
        c->ops->event(c, reply->path, reply->children);
}

static void client_on_reply(ZkClient *c, Reply *reply) {
        ZkOp *op = container_of(list_pop_first(&c->unanswered), ZkOp, link);

        tooz_assert(op && op->request.kind == reply->kind);
        if (op->request.watch && reply->rc == RC_OK)
                watch_add(c, op->request.path, reply->kind == OP_LIST);
        op->reply = *reply;
        reply->names = NULL;
        c->ops->op(c, op);
}

static void client_take(ZkClient *c, Message *m) {
        Reply *reply = &m->reply;

        c->heard_usec = c->sim->now;
        c->last_zxid = MAX(c->last_zxid, reply->zxid);
        switch (reply->kind) {
        case OP_CONNECT:
                client_on_connected(c, reply);
                break;
        case OP_CLOSED:
                client_lose(c);
                break;
        case OP_EVENT:
                client_on_event(c, reply);
                break;
        case OP_PING:
        case OP_SET_WATCHES:
                break;
        case OP_CREATE:
        case OP_DELETE:
        case OP_BEAT:
        case OP_GET:
        case OP_LIST:
        default:
                client_on_reply(c, reply);
        }
        message_free(m);
}

void client_receive(ZkClient *c, Message *m) {
        if (c->stopped)
                list_append(&c->held, &m->link);
        else
                client_take(c, m);
}

/* --- life --------------------------------------------------------------------------------------- */

void zk_client_init(ZkClient *c, const ZkClientOps *ops, Model *model) {
        *c = (ZkClient) {
                .ops = ops,
                .sim = model->sim,
                .model = model,
                .timeout_usec = model->timeout_usec,
        };
        list_init(&c->unanswered);
        list_init(&c->watches);
        list_init(&c->held);
        sim_event_init(&c->timer, client_on_timer);
        client_retry(c);
}

void zk_client_close(ZkClient *c) {
        LibWatch *w, *tmp;

        client_drop_conn(c);
        sim_cancel(c->sim, &c->timer);
        c->state = LIB_EXPIRED;
        client_end_ops(c, RC_LOST);
        list_foreach_safe(w, tmp, &c->watches, LibWatch, link) {
                list_unlink(&w->link);
                free(w);
        }
}

void zk_client_stop(ZkClient *c) {
        c->stopped = true;
        sim_cancel(c->sim, &c->timer);
}

/* Sometimes it looks at its clock before it looks at its socket. */
void zk_client_continue(ZkClient *c) {
        c->stopped = false;
        if (c->state == LIB_EXPIRED)
                return;
        sim_at(c->sim, &c->timer, c->sim->now);
        if (c->conn && sim_chance(c->sim, 1, 2))
                client_on_timer(&c->timer);
        while (!c->stopped && !list_is_empty(&c->held))
                client_take(c, container_of(list_pop_first(&c->held), Message, link));
}
