/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "shm/futex.h"

#define WORDS_MAX 128

uint64_t shm_now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

void shm_futex_wake(_Atomic uint32_t *word) {
        (void) syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

int shm_futex_wait(const ShmWord *words, size_t n, uint64_t until_usec) {
        struct futex_waitv v[WORDS_MAX];
        struct timespec until = { .tv_sec = (time_t) (until_usec / 1000000u),
                                  .tv_nsec = (long) (until_usec % 1000000u * 1000u) };
        long r;

        tooz_assert(n <= WORDS_MAX);
        for (size_t i = 0; i < n; i++)
                v[i] = (struct futex_waitv) { .val = words[i].value, .uaddr = (uint64_t) (uintptr_t) words[i].address,
                                              .flags = FUTEX_32 };
        r = syscall(SYS_futex_waitv, v, n, 0, until_usec == UINT64_MAX ? NULL : &until, CLOCK_MONOTONIC);
        return r < 0 ? -errno : (int) r;
}
