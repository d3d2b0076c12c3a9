/* SPDX-License-Identifier: Apache-2.0 */
/* libtooz against the real agent: locks of this host */

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <tooz/tooz-event.h>
#include <tooz/tooz.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "client/real-agent.h"
#include "support/kit.h"

KIT_SUITE(lock);

#define FOR_EVER TOOZ_USEC_INFINITY

static RealAgent agent;
static tooz_client *one, *two;

static void start(void) {
        real_agent_start(&agent);
        kit_ok(tooz_client_open(&one, agent.socket, 0));
        kit_ok(tooz_client_open(&two, agent.socket, 0));
}

static void stop(void) {
        one = tooz_client_unref(one);
        two = tooz_client_unref(two);
        real_agent_stop(&agent);
}

static struct tooz_lock_options options(tooz_lock_mode mode, uint64_t timeout_usec) {
        struct tooz_lock_options o = TOOZ_LOCK_OPTIONS_INIT;

        o.mode = mode;
        o.timeout_usec = timeout_usec;
        return o;
}

static int lock_as(tooz_client *c, tooz_claim **ret, tooz_lock_mode mode, uint64_t timeout_usec) {
        struct tooz_lock_options o = options(mode, timeout_usec);

        return tooz_lock(c, ret, NULL, "backup", &o);
}

static uint64_t token_of(tooz_claim *claim) {
        uint64_t token;

        kit_ok(tooz_claim_get_token(claim, &token));
        return token;
}

