/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the loop's enums, there and back */

#include "loop/defer.h"
#include "loop/op.h"
#include "support/kit.h"

KIT_SUITE(loop_tables);

#define ROUND_TRIP(name, Type, MAX)                                                \
        Test(loop_tables, name) {                                                  \
                for (Type value = 0; value < (MAX); value++) {                     \
                        const char *text = name##_to_string(value);                \
                                                                                   \
                        cr_assert_not_null(text);                                  \
                        cr_assert_eq(name##_from_string(text), (int) value);       \
                }                                                                  \
                cr_assert_null(name##_to_string(MAX));                             \
                cr_assert_eq(name##_from_string("no such name"), -EINVAL);         \
        }                                                                          \
        struct tooz_useless_struct_to_allow_trailing_semicolon

ROUND_TRIP(loop_kind, LoopKind, _LOOP_KIND_MAX);
ROUND_TRIP(loop_op_kind, LoopOpKind, _LOOP_OP_KIND_MAX);
ROUND_TRIP(loop_op_state, LoopOpState, _LOOP_OP_STATE_MAX);
ROUND_TRIP(loop_phase, LoopPhase, _LOOP_PHASE_MAX);
