/* SPDX-License-Identifier: Apache-2.0 */
/* Watchdog
 *
 * The timer comes in the timer phase and asks for the publish phase of the same turn; only what runs there feeds. So a
 * loop that still waits but no longer gets through its turn starves it. Half a period between two feeds leaves room
 * for one that comes late. */

#include <stdlib.h>
#include <systemd/sd-daemon.h>

#include "base/list.h"
#include "base/time.h"
#include "sd/notify.h"
#include "sd/watchdog.h"

static void watchdog_on_timer(LoopTimer *timer, uint64_t now_usec) {
        Watchdog *w = container_of(timer, Watchdog, timer);

        loop_timer_set(&w->timer, usec_add(now_usec, w->period_usec / 2));
        loop_defer_trigger(&w->feed);
}

static void watchdog_on_publish(LoopDefer *defer) {
        Watchdog *w = container_of(defer, Watchdog, feed);

        if (w->is_well(w, loop_now(defer->loop)))
                w->send();
}

int watchdog_init(Watchdog *w, Loop *loop, WatchdogFn is_well) {
        uint64_t period = 0;
        int r;

        *w = (Watchdog) { .is_well = is_well, .send = notify_watchdog };
        loop_timer_init(&w->timer, loop, watchdog_on_timer);
        loop_defer_init(&w->feed, loop, LOOP_PHASE_PUBLISH, watchdog_on_publish);

        r = sd_watchdog_enabled(0, &period);
        if (r < 0)
                return r;
        if (r > 0)
                watchdog_start(w, period);
        return 0;
}

void watchdog_deinit(Watchdog *w) {
        if (!w->timer.loop)
                return;
        loop_timer_unset(&w->timer);
        loop_defer_cancel(&w->feed);
}

void watchdog_start(Watchdog *w, uint64_t period_usec) {
        w->period_usec = period_usec;
        loop_timer_set(&w->timer, 0);
}
