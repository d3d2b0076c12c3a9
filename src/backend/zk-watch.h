/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Account of the watches that one handle of the library keeps
 *
 * After a reconnect the library sends the paths of all its watches in one packet, and a server takes no packet of
 * more than 1 MiB: with too many the client connects and is thrown out for ever. So their bytes are bounded.
 *
 * The library keeps a watch per path and kind, however often it is asked for, until an event of that path; it never
 * forgets one otherwise. This account follows it, on the loop's side. */

#include <stdbool.h>
#include <stddef.h>

#define ZK_WATCH_BYTES_MAX (512u * 1024u)

typedef enum ZkWatchKind {
        ZK_WATCH_DATA,
        ZK_WATCH_CHILDREN,
} ZkWatchKind;
#define ZK_N_WATCH_KINDS 2

typedef struct ZkWatch ZkWatch;

typedef struct ZkWatches {
        ZkWatch *by_path;
        size_t bytes; /* of those armed, and of those asked for */
        size_t bytes_max;
} ZkWatches;

void zk_watches_init(ZkWatches *w, size_t bytes_max);
void zk_watches_deinit(ZkWatches *w);

/* Before a watch is asked for. 0; -ENOSPC: the bound is reached; -ENOMEM. */
int zk_watches_ask(ZkWatches *w, const char *path, ZkWatchKind kind);
/* The answer to it. */
void zk_watches_answer(ZkWatches *w, const char *path, ZkWatchKind kind, bool armed);
/* An event used up the watches of these kinds. */
void zk_watches_fired(ZkWatches *w, const char *path, bool data, bool children);

bool zk_watches_is_armed(const ZkWatches *w, const char *path, ZkWatchKind kind);
