/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of a slot: its order, its links made anew from the journals, and its guard */

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/random.h"
#include "shm/futex.h"
#include "shm/queue.h"
#include "shm/recover.h"
#include "shm/shm-kit.h"

#define N_BLOCKS 160u
#define MANY 5000u

SHM_SUITE(queue);

typedef struct Queue {
        ShmArena *arena;
        ShmSlot *slot;
        uint64_t place;
} Queue;

/* Blocks made by hand, whose threads live: they are this one. */
static Queue queue_new(void) {
        ShmHold h = shm_kit_hold("queue");
        uint32_t tid = (uint32_t) syscall(SYS_gettid);

        kit_ok(shm_arena_allocate(h.arena, SHM_BLOCKS_OFFSET, N_BLOCKS * sizeof(ShmBlock)));
        atom_store(&h.arena->header->n_blocks, N_BLOCKS);
        for (uint32_t b = 0; b < N_BLOCKS; b++) {
                atom_store(&h.arena->blocks[b].master, b);
                atom_store(&h.arena->blocks[b].state, SHM_BLOCK_USED);
                for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                        atom_store(&h.arena->blocks[b].live[e].word, tid);
        }
        return (Queue) { .arena = h.arena, .slot = h.slot, .place = h.place };
}

static void append(Queue *q, uint32_t ref, bool shared) {
        shm_queue_append(q->arena, q->slot, q->place, ref, shared);
}

static void leave(Queue *q, uint32_t ref) {
        atom_store(shm_ref_journal(q->arena, ref), 0);
        shm_queue_unlink(q->arena, q->slot, q->place, ref);
}

static uint32_t bell(Queue *q, uint32_t ref) {
        return atom_load(&shm_ref_block(q->arena, ref)->bell);
}

/* Forwards and backwards. */
static void assert_order(Queue *q, const uint32_t *refs, uint32_t n) {
        uint32_t ref = q->slot->head, prev = 0;

        cr_assert_eq(q->slot->n_waiting, n);
        for (uint32_t i = 0; i < n; i++) {
                cr_assert_eq(ref, refs[i], "%u: %u, not %u", i, ref, refs[i]);
                cr_assert_eq(shm_ref_entry(q->arena, ref)->prev, prev, "%u", i);
                prev = ref;
                ref = shm_ref_entry(q->arena, ref)->next;
        }
        cr_assert_eq(ref, 0);
        cr_assert_eq(q->slot->tail, prev);
}

#define assert_queue(q, ...)                                                                       \
        ({                                                                                         \
                const uint32_t _refs[] = { __VA_ARGS__ };                                          \
                assert_order((q), _refs, ARRAY_SIZE(_refs));                                       \
        })

static void shuffle(Prng *prng, uint32_t *refs, uint32_t n) {
        for (uint32_t i = n; i > 1; i--) {
                uint32_t j = (uint32_t) prng_below(prng, i), saved = refs[j];

                refs[j] = refs[i - 1];
                refs[i - 1] = saved;
        }
}

static void scramble(Prng *prng, Queue *q, const uint32_t *refs, uint32_t n) {
        for (uint32_t i = 0; i < n; i++) {
                ShmEntry *e = shm_ref_entry(q->arena, refs[i]);

                atom_store(&e->next, (uint32_t) prng_next(prng));
                atom_store(&e->prev, refs[prng_below(prng, n)]);
        }
        atom_store(&q->slot->head, refs[n / 2]);
        atom_store(&q->slot->tail, (uint32_t) prng_next(prng));
        atom_store(&q->slot->n_waiting, 77);
}

/* --- appending and leaving --------------------------------------------------------------------------------------- */

Test(queue, is_in_the_order_of_arrival) {
        Queue q = queue_new();

        assert_order(&q, NULL, 0);
        append(&q, 40, SHARED);
        assert_queue(&q, 40);
        append(&q, 7, EXCLUSIVE);
        append(&q, 3000, SHARED);
        assert_queue(&q, 40, 7, 3000);
        cr_assert_eq(*shm_ref_journal(q.arena, 40), q.place | SHM_J(SHM_WS));
        cr_assert_eq(*shm_ref_journal(q.arena, 7), q.place | SHM_J(SHM_WX));
        cr_assert_lt(shm_ref_entry(q.arena, 40)->ticket, shm_ref_entry(q.arena, 7)->ticket);
        cr_assert_eq(q.slot->n_contended, 3);
        cr_assert_gt(q.slot->hand_usec, 0);
        cr_assert_eq(q.slot->hand_usec, shm_ref_entry(q.arena, 40)->since_usec + SHM_OVERTAKE_USEC);
}

