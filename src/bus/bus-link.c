/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the message bus
 *
 *    OFF     WAITING ----> CONNECTING ----> OWNED
 *               ^               |             |
 *               +---------------+-------------+      refused, or the bus is gone: with growing pauses
 *
 * The name is asked for without queueing: a second agent on the same bus is told so in its log and tries again, but
 * serves nobody there. Whatever happens to the bus, no claim is lost by it: handles are not its, and callers with
 * claims of their own lifetime become orphans (bus-caller.c). */

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-server.h"

#define BACKOFF_MIN_USEC (100 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (5 * USEC_PER_SEC)

static const char *const bus_link_state_table[_BUS_LINK_STATE_MAX] = {
        [BUS_LINK_OFF] = "off",
        [BUS_LINK_WAITING] = "waiting",
        [BUS_LINK_CONNECTING] = "connecting",
        [BUS_LINK_OWNED] = "owned",
};
DEFINE_STRING_TABLE(bus_link_state, BusLinkState, _BUS_LINK_STATE_MAX);

static void link_retry_later(BusServer *s) {
        BusLink *link = &s->link;

        link->state = BUS_LINK_WAITING;
        loop_timer_set(&link->retry, usec_add(time_now(), link->backoff_usec));
        link->backoff_usec = MIN(2 * link->backoff_usec, BACKOFF_MAX_USEC);
}

/* Says so once per outage. */
static void link_complain(BusLink *link, int error, const char *what) {
        if (!link->complained)
                log_warning_errno(error, "%s: trying again", what);
        link->complained = true;
}

static int link_on_name(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        BusConn *conn = userdata;
        BusServer *s = conn->server;
        uint32_t answer = 0;
        int r;

        if (s->link.conn != conn || s->link.state != BUS_LINK_CONNECTING)
                return 1;

        r = sd_bus_message_is_method_error(m, NULL) ? -sd_bus_message_get_errno(m) : sd_bus_message_read(m, "u", &answer);
        if (r < 0)
                bus_conn_close(conn, r);
        else if (answer != 1) /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */
                bus_conn_close(conn, -EEXIST);
        else {
                log_info("Own %s on the message bus", BUS_NAME);
                s->link.state = BUS_LINK_OWNED;
                s->link.backoff_usec = BACKOFF_MIN_USEC;
                s->link.complained = false;
                bus_server_check_ready(s);
        }
        return 1;
}

static int link_open(const BusLink *link, sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        int r;

        if (!link->address)
                r = sd_bus_open_system_with_description(&bus, "tooz");
        else {
                r = sd_bus_new(&bus);
                if (r >= 0)
                        r = sd_bus_set_address(bus, link->address);
                if (r >= 0)
                        r = sd_bus_set_bus_client(bus, true);
                if (r >= 0)
                        r = sd_bus_start(bus);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static int link_connect(BusServer *s) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        BusConn *conn;
        int r;

        r = link_open(&s->link, &bus);
        if (r < 0)
                return r;
        r = bus_conn_new(&conn, s, bus, NULL);
        if (r < 0)
                return r;
        TAKE_PTR(bus);

        s->link.conn = conn;
        s->link.state = BUS_LINK_CONNECTING;
        r = sd_bus_call_method_async(conn->pump.bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "RequestName", link_on_name, conn, "su", BUS_NAME,
                                     UINT32_C(4)); /* DBUS_NAME_FLAG_DO_NOT_QUEUE */
        if (r < 0)
                bus_conn_close(conn, r);
        return 0;
}

static void link_try(BusServer *s) {
        int r;

        r = link_connect(s);
        if (r < 0) {
                link_complain(&s->link, r, "Can't connect to the message bus");
                link_retry_later(s);
        }
}

static void link_on_retry(LoopTimer *timer, uint64_t now_usec) {
        link_try(container_of(timer, BusServer, link.retry));
}

void bus_link_on_closed(BusServer *s, BusConn *conn, int error) {
        if (s->link.conn != conn)
                return;
        s->link.conn = NULL;
        if (s->link.state == BUS_LINK_OFF)
                return;
        link_complain(&s->link, error, error == -EEXIST ? "The name is owned by somebody else" : "No message bus");
        link_retry_later(s);
}

void bus_link_init(BusServer *s) {
        s->link.backoff_usec = BACKOFF_MIN_USEC;
        loop_timer_init(&s->link.retry, s->loop, link_on_retry);
}

int bus_link_start(BusServer *s, const char *address) {
        int r;

        if (streq_ptr(address, "none"))
                return 0;

        r = strdup_to(&s->link.address, address);
        if (r < 0)
                return r;
        link_try(s);
        return 0;
}

void bus_link_stop(BusServer *s) {
        loop_timer_unset(&s->link.retry);
        s->link.state = BUS_LINK_OFF;
}
