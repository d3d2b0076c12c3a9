/* SPDX-License-Identifier: Apache-2.0 */
/* libtooz against an agent that misbehaves on command */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tooz/tooz-event.h>
#include <tooz/tooz.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "client/fake-agent.h"
#include "client/pages.h"
#include "support/kit.h"

KIT_SUITE(client);

#define FOR_EVER TOOZ_USEC_INFINITY

static FakeAgent agent;
static tooz_client *client;
static struct tooz_page *page;

static void start(void) {
        fake_agent_start(&agent);
        kit_ok(tooz_client_open(&client, agent.path, 0));
}

/* With a cluster domain whose session is number 5. */
static void start_cluster(uint64_t deadline_usec) {
        start();
        page = pages_new(&agent.page_fd);
        pages_write(page, TOOZ_PAGE_UP, 5, deadline_usec);
}

static void stop(void) {
        client = tooz_client_unref(client);
        fake_agent_stop(&agent);
        if (page)
                pages_free(page);
}

static tooz_claim *request(const char *domain) {
        tooz_claim *claim = NULL;

        kit_ok(tooz_lock_request(client, &claim, domain, "backup", NULL));
        return claim;
}

static tooz_claim *hold(const char *domain) {
        tooz_claim *claim = request(domain);

        fake_agent_tell(&agent, agent.n_requests, "acquired", "TOKEN=42\nPREVIOUS=died\nEPOCH=5\n");
        kit_ok(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, FOR_EVER));
        return claim;
}

static void expect_state(tooz_claim *claim, tooz_claim_state wanted, const char *wanted_reason) {
        tooz_claim_state state;
        const char *reason;

        kit_ok(tooz_claim_get_state(claim, &state));
        cr_assert_eq(state, wanted, "state %d, not %d", (int) state, (int) wanted);
        kit_ok(tooz_claim_get_reason(claim, &reason));
        kit_streq(reason, wanted_reason);
}

static void process_all(void) {
        while (kit_ok(tooz_client_process(client)) > 0)
                ;
}

/* --- the usual way ------------------------------------------------------------------------------ */

Test(client, waits_holds_and_gives_back) {
        tooz_claim *claim;
        tooz_previous previous;
        uint64_t token, safe_usec;
        uint32_t position;
        const char *domain, *name;

        start();
        claim = request("node");
        fake_agent_tell(&agent, 1, "queued", "POSITION=2\nHOLDER=node3\n");
        kit_fails(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, 1000), -ETIMEDOUT);
        kit_ok(tooz_claim_get_position(claim, &position));
        cr_assert_eq(position, 2);
        kit_fails(tooz_claim_get_token(claim, &token), -ENODATA);
        kit_fails(tooz_claim_check(claim, NULL), 0);

        fake_agent_tell(&agent, 1, "acquired", "TOKEN=42\nPREVIOUS=died\n");
        kit_ok(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, FOR_EVER));
        kit_ok(tooz_claim_get_token(claim, &token));
        cr_assert_eq(token, 42);
        kit_ok(tooz_claim_get_previous(claim, &previous));
        cr_assert_eq(previous, TOOZ_PREVIOUS_DIED);
        kit_fails(tooz_claim_check(claim, &safe_usec), 1);
        cr_assert_eq(safe_usec, TOOZ_USEC_INFINITY);
        kit_ok(tooz_claim_get_name(claim, &domain, &name));
        kit_streq(domain, "node");
        kit_streq(name, "backup");

        (void) tooz_claim_unref(claim);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        stop();
}

