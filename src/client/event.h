/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* One datagram of the handle: KEY=VALUE lines */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tooz/tooz.h>

#include "base/list.h"
#include "base/table.h"

#define EVENT_SIZE_MAX 4096
#define EVENT_FIELDS_MAX 32

typedef enum EventKind {
        EVENT_OTHER, /* a name that this library doesn't know */
        EVENT_QUEUED,
        EVENT_ACQUIRED,
        EVENT_CONVERTED,
        EVENT_CONVERT_FAILED,
        EVENT_CONTENDED,
        EVENT_SUSPENDED,
        EVENT_RESUMED,
        EVENT_RELEASED,
        EVENT_LOST,
        EVENT_FAILED,
        _EVENT_KIND_MAX,
        _EVENT_KIND_INVALID = -EINVAL,
} EventKind;

/* Absent numbers are 0, absent strings "". The strings point into `text`. */
typedef struct Event {
        ListLink link; /* on claim->events */
        EventKind kind;
        uint64_t claim_id;
        uint64_t sequence;
        uint64_t boottime_usec;
        uint64_t position;
        uint64_t token;
        uint64_t epoch;
        uint64_t missed;
        tooz_previous previous;
        tooz_lock_mode mode;
        bool has_mode;
        tooz_claim_state state; /* of the claim after it */
        const char *name;
        const char *reason;
        const char *fields[EVENT_FIELDS_MAX + 1];
        char text[];
} Event;

DECLARE_STRING_TABLE(event_kind, EventKind);
DECLARE_STRING_TABLE(tooz_claim_state, tooz_claim_state);
DECLARE_STRING_TABLE(tooz_previous, tooz_previous);
DECLARE_STRING_TABLE(tooz_lock_mode, tooz_lock_mode);

/* -EBADMSG: no event of a claim. */
int event_parse(Event **ret, const char *data, size_t len);
/* An event that no agent sent, since there is none to send it. */
int event_make(Event **ret, uint64_t claim_id, EventKind kind, const char *reason, uint64_t now);
Event *event_free(Event *e);
DEFINE_CLEANUP(Event, event_free);

bool event_is_final(const Event *e);
