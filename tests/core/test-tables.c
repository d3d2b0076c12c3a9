/* SPDX-License-Identifier: Apache-2.0 */
/* Every enum that has names: each value to its name and back, and nothing else passes
 *
 * tests/tools/check-tables.sh finds the tables of src/ and asks for each in a test-tables.c. */

#include "base/log.h"
#include "client/event.h"
#include "core/access.h"
#include "core/claim.h"
#include "core/domain.h"
#include "core/effect.h"
#include "core/mode.h"
#include "core/name.h"
#include "core/query.h"
#include "core/quota.h"
#include "core/session.h"
#include "core/tenure.h"
#include "support/kit.h"

typedef struct Table {
        const char *name;
        const char *(*to_string)(int value);
        int (*from_string)(const char *s);
        int max;
} Table;

/* Enums of any type through one signature. */
#define WRAP(name, Type)                                       \
        static const char *name##_wrapped(int value) {         \
                return name##_to_string((Type) value);         \
        }                                                      \
        struct tooz_useless_struct_to_allow_trailing_semicolon

#define ROW(name, MAX) { #name, name##_wrapped, name##_from_string, (MAX) }

WRAP(access_verb, AccessVerb);
WRAP(claim_reason, ClaimReason);
WRAP(claim_state, ClaimState);
WRAP(domain_kind, DomainKind);
WRAP(effect_kind, EffectKind);
WRAP(event_kind, EventKind);
WRAP(lock_mode, LockMode);
WRAP(log_level, LogLevel);
WRAP(name_error, NameError);
WRAP(name_form, NameForm);
WRAP(node_state, NodeState);
WRAP(place_state, PlaceState);
WRAP(previous, Previous);
WRAP(query_kind, QueryKind);
WRAP(quota_kind, QuotaKind);
WRAP(session_change, SessionChange);
WRAP(session_state, SessionState);
WRAP(tooz_claim_state, tooz_claim_state);
WRAP(tooz_lock_mode, tooz_lock_mode);
WRAP(tooz_previous, tooz_previous);

static const Table tables[] = {
        ROW(access_verb, _ACCESS_VERB_MAX),
        ROW(claim_reason, _CLAIM_REASON_MAX),
        ROW(claim_state, _CLAIM_STATE_MAX),
        ROW(domain_kind, _DOMAIN_KIND_MAX),
        ROW(effect_kind, _EFFECT_KIND_MAX),
        ROW(event_kind, _EVENT_KIND_MAX),
        ROW(lock_mode, _LOCK_MODE_MAX),
        ROW(log_level, _LOG_LEVEL_MAX),
        ROW(name_error, _NAME_ERROR_MAX),
        ROW(name_form, _NAME_FORM_MAX),
        ROW(node_state, _NODE_STATE_MAX),
        ROW(place_state, _PLACE_STATE_MAX),
        ROW(previous, _PREVIOUS_MAX),
        ROW(query_kind, _QUERY_KIND_MAX),
        ROW(quota_kind, _QUOTA_KIND_MAX),
        ROW(session_change, _SESSION_CHANGE_MAX),
        ROW(session_state, _SESSION_STATE_MAX),
        ROW(tooz_claim_state, _TOOZ_CLAIM_STATE_MAX),
        ROW(tooz_lock_mode, _TOOZ_LOCK_MODE_MAX),
        ROW(tooz_previous, _TOOZ_PREVIOUS_MAX),
};

KIT_SUITE(tables);

Test(tables, round_trips) {
        for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
                const Table *t = &tables[i];

                cr_assert_gt(t->max, 0, "%s", t->name);
                for (int value = 0; value < t->max; value++) {
                        const char *text = t->to_string(value);

                        cr_assert(text && *text, "%s has no name for %d", t->name, value);
                        cr_assert_eq(t->from_string(text), value, "%s: \"%s\" is not %d", t->name, text, value);
                }
        }
}

Test(tables, nothing_else_passes) {
        static const char *const strangers[] = { "", "no such name", " ", "HELD", "held " };

        for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
                const Table *t = &tables[i];

                cr_assert_null(t->to_string(t->max), "%s", t->name);
                cr_assert_null(t->to_string(-1), "%s", t->name);
                kit_fails(t->from_string(NULL), -EINVAL);
                for (size_t j = 0; j < ARRAY_SIZE(strangers); j++)
                        kit_fails(t->from_string(strangers[j]), -EINVAL);
        }
}

/* The agent writes the names of the core, libtooz reads its own. */
Test(tables, both_ends_of_the_handle_use_the_same_words) {
        for (ClaimState state = CLAIM_WAITING; state < _CLAIM_STATE_MAX; state++)
                cr_assert_geq(tooz_claim_state_from_string(claim_state_to_string(state)), 0, "%s",
                              claim_state_to_string(state));
        for (Previous previous = 0; previous < _PREVIOUS_MAX; previous++)
                cr_assert_geq(tooz_previous_from_string(previous_to_string(previous)), 0, "%s",
                              previous_to_string(previous));
        for (LockMode mode = 0; mode < _LOCK_MODE_MAX; mode++)
                cr_assert_geq(tooz_lock_mode_from_string(lock_mode_to_string(mode)), 0, "%s", lock_mode_to_string(mode));
}