Test(client, options_reach_the_agent) {
        struct tooz_lock_options o = TOOZ_LOCK_OPTIONS_INIT;
        tooz_claim *claim = NULL;

        start_cluster(USEC_INFINITY);
        o.mode = TOOZ_LOCK_SHARED;
        o.flags = TOOZ_NOTIFY_CONTENTION;
        o.timeout_usec = 77;
        kit_ok(tooz_lock_request(client, &claim, NULL, "a", &o));
        kit_streq(agent.last_domain, "cluster");
        kit_streq(agent.last_mode, "shared");
        cr_assert_eq(agent.last_flags, TOOZ_NOTIFY_CONTENTION);
        cr_assert_eq(agent.last_timeout_usec, 77);
        (void) tooz_claim_unref(claim);

        /* No time to wait is no queue. */
        o.timeout_usec = 0;
        kit_ok(tooz_lock_request(client, &claim, "", "a", &o));
        cr_assert_eq(agent.last_flags, TOOZ_NOTIFY_CONTENTION | TOOZ_NO_QUEUE);
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, options_of_other_versions) {
        struct {
                struct tooz_lock_options o;
                uint64_t more;
        } newer = { .o = TOOZ_LOCK_OPTIONS_INIT };
        tooz_claim *claim = NULL;

        start();
        newer.o.size = sizeof(newer);
        kit_ok(tooz_lock_request(client, &claim, "node", "a", &newer.o));
        (void) tooz_claim_unref(claim);
        newer.more = 1;
        kit_fails(tooz_lock_request(client, &claim, "node", "a", &newer.o), -E2BIG);
        newer.o.size = 8;
        kit_fails(tooz_lock_request(client, &claim, "node", "a", &newer.o), -EINVAL);
        newer.o.size = sizeof(newer.o);
        newer.o.flags = 1 << 20;
        kit_fails(tooz_lock_request(client, &claim, "node", "a", &newer.o), -EINVAL);
        stop();
}

Test(client, claims_share_one_handle) {
        tooz_claim *a, *b;
        uint64_t token;

        start();
        a = request("node");
        b = request("node");
        cr_assert_eq(agent.n_shared, 1);
        fake_agent_tell(&agent, 2, "acquired", "TOKEN=2\n");
        fake_agent_tell(&agent, 1, "acquired", "TOKEN=1\n");
        kit_ok(tooz_claim_wait(a, TOOZ_CLAIM_HELD, FOR_EVER));
        kit_ok(tooz_claim_get_token(b, &token));
        cr_assert_eq(token, 2);

        (void) tooz_claim_unref(a);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        expect_state(b, TOOZ_CLAIM_HELD, "");
        (void) tooz_claim_unref(b);
        stop();
}

Test(client, release_waits_for_the_answer) {
        tooz_claim *claim;

        start();
        claim = hold("node");
        kit_ok(tooz_client_set_call_timeout(client, 20 * USEC_PER_MSEC));
        kit_fails(tooz_claim_release(claim), -ETIMEDOUT);
        fake_agent_tell(&agent, 1, "released", "");
        kit_ok(tooz_claim_release(claim));
        expect_state(claim, TOOZ_CLAIM_RELEASED, "");
        kit_ok(tooz_claim_release(claim));
        kit_fails(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, 0), -ECANCELED);
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, the_agents_errors) {
        tooz_claim *claim = NULL;

        start();
        agent.error = "org.tooz.Agent1.Error.WouldBlock";
        kit_fails(tooz_lock_request(client, &claim, "node", "a", NULL), -EAGAIN);
        kit_streq(tooz_client_get_error(client), "words of the agent");
        agent.error = "org.tooz.Agent1.Error.QuotaExceeded";
        kit_fails(tooz_lock(client, &claim, "node", "a", NULL), -EDQUOT);
        cr_assert_null(claim);
        agent.error = NULL;
        claim = request("node");
        kit_streq(tooz_client_get_error(client), "");

        fake_agent_tell(&agent, 1, "failed", "REASON=timeout\n");
        kit_fails(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, FOR_EVER), -ETIMEDOUT);
        expect_state(claim, TOOZ_CLAIM_FAILED, "timeout");
        (void) tooz_claim_unref(claim);
        stop();
}

/* --- losing ------------------------------------------------------------------------------------- */

