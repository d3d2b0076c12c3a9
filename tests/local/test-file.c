/* SPDX-License-Identifier: Apache-2.0 */
/* The kind for files, by the public functions; what it rests on is tested in test-ofd.c */

#include <sys/stat.h>
#include <unistd.h>

#include "local/local-kit.h"
#include "shm/futex.h"

LOCAL_SUITE(local_file);

static tooz_local_lock *open_file(uint64_t flags) {
        tooz_local_lock *lock;

        kit_ok(tooz_local_lock_open_path(&lock, kit_path("file"), flags));
        local_kit_keep(lock);
        return lock;
}

Test(local_file, opening) {
        tooz_local_lock *lock;
        const char *name;
        struct stat st;

        kit_fails(tooz_local_lock_open_path(&lock, kit_path("file"), TOOZ_LOCAL_EXISTING), -ENOENT);
        kit_fails(tooz_local_lock_open_path(&lock, kit_path("file"), UINT64_C(16)), -EINVAL);
        cr_assert_neq(access(kit_path("file"), F_OK), 0);
        umask(027);
        lock = open_file(TOOZ_LOCAL_FCNTL | TOOZ_LOCAL_STAMP);
        cr_assert_eq(stat(kit_path("file"), &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0640);
        kit_ok(tooz_local_lock_get_name(lock, &name));
        kit_streq(name, kit_path("file"));
        open_file(TOOZ_LOCAL_EXISTING);
}

Test(local_file, acquiring) {
        tooz_local_lock *a = open_file(0), *b = open_file(0);
        uint64_t token = 1, before;

        kit_fails(tooz_local_lock_is_held(a), 0);
        kit_fails(tooz_local_lock_get_token(a, &token), -EPERM);
        kit_fails(tooz_local_lock_release(a), -EPERM);
        kit_fails(tooz_local_lock_acquire(a, X, 0), 0);
        kit_fails(tooz_local_lock_is_held(a), 1);
        kit_ok(tooz_local_lock_get_token(a, &token));
        cr_assert_eq(token, 0);
        kit_fails(tooz_local_lock_acquire(a, X, FOREVER), -EDEADLK);
        kit_fails(tooz_local_lock_acquire(a, (tooz_lock_mode) 2, 0), -EINVAL);
        /* It belongs to the object. */
        kit_fails(tooz_local_lock_try(b, S), -EAGAIN);
        before = shm_now();
        kit_fails(tooz_local_lock_acquire(b, X, SHORT), -ETIMEDOUT);
        kit_fails(tooz_local_lock_acquire_until(b, S, before + SHORT), -ETIMEDOUT);
        cr_assert_geq(shm_now(), before + SHORT);
        kit_fails(tooz_local_lock_acquire_until(b, S, 0), -ETIMEDOUT);
        kit_fails(tooz_local_lock_release(a), 0);
        kit_fails(tooz_local_lock_acquire(b, S, FOREVER), 0);
        kit_fails(tooz_local_lock_try(a, S), 0);
        kit_fails(tooz_local_lock_release(a), 0);
        kit_fails(tooz_local_lock_release(b), 0);
}

Test(local_file, converting) {
        tooz_local_lock *a = open_file(0), *b = open_file(0);

        kit_fails(tooz_local_lock_convert(a, X, 0), -EPERM);
        kit_ok(tooz_local_lock_acquire(a, S, 0));
        kit_ok(tooz_local_lock_acquire(b, S, 0));
        kit_fails(tooz_local_lock_convert(a, S, 0), 0);
        kit_fails(tooz_local_lock_convert(a, X, 0), -EAGAIN);
        kit_fails(tooz_local_lock_convert(a, X, SHORT), -ETIMEDOUT);
        kit_fails(tooz_local_lock_is_held(a), 1);
        kit_ok(tooz_local_lock_release(b));
        kit_fails(tooz_local_lock_convert(a, X, FOREVER), 0);
        kit_fails(tooz_local_lock_try(b, S), -EAGAIN);
        kit_fails(tooz_local_lock_convert(a, S, 0), 0);
        kit_fails(tooz_local_lock_try(b, S), 0);
}

Test(local_file, what_it_can_not) {
        tooz_local_owner owner = { .size = sizeof(owner) };
        tooz_local_stat stat = { .size = sizeof(stat) };
        tooz_local_lock *a = open_file(0);

        kit_ok(tooz_local_lock_acquire(a, X, 0));
        kit_fails(tooz_local_lock_mark_consistent(a), -EOPNOTSUPP);
        kit_fails(tooz_local_lock_break(a, 0), -EOPNOTSUPP);
        kit_fails(tooz_local_lock_get_owner(a, &owner), -EOPNOTSUPP);
        kit_fails(tooz_local_lock_get_stat(a, &stat), -EOPNOTSUPP);
        kit_fails(tooz_local_lock_start(a, X), -EOPNOTSUPP);
        cr_assert_lt(tooz_local_lock_resume(a), 0);
        cr_assert_lt(tooz_local_lock_cancel(a), 0);
        kit_ok(tooz_local_lock_release(a));
}

static void *release_it(void *arg) {
        must(tooz_local_lock_release(arg) == 0);
        return NULL;
}

Test(local_file, belongs_to_no_thread) {
        tooz_local_lock *a = open_file(0);
        pthread_t thread;

        kit_ok(tooz_local_lock_acquire(a, X, 0));
        cr_assert_eq(pthread_create(&thread, NULL, release_it, a), 0);
        (void) pthread_join(thread, NULL);
        kit_fails(tooz_local_lock_is_held(a), 0);
}

static void child(void *arg) {
        uint64_t token;

        must(tooz_local_lock_acquire(arg, X, 0) == -ECHILD);
        must(tooz_local_lock_try(arg, S) == -ECHILD);
        must(tooz_local_lock_convert(arg, S, 0) == -ECHILD);
        must(tooz_local_lock_release(arg) == -ECHILD);
        must(tooz_local_lock_get_token(arg, &token) == -ECHILD);
        must(tooz_local_lock_is_held(arg) == -ECHILD);
        tooz_local_lock_unref(arg);
}

Test(local_file, a_forked_child_releases_nothing) {
        tooz_local_lock *a = open_file(0), *b = open_file(0);

        kit_ok(tooz_local_lock_acquire(a, X, 0));
        child_run(child, a);
        kit_fails(tooz_local_lock_is_held(a), 1);
        kit_fails(tooz_local_lock_try(b, S), -EAGAIN);
        kit_ok(tooz_local_lock_release(a));
}

Test(local_file, unref_releases) {
        tooz_local_lock *a, *b = open_file(0);

        kit_ok(tooz_local_lock_open_path(&a, kit_path("file"), 0));
        kit_ok(tooz_local_lock_acquire(a, X, 0));
        tooz_local_lock_unref(a);
        kit_fails(tooz_local_lock_try(b, X), 0);
}

Test(local_file, removed) {
        tooz_local_lock *a = open_file(0);

        cr_assert_eq(unlink(kit_path("file")), 0);
        kit_fails(tooz_local_lock_acquire(a, X, 0), -ESTALE);
        kit_fails(tooz_local_lock_is_held(a), 0);
}
