/* SPDX-License-Identifier: Apache-2.0 */
/* Model of a ZooKeeper ensemble: see model.h */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "sim/model.h"

/* --- sessions, as the leader has them ----------------------------------------------------------- */

static ModelSession *session_find(const Model *m, int64_t id) {
        ModelSession *s;

        hash_find(hh, m->sessions, &id, sizeof(id), s);
        return s;
}

static void session_heard(ModelSession *s) {
        Sim *sim = s->model->sim;

        s->heard_usec = sim->now;
        /* Rounded up to a tick by some. */
        sim_at(sim, &s->expiry, sim->now + s->timeout_usec + (sim_chance(sim, 1, 2) ? sim_between(sim, 0, MODEL_TICK) : 0));
}

static void session_touch(Model *m, Server *server, int64_t id) {
        ModelSession *s = session_find(m, id);

        if (!s || s->server != server)
                return;
        if (server == m->leader)
                session_heard(s);
        else
                s->touched[server->id] = true;
}

static void session_free(ModelSession *s) {
        Model *m = s->model;

        sim_cancel(m->sim, &s->expiry);
        hash_remove(hh, m->sessions, s);
        free(s);
}

/* --- watches ------------------------------------------------------------------------------------ */

static void send_event(Conn *conn, const WatchKey *key) {
        Message *event = message_new(conn);

        event->reply.kind = OP_EVENT;
        event->reply.children = key->children;
        (void) str_copy(event->reply.path, sizeof(event->reply.path), key->path);
        conn_send_down(conn, event);
}

static void watch_add(Server *s, Conn *conn, const char *path, bool children) {
        ServerWatch *w;

        list_foreach(w, &s->watches, ServerWatch, link)
                if (w->conn == conn && w->key.children == children && streq(w->key.path, path))
                        return;
        w = calloc(1, sizeof(*w));
        tooz_assert(w);
        list_link_init(&w->link);
        w->conn = conn;
        w->key.children = children;
        (void) str_copy(w->key.path, sizeof(w->key.path), path);
        list_append(&s->watches, &w->link);
}

static void watch_free(ServerWatch *w) {
        list_unlink(&w->link);
        free(w);
}

static void watches_fire(Server *s, const char *path, size_t len, bool children) {
        ServerWatch *w, *tmp;

        list_foreach_safe(w, tmp, &s->watches, ServerWatch, link) {
                if (w->key.children != children || strncmp(w->key.path, path, len) != 0 || w->key.path[len] != '\0')
                        continue;
                send_event(w->conn, &w->key);
                watch_free(w);
        }
}

/* --- servers: closing connections --------------------------------------------------------------- */

void server_forget(Server *s, const Conn *conn) {
        ServerWatch *w, *tmp;

        list_foreach_safe(w, tmp, &s->watches, ServerWatch, link)
                if (w->conn == conn)
                        watch_free(w);
}

static void server_close_all(Server *s, int64_t session) {
        Conn *conn, *tmp;

        list_foreach_safe(conn, tmp, &s->conns, Conn, link)
                if (session == 0 || conn->session == session)
                        conn_close_server(conn);
}

static void forget_messages(Model *m, List *messages) {
        Message *msg, *tmp;

        list_foreach_safe(msg, tmp, messages, Message, link) {
                sim_cancel(m->sim, &msg->event);
                if (msg->conn)
                        msg->conn->busy = NULL;
                message_free(msg);
        }
}

/* --- the log ------------------------------------------------------------------------------------ */

static void server_pump(Server *s, Conn *conn);
static void server_wake(Server *s);

static Txn *log_append(Model *m, size_t n_ops, Server *origin, Message *message) {
        Txn *t = calloc(1, sizeof(*t) + n_ops * sizeof(TxnOp));

        tooz_assert(t);
        list_link_init(&t->link);
        t->zxid = ++m->zxid;
        t->origin = origin;
        t->message = message;
        t->n_ops = n_ops;
        list_append(&m->log, &t->link);
        return t;
}

static void txn_op(Txn *t, size_t i, OpKind kind, const char *path, int64_t owner, int64_t value) {
        t->ops[i] = (TxnOp) { .kind = kind, .owner = owner, .value = value };
        tooz_assert(str_copy(t->ops[i].path, sizeof(t->ops[i].path), path) >= 0);
}