Test(client, end_of_the_handle_is_lost) {
        tooz_claim *held, *waiting, *again;

        start();
        held = hold("node");
        waiting = request("node");
        fake_agent_drop_handle(&agent);
        kit_fails(tooz_claim_check(held, NULL), 0);
        expect_state(held, TOOZ_CLAIM_LOST, "agent-gone");
        expect_state(waiting, TOOZ_CLAIM_FAILED, "agent-gone");
        kit_fails(tooz_claim_wait(held, TOOZ_CLAIM_RELEASED, FOR_EVER), -ECONNRESET);
        kit_fails(tooz_claim_wait(waiting, TOOZ_CLAIM_HELD, FOR_EVER), -ECONNRESET);

        /* A new one is made for the next claim. */
        again = hold("node");
        cr_assert_eq(agent.n_shared, 1);
        (void) tooz_claim_unref(held);
        (void) tooz_claim_unref(waiting);
        (void) tooz_claim_unref(again);
        stop();
}

Test(client, the_page_says_for_how_long) {
        uint64_t deadline_usec = time_now() + 3600 * USEC_PER_SEC, got_usec, safe_usec;
        tooz_claim *claim;

        start_cluster(deadline_usec);
        claim = hold("cluster");
        kit_ok(tooz_claim_get_deadline(claim, &got_usec));
        cr_assert_eq(got_usec, deadline_usec);
        kit_fails(tooz_claim_check(claim, &safe_usec), 1);
        cr_assert_leq(safe_usec, 3600 * USEC_PER_SEC);
        kit_ok(tooz_claim_get_session_timeout(claim, &got_usec));
        cr_assert_eq(got_usec, 6000000);

        /* While suspended the claim is ours until the deadline. */
        fake_agent_tell(&agent, 1, "suspended", "DEADLINE_BOOTTIME_USEC=1\n");
        kit_fails(tooz_claim_check(claim, NULL), 1);
        expect_state(claim, TOOZ_CLAIM_SUSPENDED, "");
        fake_agent_tell(&agent, 1, "resumed", "");
        kit_fails(tooz_claim_check(claim, NULL), 1);
        expect_state(claim, TOOZ_CLAIM_HELD, "");
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, a_deadline_that_passes_is_noticed_while_the_agent_hangs) {
        struct pollfd p = { .events = POLLIN };
        tooz_claim *claim;

        start_cluster(USEC_INFINITY);
        claim = hold("cluster");
        p.fd = kit_ok(tooz_client_get_fd(client));
        fake_agent_hang(&agent, true);
        /* A page has no descriptor: it is looked at when something comes, and when the deadline seen last is there. */
        pages_write(page, TOOZ_PAGE_UP, 5, time_now() + 30 * USEC_PER_MSEC);
        fake_agent_tell(&agent, 1, "contended", "");
        for (;;) {
                tooz_claim_state state;

                process_all();
                kit_ok(tooz_claim_get_state(claim, &state));
                if (state == TOOZ_CLAIM_LOST)
                        break;
                cr_assert_eq(poll(&p, 1, -1), 1);
        }
        expect_state(claim, TOOZ_CLAIM_LOST, "deadline");
        kit_fails(tooz_claim_check(claim, NULL), 0);
        /* Should the agent come back, it must not keep the lock for us. */
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        fake_agent_hang(&agent, false);
        fake_agent_tell(&agent, 1, "resumed", "");
        process_all();
        expect_state(claim, TOOZ_CLAIM_LOST, "deadline");
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, a_deadline_is_followed_as_it_moves) {
        struct pollfd p = { .events = POLLIN };
        tooz_claim *claim;

        start_cluster(USEC_INFINITY);
        claim = hold("cluster");
        p.fd = kit_ok(tooz_client_get_fd(client));
        /* Seen a second ahead, then moved: the timer that comes meanwhile ends nothing. */
        pages_write(page, TOOZ_PAGE_UP, 5, time_now() + USEC_PER_SEC);
        fake_agent_tell(&agent, 1, "contended", "");
        process_all();
        pages_write(page, TOOZ_PAGE_UP, 5, time_now() + 3600 * USEC_PER_SEC);
        cr_assert_eq(poll(&p, 1, -1), 1);
        process_all();
        expect_state(claim, TOOZ_CLAIM_HELD, "");
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, another_session_is_not_ours) {
        tooz_claim *claim;

        start_cluster(USEC_INFINITY);
        claim = hold("cluster");
        pages_write(page, TOOZ_PAGE_UP, 6, USEC_INFINITY);
        kit_fails(tooz_claim_check(claim, NULL), 0);
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, a_page_whose_writer_died_is_not_believed) {
        tooz_claim *claim;

        start_cluster(USEC_INFINITY);
        claim = hold("cluster");
        page->sequence++;
        kit_fails(tooz_claim_check(claim, NULL), 0);
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, no_claim_without_the_page_of_its_cluster) {
        tooz_claim *claim = NULL;

        start();
        kit_fails(tooz_lock_request(client, &claim, "cluster", "a", NULL), -EOPNOTSUPP);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        stop();
}

