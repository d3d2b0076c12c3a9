/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Actors of the calling thread, one for each arena, the last used one first. Their memory goes with the thread; what
 * they held the kernel gives to others. */

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "local/local.h"

__thread ShmActor *local_actor;

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static int key_error;

static void thread_on_exit(void *data) {
        ShmActor *actor = local_actor, *next;

        local_actor = NULL;
        for (; actor; actor = next) {
                next = actor->next;
                shm_actor_free(actor);
        }
}

static void key_make(void) {
        key_error = -pthread_key_create(&key, thread_on_exit);
}

static int actor_make(ShmActor **ret, ShmArena *arena) {
        ShmActor *actor;
        int r;

        (void) pthread_once(&key_once, key_make);
        if (key_error < 0)
                return key_error;
        r = shm_actor_new(&actor, arena);
        if (r < 0)
                return r;
        r = -pthread_setspecific(key, actor);
        if (r < 0) {
                shm_actor_free(actor);
                return r;
        }
        *ret = actor;
        return 0;
}

/* Those of the parent, wiped: they lead nowhere. */
static void forget_parent(void) {
        if (local_actor && !local_actor->arena)
                local_actor = NULL;
}

static ShmActor *unlink_actor(const ShmArena *arena) {
        ShmActor *actor;

        for (ShmActor **link = &local_actor; *link; link = &(*link)->next)
                if ((*link)->arena == arena) {
                        actor = *link;
                        *link = actor->next;
                        return actor;
                }
        return NULL;
}

int local_actor_get(ShmActor **ret, ShmArena *arena) {
        ShmActor *actor;
        int r;

        if (local_actor && local_actor->arena == arena) {
                *ret = local_actor;
                return 0;
        }
        if (arena->pid != getpid())
                return -ECHILD;
        forget_parent();
        actor = unlink_actor(arena);
        if (!actor) {
                r = actor_make(&actor, arena);
                if (r < 0)
                        return r;
        }
        actor->next = local_actor;
        local_actor = actor;
        *ret = actor;
        return 0;
}

int local_check_thread(const tooz_local_lock *lock) {
        const ShmActor *actor;

        if (lock->pid != getpid())
                return -ECHILD;
        if (lock->hold.state == SHM_HOLD_IDLE)
                return -EPERM;
        for (actor = local_actor; actor; actor = actor->next)
                if (actor == lock->hold.actor && actor->serial == lock->hold.serial)
                        return 0;
        return -EPERM;
}
