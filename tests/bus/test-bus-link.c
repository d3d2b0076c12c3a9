/* SPDX-License-Identifier: Apache-2.0 */
/* On a message bus, with a real bus daemon: the name, callers, lifetimes, and a bus that goes and comes */

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "bus/bus-kit.h"

KIT_SUITE(bus_link);

static const char daemon_config[] =
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\"\n"
        " \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
        "<busconfig><type>system</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>\n"
        "<policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\"/>"
        "<allow send_type=\"signal\"/><allow receive_sender=\"*\"/></policy></busconfig>\n";

static char bus_address[256];

static void daemon_run(const char *config) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* It complains of limits that it can't raise. */
        (void) dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        execlp("dbus-daemon", "dbus-daemon", "--nofork", "--nopidfile", "--nosyslog", "--config-file", config, NULL);
        _exit(127);
}

/* The file is there before anybody listens on it. */
static bool daemon_listens(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool listens;

        cr_assert_geq(fd, 0);
        kit_ok(str_copy(sa.sun_path, sizeof(sa.sun_path), path));
        listens = connect(fd, (const struct sockaddr *) &sa, sizeof(sa)) >= 0;
        fd_close(fd);
        return listens;
}

/* Returns when it listens. */
static pid_t daemon_start(World *w) {
        const char *config = kit_path("bus.conf"), *path = kit_path("bus");
        _cleanup_free_ char *text = str_format(daemon_config, kit_folder());
        pid_t pid;

        kit_ok(file_write_atomic(config, text, strlen(text), 0644));
        (void) unlink(path);
        kit_ok(str_print(bus_address, sizeof(bus_address), "unix:path=%s/bus", kit_folder()));
        pid = fork();
        if (pid == 0)
                daemon_run(config);
        while (!daemon_listens(path)) {
                cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0, "no dbus-daemon");
                if (w)
                        world_turns(w, 1);
        }
        return pid;
}

static void daemon_stop(pid_t pid) {
        kit_ok(kill(pid, SIGKILL));
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static void await_ready(World *w) {
        while (!bus_server_is_ready(w->server))
                world_turn(w);
}

static BusServer *told_ready;

static void on_ready(BusServer *s) {
        cr_assert_null(told_ready);
        told_ready = s;
}

LOOP_TEST(bus_link, name_is_owned_and_said_once) {
        pid_t daemon = daemon_start(NULL);
        World w;

        world_new(&w, kind, bus_address);
        cr_assert(!bus_server_is_ready(w.server));
        bus_server_on_ready(w.server, on_ready);
        while (!told_ready)
                world_turn(&w);
        cr_assert_eq(told_ready, w.server);
        cr_assert(bus_server_is_ready(w.server));
        world_free(&w);
        daemon_stop(daemon);
}

LOOP_TEST(bus_link, callers_are_asked_for_once) {
        pid_t daemon = daemon_start(NULL);
        World w;
        Client c;
        Held a, b;
        Answer answers[8];
        BusConn *conn;

        world_new(&w, kind, bus_address);
        await_ready(&w);
        client_open(&c, &w, bus_address);
        client_await_ready(&c);
        /* Several before it is known who calls: all are kept back, and answered in order. */
        for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
                char name[16];
                sd_bus_message *m = client_method(&c, BUS_PATH, BUS_MANAGER, "RequestLock");

                kit_ok(str_print(name, sizeof(name), "n%zu", i));
                kit_ok(sd_bus_message_append(m, "sssta{sv}", "", name, "exclusive", UINT64_C(0), 0));
                client_send(&c, &answers[i], m);
        }
        conn = w.server->link.conn;
        for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
                const char *path;

                kit_ok(sd_bus_message_read(client_answer(&c, &answers[i], NULL), "o", &path));
                cr_assert_eq(path[strlen(path) - 1], '1' + (int) i);
                sd_bus_message_unref(answers[i].message);
        }
        cr_assert_eq(hash_count(hh, conn->callers), 1);
        cr_assert_eq(conn->n_unknown, 0);
        cr_assert_eq(conn->callers->who.uid, getuid());
        cr_assert_eq(conn->callers->pid, getpid());
        cr_assert_gt(conn->callers->who.n_gids, 0);
        cr_assert_eq(quota_count(&w.realm.quota, getuid(), QUOTA_CONNECTIONS), 1);

        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        client_close(&c);
        while (conn->callers)
                world_turn(&w);
        cr_assert_eq(quota_count(&w.realm.quota, getuid(), QUOTA_CONNECTIONS), 0);
        /* Handles don't care. */
        cr_assert_not_null(world_holder(&w, "x"));
        a.fd = fd_close(a.fd);
        held_expect(&w, &b, "acquired");
        held_close(&w, &b, "x");
        world_free(&w);
        daemon_stop(daemon);
}