static void tree_apply(Tree *tree, const TxnOp *op, int64_t zxid) {
        Znode *z = tree_find(tree, op->path);

        if (op->kind == OP_CREATE)
                tree_create(tree, op->path, op->owner, op->value, zxid);
        else if (op->kind == OP_DELETE)
                tree_delete(tree, z, zxid);
        else {
                z->value = op->value;
                z->mzxid = zxid;
        }
}

/* The leader has it: every server will. */
static void log_publish(Model *m, Txn *t) {
        for (size_t i = 0; i < t->n_ops; i++)
                tree_apply(&m->committed, &t->ops[i], t->zxid);
        for (unsigned i = 0; i < MODEL_SERVERS; i++)
                server_wake(&m->servers[i]);
}

static Txn *server_next(const Server *s) {
        Txn *t;

        list_foreach(t, &s->model->log, Txn, link)
                if (!(t->applied & 1u << s->id))
                        return t;
        return NULL;
}

static void server_wake(Server *s) {
        Sim *sim = s->model->sim;

        if (!s->up || s->cut || sim_is_scheduled(&s->apply) || !server_next(s))
                return;
        sim_at(sim, &s->apply, sim->now + (s->slow ? sim_between(sim, 0, MODEL_TICK) : sim_between(sim, 10, 600)));
}

static void txn_answer(Server *s, Txn *t) {
        Message *msg = TAKE_PTR(t->message);
        Conn *conn = msg->conn;

        if (!conn) {
                message_free(msg);
                return;
        }
        conn->busy = NULL;
        if (msg->request.kind == OP_CONNECT)
                conn->session = msg->reply.session;
        msg->reply.zxid = t->zxid;
        conn_send_down(conn, msg);
        server_pump(s, conn);
}

static void txn_apply(Server *s, Txn *t) {
        s->applied_zxid = t->zxid;
        t->applied |= 1u << s->id;
        for (size_t i = 0; i < t->n_ops; i++) {
                const char *path = t->ops[i].path;

                tree_apply(&s->tree, &t->ops[i], t->zxid);
                if (t->ops[i].kind != OP_CREATE)
                        watches_fire(s, path, strlen(path), false);
                if (t->ops[i].kind == OP_DELETE)
                        watches_fire(s, path, strlen(path), true);
                if (t->ops[i].kind != OP_BEAT)
                        watches_fire(s, path, tree_parent_len(path), true);
        }
        if (t->ended)
                server_close_all(s, t->ended);
        if (t->origin == s && t->message)
                txn_answer(s, t);
        if (t->applied == (1u << MODEL_SERVERS) - 1) {
                list_unlink(&t->link);
                free(t);
        }
}

static void server_on_apply(SimEvent *e) {
        Server *s = container_of(e, Server, apply);
        Txn *t = server_next(s);

        if (t && s->up && !s->cut)
                txn_apply(s, t);
        server_wake(s);
}

/* --- the leader --------------------------------------------------------------------------------- */

static void session_end(Model *m, ModelSession *s) {
        size_t n = 0;
        Znode *z;
        Txn *t;

        hash_foreach(hh, m->committed.by_path, z)
                n += z->owner == s->id;
        t = log_append(m, n, NULL, NULL);
        n = 0;
        hash_foreach(hh, m->committed.by_path, z)
                if (z->owner == s->id)
                        txn_op(t, n++, OP_DELETE, z->path, 0, 0);
        t->ended = s->id;
        sim_trace(m->sim, "zk: session %" PRId64 " ends with %zu nodes", s->id, n);
        session_free(s);
        log_publish(m, t);
}

static void session_on_expiry(SimEvent *e) {
        ModelSession *s = container_of(e, ModelSession, expiry);

        if (!s->model->leader) {
                session_heard(s);
                return;
        }
        s->model->n_expired++;
        session_end(s->model, s);
}

static ModelSession *session_new(Model *m, Server *server) {
        ModelSession *s = calloc(1, sizeof(*s));

        tooz_assert(s);
        s->id = ++m->next_session;
        s->model = m;
        s->server = server;
        s->timeout_usec = m->timeout_usec;
        sim_event_init(&s->expiry, session_on_expiry);
        tooz_assert(hash_add(hh, m->sessions, &s->id, sizeof(s->id), s) >= 0);
        session_heard(s);
        return s;
}

