/* SPDX-License-Identifier: Apache-2.0 */
/* The file of an arena: making, trusting, finding it damaged or gone, and its directory lock */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shm/futex.h"
#include "shm/shm-kit.h"

#define PATIENCE UINT64_C(30000)

SHM_SUITE(arena);

static int open_at(const char *path, unsigned flags) {
        ShmArena *a;
        int r = shm_arena_open(&a, path, 0600, flags);

        if (r >= 0)
                shm_arena_unref(a);
        return r;
}

static mode_t mode_of(const char *path) {
        struct stat st;

        cr_assert_eq(lstat(path, &st), 0);
        return st.st_mode & 07777;
}

/* A file of the size of an arena, with this in its header. */
static const char *forge(const ShmHeader *h) {
        const char *path = kit_path("forged");
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        cr_assert_geq(fd, 0);
        cr_assert_eq(pwrite(fd, h, sizeof(*h), 0), sizeof(*h));
        cr_assert_eq(ftruncate(fd, (off_t) SHM_FILE_SIZE), 0);
        (void) close(fd);
        return path;
}

static ShmHeader good_header(void) {
        return (ShmHeader) { .magic = SHM_MAGIC, .version = SHM_VERSION, .header_size = sizeof(ShmHeader),
                             .signature = SHM_SIGNATURE, .n_slots = 1, .sweep = 1 };
}

/* --- making ------------------------------------------------------------------------------------------------------ */

Test(arena, is_made_once) {
        const char *path = kit_path("a");
        ShmArena *a, *b;
        struct stat st;

        kit_fails(open_at(path, 0), -ENOENT);
        umask(0777);
        kit_ok(shm_arena_open(&a, path, 0660, SHM_OPEN_CREATE));
        umask(022);
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0660);
        cr_assert_eq(st.st_size, (off_t) SHM_FILE_SIZE);
        cr_assert_lt(st.st_blocks * 512, 1 << 20, "it is sparse");
        cr_assert_eq(a->header->magic, SHM_MAGIC);
        cr_assert_eq(a->header->version, SHM_VERSION);
        kit_ok(shm_arena_check(a));

        kit_ok(shm_arena_open(&b, path, 0600, 0));
        cr_assert_eq(a, b, "one mapping in a process");
        kit_ok(shm_arena_open(&b, path, 0600, SHM_OPEN_CREATE));
        cr_assert_eq(a, b);
        cr_assert_eq(a->n_refs, 3);
        cr_assert_eq(mode_of(path), 0660, "that of an arena which exists is left alone");
        shm_arena_unref(a);
        shm_arena_unref(a);
        shm_arena_unref(a);
}

Test(arena, is_the_same_by_another_path) {
        ShmArena *a = shm_kit_arena(), *b;
        char path[4096];

        (void) snprintf(path, sizeof(path), "%s/../%s", kit_folder(), strchr(shm_kit_path() + 1, '/') + 1);
        kit_ok(shm_arena_open(&b, path, 0600, 0));
        cr_assert_eq(a, b);
        shm_arena_unref(b);
}

Test(arena, bad_arguments) {
        ShmArena *a;

        kit_fails(shm_arena_open(&a, "relative", 0600, SHM_OPEN_CREATE), -EINVAL);
        kit_fails(shm_arena_open(&a, kit_path("a"), 0666, SHM_OPEN_CREATE), -EINVAL);
        kit_fails(shm_arena_open(&a, kit_path("a"), 0604, SHM_OPEN_CREATE), -EINVAL);
        kit_fails(shm_arena_open(&a, kit_path("a"), 0700, SHM_OPEN_CREATE), -EINVAL);
        kit_fails(shm_arena_open(&a, kit_path("a"), 04600, SHM_OPEN_CREATE), -EINVAL);
        kit_fails(shm_arena_open(&a, kit_path("no/a"), 0600, SHM_OPEN_CREATE), -ENOENT);
        kit_fails(open_at(kit_path("a"), 0), -ENOENT);
}

static _noreturn_ void racer(const char *path, int gate) {
        ShmArena *a;
        char c;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        must(read(gate, &c, 1) == 0);
        must(shm_arena_open(&a, path, 0660, SHM_OPEN_CREATE) == 0);
        must(a->header->n_slots == 1 && shm_arena_check(a) == 0);
        _exit(0);
}

/* Whoever comes first makes it, and nobody gets half of it. */
Test(arena, many_make_it_at_once) {
        const char *path = kit_path("a");
        int gate[2], status;

        for (unsigned round = 0; round < 10; round++) {
                cr_assert_eq(pipe(gate), 0);
                for (unsigned i = 0; i < 6; i++)
                        if (fork() == 0) {
                                (void) close(gate[1]);
                                racer(path, gate[0]);
                        }
                (void) close(gate[0]);
                (void) close(gate[1]);
                for (unsigned i = 0; i < 6; i++) {
                        cr_assert_gt(wait(&status), 0);
                        cr_assert_eq(status, 0);
                }
                cr_assert_eq(unlink(path), 0);
        }
}

