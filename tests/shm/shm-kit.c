/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/directory.h"
#include "shm/shm-kit.h"

#define ACTORS_MAX 256

static ShmArena *the_arena;
static ShmActor *actors[ACTORS_MAX];
static unsigned n_actors;

void shm_kit_setup(void) {
        kit_setup();
}

void shm_kit_teardown(void) {
        int fd = -1;

        while (n_actors > 0)
                shm_actor_free(actors[--n_actors]);
        if (the_arena) {
                if (the_arena->pinned)
                        fd = the_arena->fd;
                shm_arena_unref(the_arena);
        }
        if (fd >= 0)
                (void) close(fd);
        kit_teardown();
}

const char *shm_kit_path(void) {
        static const char *path;

        if (!path)
                path = kit_path("arena");
        return path;
}

ShmArena *shm_kit_arena(void) {
        if (!the_arena)
                kit_ok(shm_arena_open(&the_arena, shm_kit_path(), 0600, SHM_OPEN_CREATE));
        return the_arena;
}

static ShmActor *actor_add(int (*make)(ShmActor **ret, ShmArena *arena)) {
        cr_assert_lt(n_actors, ACTORS_MAX);
        kit_ok(make(&actors[n_actors], shm_kit_arena()));
        return actors[n_actors++];
}

ShmActor *shm_kit_actor(void) {
        return actor_add(shm_actor_new);
}

ShmActor *shm_kit_delegate(void) {
        return actor_add(shm_actor_new_delegated);
}

void shm_kit_die(ShmActor *actor) {
        for (uint32_t c = 0; c < actor->n_blocks; c++)
                for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                        atom_store(actor->chunks[c][e].live, FUTEX_OWNER_DIED);
}

ShmHold shm_kit_hold(const char *name) {
        uint32_t index, generation;
        ShmHold h;

        kit_ok(shm_directory_find(shm_kit_arena(), name, true, &index, &generation));
        shm_hold_init(&h, shm_kit_arena(), index, generation);
        return h;
}

uint32_t shm_kit_bell(const ShmActor *actor) {
        return atom_load(&actor->first->bell);
}

static _noreturn_ void child_main(ShmKitRole fn, void *arg, int ready, bool stay) {
        ShmArena *arena;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        must(shm_arena_open(&arena, shm_kit_path(), 0600, 0) >= 0);
        fn(arena, arg);
        must(write(ready, "", 1) == 1);
        while (stay)
                pause();
        _exit(0);
}

static pid_t child_start(ShmKitRole fn, void *arg, bool stay) {
        int ready[2];
        pid_t pid;
        char c;

        (void) shm_kit_arena();
        cr_assert_eq(pipe(ready), 0);
        pid = fork();
        cr_assert_geq(pid, 0);
        if (pid == 0)
                child_main(fn, arg, ready[1], stay);
        (void) close(ready[1]);
        cr_assert_eq(read(ready[0], &c, 1), 1, "the child failed");
        (void) close(ready[0]);
        return pid;
}

pid_t shm_kit_child(ShmKitRole fn, void *arg) {
        return child_start(fn, arg, true);
}

void shm_kit_kill(pid_t pid) {
        int status;

        cr_assert_eq(kill(pid, SIGKILL), 0);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status));
}

void shm_kit_run(ShmKitRole fn, void *arg) {
        pid_t pid = child_start(fn, arg, false);
        int status;

        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
