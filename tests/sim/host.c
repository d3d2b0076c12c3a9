/* SPDX-License-Identifier: Apache-2.0 */
/* A host: see host.h. Nodes and listings: host-node.c */

#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "sim/host-node.h"
#include "sim/world.h"

/* --- inbox -------------------------------------------------------------------------------------- */

bool host_is_running(const Host *h) {
        return h->alive && !h->stopped && !h->hung;
}

static void host_wake(Host *h) {
        if (host_is_running(h) && !sim_is_scheduled(&h->turn))
                sim_at(h->sim, &h->turn, h->sim->now + sim_between(h->sim, 1, 50));
}

static Item *inbox_add(Host *h, ItemKind kind) {
        Item *item = calloc(1, sizeof(*item));

        tooz_assert(item);
        item->kind = kind;
        list_link_init(&item->link);
        list_append(&h->inbox, &item->link);
        host_wake(h);
        return item;
}

/* The handle, and whose it is. */
typedef struct Handle {
        ZkClient zk;
        Host *host;
        uint64_t serial;
} Handle;

static Item *lib_says(ZkClient *c, ItemKind kind) {
        const Handle *handle = container_of(c, Handle, zk);
        Item *item = inbox_add(handle->host, kind);

        item->handle = handle->serial;
        return item;
}

static void on_lib_state(ZkClient *c, LibState state) {
        lib_says(c, ITEM_STATE)->state = state;
}

static void on_lib_op(ZkClient *c, ZkOp *op) {
        lib_says(c, ITEM_OP)->op = op;
}

static void on_lib_event(ZkClient *c, const char *path, bool children) {
        Item *item = lib_says(c, ITEM_EVENT);

        item->key.children = children;
        tooz_assert(str_copy(item->key.path, sizeof(item->key.path), path) >= 0);
}

static const ZkClientOps lib_ops = { on_lib_state, on_lib_op, on_lib_event };

void host_call(Host *h, void (*fn)(Host *h, void *arg), void *arg) {
        Item *item = inbox_add(h, ITEM_CALL);

        item->call = fn;
        item->arg = arg;
}

static void item_free(Item *item) {
        list_unlink(&item->link);
        if (item->op)
                item->op->drop(item->op);
        free(item);
}

/* --- session ------------------------------------------------------------------------------------ */

static void handle_open(Host *h) {
        Handle *handle = calloc(1, sizeof(*handle));

        tooz_assert(handle);
        handle->host = h;
        handle->serial = ++h->n_handles;
        h->zk = &handle->zk;
        zk_client_init(h->zk, &lib_ops, h->model);
        if (h->stopped)
                zk_client_stop(h->zk);
}

static void handle_close(Host *h) {
        h->connected = false;
        if (!h->zk)
                return;
        zk_client_close(h->zk);
        free(container_of(h->zk, Handle, zk));
        h->zk = NULL;
}

static void on_disconnected(Host *h) {
        if (!h->connected)
                return;
        h->connected = false;
        sim_trace(h->sim, "host %u: lost contact", h->id);
        domain_on_disconnect(h->domain, h->sim->now, &h->fx);
}

static void on_connected(Host *h) {
        ZkClient *zk = h->zk;

        /* That connection is gone already. */
        if (zk->state != LIB_CONNECTED)
                return;
        on_disconnected(h);
        h->connected = true;
        h->n_connects++;
        sim_trace(h->sim, "host %u: connected, session %" PRId64 ", T %" PRIu64, h->id, zk->session, zk->timeout_usec);
        domain_on_handshake(h->domain, zk->session, zk->timeout_usec, zk->submitted_usec, h->sim->now, &h->fx);
}

/* One that is to be replaced has nothing to say. */
static void on_state(Host *h, LibState state) {
        if (h->domain->session.want & SESSION_WANT_REPLACE)
                return;
        if (state == LIB_CONNECTED)
                on_connected(h);
        else if (state == LIB_CONNECTING)
                on_disconnected(h);
        else {
                sim_trace(h->sim, "host %u: session expired", h->id);
                h->connected = false;
                domain_on_expired(h->domain, h->sim->now, &h->fx);
        }
}

