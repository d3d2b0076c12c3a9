/* SPDX-License-Identifier: Apache-2.0 */
/* Places in the arena: what the core wants of them, and what becomes of them
 *
 * One ArenaPlace is one entry of our blocks. Nothing here sleeps: what can't be had at once is on `waiting`, with the
 * words that say when to look again. What there is to report is noted, and told to the core between two sweeps. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/arena-backend.h"
#include "base/log.h"
#include "base/time.h"
#include "core/name.h"
#include "shm/directory.h"
#include "shm/queue.h"
#include "shm/recover.h"

/* Tokens of one place: 2,048 grants, then another place is taken. */
#define RESERVE 1024u
#define SLOTS_MAX 65536u
/* So far the queue is looked through for somebody who is not us. */
#define QUEUE_LOOK_MAX 4096u
#define STALE_TRIES 4

/* --- slots ---------------------------------------------------------------------------------------- */

void arena_forget_slots(ArenaBackend *a) {
        ArenaSlot *slot, *tmp;

        hash_foreach_safe(hh, a->slots, slot, tmp) {
                hash_remove(hh, a->slots, slot);
                free(slot);
        }
}

static void slot_keep(ArenaBackend *a, const char *name, uint32_t index, uint32_t generation) {
        size_t len = strlen(name);
        ArenaSlot *slot;

        if (hash_count(hh, a->slots) >= SLOTS_MAX)
                arena_forget_slots(a);
        hash_find(hh, a->slots, name, len, slot);
        if (!slot) {
                slot = calloc(1, sizeof(*slot) + len + 1);
                if (!slot)
                        return;
                memcpy(slot->name, name, len);
                if (hash_add(hh, a->slots, slot->name, len, slot) < 0) {
                        free(slot);
                        return;
                }
        }
        slot->index = index;
        slot->generation = generation;
}

int arena_find_slot(ArenaBackend *a, const char *name, bool make, ShmHold *ret) {
        uint32_t index, generation;
        int r;

        r = shm_directory_find(a->arena, name, make, &index, &generation);
        if (r < 0)
                return r;
        if (!shm_slot(a->arena, index))
                return -EBADMSG;
        slot_keep(a, name, index, generation);
        shm_hold_init(ret, a->arena, index, generation);
        return 0;
}

static int slot_get(ArenaBackend *a, const char *name, bool anew, ShmHold *ret) {
        ArenaSlot *slot;

        hash_find(hh, a->slots, name, strlen(name), slot);
        if (!slot || anew)
                return arena_find_slot(a, name, true, ret);
        shm_hold_init(ret, a->arena, slot->index, slot->generation);
        return 0;
}

/* --- reports -------------------------------------------------------------------------------------- */

static void report(ArenaBackend *a, ArenaPlace *p, ArenaReport what) {
        p->report |= what;
        if (!list_is_linked(&p->due))
                list_append(&a->due, &p->due);
}

static void place_drop(ArenaPlace *p) {
        if (p->place)
                p->place->handle = NULL;
        list_unlink(&p->link);
        list_unlink(&p->due);
        free(p->hold);
        free(p);
}

/* Ours: an entry of a block that lives with us. */
static bool is_ours(const ArenaBackend *a, uint32_t ref) {
        const ShmBlock *b = shm_ref_block(a->arena, ref);

        return b && atom_load(&b->state) == SHM_BLOCK_DELEGATED &&
               shm_block(a->arena, atom_load(&b->master)) == a->actor->first;
}

/* Since when the first of others stands behind it. Without the guard: what it misses is told by the bell. */
static uint64_t foreign_since(const ArenaBackend *a, const ArenaPlace *p, uint64_t offset) {
        const ShmHold *h = p->hold;
        uint32_t ref;

        ref = h->state == SHM_HOLD_WAITING ? atom_load(&h->seat->entry->next) : atom_load(&h->slot->head);
        for (unsigned n = 0; n < QUEUE_LOOK_MAX && shm_ref_block(a->arena, ref); n++) {
                if (!is_ours(a, ref))
                        return usec_add(atom_load(&shm_ref_entry(a->arena, ref)->since_usec), offset);
                ref = atom_load(&shm_ref_entry(a->arena, ref)->next);
        }
        return USEC_INFINITY;
}

static void look_behind(ArenaBackend *a, ArenaPlace *p, uint64_t offset) {
        uint64_t since = foreign_since(a, p, offset);

        if (since == p->foreign_usec)
                return;
        p->foreign_usec = since;
        report(a, p, REPORT_CONTENDED);
}

/* From CLOCK_MONOTONIC, in which the arena counts, to BOOTTIME, which is never behind it: the time that the host was
 * suspended. What is less than a millisecond lies between the two looks, and would only make news of nothing. */
