/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Strings: comparison, copies that report failure, strict parsing */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/macro.h"

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* NULL equals NULL only. */
static inline bool streq_ptr(const char *a, const char *b) {
        return a && b ? streq(a, b) : a == b;
}

static inline bool str_is_empty(const char *s) {
        return !s || !*s;
}

/* What follows the prefix, or NULL. */
static inline const char *str_skip_prefix(const char *s, const char *prefix) {
        size_t len = strlen(prefix);

        return strncmp(s, prefix, len) == 0 ? s + len : NULL;
}

bool str_ends_with(const char *s, const char *suffix);

/* Replaces what *p holds; NULL makes it NULL. 0 or -ENOMEM, and then *p is untouched. */
int strdup_to(char **p, const char *s);
int strndup_to(char **p, const char *s, size_t len);

/* Joins its arguments in a new string; NULL without memory. */
char *strjoin_full(const char *first, ...) __attribute__((__sentinel__));
#define strjoin(...) strjoin_full(__VA_ARGS__, NULL)

/* asprintf() that returns the string; NULL without memory. */
char *str_format(const char *fmt, ...) _printf_(1, 2);

/* Into a buffer of `size` bytes: the length, or -ENOBUFS (the buffer then holds ""). */
int str_copy(char *buf, size_t size, const char *s);
int str_print(char *buf, size_t size, const char *fmt, ...) _printf_(3, 4);

bool str_is_utf8(const char *s, size_t len); /* shortest forms, no surrogates, no NUL */
bool str_is_printable_ascii(const char *s, size_t len);

/* Replaces control bytes by '?', for what people and logs read. */
void str_defuse(char *s, size_t len);
/* The same, and bytes that are no UTF-8: what D-Bus must be able to carry. */
void str_repair(char *s, size_t len);

/* The whole string, decimal digits only: 0, -EINVAL or -ERANGE; *ret is set on success only. */
int str_parse_u64(const char *s, uint64_t *ret);
int str_parse_u64n(const char *s, size_t len, uint64_t *ret);
int str_parse_uint(const char *s, unsigned *ret);
int str_parse_bool(const char *s, bool *ret); /* 1 yes y true t on, 0 no n false f off */
