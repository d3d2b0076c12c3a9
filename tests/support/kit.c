/* SPDX-License-Identifier: Apache-2.0 */
/* Setup and teardown of every unit test
 *
 * Criterion runs each test in a process of its own; what the test left open or allocated when its body
 * is over has leaked. */

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/random.h"
#include "base/str.h"
#include "support/kit.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#else
static int __lsan_do_recoverable_leak_check(void) {
        return 0;
}
#endif

#define FDS_MAX 1024
#define PATHS_MAX 64

static bool fd_known[FDS_MAX];
static char folder[PATH_MAX];
static char *paths[PATHS_MAX];
static size_t n_paths;

static void fd_each(void (*visit)(int fd)) {
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *entry;

        cr_assert_not_null(dir);
        while ((entry = readdir(dir))) {
                int fd = atoi(entry->d_name);

                if (entry->d_name[0] != '.' && fd != dirfd(dir))
                        visit(fd);
        }
        closedir(dir);
}

static void fd_remember(int fd) {
        if (fd < FDS_MAX)
                fd_known[fd] = true;
}

static unsigned n_leaked;

static void fd_accuse(int fd) {
        char path[64], target[256] = "?";

        if (fd < FDS_MAX && fd_known[fd])
                return;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) < 0)
                (void) str_copy(target, sizeof(target), strerror(errno));
        fprintf(stderr, "kit: leaked descriptor %d: %s\n", fd, target);
        n_leaked++;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

void kit_setup(void) {
        fd_each(fd_remember);
}

void kit_teardown(void) {
        if (folder[0])
                (void) nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        while (n_paths > 0)
                free(paths[--n_paths]);

        fd_each(fd_accuse);
        if (n_leaked > 0 || __lsan_do_recoverable_leak_check() != 0)
                abort();
}

const char *kit_folder(void) {
        if (!folder[0]) {
                const char *parent = getenv("TMPDIR") ?: "/tmp";

                kit_ok(str_print(folder, sizeof(folder), "%s/tooz-test.XXXXXX", parent));
                cr_assert_not_null(mkdtemp(folder));
        }
        return folder;
}

const char *kit_path(const char *name) {
        cr_assert_lt(n_paths, PATHS_MAX);
        paths[n_paths] = strjoin(kit_folder(), "/", name);
        cr_assert_not_null(paths[n_paths]);
        return paths[n_paths++];
}

uint64_t kit_seed(void) {
        const char *given = getenv("KIT_SEED");
        uint64_t seed;

        if (given)
                kit_ok(str_parse_u64(given, &seed));
        else
                kit_ok(random_bytes(&seed, sizeof(seed)));

        /* Kept in the log of the test, where it is read when the test has failed. */
        fprintf(stderr, "kit: KIT_SEED=%ju\n", (uintmax_t) seed);
        return seed;
}
