/* SPDX-License-Identifier: Apache-2.0 */
/* Who may connect and what they may do: socket, quotas, access, lifetimes, slow clients, the end */

#include <sys/stat.h>
#include <sys/un.h>

#include "bus/bus-kit.h"

KIT_SUITE(bus_peers);

static uint64_t n_claims(World *w) {
        return hash_count(hh, w->server->claims);
}

/* --- socket ------------------------------------------------------------------------------------- */

Test(bus_peers, socket_has_its_mode_and_goes_with_the_server) {
        struct stat st;
        World w;

        world_new(&w, LOOP_EPOLL, "none");
        cr_assert_eq(stat(kit_path("agent.sock"), &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0666);
        world_free(&w);
        cr_assert_lt(stat(kit_path("agent.sock"), &st), 0);
}

static int socket_at(const char *path, bool listens) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        kit_ok(str_copy(sa.sun_path, sizeof(sa.sun_path), path));
        cr_assert_eq(bind(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
        if (listens)
                cr_assert_eq(listen(fd, 1), 0);
        return fd;
}

Test(bus_peers, path_left_over_is_replaced) {
        World w;
        Client c;

        close(socket_at(kit_path("agent.sock"), true));
        world_new(&w, LOOP_EPOLL, "none");
        client_open(&c, &w, NULL);
        sd_bus_message_unref(manager_call(&c, NULL, "ListClaims", "t", UINT64_C(0)));
        client_close(&c);
        world_free(&w);
}

static void check_refused(World *w, const char *path, int want) {
        const BusConfig config = { .address = "none", .socket_path = path, .socket_fd = -1, .socket_mode = 0600 };
        LogLevel level = log_get_max_level();
        BusServer *s;

        log_set_max_level(LOG_LEVEL_EMERG);
        kit_fails(bus_server_new(&s, w->loop, &w->realm, &w->facts, &config), want);
        log_set_max_level(level);
}

Test(bus_peers, path_in_use_is_refused) {
        int other, file;
        World w;

        world_new(&w, LOOP_EPOLL, "none");
        other = socket_at(kit_path("other.sock"), true);
        check_refused(&w, kit_path("other.sock"), -EADDRINUSE);
        check_refused(&w, kit_path("agent.sock"), -EADDRINUSE);
        file = open(kit_path("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        check_refused(&w, kit_path("file"), -EEXIST);
        check_refused(&w, kit_path("no/such/folder"), -ENOENT);
        check_refused(&w, "/a/path/that/is/far/too/long/for/the/address/of/a/unix/socket/which/has/room/for/only/a/hundred/"
                          "and/seven/bytes", -ENAMETOOLONG);
        close(file);
        close(other);
        world_free(&w);
}

LOOP_TEST(bus_peers, garbage_closes_that_connection_alone) {
#define TEXT(s) { s, STRLEN(s) }
        static const struct {
                const char *data;
                size_t len;
        } garbage[] = {
                TEXT("GET / HTTP/1.0\r\n\r\n"),
                TEXT("\0AUTH EXTERNAL 31323334353637\r\n"),
                TEXT("\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\nl\1\0\1\377\377\377\177\1\0\0\0\377\377\377\177"),
                TEXT(""),
        };
        World w;
        Client c;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        sd_bus_message_unref(manager_call(&c, NULL, "ListClaims", "t", UINT64_C(0)));
        for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
                struct sockaddr_un sa = { .sun_family = AF_UNIX };
                int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                char buf[512];

                kit_ok(str_copy(sa.sun_path, sizeof(sa.sun_path), kit_path("agent.sock")));
                cr_assert_eq(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), 0);
                (void) !send(fd, garbage[i].data, garbage[i].len, MSG_NOSIGNAL);
                kit_ok(shutdown(fd, SHUT_WR));
                while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) != 0 && errno != ECONNRESET)
                        world_turns(&w, 1);
                close(fd);
        }
        sd_bus_message_unref(manager_call(&c, NULL, "ListClaims", "t", UINT64_C(0)));
        client_close(&c);
        world_free(&w);
}

/* --- quotas ------------------------------------------------------------------------------------- */

