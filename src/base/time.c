/* SPDX-License-Identifier: Apache-2.0 */
/* Time in microseconds */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/macro.h"
#include "base/str.h"
#include "base/time.h"

#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)

typedef struct TimeUnit {
        const char *name;
        uint64_t usec;
} TimeUnit;

/* The first row is the unit of a number alone. */
static const TimeUnit time_units[] = {
        { "", USEC_PER_SEC },
        { "us", 1 },
        { "usec", 1 },
        { "ms", USEC_PER_MSEC },
        { "msec", USEC_PER_MSEC },
        { "s", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "m", USEC_PER_MINUTE },
        { "min", USEC_PER_MINUTE },
        { "h", USEC_PER_HOUR },
        { "d", USEC_PER_DAY },
};

static uint64_t time_read(clockid_t clock) {
        struct timespec ts;

        tooz_assert(clock_gettime(clock, &ts) == 0);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

uint64_t time_now(void) {
        return time_read(CLOCK_BOOTTIME);
}

uint64_t time_now_realtime(void) {
        return time_read(CLOCK_REALTIME);
}

/* "12", "1.5": tenths only below ten. */
static void format_tenths(char *buf, uint64_t usec, uint64_t unit, const char *name) {
        uint64_t whole = usec / unit, tenth = usec % unit * 10 / unit;

        if (whole < 10 && tenth > 0)
                (void) snprintf(buf, TIME_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 "%s", whole, tenth, name);
        else
                (void) snprintf(buf, TIME_TEXT_SIZE, "%" PRIu64 "%s", whole, name);
}

static void format_two(char *buf, uint64_t a, const char *a_name, uint64_t b, const char *b_name) {
        if (b > 0)
                (void) snprintf(buf, TIME_TEXT_SIZE, "%" PRIu64 "%s %" PRIu64 "%s", a, a_name, b, b_name);
        else
                (void) snprintf(buf, TIME_TEXT_SIZE, "%" PRIu64 "%s", a, a_name);
}

const char *time_format_span(char buf[static TIME_TEXT_SIZE], uint64_t usec) {
        if (usec == USEC_INFINITY)
                (void) snprintf(buf, TIME_TEXT_SIZE, "infinity");
        else if (usec == 0)
                (void) snprintf(buf, TIME_TEXT_SIZE, "0");
        else if (usec < USEC_PER_MSEC)
                (void) snprintf(buf, TIME_TEXT_SIZE, "%" PRIu64 "us", usec);
        else if (usec < USEC_PER_SEC)
                format_tenths(buf, usec, USEC_PER_MSEC, "ms");
        else if (usec < USEC_PER_MINUTE)
                format_tenths(buf, usec, USEC_PER_SEC, "s");
        else if (usec < USEC_PER_HOUR)
                format_two(buf, usec / USEC_PER_MINUTE, "min", usec % USEC_PER_MINUTE / USEC_PER_SEC, "s");
        else if (usec < USEC_PER_DAY)
                format_two(buf, usec / USEC_PER_HOUR, "h", usec % USEC_PER_HOUR / USEC_PER_MINUTE, "min");
        else
                format_two(buf, usec / USEC_PER_DAY, "d", usec % USEC_PER_DAY / USEC_PER_HOUR, "h");
        return buf;
}

const char *time_format_realtime(char buf[static TIME_TEXT_SIZE], uint64_t usec) {
        time_t sec = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;

        if (!localtime_r(&sec, &tm) || strftime(buf, TIME_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                (void) snprintf(buf, TIME_TEXT_SIZE, "n/a");
        return buf;
}

static const TimeUnit *unit_find(const char *name, size_t len) {
        for (size_t i = 0; i < ARRAY_SIZE(time_units); i++)
                if (strlen(time_units[i].name) == len && memcmp(time_units[i].name, name, len) == 0)
                        return &time_units[i];
        return NULL;
}

/* Adds digits after the point, of `unit` each time a tenth; what is below a microsecond is dropped. */
static uint64_t parse_fraction(const char *digits, size_t n, uint64_t unit) {
        uint64_t usec = 0, millionth = 0;

        for (size_t i = 0; i < 6; i++)
                millionth = millionth * 10 + (i < n ? (uint64_t) (digits[i] - '0') : 0);
        usec = unit >= USEC_PER_SEC ? unit / USEC_PER_SEC * millionth : unit * millionth / USEC_PER_SEC;
        return usec;
}

/* One number with its unit; advances *s. */
static int parse_term(const char **s, uint64_t *ret_usec) {
        const char *digits = *s, *point, *unit;
        size_t n_whole = strspn(digits, "0123456789"), n_fraction = 0;
        const TimeUnit *found;
        uint64_t value;
        int r;

        r = str_parse_u64n(digits, n_whole, &value);
        if (r < 0)
                return r;

        point = digits + n_whole;
        unit = point;
        if (*point == '.') {
                n_fraction = strspn(point + 1, "0123456789");
                if (n_fraction == 0)
                        return -EINVAL;
                unit = point + 1 + n_fraction;
        }
        unit += strspn(unit, " ");

        *s = unit + strspn(unit, "abcdefghijklmnopqrstuvwxyz");
        found = unit_find(unit, (size_t) (*s - unit));
        if (!found)
                return -EINVAL;

        if (__builtin_mul_overflow(value, found->usec, &value))
                return -ERANGE;
        *ret_usec = usec_add(value, parse_fraction(point + 1, n_fraction, found->usec));
        return 0;
}

int time_parse_span(const char *s, uint64_t *ret_usec) {
        uint64_t sum = 0, term;
        int r;

        if (streq(s, "infinity")) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }

        do {
                s += strspn(s, " ");
                r = parse_term(&s, &term);
                if (r < 0)
                        return r;
                sum = usec_add(sum, term);
                s += strspn(s, " ");
        } while (*s);

        if (sum == USEC_INFINITY)
                return -ERANGE;
        *ret_usec = sum;
        return 0;
}
