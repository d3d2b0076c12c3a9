/* SPDX-License-Identifier: Apache-2.0 */
/* Lock modes and what they allow beside each other */

#include "core/mode.h"

static const char *const lock_mode_table[_LOCK_MODE_MAX] = {
        [LOCK_EXCLUSIVE] = "exclusive",
        [LOCK_SHARED] = "shared",
};
DEFINE_STRING_TABLE(lock_mode, LockMode, _LOCK_MODE_MAX);

static const bool compatible[_LOCK_MODE_MAX][_LOCK_MODE_MAX] = {
        /* held \ wanted          exclusive                  shared */
        [LOCK_EXCLUSIVE] = { [LOCK_EXCLUSIVE] = false, [LOCK_SHARED] = false },
        [LOCK_SHARED] = { [LOCK_EXCLUSIVE] = false, [LOCK_SHARED] = true },
};

static const bool serves[_LOCK_MODE_MAX][_LOCK_MODE_MAX] = {
        /* node \ claim           exclusive                  shared */
        [LOCK_EXCLUSIVE] = { [LOCK_EXCLUSIVE] = true, [LOCK_SHARED] = true },
        [LOCK_SHARED] = { [LOCK_EXCLUSIVE] = false, [LOCK_SHARED] = true },
};

bool lock_mode_compatible(LockMode held, LockMode wanted) {
        return compatible[held][wanted];
}

bool lock_mode_serves(LockMode node, LockMode claim) {
        return serves[node][claim];
}