LOOP_TEST(bus_peers, claims_and_handles_are_limited_per_user) {
        Held held[4];
        World w;
        Client c;

        world_new(&w, kind, "none");
        quota_set_limit(&w.realm.quota, QUOTA_CLAIMS, 3);
        quota_set_limit(&w.realm.quota, QUOTA_HANDLES, 2);
        client_open(&c, &w, NULL);
        held_request(&c, &held[0], "a", "exclusive", 0, 0);
        held_request(&c, &held[1], "b", "exclusive", 0, 0);
        manager_call(&c, "QuotaExceeded", "RequestLock", "sssta{sv}", "", "c", "exclusive", UINT64_C(0), 0);
        held_request(&c, &held[2], "c", "exclusive", 0, 1, "Handle", "h", held[0].fd);
        manager_call(&c, "QuotaExceeded", "RequestLock", "sssta{sv}", "", "d", "exclusive", UINT64_C(0), 1, "Handle", "h",
                     held[0].fd);
        cr_assert_eq(n_claims(&w), 3);
        cr_assert_eq(quota_count(&w.realm.quota, getuid(), QUOTA_HANDLES), 2);

        /* What is given back can be had again. */
        held_close(&w, &held[1], "b");
        while (hash_count(hh, w.server->handles) > 1)
                world_turn(&w);
        held_request(&c, &held[1], "d", "exclusive", 0, 0);
        held_expect(&w, &held[1], "acquired");
        close(held[2].fd);
        held_close(&w, &held[0], "a");
        held_close(&w, &held[1], "d");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus_peers, connections_are_limited_per_user) {
        Client c, d, e;
        World w;

        world_new(&w, kind, "none");
        quota_set_limit(&w.realm.quota, QUOTA_CONNECTIONS, 2);
        client_open(&c, &w, NULL);
        client_open(&d, &w, NULL);
        client_await_ready(&c);
        client_await_ready(&d);
        client_open(&e, &w, NULL);
        client_await_ready(&e);
        cr_assert(e.closed);
        sd_bus_message_unref(manager_call(&c, NULL, "ListClaims", "t", UINT64_C(0)));
        client_close(&d);
        while (quota_count(&w.realm.quota, getuid(), QUOTA_CONNECTIONS) > 1)
                world_turn(&w);
        client_open(&e, &w, NULL);
        client_await_ready(&e);
        cr_assert(!e.closed);
        client_close(&e);
        client_close(&c);
        world_free(&w);
}

/* --- access ------------------------------------------------------------------------------------- */

static void allow(World *w, const char *glob, unsigned verbs) {
        AccessRule *rule = access_rule_new();

        cr_assert_not_null(rule);
        kit_ok(strdup_to(&rule->name_glob, glob));
        rule->allow = verbs;
        access_add(&w->realm.access, rule);
}

LOOP_TEST(bus_peers, rules_decide_about_every_call) {
        sd_bus_message *m;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "hidden", "exclusive", 0, 0);
        held_request(&c, &b, "open", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        allow(&w, "hidden", 0);
        allow(&w, "open", 1u << ACCESS_READ);
        allow(&w, "breakable", 1u << ACCESS_BREAK);

        manager_call(&c, "AccessDenied", "RequestLock", "sssta{sv}", "", "hidden", "exclusive", UINT64_C(0), 0);
        manager_call(&c, "AccessDenied", "RequestLock", "sssta{sv}", "", "open", "exclusive", UINT64_C(0), 0);
        manager_call(&c, "AccessDenied", "Lock", "sssta{sv}", "", "open", "exclusive", UINT64_C(0), 0);
        manager_call(&c, "AccessDenied", "QueryLock", "ss", "", "hidden");
        manager_call(&c, "AccessDenied", "VerifyToken", "sst", "", "hidden", UINT64_C(1));
        manager_call(&c, "AccessDenied", "BreakLock", "sstt", "", "open", world_holder(&w, "open")->token, UINT64_C(0));
        manager_call(&c, "AccessDenied", "Unlock", "sst", "", "hidden", UINT64_C(1));
        sd_bus_message_unref(manager_call(&c, NULL, "QueryLock", "ss", "", "open"));
        manager_call(&c, "NotHeld", "BreakLock", "sstt", "", "breakable", UINT64_C(1), UINT64_C(0));
        manager_call(&c, "AccessDenied", "BreakLock", "sstt", "", "breakable", UINT64_C(1), UINT64_C(2));

        m = manager_call(&c, NULL, "ListLocks", "st", "", UINT64_C(0));
        kit_ok(sd_bus_message_enter_container(m, 'a', "(sssuuttso)"));
        cr_assert_gt(kit_ok(sd_bus_message_skip(m, "(sssuuttso)")), 0);
        cr_assert_eq(sd_bus_message_at_end(m, false), 1);
        sd_bus_message_unref(m);

        /* One's own claims remain one's own. */
        sd_bus_message_unref(client_call(&c, NULL, a.path, BUS_CLAIM, "Check", ""));
        sd_bus_message_unref(client_call(&c, NULL, a.path, BUS_CLAIM, "Release", ""));
        close(a.fd);
        held_close(&w, &b, "open");
        client_close(&c);
        world_free(&w);
}