/* An old session is asked of the leader, and answered without waiting for what this server has not applied yet. */
static void commit_reconnect(Model *m, Server *server, Message *msg) {
        ModelSession *s = session_find(m, msg->request.session);
        Conn *conn = msg->conn;

        conn->busy = NULL;
        if (s) {
                conn->session = s->id;
                if (s->server != server) {
                        m->n_moved++;
                        server_close_all(s->server, s->id);
                }
                s->server = server;
                s->timeout_usec = m->timeout_usec;
                session_heard(s);
                msg->reply.session = s->id;
                msg->reply.timeout_usec = s->timeout_usec;
        } else
                msg->reply.rc = RC_EXPIRED;
        msg->reply.zxid = server->applied_zxid;
        conn_send_down(conn, msg);
        server_pump(server, conn);
}

static Txn *commit_connect(Model *m, Server *server, Message *msg) {
        ModelSession *s = session_new(m, server);

        msg->reply.session = s->id;
        msg->reply.timeout_usec = s->timeout_usec;
        return log_append(m, 0, server, msg);
}

static Txn *refuse(Model *m, Server *server, Message *msg, Rc rc) {
        msg->reply.rc = rc;
        return log_append(m, 0, server, msg);
}

static Txn *commit_create(Model *m, Server *server, Message *msg, int64_t session) {
        const Request *r = &msg->request;
        Reply *reply = &msg->reply;
        char parent[TREE_PATH_SIZE];
        Znode *z;
        Txn *t;

        memcpy(parent, r->path, tree_parent_len(r->path));
        parent[tree_parent_len(r->path)] = '\0';
        z = tree_find(&m->committed, parent);
        if (!z)
                return refuse(m, server, msg, RC_NO_NODE);
        if (r->ephemeral)
                tooz_assert(str_print(reply->path, sizeof(reply->path), "%s%010d", r->path, (int) z->next_sequence) >= 0);
        else
                tooz_assert(str_copy(reply->path, sizeof(reply->path), r->path) >= 0);
        if (tree_find(&m->committed, reply->path))
                return refuse(m, server, msg, RC_NODE_EXISTS);
        t = log_append(m, 1, server, msg);
        sim_trace(m->sim, "zk: %s created", reply->path);
        reply->owner = r->ephemeral ? session : 0;
        reply->czxid = t->zxid;
        txn_op(t, 0, OP_CREATE, reply->path, reply->owner, 0);
        return t;
}

/* What the record's part of a multi fails with. */
static Rc record_check(const Model *m, const Request *r) {
        bool there = tree_find(&m->committed, r->record_path);

        switch (r->record) {
        case RECORD_KEEP:
                return RC_OK;
        case RECORD_CREATE:
                return there ? RC_NODE_EXISTS : RC_OK;
        case RECORD_SET:
        case RECORD_CLEAR:
                return there ? RC_OK : RC_NO_NODE;
        default:
                assert_not_reached();
        }
}

static Txn *commit_delete(Model *m, Server *server, Message *msg) {
        static const char *const says[] = {
                [RECORD_KEEP] = "", [RECORD_CREATE] = ", its holder died", [RECORD_SET] = ", its holder died too",
                [RECORD_CLEAR] = ", the death was told",
        };
        static const OpKind kinds[] = { [RECORD_CREATE] = OP_CREATE, [RECORD_SET] = OP_BEAT, [RECORD_CLEAR] = OP_DELETE };
        const Request *r = &msg->request;
        Znode *z = tree_find(&m->committed, r->path);
        Txn *t;

        msg->reply.record_rc = record_check(m, r);
        if (msg->reply.record_rc != RC_OK)
                return refuse(m, server, msg, msg->reply.record_rc);
        if (!z)
                return refuse(m, server, msg, RC_NO_NODE);
        if (!list_is_empty(&z->children))
                return refuse(m, server, msg, RC_NOT_EMPTY);
        sim_trace(m->sim, "zk: %s deleted%s", r->path, says[r->record]);
        t = log_append(m, r->record == RECORD_KEEP ? 1 : 2, server, msg);
        txn_op(t, 0, OP_DELETE, r->path, 0, 0);
        if (r->record != RECORD_KEEP)
                txn_op(t, 1, kinds[r->record], r->record_path, 0, r->record_value);
        return t;
}

