/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* See hold.h for the states, queue.h for the queue, docs/SHM_FORMAT.md for the windows in which somebody may die. */

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/bug.h"
#include "shm/hold.h"
#include "shm/queue.h"
#include "shm/recover.h"
#include "shm/take.h"

/* Before it queues where nobody does yet, a thread waits a little and looks once more: most holds are shorter than
 * going to sleep. Meanwhile it leaves the line alone, which would be taken away from the one who works with it. */
#ifndef PAUSES
#define PAUSES 100u
#endif

void shm_hold_init(ShmHold *h, ShmArena *arena, uint32_t index, uint32_t generation) {
        *h = (ShmHold) {
                .arena = arena,
                .fast = arena,
                .deadline_usec = UINT64_MAX,
                .slot = shm_slot(arena, index),
                .place = (uint64_t) generation << 32 | index,
                .idle = (uint64_t) generation << 32,
        };
        tooz_assert(h->slot);
}

static void journal_set(ShmHold *h, ShmPhase phase) {
        atom_store(h->seat->journal, h->place | SHM_J(phase));
}

/* To take a place: as long as the caller wants to wait at all. */
static int guard_enter(ShmHold *h) {
        uint64_t deadline = h->actor->delegated ? shm_now() + SHM_AGENT_PATIENCE_USEC : h->deadline_usec;

        return shm_guard_lock(h->arena, h->slot, h->place, h->seat->ref, deadline);
}

/* To leave one, or to see what became of it: others count on that, whatever the caller's deadline is. An agent has others
 * to serve, though. */
static int guard_again(ShmHold *h) {
        uint64_t patience = h->actor->delegated ? SHM_AGENT_PATIENCE_USEC : SHM_GUARD_PATIENCE_USEC;

        return shm_guard_lock(h->arena, h->slot, h->place, h->seat->ref, shm_now() + patience);
}

static void hold_end(ShmHold *h) {
        atom_store_release(h->seat->journal, 0);
        h->state = SHM_HOLD_IDLE;
        shm_seat_give(h->actor, h->seat);
}

/* Nobody may still be queued on our word when the entry serves another slot: it would take the one wake-up that the
 * kernel has for who waits there. */
static void flush_watchers(ShmHold *h) {
        uint32_t value = atom_load(h->seat->live);

        if (!(value & FUTEX_WAITERS) || h->actor->delegated || bug("shm-no-flush"))
                return;
        (void) atom_cas(h->seat->live, &value, value & ~FUTEX_WAITERS);
        shm_futex_wake(h->seat->live);
}

static void stamp(ShmHold *h) {
        atom_store_relaxed(&h->slot->since_usec, shm_now());
        atom_store_relaxed(&h->slot->since_token, atom_load_relaxed(&h->slot->token));
}

static void hold_granted(ShmHold *h) {
        h->state = SHM_HOLD_HELD;
        h->died = atom_load(&h->slot->word) & SHM_W_DIED;
        if (h->shared)
                h->token = atom_load(&h->slot->token) + 1;
        else {
                if (h->actor->delegated)
                        atom_store(&h->seat->entry->token, 0);
                shm_hold_count(h);
        }
        if (!h->shared && !h->fast)
                stamp(h);
}

/* --- acquiring -------------------------------------------------------------------------------------- */

/* Through another object, by the same thread. An agent knows by itself. */
static bool holds_already(const ShmActor *actor, uint64_t place) {
        if (actor->delegated)
                return false;
        for (uint32_t c = 0; c < actor->n_blocks; c++)
                for (uint32_t e = 0; e < SHM_ENTRIES; e++) {
                        const ShmSeat *seat = &actor->chunks[c][e];

                        if (shm_seat_is_used(seat) && SHM_J_PLACE(atom_load_relaxed(seat->journal)) == place)
                                return true;
                }
        return false;
}

static bool is_hot(const ShmHold *h) {
        return shm_now() < atom_load(&h->slot->hot_usec);
}

/* The first who has to wait says since when the holder has had it at least. */
static void note_since(ShmSlot *slot) {
        uint64_t token = atom_load(&slot->token);

        if (atom_load(&slot->since_token) == token)
                return;
        atom_store(&slot->since_usec, shm_now());
        atom_store(&slot->since_token, token);
}