LOOP_TEST(bus_link, property_of_a_claim_needs_a_known_caller) {
        pid_t daemon = daemon_start(NULL);
        Client c, d;
        World w;
        Held a;

        world_new(&w, kind, bus_address);
        await_ready(&w);
        client_open(&c, &w, bus_address);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        /* Its first call of all. */
        client_open(&d, &w, bus_address);
        sd_bus_message_unref(client_call(&d, NULL, a.path, "org.freedesktop.DBus.Properties", "GetAll", "s", BUS_CLAIM));
        client_close(&d);
        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
        daemon_stop(daemon);
}

LOOP_TEST(bus_link, connections_count_on_the_bus_too) {
        pid_t daemon = daemon_start(NULL);
        Client c, d;
        World w;

        world_new(&w, kind, bus_address);
        quota_set_limit(&w.realm.quota, QUOTA_CONNECTIONS, 1);
        await_ready(&w);
        client_open(&c, &w, bus_address);
        client_open(&d, &w, bus_address);
        sd_bus_message_unref(manager_call(&c, NULL, "ListClaims", "t", UINT64_C(0)));
        manager_call(&d, "QuotaExceeded", "ListClaims", "t", UINT64_C(0));
        client_close(&c);
        while (quota_count(&w.realm.quota, getuid(), QUOTA_CONNECTIONS) > 0)
                world_turn(&w);
        sd_bus_message_unref(manager_call(&d, NULL, "ListClaims", "t", UINT64_C(0)));
        client_close(&d);
        world_free(&w);
        daemon_stop(daemon);
}

LOOP_TEST(bus_link, peer_lives_as_long_as_its_name) {
        pid_t daemon = daemon_start(NULL);
        Client c, d;
        World w;
        Held a, b;

        world_new(&w, kind, bus_address);
        await_ready(&w);
        client_open(&c, &w, bus_address);
        client_open(&d, &w, bus_address);
        held_request(&c, &a, "x", "exclusive", 0, 1, "Lifetime", "s", "peer");
        held_expect(&w, &a, "acquired");
        while (c.n_signals < 1)
                world_turn(&w);
        a.fd = fd_close(a.fd);
        held_request(&d, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        client_close(&c);
        held_expect(&w, &b, "acquired");
        /* Unicast: nobody else heard it. */
        cr_assert_eq(d.n_signals, 0);
        held_close(&w, &b, "x");
        client_close(&d);
        world_free(&w);
        daemon_stop(daemon);
}

LOOP_TEST(bus_link, bus_that_restarts_takes_no_claim_with_it) {
        pid_t daemon = daemon_start(NULL);
        Client c, d;
        Answer answer;
        sd_bus_message *m;
        World w;
        Held a, b, p;

        world_new(&w, kind, bus_address);
        log_set_max_level(LOG_LEVEL_ERROR);
        await_ready(&w);
        client_open(&c, &w, bus_address);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        held_request(&c, &p, "peer", "exclusive", 0, 1, "Lifetime", "s", "peer");
        held_expect(&w, &p, "acquired");
        p.fd = fd_close(p.fd);
        m = client_method(&c, BUS_PATH, BUS_MANAGER, "Lock");
        kit_ok(sd_bus_message_append(m, "sssta{sv}", "", "x", "exclusive", 20 * USEC_PER_SEC, 0));
        client_send(&c, &answer, m);
        while (world_n_waiting(&w, "x") < 2)
                world_turn(&w);

        daemon_stop(daemon);
        while (w.server->link.state == BUS_LINK_OWNED)
                world_turn(&w);
        cr_assert(!bus_server_is_ready(w.server));
        answer_await(&c, &answer); /* by an error of sd-bus */
        sd_bus_message_unref(answer.message);
        client_close(&c);
        /* Whoever waits in a call that can't be answered waits no more. */
        while (world_n_waiting(&w, "x") > 1)
                world_turn(&w);
        cr_assert_not_null(world_holder(&w, "peer"));

        daemon = daemon_start(&w);
        await_ready(&w);
        cr_assert_not_null(world_holder(&w, "peer"));
        client_open(&d, &w, bus_address);
        /* The process that made it lives, and may give it back by its path. */
        sd_bus_message_unref(client_call(&d, NULL, p.path, BUS_CLAIM, "Release", ""));
        world_await_free(&w, "peer");
        a.fd = fd_close(a.fd);
        held_expect(&w, &b, "acquired");
        held_is(&b, "PREVIOUS", "released");
        held_close(&w, &b, "x");
        client_close(&d);
        world_free(&w);
        daemon_stop(daemon);
}

/* The child holds a claim of its own lifetime; the bus goes, and then the child. */
static void child_hold_as_peer(int ready) {
        sd_bus_message *reply = NULL;
        sd_bus *bus;

        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, bus_address) < 0 || sd_bus_set_bus_client(bus, true) < 0 ||
            sd_bus_start(bus) < 0 ||
            sd_bus_call_method(bus, BUS_NAME, BUS_PATH, BUS_MANAGER, "RequestLock", NULL, &reply, "sssta{sv}", "node",
                               "x", "exclusive", UINT64_C(0), 1, "Lifetime", "s", "peer") < 0)
                _exit(1);
        sd_bus_message_unref(reply);
        (void) !write(ready, "", 1);
        pause();
        _exit(1);
}

