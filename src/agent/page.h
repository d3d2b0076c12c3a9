/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Status page of a cluster domain: what <tooz/tooz-page.h> describes, from the writer's side */

#include <stdint.h>
#include <tooz/tooz-page.h>

#include "core/session.h"

typedef struct Page {
        int fd; /* sealed memfd */
        struct tooz_page *map;
} Page;

#define PAGE_INIT { .fd = -1 }

int page_init(Page *page, const char *domain);
void page_deinit(Page *page); /* accepts PAGE_INIT */

/* Says what the session is at `now`. */
void page_publish(Page *page, const Session *session, uint64_t now);

/* A new descriptor for a client, read-only; -errno. */
int page_share(const Page *page);