/* --- agents that hang, die, forget -------------------------------------------------------------- */

Test(client, calls_end_when_the_agent_hangs) {
        tooz_claim *claim = NULL;

        start();
        fake_agent_hang(&agent, true);
        kit_ok(tooz_client_set_call_timeout(client, 30 * USEC_PER_MSEC));
        kit_fails(tooz_lock_request(client, &claim, "node", "a", NULL), -ETIMEDOUT);
        fake_agent_hang(&agent, false);
        stop();
}

Test(client, a_claim_that_nobody_knows_of_is_released) {
        tooz_claim *claim;

        start();
        claim = hold("node");
        /* Its reply was lost: we never knew its number. */
        fake_agent_tell(&agent, 9, "acquired", "TOKEN=1\n");
        process_all();
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=9\n");
        fake_agent_tell(&agent, 9, "released", "");
        process_all();
        (void) tooz_claim_unref(claim);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        stop();
}

Test(client, a_broken_connection_is_made_again) {
        tooz_claim *a, *b;

        start();
        a = hold("node");
        fake_agent_hang_up(&agent);
        expect_state(a, TOOZ_CLAIM_HELD, "");
        b = request("node");
        kit_fails(tooz_claim_check(a, NULL), 1);
        (void) tooz_claim_unref(a);
        (void) tooz_claim_unref(b);
        stop();
}

Test(client, garbage_on_the_handle_is_ignored) {
        tooz_claim *claim;

        start();
        claim = hold("node");
        cr_assert_eq(send(agent.handle_fd, "\0\xff", 2, 0), 2);
        fake_agent_tell(&agent, 1, "lost", "REASON\n");
        fake_agent_tell(&agent, 1, "moonrise", "");
        process_all();
        expect_state(claim, TOOZ_CLAIM_HELD, "");
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, a_full_handle_takes_the_release_later) {
        struct pollfd p = { .events = POLLIN };
        unsigned n = 0;
        tooz_claim *claim;
        char big[64] = {};
        int copy;

        start();
        claim = hold("node");
        /* An agent that reads nothing. */
        copy = kit_ok(tooz_client_dup_handle(client));
        while (send(copy, big, sizeof(big), MSG_DONTWAIT) >= 0)
                n++;
        cr_assert_eq(errno, EAGAIN);
        close(copy);
        (void) tooz_claim_unref(claim);
        for (; n > 0; n--)
                cr_assert_eq(recv(agent.handle_fd, big, sizeof(big), 0), (ssize_t) sizeof(big));
        p.fd = kit_ok(tooz_client_get_fd(client));
        cr_assert_eq(poll(&p, 1, -1), 1);
        process_all();
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        stop();
}

/* --- events ------------------------------------------------------------------------------------- */

typedef struct Heard {
        unsigned n;
        unsigned n_destroyed;
        uint64_t missed;
        char last[64];
        tooz_claim *drop;
} Heard;

static int on_event(tooz_claim *claim, const struct tooz_event *e, void *userdata) {
        Heard *h = userdata;

        h->n++;
        h->missed += e->missed;
        kit_ok(str_copy(h->last, sizeof(h->last), e->name));
        cr_assert_eq(e->size, sizeof(*e));
        cr_assert_not_null(e->fields[0]);
        h->drop = tooz_claim_unref(h->drop);
        return 0;
}

static void on_destroy(void *userdata) {
        ((Heard *) userdata)->n_destroyed++;
}

