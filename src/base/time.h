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

/* Enough for every text below. */
#define TIME_TEXT_SIZE 64

/* "2min 5s", "1.5s", "150ms", "infinity": rounded down, for people. Returns buf. */
const char *time_format_span(char buf[static TIME_TEXT_SIZE], uint64_t usec);

/* A CLOCK_REALTIME moment in the local zone: "2026-11-23 05:04:03". Returns buf. */
const char *time_format_realtime(char buf[static TIME_TEXT_SIZE], uint64_t usec);

/* "5s", "100ms", "2min", "1h 30min", "0.5", "infinity"; a number alone is seconds. 0, -EINVAL or -ERANGE. */
int time_parse_span(const char *s, uint64_t *ret_usec);