static uint64_t clock_offset(ArenaBackend *a) {
        uint64_t monotonic = shm_now(), offset = usec_sub(time_now(), monotonic);

        if (offset < a->clock_offset || offset > a->clock_offset + USEC_PER_MSEC)
                a->clock_offset = offset;
        return a->clock_offset;
}

/* Of a hold that does not wait nobody needs the words to sleep on, which are most of it. */
#define HELD_SIZE offsetof(ShmHold, n_words)

static void hold_shrink(ArenaPlace *p) {
        void *smaller = realloc(p->hold, HELD_SIZE);

        if (smaller)
                p->hold = smaller;
}

static int hold_grow(ArenaPlace *p) {
        void *larger = realloc(p->hold, sizeof(*p->hold));

        if (!larger)
                return -ENOMEM;
        p->hold = larger;
        return 0;
}

static void granted(ArenaBackend *a, ArenaPlace *p) {
        ShmHold *h = p->hold;
        uint64_t base = shm_hold_reserve(h, RESERVE);

        /* A reader of others has the number behind that of the last writer. */
        p->grant = (PlaceGrant) { .died = h->died, .token_first = h->shared ? base + 2 : base,
                                  .token_end = base + 2 * RESERVE + 1 };
        atom_store(&h->seat->entry->token, p->grant.token_first);
        /* Since when goes with the token, of which there are more now. */
        if (!h->shared)
                atom_store(&h->slot->since_token, base + 2 * RESERVE);
        list_unlink(&p->link);
        list_append(&a->held, &p->link);
        look_behind(a, p, clock_offset(a));
        hold_shrink(p);
}

static void waits(ArenaBackend *a, ArenaPlace *p) {
        list_unlink(&p->link);
        list_append(&a->waiting, &p->link);
        a->words_changed = true;
}

/* --- wishes --------------------------------------------------------------------------------------- */

static int hold_start(ArenaBackend *a, ArenaPlace *p) {
        const Place *place = p->place;
        int r = arena_open(a);

        for (unsigned n = 0; r >= 0 && n < STALE_TRIES; n++) {
                r = slot_get(a, place->lock->name, n > 0, p->hold);
                if (r < 0)
                        return r;
                p->hold->fast = NULL; /* since when is noted each time */
                r = shm_hold_start(p->hold, a->actor, place->mode == LOCK_SHARED, true);
                if (r != -ESTALE)
                        return r;
                r = 0;
        }
        return r < 0 ? r : -EBUSY;
}

static void place_complain(const ArenaPlace *p, int error) {
        char name[NAME_FORM_SIZE] = "";

        (void) name_encode(NAME_FORM_LOG, p->place->lock->name, name, sizeof(name));
        log_warning_errno(error, "Domain node: can't take lock %s", name);
}

static void place_take(ArenaBackend *a, Place *place) {
        ArenaPlace *p = calloc(1, sizeof(*p));
        int r;

        if (p)
                p->hold = calloc(1, sizeof(*p->hold));
        if (!p || !p->hold) {
                log_error("Domain node: out of memory");
                free(p);
                return;
        }
        list_link_init(&p->link);
        list_link_init(&p->due);
        p->place = place;
        p->foreign_usec = USEC_INFINITY;
        place->handle = p;
        r = hold_start(a, p);
        if (r == 0) {
                granted(a, p);
                report(a, p, REPORT_HELD);
        } else if (r == -EINPROGRESS) {
                waits(a, p);
                report(a, p, REPORT_WAITING);
        } else {
                place_complain(p, r);
                report(a, p, REPORT_REFUSED);
        }
}

static void upgraded(ArenaBackend *a, ArenaPlace *p, int r) {
        a->words_changed = true;
        p->upgraded = r == 0;
        if (r == 0)
                granted(a, p);
        else {
                list_unlink(&p->link);
                list_append(&a->held, &p->link);
                hold_shrink(p);
        }
        report(a, p, REPORT_UPGRADED);
}

static void place_upgrade(ArenaBackend *a, ArenaPlace *p) {
        int r;

        if (p->hold->state != SHM_HOLD_HELD || !p->hold->shared)
                return;
        r = hold_grow(p);
        if (r >= 0)
                r = shm_hold_convert(p->hold, false, true);
        if (r == -EINPROGRESS)
                waits(a, p);
        else
                upgraded(a, p, r);
}

static void place_stay(ArenaBackend *a, ArenaPlace *p) {
        if (p->hold->state != SHM_HOLD_UPGRADING)
                return;
        shm_hold_cancel(p->hold);
        list_unlink(&p->link);
        list_append(&a->held, &p->link);
        a->words_changed = true;
        hold_shrink(p);
}