Test(queue, leaving_from_each_place) {
        Queue q = queue_new();

        for (uint32_t ref = 1; ref <= 5; ref++)
                append(&q, ref, EXCLUSIVE);
        (void) atom_or(&q.slot->word, SHM_W_WAIT | SHM_W_HAND | SHM_W_WOKEN);
        leave(&q, 3);
        assert_queue(&q, 1, 2, 4, 5);
        leave(&q, 1);
        assert_queue(&q, 2, 4, 5);
        leave(&q, 5);
        assert_queue(&q, 2, 4);
        append(&q, 1, SHARED);
        assert_queue(&q, 2, 4, 1);
        leave(&q, 2);
        leave(&q, 1);
        cr_assert(q.slot->word & SHM_W_WAIT);
        leave(&q, 4);
        assert_order(&q, NULL, 0);
        cr_assert_not(q.slot->word & (SHM_W_WAIT | SHM_W_HAND | SHM_W_WOKEN), "nobody waits");
}

Test(queue, leaving_with_links_that_disagree) {
        Queue q = queue_new();

        for (uint32_t ref = 1; ref <= 4; ref++)
                append(&q, ref, EXCLUSIVE);
        atom_store(&shm_ref_entry(q.arena, 1)->next, 3);
        leave(&q, 2);
        assert_queue(&q, 1, 3, 4);
        atom_store(&q.slot->tail, 1);
        leave(&q, 4);
        assert_queue(&q, 1, 3);
        atom_store(&shm_ref_entry(q.arena, 1)->prev, 4000);
        leave(&q, 1);
        assert_queue(&q, 3);
}

/* --- rebuilding -------------------------------------------------------------------------------------------------- */

Test(queue, is_made_anew_from_the_journals) {
        static uint32_t refs[N_BLOCKS * SHM_ENTRIES];
        Queue q = queue_new();
        uint64_t tickets;
        uint32_t rung;
        Prng prng;

        prng_init(&prng, kit_seed());
        for (uint32_t i = 0; i < ARRAY_SIZE(refs); i++)
                refs[i] = i + 1;
        shuffle(&prng, refs, ARRAY_SIZE(refs));
        for (uint32_t i = 0; i < MANY; i++)
                append(&q, refs[i], i % 3 == 0);
        assert_order(&q, refs, MANY);
        tickets = q.slot->next_ticket;

        for (unsigned round = 0; round < 3; round++) {
                scramble(&prng, &q, refs, MANY);
                atom_store(&q.slot->next_ticket, round == 2 ? 1 : tickets);
                rung = bell(&q, refs[0]);
                shm_queue_rebuild(q.arena, q.slot, q.place);
                assert_order(&q, refs, MANY);
                cr_assert_eq(q.slot->next_ticket, tickets, "no ticket comes twice");
                cr_assert_neq(bell(&q, refs[0]), rung, "the head looks");
        }
}

Test(queue, any_number_is_sorted) {
        static uint32_t refs[200];
        Queue q = queue_new();
        Prng prng;

        prng_init(&prng, kit_seed());
        for (uint32_t n = 0; n < ARRAY_SIZE(refs); n++) {
                for (uint32_t i = 0; i < n; i++)
                        refs[i] = i * 25 + 1;
                shuffle(&prng, refs, n);
                for (uint32_t i = 0; i < n; i++)
                        append(&q, refs[i], EXCLUSIVE);
                if (n > 0)
                        scramble(&prng, &q, refs, n);
                shm_queue_rebuild(q.arena, q.slot, q.place);
                assert_order(&q, refs, n);
                while (q.slot->head)
                        leave(&q, q.slot->head);
        }
}

