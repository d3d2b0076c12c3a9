/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are no arena, that nobody should trust, that are cut off while they are used; and full file systems
 *
 * --seed N. As root it looks at more. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill-kit.h"
#include "local/local.h"
#include "shm/sigbus.h"

#define X TOOZ_LOCK_EXCLUSIVE
#define S TOOZ_LOCK_SHARED

static char path[160];

/* --- truncation ------------------------------------------------------------------------------------- */

static int try_open(const char *where, uint64_t flags) {
        tooz_local_arena *arena;
        int r = tooz_local_arena_open(&arena, where, 0600, flags);

        if (r >= 0)
                tooz_local_arena_unref(arena);
        return r;
}

/* In a process of its own: what it does may crash. The result, or 1000 + signal. */
static int try_apart(int (*function)(const char *, uint64_t), const char *where, uint64_t flags) {
        _Atomic int *result = kit_shared(4096);
        pid_t pid = kit_fork();
        int status, r;

        if (pid == 0) {
                *result = function(where, flags);
                _exit(0);
        }
        status = kit_reap(pid, 20);
        r = status == -1 ? 2000 : WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : *result;
        munmap((void *) result, 4096);
        return r;
}

static int open_and_acquire(const char *where, uint64_t flags) {
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        int r = tooz_local_arena_open(&arena, where, 0600, flags);

        if (r >= 0)
                r = tooz_local_lock_open(&lock, arena, "a", 0);
        if (r >= 0)
                r = tooz_local_lock_acquire(lock, X, 1000000);
        return r < 0 ? r : tooz_local_lock_release(lock);
}

static _Noreturn void tireless_process(bool guarded) {
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        int r;

        if (tooz_local_arena_open(&arena, path, 0600, 0) < 0 || tooz_local_lock_open(&lock, arena, "lock0", 0) < 0)
                _exit(84);
        if (guarded && shm_sigbus_guard(arena->shm) < 0)
                _exit(85);
        for (uint64_t until = kit_now() + 2000000; kit_now() < until;) {
                r = tooz_local_lock_acquire(lock, kit_below(2) ? X : S, 200000);
                if (r >= 0)
                        r = tooz_local_lock_release(lock);
        }
        r = tooz_local_lock_open(&lock, arena, "another", 0);
        _exit(r == -EBADMSG ? 0 : 86);
}

/* Without the guard of shm/sigbus.h, which belongs to the program, the kernel kills who uses it. */
static void run_truncate(off_t size, bool guarded) {
        const char *what = guarded ? "guarded" : "not guarded";
        pid_t pids[2];
        int r, status;

        kit_make_arena(path);
        for (unsigned i = 0; i < 2; i++) {
                uint64_t seed = kit_random();

                pids[i] = kit_fork();
                if (pids[i] == 0) {
                        kit_seed(seed);
                        tireless_process(guarded);
                }
        }
        kit_sleep(100000);
        r = truncate(path, size);
        for (unsigned i = 0; i < 2; i++) {
                status = kit_reap(pids[i], 30);
                if (!guarded && status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS)
                        status = 0;
                tap(r == 0 && status == 0, "cut to %ld under a user, %s: an error%s (status %x)", (long) size, what,
                    guarded ? "" : " or SIGBUS", status);
        }
        r = try_apart(open_and_acquire, path, 0);
        tap(r == -EPROTO || r == -EBADMSG, "cut to %ld: opening it is an error (%d)", (long) size, r);
        r = try_apart(open_and_acquire, path, TOOZ_LOCAL_ARENA_CREATE);
        tap(size == 0 ? r == 0 : r == -EPROTO || r == -EBADMSG, "cut to %ld: opening to make it (%d)", (long) size, r);
}

/* --- opening what is no arena ----------------------------------------------------------------------- */

static void write_at(const char *where, off_t offset, const void *data, size_t len) {
        int fd = open(where, O_RDWR | O_CREAT, 0600);

        if (fd < 0 || pwrite(fd, data, len, offset) != (ssize_t) len)
                abort();
        close(fd);
}

static void expect(const char *what, const char *where, int error) {
        static const struct { const char *name; uint64_t flags; } ways[] = {
                { "open", 0 }, { "make", TOOZ_LOCAL_ARENA_CREATE }, { "look", TOOZ_LOCAL_ARENA_READONLY },
        };
        char got[64] = "";
        bool good = true;

        for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
                int r = try_apart(try_open, where, ways[i].flags);

                good = good && r == error;
                snprintf(got + strlen(got), sizeof(got) - strlen(got), " %s %d", ways[i].name, r);
        }
        tap(good, "%s: -%s (%s)", what, strerrorname_np(-error), got + 1);
}

static void spoil(const char *what, size_t offset, uint64_t value, size_t len, int error) {
        kit_make_arena(path);
        write_at(path, (off_t) offset, &value, len);
        expect(what, path, error);
}