/* Two deaths that fall into one moment can leave a waiter asleep: of two who wait on the word of one thread when it dies,
 * the kernel wakes one, and if that one is killed before it wakes the other, nobody knows. They are two when an upgrade
 * has pushed a head back that watches the same readers, or when somebody who was rung is still on its way into its sleep
 * while the entry that it watched serves another lock. So a head looks again after a while, whatever happens. Tests of
 * anything else do without. */
static uint64_t net(void) {
        return bug_any() ? UINT64_MAX : shm_now() + SHM_NET_USEC;
}

static bool stands_behind(const ShmHold *h, uint32_t prev) {
        _Atomic uint64_t *journal = shm_ref_journal(h->arena, prev);
        const ShmEntry *e = shm_ref_entry(h->arena, prev);

        return e && atom_load(&e->next) == h->seat->ref && shm_queue_has(atom_load(journal), h->place);
}

/* A head that was woken in vain wants no bell any more: it looks by itself, until its time has come. WOKEN says that
 * nobody need ring. */
static void be_quiet(ShmHold *h) {
        uint64_t now = shm_now();

        h->quiet = true;
        h->until_usec = bug("shm-no-clock") ? UINT64_MAX : MIN(h->until_usec, now + SHM_QUIET_USEC);
        atom_store(&h->slot->hot_usec, now + SHM_HOT_USEC);
        (void) atom_or(&h->slot->word, SHM_W_WOKEN);
}

/* Who took it takes itself out of the queue, and the next one becomes its head. Behind a reader that one has to look:
 * it may read too, and a writer must claim the word before more readers do. Behind a writer it sleeps on, since it
 * watches the same entry; but it must have a clock, to ask for its turn. */
static void leave_queue(ShmHold *h) {
        uint32_t next = atom_load(&h->seat->entry->next);
        uint64_t now = shm_now();

        if (!h->shared)
                journal_set(h, SHM_X);
        shm_queue_unlink(h->arena, h->slot, h->place, h->seat->ref);
        if (next) {
                shm_queue_set_hand(h->arena, h->slot, now);
                if (h->shared || atom_load(&shm_entry(h->arena, next)->clock_usec) == 0)
                        shm_ring(h->arena, next);
        }
        atom_store(&h->slot->wait_usec_total, atom_load(&h->slot->wait_usec_total) + now - h->queued_usec);
}

static bool is_owner(const ShmHold *h) {
        return (atom_load(&h->slot->word) & SHM_W_OWNER) == h->seat->ref;
}

/* From here on a release rings, and what was released before is seen by the look that follows. */
static void ask_for_bell(ShmHold *h) {
        (void) atom_and(&h->slot->word, ~SHM_W_WOKEN);
        (void) atom_or(&h->slot->word, SHM_W_WAIT | (h->handed ? SHM_W_HAND : 0));
}

static bool is_woken(const ShmHold *h) {
        return atom_load(&h->slot->word) & SHM_W_WOKEN;
}

/* Nobody else takes WOKEN away. So if it is there again after a look, somebody has released since, and whoever did may be
 * dead and never ring: the head must not sleep on a bell then. It has a clock and is quiet, or looks once more; that ends,
 * since nobody else gets a lock that is handed to it, or of which it is the owner. */
static int look_as_head(ShmHold *h) {
        bool rung = is_woken(h);
        int r;

        h->handed = shm_now() >= atom_load(&h->slot->hand_usec);
        for (;;) {
                if (h->handed || !h->quiet)
                        ask_for_bell(h);
                r = shm_take(h, true);
                if (r == 0)
                        leave_queue(h);
                if (r != -EINPROGRESS)
                        return r;
                if (!(h->handed || is_owner(h)) || !is_woken(h))
                        break;
                h->quiet = false; /* a writer that drains waits for bells */
                shm_watch_begin(h);
        }
        h->until_usec = MIN(h->until_usec, net());
        if (h->handed || is_owner(h))
                return r;
        h->until_usec = MIN(h->until_usec, atom_load(&h->slot->hand_usec));
        if (rung || h->quiet || is_hot(h) || is_woken(h))
                be_quiet(h);
        return r;
}