/* --- a creator that was killed ----------------------------------------------------------------------------------- */

Test(arena, without_magic_is_made_anew) {
        ShmHeader h = good_header();
        const char *path;
        ShmArena *a;

        h.magic = 0;
        h.version = 77;
        h.n_blocks = 12345;
        h.dirty = 1;
        path = forge(&h);
        kit_fails(open_at(path, 0), -EPROTO);
        kit_ok(shm_arena_open(&a, path, 0600, SHM_OPEN_CREATE));
        cr_assert_eq(a->header->magic, SHM_MAGIC);
        cr_assert_eq(a->header->version, SHM_VERSION);
        cr_assert_eq(a->header->n_blocks, 0);
        cr_assert_eq(a->header->n_slots, 1);
        cr_assert_eq(a->header->dirty, 0);
        shm_arena_unref(a);
}

Test(arena, an_empty_file_is_made_one) {
        const char *path = kit_path("empty");
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_geq(fd, 0);
        (void) close(fd);
        kit_fails(open_at(path, 0), -EPROTO);
        kit_ok(open_at(path, SHM_OPEN_CREATE));
        kit_ok(open_at(path, 0));
}

/* In the midst of it, with the directory lock. */
static _noreturn_ void creator(const char *path, int ready) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = SHM_DIRECTORY_BYTE, .l_len = 1 };
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
        ShmHeader h = good_header();

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        h.magic = 0;
        must(fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) == 0);
        must(ftruncate(fd, (off_t) SHM_FILE_SIZE) == 0 && pwrite(fd, &h, 20, 0) == 20);
        must(write(ready, "", 1) == 1);
        for (;;)
                pause();
}

static void *kill_late(void *pid) {
        (void) usleep(50000);
        (void) kill(*(pid_t *) pid, SIGKILL);
        return NULL;
}

Test(arena, a_killed_creator_is_waited_for) {
        const char *path = kit_path("a");
        pthread_t killer;
        int ready[2];
        pid_t pid;
        char c;

        cr_assert_eq(pipe(ready), 0);
        pid = fork();
        if (pid == 0)
                creator(path, ready[1]);
        cr_assert_eq(read(ready[0], &c, 1), 1);
        kit_fails(open_at(path, 0), -EPROTO);
        cr_assert_eq(pthread_create(&killer, NULL, kill_late, &pid), 0);
        kit_ok(open_at(path, SHM_OPEN_CREATE));
        (void) pthread_join(killer, NULL);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        (void) close(ready[0]);
        (void) close(ready[1]);
}

/* --- not an arena ------------------------------------------------------------------------------------------------ */

static void assert_left_alone(const ShmHeader *h) {
        const char *path = forge(h);
        ShmHeader now;
        int fd;

        kit_fails(open_at(path, 0), -EPROTO);
        kit_fails(open_at(path, SHM_OPEN_CREATE), -EPROTO);
        kit_fails(open_at(path, SHM_OPEN_READONLY), -EPROTO);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        cr_assert_eq(read(fd, &now, sizeof(now)), sizeof(now));
        (void) close(fd);
        cr_assert_eq(memcmp(h, &now, sizeof(now)), 0);
}

Test(arena, another_version_is_left_alone) {
        ShmHeader h = good_header();

        kit_ok(open_at(forge(&h), 0));
        h.magic++;
        assert_left_alone(&h);
        h = good_header();
        h.version++;
        assert_left_alone(&h);
        h = good_header();
        h.signature++;
        assert_left_alone(&h);
        h = good_header();
        h.header_size /= 2;
        assert_left_alone(&h);
}

Test(arena, another_size_is_left_alone) {
        ShmHeader h = good_header();
        const char *path = forge(&h);
        const off_t sizes[] = { 1, 4096, (off_t) SHM_FILE_SIZE - 1, (off_t) SHM_FILE_SIZE + 1 };
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                cr_assert_eq(truncate(path, sizes[i]), 0);
                kit_fails(open_at(path, 0), -EPROTO);
                kit_fails(open_at(path, SHM_OPEN_CREATE), -EPROTO);
                cr_assert_eq(stat(path, &st), 0);
                cr_assert_eq(st.st_size, sizes[i]);
        }
}

/* --- trust ------------------------------------------------------------------------------------------------------- */

