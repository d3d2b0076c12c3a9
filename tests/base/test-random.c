/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness: reproducible from a seed, bounded, without bias that would show */

#include "base/random.h"
#include "support/kit.h"

KIT_SUITE(random);

/* The published sequence of SplitMix64 for this seed. */
Test(random, known_sequence) {
        Prng prng;

        prng_init(&prng, 1234567);
        cr_assert_eq(prng_next(&prng), UINT64_C(6457827717110365317));
        cr_assert_eq(prng_next(&prng), UINT64_C(3203168211198807973));
        cr_assert_eq(prng_next(&prng), UINT64_C(9817491932198370423));
}

Test(random, bounded) {
        unsigned hits[7] = {}, yes = 0;
        Prng prng;

        prng_init(&prng, 1);
        for (unsigned i = 0; i < 70000; i++) {
                uint64_t x = prng_below(&prng, 7);

                cr_assert_lt(x, 7);
                hits[x]++;
                yes += prng_chance(&prng, 1, 10);
        }
        for (unsigned i = 0; i < 7; i++)
                cr_assert(hits[i] > 9500 && hits[i] < 10500, "%u: %u", i, hits[i]);
        cr_assert(yes > 6500 && yes < 7500, "%u", yes);

        cr_assert_eq(prng_below(&prng, 1), 0);
        cr_assert_not(prng_chance(&prng, 0, 1));
        cr_assert(prng_chance(&prng, 1, 1));
}

Test(random, kernel) {
        unsigned char a[4096] = {}, b[4096] = {};
        unsigned zeroes = 0;

        kit_ok(random_bytes(a, sizeof(a)));
        kit_ok(random_bytes(b, sizeof(b)));
        cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
        for (size_t i = 0; i < sizeof(a); i++)
                zeroes += a[i] == 0;
        cr_assert_lt(zeroes, 100, "not filled to the end");
        kit_ok(random_bytes(NULL, 0));
}