static int look_behind(ShmHold *h) {
        uint64_t due = h->queued_usec + SHM_OVERTAKE_USEC;
        uint32_t prev;

        /* Each round recovers somebody who is dead, or mends the queue. */
        for (unsigned rounds = 0; rounds < 2 * SHM_BLOCKS_MAX; rounds++) {
                shm_watch_begin(h);
                if (atom_load(&h->slot->head) == h->seat->ref)
                        return look_as_head(h);
                prev = atom_load(&h->seat->entry->prev);
                if (!stands_behind(h, prev)) {
                        shm_queue_rebuild(h->arena, h->slot, h->place);
                        if (rounds > SHM_ENTRIES)
                                return -EBADMSG;
                } else if (shm_watch(h, prev)) {
                        if (shm_now() < due)
                                h->until_usec = MIN(h->until_usec, due);
                        return -EINPROGRESS;
                } else
                        shm_recover(h->arena, h->slot, h->place, prev);
        }
        return -EBADMSG;
}

/* Who becomes head while it sleeps has the clock that it set here. */
static int look_waiting(ShmHold *h) {
        int r = look_behind(h);

        if (r == -EINPROGRESS)
                atom_store(&h->seat->entry->clock_usec, h->until_usec == UINT64_MAX ? 0 : h->until_usec);
        return r;
}

/* Under the guard */
static int take_or_queue(ShmHold *h, bool queue) {
        int r;

        shm_watch_begin(h);
        r = shm_take(h, false);
        if (r != -EINPROGRESS)
                return r;
        shm_take_undo(h);
        note_since(h->slot);
        if (!queue)
                return -EAGAIN;
        h->quiet = h->handed = false;
        shm_queue_append(h->arena, h->slot, h->place, h->seat->ref, h->shared);
        h->queued_usec = atom_load(&h->seat->entry->since_usec);
        return look_waiting(h);
}

/* Who has just handed it on, or finds others waiting, does not push in again. */
static int barge(ShmHold *h, bool queue) {
        int r = shm_take_barge(h);

        if (r != -EAGAIN || !queue || h->gave || atom_load(&h->slot->head) != 0 || is_hot(h))
                return r;
        for (unsigned i = 0; i < PAUSES; i++)
                atom_pause();
        return shm_take_barge(h);
}

static int start_seated(ShmHold *h, bool queue) {
        int r;

        journal_set(h, h->shared ? SHM_GUARD : SHM_X);
        r = barge(h, queue);
        h->gave = false;
        if (r != -EAGAIN)
                return r;
        r = guard_enter(h);
        if (r < 0)
                return queue ? r : -EAGAIN;
        r = take_or_queue(h, queue);
        shm_guard_unlock(h->slot);
        if (r == -EAGAIN)
                shm_queue_pass(h->arena, h->slot);
        return r;
}

bool shm_hold_start_past(ShmHold *h, ShmActor *actor) {
        uint64_t w = atom_load(&h->slot->word);

        if (h->state != SHM_HOLD_IDLE || h->seat != actor->spare || h->serial != actor->serial)
                return false;
        if (atom_load(h->journal) != 0)
                return false;
        if ((w & ~(SHM_W_WAIT | SHM_W_WOKEN)) != h->idle)
                return false;
        atom_store_relaxed(h->journal, h->place | SHM_J(SHM_X));
        if (!atom_cas(&h->slot->word, &w, w | h->seat->ref)) {
                atom_store_release(h->journal, 0);
                return false;
        }
        h->now = (ShmNow) { .state = SHM_HOLD_HELD };
        shm_hold_count(h);
        return true;
}

int shm_hold_start(ShmHold *h, ShmActor *actor, bool shared, bool queue) {
        ShmSeat *seat;
        int r;

        if (h->state != SHM_HOLD_IDLE || holds_already(actor, h->place))
                return -EDEADLK;
        seat = shm_seat_take(actor, &r);
        if (!seat)
                return r;
        shm_hold_sit(h, actor, seat);
        h->shared = shared;
        r = start_seated(h, queue);
        if (r == 0)
                hold_granted(h);
        else if (r == -EINPROGRESS)
                h->state = SHM_HOLD_WAITING;
        else
                hold_end(h);
        return r;
}

static int resume_waiting(ShmHold *h) {
        int r = look_waiting(h);

        if (r != 0 && r != -EINPROGRESS) {
                journal_set(h, SHM_GUARD);
                shm_queue_rebuild(h->arena, h->slot, h->place);
        }
        return r;
}

