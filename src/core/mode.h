/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lock modes and what they allow beside each other */

#include <errno.h>
#include <stdbool.h>

#include "base/table.h"

typedef enum LockMode {
        LOCK_EXCLUSIVE,
        LOCK_SHARED,
        _LOCK_MODE_MAX,
        _LOCK_MODE_INVALID = -EINVAL,
} LockMode;

DECLARE_STRING_TABLE(lock_mode, LockMode);

/* May a claim of mode `wanted` be granted beside a holder of mode `held`? */
bool lock_mode_compatible(LockMode held, LockMode wanted);

/* May a ZooKeeper node of mode `node` stand for a local claim of mode `claim`? An exclusive node keeps everybody
 * else out, so it serves readers as well; a shared node serves no writer. */
bool lock_mode_serves(LockMode node, LockMode claim);
