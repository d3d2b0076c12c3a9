/* SPDX-License-Identifier: Apache-2.0 */
/* Holds: every edge between their states, tokens, death, and who may overtake whom. Readers: test-readers.c */

#include <errno.h>
#include <unistd.h>

#include "shm/queue.h"
#include "shm/recover.h"
#include "shm/shm-kit.h"

SHM_SUITE(hold);

static uint64_t token_of(const ShmHold *h) {
        uint64_t token;

        kit_ok(shm_hold_get_token(h, &token));
        return token;
}

static uint64_t flags_of(const ShmHold *h) {
        return atom_load(&h->slot->word) & ~(SHM_W_GENERATION | SHM_W_OWNER);
}

static void assert_idle(const ShmHold *h) {
        uint64_t token;

        cr_assert_eq(h->state, SHM_HOLD_IDLE);
        cr_assert_not(shm_hold_is_held(h));
        kit_fails(shm_hold_get_token(h, &token), -ENOLCK);
}

/* Longer than the time for which a waiter may be overtaken. */
static void outwait(void) {
        (void) usleep(2 * SHM_OVERTAKE_USEC);
}

/* --- the states -------------------------------------------------------------------------------------------------- */

Test(hold, taken_and_given_back) {
        ShmHold h = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor();
        uint64_t token;

        assert_idle(&h);
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), 0);
        cr_assert_eq(h.state, SHM_HOLD_HELD);
        cr_assert(shm_hold_is_held(&h));
        cr_assert_eq(h.slot->word, h.idle | h.seat->ref);
        cr_assert_eq(*h.journal, h.place | SHM_J(SHM_H));
        token = token_of(&h);
        kit_fails(shm_hold_release(&h), 0);
        assert_idle(&h);
        cr_assert_eq(h.slot->word, h.idle, "one CAS takes it");
        cr_assert_eq(*h.journal, 0);

        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, QUEUE), 0);
        cr_assert_eq(token_of(&h), token + 2);
        kit_fails(shm_hold_release(&h), 0);
}

Test(hold, waiting_and_granted) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();
        uint32_t rung;

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, TRY), -EAGAIN);
        assert_idle(&w);
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_eq(w.state, SHM_HOLD_WAITING);
        cr_assert_not(shm_hold_is_held(&w));
        cr_assert_eq(w.n_words, 2, "its bell, and the life of the holder");
        cr_assert_eq(w.words[0].address, &b->first->bell);
        cr_assert_eq(w.words[1].address, h.seat->live);
        cr_assert_neq(*h.seat->live & FUTEX_WAITERS, 0, "or the kernel would not say");
        kit_fails(shm_hold_resume(&w), -EINPROGRESS);

        rung = shm_kit_bell(b);
        kit_fails(shm_hold_release(&h), 0);
        cr_assert_eq(shm_kit_bell(b), rung + 1);
        cr_assert_eq(flags_of(&w) & SHM_W_WOKEN, SHM_W_WOKEN);
        kit_fails(shm_hold_resume(&w), 0);
        cr_assert_eq(w.state, SHM_HOLD_HELD);
        cr_assert_eq(w.slot->word, w.idle | w.seat->ref, "nobody else waits");
        kit_fails(shm_hold_release(&w), 0);
        assert_idle(&w);
}

Test(hold, waiting_and_given_up) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&w, b, SHARED, QUEUE), -EINPROGRESS);
        shm_hold_cancel(&w);
        assert_idle(&w);
        cr_assert_eq(w.slot->head, 0);
        cr_assert_eq(w.slot->n_waiting, 0);
        cr_assert_eq(h.slot->word, h.idle | h.seat->ref);
        kit_fails(shm_hold_release(&h), 0);
        kit_fails(shm_hold_start(&w, b, SHARED, QUEUE), 0);
        kit_fails(shm_hold_release(&w), 0);
}

