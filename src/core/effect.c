/* SPDX-License-Identifier: Apache-2.0 */
/* Effects: what a transition of the core wants done outside */

#include "core/effect.h"

static const char *const effect_kind_table[_EFFECT_KIND_MAX] = {
        [EFFECT_CLAIM] = "claim",
        [EFFECT_NODE] = "node",
        [EFFECT_PLACE] = "place",
        [EFFECT_LOCK] = "lock",
        [EFFECT_SESSION] = "session",
        [EFFECT_QUERY] = "query",
        [EFFECT_QUERY_DONE] = "query-done",
};
DEFINE_STRING_TABLE(effect_kind, EffectKind, _EFFECT_KIND_MAX);
