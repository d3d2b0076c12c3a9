/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* The kernel's side: waiting on several futexes, waking, and the words by which it says that a thread is dead */

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ShmWord {
        _Atomic uint32_t *address;
        uint32_t value;
} ShmWord;

/* CLOCK_MONOTONIC, in microseconds */
uint64_t shm_now(void);

/* Wakes all who wait on the word. Async-signal-safe, as all here. */
void shm_futex_wake(_Atomic uint32_t *word);

/* Sleeps until one of the words is woken, until one differs from its value, or until a moment. At most 128 words,
 * looked at and queued on in their order. The index of the one that was woken, or -EAGAIN, -ETIMEDOUT, -EINTR. */
int shm_futex_wait(const ShmWord *words, size_t n, uint64_t until_usec);

/* Does this value of a robust futex's word say that its owner is dead? */
static inline bool shm_word_is_dead(uint32_t value) {
        return (value & FUTEX_TID_MASK) == 0;
}