Test(client, handlers_run_in_process_alone) {
        Heard heard = {};
        tooz_claim *claim;
        uint64_t timeout_usec;

        start();
        claim = request("node");
        kit_ok(tooz_claim_set_handler(claim, on_event, &heard, on_destroy));
        fake_agent_tell(&agent, 1, "queued", "POSITION=1\n");
        fake_agent_tell(&agent, 1, "acquired", "TOKEN=1\n");
        kit_ok(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, FOR_EVER));
        cr_assert_eq(heard.n, 0);
        kit_ok(tooz_client_get_timeout(client, &timeout_usec));
        cr_assert_eq(timeout_usec, 0);
        kit_fails(tooz_client_wait(client, FOR_EVER), 1);

        kit_fails(tooz_client_process(client), 1);
        cr_assert_eq(heard.n, 1);
        process_all();
        cr_assert_eq(heard.n, 2);
        kit_streq(heard.last, "acquired");
        kit_fails(tooz_client_wait(client, 0), 0);
        (void) tooz_claim_unref(claim);
        cr_assert_eq(heard.n_destroyed, 1);
        stop();
}

Test(client, a_handler_may_drop_its_claim) {
        Heard heard = {};

        start();
        heard.drop = request("node");
        kit_ok(tooz_claim_set_handler(heard.drop, on_event, &heard, on_destroy));
        fake_agent_tell(&agent, 1, "acquired", "TOKEN=1\n");
        fake_agent_tell(&agent, 1, "contended", "");
        process_all();
        cr_assert_eq(heard.n, 1);
        cr_assert_eq(heard.n_destroyed, 1);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        stop();
}

Test(client, events_that_nobody_fetches_are_bounded) {
        Heard heard = {};
        tooz_claim *claim;

        start();
        claim = hold("node");
        kit_ok(tooz_claim_set_handler(claim, on_event, &heard, NULL));
        for (unsigned i = 0; i < 100; i++)
                fake_agent_tell(&agent, 1, "contended", "MISSED=1\n");
        fake_agent_tell(&agent, 1, "lost", "REASON=broken\n");
        /* What is behind a hundred others is seen at once, and the last ones are kept. */
        kit_fails(tooz_claim_check(claim, NULL), 0);
        process_all();
        cr_assert_eq(heard.n, 64);
        cr_assert_eq(heard.missed, 37 + 100);
        kit_streq(heard.last, "lost");
        (void) tooz_claim_unref(claim);
        stop();
}

static int on_event_exit(tooz_claim *claim, const struct tooz_event *e, void *userdata) {
        return sd_event_exit(userdata, 7);
}

Test(client, in_an_sd_event_loop) {
        sd_event *event = NULL;
        tooz_claim *claim;

        start();
        kit_ok(sd_event_new(&event));
        kit_ok(tooz_client_attach_event(client, event, SD_EVENT_PRIORITY_NORMAL));
        kit_fails(tooz_client_attach_event(client, event, 0), -EBUSY);
        claim = request("node");
        kit_ok(tooz_claim_set_handler(claim, on_event_exit, event, NULL));
        fake_agent_tell(&agent, 1, "acquired", "TOKEN=1\n");
        cr_assert_eq(sd_event_loop(event), 7);
        kit_ok(tooz_client_detach_event(client));
        (void) tooz_claim_unref(claim);
        stop();
        sd_event_unref(event);
}

/* --- lives -------------------------------------------------------------------------------------- */

Test(client, a_forked_child_has_nothing) {
        tooz_claim *claim;
        int status;
        pid_t pid;

        start();
        claim = hold("node");
        pid = fork();
        if (pid == 0) {
                tooz_claim *other;
                bool good = tooz_claim_check(claim, NULL) == -ECHILD && tooz_client_process(client) == -ECHILD &&
                            tooz_lock_request(client, &other, NULL, "a", NULL) == -ECHILD &&
                            tooz_claim_release(claim) == -ECHILD;

                (void) tooz_claim_unref(claim);
                (void) tooz_client_unref(client);
                _exit(good ? 0 : 1);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0);

        /* What the child did to its copies was not done to ours. */
        fake_agent_tell(&agent, 1, "contended", "");
        kit_fails(tooz_client_wait(client, FOR_EVER), 1);
        process_all();
        kit_fails(tooz_claim_check(claim, NULL), 1);
        (void) tooz_claim_unref(claim);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        stop();
}