static int upgraded(ShmHold *h, int r) {
        if (r == 0) {
                h->shared = false;
                hold_granted(h);
        } else if (r == -EINPROGRESS) {
                h->state = SHM_HOLD_UPGRADING;
                h->until_usec = MIN(h->until_usec, net());
        } else {
                uint64_t j = h->place | SHM_J(SHM_UP);

                (void) atom_cas(h->seat->journal, &j, h->place | SHM_J(SHM_SH));
                h->state = SHM_HOLD_HELD;
        }
        return r;
}

/* The guard is not to be had: whoever has it is stopped, or the arena is damaged. We go without it, and who stands behind
 * us finds out that we do not wait any more. */
static void leave_unguarded(ShmHold *h) {
        uint32_t next = atom_load(&h->seat->entry->next);

        shm_take_undo(h);
        hold_end(h);
        if (next)
                shm_ring(h->arena, next);
}

static int resume_failed(ShmHold *h, int error) {
        if (h->state == SHM_HOLD_UPGRADING) {
                shm_take_undo(h);
                return upgraded(h, error);
        }
        leave_unguarded(h);
        return error;
}

int shm_hold_resume(ShmHold *h) {
        bool upgrading = h->state == SHM_HOLD_UPGRADING;
        int r;

        tooz_assert(upgrading || h->state == SHM_HOLD_WAITING);
        r = guard_again(h);
        if (r < 0)
                return resume_failed(h, r);
        shm_watch_begin(h);
        r = upgrading ? upgraded(h, shm_take_upgrade(h)) : resume_waiting(h);
        shm_guard_unlock(h->slot);
        if (upgrading || r == -EINPROGRESS)
                return r;
        if (r == 0) {
                hold_granted(h);
                if (!h->shared)
                        stamp(h);
        } else
                hold_end(h);
        return r;
}

static void cancel_waiting(ShmHold *h) {
        uint32_t next = atom_load(&h->seat->entry->next);
        bool head = atom_load(&h->slot->head) == h->seat->ref;

        shm_take_undo(h);
        journal_set(h, SHM_GUARD);
        shm_queue_unlink(h->arena, h->slot, h->place, h->seat->ref);
        if (head) {
                (void) atom_and(&h->slot->word, ~(SHM_W_HAND | SHM_W_WOKEN));
                shm_queue_set_hand(h->arena, h->slot, 0);
        }
        if (next)
                shm_ring(h->arena, next);
}

void shm_hold_cancel(ShmHold *h) {
        bool upgrading = h->state == SHM_HOLD_UPGRADING, guarded;

        tooz_assert(upgrading || h->state == SHM_HOLD_WAITING);
        guarded = guard_again(h) >= 0;
        if (upgrading) {
                shm_take_undo(h);
                journal_set(h, SHM_SH);
                h->state = SHM_HOLD_HELD;
        } else if (guarded)
                cancel_waiting(h);
        if (guarded)
                shm_guard_unlock(h->slot);
        shm_queue_pass(h->arena, h->slot);
        if (upgrading)
                return;
        flush_watchers(h);
        if (guarded)
                hold_end(h);
        else
                leave_unguarded(h);
}

/* --- releasing -------------------------------------------------------------------------------------- */

/* Whoever overtakes looks at the clock now and then: the head may be waiting for the very processor that it runs on. */
static bool is_overdue(ShmHold *h, uint64_t w) {
        if (!(w & SHM_W_WAIT) || w & SHM_W_HAND || ++h->n_past % SHM_PAST_LOOK != 0)
                return false;
        return shm_now() >= atom_load(&h->slot->hand_usec);
}

/* Leaves the word, with `add` in it, and rings for the head if nobody has: `*ret_rang`. False: we do not stand in
 * it. */
static bool word_leave(ShmHold *h, uint64_t add, bool *ret_rang) {
        uint64_t w = atom_load(&h->slot->word), new;
        bool wake, hand;

        *ret_rang = false;
        hand = is_overdue(h, w);
        do {
                if ((w & (SHM_W_OWNER | SHM_W_GENERATION)) != (h->idle | h->seat->ref))
                        return false;
                hand = hand && w & SHM_W_WAIT;
                wake = w & SHM_W_WAIT && (hand || !(w & SHM_W_WOKEN));
                new = (w & ~SHM_W_OWNER) | add | (wake ? SHM_W_WOKEN : 0) | (hand ? SHM_W_HAND : 0);
        } while (!atom_cas(&h->slot->word, &w, new));
        h->gave = new & SHM_W_HAND;
        *ret_rang = wake;
        if (!wake)
                return true;
        if (!bug("shm-no-wake") && !bug("shm-wake-before-release"))
                shm_ring(h->arena, atom_load(&h->slot->head));
        return true;
}

