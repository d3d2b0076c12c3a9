/* SPDX-License-Identifier: Apache-2.0 */
/* Places under random load, beside others in a model of the arena: exclusion, order of arrival, rising tokens, and
 * nobody who waits for ever. $KIT_SEED replays a run. */

#include "base/random.h"
#include "harness.h"

#define ENTRIES 256
#define CLAIMS 12
#define PROGRAMS 8u
#define RUNS 40u
#define STEPS 5000u

/* Those who hold and wait, as they came. */
typedef struct Entry {
        bool used;
        Place *place; /* NULL: of somebody else */
        LockMode mode;
        uint64_t since;
        bool held;
        bool upgrading;
        bool told_held;
        bool looked;
        uint64_t told_since;
} Entry;

typedef struct Arena {
        Entry entries[ENTRIES];
        size_t n;
        uint64_t token;
        bool died;
} Arena;

static Harness *h;
static Arena arena;
static Claim *claims[CLAIMS];
static bool was_held[CLAIMS];
static Prng prng;
static unsigned n_grants, n_foreign_grants, n_upgrades, n_shares;
static uint64_t last_exclusive;

static unsigned pick(unsigned n) {
        return (unsigned) prng_below(&prng, n);
}

static bool conflict(LockMode a, LockMode b) {
        return a == LOCK_EXCLUSIVE || b == LOCK_EXCLUSIVE;
}

/* --- the arena ---------------------------------------------------------------------------------- */

static Entry *entry_add(Place *place, LockMode mode) {
        Entry *e;

        if (arena.n == ENTRIES) {
                size_t n = 0;

                for (size_t i = 0; i < ENTRIES; i++)
                        if (arena.entries[i].used)
                                arena.entries[n++] = arena.entries[i];
                arena.n = n;
        }
        cr_assert_lt(arena.n, (size_t) ENTRIES);
        e = &arena.entries[arena.n++];
        *e = (Entry) { .used = true, .place = place, .mode = mode, .since = h->now,
                       .told_since = USEC_INFINITY, .looked = true };
        return e;
}

static Entry *entry_of(const Place *place) {
        for (size_t i = 0; i < arena.n; i++)
                if (arena.entries[i].used && arena.entries[i].place == place)
                        return &arena.entries[i];
        cr_assert_fail("a place that is not in the arena");
        return NULL;
}

/* Nobody before it may be in its way, nor may anybody hold who is. */
static bool may_hold(const Entry *e) {
        for (Entry *o = arena.entries; o < arena.entries + arena.n; o++) {
                if (!o->used || o == e || !(o->held || o < e))
                        continue;
                if (conflict(o->mode, e->mode) || (!o->held && o < e) || o->upgrading)
                        return false;
        }
        return true;
}

/* A program is not granted before a client who came first. */
static void check_foreign_grant(const Entry *e) {
        for (size_t i = 0; i < CLAIMS; i++)
                if (claims[i] && claims[i]->state == CLAIM_WAITING && claims[i]->requested_usec < e->since)
                        cr_assert_not(conflict(claims[i]->mode, e->mode), "a program overtook claim %zu", i);
}

static void upgrade_try(Entry *e) {
        for (size_t i = 0; i < arena.n; i++)
                if (arena.entries[i].used && arena.entries[i].held && &arena.entries[i] != e)
                        return;
        e->mode = LOCK_EXCLUSIVE;
        e->upgrading = false;
        e->told_held = false;
        n_upgrades++;
}

static void arena_grant(void) {
        for (Entry *e = arena.entries; e < arena.entries + arena.n; e++) {
                if (!e->used)
                        continue;
                if (e->upgrading)
                        upgrade_try(e);
                if (!e->held && may_hold(e)) {
                        e->held = true;
                        if (!e->place) {
                                check_foreign_grant(e);
                                n_foreign_grants++;
                        }
                        if (e->mode == LOCK_EXCLUSIVE)
                                arena.token += 2;
                }
        }
}

/* --- the backend -------------------------------------------------------------------------------- */

static void carry_out_one(const Request *r) {
        Entry *e = r->want & PLACE_WANT_TAKE ? entry_add(r->place, r->mode) : entry_of(r->place);

        if (r->want & PLACE_WANT_CONSISTENT)
                arena.died = false;
        if (r->want & PLACE_WANT_UPGRADE && e->held && e->mode == LOCK_SHARED)
                e->upgrading = true;
        if (r->want & PLACE_WANT_STAY)
                e->upgrading = false;
        if (r->want & PLACE_WANT_SHARE) {
                e->mode = LOCK_SHARED;
                n_shares++;
        }
        if (r->want & PLACE_WANT_LOOK)
                e->looked = false;
        if (!(r->want & PLACE_WANT_LEAVE))
                return;
        if (e->held && r->record_died)
                arena.died = true;
        e->used = false;
        lock_table_on_place_left(&h->domain->locks, r->place, h->now, &h->fx);
}

