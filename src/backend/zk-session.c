/* SPDX-License-Identifier: Apache-2.0 */
/* Session of the `zookeeper` backend
 *
 * The core's session machine decides; this file opens handles, watches the library's state, and reports handshakes,
 * disconnects and the end of a session. A handle is never used for a second session: when one is over, its handle is
 * retired (closed by its helper thread) and the next one opened.
 *
 * When did the connect request of a handshake go out? The library does not say, and the deadline must not count from
 * a later moment. `unsent_usec` is a moment at which it certainly had not: the last look at the library's state that
 * found it not yet waiting for the answer, or a proof that the connection before was still alive. So while there is
 * no connection, a timer looks every T/24, and at least every 100 ms.
 *
 * Runs on the loop's thread. */

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <string.h>

#include "backend/zk-backend.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"

#define LOOK_USEC_MAX (100 * USEC_PER_MSEC)
/* Two handles are not opened in quicker succession. */
#define OPEN_INTERVAL_USEC (1 * USEC_PER_SEC)
/* After the servers refused us: an operator has to do something. */
#define REFUSED_RETRY_USEC (15 * USEC_PER_SEC)
/* A handle that never got a session is opened anew, since names may stand for other addresses by now. */
#define FRUITLESS_USEC (60 * USEC_PER_SEC)
/* How long a stop waits for what is under way, and for a lost connection to come back. */
#define STOP_USEC (2 * USEC_PER_SEC)
#define TICKS_MIN 4

/* --- timer -------------------------------------------------------------------------------------- */

static uint64_t look_interval(const ZkBackend *zk) {
        return MAX(MIN(zk_domain(zk)->session.timeout_usec / 24, LOOK_USEC_MAX), USEC_PER_MSEC);
}

static bool session_needs_looks(const ZkSession *s) {
        if (s->stop_usec != USEC_INFINITY || !list_is_empty(&s->retired))
                return true;
        return s->handle && s->handle->state == ZK_HANDLE_OPEN && !s->connected;
}

static void session_set_timer(ZkBackend *zk) {
        ZkSession *s = &zk->session;
        uint64_t at = s->handle ? USEC_INFINITY : s->open_at_usec;

        if (session_needs_looks(s))
                at = MIN(at, usec_add(zk_now(zk), look_interval(zk)));
        loop_timer_set(&s->timer, at);
}

/* --- handles ------------------------------------------------------------------------------------ */

static void session_detail(ZkBackend *zk, const char *detail, bool refused) {
        ZkSession *s = &zk->session;

        (void) str_print(s->detail, sizeof(s->detail), "%.*s", (int) sizeof(s->detail) - 1, detail);
        s->refused = refused;
}

static void session_open(ZkBackend *zk) {
        const ZkOpen open = {
                .servers = zk->servers,
                .timeout_msec = (int) MIN(zk->timeout_usec / USEC_PER_MSEC, (uint64_t) INT32_MAX),
                .acl_private = zk->acl_private,
        };
        ZkSession *s = &zk->session;
        uint64_t now = zk_now(zk);
        int r;

        tooz_assert(!s->handle);
        s->opened_usec = s->unsent_usec = now;
        s->open_at_usec = usec_add(now, OPEN_INTERVAL_USEC);
        s->auth_added = s->refused = false;
        s->early = 0;
        r = zk_handle_new(&s->handle, &zk->inbox, &open);
        if (r < 0) {
                session_detail(zk, "no thread to be had for the connection", false);
                if (zk_may_complain(zk))
                        log_warning_errno(r, "%s: can't open a connection", zk_domain(zk)->name);
        }
}

/* The handle is not used any more; it goes when it is closed and all its requests have been told their end. */
static void session_retire(ZkBackend *zk) {
        ZkSession *s = &zk->session;
        ZkHandle *h = TAKE_PTR(s->handle);

        s->connected = false;
        s->server[0] = '\0';
        if (!h)
                return;
        (void) zk_handle_close(h);
        list_append(&s->retired, &h->link);
}

static void session_bury(ZkSession *s) {
        ZkHandle *h, *tmp;

        list_foreach_safe(h, tmp, &s->retired, ZkHandle, link) {
                if (h->state == ZK_HANDLE_OPEN)
                        (void) zk_handle_close(h);
                if (zk_handle_is_done(h))
                        zk_handle_free(h);
        }
}

/* The library refuses it before its first attempt to connect is under way and after one has failed; then it is added
 * at the next look, and at the latest in front of all requests of the new connection. */
static void session_add_auth(ZkBackend *zk) {
        ZkSession *s = &zk->session;

        if (s->auth_added || !zk->auth_scheme)
                return;
        s->auth_added = zoo_add_auth(s->handle->zh, zk->auth_scheme, zk->auth, (int) strlen(zk->auth), NULL, NULL) == ZOK;
}

