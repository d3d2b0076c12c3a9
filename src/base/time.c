/* SPDX-License-Identifier: Apache-2.0 */
/* Time in microseconds */

#include <time.h>

#include "base/assert.h"
#include "base/time.h"

static uint64_t time_read(clockid_t clock) {
        struct timespec ts;

        tooz_assert(clock_gettime(clock, &ts) == 0);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

uint64_t time_now(void) {
        return time_read(CLOCK_BOOTTIME);
}

uint64_t time_now_realtime(void) {
        return time_read(CLOCK_REALTIME);
}