static void commit(Server *server, Message *msg) {
        Model *m = server->model;
        ModelSession *s;
        Txn *t;

        if (msg->request.kind == OP_CONNECT && !msg->conn) {
                message_free(msg);
                return;
        }
        if (msg->request.kind == OP_CONNECT && msg->request.session != 0) {
                commit_reconnect(m, server, msg);
                return;
        }
        s = msg->request.kind == OP_CONNECT ? NULL : session_find(m, msg->request.session);
        if (msg->request.kind != OP_CONNECT && (!s || s->server != server)) {
                /* Expired, or moved to another server: this connection is of no use. */
                Conn *conn = msg->conn;

                message_free(msg);
                if (conn) {
                        conn->busy = NULL;
                        conn_close_server(conn);
                }
                return;
        }
        if (msg->request.kind == OP_CONNECT)
                t = commit_connect(m, server, msg);
        else if (msg->request.kind == OP_CREATE)
                t = commit_create(m, server, msg, s->id);
        else if (msg->request.kind == OP_DELETE)
                t = commit_delete(m, server, msg);
        else
                t = log_append(m, 0, server, msg);
        log_publish(m, t);
}

/* Its connection may be gone; the leader takes it nevertheless. */
static void on_forwarded(SimEvent *e) {
        Message *msg = container_of(e, Message, event);

        list_unlink(&msg->link);
        tooz_assert(msg->server->model->leader);
        commit(msg->server, msg);
}

static void forward(Server *s, Message *msg) {
        Sim *sim = s->model->sim;

        msg->server = s;
        if (s->cut) {
                list_append(&s->held, &msg->link);
                return;
        }
        s->forward_usec = MAX(s->forward_usec, sim->now + (s == s->model->leader ? 5 : sim_between(sim, 20, 500)));
        sim_event_init(&msg->event, on_forwarded);
        list_append(&s->model->forwarded, &msg->link);
        sim_at(sim, &msg->event, s->forward_usec);
}

/* --- requests ----------------------------------------------------------------------------------- */

static bool is_write(OpKind kind) {
        return kind == OP_CONNECT || kind == OP_CREATE || kind == OP_DELETE || kind == OP_BEAT;
}

static void read_get(Server *s, Conn *conn, Message *msg) {
        const Znode *z = tree_find(&s->tree, msg->request.path);

        if (!z) {
                msg->reply.rc = RC_NO_NODE;
                return;
        }
        msg->reply.czxid = z->czxid;
        msg->reply.owner = z->owner;
        msg->reply.value = z->value;
        if (msg->request.watch)
                watch_add(s, conn, msg->request.path, false);
}

static void read_list(Server *s, Conn *conn, Message *msg) {
        const Znode *z = tree_find(&s->tree, msg->request.path), *child;
        Reply *reply = &msg->reply;
        size_t n = 0;

        if (!z) {
                reply->rc = RC_NO_NODE;
                return;
        }
        list_foreach(child, &z->children, Znode, link)
                n++;
        reply->names = calloc(n + 1, sizeof(*reply->names));
        tooz_assert(reply->names);
        list_foreach(child, &z->children, Znode, link)
                (void) str_copy(reply->names[reply->n_names++], TREE_PATH_SIZE, tree_name(child->path));
        if (msg->request.watch)
                watch_add(s, conn, msg->request.path, true);
}

/* What changed since the client saw it is told at once. */
static void read_set_watches(Server *s, Conn *conn, const Request *r) {
        for (size_t i = 0; i < r->n_watches; i++) {
                const WatchKey *key = &r->watches[i];
                const Znode *z = tree_find(&s->tree, key->path);

                if (!z || (key->children ? z->pzxid : z->mzxid) > r->last_zxid)
                        send_event(conn, key);
                else
                        watch_add(s, conn, key->path, key->children);
        }
}

static void server_read(Server *s, Conn *conn, Message *msg) {
        if (msg->request.kind == OP_GET)
                read_get(s, conn, msg);
        else if (msg->request.kind == OP_LIST)
                read_list(s, conn, msg);
        else if (msg->request.kind == OP_SET_WATCHES)
                read_set_watches(s, conn, &msg->request);
        msg->reply.zxid = s->applied_zxid;
        conn_send_down(conn, msg);
}

