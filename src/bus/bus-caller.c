/* SPDX-License-Identifier: Apache-2.0 */
/* Callers
 *
 *    UNKNOWN ----> KNOWN ----> GONE
 *       |            \          ^
 *       |             ORPHAN ---+
 *       +----------------------/
 *
 * Of a direct client the kernel says who it is when the connection is accepted: it is KNOWN from the start. Behind a
 * unique name of the message bus is whoever the bus daemon says. Asking takes a round trip, which must not stop the
 * loop, and is made once: the first call is kept back until the answer is here and is then put into sd-bus's read
 * queue again, and what follows it behind it. The bus announces names that vanish; then the caller is GONE, with all
 * that lives as long as it.
 *
 * When the message bus itself is gone, its callers are not: one that has claims of its own lifetime is an ORPHAN as
 * long as its process lives, as told by its pidfd. Its unique name means nothing on a new bus.
 *
 * Access is decided by uid and gids. Everything read from /proc is for people. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "bus/bus-claim.h"
#include "bus/bus-proc.h"
#include "bus/bus-server.h"

#define GIDS_MAX 65536

static const char *const bus_caller_state_table[_BUS_CALLER_STATE_MAX] = {
        [BUS_CALLER_UNKNOWN] = "unknown",
        [BUS_CALLER_KNOWN] = "known",
        [BUS_CALLER_ORPHAN] = "orphan",
        [BUS_CALLER_GONE] = "gone",
};
DEFINE_STRING_TABLE(bus_caller_state, BusCallerState, _BUS_CALLER_STATE_MAX);

/* --- life --------------------------------------------------------------------------------------- */

BusCaller *bus_caller_ref(BusCaller *c) {
        c->n_refs++;
        return c;
}

static void caller_drop_held(BusCaller *c) {
        while (c->n_held > 0) {
                c->n_held--;
                c->held[c->n_held] = sd_bus_message_unref(c->held[c->n_held]);
        }
}

BusCaller *bus_caller_unref(BusCaller *c) {
        if (!c || --c->n_refs > 0)
                return NULL;

        tooz_assert(list_is_empty(&c->claims) && loop_op_is_idle(&c->exit));
        caller_drop_held(c);
        sd_bus_slot_unref(c->asking);
        quota_discharge(&c->server->realm->quota, &c->charge);
        fd_close(c->proc_fd);
        fd_close(c->pidfd);
        free(c->gids);
        free(c->unit);
        free(c->comm);
        free(c->name);
        free(c);
        return NULL;
}

/* Its process has ended. */
static void caller_on_exit(LoopOp *op, int result, uint32_t flags) {
        BusCaller *c = container_of(op, BusCaller, exit);

        list_unlink(&c->orphan);
        if (c->state == BUS_CALLER_ORPHAN)
                bus_caller_gone(c);
        bus_caller_unref(c);
}

static int caller_new(BusCaller **ret, BusServer *s, const char *name) {
        _cleanup_(bus_caller_unrefp) BusCaller *c = NULL;
        int r;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->n_refs = 1;
        c->server = s;
        c->proc_fd = c->pidfd = -1;
        list_init(&c->claims);
        list_link_init(&c->orphan);
        loop_op_init(&c->exit, s->loop, caller_on_exit);

        r = strdup_to(&c->name, name);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

static int caller_become_known(BusCaller *c, uid_t uid, pid_t pid) {
        char text[PROC_TEXT_SIZE];
        int r;

        r = quota_charge(&c->server->realm->quota, &c->charge, uid, QUOTA_CONNECTIONS);
        if (r < 0)
                return r;

        c->who.uid = uid;
        c->pid = pid;
        proc_read_unit(pid, text, sizeof(text));
        r = strdup_to(&c->unit, text);
        if (r < 0)
                return r;
        proc_read_comm(pid, text, sizeof(text));
        r = strdup_to(&c->comm, text);
        if (r < 0)
                return r;
        c->state = BUS_CALLER_KNOWN;
        return 0;
}

/* --- direct connections ------------------------------------------------------------------------- */

static int socket_read_gids(int fd, gid_t primary, gid_t **ret, size_t *ret_n) {
        socklen_t len = 64 * sizeof(gid_t);

        for (;;) {
                _cleanup_free_ gid_t *gids = malloc(len + sizeof(gid_t));
                socklen_t had = len;

                if (!gids)
                        return -ENOMEM;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids, &len) >= 0) {
                        size_t n = len / sizeof(gid_t);

                        gids[n] = primary;
                        *ret = TAKE_PTR(gids);
                        *ret_n = n + 1;
                        return 0;
                }
                if (errno != ERANGE || len <= had || len > GIDS_MAX * sizeof(gid_t))
                        return -errno;
        }
}

