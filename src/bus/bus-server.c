/* SPDX-License-Identifier: Apache-2.0 */
/* The D-Bus face as a whole: starting, being ready, stopping
 *
 * A client's request comes in by a connection (bus-link.c: the message bus; bus-listener.c: the direct socket), whose
 * pump (bus-pump.c) calls a method (bus-lock.c, bus-query.c, bus-claim-object.c, bus-manager.c). It parses, checks
 * access and quota, calls a transition of the core, and answers, or keeps the call. What follows from the transition
 * comes back as effects, which the agent carries out by the bus_server_tell_…() functions.
 *
 * Stopping. New requests are refused, the agent ends all claims, and their ends are told. When everything is sent, or
 * after STOP_PATIENCE_USEC, handles and connections are closed. The server is gone when nothing is in flight: then
 * bus_server_is_flushed(). All of it happens in turns of the loop. */

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"
#include "bus/bus-server.h"

#define STOP_PATIENCE_USEC (2 * USEC_PER_SEC)

/* --- being ready -------------------------------------------------------------------------------- */

bool bus_server_is_ready(const BusServer *s) {
        return !s->stopping && (s->link.state == BUS_LINK_OWNED || s->link.state == BUS_LINK_OFF);
}

static void server_on_ready(LoopDefer *defer) {
        BusServer *s = container_of(defer, BusServer, ready);
        void (*fn)(BusServer *) = TAKE_PTR(s->on_ready);

        if (fn)
                fn(s);
}

void bus_server_check_ready(BusServer *s) {
        if (s->on_ready && bus_server_is_ready(s))
                loop_defer_trigger(&s->ready);
}

void bus_server_on_ready(BusServer *s, void (*fn)(BusServer *s)) {
        s->on_ready = fn;
        bus_server_check_ready(s);
}

/* --- stopping ----------------------------------------------------------------------------------- */

static bool server_has_told(const BusServer *s) {
        const BusConn *conn;

        if (s->claims || !list_is_empty(&s->queries) || !bus_replies_are_sent(&s->replies) || !bus_handle_all_flushed(s))
                return false;
        list_foreach(conn, &s->conns, BusConn, link)
                if (!bus_pump_is_flushed(&conn->pump))
                        return false;
        return true;
}

bool bus_server_is_flushed(const BusServer *s) {
        return s->stopping && !s->claims && !s->handles && list_is_empty(&s->queries) && list_is_empty(&s->conns) &&
               list_is_empty(&s->orphans) && bus_listener_is_idle(s);
}

static void server_close(BusServer *s) {
        BusCaller *c;
        BusConn *conn;

        bus_handle_close_all(s);
        list_foreach(c, &s->orphans, BusCaller, orphan)
                bus_caller_gone(c);
        list_foreach(conn, &s->conns, BusConn, link)
                bus_conn_close(conn, 0);
}

static void server_on_turn(LoopHook *hook) {
        BusServer *s = container_of(hook, BusServer, turn);

        if (s->forced || server_has_told(s))
                server_close(s);
}

static void server_on_patience(LoopTimer *timer, uint64_t now_usec) {
        BusServer *s = container_of(timer, BusServer, patience);

        s->forced = true;
}

void bus_server_stop(BusServer *s) {
        if (s->stopping)
                return;
        s->stopping = true;
        s->on_ready = NULL;
        bus_link_stop(s);
        bus_listener_stop(s);
        bus_manager_tell_state(s);
        loop_hook_add(&s->turn, s->loop, LOOP_PHASE_PUBLISH, server_on_turn);
        loop_timer_set(&s->patience, usec_add(time_now(), STOP_PATIENCE_USEC));
}

/* --- life --------------------------------------------------------------------------------------- */

/* Claims that the agent has not ended: it gave up half-way. */
static void server_drop_claims(BusServer *s) {
        BusClaim *bc, *next;

        hash_foreach_safe(hh, s->claims, bc, next) {
                bus_claim_end(bc, false);
                bus_claim_free(bc);
        }
}

BusServer *bus_server_free(BusServer *s) {
        if (!s)
                return NULL;

        bus_server_stop(s);
        s->forced = true;
        server_drop_claims(s);
        bus_replies_deinit(&s->replies);
        while (!bus_server_is_flushed(s))
                if (loop_run_once(s->loop) < 0)
                        break;

        tooz_assert(bus_server_is_flushed(s));
        loop_hook_remove(&s->turn);
        loop_timer_unset(&s->patience);
        loop_defer_cancel(&s->ready);
        bus_domain_forget(s);
        fd_close(s->listener.fd);
        free(s->link.address);
        free(s);
        return NULL;
}

int bus_server_new(BusServer **ret, Loop *loop, Realm *realm, BusFacts *facts, const BusConfig *config) {
        BusServer *s;
        int r;

        s = calloc(1, sizeof(*s));
        if (!s)
                return -ENOMEM;
        s->loop = loop;
        s->realm = realm;
        s->facts = facts;
        s->state = "running";
        list_init(&s->conns);
        list_init(&s->orphans);
        list_init(&s->queries);
        list_init(&s->domains);
        bus_replies_init(&s->replies, loop);
        loop_defer_init(&s->ready, loop, LOOP_PHASE_DEFERRED, server_on_ready);
        loop_timer_init(&s->patience, loop, server_on_patience);
        bus_listener_init(s);
        bus_link_init(s);

        r = bus_listener_start(s, config);
        if (r >= 0)
                r = bus_link_start(s, config->address);
        if (r < 0) {
                bus_server_free(s);
                return r;
        }
        *ret = s;
        return 0;
}
