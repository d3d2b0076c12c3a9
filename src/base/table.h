/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Enum <-> string by one table; tests/core/test-tables makes the round trip of each */

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* In the header. foo_to_string() gives NULL outside the table; foo_from_string() the value or -EINVAL. */
#define DECLARE_STRING_TABLE(name, Type)                 \
        const char *name##_to_string(Type value);        \
        int name##_from_string(const char *s)

/* In the .c file, below `static const char *const foo_table[_FOO_MAX] = { [FOO_A] = "a", .. };` */
#define DEFINE_STRING_TABLE(name, Type, MAX)                                          \
        _Static_assert(sizeof(name##_table) / sizeof(name##_table[0]) == (MAX),       \
                       #name "_table has a row for each value");                      \
        const char *name##_to_string(Type value) {                                    \
                return (size_t) value < (size_t) (MAX) ? name##_table[value] : NULL;  \
        }                                                                             \
        int name##_from_string(const char *s) {                                       \
                for (size_t i = 0; s && i < (size_t) (MAX); i++)                      \
                        if (name##_table[i] && strcmp(name##_table[i], s) == 0)       \
                                return (int) i;                                       \
                return -EINVAL;                                                       \
        }                                                                             \
        struct tooz_useless_struct_to_allow_trailing_semicolon
