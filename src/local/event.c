/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Waiting from the caller's own event loop */

#include <assert.h>
#include <errno.h>

#include "local/local.h"

static_assert(SHM_WATCH_MAX + 1 <= TOOZ_LOCAL_WAIT_WORDS, "all words of a hold fit");

/* Somebody is asleep somewhere, as far as those who ring know, until the wait ends. */
static int begun(tooz_local_lock *lock, int r) {
        if (r == -EINPROGRESS)
                (void) atom_add(&lock->hold.actor->first->sleepers, 1);
        return r < 0 ? r : lock->hold.died;
}

static void ended(tooz_local_lock *lock) {
        (void) atom_add(&lock->hold.actor->first->sleepers, UINT32_MAX);
}

_public_ int tooz_local_lock_start(tooz_local_lock *lock, tooz_lock_mode mode) {
        ShmActor *actor;
        int r;

        if ((unsigned) mode >= _TOOZ_LOCK_MODE_MAX)
                return -EINVAL;
        if (!lock->shm)
                return -EOPNOTSUPP;
        r = local_actor_get(&actor, lock->shm);
        if (r < 0)
                return r;
        /* It does not wait for its turn here, but for the guard it must. */
        lock->hold.deadline_usec = shm_now() + SHM_GUARD_PATIENCE_USEC;
        return begun(lock, local_start(lock, actor, mode == TOOZ_LOCK_SHARED, true));
}

static int check_waiting(const tooz_local_lock *lock) {
        int r = local_check_thread(lock);

        return r < 0 ? r : lock->hold.state == SHM_HOLD_WAITING ? 0 : -EPERM;
}

_public_ int tooz_local_lock_get_wait(tooz_local_lock *lock, tooz_local_wait *ret) {
        const ShmHold *h = &lock->hold;
        int r;

        if (ret->size != sizeof(*ret))
                return -EINVAL;
        r = check_waiting(lock);
        if (r < 0)
                return r;
        ret->n_words = h->n_words;
        ret->until_usec = h->until_usec;
        for (uint32_t i = 0; i < h->n_words; i++) {
                ret->words[i].address = (const uint32_t *) h->words[i].address;
                ret->words[i].value = h->words[i].value;
        }
        return 0;
}

/* The caller does not say which word woke it: of each that changed, others who wait are woken. */
static void pass_on(const ShmHold *h) {
        for (uint32_t i = 1; i < h->n_words; i++)
                if (atom_load(h->words[i].address) != h->words[i].value)
                        shm_futex_wake(h->words[i].address);
}

_public_ int tooz_local_lock_resume(tooz_local_lock *lock) {
        int r;

        r = check_waiting(lock);
        if (r < 0)
                return r;
        pass_on(&lock->hold);
        r = shm_hold_resume(&lock->hold);
        if (r == -EINPROGRESS)
                return r;
        ended(lock);
        return r < 0 ? r : lock->hold.died;
}

_public_ int tooz_local_lock_cancel(tooz_local_lock *lock) {
        int r;

        r = check_waiting(lock);
        if (r < 0)
                return r;
        shm_hold_cancel(&lock->hold);
        ended(lock);
        return 0;
}
