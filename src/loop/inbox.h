/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From foreign threads to the loop: lock-free, in order of arrival, no allocation */

#include <stdatomic.h>

#include "base/list.h"
#include "loop/loop.h"

typedef struct InboxItem InboxItem;
struct InboxItem {
        InboxItem *next;
};

typedef struct Inbox Inbox;
typedef void (*InboxFn)(Inbox *inbox, InboxItem *item); /* the item is the callee's from here on */

struct Inbox {
        Loop *loop;
        InboxFn fn;
        _Atomic(InboxItem *) newest; /* those not yet taken, newest first */
        ListLink link;               /* among the loop's inboxes */
};

int inbox_init(Inbox *inbox, Loop *loop, InboxFn fn);

/* From any thread, until inbox_deinit(). The item must be in no inbox and stays alive until it is handed to
 * the callback, in the loop's run phase. */
void inbox_push(Inbox *inbox, InboxItem *item);

/* Hands out at once what is there. For the way out, when the pushing threads have ended. */
void inbox_drain(Inbox *inbox);

/* It must be empty, no thread may push any more. Accepts one that was never initialised (all zero). */
void inbox_deinit(Inbox *inbox);
