/* SPDX-License-Identifier: Apache-2.0 */
/* The direct socket: the same objects without a message bus between
 *
 * Whoever connects is known by its socket (SO_PEERCRED, SO_PEERGROUPS): what it says of itself in the D-Bus handshake
 * is checked against that by sd-bus, and not used. A path that is left over from an agent that died is replaced; one
 * on which somebody listens is not. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-server.h"

#define ACCEPT_PAUSE_USEC (100 * USEC_PER_MSEC)

/* --- connections -------------------------------------------------------------------------------- */

static int peer_bus_new(sd_bus **ret, int *fd) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_fd(bus, *fd, *fd);
        if (r < 0)
                return r;
        TAKE_FD(*fd); /* sd-bus has it */
        r = sd_bus_set_server(bus, true, id);
        if (r >= 0)
                r = sd_bus_set_sender(bus, BUS_NAME);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static int listener_serve(BusServer *s, int *fd) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(bus_caller_unrefp) BusCaller *peer = NULL;
        BusConn *conn;
        int r;

        r = bus_caller_new_peer(&peer, s, *fd);
        if (r < 0)
                return r;
        r = fd_set_nonblock(*fd, true);
        if (r < 0)
                return r;
        r = peer_bus_new(&bus, fd);
        if (r < 0)
                return r;
        r = bus_conn_new(&conn, s, bus, peer);
        if (r < 0)
                return r;
        TAKE_PTR(bus);
        TAKE_PTR(peer);
        return 0;
}

static void listener_accept_again(BusServer *s) {
        if (!s->stopping && s->listener.fd >= 0 && loop_op_is_idle(&s->listener.accept))
                loop_accept(&s->listener.accept, s->listener.fd);
}

static void listener_on_retry(LoopTimer *timer, uint64_t now_usec) {
        listener_accept_again(container_of(timer, BusServer, listener.retry));
}

static void listener_on_accept(LoopOp *op, int result, uint32_t flags) {
        BusServer *s = container_of(op, BusServer, listener.accept);
        int r;

        if (result >= 0) {
                _cleanup_close_ int fd = result;

                r = s->stopping ? -ESHUTDOWN : listener_serve(s, &fd);
                if (r < 0)
                        log_debug_errno(r, "A direct connection was refused");
        }
        if (flags & LOOP_OP_MORE || s->stopping)
                return;

        /* Out of descriptors, most likely: what waits is still there later. */
        if (result < 0)
                loop_timer_set(&s->listener.retry, usec_add(time_now(), ACCEPT_PAUSE_USEC));
        else
                listener_accept_again(s);
}

/* --- socket ------------------------------------------------------------------------------------- */

static int address_fill(struct sockaddr_un *sa, const char *path) {
        *sa = (struct sockaddr_un) { .sun_family = AF_UNIX };
        return str_copy(sa->sun_path, sizeof(sa->sun_path), path) < 0 ? -ENAMETOOLONG : 0;
}

/* The kernel takes down an io_uring, and what is armed on it, some time after its process has died: a socket may be
 * listened on by nobody. */
static bool socket_is_orphan(int connected_fd) {
        struct ucred peer;
        socklen_t size = sizeof(peer);

        return getsockopt(connected_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) >= 0 && peer.pid > 0 &&
               kill(peer.pid, 0) < 0 && errno == ESRCH;
}

/* 0: there is nothing in the way any more. */
static int socket_clear(const struct sockaddr_un *sa) {
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (lstat(sa->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EEXIST;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) sa, sizeof(*sa)) >= 0) {
                if (!socket_is_orphan(fd))
                        return -EADDRINUSE;
        } else if (errno == EAGAIN)
                return -EADDRINUSE;
        else if (errno != ECONNREFUSED && errno != ENOENT)
                return -errno;
        if (unlink(sa->sun_path) < 0 && errno != ENOENT)
                return -errno;
        return 0;
}

/* Nobody but ourselves can connect until the mode is set. */
static int socket_open(const char *path, mode_t mode, int *ret) {
        _cleanup_close_ int fd = -1;
        struct sockaddr_un sa;
        int r;

        r = address_fill(&sa, path);
        if (r < 0)
                return r;
        r = socket_clear(&sa);
        if (r < 0)
                return r;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *) &sa, sizeof(sa)) < 0)
                return -errno;
        if (listen(fd, SOMAXCONN) < 0 || chmod(path, mode) < 0) {
                r = -errno;
                (void) unlink(path);
                return r;
        }
        *ret = TAKE_FD(fd);
        return 0;
}

void bus_listener_init(BusServer *s) {
        s->listener.fd = -1;
        loop_op_init(&s->listener.accept, s->loop, listener_on_accept);
        loop_timer_init(&s->listener.retry, s->loop, listener_on_retry);
}

int bus_listener_start(BusServer *s, const BusConfig *config) {
        BusListener *l = &s->listener;
        int r;

        if (config->socket_fd >= 0)
                l->fd = config->socket_fd;
        else if (config->socket_path) {
                r = socket_open(config->socket_path, (mode_t) config->socket_mode, &l->fd);
                if (r < 0)
                        return log_error_errno(r, "Can't listen on %s", config->socket_path);
                r = strdup_to(&l->path, config->socket_path);
                if (r < 0)
                        return r;
        }
        listener_accept_again(s);
        return 0;
}

bool bus_listener_is_idle(const BusServer *s) {
        return loop_op_is_idle(&s->listener.accept);
}

/* The path goes first: whoever comes now is to find the next agent, or nobody. */
void bus_listener_stop(BusServer *s) {
        BusListener *l = &s->listener;

        if (l->path)
                (void) unlink(l->path);
        free(TAKE_PTR(l->path));
        loop_timer_unset(&l->retry);
        loop_op_cancel(&l->accept);
}
