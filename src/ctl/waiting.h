/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a waiting `toozctl lock` shows */

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"

typedef struct Waiting {
        Ctl *ctl;
        const char *domain;
        const char *name;
        bool live;        /* one line that changes; else one line, once */
        bool shown;
        uint64_t next_usec; /* BOOTTIME: when to show */
        uint64_t query_usec; /* when to ask again */
        char holder[OWNER_TEXT_SIZE];
        uint64_t holder_since_usec; /* CLOCK_REALTIME */
        uint64_t token;
        char reason[256];
        unsigned n_waiters;
        unsigned position; /* ours among them, from 1; 0: not known */
        char id_suffix[24];
} Waiting;

/* `claim_id`: ours, to find it in the queue; 0: we are not there. */
void waiting_init(Waiting *w, Ctl *ctl, const char *domain, const char *name, uint64_t claim_id, uint64_t now);
/* Shows what is due. */
void waiting_show(Waiting *w, uint64_t now);
/* Takes the live line away. */
void waiting_done(Waiting *w);

/* Who holds the lock: asks the agent; false: nobody, or it can't be known. */
bool waiting_ask(Waiting *w);
/* "is held by node3 backup.service (pid 4711, uid 0) for 2min 10s, token 17: "nightly"", after waiting_ask(). */
void waiting_say_conflict(Waiting *w, const char *words);
