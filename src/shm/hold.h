/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Hold: one thread's use of one slot
 *
 *      IDLE --> HELD                                    taken at once
 *      IDLE --> WAITING --> HELD --> IDLE               queued, granted, given back
 *               WAITING --> IDLE                        given up
 *      HELD (shared) --> UPGRADING --> HELD             alone now, or given up
 *
 * Invariants
 *   - A slot is held exclusively by the entry that stands in its word without DRAIN, shared by every entry whose
 *     journal says SH or UP; never both, but for one entry that converts.
 *   - A reader's journal says SA before it looks at the word. A writer puts itself into the word before it looks at
 *     the journals. So one of the two sees the other.
 *   - Who releases and sees WAIT rings for the head, unless WOKEN says that somebody did since the head looked last.
 *     A head that is quiet sets WOKEN itself: it has a clock.
 *   - Whom a waiter waits for, it watches: the head the owner, or the readers if it is the owner and drains; another
 *     one its predecessor. Whoever may owe it a bell is watched by it, so if that one dies the kernel wakes it.
 *   - A waiter reads its bell before it looks, and sleeps only if nobody has rung since.
 *
 * All functions are for the thread of the actor, and none blocks, but for the guard. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/actor.h"
#include "shm/arena.h"
#include "shm/atom.h"
#include "shm/futex.h"

/* Promise 5: a waiter is overtaken for at most 1 ms of its wait. It is so for half of that. When several have waited
 * for so long at once, each of them gets its share of the other half before the next one is handed the lock: then
 * they stand apart, and the lock is not handed on at each release, for ever, at the price of a context switch. */
#define SHM_OVERTAKE_USEC UINT64_C(500)
/* A head that was woken and found that somebody was faster is not woken again before its time: it looks by itself, so
 * often. The lock is in great demand then, and a wake-up for each release would cost more than it brings. For so long
 * after that, others who become its head are quiet from the start. */
#ifndef SHM_QUIET_USEC
#define SHM_QUIET_USEC UINT64_C(200)
#endif
#define SHM_HOT_USEC UINT64_C(2000)
/* Of the releases while others wait, each so-manieth looks at the clock. */
#define SHM_PAST_LOOK 32u
/* A drainer watches so many readers: when they are gone, it looks for the next. One is the bell. */
#define SHM_WATCH_MAX 24u
/* How often who waits behind a standing agent looks whether somebody still keeps its place. */
#define SHM_STANDING_USEC UINT64_C(50000)

/* See hold.c. */
#define SHM_GUARD_PATIENCE_USEC UINT64_C(5000000)
#define SHM_NET_USEC UINT64_C(1000000)

typedef enum ShmHoldState {
        SHM_HOLD_IDLE,
        SHM_HOLD_WAITING,
        SHM_HOLD_HELD,
        SHM_HOLD_UPGRADING,
} ShmHoldState;

/* Eight bytes, since it is stored on the fast path in one piece, and a load wider than the store before it would
 * wait. */
typedef struct ShmNow {
        uint8_t state; /* ShmHoldState */
        bool shared;
        bool died;  /* a holder before us died, and it has not been marked consistent */
        uint8_t pad[5];
} ShmNow;

typedef struct ShmHold {
        ShmArena *arena;
        ShmSlot *slot;
        uint64_t place; /* generation and number of the slot, as in a journal */
        uint64_t idle;  /* the word when nobody wants it */
        ShmActor *actor;
        ShmSeat *seat;
        uint64_t serial; /* of the actor */
        _Atomic uint64_t *journal; /* of the seat */
        uint64_t owned;  /* the word when we hold it and nobody wants it */
        union {
                ShmNow now;
                struct {
                        uint8_t state;
                        bool shared;
                        bool died;
                };
        };
        uint64_t token; /* of a reader; a writer's is that of the slot */
        bool gave;      /* given back when others were to have it */
        const ShmArena *fast; /* of an actor that may take the fast path; NULL when each acquisition notes its time */
        uint64_t deadline_usec; /* of whoever calls, CLOCK_MONOTONIC: nothing waits for the guard much longer */
        /* while waiting */
        uint32_t n_past; /* releases while others waited */
        uint64_t queued_usec;
        bool quiet;    /* the head looks by itself, and the word does not say that somebody waits */
        bool handed;   /* the next release hands it to the head: worth staying awake for */
        uint32_t n_words;
        ShmWord words[SHM_WATCH_MAX + 1]; /* what to sleep on, the bell first */
        uint64_t until_usec;              /* look again then */
} ShmHold;

void shm_hold_init(ShmHold *h, ShmArena *arena, uint32_t index, uint32_t generation);

/* Takes it, or (`queue`) a place in the queue: 0 taken, -EINPROGRESS, -EAGAIN, -EDEADLK, -EMFILE and so on;
 * -ETIMEDOUT: the guard is not to be had; -ESTALE: the slot is another lock's now, look the name up again. */