/* Was the connect request certainly not out at `now`? */
static void session_look(ZkBackend *zk) {
        ZkSession *s = &zk->session;
        int state = zoo_state(s->handle->zh);

        if (state != ZOO_ASSOCIATING_STATE && state != ZOO_CONNECTED_STATE && state != ZOO_READONLY_STATE)
                s->unsent_usec = MAX(s->unsent_usec, zk_now(zk));
        session_add_auth(zk);
}

/* Only a connected handle can tell the servers that its session ends; without that all nodes stay until its timeout. */
static bool session_can_end(const ZkBackend *zk) {
        const ZkHandle *h = zk->session.handle;

        if (h->n_ops > 0)
                return false;
        return zk_domain(zk)->session.id == 0 || h->state != ZK_HANDLE_OPEN || zoo_state(h->zh) == ZOO_CONNECTED_STATE ||
               zoo_state(h->zh) < 0;
}

/* Closing ends the session, and with it all nodes that are left. */
static void session_check_stop(ZkBackend *zk) {
        ZkSession *s = &zk->session;

        if (!s->handle || (!session_can_end(zk) && zk_now(zk) < s->stop_usec))
                return;
        session_retire(zk);
        domain_on_expired(zk_domain(zk), zk_now(zk), zk_effects(zk));
}

static void session_tend(ZkBackend *zk) {
        ZkSession *s = &zk->session;

        session_bury(s);
        if (s->stop_usec != USEC_INFINITY)
                session_check_stop(zk);
        else if (!s->handle && zk_now(zk) >= s->open_at_usec)
                session_open(zk);
        session_set_timer(zk);
}

static void session_on_look(LoopTimer *timer, uint64_t now) {
        ZkBackend *zk = container_of(timer, ZkBackend, session.timer);
        ZkSession *s = &zk->session;

        if (s->handle && s->handle->state == ZK_HANDLE_OPEN && !s->connected) {
                session_look(zk);
                if (zk_domain(zk)->session.id == 0 && now >= usec_add(s->opened_usec, FRUITLESS_USEC))
                        session_retire(zk);
        }
        session_tend(zk);
}

void zk_session_init(ZkBackend *zk) {
        ZkSession *s = &zk->session;

        list_init(&s->retired);
        loop_timer_init(&s->timer, zk->backend.loop, session_on_look);
        s->open_at_usec = s->stop_usec = USEC_INFINITY;
        zk->backend.info.server = s->server;
        zk->backend.info.detail = s->detail;
}

void zk_session_deinit(ZkBackend *zk) {
        tooz_assert(!zk->session.handle && list_is_empty(&zk->session.retired));
        loop_timer_unset(&zk->session.timer);
}

void zk_session_start(ZkBackend *zk) {
        zk->session.open_at_usec = 0;
        session_set_timer(zk);
}

void zk_session_replace(ZkBackend *zk) {
        /* After a pause the handle may have come back in the very turn that gave it up. */
        if (zk_domain(zk)->session.id != 0 || zk_session_is_stopping(zk))
                return;
        session_retire(zk);
        session_tend(zk);
}

void zk_session_stop(ZkBackend *zk) {
        zk->session.stop_usec = usec_add(zk_now(zk), STOP_USEC);
        session_tend(zk);
}

bool zk_session_is_stopping(const ZkBackend *zk) {
        return zk->session.stop_usec != USEC_INFINITY;
}

bool zk_session_is_stopped(const ZkBackend *zk) {
        return zk_session_is_stopping(zk) && !zk->session.handle && list_is_empty(&zk->session.retired);
}

/* --- what the library says ---------------------------------------------------------------------- */

/* The session is over, whoever says so; the core asks for the next handle. */
static void session_expire(ZkBackend *zk) {
        zk->session.connected = false;
        zk->session.server[0] = '\0';
        domain_on_expired(zk_domain(zk), zk_now(zk), zk_effects(zk));
}

void zk_session_refuse(ZkBackend *zk, const char *detail) {
        log_error("%s: %s", zk_domain(zk)->name, detail);
        session_detail(zk, detail, true);
        zk->session.open_at_usec = usec_add(zk_now(zk), REFUSED_RETRY_USEC);
        session_expire(zk);
}

void zk_session_on_trouble(ZkBackend *zk, ZkHandle *h) {
        if (h == zk->session.handle)
                zk_session_refuse(zk, "out of memory: the session is given up");
}