Test(arena, modes_that_are_not_safe) {
        const mode_t bad[] = { 0604, 0602, 0601, 0666, 0700, 0610, 04600, 02600 };
        ShmHeader h = good_header();
        const char *path = forge(&h);

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                cr_assert_eq(chmod(path, bad[i]), 0);
                if (mode_of(path) == bad[i])
                        kit_fails(open_at(path, 0), -EPERM);
        }
        cr_assert_eq(chmod(path, 0660), 0);
        kit_ok(open_at(path, 0));
}

Test(arena, a_file_with_two_names) {
        ShmHeader h = good_header();
        const char *path = forge(&h), *other = kit_path("other");

        cr_assert_eq(link(path, other), 0);
        kit_fails(open_at(path, 0), -EPERM);
        cr_assert_eq(unlink(other), 0);
        kit_ok(open_at(path, 0));
}

Test(arena, what_is_no_file) {
        ShmHeader h = good_header();
        const char *path = forge(&h), *symbolic = kit_path("link"), *dangling = kit_path("dangling");

        cr_assert_eq(symlink(path, symbolic), 0);
        kit_fails(open_at(symbolic, 0), -EPERM);
        kit_fails(open_at(symbolic, SHM_OPEN_CREATE), -EPERM);
        cr_assert_eq(symlink("nothing", dangling), 0);
        kit_fails(open_at(dangling, SHM_OPEN_CREATE), -EPERM);
        cr_assert_neq(access(kit_path("nothing"), F_OK), 0);
        cr_assert_eq(mkfifo(kit_path("fifo"), 0600), 0);
        kit_fails(open_at(kit_path("fifo"), SHM_OPEN_CREATE), -EPERM);
        cr_assert_eq(mkdir(kit_path("dir"), 0700), 0);
        cr_assert_lt(open_at(kit_path("dir"), SHM_OPEN_CREATE), 0);
}

/* Who may put a file there, or take one away, may put a forged one there. */
Test(arena, a_folder_of_everybody) {
        const char *folder = kit_path("open"), *path = kit_path("open/a");

        cr_assert_eq(mkdir(folder, 0700), 0);
        cr_assert_eq(chmod(folder, 0777), 0);
        kit_fails(open_at(path, SHM_OPEN_CREATE), -EPERM);
        cr_assert_neq(access(path, F_OK), 0);
        cr_assert_eq(chmod(folder, 01777), 0);
        kit_ok(open_at(path, SHM_OPEN_CREATE));
        cr_assert_eq(chmod(folder, 0777), 0);
        kit_fails(open_at(path, 0), -EPERM);
}

/* --- gone -------------------------------------------------------------------------------------------------------- */

Test(arena, removed) {
        ShmArena *a = shm_kit_arena(), *b;
        ShmActor *actor;

        cr_assert_eq(unlink(shm_kit_path()), 0);
        kit_fails(shm_arena_check(a), -ESTALE);
        kit_fails(shm_actor_new(&actor, a), -ESTALE);
        kit_fails(open_at(shm_kit_path(), 0), -ENOENT);
        kit_ok(shm_arena_open(&b, shm_kit_path(), 0600, SHM_OPEN_CREATE));
        cr_assert_neq(a, b);
        kit_ok(shm_arena_check(b));
        shm_arena_unref(b);
}

Test(arena, replaced) {
        ShmArena *a = shm_kit_arena(), *b;

        kit_ok(open_at(kit_path("new"), SHM_OPEN_CREATE));
        cr_assert_eq(rename(kit_path("new"), shm_kit_path()), 0);
        kit_fails(shm_arena_check(a), -ESTALE);
        kit_ok(shm_arena_open(&b, shm_kit_path(), 0600, 0));
        cr_assert_neq(a, b);
        shm_arena_unref(b);
}

Test(arena, renamed_away) {
        ShmArena *a = shm_kit_arena();

        cr_assert_eq(rename(shm_kit_path(), kit_path("old")), 0);
        kit_fails(shm_arena_check(a), -ESTALE);
        kit_ok(open_at(shm_kit_path(), SHM_OPEN_CREATE));
        kit_fails(shm_arena_check(a), -ESTALE);
        cr_assert_eq(rename(kit_path("old"), shm_kit_path()), 0);
        kit_ok(shm_arena_check(a));
}

Test(arena, damaged) {
        ShmArena *a = shm_kit_arena();

        a->header->signature++;
        kit_fails(shm_arena_check(a), -EBADMSG);
        a->header->signature--;
        atom_store(&a->header->magic, 0);
        kit_fails(shm_arena_check(a), -EBADMSG);
        atom_store(&a->header->magic, SHM_MAGIC);
        kit_ok(shm_arena_check(a));
        cr_assert_eq(truncate(shm_kit_path(), 0), 0);
        kit_fails(shm_arena_check(a), -EBADMSG);
}

