/* SPDX-License-Identifier: Apache-2.0 */
/* Parsers of numbers, spans and UTF-8: what they take has one meaning, what they refuse changes nothing */

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"
#include "fuzz/fuzz.h"

const char *const fuzz_seeds[] = {
        "18446744073709551615", "0", "007", "0xdeadBEEF", "5s", "1h 30min", "0.25ms", "infinity", "1d 5h",
        "yes", "Off", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x92", NULL,
};

static void numbers(const char *text) {
        const char *digits = text + strspn(text, "0");
        uint64_t u = 42;
        unsigned v = 42;
        char again[32];

        if (str_parse_u64(text, &u) == 0) {
                (void) snprintf(again, sizeof(again), "%" PRIu64, u);
                tooz_assert(streq(*digits ? digits : "0", again));
        } else {
                tooz_assert(u == 42);
        }
        tooz_assert(str_parse_uint(text, &v) == 0 ? v == u : v == 42);
}

static void spans(const char *text) {
        char again[TIME_TEXT_SIZE];
        uint64_t usec = 42, parsed;

        if (time_parse_span(text, &usec) < 0) {
                tooz_assert(usec == 42);
                return;
        }

        /* What is shown is rounded down, never up, and by less than a tenth. */
        tooz_assert(time_parse_span(time_format_span(again, usec), &parsed) == 0);
        tooz_assert(parsed <= usec && usec - parsed <= usec / 10);
}

static void utf8(const char *text, size_t len) {
        bool valid = str_is_utf8(text, len);

        if (str_is_printable_ascii(text, len))
                tooz_assert(valid);
        if (valid)
                tooz_assert(strlen(text) == len);

        /* Two halves of valid text, cut between characters, are valid. */
        for (size_t i = 0; valid && i < len; i++)
                if (((unsigned char) text[i] & 0xc0) != 0x80)
                        tooz_assert(str_is_utf8(text, i) && str_is_utf8(text + i, len - i));
}

void fuzz_one(const char *text, size_t len) {
        bool b;

        numbers(text);
        spans(text);
        utf8(text, len);
        (void) str_parse_bool(text, &b);
}
