/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "backend/zk-watch.h"
#include "base/random.h"
#include "support/kit.h"

KIT_SUITE(zk_watch);

#define COST(path) (sizeof(path) - 1 + 4)

Test(zk_watch, counted_until_fired) {
        ZkWatches w;

        zk_watches_init(&w, 1000);
        kit_ok(zk_watches_ask(&w, "/a", ZK_WATCH_DATA));
        cr_assert_eq(w.bytes, COST("/a"));
        zk_watches_answer(&w, "/a", ZK_WATCH_DATA, true);
        cr_assert_eq(w.bytes, COST("/a"));
        cr_assert(zk_watches_is_armed(&w, "/a", ZK_WATCH_DATA));
        zk_watches_fired(&w, "/a", true, false);
        cr_assert_eq(w.bytes, 0);
        cr_assert_null(w.by_path);
        zk_watches_deinit(&w);
}

Test(zk_watch, not_armed_is_not_counted) {
        ZkWatches w;

        zk_watches_init(&w, 1000);
        kit_ok(zk_watches_ask(&w, "/a", ZK_WATCH_DATA));
        zk_watches_answer(&w, "/a", ZK_WATCH_DATA, false);
        cr_assert_eq(w.bytes, 0);
        zk_watches_deinit(&w);
}

/* The library keeps one watch per path and kind. */
Test(zk_watch, same_path_counts_once) {
        ZkWatches w;

        zk_watches_init(&w, 1000);
        kit_ok(zk_watches_ask(&w, "/a", ZK_WATCH_DATA));
        kit_ok(zk_watches_ask(&w, "/a", ZK_WATCH_DATA));
        cr_assert_eq(w.bytes, COST("/a"));
        zk_watches_answer(&w, "/a", ZK_WATCH_DATA, true);
        zk_watches_answer(&w, "/a", ZK_WATCH_DATA, false);
        cr_assert_eq(w.bytes, COST("/a"));
        kit_ok(zk_watches_ask(&w, "/a", ZK_WATCH_CHILDREN));
        cr_assert_eq(w.bytes, 2 * COST("/a"));
        zk_watches_answer(&w, "/a", ZK_WATCH_CHILDREN, true);
        zk_watches_fired(&w, "/a", false, true);
        cr_assert_eq(w.bytes, COST("/a"));
        zk_watches_fired(&w, "/a", true, true);
        cr_assert_eq(w.bytes, 0);
        zk_watches_deinit(&w);
}

/* Asked for again before the event of the first came. */
Test(zk_watch, event_before_the_answer) {
        ZkWatches w;

        zk_watches_init(&w, 1000);
        kit_ok(zk_watches_ask(&w, "/a", ZK_WATCH_DATA));
        zk_watches_answer(&w, "/a", ZK_WATCH_DATA, true);
        kit_ok(zk_watches_ask(&w, "/a", ZK_WATCH_DATA));
        zk_watches_fired(&w, "/a", true, false);
        cr_assert_eq(w.bytes, COST("/a"));
        zk_watches_answer(&w, "/a", ZK_WATCH_DATA, true);
        cr_assert(zk_watches_is_armed(&w, "/a", ZK_WATCH_DATA));
        zk_watches_deinit(&w);
}

Test(zk_watch, bound) {
        ZkWatches w;
        char path[16];
        unsigned n = 0;

        zk_watches_init(&w, 100);
        while (snprintf(path, sizeof(path), "/%07u", n) && zk_watches_ask(&w, path, ZK_WATCH_DATA) == 0)
                n++;
        cr_assert_eq(n, 100 / 12);
        kit_fails(zk_watches_ask(&w, path, ZK_WATCH_DATA), -ENOSPC);
        /* what is watched already costs nothing */
        kit_ok(zk_watches_ask(&w, "/0000000", ZK_WATCH_DATA));
        zk_watches_answer(&w, "/0000000", ZK_WATCH_DATA, false);
        zk_watches_answer(&w, "/0000000", ZK_WATCH_DATA, false);
        kit_ok(zk_watches_ask(&w, path, ZK_WATCH_DATA));
        zk_watches_fired(&w, "/unknown", true, true);
        zk_watches_deinit(&w);
}

/* Against the obvious model: sets of paths. */
Test(zk_watch, random_walk) {
        unsigned asked[8][ZK_N_WATCH_KINDS] = {};
        bool armed[8][ZK_N_WATCH_KINDS] = {};
        ZkWatches w;
        Prng prng;

        prng_init(&prng, kit_seed());
        zk_watches_init(&w, 60);
        for (unsigned i = 0; i < 100000; i++) {
                unsigned p = (unsigned) prng_below(&prng, 8), k = (unsigned) prng_below(&prng, 2);
                char path[] = { '/', (char) ('a' + p), '\0' };
                size_t bytes = 0;

                if (prng_chance(&prng, 1, 3)) {
                        if (zk_watches_ask(&w, path, (ZkWatchKind) k) == 0)
                                asked[p][k]++;
                } else if (prng_chance(&prng, 1, 2)) {
                        if (asked[p][k] > 0) {
                                bool yes = prng_chance(&prng, 1, 2);

                                asked[p][k]--;
                                armed[p][k] = armed[p][k] || yes;
                                zk_watches_answer(&w, path, (ZkWatchKind) k, yes);
                        }
                } else {
                        zk_watches_fired(&w, path, k == ZK_WATCH_DATA, k == ZK_WATCH_CHILDREN);
                        armed[p][k] = false;
                }
                for (unsigned a = 0; a < 8; a++)
                        for (unsigned b = 0; b < 2; b++)
                                bytes += armed[a][b] || asked[a][b] ? 6 : 0;
                cr_assert_eq(w.bytes, bytes);
                cr_assert_leq(w.bytes, w.bytes_max);
        }
        zk_watches_deinit(&w);
}
