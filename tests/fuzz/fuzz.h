/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A fuzzer is a program with these two; fuzz.c is the rest of it */

#include <stddef.h>
#include <stdint.h>

#include "base/macro.h"

/* Must abort on whatever breaks a promise of the parser. `text` has a NUL behind it, and may have some within. */
void fuzz_one(const char *text, size_t len);

/* What the parser takes, and what it nearly takes; ends with NULL. */
extern const char *const fuzz_seeds[];