/* Each prefix of what an append or an unlink stores, as its death leaves it. */
Test(queue, half_made_links) {
        Queue q = queue_new();

        append(&q, 1, EXCLUSIVE);
        append(&q, 2, EXCLUSIVE);
        append(&q, 3, EXCLUSIVE);

        /* Its journal says that it waits, and nothing else does. */
        atom_store(&q.slot->tail, 2);
        atom_store(&shm_ref_entry(q.arena, 2)->next, 0);
        shm_queue_rebuild(q.arena, q.slot, q.place);
        assert_queue(&q, 1, 2, 3);

        /* Linked to, but not the tail. */
        atom_store(&q.slot->tail, 2);
        shm_queue_rebuild(q.arena, q.slot, q.place);
        assert_queue(&q, 1, 2, 3);

        /* Its journal says that it waits no more. */
        atom_store(shm_ref_journal(q.arena, 2), 0);
        shm_queue_rebuild(q.arena, q.slot, q.place);
        assert_queue(&q, 1, 3);
}

Test(queue, others_are_left_out) {
        Queue q = queue_new();
        ShmHold other = shm_kit_hold("other");

        append(&q, 1, EXCLUSIVE);
        append(&q, 2, SHARED);
        atom_store(shm_ref_journal(q.arena, 3), q.place | SHM_J(SHM_X));
        atom_store(shm_ref_journal(q.arena, 8), q.place | SHM_J(SHM_H));
        atom_store(shm_ref_journal(q.arena, 4), q.place | SHM_J(SHM_SH));
        atom_store(shm_ref_journal(q.arena, 5), other.place | SHM_J(SHM_WX));
        atom_store(shm_ref_journal(q.arena, 6), (q.place + (UINT64_C(1) << 32)) | SHM_J(SHM_WX));
        atom_store(shm_ref_journal(q.arena, 7), q.place | SHM_J(SHM_GUARD));
        shm_queue_rebuild(q.arena, q.slot, q.place);
        assert_queue(&q, 1, 2);
}

Test(queue, nobody_waits) {
        Queue q = queue_new();

        (void) atom_or(&q.slot->word, SHM_W_WAIT | SHM_W_WOKEN | SHM_W_HAND);
        atom_store(&q.slot->head, 12);
        atom_store(&q.slot->tail, 13);
        shm_queue_rebuild(q.arena, q.slot, q.place);
        assert_order(&q, NULL, 0);
        cr_assert_not(q.slot->word & (SHM_W_WAIT | SHM_W_WOKEN | SHM_W_HAND));
}

/* --- passing on -------------------------------------------------------------------------------------------------- */

Test(queue, the_head_is_rung_for_once) {
        Queue q = queue_new();
        uint32_t rung;

        append(&q, 1, EXCLUSIVE);
        append(&q, 40, EXCLUSIVE);
        rung = bell(&q, 1);
        shm_queue_pass(q.arena, q.slot);
        cr_assert_eq(bell(&q, 1), rung, "it does not want to know");
        (void) atom_or(&q.slot->word, SHM_W_WAIT | 77);
        shm_queue_pass(q.arena, q.slot);
        cr_assert_eq(bell(&q, 1), rung, "it is held");
        (void) atom_and(&q.slot->word, ~SHM_W_OWNER);
        shm_queue_pass(q.arena, q.slot);
        cr_assert_eq(bell(&q, 1), rung + 1);
        cr_assert(q.slot->word & SHM_W_WOKEN);
        shm_queue_pass(q.arena, q.slot);
        cr_assert_eq(bell(&q, 1), rung + 1, "it has been");
        cr_assert_eq(bell(&q, 40), 0);
}

Test(queue, when_the_head_is_not_to_be_overtaken) {
        Queue q = queue_new();
        uint64_t since;

        append(&q, 1, EXCLUSIVE);
        append(&q, 2, EXCLUSIVE);
        since = shm_ref_entry(q.arena, 1)->since_usec;
        shm_queue_set_hand(q.arena, q.slot, 0);
        cr_assert_eq(q.slot->hand_usec, since + SHM_OVERTAKE_USEC);
        shm_queue_set_hand(q.arena, q.slot, since + SHM_OVERTAKE_USEC);
        cr_assert_eq(q.slot->hand_usec, since + SHM_OVERTAKE_USEC);

        /* It has waited for long already: a share of what is left, within the promised 1 ms. */
        shm_queue_set_hand(q.arena, q.slot, since + SHM_OVERTAKE_USEC + 1);
        cr_assert_gt(q.slot->hand_usec, since + SHM_OVERTAKE_USEC);
        cr_assert_leq(q.slot->hand_usec, since + 2 * SHM_OVERTAKE_USEC);
}

/* --- guard ------------------------------------------------------------------------------------------------------- */

