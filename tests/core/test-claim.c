/* SPDX-License-Identifier: Apache-2.0 */
/* Claim: the edges of its states, and what its owner is told */

#include <stdio.h>

#include "base/str.h"
#include "core/claim.h"
#include "support/aborts.h"
#include "support/kit.h"

static const ClaimOwner owner = { .uid = 7, .pid = 8, .unit = (char *) "a.service", .comm = (char *) "sh", .description = (char *) "why" };

KIT_SUITE(claim);

/* --- edges -------------------------------------------------------------------------------------- */

/* The picture in claim.h, written a second time. */
static bool edge_is_drawn(ClaimState from, ClaimState to) {
        switch (from) {
        case CLAIM_NEW:
                return to == CLAIM_WAITING;
        case CLAIM_WAITING:
                return to == CLAIM_HELD || to == CLAIM_FAILED;
        case CLAIM_HELD:
                return to == CLAIM_SUSPENDED || to == CLAIM_RELEASED || to == CLAIM_LOST;
        case CLAIM_SUSPENDED:
                return to == CLAIM_HELD || to == CLAIM_RELEASED || to == CLAIM_LOST;
        case CLAIM_RELEASED:
        case CLAIM_LOST:
        case CLAIM_FAILED:
        case _CLAIM_STATE_MAX:
        case _CLAIM_STATE_INVALID:
        default:
                return false;
        }
}

typedef struct Edge {
        ClaimState from, to;
} Edge;

static void take_edge(const void *arg) {
        const Edge *edge = arg;
        Claim claim;

        if (claim_init(&claim, 1, LOCK_SHARED, 0, &owner) < 0)
                _exit(1);
        claim.state = edge->from;
        claim_enter(&claim, edge->to);
        if (claim.state != edge->to)
                _exit(2);
}

Test(claim, only_drawn_edges_are_taken) {
        for (Edge e = {}; e.from < _CLAIM_STATE_MAX; e.from++)
                for (e.to = 0; e.to < _CLAIM_STATE_MAX; e.to++)
                        cr_assert_eq(aborts(take_edge, &e), !edge_is_drawn(e.from, e.to), "%s to %s",
                                     claim_state_to_string(e.from), claim_state_to_string(e.to));
}

static void drop_in_state(const void *arg) {
        const ClaimState *state = arg;
        Claim claim;

        if (claim_init(&claim, 1, LOCK_SHARED, 0, &owner) < 0)
                _exit(1);
        claim.state = *state;
        claim_deinit(&claim);
}

/* Somebody may still hold, or wait for, a claim that has not ended. */
Test(claim, only_new_and_ended_claims_are_freed) {
        for (ClaimState s = 0; s < _CLAIM_STATE_MAX; s++) {
                Claim claim = { .state = s };

                cr_assert_eq(aborts(drop_in_state, &s), s != CLAIM_NEW && !claim_is_terminal(&claim), "%s",
                             claim_state_to_string(s));
                cr_assert_eq(claim_is_holding(&claim), s == CLAIM_HELD || s == CLAIM_SUSPENDED);
                cr_assert_eq(claim_is_terminal(&claim), s == CLAIM_RELEASED || s == CLAIM_LOST || s == CLAIM_FAILED);
        }
}

/* --- owner -------------------------------------------------------------------------------------- */

Test(claim, copies_its_owner) {
        const ClaimOwner nobody = { .uid = 1, .pid = 2 };
        Claim claim;

        kit_ok(claim_init(&claim, 5, LOCK_SHARED, CLAIM_NO_QUEUE, &owner));
        cr_assert_eq(claim.id, 5);
        cr_assert_eq(claim.mode, LOCK_SHARED);
        cr_assert_eq(claim.state, CLAIM_NEW);
        cr_assert_eq(claim.flags, CLAIM_NO_QUEUE);
        cr_assert_eq(claim.owner.uid, 7);
        cr_assert_eq(claim.owner.pid, 8);
        cr_assert_neq(claim.owner.unit, owner.unit);
        kit_streq(claim.owner.unit, "a.service");
        kit_streq(claim.owner.comm, "sh");
        kit_streq(claim.owner.description, "why");
        claim_deinit(&claim);

        kit_ok(claim_init(&claim, 6, LOCK_SHARED, 0, &nobody));
        kit_streq(claim.owner.unit, "");
        kit_streq(claim.owner.comm, "");
        kit_streq(claim.owner.description, "");
        claim_deinit(&claim);
}

