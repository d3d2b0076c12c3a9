/* SPDX-License-Identifier: Apache-2.0 */
/* Holds with readers: draining, many of them, converting, and breaking */

#include <errno.h>
#include <unistd.h>

#include "shm/recover.h"
#include "shm/shm-kit.h"

SHM_SUITE(readers);

#define N_MAX 80u

typedef struct Party {
        ShmActor *actor;
        ShmHold hold;
} Party;

static Party party(void) {
        return (Party) { .actor = shm_kit_actor(), .hold = shm_kit_hold("a") };
}

static int take(Party *p, bool shared) {
        return shm_hold_start(&p->hold, p->actor, shared, QUEUE);
}

static uint64_t token_of(const Party *p) {
        uint64_t token;

        kit_ok(shm_hold_get_token(&p->hold, &token));
        return token;
}

static bool drains(const Party *p) {
        uint64_t w = atom_load(&p->hold.slot->word);

        return w & SHM_W_DRAIN && (w & SHM_W_OWNER) == p->hold.seat->ref;
}

static void all_read(Party *readers, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                readers[i] = party();
                kit_fails(take(&readers[i], SHARED), 0);
        }
}

static void let_go(Party *p) {
        kit_fails(shm_hold_release(&p->hold), 0);
}

/* Nothing is left of anybody. */
static void assert_free(Party *p) {
        kit_fails(take(p, EXCLUSIVE), 0);
        cr_assert_eq(p->hold.slot->word, p->hold.idle | p->hold.seat->ref);
        let_go(p);
}

/* --- draining ---------------------------------------------------------------------------------------------------- */

Test(readers, a_writer_waits_for_all) {
        Party readers[3], w = party(), late = party();
        uint32_t rung;

        all_read(readers, 3);
        kit_fails(shm_hold_start(&w.hold, w.actor, EXCLUSIVE, TRY), -EAGAIN);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        cr_assert(drains(&w));
        cr_assert_eq(w.hold.n_words, 4, "its bell, and three readers");
        cr_assert_not(shm_hold_is_held(&w.hold));

        kit_fails(shm_hold_start(&late.hold, late.actor, SHARED, TRY), -EAGAIN);
        kit_fails(take(&late, SHARED), -EINPROGRESS);
        for (unsigned i = 0; i < 3; i++) {
                kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
                rung = shm_kit_bell(w.actor);
                let_go(&readers[i]);
                cr_assert_neq(shm_kit_bell(w.actor), rung);
        }
        kit_fails(shm_hold_resume(&w.hold), 0);
        cr_assert_not(drains(&w));
        kit_fails(shm_hold_resume(&late.hold), -EINPROGRESS);
        let_go(&w);
        kit_fails(shm_hold_resume(&late.hold), 0);
        let_go(&late);
        assert_free(&w);
}

Test(readers, a_drainer_that_gives_up) {
        Party readers[2], w = party(), behind = party();
        uint32_t rung;

        all_read(readers, 2);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        kit_fails(take(&behind, SHARED), -EINPROGRESS);
        rung = shm_kit_bell(behind.actor);
        shm_hold_cancel(&w.hold);
        cr_assert_not(atom_load(&w.hold.slot->word) & SHM_W_DRAIN);
        cr_assert_neq(shm_kit_bell(behind.actor), rung);
        kit_fails(shm_hold_resume(&behind.hold), 0);
        let_go(&behind);
        let_go(&readers[0]);
        let_go(&readers[1]);
        assert_free(&w);
}

Test(readers, a_drainer_that_dies) {
        Party readers[2], w = party(), next = party();

        all_read(readers, 2);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        shm_kit_die(w.actor);
        kit_fails(take(&next, SHARED), 0);
        cr_assert_not(next.hold.died, "it did not hold it yet");
        let_go(&next);
        let_go(&readers[0]);
        let_go(&readers[1]);
        assert_free(&next);
}

Test(readers, a_reader_that_dies) {
        Party readers[3], w = party();

        all_read(readers, 3);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        shm_kit_die(readers[1].actor);
        let_go(&readers[0]);
        kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
        let_go(&readers[2]);
        kit_fails(shm_hold_resume(&w.hold), 0);
        cr_assert(w.hold.died);
        cr_assert_eq(w.hold.slot->n_died, 1);
        shm_hold_mark_consistent(&w.hold);
        let_go(&w);
        assert_free(&w);
}

