/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness */

#include <errno.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/random.h"

int random_bytes(void *buf, size_t len) {
        char *p = buf;

        while (len > 0) {
                ssize_t n = getrandom(p, len, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t) n;
        }
        return 0;
}

uint64_t prng_next(Prng *prng) {
        uint64_t x = prng->state += UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

uint64_t prng_below(Prng *prng, uint64_t bound) {
        uint64_t x, reject;

        tooz_assert(bound > 0);

        /* 2^64 mod bound values at the low end would make some results likelier. */
        reject = -bound % bound;
        do
                x = prng_next(prng);
        while (x < reject);
        return x % bound;
}

bool prng_chance(Prng *prng, uint64_t hits, uint64_t of) {
        return prng_below(prng, of) < hits;
}