int shm_hold_start(ShmHold *h, ShmActor *actor, bool shared, bool queue);
/* Looks again: 0, -EINPROGRESS, -EDEADLK (of two that upgrade), -ETIMEDOUT (the guard). */
int shm_hold_resume(ShmHold *h);
/* Gives the wait up. An upgrade stays held. */
void shm_hold_cancel(ShmHold *h);
/* To the other mode: 0; upgrading: also -EINPROGRESS, -EAGAIN (not `queue`), -EDEADLK; -ENOLCK. */
int shm_hold_convert(ShmHold *h, bool shared, bool queue);
bool shm_hold_is_held(const ShmHold *h);
/* Of what is held: 0, or -ENOLCK: it was broken. */
int shm_hold_get_token(const ShmHold *h, uint64_t *ret);
void shm_hold_mark_consistent(ShmHold *h);
/* Gives it back for somebody who died with it: the next one is told. As shm_hold_release(). */
int shm_hold_release_died(ShmHold *h);
/* Makes tokens for `n` grants of an agent under one hold: those above the returned one, up to 2 n more. */
uint64_t shm_hold_reserve(ShmHold *h, uint32_t n);
/* Takes the slot away from whoever holds it with this token. `h` is idle. 0 or -ESTALE. */
int shm_hold_break(ShmHold *h, ShmActor *actor, uint64_t token);

/* --- the fast path ---------------------------------------------------------------------------------- */

/* Ahead of those who sleep, when that is all that keeps the fast path from it. */
bool shm_hold_start_past(ShmHold *h, ShmActor *actor);
int shm_hold_release_slow(ShmHold *h);
int shm_hold_release_reader(ShmHold *h, uint64_t journal);
void shm_hold_unread(ShmHold *h, ShmSeat *seat, uint64_t journal);

/* Called by the one exclusive holder: plain stores are enough. The journal says that the token is its own: who breaks a
 * hold by its token must not take that of the one before for it. */
static inline void shm_hold_count_in(ShmSlot *slot, _Atomic uint64_t *journal, uint64_t place) {
        atom_store_relaxed(&slot->token, atom_load_relaxed(&slot->token) + 2);
        atom_store_release(journal, place | SHM_J(SHM_H));
}

static inline void shm_hold_count(ShmHold *h) {
        shm_hold_count_in(h->slot, h->journal, h->place);
}

/* Mostly the same as last time. What hangs on it is kept at hand: after a locked instruction, each load that waits for
 * another one is waited for. */
static inline void shm_hold_sit(ShmHold *h, ShmActor *actor, ShmSeat *seat) {
        h->seat = seat;
        h->actor = actor;
        h->serial = actor->serial;
        h->journal = seat->journal;
        h->owned = h->idle | seat->ref;
}

typedef enum ShmFast {
        SHM_FAST_NO,
        SHM_FAST_UNREAD, /* no, and shm_hold_unread() is to be called */
        SHM_FAST_YES,
} ShmFast;

/* Did it work with one look? The actor is that of the calling thread. No function is called here: the fast path of the
 * caller then needs no registers saved. */
static inline __attribute__((__always_inline__)) ShmFast shm_hold_start_fast(ShmHold *h, ShmActor *actor, bool shared) {
        /* Read before the locked instruction: what is read behind it waits for it. */
        ShmSlot *slot = h->slot;
        uint64_t old = h->idle, place = h->place;
        _Atomic uint64_t *journal;

        if (__builtin_expect(h->seat != actor->spare || h->serial != actor->serial, 0)) {
                if (h->state != SHM_HOLD_IDLE)
                        return SHM_FAST_NO;
                shm_hold_sit(h, actor, actor->spare);
        }
        journal = h->journal;
        if (__builtin_expect(h->state != SHM_HOLD_IDLE || atom_load_relaxed(journal) != 0, 0))
                return SHM_FAST_NO;
        if (!shared) {
                atom_store_relaxed(journal, place | SHM_J(SHM_X));
                if (__builtin_expect(!atom_cas(&slot->word, &old, h->owned), 0)) {
                        atom_store_release(journal, 0);
                        return SHM_FAST_NO;
                }
                h->now = (ShmNow) { .state = SHM_HOLD_HELD };
                shm_hold_count_in(slot, journal, place);
                return SHM_FAST_YES;
        }
        if (!(atom_load_relaxed(&slot->readers) & h->seat->reader_bit))
                return SHM_FAST_NO;
        (void) atom_swap(journal, place | SHM_J(SHM_SA));
        if (__builtin_expect(atom_load(&slot->word) != (old | SHM_W_READ), 0))
                return SHM_FAST_UNREAD;
        atom_store_relaxed(journal, place | SHM_J(SHM_SH));
        h->now = (ShmNow) { .state = SHM_HOLD_HELD, .shared = true };
        h->token = atom_load_relaxed(&slot->token) + 1;
        return SHM_FAST_YES;
}

/* 0, or -ENOLCK: it was broken. The hold is HELD. */
static inline __attribute__((__always_inline__)) int shm_hold_release(ShmHold *h) {
        _Atomic uint64_t *own = h->journal;
        uint64_t old = h->owned, place = h->place, journal;
        ShmSlot *slot = h->slot;

        if (!h->shared) {
                if (__builtin_expect(!atom_cas(&slot->word, &old, h->idle), 0))
                        return shm_hold_release_slow(h);
                atom_store_release(own, 0);
        } else {
                journal = atom_swap(own, 0);
                if (__builtin_expect(journal != (place | SHM_J(SHM_SH)), 0) ||
                    __builtin_expect((atom_load(&slot->word) & SHM_W_DRAIN) != 0, 0))
                        return shm_hold_release_reader(h, journal);
        }
        h->now = (ShmNow) { .state = SHM_HOLD_IDLE };
        shm_seat_give(h->actor, h->seat);
        return 0;
}
