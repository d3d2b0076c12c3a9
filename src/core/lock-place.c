/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions about the places of a lock in an arena, and what the backend reports of them. Part of lock.c: as there,
 * each transition changes facts, and then all that follows from them is done.
 *
 * A local claim is granted when the queue allows it and the place in force serves it (place_serves()), as far as is
 * known of the moment when it asked: others may have come just before it. Each claim that waits has a place that will
 * serve it; what has none gets a new one at the end of the arena's queue, and places that serve nobody are given back. A
 * new place is taken before an old one is given back, so nobody is overtaken. */

#include "base/assert.h"
#include "base/time.h"
#include "core/lock-table.h"
#include "core/lock.h"

static bool place_serves_claim(const Place *place, const Claim *claim) {
        return place_serves(place, claim->mode, claim->requested_usec);
}

static Claim *first_waiter(const Lock *lock) {
        return list_first_entry(&lock->queue.waiters, Claim, link);
}

/* --- granting ----------------------------------------------------------------------------------- */

bool lock_place_may_grant(const Lock *lock) {
        const Place *force = lock->places.force;
        const LockQueue *q = &lock->queue;

        if (!force)
                return false;
        /* It holds already: others wait no longer for it than without. */
        if (q->upgrader)
                return force->mode == LOCK_EXCLUSIVE && force->token_next < force->token_end;
        return first_waiter(lock) && place_serves_claim(force, first_waiter(lock)) &&
               first_waiter(lock)->requested_usec <= force->looked_usec;
}

/* Nothing but a look at who stands behind the place keeps the next one from being granted. */
static bool awaits_look(const Lock *lock) {
        const Place *force = lock->places.force;
        const Claim *next = lock_queue_next(&lock->queue);

        return force && next && next != lock->queue.upgrader && place_serves_claim(force, next) &&
               next->requested_usec > force->looked_usec;
}

/* Under an exclusive place nobody else was told of the death, nor will be. */
uint64_t lock_place_take_token(Lock *lock, Effects *fx) {
        Place *force = lock->places.force;

        if (force->died && force->mode == LOCK_EXCLUSIVE) {
                force->died = false;
                place_want(force, PLACE_WANT_CONSISTENT, fx);
        }
        tooz_assert(force->token_next < force->token_end);
        return force->token_next++;
}

/* --- giving back -------------------------------------------------------------------------------- */

/* The arena remembers how our last holder left. */
static void leave_place(Lock *lock, Place *place, Effects *fx) {
        if (place == lock->places.force && lock->queue.n_holders == 0 && lock->previous == PREVIOUS_DIED) {
                place->record_died = true;
                lock->previous = PREVIOUS_RELEASED;
        }
        place_leave(&lock->places, place, fx);
}

/* --- the mode of the place in force ------------------------------------------------------------- */

static void tend_upgrade(Lock *lock, Place *force, Effects *fx) {
        bool wanted = lock->queue.upgrader && force->mode == LOCK_SHARED;

        if (wanted == force->upgrading)
                return;
        force->upgrading = wanted;
        force->want &= ~(unsigned) (PLACE_WANT_UPGRADE | PLACE_WANT_STAY);
        place_want(force, wanted ? PLACE_WANT_UPGRADE : PLACE_WANT_STAY, fx);
}

/* Readers under an exclusive place let those of others in, unless a writer of ours comes before them. */
static void tend_share(Lock *lock, Place *force, Effects *fx) {
        const Claim *first = first_waiter(lock);

        if (force->mode != LOCK_EXCLUSIVE || force->foreign_usec == USEC_INFINITY || lock->queue.upgrader ||
            lock->queue.n_holders == 0 || lock_queue_mode(&lock->queue) != LOCK_SHARED)
                return;
        if (first && place_serves_claim(force, first))
                return;
        force->mode = LOCK_SHARED;
        place_want(force, PLACE_WANT_SHARE, fx);
}

/* --- who is served by which place --------------------------------------------------------------- */

