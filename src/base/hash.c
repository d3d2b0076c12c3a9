/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-1-3 under a key that the kernel gave this process
 *
 * One compression round and three at the end: enough against a client who sees nothing of the hash but
 * how long an answer takes. The key is AT_RANDOM, so reading it needs no system call and can't fail. */

#include <endian.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/assert.h"
#include "base/hash.h"

static uint64_t hash_key[2];

__attribute__((__constructor__)) static void hash_key_init(void) {
        const void *bytes = (const void *) (uintptr_t) getauxval(AT_RANDOM);

        tooz_assert(bytes);
        memcpy(hash_key, bytes, sizeof(hash_key));
}

static inline uint64_t rotate(uint64_t x, unsigned bits) {
        return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[static 4]) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
}

static inline void sip_word(uint64_t v[static 4], uint64_t word) {
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
}

unsigned hash_bytes(const void *data, size_t len) {
        uint64_t v[4] = {
                hash_key[0] ^ UINT64_C(0x736f6d6570736575),
                hash_key[1] ^ UINT64_C(0x646f72616e646f6d),
                hash_key[0] ^ UINT64_C(0x6c7967656e657261),
                hash_key[1] ^ UINT64_C(0x7465646279746573),
        };
        const uint8_t *p = data;
        uint64_t word;
        size_t n;

        for (n = len; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
                memcpy(&word, p, sizeof(word));
                sip_word(v, le64toh(word));
        }

        word = 0;
        if (n > 0)
                memcpy(&word, p, n);
        sip_word(v, le64toh(word) | (uint64_t) len << 56);

        v[2] ^= 0xff;
        for (unsigned i = 0; i < 3; i++)
                sip_round(v);

        word = v[0] ^ v[1] ^ v[2] ^ v[3];
        return (unsigned) (word ^ word >> 32);
}
