/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "local/local.h"

#define SYSTEM_FOLDER "/dev/shm/tooz"
#define DEFAULT_NAME "node"
#define NAME_MAX_LEN 64
#define FLAGS_ALL (TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_READONLY | TOOZ_LOCAL_ARENA_USER)

static bool name_is_plain(const char *name) {
        size_t len = strlen(name);

        return len > 0 && len <= NAME_MAX_LEN && name[0] != '.' &&
               strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static int arena_path(char **ret, const char *name, uint64_t flags) {
        const char *folder;

        if (name && name[0] == '/')
                return strdup_to(ret, name);
        name = name ?: DEFAULT_NAME;
        if (!name_is_plain(name))
                return -EINVAL;
        if (!(flags & TOOZ_LOCAL_ARENA_USER)) {
                *ret = strjoin(SYSTEM_FOLDER "/", name);
                return *ret ? 0 : -ENOMEM;
        }
        folder = secure_getenv("XDG_RUNTIME_DIR");
        if (!folder || folder[0] != '/')
                return -ENOENT;
        *ret = strjoin(folder, "/tooz/", name);
        return *ret ? 0 : -ENOMEM;
}

_public_ int tooz_local_arena_open(tooz_local_arena **ret, const char *name, mode_t mode, uint64_t flags) {
        _cleanup_free_ char *path = NULL;
        tooz_local_arena *arena;
        int r;

        if (flags & ~FLAGS_ALL)
                return -EINVAL;
        r = arena_path(&path, name, flags);
        if (r < 0)
                return r;
        arena = calloc(1, sizeof(*arena));
        if (!arena)
                return -ENOMEM;
        arena->n_refs = 1;
        r = shm_arena_open(&arena->shm, path, mode,
                           (flags & TOOZ_LOCAL_ARENA_CREATE ? SHM_OPEN_CREATE : 0) |
                           (flags & TOOZ_LOCAL_ARENA_READONLY ? SHM_OPEN_READONLY : 0));
        if (r < 0) {
                free(arena);
                return r;
        }
        *ret = arena;
        return 0;
}

_public_ tooz_local_arena *tooz_local_arena_ref(tooz_local_arena *arena) {
        (void) atomic_fetch_add(&arena->n_refs, 1);
        return arena;
}

_public_ tooz_local_arena *tooz_local_arena_unref(tooz_local_arena *arena) {
        if (arena && atomic_fetch_sub(&arena->n_refs, 1) == 1) {
                shm_arena_unref(arena->shm);
                free(arena);
        }
        return NULL;
}

_public_ int tooz_local_arena_get_path(tooz_local_arena *arena, const char **ret) {
        *ret = arena->shm->path;
        return 0;
}
