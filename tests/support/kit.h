/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every unit test: Criterion with checks for leaked descriptors and memory after each test
 *
 *     KIT_SUITE(heap);
 *     Test(heap, smallest_first) { ... }
 */

#include <criterion/criterion.h>
#include <string.h>

#include "base/macro.h"

/* The time-out is for a test that hangs: far above what a loaded machine needs. */
#define KIT_SUITE(suite, ...) \
        TestSuite(suite, .init = kit_setup, .fini = kit_teardown, .timeout = 120, ##__VA_ARGS__)

/* Criterion counts a test as passed when an assertion fails in its teardown: hence abort() in there. */
void kit_setup(void);
void kit_teardown(void);

/* A folder of this test, removed with all that is in it at the end. */
const char *kit_folder(void);

/* A path in kit_folder(), good until the end of the test (at most 64 of them). */
const char *kit_path(const char *name);

/* Results in the house's convention: negative errno or not. */
#define kit_ok(expr)                                                                             \
        ({                                                                                       \
                __typeof__(expr) _kit_r = (expr);                                                \
                cr_assert(_kit_r >= 0, "%s: %s", #expr, strerror((int) -_kit_r));                \
                _kit_r;                                                                          \
        })
#define kit_fails(expr, error)                                                                   \
        ({                                                                                       \
                long _kit_r = (long) (expr), _kit_e = (long) (error);                            \
                cr_assert(_kit_r == _kit_e, "%s = %ld, not %s (%ld)", #expr, _kit_r, #error, _kit_e); \
        })
#define kit_streq(a, b)                                                                          \
        ({                                                                                       \
                const char *_kit_a = (a), *_kit_b = (b);                                         \
                cr_assert(_kit_a && _kit_b && strcmp(_kit_a, _kit_b) == 0, "%s is \"%s\", not \"%s\"", #a, \
                          _kit_a ? _kit_a : "(null)", _kit_b ? _kit_b : "(null)");               \
        })

/* The seed of a test with random events: $KIT_SEED or a new one, kept in the log of the test. */
uint64_t kit_seed(void);