static void read_it(ShmArena *arena, void *arg) {
        static ShmHold h;
        const uint64_t *place = arg;
        ShmActor *actor;

        must(shm_actor_new(&actor, arena) == 0);
        shm_hold_init(&h, arena, (uint32_t) (*place & SHM_J_SLOT), (uint32_t) (*place >> 32));
        must(shm_hold_start(&h, actor, SHARED, TRY) == 0);
}

Test(readers, a_reader_that_is_killed_wakes_the_writer) {
        Party w = party();
        pid_t pid;

        pid = shm_kit_child(read_it, &w.hold.place);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        shm_kit_kill(pid);
        kit_fails(shm_hold_resume(&w.hold), 0);
        cr_assert(w.hold.died);
        let_go(&w);
}

/* More than one look can watch. */
Test(readers, more_than_can_be_watched) {
        enum { N = 2 * SHM_WATCH_MAX + 10 };
        Party readers[N], w = party();

        all_read(readers, N);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        cr_assert_eq(w.hold.n_words, SHM_WATCH_MAX + 1);
        for (unsigned i = 0; i < N; i++) {
                kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
                if (i % 5 == 0)
                        shm_kit_die(readers[i].actor);
                else
                        let_go(&readers[i]);
        }
        kit_fails(shm_hold_resume(&w.hold), 0);
        cr_assert(w.hold.died);
        cr_assert_eq(w.hold.slot->n_died, (N + 4) / 5);
        let_go(&w);
}

/* 64 bits for all blocks: a bit stands for several. */
Test(readers, blocks_that_share_a_bit) {
        static Party readers[N_MAX];
        Party w = party();

        for (unsigned i = 0; i < N_MAX; i++)
                readers[i] = party();
        for (unsigned i = 0; i < N_MAX - 64; i++) {
                Party *low = &readers[i], *high = &readers[i + 64];

                cr_assert_eq(low->actor->spare->reader_bit, high->actor->spare->reader_bit);
                kit_fails(take(high, SHARED), 0);
                kit_fails(take(low, SHARED), 0);
                let_go(low);
                kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
                let_go(high);
                kit_fails(shm_hold_resume(&w.hold), 0);
                let_go(&w);
        }
        assert_free(&w);
}

/* --- together ---------------------------------------------------------------------------------------------------- */

Test(readers, those_that_stand_together_read_together) {
        Party h = party(), r[3] = { party(), party(), party() }, w = party(), last = party();
        uint32_t rung;

        kit_fails(take(&h, EXCLUSIVE), 0);
        for (unsigned i = 0; i < 3; i++)
                kit_fails(take(&r[i], SHARED), -EINPROGRESS);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        kit_fails(take(&last, SHARED), -EINPROGRESS);
        let_go(&h);
        for (unsigned i = 0; i < 3; i++) {
                rung = shm_kit_bell(i < 2 ? r[i + 1].actor : w.actor);
                kit_fails(shm_hold_resume(&r[i].hold), 0);
                cr_assert_neq(shm_kit_bell(i < 2 ? r[i + 1].actor : w.actor), rung, "%u rings for the next", i);
        }
        kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
        kit_fails(shm_hold_resume(&last.hold), -EINPROGRESS);
        for (unsigned i = 0; i < 3; i++)
                let_go(&r[i]);
        kit_fails(shm_hold_resume(&w.hold), 0);
        let_go(&w);
        kit_fails(shm_hold_resume(&last.hold), 0);
        let_go(&last);
}

/* --- converting -------------------------------------------------------------------------------------------------- */

Test(readers, downgrade_lets_others_in) {
        Party h = party(), r = party();
        uint32_t rung;

        kit_fails(take(&h, EXCLUSIVE), 0);
        kit_fails(take(&r, SHARED), -EINPROGRESS);
        rung = shm_kit_bell(r.actor);
        kit_fails(shm_hold_convert(&h.hold, SHARED, TRY), 0);
        cr_assert(h.hold.shared);
        cr_assert(shm_hold_is_held(&h.hold));
        cr_assert_neq(shm_kit_bell(r.actor), rung);
        kit_fails(shm_hold_resume(&r.hold), 0);
        let_go(&h);
        let_go(&r);
        assert_free(&h);
}

