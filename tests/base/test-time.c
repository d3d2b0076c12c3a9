/* SPDX-License-Identifier: Apache-2.0 */
/* Time: saturation, and text both ways */

#include <errno.h>

#include "base/time.h"
#include "support/kit.h"

KIT_SUITE(time);

Test(time, saturates) {
        cr_assert_eq(usec_add(1, 2), 3);
        cr_assert_eq(usec_add(USEC_INFINITY, 1), USEC_INFINITY);
        cr_assert_eq(usec_add(USEC_INFINITY - 1, 5), USEC_INFINITY);
        cr_assert_eq(usec_sub(5, 2), 3);
        cr_assert_eq(usec_sub(2, 5), 0);
        cr_assert_eq(usec_sub(USEC_INFINITY, 5), USEC_INFINITY);
}

Test(time, goes_on) {
        uint64_t a = time_now(), b = time_now();

        cr_assert_leq(a, b);
        cr_assert_gt(a, 0);
        cr_assert_gt(time_now_realtime(), UINT64_C(1700000000) * USEC_PER_SEC);
}

Test(time, parse) {
        static const struct {
                const char *text;
                uint64_t usec;
        } good[] = {
                { "5", 5000000 }, { "0", 0 }, { "5s", 5000000 }, { "100ms", 100000 }, { "7us", 7 }, { "7usec", 7 },
                { "2min", 120000000 }, { "2m", 120000000 }, { "1h", UINT64_C(3600000000) },
                { "1d", UINT64_C(86400000000) }, { "0.5", 500000 }, { "1.25s", 1250000 }, { "1.5ms", 1500 },
                { "0.5us", 0 }, { "0.25h", UINT64_C(900000000) }, { "1h 30min", UINT64_C(5400000000) },
                { "1min5s", 65000000 }, { "  3 sec  ", 3000000 }, { "1.0000009", 1000000 },
                { "infinity", USEC_INFINITY }, { "18446744073709s", UINT64_C(18446744073709000000) },
        };
        static const char *const bad[] = {
                "", " ", "s", "-1", "1x", "1.", ".5", "1..2", "5 parsecs", "infinite", "1s,2s", "0x10", "1S", "nan",
        };
        uint64_t usec = 42;

        for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
                kit_ok(time_parse_span(good[i].text, &usec));
                cr_assert_eq(usec, good[i].usec, "%s: %ju", good[i].text, (uintmax_t) usec);
        }
        usec = 42;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                cr_assert_eq(time_parse_span(bad[i], &usec), -EINVAL, "%s", bad[i]);
        kit_fails(time_parse_span("18446744073710s", &usec), -ERANGE);
        kit_fails(time_parse_span("18446744073709s 551615us", &usec), -ERANGE);
        kit_fails(time_parse_span("99999999999999999999", &usec), -ERANGE);
        cr_assert_eq(usec, 42);
}

Test(time, format_span) {
        static const struct {
                uint64_t usec;
                const char *text;
        } rows[] = {
                { 0, "0" }, { 1, "1us" }, { 999, "999us" }, { 1000, "1ms" }, { 1500, "1.5ms" }, { 15600, "15ms" },
                { 999999, "999ms" }, { 1000000, "1s" }, { 1250000, "1.2s" }, { 9990000, "9.9s" }, { 59900000, "59s" },
                { 60000000, "1min" }, { 65000000, "1min 5s" }, { UINT64_C(3600000000), "1h" },
                { UINT64_C(5460000000), "1h 31min" }, { UINT64_C(90000000000), "1d 1h" }, { USEC_INFINITY, "infinity" },
        };
        char buf[TIME_TEXT_SIZE];

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                kit_streq(time_format_span(buf, rows[i].usec), rows[i].text);
}

Test(time, format_realtime) {
        char buf[TIME_TEXT_SIZE];

        setenv("TZ", "UTC0", true);
        kit_streq(time_format_realtime(buf, UINT64_C(1700000000) * USEC_PER_SEC + 5), "2023-11-14 22:13:20");
}