/* --- heartbeat ---------------------------------------------------------------------------------- */

/* Only answers on the connection on which they were asked count. */
typedef struct BeatOp {
        ZkOp op;
        Host *host;
        ZkClient *zk;
        uint64_t connection;
} BeatOp;

static void beat_on_done(ZkOp *op) {
        BeatOp *b = container_of(op, BeatOp, op);
        Host *h = b->host;

        if (b->zk == h->zk && h->domain->session.id != 0 && b->connection == h->n_connects) {
                if (op->reply.rc == RC_OK)
                        domain_on_heartbeat_ack(h->domain, h->sim->now, &h->fx);
                else
                        domain_on_heartbeat_failed(h->domain, h->sim->now, &h->fx);
        }
        free(b);
}

static void beat_drop(ZkOp *op) {
        free(container_of(op, BeatOp, op));
}

static void beat_submit(Host *h) {
        BeatOp *b;

        if (!h->connected)
                return;
        b = calloc(1, sizeof(*b));
        tooz_assert(b);
        *b = (BeatOp) { .op.done = beat_on_done, .op.drop = beat_drop, .op.request.kind = OP_BEAT, .host = h, .zk = h->zk, .connection = h->n_connects };
        domain_on_heartbeat_sent(h->domain, h->sim->now);
        zk_client_submit(h->zk, &b->op);
}

static void carry_out_session(Host *h, Session *s) {
        unsigned want = s->want;

        s->want = 0;
        if (want & SESSION_WANT_REPLACE) {
                /* After a pause the handle may have come back in the very turn that gave it up. */
                if (s->id != 0)
                        return;
                handle_close(h);
                handle_open(h);
                domain_on_replaced(h->domain, h->sim->now);
        } else if (want & SESSION_WANT_HEARTBEAT)
                beat_submit(h);
}

/* --- turn --------------------------------------------------------------------------------------- */

static void carry_out(Host *h, Effect *e) {
        Claim *claim;

        switch (e->kind) {
        case EFFECT_CLAIM:
                claim = container_of(e, Claim, effect);
                world_tell(h->world, h, claim, claim_take_news(claim));
                break;
        case EFFECT_NODE:
                host_carry_out_node(h, container_of(e, Node, effect));
                break;
        case EFFECT_LOCK:
                host_carry_out_lock(h, container_of(e, Lock, effect));
                break;
        case EFFECT_SESSION:
                carry_out_session(h, container_of(e, Session, effect));
                break;
        case EFFECT_PLACE:
        case EFFECT_QUERY:
        case EFFECT_QUERY_DONE:
        case _EFFECT_KIND_MAX:
        default:
                assert_not_reached();
        }
}

void host_drain(Host *h) {
        Effect *e;
        uint64_t next;

        while ((e = effects_pop(&h->fx)))
                carry_out(h, e);
        domain_check(h->domain, h->sim->now);
        next = domain_next_timer(h->domain);
        if (next == USEC_INFINITY)
                sim_cancel(h->sim, &h->timer);
        else
                sim_at(h->sim, &h->timer, MAX(next, h->sim->now + 1));
}

static void item_take(Host *h, Item *item) {
        ZkOp *op;

        switch (item->kind) {
        case ITEM_STATE:
                if (item->handle == h->n_handles)
                        on_state(h, item->state);
                break;
        case ITEM_OP:
                op = TAKE_PTR(item->op);
                op->done(op);
                break;
        case ITEM_EVENT:
                if (item->handle == h->n_handles && h->domain->session.id != 0)
                        host_on_watch(h, &item->key);
                break;
        case ITEM_CALL:
                item->call(h, item->arg);
                break;
        default:
                assert_not_reached();
        }
}