/* In order: what stands behind a write waits until this server has applied it. */
static void server_pump(Server *s, Conn *conn) {
        while (conn->server && !conn->busy && !list_is_empty(&conn->queue)) {
                Message *msg = container_of(list_pop_first(&conn->queue), Message, link);

                msg->reply.kind = msg->request.kind;
                if (!is_write(msg->request.kind)) {
                        server_read(s, conn, msg);
                        continue;
                }
                if (msg->request.kind != OP_CONNECT)
                        msg->request.session = conn->session;
                conn->busy = msg;
                forward(s, msg);
        }
}

void server_receive(Server *s, Message *msg) {
        Conn *conn = msg->conn;

        if (!s->up || !s->model->leader) {
                message_free(msg);
                conn_close_server(conn);
                return;
        }
        /* It would show the client a world older than what it has seen. */
        if (msg->request.kind == OP_CONNECT && msg->request.last_zxid > s->applied_zxid) {
                s->model->n_stale_connects++;
                message_free(msg);
                conn_close_server(conn);
                return;
        }
        /* A client that comes back has only one connection to a server. */
        if (msg->request.kind == OP_CONNECT && msg->request.session != 0)
                server_close_all(s, msg->request.session);
        session_touch(s->model, s, conn->session);
        list_append(&conn->queue, &msg->link);
        server_pump(s, conn);
}

/* --- followers ---------------------------------------------------------------------------------- */

/* Connections of which the client went unheard. */
static void server_sweep(Server *s) {
        Conn *conn, *tmp;

        list_foreach_safe(conn, tmp, &s->conns, Conn, link)
                if (!conn->client && conn->up.lost && !conn->busy)
                        conn_close_server(conn);
}

static void server_on_report(SimEvent *e) {
        Server *s = container_of(e, Server, report);
        ModelSession *session;
        Model *m = s->model;

        if (s->up && !s->cut && m->leader)
                hash_foreach(hh, m->sessions, session) {
                        if (session->touched[s->id])
                                session_heard(session);
                        session->touched[s->id] = false;
                }
        server_sweep(s);
        sim_at(m->sim, &s->report, m->sim->now + MODEL_TICK / 2);
}

static void server_on_give_up(SimEvent *e) {
        Server *s = container_of(e, Server, give_up);

        sim_trace(s->model->sim, "zk: server %u gives up without its leader", s->id);
        server_close_all(s, 0);
        forget_messages(s->model, &s->held);
}

void model_cut(Model *m, Server *s) {
        if (s == m->leader || s->cut || !s->up)
                return;
        sim_trace(m->sim, "zk: server %u is cut off", s->id);
        s->cut = true;
        sim_cancel(m->sim, &s->apply);
        sim_at(m->sim, &s->give_up, m->sim->now + sim_between(m->sim, MODEL_TICK, 6 * MODEL_TICK));
}

void model_mend(Model *m, Server *s) {
        if (!s->cut)
                return;
        sim_trace(m->sim, "zk: server %u is back with its leader", s->id);
        s->cut = false;
        sim_cancel(m->sim, &s->give_up);
        while (!list_is_empty(&s->held))
                forward(s, container_of(list_pop_first(&s->held), Message, link));
        server_wake(s);
}

/* --- crashes and elections ---------------------------------------------------------------------- */

static void model_on_elected(SimEvent *e) {
        Model *m = container_of(e, Model, election);
        ModelSession *session;
        Server *s;
        Txn *t;

        do
                s = &m->servers[sim_between(m->sim, 0, MODEL_SERVERS - 1)];
        while (!s->up);
        model_mend(m, s);
        while ((t = server_next(s)))
                txn_apply(s, t);
        m->leader = s;
        m->zxid = ((m->zxid >> 32) + 1) << 32;
        sim_trace(m->sim, "zk: server %u leads, epoch %" PRId64, s->id, m->zxid >> 32);
        hash_foreach(hh, m->sessions, session)
                session_heard(session);
}

void model_elect(Model *m, uint64_t usec) {
        if (!m->leader)
                return;
        sim_trace(m->sim, "zk: no leader");
        m->leader = NULL;
        forget_messages(m, &m->forwarded);
        for (unsigned i = 0; i < MODEL_SERVERS; i++) {
                forget_messages(m, &m->servers[i].held);
                server_close_all(&m->servers[i], 0);
        }
        sim_at(m->sim, &m->election, m->sim->now + usec);
}

