/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Place: what this agent has in one lock of an arena, where programs that need no agent lock beside it
 *
 * Local claims share places: each is served by the first place of the lock, in the arena's order, that suits its mode
 * and before which it asked than whoever else stands behind it. So claims of clients and locks of others are served in
 * the order in which they came, and while nobody else is there one place serves all.
 *
 *      ASKED ----> WAITING ----> HELD ----> LEAVING ----> GONE (freed)
 *        | \          |           |            ^
 *        |  +---------|---> HELD  +------------+         no claim needs it any more
 *        +------------+------------------------+
 *
 *   ASKED    the backend is to take it, or has not said yet what came of it
 *   WAITING  in the queue of the arena, behind others or behind our own
 *   HELD     local claims are granted under it
 *   LEAVING  the backend is to give it back
 *
 * Invariants (places_check()): at most one is HELD, `force`; those not LEAVING are on the list in the order in which
 * they were asked for; no token is given twice, nor one beyond the range that the place has reserved. */

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/macro.h"
#include "base/table.h"
#include "core/claim.h"
#include "core/effect.h"
#include "core/mode.h"

typedef enum PlaceState {
        PLACE_ASKED,
        PLACE_WAITING,
        PLACE_HELD,
        PLACE_LEAVING,
        PLACE_GONE,
        _PLACE_STATE_MAX,
        _PLACE_STATE_INVALID = -1,
} PlaceState;

/* What the backend is asked to do. Bits, carried out in this order. */
typedef enum PlaceWant {
        PLACE_WANT_TAKE = 1 << 0,
        PLACE_WANT_CONSISTENT = 1 << 1, /* the death before us has been told */
        PLACE_WANT_UPGRADE = 1 << 2,    /* held shared: wait until others have left it */
        PLACE_WANT_STAY = 1 << 3,       /* don't, after all */
        PLACE_WANT_SHARE = 1 << 4,      /* held exclusively: let readers in */
        PLACE_WANT_TOKEN = 1 << 5,      /* `token` changed: others look at it */
        PLACE_WANT_LOOK = 1 << 6,       /* who stands behind it now? */
        PLACE_WANT_LEAVE = 1 << 7,      /* see record_died */
} PlaceWant;

typedef struct Place {
        Lock *lock;
        ListLink link; /* on places->list */
        LockMode mode; /* SHARE counts when it is asked for, UPGRADE when it is done */
        PlaceState state;
        bool upgrading;
        bool died;        /* the holder before it died; to be told with the next grant */
        bool record_died; /* when it is left: our last holder died */
        uint64_t asked_usec;   /* BOOTTIME */
        uint64_t foreign_usec; /* since when the first of others stands behind it, BOOTTIME; USEC_INFINITY: nobody */
        uint64_t looked_usec;  /* as of when that is known */
        uint64_t token_next;
        uint64_t token_end; /* not reached */
        uint64_t token;     /* of a claim that holds now, as others see it */
        unsigned want;
        Effect effect;
        bool needed;  /* while the lock is settled */
        void *handle; /* the backend's */
} Place;

/* What came with a place that is held now. */
typedef struct PlaceGrant {
        bool died;
        uint64_t token_first;
        uint64_t token_end;
} PlaceGrant;

typedef struct Places {
        List list;
        Place *force;
} Places;

DECLARE_STRING_TABLE(place_state, PlaceState);

void places_init(Places *p);
void places_deinit(Places *p); /* all must be gone */
/* The backend ends: nothing is carried out any more. */
void places_forget(Places *p);
void places_check(const Places *p);

/* A new one at the end, ASKED. NULL: no memory. */
Place *places_add(Places *p, Lock *lock, LockMode mode, uint64_t now, Effects *fx);
void place_enter(Place *place, PlaceState state);
void place_want(Place *place, PlaceWant want, Effects *fx);
/* Gives it up: nothing is granted under it any more. */
void place_leave(Places *p, Place *place, Effects *fx);
/* Takes it off the list and frees it. */
Place *place_free(Places *p, Place *place);

/* Is a claim in this mode, asked for then, served by this place when its turn comes? */
bool place_serves(const Place *place, LockMode mode, uint64_t requested_usec);
