/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of the arena backend share */

#include "agent/arena-wait.h"
#include "agent/arena.h"
#include "base/hash.h"
#include "base/time.h"
#include "loop/timer.h"
#include "shm/actor.h"
#include "shm/hold.h"

/* The slot of a name, found before: what was not retired meanwhile needs no look into the directory. */
typedef struct ArenaSlot {
        UT_hash_handle hh;
        uint32_t index;
        uint32_t generation;
        char name[];
} ArenaSlot;

/* At most so long ago it was found that the file is still that of its name, when something is taken. */
#define ARENA_CHECK_USEC USEC_PER_SEC

/* What is to be reported of a place. Bits, reported in this order. */
typedef enum ArenaReport {
        REPORT_LOOK = 1 << 0, /* nothing yet: it waits, and its turn may have come */
        REPORT_REFUSED = 1 << 1,
        REPORT_LOST = 1 << 2,
        REPORT_LEFT = 1 << 3,
        REPORT_CONTENDED = 1 << 4,
        REPORT_WAITING = 1 << 5,
        REPORT_HELD = 1 << 6,
        REPORT_UPGRADED = 1 << 7,
} ArenaReport;

/* One place of the core, and the hold that it is here. */
typedef struct ArenaPlace {
        ListLink link; /* a->waiting or a->held */
        ListLink due;  /* a->due: `report` is not empty */
        Place *place;
        ShmHold *hold; /* cut off behind what a held one needs */
        unsigned report;
        uint64_t foreign_usec; /* as reported */
        PlaceGrant grant;
        bool upgraded; /* REPORT_UPGRADED: it is exclusive now; else it was refused */
} ArenaPlace;

typedef struct ArenaBackend {
        Backend backend;
        Backend *node; /* keeps the ceiling of tokens */
        char *path;
        ShmArena *arena; /* NULL: to be opened again */
        ShmActor *actor;
        int delegate_fd;
        ArenaSlot *slots;
        List waiting; /* ArenaPlace: sleeping in a queue, or upgrading */
        List held;
        List due;
        uint32_t bell;     /* as it was before everything was looked at */
        uint32_t n_broken; /* as of then */
        uint64_t clock_offset;
        bool words_changed;
        ArenaWait wait;
        LoopTimer look_timer; /* the first moment at which one that waits looks again */
        LoopTimer tend_timer;
        uint64_t checked_usec; /* that the file is still ours */
        bool check_due;
        bool stopped;
} ArenaBackend;

static inline ArenaBackend *arena_of(Backend *b) {
        return container_of(b, ArenaBackend, backend);
}

static inline LockTable *arena_locks(const ArenaBackend *a) {
        return &a->backend.domain->locks;
}

/* --- arena.c ------------------------------------------------------------------------------------------ */

/* Opens it again when it is not open. */
int arena_open(ArenaBackend *a);
/* Was the file removed, replaced or damaged? Then all that is held in it is lost, and it is opened again. */
void arena_check(ArenaBackend *a);

/* --- arena-place.c ------------------------------------------------------------------------------------ */

/* Carries out what is wanted of a place. */
void arena_place(Backend *b, Place *place);
/* Looks at all that waits, and at whether somebody waits for what is held, or took it away. */
void arena_look(ArenaBackend *a);
/* Those whose moment to look again has come. */
void arena_look_due(ArenaBackend *a);
/* Makes the reports that are due. False: there were none. */
bool arena_tell(ArenaBackend *a);
bool arena_report(Backend *b);
/* Every place is lost. */
void arena_lose_all(ArenaBackend *a);
/* The same without telling: the backend ends. */
void arena_drop_all(ArenaBackend *a);
void arena_forget_slots(ArenaBackend *a);
int arena_find_slot(ArenaBackend *a, const char *name, bool make, ShmHold *ret);

/* --- arena-query.c ------------------------------------------------------------------------------------ */

void arena_query(Backend *b, Query *q);
