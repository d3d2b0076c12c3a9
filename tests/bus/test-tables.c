/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the enums of bus/, there and back */

#include "bus/bus-caller.h"
#include "bus/bus-claim.h"
#include "bus/bus-error.h"
#include "bus/bus-server.h"
#include "support/kit.h"

KIT_SUITE(bus_tables);

#define ROUND_TRIP(name, Type, MAX)                                                \
        Test(bus_tables, name) {                                                   \
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

ROUND_TRIP(bus_caller_state, BusCallerState, _BUS_CALLER_STATE_MAX);
ROUND_TRIP(bus_error, BusErrorCode, _BUS_ERROR_MAX);
ROUND_TRIP(bus_lifetime, BusLifetime, _BUS_LIFETIME_MAX);
ROUND_TRIP(bus_link_state, BusLinkState, _BUS_LINK_STATE_MAX);
