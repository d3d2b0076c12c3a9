/* SPDX-License-Identifier: Apache-2.0 */
/* Fencing tokens: unique, and rising whatever happens to directories and clocks */

#include "core/token.h"
#include "support/aborts.h"
#include "support/kit.h"

#define HOUR (UINT64_C(3600) * 1000 * 1000 * 1000)
#define CLOCK UINT64_C(1795400000000000000)

KIT_SUITE(token);

static int64_t zxid(uint64_t epoch, uint64_t counter) {
        return (int64_t) (epoch << 32 | counter);
}

/* --- cluster ------------------------------------------------------------------------------------ */

Test(token, layout) {
        cr_assert_eq(token_from_czxid(zxid(1, 1), 0), UINT64_C(0x0001000000010000));
        cr_assert_eq(token_from_czxid(zxid(0xabcd, 0x12345678), 0x9abc), UINT64_C(0xabcd123456789abc));
        cr_assert_eq(token_from_czxid(zxid(TOKEN_EPOCH_MAX, UINT32_MAX), TOKEN_GRANTS_MAX), UINT64_C(0xfffffffffffffffe));
        cr_assert_eq(token_tenure(UINT64_C(0xabcd123456789abc)), UINT64_C(0xabcd123456780000));
}

Test(token, valid_zxids) {
        cr_assert(token_zxid_is_valid(1));
        cr_assert(token_zxid_is_valid(zxid(TOKEN_EPOCH_MAX, UINT32_MAX)));
        cr_assert_not(token_zxid_is_valid(0));
        cr_assert_not(token_zxid_is_valid(-1));
        cr_assert_not(token_zxid_is_valid(zxid(TOKEN_EPOCH_MAX + 1, 0)));
        cr_assert_not(token_zxid_is_valid(INT64_MAX));
}

Test(token, order_is_that_of_zxids_then_grants) {
        static const int64_t rising[] = { 1, 2, 0xffff, 0x10000, UINT32_MAX, INT64_C(1) << 32, (INT64_C(2) << 32) + 5 };
        uint64_t last = 0;

        for (size_t i = 0; i < ARRAY_SIZE(rising); i++)
                for (uint32_t grant = 1; grant <= TOKEN_GRANTS_MAX; grant += grant < 5 ? 1 : 4093) {
                        uint64_t token = token_from_czxid(rising[i], grant);

                        cr_assert_gt(token, last);
                        cr_assert_eq(token_tenure(token), token_from_czxid(rising[i], 0));
                        last = token;
                }
}

static void make_token(const void *arg) {
        const int64_t *args = arg;

        (void) token_from_czxid(args[0], (uint32_t) args[1]);
}

Test(token, what_does_not_fit_is_not_folded) {
        cr_assert(aborts(make_token, (const int64_t[]) { zxid(TOKEN_EPOCH_MAX + 1, 1), 1 }));
        cr_assert(aborts(make_token, (const int64_t[]) { 1, TOKEN_GRANTS_MAX + 1 }));
        cr_assert_not(aborts(make_token, (const int64_t[]) { 1, TOKEN_GRANTS_MAX }));
}

/* --- node --------------------------------------------------------------------------------------- */

Test(token, a_slot_starts_at_the_clock_and_counts_by_one) {
        TokenSource s;
        uint64_t token;

        token_source_init(&s, 0);
        token = token_source_next(&s, 0, CLOCK);
        cr_assert_eq(token, CLOCK);
        cr_assert_eq(token_source_next(&s, token, CLOCK + 1000), CLOCK + 1);
        cr_assert_eq(token_source_next(&s, token + 1, CLOCK + 2000), CLOCK + 2);
}

/* A name whose slot was dropped starts above all that were given, also when the clock was set back. */
Test(token, a_new_slot_is_above_every_old_one) {
        TokenSource s;
        uint64_t a = 0, b;

        token_source_init(&s, 0);
        for (unsigned i = 0; i < 10; i++)
                a = token_source_next(&s, a, CLOCK);
        b = token_source_next(&s, 0, CLOCK);
        cr_assert_gt(b, a);
        cr_assert_gt(token_source_next(&s, 0, CLOCK - HOUR), b);
        cr_assert_gt(token_source_next(&s, 0, 0), b + 1);
}

/* What the backend does: asks after each turn, and stores. */
static void store(TokenSource *s, uint64_t *file, uint64_t clock) {
        uint64_t due = token_source_due(s, clock);

        if (due == 0)
                return;
        cr_assert_gt(due, *file, "a ceiling only rises");
        *file = due;
        token_source_stored(s, due);
}

Test(token, a_restart_goes_on_above_the_stored_ceiling) {
        uint64_t file = 0, last = 0, clock = CLOCK;
        TokenSource s;

        for (unsigned restart = 0; restart < 5; restart++, clock -= 3 * HOUR) {
                token_source_init(&s, file);
                store(&s, &file, clock);
                for (unsigned i = 0; i < 100; i++, clock += HOUR / 20) {
                        uint64_t token = token_source_next(&s, i % 3 ? last : 0, clock);

                        cr_assert_gt(token, last, "restart %u, token %u", restart, i);
                        cr_assert_lt(token, file, "restart %u, token %u", restart, i);
                        last = token;
                        store(&s, &file, clock);
                }
        }
}

Test(token, storing_is_rare) {
        uint64_t file = 0, last = 0;
        unsigned n_stored = 0;
        TokenSource s;

        token_source_init(&s, 0);
        for (unsigned minute = 0; minute < 240; minute++) {
                uint64_t clock = CLOCK + minute * (HOUR / 60), before = file;

                last = token_source_next(&s, last, clock);
                store(&s, &file, clock);
                n_stored += file != before;
        }
        cr_assert_leq(n_stored, 9, "%u in four hours", n_stored);
}

/* The clock jumps by a day, and before the ceiling is stored there is a grant, and a crash, and it jumps back. */
Test(token, a_clock_that_jumps_ahead_leaves_no_token_above_the_ceiling) {
        uint64_t file = 0, token;
        TokenSource s;

        token_source_init(&s, file);
        store(&s, &file, CLOCK);
        token = token_source_next(&s, 0, CLOCK + 24 * HOUR);
        cr_assert_lt(token, file);

        token_source_init(&s, file);
        store(&s, &file, CLOCK);
        cr_assert_gt(token_source_next(&s, 0, CLOCK), token);
}
