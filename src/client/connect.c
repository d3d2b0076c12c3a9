/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Ways to the agent: its socket, peer to peer; or a message bus
 *
 * The socket is preferred: it works without a bus and has none of a bus's quotas and delays. The bus can start the
 * agent, so it is asked when the socket is not there. Every way is bounded by one deadline. */

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/str.h"
#include "client/client.h"

static void bus_close(sd_bus **p) {
        if (*p)
                (void) sd_bus_close_unref(*p);
}

static int socket_connect(const char *path, uint64_t timeout_usec) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        struct timeval tv = { 0 };
        _cleanup_close_ int fd = -1;

        if (str_copy(sa.sun_path, sizeof(sa.sun_path), path) < 0)
                return -ENAMETOOLONG;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        /* connect() waits while the queue of the listener is full: when the agent hangs. */
        if (timeout_usec != USEC_INFINITY) {
                tv.tv_sec = (time_t) (timeout_usec / USEC_PER_SEC);
                tv.tv_usec = (suseconds_t) (timeout_usec % USEC_PER_SEC);
        }
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;
        return TAKE_FD(fd);
}

/* Authentication, and Hello on a bus. */
static int bus_wait_ready(sd_bus *bus, uint64_t deadline_usec) {
        int r;

        for (;;) {
                uint64_t now = time_now();

                r = sd_bus_is_ready(bus);
                if (r != 0)
                        return r < 0 ? r : 0;
                if (now >= deadline_usec)
                        return -ETIMEDOUT;

                r = sd_bus_process(bus, NULL);
                if (r < 0)
                        return r;
                if (r == 0) {
                        r = sd_bus_wait(bus, usec_sub(deadline_usec, now));
                        if (r < 0 && r != -EINTR)
                                return r;
                }
        }
}

static int direct_new(sd_bus **ret, const char *path, uint64_t timeout_usec) {
        _cleanup_(bus_close) sd_bus *bus = NULL;
        int fd, r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        fd = socket_connect(path, timeout_usec);
        if (fd < 0)
                return fd;
        r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        *ret = TAKE_PTR(bus);
        return 0;
}

static int address_new(sd_bus **ret, const char *address, bool message_bus) {
        _cleanup_(bus_close) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        r = sd_bus_set_address(bus, address);
        if (r < 0)
                return r;
        r = sd_bus_set_bus_client(bus, message_bus);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static int bus_start(sd_bus *bus, uint64_t deadline_usec) {
        int r;

        r = sd_bus_set_description(bus, "tooz-agent");
        if (r < 0)
                return r;
        r = sd_bus_negotiate_fds(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        return r < 0 ? r : bus_wait_ready(bus, deadline_usec);
}

static int connect_path(const char *path, uint64_t deadline_usec, sd_bus **ret) {
        _cleanup_(bus_close) sd_bus *bus = NULL;
        int r;

        r = direct_new(&bus, path, usec_sub(deadline_usec, time_now()));
        if (r < 0)
                return r;
        r = bus_start(bus, deadline_usec);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static int connect_address(const char *address, bool message_bus, uint64_t deadline_usec, sd_bus **ret) {
        _cleanup_(bus_close) sd_bus *bus = NULL;
        int r;

        r = address_new(&bus, address, message_bus);
        if (r < 0)
                return r;
        r = bus_start(bus, deadline_usec);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static bool is_absent(int r) {
        return r == -ENOENT || r == -ECONNREFUSED || r == -EACCES || r == -ENOTDIR;
}

static int connect_default(uint64_t deadline_usec, sd_bus **ret, const char **ret_destination) {
        const char *address;
        int r;

        r = connect_path(AGENT_SOCKET, deadline_usec, ret);
        if (!is_absent(r)) {
                *ret_destination = NULL;
                return r;
        }
        address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: "unix:path=/run/dbus/system_bus_socket";
        *ret_destination = AGENT_NAME;
        return connect_address(address, true, deadline_usec, ret);
}

int connect_agent(const char *address, uint64_t timeout_usec, sd_bus **ret, const char **ret_destination) {
        uint64_t deadline_usec = usec_add(time_now(), timeout_usec);
        int r;

        if (!address)
                address = secure_getenv("TOOZ_ADDRESS");
        if (str_is_empty(address))
                return connect_default(deadline_usec, ret, ret_destination);

        *ret_destination = NULL;
        if (*address == '/')
                return connect_path(address, deadline_usec, ret);

        /* A D-Bus address may be that of a bus or that of the agent's own socket, which knows no Hello(). */
        r = connect_address(address, true, deadline_usec, ret);
        if (r >= 0) {
                *ret_destination = AGENT_NAME;
                return r;
        }
        if (r == -ETIMEDOUT || is_absent(r))
                return r;
        return connect_address(address, false, deadline_usec, ret);
}
