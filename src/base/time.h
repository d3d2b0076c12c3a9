/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Time in microseconds: CLOCK_BOOTTIME for every decision, CLOCK_REALTIME for people */

#include <stdbool.h>
#include <stdint.h>

#define USEC_INFINITY UINT64_MAX
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_USEC UINT64_C(1000)

uint64_t time_now(void);          /* CLOCK_BOOTTIME: goes on during suspend, never jumps */
uint64_t time_now_realtime(void); /* CLOCK_REALTIME: for display only */

/* Saturating: nothing is later than USEC_INFINITY, nothing earlier than 0. */
static inline uint64_t usec_add(uint64_t a, uint64_t b) {
        return a > USEC_INFINITY - b ? USEC_INFINITY : a + b;
}

static inline uint64_t usec_sub(uint64_t a, uint64_t b) {
        if (a == USEC_INFINITY)
                return USEC_INFINITY;
        return a > b ? a - b : 0;
}