/* One who gives up when it has been rung for hands the bell on. */
Test(hold, given_up_when_rung_for) {
        ShmHold h = shm_kit_hold("a"), w[2] = { shm_kit_hold("a"), shm_kit_hold("a") };
        ShmActor *actors[] = { shm_kit_actor(), shm_kit_actor(), shm_kit_actor() };
        uint32_t rung;

        kit_ok(shm_hold_start(&h, actors[2], EXCLUSIVE, TRY));
        for (unsigned i = 0; i < 2; i++)
                kit_fails(shm_hold_start(&w[i], actors[i], EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_ok(shm_hold_release(&h));
        rung = shm_kit_bell(actors[1]);
        shm_hold_cancel(&w[0]);
        cr_assert_neq(shm_kit_bell(actors[1]), rung);
        kit_fails(shm_hold_resume(&w[1]), 0);
        kit_ok(shm_hold_release(&w[1]));
}

Test(hold, in_the_order_of_arrival) {
        enum { N = 6 };
        ShmHold h = shm_kit_hold("a"), w[N];
        ShmActor *actors[N];

        kit_ok(shm_hold_start(&h, shm_kit_actor(), EXCLUSIVE, TRY));
        for (unsigned i = 0; i < N; i++) {
                w[i] = shm_kit_hold("a");
                actors[i] = shm_kit_actor();
                kit_fails(shm_hold_start(&w[i], actors[i], EXCLUSIVE, QUEUE), -EINPROGRESS);
        }
        cr_assert_eq(h.slot->n_waiting, N);
        shm_hold_cancel(&w[3]);
        kit_ok(shm_hold_release(&h));
        for (unsigned i = 0; i < N; i++) {
                if (i == 3)
                        continue;
                for (unsigned j = i + 1; j < N; j++)
                        if (j != 3)
                                kit_fails(shm_hold_resume(&w[j]), -EINPROGRESS);
                kit_fails(shm_hold_resume(&w[i]), 0);
                kit_ok(shm_hold_release(&w[i]));
        }
        cr_assert_eq(h.slot->word, h.idle);
        cr_assert_eq(h.slot->n_contended, N);
        cr_assert_gt(h.slot->wait_usec_total, 0);
}

/* --- by one thread ----------------------------------------------------------------------------------------------- */

Test(hold, no_second_one_of_a_thread) {
        ShmHold h = shm_kit_hold("a"), again = shm_kit_hold("a"), other = shm_kit_hold("b");
        ShmActor *a = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), -EDEADLK);
        kit_fails(shm_hold_start(&h, a, SHARED, QUEUE), -EDEADLK);
        kit_fails(shm_hold_start(&again, a, EXCLUSIVE, QUEUE), -EDEADLK);
        kit_fails(shm_hold_start(&again, a, SHARED, TRY), -EDEADLK);
        cr_assert_eq(shm_hold_start_fast(&h, a, false), SHM_FAST_NO);
        cr_assert_eq(shm_hold_start_fast(&again, a, false), SHM_FAST_NO);
        cr_assert_eq(again.state, SHM_HOLD_IDLE);
        cr_assert(shm_hold_is_held(&h));
        kit_ok(shm_hold_start(&other, a, EXCLUSIVE, TRY));
        kit_ok(shm_hold_release(&other));
        kit_ok(shm_hold_release(&h));
        kit_ok(shm_hold_start(&again, a, SHARED, TRY));
        kit_fails(shm_hold_start(&h, a, SHARED, TRY), -EDEADLK);
        kit_ok(shm_hold_release(&again));
}

Test(hold, no_second_wait_of_a_thread) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a"), again = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EDEADLK);
        kit_fails(shm_hold_start(&again, b, SHARED, QUEUE), -EDEADLK);
        shm_hold_cancel(&w);
        kit_ok(shm_hold_release(&h));
}

Test(hold, as_many_as_a_thread_may) {
        enum { MAX = SHM_ACTOR_BLOCKS * SHM_ENTRIES };
        static ShmHold holds[MAX + 1];
        ShmActor *a = shm_kit_actor();
        char name[32];

        for (unsigned i = 0; i <= MAX; i++) {
                (void) snprintf(name, sizeof(name), "n%u", i);
                holds[i] = shm_kit_hold(name);
                kit_fails(shm_hold_start(&holds[i], a, i % 2, TRY), i < MAX ? 0 : -EMFILE);
        }
        cr_assert_eq(a->n_blocks, SHM_ACTOR_BLOCKS);
        for (unsigned i = 0; i < MAX; i += 3)
                kit_ok(shm_hold_release(&holds[i]));
        kit_ok(shm_hold_start(&holds[MAX], a, EXCLUSIVE, TRY));
        kit_ok(shm_hold_release(&holds[MAX]));
        for (unsigned i = 0; i < MAX; i++)
                if (holds[i].state == SHM_HOLD_HELD)
                        kit_ok(shm_hold_release(&holds[i]));
}