LOOP_TEST(bus_link, orphan_lives_as_long_as_its_process) {
        pid_t pid, daemon = daemon_start(NULL);
        int ready[2];
        World w;
        Client c;
        Held b;

        world_new(&w, kind, bus_address);
        log_set_max_level(LOG_LEVEL_ERROR);
        await_ready(&w);
        kit_ok(pipe2(ready, O_CLOEXEC | O_NONBLOCK));
        pid = fork();
        if (pid == 0)
                child_hold_as_peer(ready[1]);
        while (read(ready[0], b.data, 1) != 1)
                world_turns(&w, 1);
        while (w.server->handles)
                world_turn(&w);
        daemon_stop(daemon);
        while (w.server->link.state == BUS_LINK_OWNED)
                world_turn(&w);

        client_open(&c, &w, NULL);
        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        world_turns(&w, 10);
        cr_assert_not_null(world_holder(&w, "x"));
        cr_assert(!list_is_empty(&w.server->orphans));
        kit_ok(kill(pid, SIGKILL));
        held_expect(&w, &b, "acquired");
        held_is(&b, "PREVIOUS", "died");
        cr_assert(list_is_empty(&w.server->orphans));
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        held_close(&w, &b, "x");
        client_close(&c);
        close(ready[0]);
        close(ready[1]);
        world_free(&w);
}

LOOP_TEST(bus_link, orphans_end_with_the_server) {
        pid_t daemon = daemon_start(NULL);
        World w;
        Client c;
        Held p;

        world_new(&w, kind, bus_address);
        log_set_max_level(LOG_LEVEL_ERROR);
        await_ready(&w);
        client_open(&c, &w, bus_address);
        held_request(&c, &p, "x", "exclusive", 0, 1, "Lifetime", "s", "peer");
        close(p.fd);
        daemon_stop(daemon);
        while (list_is_empty(&w.server->orphans))
                world_turn(&w);
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus_link, bus_may_come_late) {
        World w;
        Client c;
        pid_t daemon;

        kit_ok(str_print(bus_address, sizeof(bus_address), "unix:path=%s/bus", kit_folder()));
        log_set_max_level(LOG_LEVEL_ERROR);
        world_new(&w, kind, bus_address);
        log_set_max_level(LOG_LEVEL_ERROR);
        client_open(&c, &w, NULL);
        sd_bus_message_unref(manager_call(&c, NULL, "ListClaims", "t", UINT64_C(0)));
        cr_assert(!bus_server_is_ready(w.server));
        daemon = daemon_start(&w);
        await_ready(&w);
        client_close(&c);
        world_free(&w);
        daemon_stop(daemon);
}

LOOP_TEST(bus_link, name_of_another_is_not_taken) {
        pid_t daemon = daemon_start(NULL);
        const BusConfig config = { .address = bus_address, .socket_fd = -1 };
        BusServer *second;
        uint32_t answer;
        sd_bus_message *m;
        World w;
        Client c;

        world_new(&w, kind, "none");
        log_set_max_level(LOG_LEVEL_ERROR);
        client_open(&c, &w, bus_address);
        m = client_call(&c, NULL, "/org/freedesktop/DBus", "org.freedesktop.DBus", "RequestName", "su", BUS_NAME, 4);
        kit_ok(sd_bus_message_read(m, "u", &answer));
        cr_assert_eq(answer, 1);
        sd_bus_message_unref(m);

        kit_ok(bus_server_new(&second, w.loop, &w.realm, &w.facts, &config));
        while (second->link.state != BUS_LINK_WAITING)
                world_turn(&w);
        cr_assert(!bus_server_is_ready(second));
        client_close(&c);
        while (!bus_server_is_ready(second))
                world_turn(&w);
        bus_server_free(second);
        world_free(&w);
        daemon_stop(daemon);
}
