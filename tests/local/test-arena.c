/* SPDX-License-Identifier: Apache-2.0 */
/* Opening arenas by name, and looking at all that is in one */

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/local-kit.h"

LOCAL_SUITE(local_arena);

static int open_named(const char *name, mode_t mode, uint64_t flags) {
        tooz_local_arena *a;
        int r = tooz_local_arena_open(&a, name, mode, flags);

        if (r >= 0)
                tooz_local_arena_unref(a);
        return r;
}

static void assert_path(const char *name, uint64_t flags, const char *path) {
        tooz_local_arena *a;
        const char *got;

        kit_ok(tooz_local_arena_open(&a, name, 0600, flags));
        kit_ok(tooz_local_arena_get_path(a, &got));
        kit_streq(got, path);
        cr_assert_eq(access(path, F_OK), 0);
        tooz_local_arena_unref(a);
}

/* --- names ------------------------------------------------------------------------------------------------------- */

Test(local_arena, bad_arguments) {
        char name[70] = "";

        memset(name, 'n', 65);
        kit_fails(open_named("", 0600, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named(".", 0600, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named("..", 0600, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named("a/b", 0600, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named("a b", 0600, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named("\xc3\xa4", 0600, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named(name, 0600, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named(kit_path("a"), 0600, TOOZ_LOCAL_ARENA_CREATE | UINT64_C(8)), -EINVAL);
        kit_fails(open_named(kit_path("a"), 0666, TOOZ_LOCAL_ARENA_CREATE), -EINVAL);
        kit_fails(open_named(kit_path("a"), 0600, 0), -ENOENT);
        kit_fails(open_named(kit_path("no/a"), 0600, TOOZ_LOCAL_ARENA_CREATE), -ENOENT);
        cr_assert_null(tooz_local_arena_unref(NULL));
}

Test(local_arena, of_the_user) {
        char longest[65] = "";

        unsetenv("XDG_RUNTIME_DIR");
        kit_fails(open_named("a", 0600, TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER), -ENOENT);
        setenv("XDG_RUNTIME_DIR", "relative", 1);
        kit_fails(open_named("a", 0600, TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER), -ENOENT);
        setenv("XDG_RUNTIME_DIR", kit_folder(), 1);
        kit_fails(open_named("a", 0600, TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER), -ENOENT);
        cr_assert_eq(mkdir(kit_path("tooz"), 0700), 0);
        memset(longest, 'n', 64);
        kit_ok(open_named(longest, 0600, TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER));
        assert_path("A.b_c-1", TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER, kit_path("tooz/A.b_c-1"));
        assert_path(NULL, TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER, kit_path("tooz/node"));
        assert_path(kit_path("elsewhere"), TOOZ_LOCAL_ARENA_CREATE | TOOZ_LOCAL_ARENA_USER, kit_path("elsewhere"));
}

Test(local_arena, of_the_system) {
        if (unshare(CLONE_NEWNS) < 0)
                cr_skip_test("no mount namespace: %s", strerror(errno));
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        cr_assert_eq(mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=4m,mode=1777"), 0);
        kit_fails(open_named(NULL, 0600, TOOZ_LOCAL_ARENA_CREATE), -ENOENT);
        cr_assert_eq(mkdir("/dev/shm/tooz", 0770), 0);
        kit_fails(open_named(NULL, 0600, 0), -ENOENT);
        assert_path(NULL, TOOZ_LOCAL_ARENA_CREATE, "/dev/shm/tooz/node");
        assert_path("node", 0, "/dev/shm/tooz/node");
        assert_path("other", TOOZ_LOCAL_ARENA_CREATE, "/dev/shm/tooz/other");
        cr_assert_eq(umount2("/dev/shm", MNT_DETACH), 0);
}

/* --- references -------------------------------------------------------------------------------------------------- */

Test(local_arena, locks_keep_it) {
        tooz_local_arena *a;
        tooz_local_lock *lock;
        const char *name;

        kit_ok(tooz_local_arena_open(&a, kit_path("a"), 0600, TOOZ_LOCAL_ARENA_CREATE));
        cr_assert_eq(tooz_local_arena_ref(a), a);
        cr_assert_null(tooz_local_arena_unref(a));
        kit_ok(tooz_local_lock_open(&lock, a, "x", 0));
        tooz_local_arena_unref(a);
        kit_ok(tooz_local_lock_get_name(lock, &name));
        kit_streq(name, "x");
        kit_fails(tooz_local_lock_is_held(lock), 0);
        tooz_local_lock_unref(lock);
}

Test(local_arena, cleanup) {
        __attribute__((__cleanup__(tooz_local_arena_unrefp))) tooz_local_arena *a = NULL;
        __attribute__((__cleanup__(tooz_local_lock_unrefp))) tooz_local_lock *lock = NULL;

        kit_ok(tooz_local_arena_open(&a, kit_path("a"), 0600, TOOZ_LOCAL_ARENA_CREATE));
        kit_ok(tooz_local_lock_open(&lock, a, "x", 0));
}

/* --- what it is not ---------------------------------------------------------------------------------------------- */

Test(local_arena, readonly) {
        tooz_local_lock *x = local_kit_lock("x", 0), *lock;
        tooz_local_owner owner = { .size = sizeof(owner) };
        tooz_local_arena *a;

        kit_ok(tooz_local_lock_acquire(x, X, 0));
        kit_ok(tooz_local_arena_open(&a, local_kit_path(), 0600, TOOZ_LOCAL_ARENA_READONLY));
        kit_fails(tooz_local_lock_open(&lock, a, "new", 0), -EROFS);
        kit_fails(tooz_local_lock_open(&lock, a, "new", TOOZ_LOCAL_EXISTING), -ENOENT);
        kit_ok(tooz_local_lock_open(&lock, a, "x", TOOZ_LOCAL_EXISTING));
        kit_fails(tooz_local_lock_acquire(lock, X, 0), -EROFS);
        kit_fails(tooz_local_lock_start(lock, S), -EROFS);
        kit_fails(tooz_local_lock_break(lock, local_kit_token(x)), -EROFS);
        kit_fails(tooz_local_lock_get_owner(lock, &owner), 1);
        cr_assert_eq(owner.pid, getpid());
        tooz_local_lock_unref(lock);
        tooz_local_arena_unref(a);
        kit_ok(tooz_local_lock_release(x));
}

Test(local_arena, removed) {
        tooz_local_lock *x = local_kit_lock("x", 0), *lock;
        tooz_local_arena *again;
        Other o;

        kit_ok(tooz_local_lock_acquire(x, X, 0));
        other_begin(&o, "x", X);
        local_kit_await_waiters(x, 1);
        cr_assert_eq(unlink(local_kit_path()), 0);
        kit_fails(tooz_local_lock_open(&lock, local_kit_arena(), "z", 0), -ESTALE);
        (void) usleep(200000); /* it was looked at a moment ago */
        kit_ok(tooz_local_lock_release(x));
        kit_fails(other_result(&o), -ESTALE);
        kit_fails(other_end(&o), -EPERM);

        kit_ok(tooz_local_arena_open(&again, local_kit_path(), 0600, TOOZ_LOCAL_ARENA_CREATE));
        kit_ok(tooz_local_lock_open(&lock, again, "z", 0));
        tooz_local_lock_unref(lock);
        tooz_local_arena_unref(again);
}

/* --- walking ----------------------------------------------------------------------------------------------------- */

#define N_NAMES 600u

Test(local_arena, next) {
        tooz_local_owner owner = { .size = sizeof(owner) };
        bool seen[N_NAMES] = { false };
        char name[256];
        uint64_t cookie = 0;
        unsigned n = 0, i;
        tooz_local_lock *lock, *held;

        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, sizeof(name), &owner), 0);
        for (i = 0; i < N_NAMES; i++) {
                (void) snprintf(name, sizeof(name), "n%u", i);
                kit_ok(tooz_local_lock_open(&lock, local_kit_arena(), name, 0));
                tooz_local_lock_unref(lock);
        }
        held = local_kit_lock("n77", TOOZ_LOCAL_STAMP);
        kit_ok(tooz_local_lock_acquire(held, X, 0));

        for (cookie = 0; kit_ok(tooz_local_arena_next(local_kit_arena(), &cookie, name, sizeof(name), &owner)); n++) {
                cr_assert_eq(sscanf(name, "n%u", &i), 1);
                cr_assert_lt(i, N_NAMES);
                cr_assert_not(seen[i]);
                seen[i] = true;
                cr_assert_eq(owner.pid, i == 77 ? getpid() : 0);
                cr_assert_eq(owner.token, i == 77 ? local_kit_token(held) : 0);
        }
        cr_assert_eq(n, N_NAMES);
        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, sizeof(name), NULL), 0);
        cookie = UINT64_MAX;
        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, sizeof(name), NULL), 0);
        kit_ok(tooz_local_lock_release(held));
}

Test(local_arena, next_of_names_that_do_not_fit) {
        tooz_local_owner small = { .size = 8 };
        char longest[256] = "", name[256];
        uint64_t cookie = 0;

        memset(longest, 'l', 255);
        local_kit_lock(longest, 0);
        local_kit_lock("x", 0);
        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, 255, NULL), -ENOBUFS);
        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, 255, NULL), 1);
        kit_streq(name, "x");
        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, 255, NULL), 0);
        cookie = 0;
        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, 256, NULL), 1);
        kit_streq(name, longest);
        cookie = 0;
        kit_fails(tooz_local_arena_next(local_kit_arena(), &cookie, name, 256, &small), -EINVAL);
}