/* --- tokens ------------------------------------------------------------------------------------------------------ */

Test(hold, tokens) {
        ShmHold h = shm_kit_hold("a"), r[2] = { shm_kit_hold("a"), shm_kit_hold("a") };
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();
        uint64_t token;

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        token = token_of(&h);
        cr_assert_eq(token % 2, 0);
        kit_ok(shm_hold_convert(&h, SHARED, TRY));
        cr_assert_eq(token_of(&h), token + 1, "of a reader");
        kit_ok(shm_hold_convert(&h, EXCLUSIVE, TRY));
        cr_assert_eq(token_of(&h), token + 2);
        kit_ok(shm_hold_release(&h));
        kit_ok(shm_hold_start(&r[0], a, SHARED, TRY));
        kit_ok(shm_hold_start(&r[1], b, SHARED, TRY));
        cr_assert_eq(token_of(&r[0]), token + 3);
        cr_assert_eq(token_of(&r[1]), token + 3, "readers share it");
        kit_ok(shm_hold_release(&r[0]));
        kit_ok(shm_hold_release(&r[1]));
        kit_ok(shm_hold_start(&h, b, EXCLUSIVE, TRY));
        cr_assert_eq(token_of(&h), token + 4);
        cr_assert_eq(shm_hold_reserve(&h, 10), token + 4);
        kit_ok(shm_hold_release(&h));
        kit_ok(shm_hold_start(&h, b, EXCLUSIVE, TRY));
        cr_assert_eq(token_of(&h), token + 4 + 20 + 2);
        kit_ok(shm_hold_release(&h));
}

/* --- death ------------------------------------------------------------------------------------------------------- */

Test(hold, a_dead_writer_is_noticed_until_marked) {
        ShmHold h = shm_kit_hold("a"), next = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        shm_kit_die(a);
        kit_fails(shm_hold_start(&next, b, EXCLUSIVE, TRY), 0);
        cr_assert(next.died);
        cr_assert_eq(next.slot->n_died, 1);
        kit_ok(shm_hold_release(&next));

        kit_ok(shm_hold_start(&next, b, SHARED, TRY));
        cr_assert(next.died, "each one is told");
        kit_ok(shm_hold_convert(&next, EXCLUSIVE, TRY));
        cr_assert(next.died);
        kit_ok(shm_hold_convert(&next, SHARED, TRY));
        kit_ok(shm_hold_release(&next));
        cr_assert_eq(shm_hold_start_fast(&next, b, false), SHM_FAST_NO);
        kit_ok(shm_hold_start(&next, b, EXCLUSIVE, QUEUE));
        cr_assert(next.died);
        shm_hold_mark_consistent(&next);
        cr_assert_not(next.died);
        kit_ok(shm_hold_release(&next));
        kit_ok(shm_hold_start(&next, b, EXCLUSIVE, TRY));
        cr_assert_not(next.died);
        cr_assert_eq(next.slot->n_died, 1);
        kit_ok(shm_hold_release(&next));
}

static void hold_it(ShmArena *arena, void *arg) {
        static ShmHold h;
        const uint64_t *place = arg;
        ShmActor *actor;

        must(shm_actor_new(&actor, arena) == 0);
        shm_hold_init(&h, arena, (uint32_t) (*place & SHM_J_SLOT), (uint32_t) (*place >> 32));
        must(shm_hold_start(&h, actor, EXCLUSIVE, TRY) == 0);
}