Test(readers, upgrade_alone) {
        Party h = party();
        uint64_t token;

        kit_fails(take(&h, SHARED), 0);
        token = token_of(&h);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, TRY), 0);
        cr_assert_eq(token_of(&h), token + 1, "the next even one");
        cr_assert_eq(h.hold.state, SHM_HOLD_HELD);
        cr_assert_not(h.hold.shared);
        let_go(&h);
        assert_free(&h);
}

Test(readers, upgrade_waits_for_others) {
        Party h = party(), r = party(), late = party();
        uint32_t rung;

        kit_fails(take(&h, SHARED), 0);
        kit_fails(take(&r, SHARED), 0);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, TRY), -EAGAIN);
        cr_assert_eq(h.hold.state, SHM_HOLD_HELD);
        cr_assert(h.hold.shared);
        kit_fails(take(&late, SHARED), 0);
        let_go(&late);

        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_eq(h.hold.state, SHM_HOLD_UPGRADING);
        cr_assert(shm_hold_is_held(&h.hold), "shared, all the while");
        kit_fails(shm_hold_start(&late.hold, late.actor, SHARED, TRY), -EAGAIN);
        rung = shm_kit_bell(h.actor);
        let_go(&r);
        cr_assert_neq(shm_kit_bell(h.actor), rung);
        kit_fails(shm_hold_resume(&h.hold), 0);
        cr_assert_not(h.hold.shared);
        let_go(&h);
        assert_free(&r);
}

Test(readers, upgrade_given_up) {
        Party h = party(), r = party(), late = party();

        kit_fails(take(&h, SHARED), 0);
        kit_fails(take(&r, SHARED), 0);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_fails(take(&late, SHARED), -EINPROGRESS);
        shm_hold_cancel(&h.hold);
        cr_assert_eq(h.hold.state, SHM_HOLD_HELD);
        cr_assert(shm_hold_is_held(&h.hold));
        cr_assert(h.hold.shared);
        kit_fails(shm_hold_resume(&late.hold), 0);
        let_go(&late);
        let_go(&h);
        let_go(&r);
        assert_free(&h);
}

Test(readers, two_that_upgrade) {
        Party h = party(), r = party();

        kit_fails(take(&h, SHARED), 0);
        kit_fails(take(&r, SHARED), 0);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_fails(shm_hold_convert(&r.hold, EXCLUSIVE, QUEUE), -EDEADLK);
        cr_assert_eq(r.hold.state, SHM_HOLD_HELD);
        cr_assert(shm_hold_is_held(&r.hold));
        kit_fails(shm_hold_resume(&h.hold), -EINPROGRESS);
        let_go(&r);
        kit_fails(shm_hold_resume(&h.hold), 0);
        let_go(&h);
        assert_free(&r);
}

/* The first of two upgrading dies: the second goes on. */
Test(readers, one_that_upgrades_dies) {
        Party h = party(), r = party();

        kit_fails(take(&h, SHARED), 0);
        kit_fails(take(&r, SHARED), 0);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -EINPROGRESS);
        shm_kit_die(h.actor);
        kit_fails(shm_hold_convert(&r.hold, EXCLUSIVE, QUEUE), 0);
        cr_assert(r.hold.died, "it held it shared");
        let_go(&r);
}

/* A writer that waits for us to leave stands back. */
Test(readers, upgrade_goes_before_a_writer) {
        Party h = party(), r = party(), w = party();
        uint64_t token;
        uint32_t rung;

        kit_fails(take(&h, SHARED), 0);
        kit_fails(take(&r, SHARED), 0);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        cr_assert(drains(&w));
        rung = shm_kit_bell(w.actor);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert(drains(&h));
        cr_assert_neq(shm_kit_bell(w.actor), rung, "it watches somebody else now");
        kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
        cr_assert(drains(&h));
        let_go(&r);
        kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
        kit_fails(shm_hold_resume(&h.hold), 0);
        token = token_of(&h);
        let_go(&h);
        kit_fails(shm_hold_resume(&w.hold), 0);
        cr_assert_eq(token_of(&w), token + 2);
        let_go(&w);
        assert_free(&r);
}

