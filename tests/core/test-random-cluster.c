/* SPDX-License-Identifier: Apache-2.0 */
/* Several hosts over a modelled ZooKeeper, from one seed: the promises hold after every step (tests/sim/world.h)
 *
 * A run that fails prints its seed; TOOZ_SEED=.. runs that one alone. Long runs: make sim SEED=.. STEPS=.. */

#include <stdio.h>

#include "base/str.h"
#include "sim/world.h"
#include "support/kit.h"

#define RUNS 40
#define STEPS 25000

KIT_SUITE(random_cluster);

/* true: this one alone. */
static bool seed_is_given(uint64_t *ret) {
        const char *given = getenv("TOOZ_SEED");

        if (!given)
                return false;
        kit_ok(str_parse_u64(given, ret));
        return true;
}

static void add(WorldStats *sum, const WorldStats *s) {
        sum->n_grants += s->n_grants;
        sum->n_shared += s->n_shared;
        sum->n_upgrades += s->n_upgrades;
        sum->n_suspended += s->n_suspended;
        sum->n_resumed += s->n_resumed;
        sum->n_deadline += s->n_deadline;
        sum->n_broken += s->n_broken;
        sum->n_told_died += s->n_told_died;
        sum->n_kills += s->n_kills;
}

/* Seeds are fixed in the run of every day, so that it says the same of the same code; others are for make sim. */
Test(random_cluster, promises_hold_whatever_fails) {
        WorldStats sum = {}, s;
        uint64_t seed;

        if (seed_is_given(&seed)) {
                world_run(seed, STEPS, true, false, &s);
                return;
        }
        for (seed = 1; seed <= RUNS; seed++) {
                world_run(seed, STEPS, true, false, &s);
                add(&sum, &s);
        }
        cr_assert(sum.n_grants > 1000 && sum.n_shared > 100 && sum.n_upgrades > 10 && sum.n_suspended > 100 &&
                          sum.n_resumed > 10 && sum.n_deadline > 20 && sum.n_broken > 20 && sum.n_told_died > 100 && sum.n_kills > 20,
                  "the events do not cover what they should");
}

Test(random_cluster, new_seeds) {
        WorldStats s;
        uint64_t seed;

        if (seed_is_given(&seed))
                return;
        seed = kit_seed();
        for (unsigned i = 0; i < RUNS; i++)
                world_run(seed + i, STEPS, true, false, &s);
}

/* Then also each death is told to the next holder (promise 4). */
Test(random_cluster, without_faults_deaths_are_told_exactly) {
        WorldStats s;
        uint64_t seed = kit_seed();

        (void) seed_is_given(&seed);
        for (unsigned i = 0; i < 4; i++) {
                world_run(seed + i, STEPS, false, false, &s);
                cr_assert_eq(s.n_suspended, 0);
                cr_assert_gt(s.n_grants, 0);
        }
}

Test(random_cluster, same_seed_same_run) {
        WorldStats a, b, c;
        uint64_t seed = kit_seed();

        (void) seed_is_given(&seed);
        world_run(seed, STEPS, true, false, &a);
        world_run(seed, STEPS, true, false, &b);
        world_run(seed + 1, STEPS, true, false, &c);
        cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0);
        cr_assert_neq(a.digest, c.digest);
}