static void run_damaged(void) {
        static uint64_t noise[512];

        for (size_t i = 0; i < ARRAY_SIZE(noise); i++)
                noise[i] = kit_random();
        kit_make_arena(path);
        write_at(path, 0, noise, sizeof(noise));
        expect("random content", path, -EPROTO);
        (void) unlink(path);
        write_at(path, 0, noise, 1000);
        expect("a short file", path, -EPROTO);
        spoil("wrong magic", offsetof(ShmHeader, magic), SHM_MAGIC + 1, 8, -EPROTO);
        spoil("wrong version", offsetof(ShmHeader, version), SHM_VERSION + 1, 4, -EPROTO);
        spoil("wrong size of the header", offsetof(ShmHeader, header_size), 8192, 4, -EPROTO);
        spoil("wrong layout", offsetof(ShmHeader, signature), SHM_SIGNATURE + 1, 8, -EPROTO);
        kit_make_arena(path);
        if (truncate(path, SHM_FILE_SIZE + 4096) < 0)
                abort();
        expect("too long", path, -EPROTO);
}

static void make_socket(const char *where) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", where);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                abort();
        close(fd);
}

static int open_as_nobody(const char *where, uint64_t flags) {
        if (setgid(65534) < 0 || setuid(65534) < 0)
                return 0;
        return try_open(where, flags);
}

static void run_untrusted(void) {
        static const mode_t modes[] = { 0666, 0602, 0604, 0601, 04600, 0700 };
        const char *there = kit_path("there");
        char what[64];
        int r;

        kit_make_arena(path);
        for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
                if (chmod(path, modes[i]) < 0)
                        abort();
                snprintf(what, sizeof(what), "mode %04o", (unsigned) modes[i]);
                expect(what, path, -EPERM);
        }
        if (chmod(path, 0600) < 0 || symlink(path, there) < 0)
                abort();
        expect("a symbolic link", there, -EPERM);
        (void) unlink(there);
        if (link(path, there) < 0)
                abort();
        expect("a second name", there, -EPERM);
        (void) unlink(there);
        if (mkfifo(there, 0600) < 0)
                abort();
        expect("a pipe", there, -EPERM);
        (void) unlink(there);
        make_socket(there);
        expect("a socket", there, -EPERM);
        (void) unlink(there);
        if (mkdir(there, 0700) < 0)
                abort();
        expect("a folder", there, -EPERM);
        (void) rmdir(there);
        expect("a device", "/dev/null", -EPERM);
        if (geteuid() != 0)
                return;
        if (chmod(kit_folder(), 0755) < 0)
                abort();
        r = try_apart(open_as_nobody, path, 0);
        tap(r == -EACCES, "of another user: -EACCES (%d)", r);
}

/* The folder of the test, and one in it. */
static void run_places(void) {
        const char *folder = kit_path("folder"), *inside = kit_path("folder/arena"), *under = kit_path("arena/below");
        int r;

        r = try_apart(try_open, inside, TOOZ_LOCAL_ARENA_CREATE);
        tap(r == -ENOENT, "no folder: -ENOENT (%d)", r);
        r = try_apart(try_open, kit_path("nothing"), 0);
        tap(r == -ENOENT, "no file: -ENOENT (%d)", r);
        kit_make_arena(path);
        r = try_apart(try_open, under, TOOZ_LOCAL_ARENA_CREATE);
        tap(r == -ENOENT || r == -ENOTDIR, "a file for a folder (%d)", r);
        if (mkdir(folder, 0700) < 0 || chmod(folder, 0777) < 0)
                abort();
        r = try_apart(try_open, inside, TOOZ_LOCAL_ARENA_CREATE);
        tap(r == -EPERM, "a folder for everybody: -EPERM (%d)", r);
        if (chmod(folder, 01777) < 0)
                abort();
        r = try_apart(try_open, inside, TOOZ_LOCAL_ARENA_CREATE);
        tap(r == 0, "a folder for everybody, sticky (%d)", r);
        r = try_apart(try_open, "a/b", TOOZ_LOCAL_ARENA_CREATE);
        tap(r == -EINVAL, "a relative path: -EINVAL (%d)", r);
        r = try_apart(try_open, path, 64);
        tap(r == -EINVAL, "unknown flags: -EINVAL (%d)", r);
}

/* --- full file systems ------------------------------------------------------------------------------ */

static int use_small(const char *where, uint64_t kib) {
        char options[32];

        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return 3000;
        snprintf(options, sizeof(options), "size=%" PRIu64 "k", kib);
        if (mount("tmpfs", where, "tmpfs", 0, options) < 0)
                return 3000;
        return open_and_acquire(kit_path("small/arena"), TOOZ_LOCAL_ARENA_CREATE);
}

static void run_full(void) {
        const char *folder = kit_path("small");
        unsigned n_full = 0, n_fine = 0;
        bool good = true;

        if (mkdir(folder, 0700) < 0)
                abort();
        for (uint64_t kib = 4; kib <= 600; kib += 12) {
                int r = try_apart(use_small, folder, kib);

                if (r == 3000) {
                        tap_skip("full file systems", "no right to mount");
                        return;
                }
                n_full += r == -ENOSPC;
                n_fine += r == 0;
                if (r != -ENOSPC && r != 0) {
                        diag("file system of %" PRIu64 " KiB: %d", kib, r);
                        good = false;
                }
        }
        tap(good && n_full > 0 && n_fine > 0, "full file systems: -ENOSPC, %u times, and %u with room", n_full, n_fine);
}

int main(int argc, char **argv) {
        kit_seed_from(argc, argv);
        snprintf(path, sizeof(path), "%s", kit_path("arena"));
        for (int guarded = 0; guarded < 2; guarded++) {
                run_truncate(0, guarded);
                run_truncate(4096, guarded);
        }
        run_damaged();
        run_untrusted();
        run_places();
        run_full();
        return tap_done();
}
