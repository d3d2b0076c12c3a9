/* SPDX-License-Identifier: Apache-2.0 */
/* Strings */

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/str.h"

bool str_ends_with(const char *s, const char *suffix) {
        size_t len = strlen(s), tail = strlen(suffix);

        return tail <= len && memcmp(s + len - tail, suffix, tail) == 0;
}

int strndup_to(char **p, const char *s, size_t len) {
        char *copy = NULL;

        if (s) {
                copy = strndup(s, len);
                if (!copy)
                        return -ENOMEM;
        }

        free(*p);
        *p = copy;
        return 0;
}

int strdup_to(char **p, const char *s) {
        return strndup_to(p, s, s ? strlen(s) : 0);
}

char *strjoin_full(const char *first, ...) {
        size_t len = 0;
        char *joined, *end;
        va_list ap;

        va_start(ap, first);
        for (const char *s = first; s; s = va_arg(ap, const char *))
                len += strlen(s);
        va_end(ap);

        joined = end = malloc(len + 1);
        if (!joined)
                return NULL;
        *end = 0;

        va_start(ap, first);
        for (const char *s = first; s; s = va_arg(ap, const char *))
                end = stpcpy(end, s);
        va_end(ap);
        return joined;
}

char *str_format(const char *fmt, ...) {
        char *s;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&s, fmt, ap);
        va_end(ap);
        return n < 0 ? NULL : s;
}

int str_copy(char *buf, size_t size, const char *s) {
        size_t len = strlen(s);

        if (len >= size || len > INT_MAX) {
                if (size > 0)
                        buf[0] = 0;
                return -ENOBUFS;
        }
        memcpy(buf, s, len + 1);
        return (int) len;
}

int str_print(char *buf, size_t size, const char *fmt, ...) {
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(buf, size, fmt, ap);
        va_end(ap);

        if (n >= 0 && (size_t) n < size)
                return n;
        if (size > 0)
                buf[0] = 0;
        return -ENOBUFS;
}

/* The length of the sequence that starts here, 0 when it is none (Unicode, table 3-7). */
static size_t utf8_sequence(const unsigned char *p, size_t n) {
        unsigned char low = 0x80, high = 0xbf;
        size_t len;

        if (p[0] < 0x80)
                return p[0] != 0;
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return 0;

        len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        if (len > n)
                return 0;

        if (p[0] == 0xe0)
                low = 0xa0; /* longer than needed */
        else if (p[0] == 0xed)
                high = 0x9f; /* surrogates */
        else if (p[0] == 0xf0)
                low = 0x90; /* longer than needed */
        else if (p[0] == 0xf4)
                high = 0x8f; /* beyond U+10FFFF */

        if (p[1] < low || p[1] > high)
                return 0;
        for (size_t i = 2; i < len; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
        return len;
}

bool str_is_utf8(const char *s, size_t len) {
        const unsigned char *p = (const unsigned char *) s;

        while (len > 0) {
                size_t n = utf8_sequence(p, len);

                if (n == 0)
                        return false;
                p += n;
                len -= n;
        }
        return true;
}

bool str_is_printable_ascii(const char *s, size_t len) {
        for (size_t i = 0; i < len; i++)
                if (s[i] < 0x20 || s[i] > 0x7e)
                        return false;
        return true;
}

void str_defuse(char *s, size_t len) {
        for (size_t i = 0; i < len; i++)
                if ((unsigned char) s[i] < 0x20 || s[i] == 0x7f)
                        s[i] = '?';
}

void str_repair(char *s, size_t len) {
        for (size_t i = 0; i < len;) {
                size_t n = utf8_sequence((const unsigned char *) s + i, len - i);

                if (n == 0) {
                        s[i] = '?';
                        n = 1;
                }
                i += n;
        }
        str_defuse(s, len);
}

int str_parse_u64n(const char *s, size_t len, uint64_t *ret) {
        uint64_t value = 0;

        if (len == 0)
                return -EINVAL;

        for (size_t i = 0; i < len; i++) {
                if (s[i] < '0' || s[i] > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, s[i] - '0', &value))
                        return -ERANGE;
        }

        *ret = value;
        return 0;
}

int str_parse_u64(const char *s, uint64_t *ret) {
        return str_parse_u64n(s, strlen(s), ret);
}

int str_parse_uint(const char *s, unsigned *ret) {
        uint64_t value;
        int r;

        r = str_parse_u64(s, &value);
        if (r < 0)
                return r;
        if (value > UINT_MAX)
                return -ERANGE;

        *ret = (unsigned) value;
        return 0;
}

int str_parse_bool(const char *s, bool *ret) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
                if (strcasecmp(s, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                }
        for (size_t i = 0; i < ARRAY_SIZE(no); i++)
                if (strcasecmp(s, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        return -EINVAL;
}