int bus_caller_new_peer(BusCaller **ret, BusServer *s, int fd) {
        _cleanup_(bus_caller_unrefp) BusCaller *c = NULL;
        struct ucred cred;
        socklen_t len = sizeof(cred);
        int r;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return -errno;
        r = caller_new(&c, s, "");
        if (r < 0)
                return r;
        r = socket_read_gids(fd, cred.gid, &c->gids, &c->who.n_gids);
        if (r < 0)
                return r;
        c->who.gids = c->gids;
        c->proc_fd = proc_open_peer(fd, cred.pid);
        r = caller_become_known(c, cred.uid, cred.pid);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

/* --- names of the message bus ------------------------------------------------------------------- */

static BusCaller *conn_find_caller(const BusConn *conn, const char *name) {
        BusCaller *c;

        hash_find(hh, conn->callers, name, strlen(name), c);
        return c;
}

static void caller_forget_name(BusCaller *c) {
        if (!c->conn || !hash_is_linked(hh, c))
                return;
        hash_remove(hh, c->conn->callers, c);
        if (c->state == BUS_CALLER_UNKNOWN)
                c->conn->n_unknown--;
        bus_caller_unref(c);
}

static int read_gids(sd_bus_message *m, BusCaller *c) {
        const void *p;
        size_t size;
        int r;

        r = sd_bus_message_enter_container(m, 'v', "au");
        if (r < 0)
                return r;
        r = sd_bus_message_read_array(m, 'u', &p, &size);
        if (r < 0)
                return r;
        free(c->gids);
        c->who.n_gids = 0;
        c->who.gids = c->gids = malloc(size ?: 1);
        if (!c->gids)
                return -ENOMEM;
        if (size > 0)
                memcpy(c->gids, p, size);
        c->who.n_gids = size / sizeof(gid_t);
        return sd_bus_message_exit_container(m);
}

/* An a{sv} with what the bus daemon knows. Without a uid there is nobody to decide about. */
static int read_credentials(sd_bus_message *m, BusCaller *c, uint32_t *ret_uid, uint32_t *ret_pid) {
        bool has_uid = false;
        int r;

        *ret_pid = 0;
        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                if (streq(key, "UnixUserID")) {
                        r = sd_bus_message_read(m, "v", "u", ret_uid);
                        has_uid = true;
                } else if (streq(key, "ProcessID"))
                        r = sd_bus_message_read(m, "v", "u", ret_pid);
                else if (streq(key, "UnixGroupIDs"))
                        r = read_gids(m, c);
                else
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r < 0)
                return r;
        return has_uid ? 0 : -ENODATA;
}

static void caller_refuse_held(BusCaller *c, int error) {
        bool quota = error == -EDQUOT;

        for (unsigned i = 0; i < c->n_held; i++)
                bus_reply_error(c, c->held[i], quota ? BUS_E_QUOTA_EXCEEDED : BUS_E_ACCESS_DENIED,
                                quota ? "This user has too many connections" : "The message bus does not say who calls");
        caller_drop_held(c);
}

static int caller_on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(bus_caller_unrefp) BusCaller *c = bus_caller_ref(userdata);
        uint32_t uid = 0, pid = 0;
        int r;

        c->asking = sd_bus_slot_unref(c->asking);
        if (!c->conn)
                return 1;

        r = sd_bus_message_is_method_error(m, NULL) ? -sd_bus_message_get_errno(m) : read_credentials(m, c, &uid, &pid);
        if (r >= 0) {
                c->proc_fd = pid > 0 ? proc_open((pid_t) pid) : -1;
                r = caller_become_known(c, uid, (pid_t) pid);
        }
        if (r < 0) {
                log_debug_errno(r, "Can't find out who %s is", c->name);
                caller_refuse_held(c, r);
                caller_forget_name(c);
                return 1;
        }

        c->conn->n_unknown--;
        for (unsigned i = 0; i < c->n_held; i++)
                (void) sd_bus_enqueue_for_read(c->conn->pump.bus, c->held[i]);
        caller_drop_held(c);
        bus_pump_touch(&c->conn->pump);
        return 1;
}

