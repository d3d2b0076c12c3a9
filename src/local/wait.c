/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>

#include "local/local.h"

/* When the next release hands us the lock it is waited for awake: some microseconds, less than it takes to sleep. */
#define SPINS 300u

static bool bell_rang(const ShmHold *h) {
        return atom_load_relaxed(h->words[0].address) != h->words[0].value;
}

static bool spin(const ShmHold *h) {
        for (unsigned n = 0; n < SPINS; n++) {
                if (bell_rang(h))
                        return true;
                atom_pause();
        }
        return false;
}

/* Of those that wait on the word of one thread, the kernel wakes one when it dies. Who it woke wakes the others. */
static void pass_on(const ShmHold *h, int woken) {
        if (woken > 0)
                shm_futex_wake(h->words[woken].address);
}

static int nap(ShmHold *h, uint64_t deadline_usec) {
        _Atomic uint32_t *sleepers = &h->actor->first->sleepers;
        int r;

        if (h->handed && spin(h))
                return 0;
        (void) atom_add(sleepers, 1);
        r = shm_futex_wait(h->words, h->n_words, MIN(h->until_usec, deadline_usec));
        (void) atom_add(sleepers, UINT32_MAX);
        pass_on(h, r);
        return r;
}

int local_wait(ShmHold *h, uint64_t deadline_usec, bool interruptible) {
        int r, woken;

        for (;;) {
                woken = nap(h, deadline_usec);
                r = shm_hold_resume(h);
                if (r != -EINPROGRESS)
                        return r;
                if (interruptible && woken == -EINTR)
                        r = -EINTR;
                else if (deadline_usec != UINT64_MAX && shm_now() >= deadline_usec)
                        r = -ETIMEDOUT;
                else
                        continue;
                shm_hold_cancel(h);
                return r;
        }
}
