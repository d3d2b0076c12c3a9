/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that does what the test tells it */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "client/fake-agent.h"
#include "support/kit.h"

static int read_options(FakeAgent *f, sd_bus_message *m) {
        const char *key;
        int r;

        f->last_timeout_usec = UINT64_MAX;
        kit_ok(sd_bus_message_enter_container(m, 'a', "{sv}"));
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                kit_ok(sd_bus_message_read(m, "s", &key));
                if (streq(key, "Timeout"))
                        kit_ok(sd_bus_message_read(m, "v", "t", &f->last_timeout_usec));
                else {
                        f->n_shared += streq(key, "Handle");
                        kit_ok(sd_bus_message_skip(m, "v"));
                }
                kit_ok(sd_bus_message_exit_container(m));
        }
        return r;
}

static int on_request(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeAgent *f = userdata;
        const char *domain, *name, *mode;
        char path[64];
        int fds[2], r;
        unsigned n_shared = f->n_shared;

        kit_ok(sd_bus_message_read(m, "ssst", &domain, &name, &mode, &f->last_flags));
        kit_ok(read_options(f, m));
        kit_ok(str_copy(f->last_domain, sizeof(f->last_domain), domain));
        kit_ok(str_copy(f->last_mode, sizeof(f->last_mode), mode));
        if (f->error)
                return sd_bus_reply_method_errorf(m, f->error, "words of the agent");

        /* Decimal digits in front are escaped; these numbers are below 10. */
        kit_ok(str_print(path, sizeof(path), "/org/tooz/Agent1/claim/_3%u", ++f->n_requests));
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
        if (f->n_shared == n_shared) {
                (void) fd_close(f->handle_fd);
                f->handle_fd = fds[0];
        } else
                close(fds[0]);
        r = sd_bus_reply_method_return(m, "oh", path, fds[1]);
        close(fds[1]);
        return r;
}

static int on_page(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        FakeAgent *f = userdata;

        if (f->page_fd < 0)
                return sd_bus_reply_method_errorf(m, "org.tooz.Agent1.Error.NotSupported", "no page");
        return sd_bus_reply_method_return(m, "h", f->page_fd);
}

static int get_default_domain(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", "cluster");
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("RequestLock", "sssta{sv}", "oh", on_request, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("GetStatusPage", "s", "h", on_page, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("DefaultDomain", "s", get_default_domain, 0, 0),
        SD_BUS_VTABLE_END,
};

static sd_bus *accept_one(FakeAgent *f) {
        int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        sd_id128_t id = {};
        sd_bus *bus;

        cr_assert_geq(fd, 0);
        kit_ok(sd_bus_new(&bus));
        kit_ok(sd_bus_set_fd(bus, fd, fd));
        kit_ok(sd_bus_set_server(bus, true, id));
        kit_ok(sd_bus_negotiate_fds(bus, true));
        kit_ok(sd_bus_add_object_vtable(bus, NULL, "/org/tooz/Agent1", "org.tooz.Agent1.Manager", vtable, f));
        kit_ok(sd_bus_start(bus));
        return bus;
}

static sd_bus *serve(sd_bus *bus) {
        int r;

        do
                r = sd_bus_process(bus, NULL);
        while (r > 0);
        return r < 0 ? sd_bus_close_unref(bus) : bus;
}

/* What the test asked for; true: do nothing else. */
static bool obey(FakeAgent *f, sd_bus **bus) {
        bool hang = __atomic_load_n(&f->want_hang, __ATOMIC_ACQUIRE);

        __atomic_store_n(&f->hangs, hang, __ATOMIC_RELEASE);
        if (__atomic_load_n(&f->want_hang_up, __ATOMIC_ACQUIRE)) {
                *bus = sd_bus_close_unref(*bus);
                __atomic_store_n(&f->want_hang_up, false, __ATOMIC_RELEASE);
        }
        return hang;
}

/* One connection at a time. */
static void *fake_agent_run(void *userdata) {
        FakeAgent *f = userdata;
        sd_bus *bus = NULL;

        for (;;) {
                bool hang = obey(f, &bus);
                struct pollfd fds[] = {
                        { .fd = f->stop_fd, .events = POLLIN },
                        { .fd = hang ? -1 : f->listen_fd, .events = POLLIN },
                        { .fd = bus && !hang ? sd_bus_get_fd(bus) : -1, .events = POLLIN },
                };

                (void) poll(fds, ARRAY_SIZE(fds), 5);
                if (fds[0].revents)
                        break;
                if (fds[1].revents) {
                        (void) sd_bus_close_unref(bus);
                        bus = accept_one(f);
                }
                if (bus && !hang)
                        bus = serve(bus);
        }
        (void) sd_bus_close_unref(bus);
        return NULL;
}

void fake_agent_hang(FakeAgent *f, bool on) {
        __atomic_store_n(&f->want_hang, on, __ATOMIC_RELEASE);
        while (__atomic_load_n(&f->hangs, __ATOMIC_ACQUIRE) != on)
                (void) usleep(1000);
}

void fake_agent_hang_up(FakeAgent *f) {
        __atomic_store_n(&f->want_hang_up, true, __ATOMIC_RELEASE);
        while (__atomic_load_n(&f->want_hang_up, __ATOMIC_ACQUIRE))
                (void) usleep(1000);
}

void fake_agent_start(FakeAgent *f) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        *f = (FakeAgent) { .path = kit_path("agent.sock"), .handle_fd = -1, .page_fd = -1 };
        kit_ok(str_copy(sa.sun_path, sizeof(sa.sun_path), f->path));
        f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(f->listen_fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
        cr_assert_eq(listen(f->listen_fd, 8), 0);
        f->stop_fd = eventfd(0, EFD_CLOEXEC);
        cr_assert_eq(pthread_create(&f->thread, NULL, fake_agent_run, f), 0);
}

void fake_agent_stop(FakeAgent *f) {
        cr_assert_eq(eventfd_write(f->stop_fd, 1), 0);
        cr_assert_eq(pthread_join(f->thread, NULL), 0);
        (void) fd_close(f->listen_fd);
        (void) fd_close(f->stop_fd);
        (void) fd_close(f->handle_fd);
        (void) fd_close(f->page_fd);
}

void fake_agent_tell(FakeAgent *f, uint64_t claim, const char *event, const char *lines) {
        char text[512];
        int len = str_print(text, sizeof(text), "EVENT=%s\nCLAIM=%ju\nSEQ=1\n%s", event, (uintmax_t) claim, lines);

        kit_ok(len);
        cr_assert_eq(send(f->handle_fd, text, (size_t) len, MSG_NOSIGNAL), len);
}

const char *fake_agent_hear(FakeAgent *f) {
        static char text[512];
        ssize_t n = recv(f->handle_fd, text, sizeof(text) - 1, 0);

        cr_assert_geq(n, 0);
        text[n] = '\0';
        return text;
}

void fake_agent_drop_handle(FakeAgent *f) {
        f->handle_fd = fd_close(f->handle_fd);
}