Test(queue, guard_of_somebody_who_lives) {
        Queue q = queue_new();
        uint64_t before = shm_now();

        kit_ok(shm_guard_lock(q.arena, q.slot, q.place, 1, 0));
        cr_assert_eq(q.slot->guard, 1);
        kit_fails(shm_guard_lock(q.arena, q.slot, q.place, 2, 0), -ETIMEDOUT);
        kit_fails(shm_guard_lock(q.arena, q.slot, q.place, 2, before + 20000), -ETIMEDOUT);
        cr_assert_geq(shm_now(), before + 20000);
        shm_guard_unlock(q.slot);
        cr_assert_eq(q.slot->guard, 0);
        kit_ok(shm_guard_lock(q.arena, q.slot, q.place, 2, 0));
        shm_guard_unlock(q.slot);
}

Test(queue, guard_of_somebody_who_is_dead) {
        Queue q = queue_new();

        append(&q, 3, EXCLUSIVE);
        append(&q, 4, EXCLUSIVE);
        kit_ok(shm_guard_lock(q.arena, q.slot, q.place, 1, 0));
        atom_store(&q.slot->head, 4);
        atom_store(&shm_ref_entry(q.arena, 3)->next, 99);
        atom_store(shm_ref_live(q.arena, 1), FUTEX_OWNER_DIED);
        kit_ok(shm_guard_lock(q.arena, q.slot, q.place, 2, 0));
        assert_queue(&q, 3, 4);
        cr_assert_eq(q.slot->guard & ~SHM_GUARD_WAIT, 2);
        shm_guard_unlock(q.slot);
        cr_assert_eq(q.slot->guard, 0);
}

Test(queue, guard_of_nobody) {
        Queue q = queue_new();

        atom_store(&q.slot->guard, N_BLOCKS * SHM_ENTRIES + 1);
        kit_ok(shm_guard_lock(q.arena, q.slot, q.place, 2, 0));
        shm_guard_unlock(q.slot);
        atom_store(&q.slot->guard, ~SHM_GUARD_WAIT);
        kit_ok(shm_guard_lock(q.arena, q.slot, q.place, 2, 0));
        shm_guard_unlock(q.slot);
}

static void die_with_guard(ShmArena *a, void *arg) {
        uint32_t *index = arg;
        ShmSlot *slot = &a->slots[*index];
        uint64_t place = (atom_load(&slot->word) & SHM_W_GENERATION) | *index;
        ShmActor *actor;

        must(shm_actor_new(&actor, a) == 0);
        atom_store(actor->spare->journal, place | SHM_J(SHM_GUARD));
        must(shm_guard_lock(a, slot, place, actor->spare->ref, 0) == 0);
}

Test(queue, guard_of_a_child_that_is_killed) {
        ShmHold h = shm_kit_hold("queue");
        ShmActor *actor = shm_kit_actor();
        uint32_t index = (uint32_t) (h.place & SHM_J_SLOT);
        pid_t pid;

        pid = shm_kit_child(die_with_guard, &index);
        kit_fails(shm_guard_lock(h.arena, h.slot, h.place, actor->spare->ref, 0), -ETIMEDOUT);
        shm_kit_kill(pid);
        kit_ok(shm_guard_lock(h.arena, h.slot, h.place, actor->spare->ref, 0));
        shm_guard_unlock(h.slot);
        kit_ok(shm_hold_start(&h, actor, EXCLUSIVE, TRY));
        cr_assert_not(h.died, "it did not hold it");
        kit_ok(shm_hold_release(&h));
}

typedef struct Counter {
        Queue q;
        _Atomic uint32_t next_ref;
        unsigned n;
} Counter;

static void *count(void *arg) {
        Counter *c = arg;
        uint32_t ref = atom_add(&c->next_ref, 1);

        for (unsigned i = 0; i < 20000; i++) {
                kit_ok(shm_guard_lock(c->q.arena, c->q.slot, c->q.place, ref, UINT64_MAX));
                c->n++;
                shm_guard_unlock(c->q.slot);
        }
        return NULL;
}

Test(queue, guard_excludes_threads) {
        Counter c = { .q = queue_new(), .next_ref = 1 };
        pthread_t threads[4];

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                cr_assert_eq(pthread_create(&threads[i], NULL, count, &c), 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                (void) pthread_join(threads[i], NULL);
        cr_assert_eq(c.n, 4 * 20000);
        cr_assert_eq(c.q.slot->guard, 0);
}