/* Another user's claims and handles: seen only by who may read them, changed by nobody. As root this test is another
 * user itself. */
static void other_user_note(char *result, int r, sd_bus_error *e) {
        strcat(strcat(result, r >= 0 ? "done" : strrchr(e->name, '.') + 1), " ");
        sd_bus_error_free(e);
}

static void other_user(int say, const Held *of_root) {
        static const char *const calls[] = { "Release", "Check" };
        sd_bus_error e = SD_BUS_ERROR_NULL;
        char address[256], result[64] = "";
        sd_bus *bus;
        int r;

        (void) str_print(address, sizeof(address), "unix:path=%s/agent.sock", kit_folder());
        if (setresgid(65534, 65534, 65534) < 0 || setgroups(0, NULL) < 0 || setresuid(65534, 65534, 65534) < 0 ||
            sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0)
                _exit(1);
        for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
                r = sd_bus_call_method(bus, NULL, of_root->path, BUS_CLAIM, calls[i], &e, NULL, NULL);
                other_user_note(result, r, &e);
        }
        r = sd_bus_call_method(bus, NULL, BUS_PATH, BUS_MANAGER, "RequestLock", &e, NULL, "sssta{sv}", "node",
                               "user/65534/x", "exclusive", UINT64_C(0), 1, "Handle", "h", of_root->fd);
        other_user_note(result, r, &e);
        (void) !write(say, result, strlen(result));
        _exit(0);
}

static void check_other_user(World *w, const Held *of_root, const char *want) {
        char result[64] = "";
        int say[2], status;
        pid_t pid;

        kit_ok(pipe2(say, O_CLOEXEC | O_NONBLOCK));
        pid = fork();
        if (pid == 0)
                other_user(say[1], of_root);
        close(say[1]);
        while (read(say[0], result, sizeof(result) - 1) < 0)
                world_turns(w, 1);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0);
        kit_streq(result, want);
        close(say[0]);
}

