/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Assertions that are never compiled out */

#include "base/macro.h"

_noreturn_ void assert_failed(const char *expr, const char *file, int line, const char *func);

/* A broken invariant in a lock manager must stop it: what it says afterwards can't be trusted. */
#define tooz_assert(expr)                                                           \
        do {                                                                        \
                if (__builtin_expect(!(expr), 0))                                   \
                        assert_failed(#expr, __FILE__, __LINE__, __func__);         \
        } while (0)

#define assert_not_reached() assert_failed("not reached", __FILE__, __LINE__, __func__)
