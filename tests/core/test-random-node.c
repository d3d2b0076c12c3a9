/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of one host under random events, beside a second implementation that is too simple to be wrong
 *
 * The oracle keeps one array of claims in order of arrival and decides by looking through it. After every step each
 * claim must be what the oracle says, have been told so, and tokens must rise. $KIT_SEED replays a run. */

#include <stdio.h>

#include "base/random.h"
#include "harness.h"

#define N_NAMES 4
#define N_MAX 48 /* claims at a time */
#define STEPS 100000
#define SLICE 4096 /* usec; time passes in multiples of it */

typedef struct Row {
        Claim *claim; /* NULL: free */
        unsigned name;
        LockMode mode;
        ClaimState state;
        ClaimReason reason;
        Previous previous;
        uint64_t arrival;
        uint64_t granted; /* order of grants */
        uint64_t deadline;
        uint64_t token;
        unsigned news;
        bool upgrading;
        bool notify;
} Row;

static Harness *h;
static Prng prng;
static Row rows[N_MAX];
static uint64_t arrivals, grants;
/* Of each name: the highest token, that of an exclusive grant, how the last holder left, and whether one died now. */
static uint64_t token_any[N_NAMES], token_exclusive[N_NAMES];
static Previous previous[N_NAMES];
static bool died[N_NAMES];
static unsigned n_grants, n_died, n_timeouts, n_converted, n_broken;

static const char *const names[N_NAMES] = { "a", "b", "c", "d" };

static void begin(void) {
        kit_setup();
        h = harness_new(DOMAIN_NODE);
}

static void end(void) {
        h = harness_free(h);
        kit_teardown();
}

TestSuite(random_node, .init = begin, .fini = end, .timeout = 120);

/* --- oracle ------------------------------------------------------------------------------------- */

static bool holds(const Row *r) {
        return r->claim && r->state == CLAIM_HELD;
}

static bool row_waits(const Row *r) {
        return r->claim && (r->state == CLAIM_WAITING || (holds(r) && r->upgrading));
}

static unsigned n_holders(unsigned name) {
        unsigned n = 0;

        for (size_t i = 0; i < N_MAX; i++)
                n += holds(&rows[i]) && rows[i].name == name;
        return n;
}

/* The one upgrade of a name, else the first that arrived. */
static Row *first_waiter(unsigned name) {
        Row *first = NULL;

        for (size_t i = 0; i < N_MAX; i++) {
                Row *r = &rows[i];

                if (!row_waits(r) || r->name != name)
                        continue;
                if (r->upgrading)
                        return r;
                if (!first || r->arrival < first->arrival)
                        first = r;
        }
        return first;
}

static bool fits(const Row *r) {
        for (size_t i = 0; i < N_MAX; i++)
                if (&rows[i] != r && holds(&rows[i]) && rows[i].name == r->name &&
                    (r->upgrading || r->mode == LOCK_EXCLUSIVE || rows[i].mode == LOCK_EXCLUSIVE))
                        return false;
        return true;
}

static void tell_contended(unsigned name, const Row *because) {
        for (size_t i = 0; i < N_MAX; i++)
                if (&rows[i] != because && holds(&rows[i]) && rows[i].name == name && rows[i].notify)
                        rows[i].news |= NEWS_CONTENDED;
}

static void oracle_grant(Row *r) {
        r->deadline = USEC_INFINITY;
        if (r->upgrading) {
                r->upgrading = false;
                r->mode = LOCK_EXCLUSIVE;
                r->news |= NEWS_CONVERTED;
                if (died[r->name])
                        r->previous = PREVIOUS_DIED;
                died[r->name] = false;
                n_converted++;
        } else {
                r->state = CLAIM_HELD;
                r->news |= NEWS_ACQUIRED;
                r->previous = previous[r->name];
                r->granted = ++grants;
                n_grants++;
        }
        r->token = 0; /* a new one */
}

static void oracle_settle(unsigned name) {
        uint64_t before = grants;
        Row *r;

        while ((r = first_waiter(name)) && fits(r))
                oracle_grant(r);
        if (!first_waiter(name))
                return;
        for (size_t i = 0; i < N_MAX; i++)
                if (holds(&rows[i]) && rows[i].name == name && rows[i].granted > before && rows[i].notify)
                        rows[i].news |= NEWS_CONTENDED;
}

