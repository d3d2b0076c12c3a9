/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Who holds a lock, and how it has been used */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "local/local.h"
#include "shm/directory.h"
#include "shm/look.h"

#define HOLDERS_MAX 64u

static void owner_fill(tooz_local_owner *ret, const ShmParty *p) {
        ret->pid = (pid_t) p->pid;
        ret->tid = (pid_t) p->tid;
        ret->uid = (uid_t) p->uid;
        ret->mode = p->shared ? TOOZ_LOCK_SHARED : TOOZ_LOCK_EXCLUSIVE;
        ret->start_time = p->start_time;
        ret->pid_ns = p->pid_ns;
        ret->token = p->token;
        ret->since_usec = p->since_usec;
        memcpy(ret->comm, p->comm, sizeof(ret->comm));
}

/* A holder that is dead holds no more: whoever comes next finds that out. */
static unsigned look_living(const ShmArena *arena, uint32_t index, ShmParty *ret, unsigned max) {
        unsigned n = shm_look_holders(arena, index, ret, max), living = 0;

        for (unsigned i = 0; i < n; i++)
                if (!ret[i].dead)
                        ret[living++] = ret[i];
        return living;
}

static uint32_t slot_of(const tooz_local_lock *lock) {
        return (uint32_t) (lock->hold.place & SHM_J_SLOT);
}

/* 1: go on; 0: the slot is another lock's by now. */
static int check(const tooz_local_lock *lock) {
        int r;

        if (!lock->shm)
                return -EOPNOTSUPP;
        if (lock->pid != getpid())
                return -ECHILD;
        r = shm_arena_check_often(lock->shm);
        if (r < 0)
                return r;
        return (atom_load(&lock->hold.slot->word) & SHM_W_GENERATION) == lock->hold.idle ? 1 : 0;
}

_public_ int tooz_local_lock_get_owner(tooz_local_lock *lock, tooz_local_owner *ret) {
        ShmParty parties[HOLDERS_MAX];
        int r;

        if (ret->size != sizeof(*ret))
                return -EINVAL;
        r = check(lock);
        if (r <= 0)
                return r;
        if (look_living(lock->shm, slot_of(lock), parties, HOLDERS_MAX) == 0)
                return 0;
        owner_fill(ret, &parties[0]);
        return 1;
}

_public_ int tooz_local_lock_get_stat(tooz_local_lock *lock, tooz_local_stat *ret) {
        ShmParty parties[HOLDERS_MAX];
        const ShmSlot *slot;
        int r;

        if (ret->size != sizeof(*ret))
                return -EINVAL;
        r = check(lock);
        if (r < 0)
                return r;
        *ret = (tooz_local_stat) { .size = sizeof(*ret) };
        if (r == 0)
                return 0;
        slot = lock->hold.slot;
        ret->holders = look_living(lock->shm, slot_of(lock), parties, HOLDERS_MAX);
        ret->waiters = atom_load(&slot->n_waiting);
        ret->n_acquired = (atom_load(&slot->token) - atom_load(&slot->token_first)) / 2;
        ret->n_contended = atom_load(&slot->n_contended);
        ret->n_owner_died = atom_load(&slot->n_died);
        ret->n_broken = atom_load(&slot->n_broken);
        ret->wait_usec_total = atom_load(&slot->wait_usec_total);
        return 0;
}

_public_ int tooz_local_arena_next(tooz_local_arena *arena, uint64_t *cookie, char *ret_name, size_t name_size,
                                   tooz_local_owner *ret_owner) {
        char name[SHM_NAME_MAX + 1];
        uint32_t n, i;
        ShmParty p;
        int r;

        if (arena->shm->pid != getpid())
                return -ECHILD;
        r = shm_arena_check_often(arena->shm);
        if (r < 0)
                return r;
        if (ret_owner && ret_owner->size != sizeof(*ret_owner))
                return -EINVAL;
        n = shm_n_slots(arena->shm);
        for (i = (uint32_t) MIN(*cookie, SHM_SLOTS_MAX - 1) + 1; i < n; i++) {
                *cookie = i;
                if (shm_directory_name(arena->shm, i, name) == 0)
                        continue;
                if (str_copy(ret_name, name_size, name) < 0)
                        return -ENOBUFS;
                if (!ret_owner)
                        return 1;
                *ret_owner = (tooz_local_owner) { .size = sizeof(*ret_owner) };
                if (look_living(arena->shm, i, &p, 1) > 0)
                        owner_fill(ret_owner, &p);
                return 1;
        }
        *cookie = n;
        return 0;
}