/* --- directory lock ---------------------------------------------------------------------------------------------- */

static void lock_directory(ShmArena *a, void *arg) {
        must(shm_directory_lock(a, PATIENCE) == 0);
}

Test(arena, directory_lock_excludes_processes) {
        ShmArena *a = shm_kit_arena();
        uint64_t before;
        pid_t pid;

        pid = shm_kit_child(lock_directory, NULL);
        before = shm_now();
        kit_fails(shm_directory_lock(a, PATIENCE), -ETIMEDOUT);
        cr_assert_geq(shm_now() - before, PATIENCE);
        shm_kit_kill(pid);
        kit_ok(shm_directory_lock(a, 0));
        shm_directory_unlock(a);
}

/* A child has the description of its parent too, but has no business with its locks. */
Test(arena, directory_lock_survives_a_fork) {
        ShmArena *a = shm_kit_arena();
        int status;
        pid_t pid;

        kit_ok(shm_directory_lock(a, PATIENCE));
        pid = fork();
        if (pid == 0)
                _exit(0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        pid = fork();
        if (pid == 0) {
                ShmArena *own;

                must(shm_arena_open(&own, shm_kit_path(), 0600, 0) == 0);
                must(own != a && shm_directory_lock(own, 0) == -ETIMEDOUT);
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0);
        shm_directory_unlock(a);
}

#define ROUNDS 100

/* In words that others leave alone. */
static uint64_t *counter(const ShmArena *a) {
        return (uint64_t *) (void *) a->header->pad;
}

static void *count(void *arg) {
        ShmArena *a = arg;

        for (unsigned i = 0; i < ROUNDS; i++) {
                must(shm_directory_lock(a, UINT64_C(60000000)) == 0);
                *counter(a) = *counter(a) + 1;
                shm_directory_unlock(a);
        }
        return NULL;
}

static void count_in_threads(ShmArena *a, void *arg) {
        pthread_t threads[3];

        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                must(pthread_create(&threads[i], NULL, count, a) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
                (void) pthread_join(threads[i], NULL);
}

Test(arena, directory_lock_excludes_threads_and_processes) {
        ShmArena *a = shm_kit_arena();
        int status;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                ShmArena *own;

                must(shm_arena_open(&own, shm_kit_path(), 0600, 0) == 0);
                count_in_threads(own, NULL);
                _exit(0);
        }
        count_in_threads(a, NULL);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0);
        cr_assert_eq(*counter(a), 2 * 3 * ROUNDS);
}

/* --- to look only, and in a forked child ------------------------------------------------------------------------- */

Test(arena, readonly) {
        ShmArena *a = shm_kit_arena(), *b, *c;
        ShmActor *actor;

        kit_ok(shm_arena_open(&b, shm_kit_path(), 0600, SHM_OPEN_READONLY));
        cr_assert_neq(a, b);
        kit_ok(shm_arena_open(&c, shm_kit_path(), 0600, SHM_OPEN_READONLY));
        cr_assert_eq(b, c);
        shm_arena_unref(c);
        kit_fails(shm_directory_lock(b, 0), -EROFS);
        kit_fails(shm_actor_new(&actor, b), -EROFS);
        kit_ok(shm_arena_check(b));
        atom_store(&a->header->sweep, 3);
        cr_assert_eq(b->header->sweep, 3);
        shm_arena_unref(b);
}

Test(arena, readonly_makes_nothing) {
        cr_assert_lt(open_at(kit_path("a"), SHM_OPEN_READONLY | SHM_OPEN_CREATE), 0);
        cr_assert_neq(access(kit_path("a"), F_OK), 0);
}

Test(arena, a_forked_child_has_none) {
        ShmArena *a = shm_kit_arena(), *own;
        ShmActor *actor = shm_kit_actor();
        int status;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                ShmActor *mine;

                must(shm_arena_check(a) == -ECHILD);
                must(shm_actor_new(&mine, a) == -ECHILD);
                must(actor->arena == NULL);
                must(shm_arena_open(&own, shm_kit_path(), 0600, 0) == 0);
                must(own != a && shm_arena_check(own) == 0);
                must(shm_actor_new(&mine, own) == 0 && mine->first - own->blocks == 1);
                _exit(0);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert_eq(status, 0);
        kit_ok(shm_arena_check(a));
        cr_assert_eq(actor->arena, a);
}

/* The kernel's list of a thread's mutexes leads through it. */
Test(arena, stays_mapped_once_locked_in) {
        ShmArena *a = shm_kit_arena(), *b;

        shm_kit_actor();
        cr_assert(a->pinned);
        kit_ok(shm_arena_open(&b, shm_kit_path(), 0600, 0));
        cr_assert_eq(a, b);
        shm_arena_unref(b);
}
