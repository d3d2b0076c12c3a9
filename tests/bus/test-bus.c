/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on the direct socket: grants, waits, refusals, conversions, releases */

#include "bus/bus-kit.h"

KIT_SUITE(bus);

LOOP_TEST(bus, request_is_answered_at_once_and_granted_on_the_handle) {
        World w;
        Client c;
        Held h;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &h, "backup", "exclusive", 0, 0);
        held_expect(&w, &h, "acquired");
        held_is(&h, "PREVIOUS", "released");
        held_is(&h, "MODE", "exclusive");
        held_is(&h, "EPOCH", "0");
        held_is(&h, "SEQ", "1");
        cr_assert_gt(held_number(&h, "TOKEN"), 0);
        cr_assert_leq(held_number(&h, "BOOTTIME_USEC"), time_now());

        close(h.fd);
        world_await_free(&w, "backup");
        client_close(&c);
        world_free(&w);
}

typedef struct Witness {
        LoopHook hook;
        World *world;
        int fd; /* of the client */
        unsigned n_answers;
} Witness;

static void witness_on_turn(LoopHook *hook) {
        Witness *v = container_of(hook, Witness, hook);
        struct pollfd p = { .fd = v->fd, .events = POLLIN };

        if (poll(&p, 1, 0) > 0) {
                v->n_answers++;
                cr_assert(handle_is_flushed(&v->world->server->handles->handle));
        }
}

/* Whoever wakes up for the answer need not sleep again for the news. */
LOOP_TEST(bus, news_are_there_before_the_answer) {
        Witness witness = {};
        World w;
        Client c;
        Held a;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        client_await_ready(&c);
        witness.world = &w;
        witness.fd = c.pump.fd;
        loop_hook_add(&witness.hook, w.loop, LOOP_PHASE_PUBLISH, witness_on_turn);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        loop_hook_remove(&witness.hook);
        cr_assert_gt(witness.n_answers, 0);
        cr_assert_gt(recv(a.fd, a.data, sizeof(a.data), MSG_DONTWAIT), 0);
        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus, waiter_is_told_who_holds_and_gets_it_next) {
        World w;
        Client c;
        Held a, b;
        uint64_t token;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        token = held_number(&a, "TOKEN");
        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        held_is(&b, "POSITION", "1");
        cr_assert(strstr(b.data, "HOLDER=host-a "));
        a.fd = fd_close(a.fd);
        held_expect(&w, &b, "acquired");
        held_is(&b, "PREVIOUS", "released");
        held_is(&b, "SEQ", "2");
        cr_assert_gt(held_number(&b, "TOKEN"), token);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus, contention_is_told_to_who_asked) {
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "shared", CLAIM_NOTIFY_CONTENTION, 0);
        held_expect(&w, &a, "acquired");
        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "contended");
        held_is(&a, "WAITERS", "1");
        a.fd = fd_close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

/* The child holds it and is killed. */
static void child_hold(int ready) {
        sd_bus_message *reply = NULL;
        char address[256];
        sd_bus *bus;

        (void) str_print(address, sizeof(address), "unix:path=%s/agent.sock", kit_folder());
        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0 ||
            sd_bus_call_method(bus, NULL, BUS_PATH, BUS_MANAGER, "RequestLock", NULL, &reply, "sssta{sv}", "node", "x",
                               "exclusive", UINT64_C(0), 0) < 0)
                _exit(1);
        (void) !write(ready, "", 1);
        pause();
        _exit(1);
}

LOOP_TEST(bus, holder_that_is_killed_has_died) {
        int ready[2];
        World w;
        Client c;
        Held b;
        pid_t pid;

        world_new(&w, kind, "none");
        kit_ok(pipe2(ready, O_CLOEXEC | O_NONBLOCK));
        pid = fork();
        if (pid == 0)
                child_hold(ready[1]);
        while (read(ready[0], b.data, 1) != 1)
                world_turns(&w, 1);
        client_open(&c, &w, NULL);
        held_request(&c, &b, "x", "exclusive", 0, 0);
        held_expect(&w, &b, "queued");
        kit_ok(kill(pid, SIGKILL));
        held_expect(&w, &b, "acquired");
        held_is(&b, "PREVIOUS", "died");
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        held_close(&w, &b, "x");
        client_close(&c);
        close(ready[0]);
        close(ready[1]);
        world_free(&w);
}

