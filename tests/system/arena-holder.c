/* SPDX-License-Identifier: Apache-2.0 */
/* A program that locks in an arena without an agent, one line a step:
 *
 *      arena-holder ARENA NAME exclusive|shared     "waiting", "held TOKEN died|released"; at the end of its input it
 *                                                   gives it back: "released" or "broken"
 *      arena-holder ARENA NAME break TOKEN          "broken" or "stale"
 *
 * While it holds, each line is answered by "held" or "broken". */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "shm/actor.h"
#include "shm/directory.h"
#include "shm/hold.h"

static int fail(const char *what, int error) {
        fprintf(stderr, "%s: %s\n", what, strerror(-error));
        return EXIT_FAILURE;
}

static int open_all(const char *path, const char *name, ShmArena **arena, ShmActor **actor, ShmHold *h) {
        uint32_t index, generation;
        int r;

        r = shm_arena_open(arena, path, 0660, SHM_OPEN_CREATE);
        if (r >= 0)
                r = shm_actor_new(actor, *arena);
        if (r >= 0)
                r = shm_directory_find(*arena, name, true, &index, &generation);
        if (r >= 0)
                shm_hold_init(h, *arena, index, generation);
        return r;
}

/* As libtoozlocal waits. */
static int acquire(ShmHold *h, ShmActor *actor, bool shared) {
        int r = shm_hold_start(h, actor, shared, true), woken;

        if (r != -EINPROGRESS)
                return r;
        puts("waiting");
        while (r == -EINPROGRESS) {
                (void) atom_add(&actor->first->sleepers, 1);
                woken = shm_futex_wait(h->words, h->n_words, h->until_usec);
                (void) atom_add(&actor->first->sleepers, UINT32_MAX);
                _Atomic uint32_t *word = woken > 0 ? h->words[woken].address : NULL;

                r = shm_hold_resume(h);
                if (word)
                        shm_futex_wake(word);
        }
        return r;
}

static int hold(ShmHold *h, ShmActor *actor, bool shared) {
        uint64_t token = 0;
        char line[64];
        int r;

        r = acquire(h, actor, shared);
        if (r >= 0)
                r = shm_hold_get_token(h, &token);
        if (r < 0)
                return fail("acquire", r);
        printf("held %" PRIu64 " %s\n", token, h->died ? "died" : "released");
        if (h->died && !shared)
                shm_hold_mark_consistent(h);
        while (fgets(line, sizeof(line), stdin))
                puts(shm_hold_is_held(h) ? "held" : "broken");
        puts(shm_hold_release(h) < 0 ? "broken" : "released");
        return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        ShmActor *actor;
        ShmArena *arena;
        ShmHold h;
        int r;

        (void) setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc < 4)
                return 64;
        r = open_all(argv[1], argv[2], &arena, &actor, &h);
        if (r < 0)
                return fail(argv[1], r);
        r = EXIT_SUCCESS;
        if (!streq(argv[3], "break"))
                r = hold(&h, actor, streq(argv[3], "shared"));
        else
                puts(shm_hold_break(&h, actor, strtoull(argv[4], NULL, 10)) < 0 ? "stale" : "broken");
        shm_actor_free(actor);
        shm_arena_unref(arena);
        return r;
}