static void place_share(ArenaBackend *a, ArenaPlace *p) {
        if (p->hold->state != SHM_HOLD_HELD || p->hold->shared)
                return;
        if (shm_hold_convert(p->hold, true, false) < 0)
                report(a, p, REPORT_LOST);
        look_behind(a, p, clock_offset(a));
}

/* Those of ours that stand behind it need no bell to look. */
static void look_soon(ArenaBackend *a, const Lock *lock) {
        Place *other;

        list_foreach(other, &lock->places.list, Place, link) {
                ArenaPlace *p = other->handle;

                if (p && p->hold->state == SHM_HOLD_WAITING)
                        report(a, p, REPORT_LOOK);
        }
}

static void hold_end(ShmHold *h, bool died) {
        if (h->state == SHM_HOLD_WAITING) {
                shm_hold_cancel(h);
                return;
        }
        if (h->state == SHM_HOLD_UPGRADING)
                shm_hold_cancel(h);
        if (h->state == SHM_HOLD_HELD)
                (void) (died ? shm_hold_release_died(h) : shm_hold_release(h));
}

static void place_give_back(ArenaBackend *a, ArenaPlace *p) {
        if (p->hold->state == SHM_HOLD_WAITING || p->hold->state == SHM_HOLD_UPGRADING)
                a->words_changed = true;
        if (p->hold->slot)
                hold_end(p->hold, p->place->record_died);
        list_unlink(&p->link);
        p->report = 0;
        report(a, p, REPORT_LEFT);
        look_soon(a, p->place->lock);
}

void arena_place(Backend *b, Place *place) {
        unsigned want = TAKE(place->want, 0);
        ArenaBackend *a = arena_of(b);
        ArenaPlace *p;

        a->check_due |= want & PLACE_WANT_TAKE && loop_now(b->loop) >= usec_add(a->checked_usec, ARENA_CHECK_USEC);
        if (want & PLACE_WANT_TAKE)
                place_take(a, place);
        p = place->handle;
        if (!p)
                return;
        if (want & PLACE_WANT_CONSISTENT && p->hold->state == SHM_HOLD_HELD)
                shm_hold_mark_consistent(p->hold);
        if (want & PLACE_WANT_UPGRADE)
                place_upgrade(a, p);
        if (want & PLACE_WANT_STAY)
                place_stay(a, p);
        if (want & PLACE_WANT_SHARE)
                place_share(a, p);
        if (want & PLACE_WANT_TOKEN && p->hold->seat)
                atom_store(&p->hold->seat->entry->token, place->token);
        if (want & PLACE_WANT_LOOK) {
                look_behind(a, p, clock_offset(a));
                report(a, p, REPORT_CONTENDED);
        }
        if (want & PLACE_WANT_LEAVE)
                place_give_back(a, p);
}

/* --- looking -------------------------------------------------------------------------------------- */

static void resume(ArenaBackend *a, ArenaPlace *p) {
        bool upgrade = p->hold->state == SHM_HOLD_UPGRADING;
        int r = shm_hold_resume(p->hold);

        a->words_changed = true;
        if (upgrade && r != -EINPROGRESS)
                upgraded(a, p, r);
        else if (r == 0) {
                granted(a, p);
                report(a, p, REPORT_HELD);
        } else if (r != -EINPROGRESS) {
                place_complain(p, r);
                list_unlink(&p->link);
                report(a, p, REPORT_REFUSED);
        }
}

static void look_at_held(ArenaBackend *a, uint64_t offset) {
        uint32_t n_broken = atom_load(&a->actor->first->n_broken);
        bool broken = n_broken != a->n_broken;
        ArenaPlace *p;

        a->n_broken = n_broken;
        list_foreach(p, &a->held, ArenaPlace, link) {
                if (broken && !shm_hold_is_held(p->hold))
                        report(a, p, REPORT_LOST);
                else
                        look_behind(a, p, offset);
        }
}

void arena_look_due(ArenaBackend *a) {
        uint64_t now = shm_now();
        ArenaPlace *p, *tmp;

        list_foreach_safe(p, tmp, &a->waiting, ArenaPlace, link)
                if (p->hold->until_usec <= now)
                        resume(a, p);
        a->words_changed = true;
}

void arena_look(ArenaBackend *a) {
        uint64_t offset = clock_offset(a);
        ArenaPlace *p, *tmp;

        if (!a->actor)
                return;
        /* Read before anything is looked at: what happens later rings again. */
        a->bell = atom_load(&a->actor->first->bell);
        a->words_changed = true;
        look_at_held(a, offset);
        list_foreach_safe(p, tmp, &a->waiting, ArenaPlace, link) {
                resume(a, p);
                if (p->hold->state == SHM_HOLD_WAITING)
                        look_behind(a, p, offset);
        }
}

