/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions that are never compiled out */

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

void assert_failed(const char *expr, const char *file, int line, const char *func) {
        fprintf(stderr, "%s:%d: %s(): assertion '%s' failed\n", file, line, func, expr);
        abort();
}