LOOP_TEST(bus_peers, claims_of_others_are_not_ones_own) {
        World w;
        Client c;
        Held a;

        if (getuid() != 0)
                cr_skip_test("needs root, to be another user");
        world_new(&w, kind, "none");
        kit_ok(chmod(kit_folder(), 0755));
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        check_other_user(&w, &a, "NotOwner done NotOwner ");
        allow(&w, "x", 0);
        check_other_user(&w, &a, "NoSuchClaim NoSuchClaim NotOwner ");
        cr_assert_not_null(world_holder(&w, "x"));
        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

/* --- lifetimes ---------------------------------------------------------------------------------- */

LOOP_TEST(bus_peers, claim_of_a_peer_lives_as_long_as_its_connection) {
        Client c, d;
        World w;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        client_open(&d, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 1, "Lifetime", "s", "peer");
        held_expect(&w, &a, "acquired");
        while (c.n_signals < 1)
                world_turn(&w);
        kit_streq(c.event, "acquired");
        a.fd = fd_close(a.fd);
        while (w.server->handles)
                world_turn(&w);
        cr_assert_not_null(world_holder(&w, "x"));

        held_request(&d, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        client_close(&c);
        held_expect(&w, &b, "acquired");
        held_is(&b, "PREVIOUS", "released"); /* this process lives */
        cr_assert_eq(d.n_signals, 0);
        held_close(&w, &b, "x");
        client_close(&d);
        world_free(&w);
}

LOOP_TEST(bus_peers, claim_of_a_handle_outlives_its_connection) {
        World w;
        Client c;
        Held a;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        client_close(&c);
        while (quota_count(&w.realm.quota, getuid(), QUOTA_CONNECTIONS) > 0)
                world_turn(&w);
        cr_assert_not_null(world_holder(&w, "x"));
        held_close(&w, &a, "x");
        world_free(&w);
}

LOOP_TEST(bus_peers, signals_come_to_who_asked) {
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 1, "Signals", "b", 1);
        held_request(&c, &b, "x", "exclusive", 0, 0);
        while (c.n_signals < 1)
                world_turn(&w);
        kit_streq(c.event, "acquired");
        sd_bus_message_unref(client_call(&c, NULL, a.path, BUS_CLAIM, "Release", ""));
        while (c.n_signals < 2)
                world_turn(&w);
        kit_streq(c.event, "released");
        held_expect(&w, &b, "queued");
        held_expect(&w, &b, "acquired");
        cr_assert_eq(c.n_signals, 2);
        close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

/* --- slow clients ------------------------------------------------------------------------------- */

static void on_ignored(LoopOp *op, int result, uint32_t flags) {
}

/* Writes calls without reading answers: it is not served any further, and others are. */
LOOP_TEST(bus_peers, client_that_reads_no_answers_is_read_no_more) {
        Client c, slow;
        LoopOpFn reads;
        uint64_t backlog = 0;
        World w;
        BusConn *conn;

        world_new(&w, kind, "none");
        client_open(&slow, &w, NULL);
        client_await_ready(&slow);
        client_open(&c, &w, NULL);
        client_await_ready(&c);
        reads = slow.pump.in.fn;
        slow.pump.in.fn = on_ignored;
        for (unsigned i = 0; i < 20000; i++) {
                sd_bus_message *m = client_method(&slow, BUS_PATH, "org.freedesktop.DBus.Introspectable", "Introspect");

                kit_ok(sd_bus_call_async(slow.pump.bus, NULL, m, client_on_signal, &slow, UINT64_MAX));
                sd_bus_message_unref(m);
                if (i % 100 == 0)
                        world_turns(&w, 1);
        }
        world_turns(&w, 100);
        sd_bus_message_unref(manager_call(&c, NULL, "ListClaims", "t", UINT64_C(0)));
        list_foreach(conn, &w.server->conns, BusConn, link) {
                uint64_t n;

                kit_ok(sd_bus_get_n_queued_write(conn->pump.bus, &n));
                backlog = MAX(backlog, n);
        }
        cr_assert_gt(backlog, 0);
        cr_assert_leq(backlog, BUS_PUMP_CLOG);
        client_close(&c);
        slow.pump.in.fn = reads;
        client_close(&slow);
        world_free(&w);
}

/* --- stopping ----------------------------------------------------------------------------------- */

LOOP_TEST(bus_peers, stopping_tells_everybody_and_refuses_the_rest) {
        Answer answer, late;
        sd_bus_message *m;
        World w;
        Client c;
        Held a;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        m = client_method(&c, BUS_PATH, BUS_MANAGER, "Lock");
        kit_ok(sd_bus_message_append(m, "sssta{sv}", "", "x", "exclusive", 20 * USEC_PER_SEC, 0));
        client_send(&c, &answer, m);
        while (world_n_waiting(&w, "x") == 0)
                world_turn(&w);

        bus_server_stop(w.server);
        m = client_method(&c, BUS_PATH, BUS_MANAGER, "RequestLock");
        kit_ok(sd_bus_message_append(m, "sssta{sv}", "", "y", "exclusive", UINT64_C(0), 0));
        client_send(&c, &late, m);
        client_answer(&c, &late, "Stopping");
        realm_stop(&w.realm, time_now());
        world_turns(&w, 1); /* the agent does this within a turn */
        client_answer(&c, &answer, "Stopping");
        held_expect(&w, &a, "lost");
        held_is(&a, "REASON", "agent-stopping");
        cr_assert_eq(held_receive(&w, &a), 0);
        while (!c.closed)
                world_turn(&w);
        while (!bus_server_is_flushed(w.server))
                world_turn(&w);
        close(a.fd);
        client_close(&c);
        world_free(&w);
}

/* The agent gives up half-way: nothing is told, nothing leaks. */
LOOP_TEST(bus_peers, server_can_be_freed_at_any_time) {
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_request(&c, &b, "x", "exclusive", 0, 1, "Lifetime", "s", "peer");
        w.server = bus_server_free(w.server);
        while (!c.closed)
                world_turn(&w);
        close(a.fd);
        close(b.fd);
        client_close(&c);
        loop_hook_remove(&w.apply);
        loop_timer_unset(&w.timer);
        realm_deinit(&w.realm);
        loop_free(w.loop);
}