static int leave_for_good(ShmHold *h, uint64_t add) {
        bool rang;
        int r;

        r = word_leave(h, add, &rang) ? 0 : -ENOLCK;
        if (rang)
                flush_watchers(h);
        hold_end(h);
        return r;
}

int shm_hold_release_slow(ShmHold *h) {
        if (bug("shm-wake-before-release"))
                shm_ring(h->arena, atom_load(&h->slot->head));
        return leave_for_good(h, 0);
}

/* The journal has been cleared, and was `journal`. Besides the drainer, the head is told: one that upgraded may have
 * put itself before it, and died. */
int shm_hold_release_reader(ShmHold *h, uint64_t journal) {
        uint64_t w = atom_load(&h->slot->word);

        if (w & SHM_W_DRAIN && !bug("shm-no-drain-bell")) {
                shm_ring(h->arena, (uint32_t) (w & SHM_W_OWNER));
                shm_ring(h->arena, atom_load(&h->slot->head));
        }
        flush_watchers(h);
        hold_end(h);
        return journal == (h->place | SHM_J(SHM_SH)) ? 0 : -ENOLCK;
}

int shm_hold_release_died(ShmHold *h) {
        if (!shm_hold_is_held(h))
                return shm_hold_release(h);
        atom_store(&h->slot->n_died, atom_load(&h->slot->n_died) + 1);
        if (h->shared) {
                (void) atom_or(&h->slot->word, SHM_W_DIED);
                return shm_hold_release(h);
        }
        return leave_for_good(h, SHM_W_DIED);
}

/* --- converting ------------------------------------------------------------------------------------- */

/* It is a reader by its journal before it leaves the word. Its entry goes on in this slot, so those who watch it go on
 * watching. */
static int downgrade(ShmHold *h) {
        bool rang;

        (void) atom_or(&h->slot->readers, h->seat->reader_bit);
        journal_set(h, SHM_SH);
        if (!word_leave(h, SHM_W_READ, &rang)) {
                journal_set(h, SHM_BROKEN_X);
                return -ENOLCK;
        }
        h->shared = true;
        h->token = atom_load(&h->slot->token) + 1;
        return 0;
}

int shm_hold_convert(ShmHold *h, bool shared, bool queue) {
        int r;

        tooz_assert(h->state == SHM_HOLD_HELD && h->shared != shared);
        if (shared)
                return downgrade(h);
        r = guard_enter(h);
        if (r < 0)
                return queue ? r : -EAGAIN;
        shm_watch_begin(h);
        r = shm_take_upgrade(h);
        if (r == -EINPROGRESS && !queue) {
                shm_take_undo(h);
                r = -EAGAIN;
        }
        r = upgraded(h, r);
        shm_guard_unlock(h->slot);
        if (r == -EAGAIN)
                shm_queue_pass(h->arena, h->slot);
        return r;
}

/* --- looking, breaking ------------------------------------------------------------------------------ */

bool shm_hold_is_held(const ShmHold *h) {
        uint64_t j;

        if (h->state != SHM_HOLD_HELD && h->state != SHM_HOLD_UPGRADING)
                return false;
        if (!h->shared)
                return (atom_load(&h->slot->word) & (SHM_W_OWNER | SHM_W_GENERATION)) == h->owned;
        j = atom_load(h->journal);
        return j == (h->place | SHM_J(SHM_SH)) || j == (h->place | SHM_J(SHM_UP));
}

/* As long as we stand in the word, the token of the slot is ours. */
int shm_hold_get_token(const ShmHold *h, uint64_t *ret) {
        uint64_t token = h->shared ? h->token : atom_load(&h->slot->token);

        if (!shm_hold_is_held(h))
                return -ENOLCK;
        *ret = token;
        return 0;
}

