/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#ifndef TOOZ_PAGE_H
#define TOOZ_PAGE_H

/* Status page of a cluster domain: a sealed memfd that the agent hands out (Manager.GetStatusPage) and keeps up to
 * date, for holders to tell by themselves whether they still hold, with no round trip and no agent.
 *
 * A claim that was told EPOCH=e in its `acquired` event is certainly held while
 *
 *         page.epoch == e  and  page.state is UP or SUSPENDED  and  now < page.deadline_boottime_usec
 *
 * with `now` on CLOCK_BOOTTIME, and no `lost` event has been received. When the agent hangs or dies the deadline
 * stands still and passes.
 *
 * Reading: load `sequence` (acquire); odd: being written, try again; read the fields (relaxed atomics); fence
 * (acquire); load `sequence` again; different: try again. After 1,000 tries the writer must have died while
 * writing: take the page as expired. Writing (the agent alone): sequence + 1 (relaxed), fence (release), fields,
 * sequence + 1 (release). All fields are in the byte order of the host and naturally aligned; their offsets are
 * part of the format. */

#include <stdint.h>

#define TOOZ_PAGE_MAGIC UINT64_C(0x3165676170746f7a) /* "zotpage1" in memory */
#define TOOZ_PAGE_VERSION 1u

enum {
        TOOZ_PAGE_CONNECTING = 0, /* no session */
        TOOZ_PAGE_UP = 1,
        TOOZ_PAGE_SUSPENDED = 2, /* contact lost, deadline ahead */
        TOOZ_PAGE_OVERDUE = 3    /* deadline passed: everything held is lost */
};

struct tooz_page {
        uint64_t magic;                  /*  0 */
        uint32_t version;                /*  8 */
        uint32_t size;                   /* 12  of this struct, as the agent knows it */
        uint64_t sequence;               /* 16 */
        uint64_t epoch;                  /* 24  rises with every session of this agent */
        uint64_t deadline_boottime_usec; /* 32 */
        uint64_t session_timeout_usec;   /* 40 */
        uint64_t updated_boottime_usec;  /* 48 */
        uint32_t state;                  /* 56 */
        uint32_t agent_pid;              /* 60 */
};

#endif
