/* SPDX-License-Identifier: Apache-2.0 */
/* KEY=VALUE lines: what is written is read back, and nothing else passes */

#include <errno.h>

#include "base/kv.h"
#include "base/random.h"
#include "support/kit.h"

KIT_SUITE(kv);

Test(kv, write_and_read) {
        char buf[256], value[32], *copy = NULL;
        KvWriter w = KV_WRITER(buf);
        uint64_t u;
        KvReader r;
        KvPair p;
        int len;

        kv_add(&w, "EVENT", "acquired");
        kv_add_u64(&w, "TOKEN", UINT64_MAX);
        kv_addf(&w, "UNIT", "%s@%d", "a=b", 3);
        kv_add(&w, "EMPTY", "");
        kv_add(&w, "TEXT", "tab\there\x7f");
        len = kit_ok(kv_finish(&w));
        kit_streq(buf, "EVENT=acquired\nTOKEN=18446744073709551615\nUNIT=a=b@3\nEMPTY=\nTEXT=tab?here?\n");
        cr_assert_eq((size_t) len, strlen(buf));

        kv_reader_init(&r, buf, (size_t) len);
        cr_assert_eq(kv_next(&r, &p), 1);
        cr_assert(kv_key_is(&p, "EVENT"));
        cr_assert_not(kv_key_is(&p, "EVENTS"));
        cr_assert_not(kv_key_is(&p, "EVEN"));
        cr_assert(kv_value_is(&p, "acquired"));
        cr_assert_eq(kv_next(&r, &p), 1);
        kit_ok(kv_value_u64(&p, &u));
        cr_assert_eq(u, UINT64_MAX);
        cr_assert_eq(kv_next(&r, &p), 1);
        cr_assert_eq(kv_value_copy(&p, value, sizeof(value)), 5);
        kit_streq(value, "a=b@3");
        kit_fails(kv_value_copy(&p, value, 5), -ENOBUFS);
        kit_fails(kv_value_u64(&p, &u), -EINVAL);
        kit_ok(kv_value_dup(&p, &copy));
        kit_streq(copy, "a=b@3");
        free(copy);
        cr_assert_eq(kv_next(&r, &p), 1);
        cr_assert_eq(p.value_len, 0);
        cr_assert_eq(kv_next(&r, &p), 1);
        cr_assert_eq(kv_next(&r, &p), 0);
        cr_assert_eq(kv_next(&r, &p), 0);

        cr_assert_eq(kv_find(buf, (size_t) len, "UNIT", &p), 1);
        cr_assert(kv_value_is(&p, "a=b@3"));
        cr_assert_eq(kv_find(buf, (size_t) len, "MISSING", &p), 0);
}

Test(kv, the_first_error_sticks) {
        static const char *const bad_keys[] = { "", "lower", "1A", "_A", "A-B", "A B", "A=B", "\xc3\x84" };
        char buf[64];

        for (size_t i = 0; i < ARRAY_SIZE(bad_keys); i++) {
                KvWriter w = KV_WRITER(buf);

                kv_add(&w, bad_keys[i], "x");
                kv_add(&w, "GOOD", "x");
                kit_fails(kv_finish(&w), -EINVAL);
        }

        KvWriter w = KV_WRITER(buf);
        kv_add(&w, "KEY", "two\nlines");
        kit_fails(kv_finish(&w), -EINVAL);
}

/* The buffer is filled to its last byte, which holds the NUL, and not beyond. */
Test(kv, bounds) {
        char buf[8];

        for (size_t size = 0; size <= 6; size++) {
                KvWriter w;

                memset(buf, 'x', sizeof(buf));
                kv_writer_init(&w, buf, size);
                kv_add(&w, "K", "vv");
                if (size < 6) {
                        kit_fails(kv_finish(&w), -ENOBUFS);
                } else {
                        cr_assert_eq(kv_finish(&w), 5);
                        kit_streq(buf, "K=vv\n");
                }
                cr_assert_eq(buf[size], 'x', "size %zu", size);
        }

        KvWriter w = KV_WRITER(buf);
        kv_addf(&w, "K", "%600d", 1);
        kit_fails(kv_finish(&w), -ENOBUFS);
}

Test(kv, reader_refuses_what_is_not_ours) {
        static const char *const bad[] = { "novalue", "=x", "lower=x", "A B=x", " A=x", "A\n", "\xff=x" };
        KvReader r;
        KvPair p;

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                kv_reader_init(&r, bad[i], strlen(bad[i]));
                cr_assert_eq(kv_next(&r, &p), -EBADMSG, "bad %zu", i);
                cr_assert_eq(kv_next(&r, &p), 0, "bad %zu", i);
        }
        kv_reader_init(&r, "A=x\0y", 5);
        kit_fails(kv_next(&r, &p), -EBADMSG);

        kv_reader_init(&r, "\n\nA=1\n\nB=2", 10);
        cr_assert_eq(kv_next(&r, &p), 1);
        cr_assert_eq(kv_next(&r, &p), 1);
        cr_assert(kv_value_is(&p, "2"));
        cr_assert_eq(kv_next(&r, &p), 0);
}

/* Any bytes: the reader ends, and each pair lies within them. */
Test(kv, random_bytes) {
        static const char alphabet[] = "AZ09_=\n\n= \0x";
        char data[64];
        Prng prng;

        prng_init(&prng, kit_seed());
        for (unsigned round = 0; round < 20000; round++) {
                size_t len = prng_below(&prng, sizeof(data) + 1);
                KvReader r;
                KvPair p;

                for (size_t i = 0; i < len; i++)
                        data[i] = alphabet[prng_below(&prng, sizeof(alphabet))];
                kv_reader_init(&r, data, len);
                while (kv_next(&r, &p) > 0) {
                        cr_assert(p.key >= data && p.value + p.value_len <= data + len);
                        cr_assert_eq(p.value, p.key + p.key_len + 1);
                        cr_assert_null(memchr(p.value, '\n', p.value_len));
                }
                cr_assert_eq(r.pos, r.end);
        }
}
