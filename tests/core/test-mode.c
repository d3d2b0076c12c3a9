/* SPDX-License-Identifier: Apache-2.0 */
/* Which modes go together */

#include "core/mode.h"
#include "support/kit.h"

KIT_SUITE(mode);

Test(mode, only_readers_share) {
        cr_assert(lock_mode_compatible(LOCK_SHARED, LOCK_SHARED));
        cr_assert_not(lock_mode_compatible(LOCK_SHARED, LOCK_EXCLUSIVE));
        cr_assert_not(lock_mode_compatible(LOCK_EXCLUSIVE, LOCK_SHARED));
        cr_assert_not(lock_mode_compatible(LOCK_EXCLUSIVE, LOCK_EXCLUSIVE));
}

Test(mode, a_shared_node_serves_no_writer) {
        cr_assert(lock_mode_serves(LOCK_EXCLUSIVE, LOCK_EXCLUSIVE));
        cr_assert(lock_mode_serves(LOCK_EXCLUSIVE, LOCK_SHARED));
        cr_assert(lock_mode_serves(LOCK_SHARED, LOCK_SHARED));
        cr_assert_not(lock_mode_serves(LOCK_SHARED, LOCK_EXCLUSIVE));
}
