/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager is told
 *
 * Failures are ignored, as sd_notify(3) recommends: a manager that does not listen must not stop a lock service. */

#include <inttypes.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/str.h"
#include "base/time.h"
#include "sd/notify.h"

bool notify_is_wanted(void) {
        return !str_is_empty(getenv("NOTIFY_SOCKET"));
}

void notify_ready(const char *status) {
        (void) sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void notify_reloading(void) {
        struct timespec ts;

        /* This one is on CLOCK_MONOTONIC: systemd compares it with its own. */
        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        (void) sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                          (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC);
}

void notify_stopping(void) {
        (void) sd_notify(0, "STOPPING=1\nSTATUS=Stopping.");
}

void notify_status(const char *status) {
        (void) sd_notifyf(0, "STATUS=%s", status);
}

void notify_watchdog(void) {
        (void) sd_notify(0, "WATCHDOG=1");
}
