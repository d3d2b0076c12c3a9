/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#ifndef TOOZ_COMMON_H
#define TOOZ_COMMON_H

/* What all public headers of tooz share: C99 and later, C++11 and later. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
#define TOOZ_BEGIN_DECLS extern "C" {
#define TOOZ_END_DECLS }
#else
#define TOOZ_BEGIN_DECLS
#define TOOZ_END_DECLS
#endif

#if defined(__GNUC__)
#define TOOZ_WUR __attribute__((__warn_unused_result__))
#else
#define TOOZ_WUR
#endif

/* As a time-out: wait for ever. As a moment: never. */
#define TOOZ_USEC_INFINITY UINT64_MAX

/* Defines func##p() for use with __attribute__((__cleanup__(func##p))). */
#define TOOZ_DEFINE_CLEANUP(type, func)                \
        static __inline__ void func##p(type **p) {     \
                if (*p)                                \
                        (void) func(*p);               \
        }                                              \
        struct tooz_useless_struct_to_allow_trailing_semicolon

typedef enum tooz_lock_mode {
        TOOZ_LOCK_EXCLUSIVE = 0, /* nobody beside */
        TOOZ_LOCK_SHARED = 1,    /* others that are shared too */
        _TOOZ_LOCK_MODE_MAX,
        _TOOZ_LOCK_MODE_FORCE_INT = 0x7fffffff
} tooz_lock_mode;

#endif