/* --- telling -------------------------------------------------------------------------------------- */

static void lost(ArenaBackend *a, ArenaPlace *p, ClaimReason reason, uint64_t now, Effects *fx) {
        Place *place = p->place;

        if (p->hold->slot)
                hold_end(p->hold, false);
        place_drop(p);
        lock_table_on_place_lost(arena_locks(a), place, reason, now, fx);
}

/* True: the place is no more. */
static bool tell_end(ArenaBackend *a, ArenaPlace *p, unsigned what, uint64_t now, Effects *fx) {
        Place *place = p->place;

        if (what & REPORT_LOST) {
                lost(a, p, REASON_BROKEN, now, fx);
                return true;
        }
        if (!(what & (REPORT_REFUSED | REPORT_LEFT)))
                return false;
        place_drop(p);
        if (what & REPORT_REFUSED)
                lock_table_on_place_refused(arena_locks(a), place, REASON_BACKEND_ERROR, now, fx);
        else
                lock_table_on_place_left(arena_locks(a), place, now, fx);
        return true;
}

/* A transition may make the core give the place up, but not without asking us: so it stays until the end. */
static void tell(ArenaBackend *a, ArenaPlace *p, uint64_t now, Effects *fx) {
        unsigned what;

        if (p->report & REPORT_LOOK && p->hold->state == SHM_HOLD_WAITING)
                resume(a, p);
        what = TAKE(p->report, 0);
        list_unlink(&p->due);
        if (tell_end(a, p, what, now, fx))
                return;
        if (what & REPORT_CONTENDED)
                lock_table_on_place_contended(arena_locks(a), p->place, p->foreign_usec, now, fx);
        if (what & REPORT_WAITING && !(what & REPORT_HELD))
                lock_table_on_place_waiting(arena_locks(a), p->place, now, fx);
        if (what & REPORT_HELD)
                lock_table_on_place_held(arena_locks(a), p->place, &p->grant, now, fx);
        if (what & REPORT_UPGRADED)
                lock_table_on_place_upgraded(arena_locks(a), p->place, p->upgraded ? &p->grant : NULL, now, fx);
}

static void set_words(ArenaBackend *a) {
        uint64_t until = UINT64_MAX, now = shm_now();
        ArenaPlace *p;

        a->words_changed = false;
        if (!a->actor)
                return;
        arena_wait_begin(&a->wait);
        arena_wait_add(&a->wait, (ShmWord) { .address = &a->actor->first->bell, .value = a->bell });
        list_foreach(p, &a->waiting, ArenaPlace, link) {
                for (uint32_t i = 1; i < p->hold->n_words; i++)
                        arena_wait_add(&a->wait, p->hold->words[i]);
                until = MIN(until, p->hold->until_usec);
        }
        arena_wait_commit(&a->wait);
        if (until == UINT64_MAX)
                loop_timer_unset(&a->look_timer);
        else
                loop_timer_set(&a->look_timer, usec_add(time_now(), usec_sub(until, now)));
}

/* Claims that come in this turn are to find what has happened before. */
bool arena_tell(ArenaBackend *a) {
        uint64_t now = time_now();
        bool any = false;
        ListLink *link;

        if (a->check_due || (a->arena && atomic_load(&a->arena->broken)))
                arena_check(a);
        while ((link = list_first(&a->due))) {
                tell(a, list_entry(link, ArenaPlace, due), now, &a->backend.realm->effects);
                any = true;
        }
        return any;
}

bool arena_report(Backend *b) {
        ArenaBackend *a = arena_of(b);
        bool any = arena_tell(a);

        if (!any && a->words_changed)
                set_words(a);
        return any;
}

/* --- the end -------------------------------------------------------------------------------------- */

static ArenaPlace *any_place(const ArenaBackend *a) {
        return list_first_entry(&a->held, ArenaPlace, link) ?: list_first_entry(&a->waiting, ArenaPlace, link);
}

/* The arena is no more, so there is nothing to give back in it: others can't see what we do there. */
void arena_lose_all(ArenaBackend *a) {
        uint64_t now = time_now();
        ArenaPlace *p;

        while ((p = any_place(a))) {
                p->hold->slot = NULL;
                lost(a, p, REASON_BACKEND_ERROR, now, &a->backend.realm->effects);
        }
}

void arena_drop_all(ArenaBackend *a) {
        ArenaPlace *p;

        while ((p = any_place(a))) {
                hold_end(p->hold, true);
                place_drop(p);
        }
        while ((p = list_first_entry(&a->due, ArenaPlace, due)))
                place_drop(p);
}