void model_crash(Model *m, Server *s) {
        unsigned n_up = 0;

        for (unsigned i = 0; i < MODEL_SERVERS; i++)
                n_up += m->servers[i].up && !m->servers[i].cut;
        if (!s->up || n_up < MODEL_SERVERS)
                return;
        sim_trace(m->sim, "zk: server %u crashes", s->id);
        if (s == m->leader)
                model_elect(m, sim_between(m->sim, MODEL_TICK / 10, 3 * MODEL_TICK));
        s->up = false;
        forget_messages(m, &s->held);
        server_close_all(s, 0);
        sim_cancel(m->sim, &s->apply);
}

void model_start(Model *m, Server *s) {
        if (s->up)
                return;
        sim_trace(m->sim, "zk: server %u starts", s->id);
        s->up = true;
        server_wake(s);
}

/* --- the model ---------------------------------------------------------------------------------- */

static void server_init(Model *m, unsigned id) {
        Server *s = &m->servers[id];

        *s = (Server) { .model = m, .id = id, .up = true };
        tree_init(&s->tree);
        list_init(&s->conns);
        list_init(&s->watches);
        list_init(&s->held);
        sim_event_init(&s->apply, server_on_apply);
        sim_event_init(&s->report, server_on_report);
        sim_event_init(&s->give_up, server_on_give_up);
        sim_at(m->sim, &s->report, m->sim->now + MODEL_TICK / 2 + id * 100000);
}

void model_init(Model *m, Sim *sim, uint64_t timeout_usec) {
        Txn *t;

        *m = (Model) { .sim = sim, .zxid = INT64_C(1) << 32, .timeout_usec = timeout_usec };
        list_init(&m->log);
        list_init(&m->forwarded);
        tree_init(&m->committed);
        sim_event_init(&m->election, model_on_elected);
        for (unsigned i = 0; i < MODEL_SERVERS; i++)
                server_init(m, i);
        m->leader = &m->servers[0];
        t = log_append(m, 2, NULL, NULL);
        txn_op(t, 0, OP_CREATE, "/locks", 0, 0);
        txn_op(t, 1, OP_CREATE, "/died", 0, 0);
        log_publish(m, t);
}

static void server_deinit(Server *s) {
        Sim *sim = s->model->sim;

        sim_cancel(sim, &s->apply);
        sim_cancel(sim, &s->report);
        sim_cancel(sim, &s->give_up);
        server_close_all(s, 0);
        forget_messages(s->model, &s->held);
        tree_deinit(&s->tree);
}

void model_deinit(Model *m) {
        ModelSession *session, *session_next;
        Txn *t, *t_next;

        forget_messages(m, &m->forwarded);
        for (unsigned i = 0; i < MODEL_SERVERS; i++)
                server_deinit(&m->servers[i]);
        hash_foreach_safe(hh, m->sessions, session, session_next)
                session_free(session);
        list_foreach_safe(t, t_next, &m->log, Txn, link) {
                if (t->message)
                        message_free(t->message);
                list_unlink(&t->link);
                free(t);
        }
        sim_cancel(m->sim, &m->election);
        tree_deinit(&m->committed);
}

Conn *model_connect(Model *m, ZkClient *client) {
        Server *s = &m->servers[sim_between(m->sim, 0, MODEL_SERVERS - 1)];
        Conn *conn;

        if (!s->up)
                return NULL;
        conn = conn_new(m->sim, client);
        conn->server = s;
        list_append(&s->conns, &conn->link);
        return conn;
}

void model_remove(Model *m, const char *path) {
        const Znode *z = tree_find(&m->committed, path);
        Txn *t;

        if (!m->leader || !z || !list_is_empty(&z->children))
                return;
        sim_trace(m->sim, "zk: somebody deletes %s", path);
        t = log_append(m, 1, NULL, NULL);
        txn_op(t, 0, OP_DELETE, path, 0, 0);
        log_publish(m, t);
}

void model_heal(Model *m) {
        for (unsigned i = 0; i < MODEL_SERVERS; i++) {
                m->servers[i].slow = false;
                model_start(m, &m->servers[i]);
                model_mend(m, &m->servers[i]);
        }
}

const Znode *model_find(const Model *m, const char *path) {
        return tree_find(&m->committed, path);
}

bool model_has_session(const Model *m, int64_t id) {
        return session_find(m, id);
}
