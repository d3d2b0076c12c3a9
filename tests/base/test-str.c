/* SPDX-License-Identifier: Apache-2.0 */
/* Strings: strict parsers, exact UTF-8 */

#include <errno.h>
#include <limits.h>

#include "base/str.h"
#include "support/kit.h"

KIT_SUITE(str);

Test(str, compare) {
        cr_assert(streq_ptr(NULL, NULL));
        cr_assert_not(streq_ptr("a", NULL));
        cr_assert(streq_ptr("a", "a"));
        cr_assert(str_is_empty(NULL));
        cr_assert(str_is_empty(""));
        cr_assert_not(str_is_empty("x"));
        kit_streq(str_skip_prefix("zookeeper://a", "zookeeper://"), "a");
        cr_assert_null(str_skip_prefix("zoo", "zookeeper"));
        cr_assert(str_ends_with("a.conf", ".conf"));
        cr_assert_not(str_ends_with("conf", ".conf"));
}

Test(str, copies) {
        char buf[4], *s = NULL;

        kit_ok(strdup_to(&s, "first"));
        kit_ok(strdup_to(&s, s)); /* from itself */
        kit_streq(s, "first");
        kit_ok(strndup_to(&s, "second", 3));
        kit_streq(s, "sec");
        kit_ok(strdup_to(&s, NULL));
        cr_assert_null(s);

        s = strjoin("a", "", "bc");
        kit_streq(s, "abc");
        free(s);
        s = str_format("%d-%s", 7, "x");
        kit_streq(s, "7-x");
        free(s);

        cr_assert_eq(str_copy(buf, sizeof(buf), "abc"), 3);
        kit_streq(buf, "abc");
        kit_fails(str_copy(buf, sizeof(buf), "abcd"), -ENOBUFS);
        kit_streq(buf, "");
        cr_assert_eq(str_print(buf, sizeof(buf), "%d", 123), 3);
        kit_fails(str_print(buf, sizeof(buf), "%d", 1234), -ENOBUFS);
        kit_streq(buf, "");
}

Test(str, utf8) {
        static const char *const good[] = {
                "", "plain", "\x7f", "\u00e9", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
        };
        static const char *const bad[] = {
                "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2x", "\xe0\x9f\xbf", "\xed\xa0\x80",
                "\xed\xbf\xbf", "\xe2\x82", "\xe2\x82x", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                "\xff", "\xfe", "ok\xc3", "\xf0\x90\x80",
        };

        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                cr_assert(str_is_utf8(good[i], strlen(good[i])), "good %zu", i);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                cr_assert_not(str_is_utf8(bad[i], strlen(bad[i])), "bad %zu", i);
        cr_assert_not(str_is_utf8("a\0b", 3));
}

Test(str, printable) {
        char text[] = "a\tb\n\x7f\xc3\xa9";

        cr_assert(str_is_printable_ascii("a ~", 3));
        cr_assert_not(str_is_printable_ascii("a\x7f", 2));
        cr_assert_not(str_is_printable_ascii("\xc3\xa9", 2));
        cr_assert_not(str_is_printable_ascii("\n", 1));
        str_defuse(text, strlen(text));
        kit_streq(text, "a?b??\xc3\xa9");
}

Test(str, numbers) {
        uint64_t u = 5;
        unsigned v = 5;

        kit_ok(str_parse_u64("18446744073709551615", &u));
        cr_assert_eq(u, UINT64_MAX);
        kit_ok(str_parse_u64n("12x", 2, &u));
        cr_assert_eq(u, 12);
        kit_fails(str_parse_u64("18446744073709551616", &u), -ERANGE);
        kit_fails(str_parse_u64("99999999999999999999999", &u), -ERANGE);
        kit_fails(str_parse_u64("", &u), -EINVAL);
        kit_fails(str_parse_u64("-1", &u), -EINVAL);
        kit_fails(str_parse_u64("+1", &u), -EINVAL);
        kit_fails(str_parse_u64(" 1", &u), -EINVAL);
        kit_fails(str_parse_u64("1 ", &u), -EINVAL);
        kit_fails(str_parse_u64("a", &u), -EINVAL);
        cr_assert_eq(u, 12);

        kit_ok(str_parse_uint("4294967295", &v));
        cr_assert_eq(v, UINT_MAX);
        kit_fails(str_parse_uint("4294967296", &v), -ERANGE);
}

Test(str, booleans) {
        bool b = false;

        kit_ok(str_parse_bool("Yes", &b));
        cr_assert(b);
        kit_ok(str_parse_bool("off", &b));
        cr_assert_not(b);
        kit_fails(str_parse_bool("maybe", &b), -EINVAL);
        kit_fails(str_parse_bool("", &b), -EINVAL);
}

Test(str, repair) {
        char text[] = "a\nb\xff\xc3-\xc3\xa9\xe2\x82";

        str_repair(text, strlen(text));
        kit_streq(text, "a?b?" "?-\xc3\xa9?" "?");
}