Test(hold, a_killed_process_wakes_who_waits) {
        ShmHold w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor();
        pid_t pid;

        pid = shm_kit_child(hold_it, &w.place);
        kit_fails(shm_hold_start(&w, a, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_fails(shm_futex_wait(w.words, w.n_words, shm_now()), -ETIMEDOUT);
        shm_kit_kill(pid);
        kit_fails(shm_hold_resume(&w), 0);
        cr_assert(w.died);
        kit_ok(shm_hold_release(&w));
        cr_assert_eq(shm_ref_block(w.arena, shm_ref(1, 0))->journal[0], 0, "its journal is clear");
}

/* Whose turn it never was. */
Test(hold, dead_waiters_are_passed_over) {
        enum { N = 5 };
        ShmHold h = shm_kit_hold("a"), w[N];
        ShmActor *actors[N], *a = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        for (unsigned i = 0; i < N; i++) {
                w[i] = shm_kit_hold("a");
                actors[i] = shm_kit_actor();
                kit_fails(shm_hold_start(&w[i], actors[i], i % 2, QUEUE), -EINPROGRESS);
        }
        for (unsigned i = 0; i < N - 1; i++)
                shm_kit_die(actors[i]);
        kit_fails(shm_hold_resume(&w[N - 1]), -EINPROGRESS);
        cr_assert_eq(h.slot->head, w[N - 1].seat->ref);
        cr_assert_eq(h.slot->n_waiting, 1);
        kit_ok(shm_hold_release(&h));
        kit_fails(shm_hold_resume(&w[N - 1]), 0);
        cr_assert_not(w[N - 1].died, "they did not hold it");
        kit_ok(shm_hold_release(&w[N - 1]));
}

/* A block whose thread is dead gets another thread, when what it held is free again. */
Test(hold, a_dead_thread_gives_its_block) {
        ShmHold h = shm_kit_hold("a"), next = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b;

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        shm_kit_die(a);
        /* Who comes has a block of its own before it recovers the others, and the one after it takes the dead one's. */
        b = shm_kit_actor();
        cr_assert_neq(a->first, b->first);
        cr_assert_eq(*h.journal, 0);
        cr_assert_eq(shm_kit_actor()->first, a->first);
        kit_fails(shm_hold_start(&next, b, EXCLUSIVE, TRY), 0);
        cr_assert(next.died);
        kit_ok(shm_hold_release(&next));
}

Test(hold, given_back_for_a_dead_client) {
        ShmHold h = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor();

        for (unsigned i = 0; i < 2; i++) {
                kit_ok(shm_hold_start(&h, a, i, TRY));
                kit_ok(shm_hold_release_died(&h));
                assert_idle(&h);
                kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
                cr_assert(h.died);
                cr_assert_eq(h.slot->n_died, i + 1);
                shm_hold_mark_consistent(&h);
                kit_ok(shm_hold_release(&h));
        }
}

/* --- overtaking -------------------------------------------------------------------------------------------------- */

Test(hold, who_runs_overtakes_who_sleeps) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_ok(shm_hold_release(&h));
        cr_assert(shm_hold_start_past(&h, a));
        kit_fails(shm_hold_resume(&w), -EINPROGRESS);
        kit_ok(shm_hold_release(&h));
        kit_fails(shm_hold_resume(&w), 0);
        kit_ok(shm_hold_release(&w));
}

Test(hold, who_has_waited_for_long_is_not_overtaken) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a"), r = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
        outwait();
        kit_fails(shm_hold_resume(&w), -EINPROGRESS);
        cr_assert(w.handed);
        cr_assert(flags_of(&w) & SHM_W_HAND);
        cr_assert(flags_of(&w) & SHM_W_WAIT);

        kit_ok(shm_hold_release(&h));
        cr_assert_not(shm_hold_start_past(&h, a));
        cr_assert_eq(shm_hold_start_fast(&h, a, false), SHM_FAST_NO);
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), -EAGAIN);
        kit_fails(shm_hold_start(&r, a, SHARED, TRY), -EAGAIN);
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_fails(shm_hold_resume(&w), 0);
        kit_fails(shm_hold_resume(&h), -EINPROGRESS);
        kit_ok(shm_hold_release(&w));
        kit_fails(shm_hold_resume(&h), 0);
        kit_ok(shm_hold_release(&h));
        cr_assert_eq(h.slot->word, h.idle);
}

/* It keeps others out as long as it lives. */
Test(hold, a_dead_head_keeps_nobody_out) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        for (unsigned shared = 0; shared < 2; shared++) {
                kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
                kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
                outwait();
                kit_fails(shm_hold_resume(&w), -EINPROGRESS);
                shm_kit_die(b);
                kit_ok(shm_hold_release(&h));
                kit_fails(shm_hold_start(&h, a, shared, TRY), 0);
                cr_assert_not(h.died);
                kit_ok(shm_hold_release(&h));
                b = shm_kit_actor();
                w = shm_kit_hold("a");
        }
}

