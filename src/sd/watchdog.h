/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Watchdog of the service manager, fed only by a full turn of the loop */

#include <stdbool.h>
#include <stdint.h>

#include "loop/defer.h"
#include "loop/timer.h"

typedef struct Watchdog Watchdog;

/* Is all well, as far as the owner can tell? Not to be fed otherwise. */
typedef bool (*WatchdogFn)(Watchdog *w, uint64_t now_usec);

struct Watchdog {
        WatchdogFn is_well;
        uint64_t period_usec; /* the manager's patience; 0: there is no watchdog */
        LoopTimer timer;
        LoopDefer feed;
        void (*send)(void); /* notify_watchdog(), or a test's */
};

/* The period is $WATCHDOG_USEC's if it is meant for this process. -errno: it can't be read. */
int watchdog_init(Watchdog *w, Loop *loop, WatchdogFn is_well);
void watchdog_deinit(Watchdog *w);

/* For tests and for what is not told by the environment. */
void watchdog_start(Watchdog *w, uint64_t period_usec);
