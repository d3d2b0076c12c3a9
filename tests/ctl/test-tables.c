/* SPDX-License-Identifier: Apache-2.0 */
/* Every enum of toozctl that has names: each value to its name and back */

#include <errno.h>

#include "ctl/options.h"
#include "ctl/supervise.h"
#include "support/kit.h"

KIT_SUITE(tables);

#define ROUND_TRIP(name, Type, MAX)                                                      \
        do {                                                                             \
                for (int i = 0; i < (MAX); i++)                                          \
                        cr_assert_eq(name##_from_string(name##_to_string((Type) i)), i); \
                cr_assert_null(name##_to_string((Type) (MAX)));                          \
                kit_fails(name##_from_string("no such name"), -EINVAL);                  \
        } while (0)

Test(tables, round_trip) {
        ROUND_TRIP(json_mode, JsonMode, _JSON_MODE_MAX);
        ROUND_TRIP(on_lost, OnLost, _ON_LOST_MAX);
        ROUND_TRIP(supervise_state, SuperviseState, _SUPERVISE_STATE_MAX);
}