/* That it waits is told when it is known: most find the lock free. */
static void tell_queued(Claim *claim, Effects *fx) {
        if (claim->news && !effect_is_pending(&claim->effect))
                effects_push(fx, &claim->effect);
}

static Place *next_place(const Lock *lock, const Place *place) {
        ListLink *link = place ? list_next(&lock->places.list, &place->link) : list_first(&lock->places.list);

        return list_entry(link, Place, link);
}

/* One place for all, as mostly: then only those who came last have not been looked at. */
static bool one_place_serves(Lock *lock, Effects *fx) {
        Place *only = next_place(lock, NULL);
        ListLink *link = list_last(&lock->queue.waiters);

        if (!only || next_place(lock, only) || only->mode != LOCK_EXCLUSIVE || !link ||
            !place_serves_claim(only, list_entry(link, Claim, link)))
                return false;
        for (; only->state != PLACE_ASKED && link; link = list_prev(&lock->queue.waiters, link)) {
                Claim *claim = list_entry(link, Claim, link);

                if (!claim->news)
                        break;
                tell_queued(claim, fx);
        }
        return true;
}

/* The places that are needed, with a new one for whom none serves. */
static void assign(Lock *lock, uint64_t now, Effects *fx) {
        Place *place = next_place(lock, NULL);
        Claim *claim, *tmp;

        list_foreach_safe(claim, tmp, &lock->queue.waiters, Claim, link) {
                while (place && !place_serves_claim(place, claim))
                        place = next_place(lock, place);
                if (!place)
                        place = places_add(&lock->places, lock, claim->mode, now, fx);
                if (!place) {
                        lock_end_claim(lock, claim, CLAIM_FAILED, REASON_BACKEND_ERROR, false, fx);
                        continue;
                }
                place->needed = true;
                if (place->state != PLACE_ASKED)
                        tell_queued(claim, fx);
        }
}

static void tend_places(Lock *lock, uint64_t now, Effects *fx) {
        Place *place, *tmp;

        if (one_place_serves(lock, fx))
                return;
        list_foreach(place, &lock->places.list, Place, link)
                place->needed = place == lock->places.force && lock->queue.n_holders > 0;
        assign(lock, now, fx);
        list_foreach_safe(place, tmp, &lock->places.list, Place, link)
                if (!place->needed && place->state != PLACE_LEAVING)
                        leave_place(lock, place, fx);
}

/* A claim that was not to wait, and now would have to. */
static void fail_try(Lock *lock, Effects *fx) {
        Claim *first = first_waiter(lock);
        Place *place = next_place(lock, NULL);

        if (!first || !(first->flags & CLAIM_NO_QUEUE) || awaits_look(lock))
                return;
        while (place && !place_serves_claim(place, first))
                place = next_place(lock, place);
        if (lock->queue.n_holders > 0 || (place && place->state == PLACE_WAITING))
                lock_end_claim(lock, first, CLAIM_FAILED, REASON_WOULD_BLOCK, false, fx);
}

/* By its token others name what they look at, or break. */
static void show_token(Lock *lock, Effects *fx) {
        Place *force = lock->places.force;
        const Claim *c = list_first_entry(&lock->queue.holders, Claim, link);

        if (!force || !c || c->token == force->token)
                return;
        force->token = c->token;
        place_want(force, PLACE_WANT_TOKEN, fx);
}

void lock_settle_places(Lock *lock, uint64_t now, Effects *fx) {
        lock_grant_all(lock, now, fx);
        fail_try(lock, fx);
        /* A failed try may have uncovered a claim that can go on. */
        lock_grant_all(lock, now, fx);
        if (lock->places.force) {
                tend_upgrade(lock, lock->places.force, fx);
                tend_share(lock, lock->places.force, fx);
        }
        tend_places(lock, now, fx);
        show_token(lock, fx);
        if (awaits_look(lock))
                place_want(lock->places.force, PLACE_WANT_LOOK, fx);
}

