/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Macros of the compiler and of ownership */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((__cleanup__(f)))
#define _printf_(a, b) __attribute__((__format__(__printf__, a, b)))
#define _pure_ __attribute__((__pure__))
#define _unused_ __attribute__((__unused__))
#define _warn_unused_ __attribute__((__warn_unused_result__))
#define _noreturn_ __attribute__((__noreturn__))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define STRLEN(s) (sizeof("" s "") - 1)

#define MIN(a, b)                            \
        ({                                   \
                __typeof__(a) _min_a = (a);  \
                __typeof__(b) _min_b = (b);  \
                _min_a < _min_b ? _min_a : _min_b; \
        })
#define MAX(a, b)                            \
        ({                                   \
                __typeof__(a) _max_a = (a);  \
                __typeof__(b) _max_b = (b);  \
                _max_a > _max_b ? _max_a : _max_b; \
        })

/* The object of which `ptr` is the embedded `member`; NULL stays NULL. */
#define container_of(ptr, type, member)                                               \
        ({                                                                            \
                const __typeof__(((type *) 0)->member) *_co_ptr = (ptr);              \
                _co_ptr ? (type *) (void *) ((char *) (uintptr_t) _co_ptr - offsetof(type, member)) : (type *) 0; \
        })

/* Gives the value away and forgets it: the other half of _cleanup_(). */
#define TAKE(var, nothing)                   \
        ({                                   \
                __typeof__(var) _take = (var); \
                (var) = (nothing);           \
                _take;                       \
        })
#define TAKE_PTR(p) TAKE(p, NULL)
#define TAKE_FD(fd) TAKE(fd, -1)

/* func##p() for _cleanup_(): calls `func` on what the variable holds, if anything. */
#define DEFINE_CLEANUP(type, func)                               \
        static inline _unused_ void func##p(type **p) {          \
                if (*p)                                          \
                        (void) func(*p);                         \
        }                                                        \
        struct tooz_useless_struct_to_allow_trailing_semicolon

static inline _unused_ void freep(void *p) {
        void *mem;

        memcpy(&mem, p, sizeof(mem));
        free(mem);
}

static inline _unused_ void fd_closep(int *fd) {
        if (*fd >= 0)
                (void) close(*fd);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(fd_closep)
