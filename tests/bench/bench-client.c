/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-client: what a client of the agent sees, in microseconds, as one JSON object.
 *
 *     bench-client pair bus|direct ADDRESS DOMAIN N [NAMES]   by turns: Peer.Ping, and RequestLock until it is
 *                                                             acquired and its handle is closed
 *     bench-client cycle bus|direct ADDRESS DOMAIN N          acquire and release the same lock again and again
 *     bench-client many ADDRESS CLIENTS REQUESTS              that many direct connections, each always with one
 *                                                             request under way; all requests together
 *
 * Ping and lock are taken by turns so that both see the same machine. With NAMES the locks take turns too, each
 * of them acquired once beforehand, so that what is measured finds its folder made and its last holder gone. In a
 * cluster a pause after each lets the server come to rest: its release is not to be measured with the next acquire.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#include "base/macro.h"

#define SERVICE "org.tooz.Agent1"
#define ROOT "/org/tooz/Agent1"
#define MANAGER "org.tooz.Agent1.Manager"
#define EVENT_SIZE 4097
#define CLIENTS_MAX 256
#define PAUSE_USEC 2000

typedef struct Samples {
        double *usec;
        size_t n;
} Samples;

/* One of many: a connection and the handle of its request, if it has one. */
typedef struct Client {
        sd_bus *bus;
        sd_bus_message *reply; /* owns the handle's fd */
        int handle;
        unsigned number;
} Client;

static unsigned n_left;    /* requests not yet begun */
static unsigned n_running; /* begun, not yet acquired and closed */

static void fail(const char *what, int error) {
        fprintf(stderr, "bench-client: %s: %s\n", what, strerror(-error));
        exit(1);
}

static double now_usec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void print_samples(const char *name, Samples *s) {
        double sum = 0;

        for (size_t i = 0; i < s->n; i++)
                sum += s->usec[i];
        qsort(s->usec, s->n, sizeof(double), compare);
        printf("\"%s\": {\"n\": %zu, \"p50\": %.2f, \"p90\": %.2f, \"p99\": %.2f, \"mean\": %.2f}", name, s->n,
               s->usec[s->n / 2], s->usec[s->n * 9 / 10], s->usec[s->n * 99 / 100], sum / (double) s->n);
}

static sd_bus *connect_to(const char *address, bool direct) {
        sd_bus *bus;
        int r;

        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0 && !direct)
                r = sd_bus_set_bus_client(bus, true);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, true);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                fail(address, r);
        return bus;
}

/* --- one at a time ------------------------------------------------------------------------------- */

static void ping(sd_bus *bus, const char *service) {
        int r;

        r = sd_bus_call_method(bus, service, ROOT, "org.freedesktop.DBus.Peer", "Ping", NULL, NULL, "");
        if (r < 0)
                fail("Ping", r);
}

/* Reads events until the claim is acquired. */
static void await_acquired(int fd) {
        char event[EVENT_SIZE];
        ssize_t n;

        for (;;) {
                n = recv(fd, event, sizeof(event) - 1, 0);
                if (n <= 0)
                        fail("handle", n < 0 ? -ENOTCONN : -EPIPE);
                event[n] = '\0';
                if (strstr(event, "EVENT=acquired"))
                        return;
                if (strstr(event, "EVENT=failed") || strstr(event, "EVENT=lost"))
                        fail(event, -ECANCELED);
        }
}

static void lock_once(sd_bus *bus, const char *service, const char *domain, const char *name) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        int r, fd;

        r = sd_bus_call_method(bus, service, ROOT, MANAGER, "RequestLock", &error, &reply, "sssta{sv}", domain, name,
                               "exclusive", UINT64_C(0), 0);
        if (r < 0)
                fail(error.message ? error.message : "RequestLock", r);
        r = sd_bus_message_read(reply, "oh", NULL, &fd);
        if (r < 0)
                fail("reply of RequestLock", r);
        await_acquired(fd);
        sd_bus_message_unref(reply); /* closes the handle: release */
}

static int run_pair(bool direct, const char *address, const char *domain, size_t n, unsigned n_names) {
        sd_bus *bus = connect_to(address, direct);
        const char *service = direct ? NULL : SERVICE;
        Samples pings = { malloc(n * sizeof(double)), n }, locks = { malloc(n * sizeof(double)), n };
        char name[32];

        for (unsigned i = 0; i < n_names; i++) {
                snprintf(name, sizeof(name), "bench-%u", i);
                lock_once(bus, service, domain, name);
        }
        for (size_t i = 0; i < n; i++) {
                double a, b, c;

                snprintf(name, sizeof(name), "bench-%zu", i % n_names);
                if (strcmp(domain, "node") != 0)
                        usleep(PAUSE_USEC);
                ping(bus, service); /* whatever the last release left to do is done */
                a = now_usec();
                ping(bus, service);
                b = now_usec();
                lock_once(bus, service, domain, name);
                c = now_usec();
                pings.usec[i] = b - a;
                locks.usec[i] = c - b;
        }
        printf("{");
        print_samples("ping", &pings);
        printf(", ");
        print_samples("lock", &locks);
        printf("}\n");
        free(pings.usec);
        free(locks.usec);
        sd_bus_flush_close_unref(bus);
        return 0;
}

