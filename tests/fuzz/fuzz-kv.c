/* SPDX-License-Identifier: Apache-2.0 */
/* KEY=VALUE lines: what is read lies within the input, and is the same when written and read again */

#include "base/assert.h"
#include "base/kv.h"
#include "base/str.h"
#include "fuzz/fuzz.h"

const char *const fuzz_seeds[] = {
        "EVENT=acquired\nTOKEN=18446744073709551615\nPREVIOUS=died\n",
        "EVENT=queued\nPOSITION=3\n",
        "EVENT=suspended\nDEADLINE_BOOTTIME_USEC=123456789\n",
        "A=\nB==\n\nC=x",
        "",
        NULL,
};

static void write_again(const KvPair *pair) {
        char key[1024], value[1024], buf[2048];
        KvWriter w = KV_WRITER(buf);
        KvPair found;
        int len;

        memcpy(key, pair->key, pair->key_len);
        key[pair->key_len] = 0;
        memcpy(value, pair->value, pair->value_len);
        str_defuse(value, pair->value_len);

        kv_add_len(&w, key, pair->value, pair->value_len);
        len = kv_finish(&w);
        tooz_assert(len > 0);
        tooz_assert(kv_find(buf, (size_t) len, key, &found) == 1);
        tooz_assert(found.value_len == pair->value_len);
        tooz_assert(memcmp(found.value, value, pair->value_len) == 0);
}

void fuzz_one(const char *text, size_t len) {
        KvReader reader;
        KvPair pair;
        uint64_t number;
        int r;

        kv_reader_init(&reader, text, len);
        while ((r = kv_next(&reader, &pair)) > 0) {
                tooz_assert(pair.key >= text && pair.value + pair.value_len <= text + len);
                (void) kv_value_u64(&pair, &number);
                write_again(&pair);
        }
        tooz_assert(reader.pos == reader.end);
        (void) kv_find(text, len, "EVENT", &pair);
}