LOOP_TEST(bus, refusal_says_who_holds_since_when_and_its_token) {
        _cleanup_free_ char *token = NULL;
        Answer answer;
        sd_bus_message *m;
        const sd_bus_error *e;
        World w;
        Client c;
        Held a;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");

        m = client_method(&c, BUS_PATH, BUS_MANAGER, "RequestLock");
        kit_ok(sd_bus_message_append(m, "sssta{sv}", "node", "x", "shared", (uint64_t) CLAIM_NO_QUEUE, 0));
        client_send(&c, &answer, m);
        answer_await(&c, &answer);
        e = sd_bus_message_get_error(answer.message);
        cr_assert_not_null(e);
        kit_streq(e->name, "org.tooz.Agent1.Error.WouldBlock");
        token = str_format("token %ju", (uintmax_t) held_number(&a, "TOKEN"));
        cr_assert(strstr(e->message, "Lock \"x\" is held by host-a ") && strstr(e->message, "(pid ") &&
                          strstr(e->message, " for ") && strstr(e->message, token),
                  "%s", e->message);
        sd_bus_message_unref(answer.message);
        /* A time-out of nothing is a try, too. */
        manager_call(&c, "WouldBlock", "RequestLock", "sssta{sv}", "node", "x", "exclusive", UINT64_C(0), 1, "Timeout",
                     "t", UINT64_C(0));
        cr_assert_eq(hash_count(hh, w.server->claims), 1);

        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus, wait_ends_by_timeout) {
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_request(&c, &b, "x", "exclusive", 0, 1, "Timeout", "t", UINT64_C(5000));
        held_expect(&w, &b, "queued");
        held_expect(&w, &b, "failed");
        held_is(&b, "REASON", "timeout");
        close(b.fd);
        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus, release_by_datagram_and_by_method) {
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        cr_assert_eq(send(a.fd, "RELEASE=1\n", 10, MSG_NOSIGNAL), 10);
        held_expect(&w, &a, "released");
        cr_assert_null(world_holder(&w, "x"));

        held_request(&c, &b, "y", "exclusive", 0, 0);
        held_expect(&w, &b, "acquired");
        sd_bus_message_unref(client_call(&c, NULL, b.path, BUS_CLAIM, "Release", ""));
        held_expect(&w, &b, "released");
        client_call(&c, "NoSuchClaim", b.path, BUS_CLAIM, "Release", "");
        cr_assert_eq(hash_count(hh, w.server->claims), 0);
        close(a.fd);
        close(b.fd);
        client_close(&c);
        world_free(&w);
}

/* --- one handle for several --------------------------------------------------------------------- */

