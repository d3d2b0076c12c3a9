/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Ways to the agent: its socket, peer to peer; or a message bus
 *
 * The socket is preferred: it works without a bus and has none of a bus's quotas and delays. The bus can start the
 * agent, so it is asked when the socket is not there. */

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

static int message_bus_new(sd_bus **ret, const char *address) {
        _cleanup_(bus_close) sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0)
                return r;
        if (!address)
                address = getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: "unix:path=/run/dbus/system_bus_socket";
        r = sd_bus_set_address(bus, address);
        if (r < 0)
                return r;
        r = sd_bus_set_bus_client(bus, true);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

static bool is_absent(int r) {
        return r == -ENOENT || r == -ECONNREFUSED || r == -EACCES || r == -ENOTDIR;
}

static int choose(const char *address, uint64_t timeout_usec, sd_bus **ret, bool *ret_direct) {
        int r;

        if (!address)
                address = getenv("TOOZ_ADDRESS");
        if (str_is_empty(address)) {
                r = direct_new(ret, AGENT_SOCKET, timeout_usec);
                if (!is_absent(r)) {
                        *ret_direct = true;
                        return r;
                }
                address = NULL;
        }

        *ret_direct = address && *address == '/';
        if (*ret_direct)
                return direct_new(ret, address, timeout_usec);
        return message_bus_new(ret, address);
}

int connect_agent(const char *address, uint64_t timeout_usec, sd_bus **ret, const char **ret_destination) {
        uint64_t deadline_usec = usec_add(time_now(), timeout_usec);
        _cleanup_(bus_close) sd_bus *bus = NULL;
        bool direct;
        int r;

        r = choose(address, timeout_usec, &bus, &direct);
        if (r < 0)
                return r;
        r = sd_bus_set_description(bus, "tooz-agent");
        if (r < 0)
                return r;
        r = sd_bus_negotiate_fds(bus, true);
        if (r < 0)
                return r;
        r = sd_bus_start(bus);
        if (r < 0)
                return r;
        r = bus_wait_ready(bus, deadline_usec);
        if (r < 0)
                return r;

        *ret_destination = direct ? NULL : AGENT_NAME;
        *ret = TAKE_PTR(bus);
        return 0;
}