static void oracle_end(Row *r, ClaimState state, ClaimReason reason, bool dead) {
        bool held = holds(r);

        r->state = state;
        r->reason = reason;
        r->upgrading = false;
        r->news = state == CLAIM_RELEASED ? NEWS_RELEASED : state == CLAIM_LOST ? NEWS_LOST : NEWS_FAILED;
        if (!held)
                return;
        died[r->name] |= dead;
        if (n_holders(r->name) > 0)
                return;
        previous[r->name] = died[r->name] ? PREVIOUS_DIED : PREVIOUS_RELEASED;
        died[r->name] = false;
}

/* --- what is compared --------------------------------------------------------------------------- */

static void check_token(Row *r) {
        if (r->token != 0) {
                cr_assert_eq(r->claim->token, r->token, "its token changed without a grant");
                return;
        }
        r->token = r->claim->token;
        cr_assert_gt(r->token, token_exclusive[r->name]);
        if (r->mode == LOCK_EXCLUSIVE) {
                cr_assert_gt(r->token, token_any[r->name]);
                token_exclusive[r->name] = r->token;
        }
        cr_assert_neq(r->token, token_any[r->name], "not unique");
        token_any[r->name] = MAX(token_any[r->name], r->token);
}

static void check_row(Row *r) {
        Claim *c = r->claim;

        cr_assert_eq(c->state, r->state, "claim %ju is %s, not %s", (uintmax_t) c->id, claim_state_to_string(c->state),
                     claim_state_to_string(r->state));
        cr_assert_eq(c->mode, r->mode);
        cr_assert_eq(c->upgrading, r->upgrading);
        /* What is granted at once was never queued. */
        cr_assert_eq(told(c) & ~(unsigned) NEWS_QUEUED, r->news, "claim %ju", (uintmax_t) c->id);
        r->news = 0;
        if (claim_is_terminal(c)) {
                cr_assert_eq(c->reason, r->reason);
                r->claim = NULL;
                return;
        }
        if (holds(r)) {
                cr_assert_eq(c->previous, r->previous);
                check_token(r);
        }
}

/* In the order of their grants, so that tokens can be compared. */
static void check_all(void) {
        for (uint64_t order = 0; order <= grants;) {
                uint64_t next = UINT64_MAX;

                for (size_t i = 0; i < N_MAX; i++)
                        if (holds(&rows[i]) && rows[i].granted > order)
                                next = MIN(next, rows[i].granted);
                if (next == UINT64_MAX)
                        break;
                for (size_t i = 0; i < N_MAX; i++)
                        if (holds(&rows[i]) && rows[i].granted == next)
                                check_row(&rows[i]);
                order = next;
        }
        for (size_t i = 0; i < N_MAX; i++)
                if (rows[i].claim)
                        check_row(&rows[i]);
        for (unsigned name = 0; name < N_NAMES; name++) {
                Row *r = first_waiter(name);

                cr_assert(!r || !fits(r), "the oracle itself lost a wake-up");
        }
}

/* --- events ------------------------------------------------------------------------------------- */

static Row *any_row(void) {
        return &rows[prng_below(&prng, N_MAX)];
}

/* No two deadlines are equal: which of them comes first is nobody's business. */
static uint64_t any_wait(void) {
        static uint64_t n;

        return prng_chance(&prng, 1, 3) ? USEC_INFINITY : h->now + (1 + prng_below(&prng, 500)) * SLICE + n++ % SLICE;
}

static void step_request(Row *r) {
        bool try = prng_chance(&prng, 1, 8), open;
        int result;

        *r = (Row) {
                .name = (unsigned) prng_below(&prng, N_NAMES),
                .mode = prng_chance(&prng, 1, 2) ? LOCK_SHARED : LOCK_EXCLUSIVE,
                .state = CLAIM_WAITING,
                .arrival = ++arrivals,
                .deadline = any_wait(),
                .notify = prng_chance(&prng, 1, 3),
        };
        open = !first_waiter(r->name) && fits(r);
        r->claim = claim_new(h, r->mode, (try ? CLAIM_NO_QUEUE : 0) | (r->notify ? CLAIM_NOTIFY_CONTENTION : 0));
        result = lock_table_request(&h->domain->locks, r->claim, names[r->name], r->deadline, h->now, &h->fx);
        harness_drain(h);
        if (try && !open) {
                cr_assert_eq(result, LOCK_E_WOULD_BLOCK);
                r->claim = NULL;
                return;
        }
        cr_assert_eq(result, 0);
        if (!open)
                tell_contended(r->name, r);
        oracle_settle(r->name);
}