LOOP_TEST(bus, handle_is_shared) {
        World w;
        Client c;
        Held a, b, other;
        uint64_t id;
        char text[64];

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        held_expect(&w, &a, "acquired");
        held_request(&c, &b, "y", "exclusive", 0, 1, "Handle", "h", a.fd);
        cr_assert_eq(fd_is_same_file(a.fd, b.fd), 1);
        held_expect(&w, &b, "acquired");
        id = held_number(&b, "CLAIM");
        cr_assert_eq(hash_count(hh, w.server->handles), 1);

        kit_ok(str_print(text, sizeof(text), "RELEASE=1\nCLAIM=%ju\n", (uintmax_t) id));
        cr_assert_eq(send(a.fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
        held_expect(&w, &a, "released");
        cr_assert_eq(held_number(&a, "CLAIM"), id);
        cr_assert_not_null(world_holder(&w, "x"));

        held_request(&c, &other, "z", "exclusive", 0, 0);
        held_expect(&w, &other, "acquired");
        cr_assert_eq(fd_is_same_file(a.fd, other.fd), 0);
        close(b.fd);
        held_close(&w, &a, "x");
        cr_assert_not_null(world_holder(&w, "z"));
        held_close(&w, &other, "z");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus, what_is_no_handle_is_refused) {
        int pair[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        World w;
        Client c;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        client_await_ready(&c);
        kit_ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
        manager_call(&c, "InvalidArgs", "RequestLock", "sssta{sv}", "node", "x", "exclusive", UINT64_C(0), 1, "Handle",
                     "h", null);
        manager_call(&c, "InvalidArgs", "RequestLock", "sssta{sv}", "node", "x", "exclusive", UINT64_C(0), 1, "Handle",
                     "h", pair[0]);
        cr_assert_eq(hash_count(hh, w.server->claims), 0);
        cr_assert_null(lock_table_find(&world_node(&w)->locks, "x"));
        close(pair[0]);
        close(pair[1]);
        close(null);
        client_close(&c);
        world_free(&w);
}

/* --- Lock() and Unlock() ------------------------------------------------------------------------ */

static sd_bus_message *lock_message(Client *c, const char *name, uint64_t timeout_usec) {
        sd_bus_message *m = client_method(c, BUS_PATH, BUS_MANAGER, "Lock");

        kit_ok(sd_bus_message_append(m, "sssta{sv}", "", name, "exclusive", timeout_usec, 0));
        return m;
}

LOOP_TEST(bus, lock_is_answered_when_granted) {
        Answer one, two;
        uint64_t token;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        client_send(&c, &one, lock_message(&c, "x", 0));
        held_read(&a, client_answer(&c, &one, NULL));
        kit_ok(sd_bus_message_read(one.message, "t", &token));
        cr_assert_eq(token, world_holder(&w, "x")->token);

        client_send(&c, &two, lock_message(&c, "x", 20 * USEC_PER_SEC));
        while (world_n_waiting(&w, "x") == 0)
                world_turn(&w);
        cr_assert(!two.done);
        manager_call(&c, "StaleToken", "Unlock", "sst", "node", "x", token + 1);
        manager_call(&c, "NotHeld", "Unlock", "sst", "node", "y", token);
        cr_assert(!two.done);
        sd_bus_message_unref(manager_call(&c, NULL, "Unlock", "sst", "node", "x", token));
        held_read(&b, client_answer(&c, &two, NULL));
        held_expect(&w, &b, "queued");
        held_expect(&w, &b, "acquired");
        cr_assert_gt(held_number(&b, "TOKEN"), token);

        sd_bus_message_unref(one.message);
        sd_bus_message_unref(two.message);
        close(a.fd);
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

LOOP_TEST(bus, lock_that_is_not_granted_fails_and_leaves_nothing) {
        Answer answer;
        World w;
        Client c;
        Held a;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        client_send(&c, &answer, lock_message(&c, "x", 0));
        client_answer(&c, &answer, "WouldBlock");
        client_send(&c, &answer, lock_message(&c, "x", 5000));
        client_answer(&c, &answer, "TimedOut");
        client_send(&c, &answer, lock_message(&c, "x", 20 * USEC_PER_SEC + 1));
        client_answer(&c, &answer, "InvalidArgs");
        while (hash_count(hh, w.server->handles) > 1)
                world_turn(&w);
        cr_assert_eq(hash_count(hh, w.server->claims), 1);
        cr_assert_eq(world_n_waiting(&w, "x"), 0);
        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

/* The lock is not given to somebody who has gone. */
LOOP_TEST(bus, lock_of_a_caller_that_leaves_is_cancelled) {
        Answer answer;
        Client c, d;
        World w;
        Held a;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        client_open(&d, &w, NULL);
        held_request(&c, &a, "x", "exclusive", 0, 0);
        client_send(&d, &answer, lock_message(&d, "x", 20 * USEC_PER_SEC));
        while (world_n_waiting(&w, "x") == 0)
                world_turn(&w);
        answer.slot = sd_bus_slot_unref(answer.slot);
        client_close(&d);
        while (world_n_waiting(&w, "x") > 0)
                world_turn(&w);
        while (hash_count(hh, w.server->handles) > 1)
                world_turn(&w);
        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

/* --- conversion --------------------------------------------------------------------------------- */

static void convert_send(Client *c, Answer *a, const Held *h, const char *mode, uint64_t timeout_usec) {
        sd_bus_message *m = client_method(c, h->path, BUS_CLAIM, "Convert");

        kit_ok(sd_bus_message_append(m, "st", mode, timeout_usec));
        client_send(c, a, m);
}

LOOP_TEST(bus, conversion_is_answered_when_it_is_done) {
        Answer answer, again;
        uint64_t token;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "shared", 0, 0);
        held_request(&c, &b, "x", "shared", 0, 0);
        held_expect(&w, &a, "acquired");
        held_expect(&w, &b, "acquired");

        convert_send(&c, &answer, &a, "exclusive", 0);
        client_answer(&c, &answer, "WouldBlock");
        held_expect(&w, &a, "convert-failed");
        convert_send(&c, &answer, &a, "exclusive", 5000);
        client_answer(&c, &answer, "TimedOut");
        held_expect(&w, &a, "convert-failed");
        held_is(&a, "REASON", "timeout");
        convert_send(&c, &answer, &a, "write", 0);
        client_answer(&c, &answer, "InvalidArgs");
        convert_send(&c, &answer, &a, "exclusive", 21 * USEC_PER_SEC);
        client_answer(&c, &answer, "InvalidArgs");

        convert_send(&c, &answer, &a, "exclusive", 20 * USEC_PER_SEC);
        convert_send(&c, &again, &a, "exclusive", 20 * USEC_PER_SEC);
        client_answer(&c, &again, "Busy");
        convert_send(&c, &again, &b, "exclusive", 20 * USEC_PER_SEC);
        client_answer(&c, &again, "Deadlock");
        cr_assert(!answer.done);
        b.fd = fd_close(b.fd);
        kit_ok(sd_bus_message_read(client_answer(&c, &answer, NULL), "t", &token));
        held_expect(&w, &a, "converted");
        held_is(&a, "MODE", "exclusive");
        cr_assert_eq(held_number(&a, "TOKEN"), token);
        sd_bus_message_unref(answer.message);

        held_close(&w, &a, "x");
        client_close(&c);
        world_free(&w);
}

/* A client that has lost its connection has its claims still, and goes on with a new one. */
LOOP_TEST(bus, conversion_from_another_connection) {
        Answer answer;
        Client c, d;
        World w;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "shared", 0, 0);
        held_request(&c, &b, "x", "shared", 0, 0);
        held_expect(&w, &a, "acquired");
        client_close(&c);
        client_open(&d, &w, NULL);
        convert_send(&d, &answer, &a, "exclusive", 20 * USEC_PER_SEC);
        while (!bus_claim_of(world_holder(&w, "x"))->convert_call)
                world_turn(&w);
        b.fd = fd_close(b.fd);
        sd_bus_message_unref(client_answer(&d, &answer, NULL));
        held_expect(&w, &a, "converted");

        /* One that goes away meanwhile is not answered. */
        sd_bus_message_unref(client_call(&d, NULL, a.path, BUS_CLAIM, "Convert", "st", "shared", UINT64_C(0)));
        held_expect(&w, &a, "converted");
        held_request(&d, &b, "x", "shared", 0, 0);
        convert_send(&d, &answer, &a, "exclusive", 20 * USEC_PER_SEC);
        while (!bus_claim_of(world_holder(&w, "x"))->convert_call)
                world_turn(&w);
        answer.slot = sd_bus_slot_unref(answer.slot);
        client_close(&d);
        b.fd = fd_close(b.fd);
        held_expect(&w, &a, "converted");
        held_close(&w, &a, "x");
        world_free(&w);
}

LOOP_TEST(bus, conversion_fails_when_the_claim_ends) {
        Answer answer;
        World w;
        Client c;
        Held a, b;

        world_new(&w, kind, "none");
        client_open(&c, &w, NULL);
        held_request(&c, &a, "x", "shared", 0, 0);
        held_request(&c, &b, "x", "shared", 0, 0);
        held_expect(&w, &a, "acquired");
        convert_send(&c, &answer, &a, "exclusive", 20 * USEC_PER_SEC);
        while (!bus_claim_of(world_holder(&w, "x"))->convert_call)
                world_turn(&w);
        a.fd = fd_close(a.fd);
        client_answer(&c, &answer, "LockLost");
        held_close(&w, &b, "x");
        client_close(&c);
        world_free(&w);
}

/* --- bad requests ------------------------------------------------------------------------------- */

#define request_fails(c, want, domain, name, mode, flags, ...)                                            \
        manager_call(c, want, "RequestLock", "sssta{sv}", domain, name, mode, (uint64_t) (flags), __VA_ARGS__)

Test(bus, bad_requests_are_refused_by_name) {
        char name[NAME_LEN_MAX + 2], text[CLAIM_DESCRIPTION_MAX + 2];
        World w;
        Client c;

        world_new(&w, LOOP_EPOLL, "none");
        client_open(&c, &w, NULL);
        memset(name, 'n', sizeof(name));
        name[sizeof(name) - 1] = 0;
        memset(text, 't', sizeof(text));
        text[sizeof(text) - 1] = 0;

        request_fails(&c, "InvalidName", "", "", "exclusive", 0, 0);
        request_fails(&c, "InvalidName", "", ".", "exclusive", 0, 0);
        request_fails(&c, "InvalidName", "", "a\nb", "exclusive", 0, 0);
        request_fails(&c, "InvalidName", "", name, "exclusive", 0, 0);
        request_fails(&c, "NoSuchDomain", "nowhere", "x", "exclusive", 0, 0);
        request_fails(&c, "NoSuchDomain", "\n", "x", "exclusive", 0, 0);
        request_fails(&c, "InvalidArgs", "", "x", "write", 0, 0);
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 2, 0);
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", UINT64_MAX, 0);
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 0, 1, "NoSuchOption", "b", 1);
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 0, 1, "", "b", 1);
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 0, 1, "Timeout", "s", "5s");
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 0, 1, "Timeout", "u", 5);
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 0, 1, "Handle", "s", "5");
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 0, 1, "Description", "s", "a\nb");
        request_fails(&c, "InvalidArgs", "", "x", "exclusive", 0, 1, "Description", "s", text);
        request_fails(&c, "NotSupported", "", "x", "exclusive", 0, 1, "Lifetime", "s", "lease");
        manager_call(&c, "InvalidArgs", "RequestLock", "s", "node");
        cr_assert_eq(hash_count(hh, w.server->claims), 0);
        cr_assert_eq(hash_count(hh, w.server->handles), 0);
        client_close(&c);
        world_free(&w);
}

Test(bus, error_names_the_option) {
        sd_bus_message *m;
        Answer answer;
        World w;
        Client c;

        world_new(&w, LOOP_EPOLL, "none");
        client_open(&c, &w, NULL);
        m = client_method(&c, BUS_PATH, BUS_MANAGER, "RequestLock");
        kit_ok(sd_bus_message_append(m, "sssta{sv}", "", "x", "exclusive", UINT64_C(0), 1, "Colour", "s", "red"));
        client_send(&c, &answer, m);
        answer_await(&c, &answer);
        cr_assert(strstr(sd_bus_message_get_error(answer.message)->message, "\"Colour\""));
        sd_bus_message_unref(answer.message);
        client_close(&c);
        world_free(&w);
}