static bool carry_out(void) {
        bool any = false;

        while (asked(h, REQUEST_PLACE, "x")) {
                Request r = take(h, REQUEST_PLACE, "x");

                carry_out_one(&r);
                arena_grant();
                any = true;
        }
        return any;
}

static void tell_held(Entry *e) {
        const PlaceGrant grant = { .died = arena.died, .token_first = arena.token + (e->mode == LOCK_SHARED ? 2 : 0),
                                   .token_end = arena.token + 100001 };
        Place *place = e->place;

        e->told_held = true;
        arena.token += 100000;
        if (place->upgrading && e->mode == LOCK_EXCLUSIVE)
                lock_table_on_place_upgraded(&h->domain->locks, place, &grant, h->now, &h->fx);
        else if (place->state != PLACE_HELD)
                lock_table_on_place_held(&h->domain->locks, place, &grant, h->now, &h->fx);
}

static uint64_t foreign_behind(const Entry *e) {
        for (const Entry *o = e->held ? arena.entries : e + 1; o < arena.entries + arena.n; o++)
                if (o->used && !o->place && !o->held)
                        return o->since;
        return USEC_INFINITY;
}

/* One report; then everything is looked at again. */
static bool tell_one(void) {
        for (Entry *e = arena.entries; e < arena.entries + arena.n; e++) {
                uint64_t since;

                if (!e->used || !e->place || e->place->state == PLACE_LEAVING)
                        continue;
                since = foreign_behind(e);
                if (since != e->told_since || !e->looked) {
                        e->told_since = since;
                        e->looked = true;
                        lock_table_on_place_contended(&h->domain->locks, e->place, since, h->now, &h->fx);
                        return true;
                }
                if (e->held && !e->told_held) {
                        tell_held(e);
                        return true;
                }
                if (!e->held && e->place->state == PLACE_ASKED) {
                        lock_table_on_place_waiting(&h->domain->locks, e->place, h->now, &h->fx);
                        return true;
                }
        }
        return false;
}

/* --- what must be true -------------------------------------------------------------------------- */

/* A client is not granted before a program that came first. */
static void check_local_grant(const Claim *c) {
        for (size_t i = 0; i < arena.n; i++) {
                const Entry *e = &arena.entries[i];

                if (e->used && !e->place && !e->held && e->since < c->requested_usec)
                        cr_assert_not(conflict(e->mode, c->mode), "claim %ju overtook a program", (uintmax_t) c->id);
        }
}

static void check_exclusion(void) {
        unsigned n_holders = 0, n_writers = 0, n_foreign = 0, n_foreign_writers = 0;

        for (size_t i = 0; i < CLAIMS; i++)
                if (claims[i] && claim_is_holding(claims[i])) {
                        n_holders++;
                        n_writers += claims[i]->mode == LOCK_EXCLUSIVE;
                }
        for (size_t i = 0; i < arena.n; i++)
                if (arena.entries[i].used && !arena.entries[i].place && arena.entries[i].held) {
                        n_foreign++;
                        n_foreign_writers += arena.entries[i].mode == LOCK_EXCLUSIVE;
                }
        cr_assert(n_writers == 0 || (n_holders == 1 && n_foreign == 0));
        cr_assert(n_foreign_writers == 0 || (n_foreign == 1 && n_holders == 0));
}

static void look_at_claims(void) {
        for (size_t i = 0; i < CLAIMS; i++) {
                Claim *c = claims[i];

                if (!c)
                        continue;
                if (claim_is_holding(c) && !was_held[i]) {
                        check_local_grant(c);
                        cr_assert_gt(c->token, last_exclusive);
                        n_grants++;
                }
                was_held[i] = claim_is_holding(c);
                if (was_held[i] && c->mode == LOCK_EXCLUSIVE)
                        last_exclusive = MAX(last_exclusive, c->token);
                if (claim_is_terminal(c))
                        claims[i] = NULL;
        }
}

static void settle(void) {
        do {
                harness_drain(h);
                look_at_claims();
                check_exclusion();
        } while (carry_out() || tell_one());
        for (Entry *e = arena.entries; e < arena.entries + arena.n; e++)
                cr_assert(!e->used || !e->place || e->place->state != PLACE_ASKED);
}