static int conn_ask(BusConn *conn, const char *name, BusCaller **ret) {
        _cleanup_(bus_caller_unrefp) BusCaller *c = NULL;
        int r;

        if (conn->n_unknown >= BUS_UNKNOWN_MAX)
                return -ENOBUFS;
        r = caller_new(&c, conn->server, name);
        if (r < 0)
                return r;
        r = sd_bus_call_method_async(conn->pump.bus, &c->asking, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "GetConnectionCredentials", caller_on_credentials, c, "s",
                                     name);
        if (r < 0)
                return r;
        r = hash_add(hh, conn->callers, c->name, strlen(c->name), c);
        if (r < 0)
                return r;

        c->conn = conn;
        conn->n_unknown++;
        *ret = TAKE_PTR(c);
        return 0;
}

int bus_caller_filter(BusConn *conn, sd_bus_message *m, sd_bus_error *error) {
        const char *name = sd_bus_message_get_sender(m), *interface = sd_bus_message_get_interface(m);
        BusCaller *c;
        uint8_t type;
        int r;

        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_METHOD_CALL || !name)
                return 0;
        /* These say nothing about anybody. */
        if (streq_ptr(interface, "org.freedesktop.DBus.Peer") || streq_ptr(interface, "org.freedesktop.DBus.Introspectable"))
                return 0;

        c = conn_find_caller(conn, name);
        if (!c) {
                r = conn_ask(conn, name, &c);
                if (r < 0)
                        return bus_error_setf(error, r == -ENOMEM ? BUS_E_NO_MEMORY : BUS_E_QUOTA_EXCEEDED,
                                              "Too many unknown callers");
        }
        if (c->state == BUS_CALLER_KNOWN)
                return 0;
        if (c->n_held >= BUS_HELD_MAX)
                return bus_error_setf(error, BUS_E_QUOTA_EXCEEDED, "Too many calls before it is known who calls");
        c->held[c->n_held++] = sd_bus_message_ref(m);
        return 1;
}

BusCaller *bus_caller_of(BusConn *conn, sd_bus_message *m) {
        const char *name;
        BusCaller *c;

        if (conn->peer)
                return conn->peer;
        name = sd_bus_message_get_sender(m);
        c = name ? conn_find_caller(conn, name) : NULL;
        return c && c->state == BUS_CALLER_KNOWN ? c : NULL;
}

/* --- ends --------------------------------------------------------------------------------------- */

void bus_caller_gone(BusCaller *c) {
        _cleanup_(bus_caller_unrefp) BusCaller *keep = bus_caller_ref(c);
        bool died = proc_is_dead(c->proc_fd);
        BusClaim *bc, *next;

        caller_drop_held(c);
        c->asking = sd_bus_slot_unref(c->asking);
        caller_forget_name(c);
        c->conn = NULL;
        c->state = BUS_CALLER_GONE;
        quota_discharge(&c->server->realm->quota, &c->charge);
        loop_op_cancel(&c->exit);
        list_foreach_safe(bc, next, &c->claims, BusClaim, caller_link) {
                bus_claim_drop_calls(bc);
                if (bc->lifetime == BUS_LIFETIME_PEER)
                        bus_claim_end(bc, died);
        }
}

static bool caller_has_own_claims(const BusCaller *c) {
        const BusClaim *bc;

        list_foreach(bc, &c->claims, BusClaim, caller_link)
                if (bc->lifetime == BUS_LIFETIME_PEER && !claim_is_terminal(&bc->claim))
                        return true;
        return false;
}

void bus_caller_orphan(BusCaller *c) {
        _cleanup_(bus_caller_unrefp) BusCaller *keep = bus_caller_ref(c);
        BusClaim *bc, *next;

        list_foreach_safe(bc, next, &c->claims, BusClaim, caller_link)
                bus_claim_drop_calls(bc);
        if (caller_has_own_claims(c))
                c->pidfd = proc_open_pidfd(c->pid, c->proc_fd);
        /* Nobody would ever tell us of its end. */
        if (c->pidfd < 0) {
                bus_caller_gone(c);
                return;
        }

        caller_drop_held(c);
        c->asking = sd_bus_slot_unref(c->asking);
        caller_forget_name(c);
        c->conn = NULL;
        c->state = BUS_CALLER_ORPHAN;
        bus_caller_ref(c);
        list_append(&c->server->orphans, &c->orphan);
        loop_poll(&c->exit, c->pidfd, POLLIN, false);
}

void bus_caller_vanished(BusConn *conn, const char *name) {
        BusCaller *c = conn_find_caller(conn, name);

        if (c)
                bus_caller_gone(c);
}