/* The head looks by itself, and releases have their fast path meanwhile. */
Test(hold, a_head_that_was_woken_in_vain_is_quiet) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        for (unsigned i = 0; i < 1000; i++) {
                kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
                kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
                kit_ok(shm_hold_release(&h));
                if (shm_hold_start_past(&h, a) && shm_hold_resume(&w) == -EINPROGRESS && w.quiet && !w.handed)
                        break;
                if (w.state == SHM_HOLD_WAITING)
                        shm_hold_cancel(&w);
                else
                        kit_ok(shm_hold_release(&w));
                if (h.state == SHM_HOLD_HELD)
                        kit_ok(shm_hold_release(&h));
        }
        cr_assert(w.state == SHM_HOLD_WAITING && w.quiet);
        cr_assert(flags_of(&w) & SHM_W_WOKEN, "nobody need ring");
        cr_assert_lt(w.until_usec, UINT64_MAX, "it has set itself a clock");
        outwait();
        kit_fails(shm_hold_resume(&w), -EINPROGRESS);
        cr_assert(flags_of(&w) & SHM_W_HAND, "its time has come");
        kit_ok(shm_hold_release(&h));
        kit_fails(shm_hold_resume(&w), 0);
        kit_ok(shm_hold_release(&w));
}

/* The head may be waiting for the processor on which the other runs: it can't ask for its turn. */
Test(hold, who_overtakes_hands_the_lock_on) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
        outwait();
        for (unsigned i = 0; i < 2 * SHM_PAST_LOOK; i++) {
                kit_ok(shm_hold_release(&h));
                if (flags_of(&w) & SHM_W_HAND)
                        break;
                cr_assert(shm_hold_start_past(&h, a));
        }
        cr_assert(flags_of(&w) & SHM_W_HAND);
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), -EAGAIN);
        kit_fails(shm_hold_resume(&w), 0);
        kit_ok(shm_hold_release(&w));
}

/* --- the fast path ----------------------------------------------------------------------------------------------- */

Test(hold, fast_when_nobody_wants_it) {
        ShmHold h = shm_kit_hold("a"), other = shm_kit_hold("b");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();
        uint64_t token;

        cr_assert_eq(shm_hold_start_fast(&h, a, false), SHM_FAST_YES);
        token = token_of(&h);
        cr_assert_eq(shm_hold_start_fast(&h, a, false), SHM_FAST_NO, "held");
        cr_assert_eq(shm_hold_start_fast(&other, a, false), SHM_FAST_NO, "its seat is taken");
        kit_ok(shm_hold_release(&h));
        cr_assert_eq(shm_hold_start_fast(&other, b, false), SHM_FAST_YES);
        cr_assert_eq(shm_hold_start_fast(&h, a, false), SHM_FAST_YES);
        cr_assert_eq(token_of(&h), token + 2);
        kit_ok(shm_hold_release(&h));
        cr_assert_eq(shm_hold_start_fast(&h, b, false), SHM_FAST_NO);
        kit_ok(shm_hold_release(&other));
        cr_assert_eq(shm_hold_start_fast(&h, b, false), SHM_FAST_YES, "by another thread");
        cr_assert_eq(h.seat, b->spare);
        kit_ok(shm_hold_release(&h));
}

Test(hold, fast_for_readers) {
        ShmHold h = shm_kit_hold("a"), r = shm_kit_hold("a"), x = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        cr_assert_eq(shm_hold_start_fast(&h, a, true), SHM_FAST_NO, "its block has not been reader");
        kit_ok(shm_hold_start(&h, a, SHARED, TRY));
        kit_ok(shm_hold_release(&h));
        cr_assert_eq(shm_hold_start_fast(&h, a, true), SHM_FAST_YES);
        cr_assert_eq(token_of(&h), atom_load(&h.slot->token) + 1);
        cr_assert_eq(shm_hold_start_fast(&r, b, true), SHM_FAST_NO);
        cr_assert_eq(shm_hold_start_fast(&x, b, false), SHM_FAST_NO, "there are readers");
        kit_ok(shm_hold_release(&h));

        kit_ok(shm_hold_start(&x, b, EXCLUSIVE, TRY));
        cr_assert_eq(shm_hold_start_fast(&h, a, true), SHM_FAST_UNREAD);
        cr_assert_eq(*a->spare->journal, h.place | SHM_J(SHM_SA));
        shm_hold_unread(&h, a->spare, 0);
        cr_assert_eq(*a->spare->journal, 0);
        kit_ok(shm_hold_release(&x));
        cr_assert_eq(shm_hold_start_fast(&h, a, true), SHM_FAST_UNREAD, "the word does not say READ");
        shm_hold_unread(&h, a->spare, 0);
}
