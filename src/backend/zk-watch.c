/* SPDX-License-Identifier: Apache-2.0 */
/* Account of watches: see zk-watch.h. Pure. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-watch.h"
#include "base/assert.h"
#include "base/hash.h"

struct ZkWatch {
        UT_hash_handle hh;
        unsigned n_asked[ZK_N_WATCH_KINDS];
        bool armed[ZK_N_WATCH_KINDS];
        char path[];
};

void zk_watches_init(ZkWatches *w, size_t bytes_max) {
        *w = (ZkWatches) { .bytes_max = bytes_max };
}

void zk_watches_deinit(ZkWatches *w) {
        ZkWatch *watch, *tmp;

        hash_foreach_safe(hh, w->by_path, watch, tmp) {
                hash_remove(hh, w->by_path, watch);
                free(watch);
        }
        w->bytes = 0;
}

static ZkWatch *watch_find(const ZkWatches *w, const char *path) {
        ZkWatch *watch;

        hash_find(hh, w->by_path, path, strlen(path), watch);
        return watch;
}

static bool watch_counts(const ZkWatch *watch, ZkWatchKind kind) {
        return watch && (watch->armed[kind] || watch->n_asked[kind] > 0);
}

/* In the packet each path has its length before it. */
static size_t watch_cost(const char *path) {
        return strlen(path) + 4;
}

static int watch_new(ZkWatches *w, const char *path, ZkWatch **ret) {
        size_t len = strlen(path);
        ZkWatch *watch;
        int r;

        watch = calloc(1, sizeof(*watch) + len + 1);
        if (!watch)
                return -ENOMEM;
        memcpy(watch->path, path, len);
        r = hash_add(hh, w->by_path, watch->path, len, watch);
        if (r < 0) {
                free(watch);
                return r;
        }
        *ret = watch;
        return 0;
}

static void watch_drop_idle(ZkWatches *w, ZkWatch *watch) {
        if (watch_counts(watch, ZK_WATCH_DATA) || watch_counts(watch, ZK_WATCH_CHILDREN))
                return;
        hash_remove(hh, w->by_path, watch);
        free(watch);
}

int zk_watches_ask(ZkWatches *w, const char *path, ZkWatchKind kind) {
        ZkWatch *watch = watch_find(w, path);
        size_t cost = watch_counts(watch, kind) ? 0 : watch_cost(path);
        int r;

        if (w->bytes + cost > w->bytes_max)
                return -ENOSPC;
        if (!watch) {
                r = watch_new(w, path, &watch);
                if (r < 0)
                        return r;
        }
        watch->n_asked[kind]++;
        w->bytes += cost;
        return 0;
}

void zk_watches_answer(ZkWatches *w, const char *path, ZkWatchKind kind, bool armed) {
        ZkWatch *watch = watch_find(w, path);

        tooz_assert(watch && watch->n_asked[kind] > 0);
        watch->n_asked[kind]--;
        if (armed)
                watch->armed[kind] = true;
        if (!watch_counts(watch, kind))
                w->bytes -= watch_cost(path);
        watch_drop_idle(w, watch);
}

static void watch_disarm(ZkWatches *w, ZkWatch *watch, ZkWatchKind kind) {
        if (!watch->armed[kind])
                return;
        watch->armed[kind] = false;
        if (!watch_counts(watch, kind))
                w->bytes -= watch_cost(watch->path);
}

void zk_watches_fired(ZkWatches *w, const char *path, bool data, bool children) {
        ZkWatch *watch = watch_find(w, path);

        if (!watch)
                return;
        if (data)
                watch_disarm(w, watch, ZK_WATCH_DATA);
        if (children)
                watch_disarm(w, watch, ZK_WATCH_CHILDREN);
        watch_drop_idle(w, watch);
}

bool zk_watches_is_armed(const ZkWatches *w, const char *path, ZkWatchKind kind) {
        const ZkWatch *watch = watch_find(w, path);

        return watch && watch->armed[kind];
}