static int run_cycle(bool direct, const char *address, const char *domain, size_t n) {
        sd_bus *bus = connect_to(address, direct);
        const char *service = direct ? NULL : SERVICE;
        Samples locks = { malloc(n * sizeof(double)), n };

        lock_once(bus, service, domain, "bench-cycle");
        for (size_t i = 0; i < n; i++) {
                double start = now_usec();

                lock_once(bus, service, domain, "bench-cycle");
                locks.usec[i] = now_usec() - start;
        }
        printf("{");
        print_samples("lock", &locks);
        printf("}\n");
        free(locks.usec);
        sd_bus_flush_close_unref(bus);
        return 0;
}

/* --- many at once --------------------------------------------------------------------------------- */

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Client *c = userdata;
        int r;

        if (sd_bus_message_is_method_error(m, NULL))
                fail(sd_bus_message_get_error(m)->message, -EIO);
        r = sd_bus_message_read(m, "oh", NULL, &c->handle);
        if (r < 0)
                fail("reply of RequestLock", r);
        c->reply = sd_bus_message_ref(m);
        return 1;
}

static void client_request(Client *c) {
        char name[32];
        int r;

        if (n_left == 0)
                return;
        n_left--;
        n_running++;
        snprintf(name, sizeof(name), "bench-%u", c->number);
        r = sd_bus_call_method_async(c->bus, NULL, NULL, ROOT, MANAGER, "RequestLock", on_reply, c, "sssta{sv}",
                                     "node", name, "exclusive", UINT64_C(0), 0);
        if (r < 0)
                fail("RequestLock", r);
        (void) sd_bus_flush(c->bus);
}

static void client_turn(Client *c, bool bus_ready, bool handle_ready) {
        if (bus_ready)
                while (sd_bus_process(c->bus, NULL) > 0)
                        ;
        if (!handle_ready || c->handle < 0)
                return;
        await_acquired(c->handle);
        c->handle = -1;
        c->reply = sd_bus_message_unref(c->reply);
        n_running--;
        client_request(c);
}

static void await_line(void) {
        char line[16];

        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin))
                exit(1);
}

static int run_many(const char *address, unsigned n_clients, unsigned n_requests) {
        Client *clients = calloc(n_clients, sizeof(Client));
        struct pollfd pfds[2 * CLIENTS_MAX];
        double start;

        if (!clients || n_clients > CLIENTS_MAX)
                fail("clients", -EINVAL);
        for (unsigned i = 0; i < n_clients; i++) {
                clients[i] = (Client) { .bus = connect_to(address, true), .handle = -1, .number = i };
                ping(clients[i].bus, NULL);
        }
        puts("ready"); /* whoever counts begins now, and says so by a line */
        await_line();
        start = now_usec();
        n_left = n_requests;
        for (unsigned i = 0; i < n_clients; i++)
                client_request(&clients[i]);
        while (n_running > 0) {
                for (unsigned i = 0; i < n_clients; i++) {
                        pfds[2 * i] = (struct pollfd) { sd_bus_get_fd(clients[i].bus), POLLIN, 0 };
                        pfds[2 * i + 1] = (struct pollfd) { clients[i].handle, POLLIN, 0 };
                }
                if (poll(pfds, 2 * n_clients, -1) < 0)
                        fail("poll", -EIO);
                for (unsigned i = 0; i < n_clients; i++)
                        client_turn(&clients[i], pfds[2 * i].revents, pfds[2 * i + 1].revents);
        }
        printf("{\"clients\": %u, \"requests\": %u, \"usec\": %.0f}\n", n_clients, n_requests, now_usec() - start);
        await_line(); /* stay connected until the count has ended */
        for (unsigned i = 0; i < n_clients; i++)
                sd_bus_flush_close_unref(clients[i].bus);
        free(clients);
        return 0;
}

int main(int argc, char **argv) {
        bool direct = argc > 2 && strcmp(argv[2], "direct") == 0;

        if (argc >= 6 && strcmp(argv[1], "pair") == 0)
                return run_pair(direct, argv[3], argv[4], (size_t) atoi(argv[5]), argc > 6 ? (unsigned) atoi(argv[6]) : 1);
        if (argc == 6 && strcmp(argv[1], "cycle") == 0)
                return run_cycle(direct, argv[3], argv[4], (size_t) atoi(argv[5]));
        if (argc == 5 && strcmp(argv[1], "many") == 0)
                return run_many(argv[2], (unsigned) atoi(argv[3]), (unsigned) atoi(argv[4]));
        fprintf(stderr, "usage: bench-client pair|cycle|many ...\n");
        return 2;
}
