/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* Reader of a domain's status page (tooz/tooz-page.h) */

#include <stddef.h>
#include <stdint.h>

#include <tooz/tooz-page.h>

#include "base/macro.h"

typedef struct Page {
        unsigned n_ref;
        const struct tooz_page *map;
        size_t size;
} Page;

typedef struct PageView {
        uint64_t epoch;
        uint64_t deadline_usec;
        uint64_t session_timeout_usec;
        uint32_t state;
} PageView;

/* Maps the page; the descriptor stays the caller's. -EBADMSG: not a page that can be trusted not to shrink, or not one
 * of this format. */
int page_open(Page **ret, int fd);
Page *page_ref(Page *p);
Page *page_unref(Page *p);
DEFINE_CLEANUP(Page, page_unref);

/* A consistent view; -ESTALE: the writer died while it wrote. */
int page_read(const Page *p, PageView *ret);

/* Until when (CLOCK_BOOTTIME) what was granted in `epoch` is certainly held; 0: no longer. */
uint64_t page_deadline(const Page *p, uint64_t epoch);

/* T of the domain's session, 0 when it can't be read. */
uint64_t page_session_timeout(const Page *p);