void lock_check_places(const Lock *lock) {
        places_check(&lock->places);
        tooz_assert(lock->queue.n_holders == 0 || lock->places.force);
        tooz_assert(lock->queue.n_waiters == 0 || !list_is_empty(&lock->places.list));
}

/* --- reports ------------------------------------------------------------------------------------ */

void lock_table_on_place_waiting(LockTable *t, Place *place, uint64_t now, Effects *fx) {
        if (place->state != PLACE_ASKED)
                return;
        place_enter(place, PLACE_WAITING);
        lock_settle(place->lock, now, fx);
}

static void place_learn(Place *place, const PlaceGrant *grant, uint64_t now) {
        place->looked_usec = now;
        place->died = grant->died;
        place->token_next = grant->token_first;
        place->token_end = grant->token_end;
}

/* Beside a shared place another one was granted, which takes over. Beside an exclusive one none can be: that one has
 * been taken from us. */
static void force_replace(Lock *lock, Effects *fx) {
        Place *force = lock->places.force;

        if (force->mode == LOCK_EXCLUSIVE) {
                lock_end_holders(lock, REASON_BROKEN, fx);
                lock->previous = PREVIOUS_UNKNOWN;
        }
        place_leave(&lock->places, force, fx);
}

void lock_table_on_place_held(LockTable *t, Place *place, const PlaceGrant *grant, uint64_t now, Effects *fx) {
        Lock *lock = place->lock;
        bool chained = lock->places.force;

        if (place->state == PLACE_LEAVING)
                return;
        /* Whoever upgrades waits for all readers to leave, this one too. */
        if (chained && lock->queue.upgrader) {
                place_leave(&lock->places, place, fx);
                lock_settle(lock, now, fx);
                return;
        }
        if (chained)
                force_replace(lock, fx);
        place_enter(place, PLACE_HELD);
        place_learn(place, grant, now);
        lock->places.force = place;
        if (grant->died)
                lock->previous = PREVIOUS_DIED;
        else if (!chained && lock->previous == PREVIOUS_DIED)
                lock->previous = PREVIOUS_RELEASED;
        lock_settle(lock, now, fx);
}

void lock_table_on_place_upgraded(LockTable *t, Place *place, const PlaceGrant *grant, uint64_t now, Effects *fx) {
        Lock *lock = place->lock;

        if (!place->upgrading)
                return;
        place->upgrading = false;
        if (grant) {
                place->mode = LOCK_EXCLUSIVE;
                place_learn(place, grant, now);
                if (grant->died)
                        lock->leaving = PREVIOUS_DIED;
        } else
                lock_end_upgrade(lock, REASON_DEADLOCK, fx);
        lock_settle(lock, now, fx);
}

void lock_table_on_place_contended(LockTable *t, Place *place, uint64_t since_usec, uint64_t now, Effects *fx) {
        bool news = place->foreign_usec == USEC_INFINITY && since_usec != USEC_INFINITY;
        Lock *lock = place->lock;

        if (place->state == PLACE_LEAVING)
                return;
        place->looked_usec = now;
        place->foreign_usec = since_usec;
        if (news && place == lock->places.force)
                lock_tell_contended(lock, fx);
        lock_settle(lock, now, fx);
}

void lock_table_on_place_lost(LockTable *t, Place *place, ClaimReason reason, uint64_t now, Effects *fx) {
        Lock *lock = place->lock;
        bool force = place == lock->places.force;

        place_free(&lock->places, place);
        if (force) {
                lock_end_holders(lock, reason, fx);
                lock->previous = PREVIOUS_UNKNOWN;
        }
        lock_settle(lock, now, fx);
}

void lock_table_on_place_refused(LockTable *t, Place *place, ClaimReason reason, uint64_t now, Effects *fx) {
        Lock *lock = place->lock;

        place_free(&lock->places, place);
        lock_end_waiters(lock, reason, fx);
        lock_settle(lock, now, fx);
}

void lock_table_on_place_left(LockTable *t, Place *place, uint64_t now, Effects *fx) {
        Lock *lock = place->lock;

        place_free(&lock->places, place);
        lock_settle(lock, now, fx);
}
