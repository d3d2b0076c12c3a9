/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "support/kit.h"

KIT_SUITE(node);

typedef struct Fixture {
        Loop *loop;
        Realm realm;
        Domain *domain;
        Backend *backend;
} Fixture;

static int start(Fixture *f, const char *state) {
        *f = (Fixture) {};
        kit_ok(loop_new(&f->loop, LOOP_EPOLL));
        kit_ok(realm_init(&f->realm, "here", 0, 0));
        kit_ok(domain_new(&f->domain, "node", DOMAIN_NODE, 0, time_now()));
        realm_add_domain(&f->realm, f->domain);
        return node_backend_new(&f->backend, f->loop, &f->realm, f->domain, state);
}

static void stop(Fixture *f) {
        if (f->backend) {
                cr_assert(!f->backend->ops->stopped(f->backend));
                f->backend->ops->stop(f->backend);
                cr_assert(f->backend->ops->stopped(f->backend));
        }
        backend_free(f->backend);
        realm_deinit(&f->realm);
        loop_free(f->loop);
}

/* One grant of one name, and the end of it. */
static uint64_t take_token(Fixture *f, const char *name) {
        const ClaimOwner owner = { .unit = (char *) "", .comm = (char *) "", .description = (char *) "" };
        Claim claim;
        uint64_t token;

        kit_ok(claim_init(&claim, 1, LOCK_EXCLUSIVE, 0, &owner));
        cr_assert_eq(lock_table_request(&f->domain->locks, &claim, name, USEC_INFINITY, time_now(), &f->realm.effects), 0);
        token = claim.token;
        lock_table_release(&f->domain->locks, &claim, false, time_now(), &f->realm.effects);
        claim_deinit(&claim);
        return token;
}

static uint64_t stored(void) {
        _cleanup_free_ char *data = NULL;
        uint64_t value;
        size_t len;

        kit_ok(file_read(kit_path("node-tokens"), 100, &data, &len));
        kit_ok(str_parse_u64n(data, len - 1, &value));
        return value;
}

Test(node, tokens_start_at_the_clock) {
        Fixture f;
        uint64_t before = time_now_realtime() * NSEC_PER_USEC, token;

        kit_ok(start(&f, kit_folder()));
        token = take_token(&f, "a");
        /* the distance of the clocks is measured, not exact */
        cr_assert_gt(token, before - 5 * NSEC_PER_USEC * USEC_PER_SEC);
        cr_assert_gt(stored(), token);
        stop(&f);
}

Test(node, tokens_rise_when_the_clock_was_set_back) {
        uint64_t future = (time_now_realtime() + 86400 * USEC_PER_SEC) * NSEC_PER_USEC;
        _cleanup_free_ char *text = str_format("%ju\n", (uintmax_t) future);
        Fixture f;
        uint64_t token;

        kit_ok(file_write_atomic(kit_path("node-tokens"), text, strlen(text), 0600));
        kit_ok(start(&f, kit_folder()));
        token = take_token(&f, "a");
        cr_assert_gt(token, future);
        cr_assert_gt(stored(), token, "the next agent starts above it");
        stop(&f);

        kit_ok(start(&f, kit_folder()));
        cr_assert_gt(take_token(&f, "a"), token);
        stop(&f);
}

Test(node, without_state) {
        Fixture f;

        kit_ok(start(&f, NULL));
        cr_assert_gt(take_token(&f, "a"), 0);
        stop(&f);
}

Test(node, bad_state_is_refused) {
        static const char *const bad[] = { "", "x\n", "1 2\n", "-1\n" };
        Fixture f;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                kit_ok(file_write_atomic(kit_path("node-tokens"), bad[i], strlen(bad[i]), 0600));
                kit_fails(start(&f, kit_folder()), -EBADMSG);
                stop(&f);
        }
}

/* A full disk must not keep the host from locking. */
Test(node, state_that_cant_be_written) {
        Fixture f;

        kit_ok(start(&f, kit_path("missing")));
        cr_assert_gt(take_token(&f, "a"), 0);
        stop(&f);
}
