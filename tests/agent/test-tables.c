/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the agent's enums, there and back */

#include "agent/agent.h"
#include "agent/config-keys.h"
#include "support/kit.h"

KIT_SUITE(agent_tables);

#define ROUND_TRIP(name, Type, MAX)                                                \
        Test(agent_tables, name) {                                                 \
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

ROUND_TRIP(agent_state, AgentState, _AGENT_STATE_MAX);
ROUND_TRIP(config_section, ConfigSection, _CONFIG_SECTION_MAX);