Test(lock, one_at_a_time_with_rising_tokens) {
        tooz_claim *a = NULL, *b = NULL;
        const char *domain;
        uint64_t first;

        start();
        kit_ok(tooz_client_get_default_domain(one, &domain));
        kit_streq(domain, "node");
        kit_ok(lock_as(one, &a, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        first = token_of(a);
        kit_fails(lock_as(two, &b, TOOZ_LOCK_EXCLUSIVE, 0), -EAGAIN);
        cr_assert_not_null(strstr(tooz_client_get_error(two), "held by here"));
        kit_fails(lock_as(two, &b, TOOZ_LOCK_SHARED, 20 * USEC_PER_MSEC), -ETIMEDOUT);
        cr_assert_null(b);

        kit_ok(tooz_claim_release(a));
        kit_ok(lock_as(two, &b, TOOZ_LOCK_EXCLUSIVE, 0));
        cr_assert_gt(token_of(b), first);
        (void) tooz_claim_unref(a);
        (void) tooz_claim_unref(b);
        stop();
}

Test(lock, readers_share_and_convert) {
        tooz_claim *a = NULL, *b = NULL;
        tooz_lock_mode mode;
        uint64_t before;

        start();
        kit_ok(lock_as(one, &a, TOOZ_LOCK_SHARED, FOR_EVER));
        kit_ok(lock_as(two, &b, TOOZ_LOCK_SHARED, FOR_EVER));
        before = token_of(a);
        kit_fails(tooz_lock_convert(a, TOOZ_LOCK_EXCLUSIVE, 20 * USEC_PER_MSEC), -ETIMEDOUT);
        kit_ok(tooz_claim_get_mode(a, &mode));
        cr_assert_eq(mode, TOOZ_LOCK_SHARED);
        kit_fails(tooz_claim_check(a, NULL), 1);

        kit_ok(tooz_claim_release(b));
        kit_ok(tooz_lock_convert(a, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        cr_assert_gt(token_of(a), before);
        kit_fails(lock_as(two, &a, TOOZ_LOCK_SHARED, 0), -EAGAIN);
        kit_ok(tooz_lock_convert(a, TOOZ_LOCK_SHARED, 0));
        (void) tooz_claim_unref(b);
        b = NULL;
        kit_ok(lock_as(two, &b, TOOZ_LOCK_SHARED, 0));

        kit_ok(tooz_claim_release(a));
        kit_fails(tooz_lock_convert(a, TOOZ_LOCK_EXCLUSIVE, 0), -EIDRM);
        (void) tooz_claim_unref(a);
        (void) tooz_claim_unref(b);
        stop();
}

Test(lock, a_holder_that_is_killed_is_followed_at_once) {
        tooz_claim *claim = NULL;
        tooz_previous previous;
        int fds[2];
        char byte;
        pid_t pid;

        start();
        cr_assert_eq(pipe(fds), 0);
        pid = fork();
        if (pid == 0) {
                tooz_client *c = NULL;

                kit_ok(tooz_client_open(&c, agent.socket, 0));
                kit_ok(lock_as(c, &claim, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
                (void) !write(fds[1], "x", 1);
                for (;;)
                        (void) pause();
        }
        cr_assert_eq(read(fds[0], &byte, 1), 1);
        kit_ok(tooz_lock_request(one, &claim, NULL, "backup", NULL));
        kit_fails(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, 10 * USEC_PER_MSEC), -ETIMEDOUT);
        cr_assert_eq(kill(pid, SIGKILL), 0);
        kit_ok(tooz_claim_wait(claim, TOOZ_CLAIM_HELD, FOR_EVER));
        kit_ok(tooz_claim_get_previous(claim, &previous));
        cr_assert_eq(previous, TOOZ_PREVIOUS_DIED);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        close(fds[0]);
        close(fds[1]);
        (void) tooz_claim_unref(claim);
        stop();
}

Test(lock, many_claims_on_one_handle) {
        enum { N = 200 };
        tooz_claim *claims[N] = {};
        char name[32];

        start();
        for (unsigned i = 0; i < N; i++) {
                kit_ok(str_print(name, sizeof(name), "lock %u", i));
                kit_ok(tooz_lock(one, &claims[i], "node", name, NULL));
        }
        for (unsigned i = 0; i < N; i++)
                kit_fails(tooz_claim_check(claims[i], NULL), 1);
        for (unsigned i = 0; i < N; i += 2)
                claims[i] = tooz_claim_unref(claims[i]);
        for (unsigned i = 0; i < N; i++) {
                tooz_claim *other = NULL;
                struct tooz_lock_options o = options(TOOZ_LOCK_EXCLUSIVE, i % 2 ? 0 : FOR_EVER);

                kit_ok(str_print(name, sizeof(name), "lock %u", i));
                kit_fails(tooz_lock(two, &other, "node", name, &o), i % 2 ? -EAGAIN : 0);
                (void) tooz_claim_unref(other);
                (void) tooz_claim_unref(claims[i]);
        }
        stop();
}

/* --- questions ---------------------------------------------------------------------------------- */

typedef struct Seen {
        unsigned n_holders, n_waiters, n_locks;
        uint64_t token;
        char description[64];
} Seen;

static int on_owner(const struct tooz_owner *o, void *userdata) {
        Seen *seen = userdata;

        cr_assert_eq(o->size, sizeof(*o));
        cr_assert_eq(o->pid, (uint32_t) getpid());
        cr_assert_eq(o->uid, getuid());
        kit_streq(o->host, "here");
        if (o->waiting)
                seen->n_waiters++;
        else {
                seen->n_holders++;
                seen->token = o->token;
                kit_ok(str_copy(seen->description, sizeof(seen->description), o->description));
        }
        return 0;
}

static int on_owner_stop(const struct tooz_owner *o, void *userdata) {
        ++*(unsigned *) userdata;
        return 7;
}

static int on_lock(const struct tooz_lock_info *l, void *userdata) {
        Seen *seen = userdata;

        seen->n_locks++;
        kit_streq(l->domain, "node");
        kit_streq(l->name, "backup");
        cr_assert_eq(l->n_holders, 1);
        cr_assert_eq(l->n_waiters, 1);
        cr_assert_eq(l->token, seen->token);
        return 0;
}

Test(lock, who_holds_and_who_waits) {
        tooz_claim *a = NULL, *b = NULL;
        unsigned n_calls = 0;
        Seen seen = {};

        start();
        kit_ok(tooz_client_set_description(one, "nightly"));
        kit_ok(lock_as(one, &a, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        kit_ok(tooz_lock_request(two, &b, "node", "backup", NULL));
        kit_fails(tooz_lock_foreach_owner(two, NULL, "backup", on_owner, &seen), 0);
        cr_assert_eq(seen.n_holders, 1);
        cr_assert_eq(seen.n_waiters, 1);
        cr_assert_eq(seen.token, token_of(a));
        kit_streq(seen.description, "nightly");
        kit_fails(tooz_lock_foreach_owner(two, NULL, "backup", on_owner_stop, &n_calls), 7);
        cr_assert_eq(n_calls, 1);
        kit_fails(tooz_lock_foreach(one, NULL, TOOZ_LIST_LOCAL, on_lock, &seen), 0);
        cr_assert_eq(seen.n_locks, 1);
        kit_fails(tooz_lock_foreach_owner(two, NULL, "other", on_owner, &seen), 0);
        cr_assert_eq(seen.n_holders, 1);
        (void) tooz_claim_unref(a);
        (void) tooz_claim_unref(b);
        stop();
}

Test(lock, breaking_needs_the_present_token) {
        tooz_claim *claim = NULL;
        const char *reason;
        uint64_t latest;

        start();
        kit_fails(tooz_lock_break(two, NULL, "backup", 1, 0), -ENOLCK);
        kit_ok(lock_as(one, &claim, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        kit_fails(tooz_lock_verify(two, NULL, "backup", token_of(claim), &latest), 1);
        cr_assert_eq(latest, token_of(claim));
        kit_fails(tooz_lock_verify(two, NULL, "backup", 1, NULL), 0);
        kit_fails(tooz_lock_break(two, NULL, "backup", token_of(claim) - 1, 0), -ESTALE);
        kit_fails(tooz_claim_check(claim, NULL), 1);
        kit_ok(tooz_lock_break(two, NULL, "backup", token_of(claim), 0));
        kit_fails(tooz_claim_wait(claim, TOOZ_CLAIM_RELEASED, FOR_EVER), -EIDRM);
        kit_ok(tooz_claim_get_reason(claim, &reason));
        kit_streq(reason, "broken");
        (void) tooz_claim_unref(claim);
        stop();
}

Test(lock, bad_requests_say_what_is_wrong) {
        tooz_claim *claim = NULL;

        start();
        kit_fails(tooz_lock_request(one, &claim, NULL, "", NULL), -EINVAL);
        cr_assert_neq(*tooz_client_get_error(one), '\0');
        kit_fails(tooz_lock_request(one, &claim, "nowhere", "a", NULL), -ENOENT);
        kit_fails(tooz_lock_request(one, &claim, NULL, "..", NULL), -EINVAL);
        cr_assert_null(claim);
        stop();
}

/* --- the agent goes ----------------------------------------------------------------------------- */

Test(lock, an_agent_that_stops_tells_its_holders) {
        tooz_claim *claim = NULL;

        start();
        kit_ok(lock_as(one, &claim, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        real_agent_stop(&agent);
        kit_fails(tooz_claim_wait(claim, TOOZ_CLAIM_RELEASED, FOR_EVER), -ESHUTDOWN);
        (void) tooz_claim_unref(claim);
        (void) tooz_client_unref(one);
        (void) tooz_client_unref(two);
}

Test(lock, a_new_agent_serves_the_old_client) {
        tooz_claim *old = NULL, *new = NULL;
        uint64_t token;

        start();
        kit_ok(lock_as(one, &old, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        token = token_of(old);
        real_agent_kill(&agent);
        kit_fails(tooz_claim_wait(old, TOOZ_CLAIM_RELEASED, FOR_EVER), -ECONNRESET);
        kit_fails(tooz_lock_request(one, &new, NULL, "backup", NULL), -ECONNREFUSED);
        real_agent_start(&agent);
        kit_ok(lock_as(one, &new, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        cr_assert_gt(token_of(new), token);
        (void) tooz_claim_unref(old);
        (void) tooz_claim_unref(new);
        stop();
}

static void on_signal(int sig) {
}

Test(lock, signal_handlers_end_waits) {
        tooz_claim *a = NULL, *b = NULL;
        pid_t pid;

        start();
        kit_ok(lock_as(one, &a, TOOZ_LOCK_EXCLUSIVE, FOR_EVER));
        (void) signal(SIGUSR1, on_signal);
        pid = fork();
        if (pid == 0)
                for (;;) {
                        (void) usleep(5000);
                        if (kill(getppid(), SIGUSR1) < 0)
                                _exit(0);
                }
        kit_fails(lock_as(two, &b, TOOZ_LOCK_EXCLUSIVE, FOR_EVER), -EINTR);
        cr_assert_null(b);
        cr_assert_eq(kill(pid, SIGKILL), 0);
        while (waitpid(pid, NULL, 0) < 0)
                cr_assert_eq(errno, EINTR);
        (void) tooz_claim_unref(a);
        stop();
}