void shm_hold_mark_consistent(ShmHold *h) {
        (void) atom_and(&h->slot->word, ~SHM_W_DIED);
        h->died = false;
}

uint64_t shm_hold_reserve(ShmHold *h, uint32_t n) {
        return atom_add(&h->slot->token, 2 * (uint64_t) n);
}

/* The token under which an entry holds. */
static uint64_t token_of(const ShmHold *h, uint32_t ref, bool shared) {
        const ShmBlock *b = shm_ref_block(h->arena, ref);

        if (b && atom_load(&b->state) == SHM_BLOCK_DELEGATED)
                return atom_load(&shm_ref_entry(h->arena, ref)->token);
        return atom_load(&h->slot->token) + shared;
}

static void tell_broken(ShmHold *h, uint32_t ref) {
        ShmBlock *b = shm_ref_block(h->arena, ref);

        atom_store(&h->slot->n_broken, atom_load(&h->slot->n_broken) + 1);
        b = b ? shm_block(h->arena, atom_load(&b->master)) : NULL;
        if (b)
                (void) atom_add(&b->n_broken, 1);
        shm_ring(h->arena, ref);
}

/* Nobody watches a breaker. So it rings before it breaks: who is rung for waits for the guard, and has it when we are
 * done, or dead. */
static void ring_early(ShmHold *h) {
        uint64_t w = atom_load(&h->slot->word);

        if (w & SHM_W_DRAIN)
                shm_ring(h->arena, (uint32_t) (w & SHM_W_OWNER));
        shm_ring(h->arena, atom_load(&h->slot->head));
}

static int break_owner(ShmHold *h, uint64_t token) {
        uint64_t w = atom_load(&h->slot->word), j = h->place | SHM_J(SHM_H);
        uint32_t owner = (uint32_t) (w & SHM_W_OWNER);
        _Atomic uint64_t *journal = shm_ref_journal(h->arena, owner);

        if (!journal || w & SHM_W_DRAIN || atom_load(journal) != j || token_of(h, owner, false) != token)
                return -ESTALE;
        ring_early(h);
        do {
                if ((w & SHM_W_OWNER) != owner)
                        return -ESTALE;
        } while (!atom_cas(&h->slot->word, &w, w & ~SHM_W_OWNER));
        (void) atom_cas(journal, &j, h->place | SHM_J(SHM_BROKEN_X));
        tell_broken(h, owner);
        return 0;
}

/* With HAND set nobody but the head can take it, and the head needs the guard. So an owner that goes meanwhile is not
 * back under another token before we are done. */
static int break_writer(ShmHold *h, uint64_t token) {
        uint64_t before = atom_or(&h->slot->word, SHM_W_HAND | SHM_W_WAIT);
        uint64_t added = ~before & (SHM_W_HAND | SHM_W_WAIT);
        int r;

        r = break_owner(h, token);
        if (atom_load(&h->slot->head) == 0)
                added |= SHM_W_WOKEN;
        (void) atom_and(&h->slot->word, ~added);
        return r;
}

static int break_readers(ShmHold *h, uint64_t token) {
        uint32_t n_blocks = shm_n_blocks(h->arena);
        int r = -ESTALE;

        for (uint32_t ref = 1; ref <= n_blocks * SHM_ENTRIES; ref++) {
                _Atomic uint64_t *journal = shm_ref_journal(h->arena, ref);
                uint64_t j = h->place | SHM_J(SHM_SH);

                if (!journal || atom_load(journal) != j || token_of(h, ref, true) != token)
                        continue;
                ring_early(h);
                if (!atom_cas(journal, &j, h->place | SHM_J(SHM_BROKEN_S)))
                        continue;
                tell_broken(h, ref);
                r = 0;
        }
        return r;
}

int shm_hold_break(ShmHold *h, ShmActor *actor, uint64_t token) {
        ShmSeat *seat;
        int r;

        seat = shm_seat_take(actor, &r);
        if (!seat)
                return r;
        shm_hold_sit(h, actor, seat);
        journal_set(h, SHM_GUARD);
        r = guard_again(h);
        if (r >= 0) {
                r = break_writer(h, token);
                if (r < 0)
                        r = break_readers(h, token);
                shm_guard_unlock(h->slot);
        }
        shm_queue_pass(h->arena, h->slot);
        hold_end(h);
        return r;
}
