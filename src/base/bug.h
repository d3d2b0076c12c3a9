/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Seeded bugs: `./configure --enable-seeded-bugs` builds known mistakes in, and $TOOZ_BUG=name switches one on. The
 * tests must catch each of them (tests/system/seeded-bugs). In every other build bug() is the constant false. */

#include <stdbool.h>

#ifdef TOOZ_SEEDED_BUGS
#include <stdlib.h>
#include <string.h>

static inline bool bug(const char *name) {
        const char *wanted = getenv("TOOZ_BUG");

        return wanted && strcmp(wanted, name) == 0;
}

/* Is any of them on? Then what would hide it must be off. */
static inline bool bug_any(void) {
        return getenv("TOOZ_BUG");
}
#else
#define bug(name) false
#define bug_any() false
#endif
