/* SPDX-License-Identifier: Apache-2.0 */
/* Place: what this agent has in one lock of an arena. States and edges: place.h. Decisions: lock-place.c */

#include <stdlib.h>

#include "base/assert.h"
#include "base/time.h"
#include "core/place.h"

static const char *const place_state_table[_PLACE_STATE_MAX] = {
        [PLACE_ASKED] = "asked",
        [PLACE_WAITING] = "waiting",
        [PLACE_HELD] = "held",
        [PLACE_LEAVING] = "leaving",
        [PLACE_GONE] = "gone",
};
DEFINE_STRING_TABLE(place_state, PlaceState, _PLACE_STATE_MAX);

static const bool legal[_PLACE_STATE_MAX][_PLACE_STATE_MAX] = {
        [PLACE_ASKED] = { [PLACE_WAITING] = true, [PLACE_HELD] = true, [PLACE_LEAVING] = true, [PLACE_GONE] = true },
        [PLACE_WAITING] = { [PLACE_HELD] = true, [PLACE_LEAVING] = true, [PLACE_GONE] = true },
        [PLACE_HELD] = { [PLACE_LEAVING] = true, [PLACE_GONE] = true },
        [PLACE_LEAVING] = { [PLACE_GONE] = true },
};

void places_init(Places *p) {
        *p = (Places) {};
        list_init(&p->list);
}

void places_deinit(Places *p) {
        tooz_assert(list_is_empty(&p->list));
}

Place *places_add(Places *p, Lock *lock, LockMode mode, uint64_t now, Effects *fx) {
        Place *place = calloc(1, sizeof(*place));

        if (!place)
                return NULL;
        place->lock = lock;
        place->mode = mode;
        place->state = PLACE_ASKED;
        place->asked_usec = now;
        place->foreign_usec = USEC_INFINITY;
        list_link_init(&place->link);
        effect_init(&place->effect, EFFECT_PLACE);
        list_append(&p->list, &place->link);
        place_want(place, PLACE_WANT_TAKE, fx);
        return place;
}

void place_enter(Place *place, PlaceState state) {
        tooz_assert(legal[place->state][state]);
        place->state = state;
}

void place_want(Place *place, PlaceWant want, Effects *fx) {
        place->want |= want;
        effects_push(fx, &place->effect);
}

Place *place_free(Places *p, Place *place) {
        if (place == p->force)
                p->force = NULL;
        place_enter(place, PLACE_GONE);
        effect_cancel(&place->effect);
        list_unlink(&place->link);
        free(place);
        return NULL;
}

void place_leave(Places *p, Place *place, Effects *fx) {
        if (place == p->force)
                p->force = NULL;
        /* Not even asked for yet: then there is nothing to give back. */
        if (place->want & PLACE_WANT_TAKE) {
                place_free(p, place);
                return;
        }
        place_enter(place, PLACE_LEAVING);
        place->upgrading = false;
        place->want &= PLACE_WANT_CONSISTENT;
        /* Behind what was asked for meanwhile: a new place is taken before this one is given back. */
        effect_cancel(&place->effect);
        place_want(place, PLACE_WANT_LEAVE, fx);
}

void places_forget(Places *p) {
        Place *place, *tmp;

        list_foreach_safe(place, tmp, &p->list, Place, link)
                place_free(p, place);
}

bool place_serves(const Place *place, LockMode mode, uint64_t requested_usec) {
        if (place->state == PLACE_LEAVING || !lock_mode_serves(place->mode, mode))
                return false;
        if (place->state == PLACE_HELD && place->token_next >= place->token_end)
                return false;
        /* Whom it was asked for it serves in any case: the arena lets who runs overtake who sleeps, for a moment. */
        return requested_usec <= place->asked_usec || requested_usec <= place->foreign_usec;
}

void places_check(const Places *p) {
        const Place *place;
        unsigned n_held = 0;

        list_foreach(place, &p->list, Place, link) {
                tooz_assert(place->state != PLACE_GONE);
                tooz_assert(place->token_next <= place->token_end);
                tooz_assert(!place->upgrading || (place->state == PLACE_HELD && place->mode == LOCK_SHARED));
                if (place->state != PLACE_HELD)
                        continue;
                tooz_assert(place == p->force);
                n_held++;
        }
        tooz_assert(n_held == (p->force ? 1 : 0));
}
