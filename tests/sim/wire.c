/* SPDX-License-Identifier: Apache-2.0 */
/* Connection: see wire.h */

#include <stdlib.h>

#include "base/assert.h"
#include "sim/wire.h"

static void way_init(Way *w) {
        *w = (Way) {};
        list_init(&w->in_flight);
}

Conn *conn_new(Sim *sim, ZkClient *client) {
        Conn *conn = calloc(1, sizeof(*conn));

        tooz_assert(conn);
        conn->sim = sim;
        conn->client = client;
        list_link_init(&conn->link);
        way_init(&conn->up);
        way_init(&conn->down);
        list_init(&conn->queue);
        return conn;
}

void message_free(Message *m) {
        list_unlink(&m->link);
        free(m->request.watches);
        free(m->reply.names);
        free(m);
}

static void drop_all(Sim *sim, List *messages) {
        Message *m, *tmp;

        list_foreach_safe(m, tmp, messages, Message, link) {
                sim_cancel(sim, &m->event);
                message_free(m);
        }
}

/* Closed at both ends, and nothing on its way. */
static void conn_check(Conn *conn) {
        if (conn->client || conn->server || !list_is_empty(&conn->up.in_flight) || !list_is_empty(&conn->down.in_flight))
                return;
        drop_all(conn->sim, &conn->queue);
        free(conn);
}

static void on_arrival_up(SimEvent *e) {
        Message *m = container_of(e, Message, event);
        Conn *conn = m->conn;

        list_unlink(&m->link);
        if (!conn->server) {
                message_free(m);
                conn_check(conn);
        } else if (m->request.kind == OP_CLOSED) {
                message_free(m);
                conn_close_server(conn);
        } else
                server_receive(conn->server, m);
}

static void on_arrival_down(SimEvent *e) {
        Message *m = container_of(e, Message, event);
        Conn *conn = m->conn;

        list_unlink(&m->link);
        if (conn->client)
                client_receive(conn->client, m);
        else {
                message_free(m);
                conn_check(conn);
        }
}

Message *message_new(Conn *conn) {
        Message *m = calloc(1, sizeof(*m));

        tooz_assert(m);
        list_link_init(&m->link);
        m->conn = conn;
        return m;
}

/* Mostly a tenth of a millisecond, now and then as long as a bad network. */
static uint64_t any_delay(Sim *sim) {
        return sim_chance(sim, 1, 50) ? sim_between(sim, 0, 200000) : sim_between(sim, 20, 400);
}

static void way_send(Conn *conn, Way *w, Message *m, void (*arrive)(SimEvent *e)) {
        if (w->lost) {
                message_free(m);
                return;
        }
        w->last_usec = MAX(w->last_usec, conn->sim->now + any_delay(conn->sim));
        sim_event_init(&m->event, arrive);
        list_append(&w->in_flight, &m->link);
        sim_at(conn->sim, &m->event, w->last_usec);
}

void conn_send_up(Conn *conn, Message *m) {
        way_send(conn, &conn->up, m, on_arrival_up);
}

void conn_send_down(Conn *conn, Message *m) {
        way_send(conn, &conn->down, m, on_arrival_down);
}

void conn_close_client(Conn *conn) {
        Message *m = message_new(conn);

        conn->client = NULL;
        drop_all(conn->sim, &conn->down.in_flight);
        m->request.kind = OP_CLOSED;
        conn_send_up(conn, m);
        conn_check(conn);
}

void conn_close_server(Conn *conn) {
        Message *m = message_new(conn);

        tooz_assert(conn->server);
        server_forget(conn->server, conn);
        conn->server = NULL;
        list_unlink(&conn->link);
        drop_all(conn->sim, &conn->up.in_flight);
        drop_all(conn->sim, &conn->queue);
        /* What was forwarded is done or not, but nobody will hear of it. */
        if (conn->busy)
                conn->busy->conn = NULL;
        conn->busy = NULL;
        m->reply.kind = OP_CLOSED;
        conn_send_down(conn, m);
        conn_check(conn);
}

/* The last few of those in flight are lost. */
static void way_cut(Conn *conn, Way *w) {
        while (!list_is_empty(&w->in_flight) && sim_chance(conn->sim, 2, 3)) {
                Message *m = container_of(list_last(&w->in_flight), Message, link);

                sim_cancel(conn->sim, &m->event);
                message_free(m);
        }
}

/* The server hears of it behind what arrives, so it carries that out; the client does at once, or behind replies. */
void conn_reset(Conn *conn) {
        Message *m;

        way_cut(conn, &conn->up);
        way_cut(conn, &conn->down);
        if (conn->server) {
                m = message_new(conn);
                m->request.kind = OP_CLOSED;
                conn->up.lost = false;
                conn_send_up(conn, m);
                conn->up.lost = true;
        }
        if (conn->client) {
                m = message_new(conn);
                m->reply.kind = OP_CLOSED;
                conn->down.lost = false;
                conn_send_down(conn, m);
                conn->down.lost = true;
        }
}