static void session_name_server(ZkBackend *zk) {
        ZkSession *s = &zk->session;
        struct sockaddr_storage addr;
        socklen_t len = sizeof(addr);
        char host[64], port[8];

        s->server[0] = '\0';
        if (!zookeeper_get_connected_host(s->handle->zh, (struct sockaddr *) &addr, &len))
                return;
        if (getnameinfo((struct sockaddr *) &addr, len, host, sizeof(host), port, sizeof(port),
                        NI_NUMERICHOST | NI_NUMERICSERV) == 0)
                (void) str_print(s->server, sizeof(s->server), addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* The servers clamp the timeout that was asked for, and don't say by which ticks. */
static bool session_timeout_is_fit(ZkBackend *zk, uint64_t timeout_usec) {
        char detail[ZK_DETAIL_SIZE], got[TIME_TEXT_SIZE], tick[TIME_TEXT_SIZE];

        if (timeout_usec >= TICKS_MIN * zk->tick_usec)
                return true;
        (void) str_print(detail, sizeof(detail),
                         "the servers grant a session timeout of %s, less than %d ticks of %s: raise their "
                         "maxSessionTimeout, or set TickSec= to their tickTime",
                         time_format_span(got, timeout_usec), TICKS_MIN, time_format_span(tick, zk->tick_usec));
        zk_session_refuse(zk, detail);
        return false;
}

static void session_on_disconnected(ZkBackend *zk) {
        if (!zk->session.connected)
                return;
        zk->session.connected = false;
        log_debug("%s: lost contact with %s", zk_domain(zk)->name, zk->session.server);
        zk->session.server[0] = '\0';
        session_look(zk);
        domain_on_disconnect(zk_domain(zk), zk_now(zk), zk_effects(zk));
}

static void session_on_connected(ZkBackend *zk) {
        ZkSession *s = &zk->session;
        zhandle_t *zh = s->handle->zh;
        char timeout[TIME_TEXT_SIZE];
        uint64_t timeout_usec;
        int64_t id;

        /* That connection is gone already; its end, and perhaps the next one, stand behind it in the inbox. */
        if (zoo_state(zh) != ZOO_CONNECTED_STATE)
                return;
        session_on_disconnected(zk);
        session_add_auth(zk);

        timeout_usec = (uint64_t) MAX(zoo_recv_timeout(zh), 0) * USEC_PER_MSEC;
        id = zoo_client_id(zh)->client_id;
        if (!session_timeout_is_fit(zk, timeout_usec))
                return;

        s->connected = true;
        s->n_connects++;
        if (!zk->zxid.regressed)
                session_detail(zk, "", false);
        session_name_server(zk);
        log_debug("%s: connected to %s, session 0x%016" PRIx64 ", timeout %s", zk_domain(zk)->name, s->server,
                  (uint64_t) id, time_format_span(timeout, timeout_usec));
        domain_on_handshake(zk_domain(zk), id, timeout_usec, s->unsent_usec, zk_now(zk), zk_effects(zk));
        zk_session_saw_contact(zk, zk_now(zk));
        zk_host_on_connected(zk);
}

void zk_session_saw_contact(ZkBackend *zk, uint64_t usec) {
        zk->session.unsent_usec = MAX(zk->session.unsent_usec, usec);
}

void zk_session_on_event(ZkBackend *zk, ZkHandle *h, int state) {
        if (h != zk->session.handle || zk_session_is_stopping(zk))
                return;
        /* It may be quicker than the helper that opens it. */
        zk->session.early = h->state == ZK_HANDLE_OPENING ? state : 0;
        /* One that is to be replaced has nothing to say. */
        if (h->state != ZK_HANDLE_OPEN || zk_domain(zk)->session.want & SESSION_WANT_REPLACE)
                return;

        if (state == ZOO_CONNECTED_STATE)
                session_on_connected(zk);
        else if (state == ZOO_CONNECTING_STATE)
                session_on_disconnected(zk);
        else if (state == ZOO_AUTH_FAILED_STATE)
                zk_session_refuse(zk, "the servers refuse the authentication");
        else if (state == ZOO_EXPIRED_SESSION_STATE) {
                log_debug("%s: session expired", zk_domain(zk)->name);
                session_expire(zk);
        }
        session_set_timer(zk);
}

void zk_session_on_log(ZkBackend *zk, ZkHandle *h, const char *text) {
        char detail[ZK_DETAIL_SIZE];

        log_debug("%s: %s", zk_domain(zk)->name, zk_data_log_message(text));
        if (h != zk->session.handle || zk->session.connected || zk->session.refused)
                return;
        zk_data_log_detail(detail, text);
        if (*detail)
                session_detail(zk, detail, false);
}

void zk_session_on_helper(ZkBackend *zk, ZkHandle *h) {
        ZkSession *s = &zk->session;

        zk_handle_on_helper(h);
        if (h == s->handle && h->state == ZK_HANDLE_OPEN) {
                domain_on_replaced(zk_domain(zk), zk_now(zk));
                session_add_auth(zk);
                if (s->early != 0)
                        zk_session_on_event(zk, h, s->early);
        } else if (h == s->handle && h->state == ZK_HANDLE_CLOSED) {
                session_detail(zk, *h->helper.failure ? h->helper.failure : strerror(-h->helper.error), false);
                log_warning("%s: can't connect: %s", zk_domain(zk)->name, s->detail);
                s->open_at_usec = usec_add(zk_now(zk), REFUSED_RETRY_USEC / 3);
                session_retire(zk);
        }
        session_tend(zk);
}

void zk_session_on_idle(ZkBackend *zk, ZkHandle *h) {
        if (zk_session_is_stopping(zk) || zk_handle_is_done(h))
                session_tend(zk);
}

bool zk_session_is_current(const ZkBackend *zk, const ZkHandle *h) {
        return h == zk->session.handle && zk_domain(zk)->session.id != 0;
}