Test(readers, upgrade_before_a_writer_given_up) {
        Party h = party(), r = party(), w = party();
        uint32_t rung;

        kit_fails(take(&h, SHARED), 0);
        kit_fails(take(&r, SHARED), 0);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
        rung = shm_kit_bell(w.actor);
        shm_hold_cancel(&h.hold);
        cr_assert_neq(shm_kit_bell(w.actor), rung);
        kit_fails(shm_hold_resume(&w.hold), -EINPROGRESS);
        cr_assert(drains(&w));
        let_go(&h);
        let_go(&r);
        kit_fails(shm_hold_resume(&w.hold), 0);
        let_go(&w);
}

/* --- breaking ---------------------------------------------------------------------------------------------------- */

static void assert_lost(Party *p) {
        uint64_t token;

        cr_assert_not(shm_hold_is_held(&p->hold));
        kit_fails(shm_hold_get_token(&p->hold, &token), -ENOLCK);
        kit_fails(shm_hold_release(&p->hold), -ENOLCK);
        cr_assert_eq(p->hold.state, SHM_HOLD_IDLE);
}

Test(readers, break_a_writer) {
        Party h = party(), w = party(), breaker = party();
        uint32_t rung, told;
        uint64_t token;

        kit_fails(take(&h, EXCLUSIVE), 0);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        token = token_of(&h);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token - 2), -ESTALE);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token + 1), -ESTALE);
        cr_assert(shm_hold_is_held(&h.hold));
        rung = shm_kit_bell(w.actor);
        told = shm_kit_bell(h.actor);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token), 0);
        cr_assert_eq(breaker.hold.state, SHM_HOLD_IDLE);
        cr_assert_neq(shm_kit_bell(w.actor), rung);
        cr_assert_neq(shm_kit_bell(h.actor), told);
        cr_assert_eq(h.hold.slot->n_broken, 1);
        kit_fails(shm_hold_resume(&w.hold), 0);
        cr_assert_eq(token_of(&w), token + 2);
        assert_lost(&h);
        cr_assert(shm_hold_is_held(&w.hold));
        let_go(&w);
        kit_fails(take(&h, EXCLUSIVE), 0);
        let_go(&h);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token), -ESTALE);
}

Test(readers, break_those_who_read) {
        Party r[3] = { party(), party(), party() }, w = party(), breaker = party();
        uint64_t token;

        for (unsigned i = 0; i < 3; i++)
                kit_fails(take(&r[i], SHARED), 0);
        kit_fails(take(&w, EXCLUSIVE), -EINPROGRESS);
        token = token_of(&r[0]);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token + 1), -ESTALE);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token), 0);
        cr_assert_eq(w.hold.slot->n_broken, 3);
        kit_fails(shm_hold_resume(&w.hold), 0);
        for (unsigned i = 0; i < 3; i++)
                assert_lost(&r[i]);
        let_go(&w);
        assert_free(&w);
}

Test(readers, convert_what_was_broken) {
        Party h = party(), breaker = party();

        kit_fails(take(&h, SHARED), 0);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token_of(&h)), 0);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -ENOLCK);
        assert_lost(&h);
        kit_fails(take(&h, EXCLUSIVE), 0);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token_of(&h)), 0);
        kit_fails(shm_hold_convert(&h.hold, SHARED, TRY), -ENOLCK);
        assert_lost(&h);
        kit_fails(take(&h, EXCLUSIVE), 0);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token_of(&h)), 0);
        kit_fails(shm_hold_release_died(&h.hold), -ENOLCK);
        assert_free(&h);
        cr_assert_not(h.hold.died);
}

Test(readers, broken_while_upgrading) {
        Party h = party(), r = party(), breaker = party();
        uint64_t token;

        kit_fails(take(&h, SHARED), 0);
        kit_fails(take(&r, SHARED), 0);
        token = token_of(&h);
        kit_fails(shm_hold_convert(&h.hold, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_fails(shm_hold_break(&breaker.hold, breaker.actor, token), 0);
        cr_assert_not(shm_hold_is_held(&r.hold));
        if (shm_hold_resume(&h.hold) == 0) {
                cr_assert_not(h.hold.shared, "it was the only one left: that has a token of its own");
                cr_assert_gt(token_of(&h), token);
                let_go(&h);
        } else
                assert_lost(&h);
        assert_lost(&r);
        assert_free(&breaker);
}