/* D-Bus carries UTF-8 only: one claim with half a character would make every listing fail. */
Test(claim, a_long_description_is_cut_between_characters) {
        char text[CLAIM_DESCRIPTION_MAX + 64];

        for (size_t shift = 0; shift < 4; shift++) {
                ClaimOwner long_winded = { .description = text };
                size_t len;
                Claim claim;

                memset(text, 'x', shift);
                for (size_t i = shift; i + 3 < sizeof(text); i += 3)
                        memcpy(text + i, "\xe2\x82\xac", 4);
                kit_ok(claim_init(&claim, 1, LOCK_SHARED, 0, &long_winded));
                len = strlen(claim.owner.description);
                cr_assert(str_is_utf8(claim.owner.description, len), "shift %zu", shift);
                cr_assert_leq(len, CLAIM_DESCRIPTION_MAX);
                cr_assert_gt(len, CLAIM_DESCRIPTION_MAX - 3);
                cr_assert_eq(strncmp(text, claim.owner.description, len), 0);
                claim_deinit(&claim);
        }
}

/* The kernel cuts the name of a process at 15 bytes, and anybody may set any bytes. */
Test(claim, an_owner_that_is_not_utf8_is_made_readable) {
        const ClaimOwner strange = { .comm = (char *) "caf\xc3", .unit = (char *) "\xff\n.service", .description = (char *) "a\tb" };
        Claim claim;

        kit_ok(claim_init(&claim, 1, LOCK_SHARED, 0, &strange));
        kit_streq(claim.owner.comm, "caf?");
        kit_streq(claim.owner.unit, "??.service");
        kit_streq(claim.owner.description, "a?b");
        claim_deinit(&claim);
}

/* --- news --------------------------------------------------------------------------------------- */

static Claim told;
static Effects fx;

static void news_init(void) {
        effects_init(&fx);
        kit_ok(claim_init(&told, 1, LOCK_SHARED, 0, &owner));
}

/* The owner hears nothing but `news`, by one effect. */
static void hears(unsigned news) {
        cr_assert(effect_is_pending(&told.effect));
        cr_assert_eq(effects_pop(&fx), &told.effect);
        cr_assert_null(effects_pop(&fx));
        cr_assert_eq(claim_take_news(&told), news);
        cr_assert_eq(claim_take_news(&told), 0);
}

static void news_done(void) {
        claim_deinit(&told);
}

Test(claim, news_add_up_in_one_effect) {
        news_init();
        claim_tell(&told, NEWS_ACQUIRED, &fx);
        claim_tell(&told, NEWS_CONTENDED, &fx);
        claim_tell(&told, NEWS_CONTENDED, &fx);
        claim_tell(&told, NEWS_SUSPENDED, &fx);
        hears(NEWS_ACQUIRED | NEWS_CONTENDED | NEWS_SUSPENDED);
        news_done();
}

Test(claim, what_is_overtaken_is_not_told) {
        news_init();
        claim_tell(&told, NEWS_QUEUED, &fx);
        claim_tell(&told, NEWS_ACQUIRED, &fx);
        hears(NEWS_ACQUIRED);

        claim_tell(&told, NEWS_SUSPENDED, &fx);
        claim_tell(&told, NEWS_RESUMED, &fx);
        hears(0);
        claim_tell(&told, NEWS_RESUMED, &fx);
        claim_tell(&told, NEWS_SUSPENDED, &fx);
        hears(0);

        claim_tell(&told, NEWS_CONTENDED, &fx);
        claim_tell(&told, NEWS_SUSPENDED, &fx);
        claim_tell(&told, NEWS_LOST, &fx);
        hears(NEWS_LOST);
        news_done();
}

/* They are told in the order of the bits: a failure that was overcome would be told last. */
Test(claim, a_conversion_that_came_true_hides_one_that_failed_before) {
        news_init();
        claim_tell(&told, NEWS_CONVERT_FAILED, &fx);
        claim_tell(&told, NEWS_CONVERTED, &fx);
        hears(NEWS_CONVERTED);
        claim_tell(&told, NEWS_CONVERTED, &fx);
        claim_tell(&told, NEWS_CONVERT_FAILED, &fx);
        hears(NEWS_CONVERTED | NEWS_CONVERT_FAILED);
        news_done();
}

Test(claim, a_freed_claim_has_no_effect) {
        news_init();
        claim_tell(&told, NEWS_QUEUED, &fx);
        claim_deinit(&told);
        cr_assert_null(effects_pop(&fx));
}