static void step_release(Row *r, bool dead) {
        if (holds(r)) {
                oracle_end(r, CLAIM_RELEASED, REASON_NONE, dead);
                n_died += dead;
        } else
                oracle_end(r, CLAIM_FAILED, REASON_CANCELED, false);
        lock_table_release(&h->domain->locks, r->claim, dead, h->now, &h->fx);
        harness_drain(h);
        oracle_settle(r->name);
}

static bool name_has_upgrade(unsigned name) {
        Row *first = first_waiter(name);

        return first && first->upgrading;
}

static void step_convert(Row *r) {
        LockMode mode = prng_chance(&prng, 1, 2) ? LOCK_SHARED : LOCK_EXCLUSIVE;
        uint64_t deadline = any_wait();
        bool busy = r->upgrading || (mode == LOCK_EXCLUSIVE && r->mode != mode && name_has_upgrade(r->name));
        int result = lock_table_convert(&h->domain->locks, r->claim, mode, deadline, h->now, &h->fx);

        harness_drain(h);
        if (!holds(r)) {
                cr_assert_eq(result, LOCK_E_NOT_HELD);
                return;
        }
        if (busy) {
                cr_assert_eq(result, LOCK_E_DEADLOCK);
                return;
        }
        cr_assert_eq(result, 0);
        if (mode == LOCK_SHARED || r->mode == mode) {
                r->mode = mode;
                r->news |= NEWS_CONVERTED;
        } else {
                r->upgrading = true;
                r->deadline = deadline;
                if (n_holders(r->name) > 1)
                        tell_contended(r->name, NULL);
        }
        oracle_settle(r->name);
}

static void step_break(Row *r) {
        uint64_t token = prng_chance(&prng, 1, 4) ? r->token + 1000000 : r->token;
        int result = lock_table_break(&h->domain->locks, names[r->name], token, h->now, &h->fx);

        harness_drain(h);
        if (token != r->token) {
                cr_assert_eq(result, LOCK_E_STALE_TOKEN);
                return;
        }
        cr_assert_eq(result, 0);
        oracle_end(r, CLAIM_LOST, REASON_BROKEN, false);
        if (n_holders(r->name) == 0 && previous[r->name] == PREVIOUS_RELEASED)
                previous[r->name] = PREVIOUS_UNKNOWN;
        n_broken++;
        oracle_settle(r->name);
}

/* The earliest deadline first. */
static void step_time(void) {
        uint64_t until = h->now + prng_below(&prng, 200) * SLICE;

        harness_pass(h, until - h->now);
        for (;;) {
                Row *due = NULL;

                for (size_t i = 0; i < N_MAX; i++)
                        if (row_waits(&rows[i]) && rows[i].deadline <= until && (!due || rows[i].deadline < due->deadline))
                                due = &rows[i];
                if (!due)
                        return;
                n_timeouts++;
                due->deadline = USEC_INFINITY;
                if (due->upgrading) {
                        due->upgrading = false;
                        due->news |= NEWS_CONVERT_FAILED;
                } else
                        oracle_end(due, CLAIM_FAILED, REASON_TIMEOUT, false);
                oracle_settle(due->name);
        }
}

static void step(void) {
        Row *r = any_row();

        if (!r->claim)
                step_request(r);
        else if (prng_chance(&prng, 1, 10))
                step_time();
        else if (prng_chance(&prng, 1, 4))
                step_convert(r);
        else if (holds(r) && prng_chance(&prng, 1, 8))
                step_break(r);
        else
                step_release(r, prng_chance(&prng, 1, 4));
        check_all();
}

/* Claims that ended are freed by their owner. */
static void sweep(void) {
        TestClaim *c, *tmp;

        list_foreach_safe(c, tmp, &h->claims, TestClaim, link) {
                if (c->claim.state != CLAIM_NEW && !claim_is_terminal(&c->claim))
                        continue;
                claim_deinit(&c->claim);
                list_unlink(&c->link);
                free(c);
        }
}

Test(random_node, agrees_with_the_oracle) {
        prng_init(&prng, kit_seed());
        for (unsigned name = 0; name < N_NAMES; name++)
                previous[name] = PREVIOUS_RELEASED;
        for (unsigned i = 0; i < STEPS; i++) {
                step();
                if (i % 64 == 0)
                        sweep();
        }
        cr_log_info("%u grants, %u died, %u timed out, %u converted, %u broken", n_grants, n_died, n_timeouts, n_converted,
                    n_broken);
        cr_assert(n_grants > STEPS / 20 && n_died > 100 && n_timeouts > 100 && n_converted > 100 && n_broken > 100,
                  "the events do not cover what they should");
}