/* Completions, then timers, then effects. */
static void host_turn(Host *h) {
        List items;
        Item *item, *tmp;

        list_init(&items);
        list_splice(&items, &h->inbox);
        list_foreach_safe(item, tmp, &items, Item, link) {
                item_take(h, item);
                item_free(item);
        }
        domain_on_timer(h->domain, h->sim->now, &h->fx);
        host_drain(h);
}

static void host_on_turn(SimEvent *e) {
        host_turn(container_of(e, Host, turn));
}

static void host_on_timer(SimEvent *e) {
        host_turn(container_of(e, Host, timer));
}

/* --- life --------------------------------------------------------------------------------------- */

static void host_on_wake(SimEvent *e) {
        host_continue(container_of(e, Host, wake));
}

static void host_on_restart(SimEvent *e) {
        host_start(container_of(e, Host, restart));
}

void host_init(Host *h, World *world, Model *model, unsigned id) {
        *h = (Host) { .world = world, .sim = model->sim, .model = model, .id = id };
        list_init(&h->inbox);
        effects_init(&h->fx);
        sim_event_init(&h->turn, host_on_turn);
        sim_event_init(&h->timer, host_on_timer);
        sim_event_init(&h->wake, host_on_wake);
        sim_event_init(&h->restart, host_on_restart);
}

void host_start(Host *h) {
        tooz_assert(!h->alive);
        tooz_assert(domain_new(&h->domain, "cluster", DOMAIN_ZOOKEEPER, h->model->timeout_usec, h->sim->now) >= 0);
        h->alive = true;
        sim_trace(h->sim, "host %u: starts", h->id);
        handle_open(h);
}

void host_kill(Host *h) {
        Effect *e;
        Item *item, *tmp;

        h->alive = false;
        h->stopped = h->hung = false;
        sim_trace(h->sim, "host %u: killed", h->id);
        handle_close(h);
        lock_table_stop(&h->domain->locks, h->sim->now, &h->fx);
        sim_cancel(h->sim, &h->turn);
        sim_cancel(h->sim, &h->timer);
        sim_cancel(h->sim, &h->wake);
        list_foreach_safe(item, tmp, &h->inbox, Item, link)
                item_free(item);
        /* Its claims end without a word: the kernel closes their handles. */
        while ((e = effects_pop(&h->fx)))
                if (e->kind == EFFECT_CLAIM)
                        (void) claim_take_news(container_of(e, Claim, effect));
        domain_free(h->domain);
        h->domain = NULL;
}

static void host_rest(Host *h, uint64_t usec) {
        sim_cancel(h->sim, &h->turn);
        sim_cancel(h->sim, &h->timer);
        sim_at(h->sim, &h->wake, h->sim->now + usec);
}

void host_stop(Host *h, uint64_t usec) {
        if (!host_is_running(h))
                return;
        sim_trace(h->sim, "host %u: stopped for %" PRIu64 " ms", h->id, usec / 1000);
        h->stopped = true;
        if (h->zk)
                zk_client_stop(h->zk);
        host_rest(h, usec);
}

void host_hang(Host *h, uint64_t usec) {
        if (!host_is_running(h))
                return;
        sim_trace(h->sim, "host %u: hangs for %" PRIu64 " ms", h->id, usec / 1000);
        h->hung = true;
        host_rest(h, usec);
}

/* What waited is taken in the first turn; whether the library has read its socket by then is a matter of luck. */
void host_continue(Host *h) {
        bool stopped = h->stopped;

        if (!h->alive || host_is_running(h))
                return;
        sim_trace(h->sim, "host %u: goes on", h->id);
        h->stopped = h->hung = false;
        sim_cancel(h->sim, &h->wake);
        if (stopped && h->zk && sim_chance(h->sim, 1, 2))
                zk_client_continue(h->zk);
        host_turn(h);
        if (stopped && h->zk && h->zk->stopped)
                zk_client_continue(h->zk);
}