Test(client, claims_may_outlive_their_client) {
        tooz_claim *held, *lost;

        start();
        lost = hold("node");
        fake_agent_tell(&agent, 1, "lost", "REASON=broken\n");
        kit_fails(tooz_claim_wait(lost, TOOZ_CLAIM_RELEASED, FOR_EVER), -EIDRM);
        held = hold("node");
        client = tooz_client_unref(client);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=2\n");
        kit_streq(fake_agent_hear(&agent), "");
        expect_state(held, TOOZ_CLAIM_RELEASED, "");
        expect_state(lost, TOOZ_CLAIM_LOST, "broken");
        kit_fails(tooz_claim_check(held, NULL), 0);
        kit_fails(tooz_claim_wait(held, TOOZ_CLAIM_HELD, FOR_EVER), -ECANCELED);
        kit_ok(tooz_claim_release(held));
        (void) tooz_claim_unref(held);
        (void) tooz_claim_unref(lost);
        stop();
}

Test(client, a_copy_of_the_handle_keeps_claims_alive) {
        int copy;

        start();
        kit_fails(tooz_client_dup_handle(client), -ENOTCONN);
        (void) tooz_claim_unref(request("node"));
        copy = kit_ok(tooz_client_dup_handle(client));
        cr_assert(fcntl(copy, F_GETFD) & FD_CLOEXEC);
        kit_streq(fake_agent_hear(&agent), "RELEASE=1\nCLAIM=1\n");
        client = tooz_client_unref(client);
        cr_assert_lt(recv(agent.handle_fd, &(char) { 0 }, 1, MSG_DONTWAIT), 0);
        cr_assert_eq(errno, EAGAIN);
        close(copy);
        kit_streq(fake_agent_hear(&agent), "");
        stop();
}

Test(client, a_handle_that_has_ended_wakes_nobody_through_its_copies) {
        tooz_claim *claim;
        int copy;

        start();
        claim = hold("node");
        copy = kit_ok(tooz_client_dup_handle(client));
        fake_agent_drop_handle(&agent);
        process_all();
        expect_state(claim, TOOZ_CLAIM_LOST, "agent-gone");
        kit_fails(tooz_client_wait(client, 0), 0);
        close(copy);
        (void) tooz_claim_unref(claim);
        stop();
}

Test(client, wrong_arguments) {
        tooz_claim *claim = NULL;

        start();
        kit_fails(tooz_client_open(&client, "", 0), -EINVAL);
        kit_fails(tooz_client_open(&client, NULL, 1), -EINVAL);
        kit_fails(tooz_client_process(NULL), -EINVAL);
        kit_fails(tooz_claim_check(NULL, NULL), -EINVAL);
        kit_fails(tooz_lock_request(client, &claim, NULL, NULL, NULL), -EINVAL);
        kit_fails(tooz_client_set_call_timeout(client, 0), -EINVAL);
        kit_fails(tooz_client_set_description(client, "\xff"), -EINVAL);
        kit_fails(tooz_lock_break(client, NULL, "a", 1, 1), -EINVAL);
        cr_assert_null(tooz_client_unref(NULL));
        cr_assert_null(tooz_claim_unref(NULL));
        stop();
}

Test(client, no_agent) {
        tooz_client *c = NULL;
        const char *address = kit_path("nobody.sock");

        kit_fails(tooz_client_open(&c, address, 0), -ENOENT);
        kit_fails(tooz_client_open(&c, "unix:path=/nonexistent/tooz", 0), -ENOENT);
        cr_assert_null(c);
}

Test(client, a_dbus_address_of_the_agents_own_socket) {
        char address[256];
        tooz_client *c = NULL;
        tooz_claim *claim = NULL;

        fake_agent_start(&agent);
        kit_ok(str_print(address, sizeof(address), "unix:path=%s", agent.path));
        kit_ok(tooz_client_open(&c, address, 0));
        kit_ok(tooz_lock_request(c, &claim, "node", "a", NULL));
        (void) tooz_claim_unref(claim);
        (void) tooz_client_unref(c);
        stop();
}