/* --- what happens ------------------------------------------------------------------------------- */

static void some_claim_asks(void) {
        unsigned i = pick(CLAIMS);
        LockMode mode = pick(2) ? LOCK_SHARED : LOCK_EXCLUSIVE;
        int r;

        if (claims[i])
                return;
        claims[i] = claim_new(h, mode, pick(6) == 0 ? CLAIM_NO_QUEUE : 0);
        was_held[i] = false;
        r = lock_table_request(&h->domain->locks, claims[i], "x", pick(8) ? USEC_INFINITY : h->now + 50, h->now,
                               &h->fx);
        if (r != 0)
                claims[i] = NULL;
}

static void some_claim_ends(void) {
        unsigned i = pick(CLAIMS);

        /* Mostly one that holds: else hardly anything moves. */
        for (unsigned n = 0; n < CLAIMS && pick(4) && !(claims[i] && claim_is_holding(claims[i])); n++)
                i = (i + 1) % CLAIMS;
        if (claims[i] && claims[i]->lock)
                lock_table_release(&h->domain->locks, claims[i], pick(4) == 0, h->now, &h->fx);
}

static void some_claim_converts(void) {
        unsigned i = pick(CLAIMS);

        if (claims[i] && claims[i]->lock)
                (void) lock_table_convert(&h->domain->locks, claims[i], pick(2) ? LOCK_SHARED : LOCK_EXCLUSIVE,
                                          pick(2) ? USEC_INFINITY : h->now + 30, h->now, &h->fx);
}

static void some_program_comes(void) {
        unsigned n = 0;

        for (size_t i = 0; i < arena.n; i++)
                n += arena.entries[i].used && !arena.entries[i].place;
        if (n < PROGRAMS)
                (void) entry_add(NULL, pick(2) ? LOCK_SHARED : LOCK_EXCLUSIVE);
        arena_grant();
}

static void some_program_goes(void) {
        for (Entry *e = arena.entries; e < arena.entries + arena.n; e++)
                if (e->used && !e->place && pick(e->held ? 2 : 20) == 0) {
                        e->used = false;
                        break;
                }
        arena_grant();
}

static void step(unsigned busy) {
        switch (pick(busy ? 12 : 8)) {
        case 0:
        case 8:
        case 9:
                some_claim_asks();
                break;
        case 1:
                some_claim_converts();
                break;
        case 2:
        case 10:
                some_program_comes();
                break;
        case 3:
        case 4:
        case 5:
                some_program_goes();
                break;
        default:
                some_claim_ends();
        }
        settle();
        h->now += 1 + pick(10);
        domain_on_timer(h->domain, h->now, &h->fx);
        settle();
}

/* When all others are gone, each claim gets its turn. */
static void drain(void) {
        for (size_t i = 0; i < arena.n; i++)
                if (!arena.entries[i].place)
                        arena.entries[i].used = false;
        arena_grant();
        settle();
        for (unsigned round = 0; round < CLAIMS; round++)
                for (size_t i = 0; i < CLAIMS; i++)
                        if (claims[i] && claim_is_holding(claims[i])) {
                                lock_table_release(&h->domain->locks, claims[i], false, h->now, &h->fx);
                                settle();
                        }
        for (size_t i = 0; i < CLAIMS; i++)
                cr_assert_null(claims[i], "claim %zu waits for ever", i);
        for (size_t i = 0; i < arena.n; i++)
                cr_assert_not(arena.entries[i].used, "a place is left in the arena");
}

static void run(void) {
        memset(&arena, 0, sizeof(arena));
        memset(claims, 0, sizeof(claims));
        arena.token = 1000;
        last_exclusive = 0;
        h = harness_new(DOMAIN_NODE);
        h->domain->locks.arena = true;
        for (unsigned i = 0; i < STEPS; i++)
                step(i / 200 % 2);
        drain();
        h = harness_free(h);
}

Test(random_place, holds_its_promises, .init = kit_setup, .fini = kit_teardown, .timeout = 600) {
        prng_init(&prng, kit_seed());
        for (unsigned i = 0; i < RUNS; i++)
                run();
        /* All of it has happened. */
        cr_assert(n_grants > 1000 && n_foreign_grants > 1000 && n_upgrades > 10 && n_shares > 10,
                  "%u %u %u %u", n_grants, n_foreign_grants, n_upgrades, n_shares);
}
