/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Effects: what a transition of the core wants done outside
 *
 * The core decides and does nothing: it has no fd, no clock and no log. A transition leaves its wishes on a queue,
 * and the agent carries them out (src/agent/apply.c), in order, after the transition has returned.
 *
 * An effect is embedded in the object that it concerns, and what exactly is wanted stands in that object (`news` of
 * a claim, `want` of a node…). So producing an effect can't fail for want of memory, an object has at most one
 * effect pending, and wishes of several transitions add up in the object instead of growing the queue. */

#include <stdbool.h>

#include "base/list.h"
#include "base/table.h"

typedef enum EffectKind {
        EFFECT_CLAIM,      /* tell the owner of a claim: claim->news */
        EFFECT_NODE,       /* a node in the backend: node->want */
        EFFECT_PLACE,      /* a place in the arena: place->want */
        EFFECT_LOCK,       /* the lock's directory in the backend: lock->want */
        EFFECT_SESSION,    /* the backend's session: session->want */
        EFFECT_QUERY,      /* ask the backend */
        EFFECT_QUERY_DONE, /* answer whoever asked */
        _EFFECT_KIND_MAX,
} EffectKind;

DECLARE_STRING_TABLE(effect_kind, EffectKind);

typedef struct Effect {
        EffectKind kind;
        ListLink link;
} Effect;

typedef struct Effects {
        List queue;
} Effects;

#define EFFECT_INIT(effect, k) { .kind = (k), .link = LIST_LINK_INIT((effect).link) }

static inline void effects_init(Effects *fx) {
        list_init(&fx->queue);
}

static inline void effect_init(Effect *effect, EffectKind kind) {
        effect->kind = kind;
        list_link_init(&effect->link);
}

/* Idempotent: an effect that is pending stays where it is. */
static inline void effects_push(Effects *fx, Effect *effect) {
        if (!list_is_linked(&effect->link))
                list_append(&fx->queue, &effect->link);
}

static inline bool effect_is_pending(const Effect *effect) {
        return list_is_linked(&effect->link);
}

/* Forgets a pending effect: its object is about to go. */
static inline void effect_cancel(Effect *effect) {
        list_unlink(&effect->link);
}

/* The next effect to carry out, or NULL. It is detached, so carrying it out may push it again. */
static inline Effect *effects_pop(Effects *fx) {
        return list_entry(list_pop_first(&fx->queue), Effect, link);
}
