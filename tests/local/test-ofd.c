/* SPDX-License-Identifier: Apache-2.0 */
/* Open-file-description locks: exclusion, waiting, death, conversion, and what else there is at a path */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "local/ofd.h"
#include "shm/futex.h"
#include "support/kit.h"

#define SHARED true
#define EXCLUSIVE false
#define TRY 0
#define LATE (shm_now() + 600 * USEC_PER_SEC)
#define SOON (shm_now() + 120 * USEC_PER_MSEC)
#define NOBODY 65534

KIT_SUITE(ofd);

/* --- another process ------------------------------------------------------------------------------------------- */

/* What it is to do. It holds what it got until it is released or killed. */
typedef struct Job {
        bool shared;
        bool posix;          /* F_SETLK, as programs that know nothing of us */
        bool then_exclusive; /* once it is shared: convert */
        bool interruptible;
        uint64_t deadline_usec;
} Job;

typedef struct Peer {
        pid_t pid;
        int results; /* an int each: of the open, the lock, the conversion, and HANDLED for each signal */
        int hold;    /* a byte: it ends (not when closed: those forked later have it too) */
} Peer;

#define HANDLED 1

static int handler_fd;

static void report(int results, int r) {
        (void) !write(results, &r, sizeof(r));
}

static void on_signal(int number) {
        int saved = errno;

        report(handler_fd, HANDLED);
        errno = saved;
}

static int posix_lock(int fd, bool shared, uint64_t deadline_usec) {
        struct flock whole = { .l_type = shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };

        return fcntl(fd, deadline_usec == TRY ? F_SETLK : F_SETLKW, &whole) < 0 ? -errno : 0;
}

static int peer_lock(int fd, const Job *job, int results) {
        if (job->posix)
                return posix_lock(fd, job->shared, job->deadline_usec);
        if (!job->then_exclusive)
                return ofd_lock(fd, job->shared, job->deadline_usec, job->interruptible);

        report(results, ofd_lock(fd, SHARED, TRY, false));
        return ofd_convert(fd, EXCLUSIVE, job->deadline_usec, job->interruptible);
}

static _noreturn_ void peer_run(const char *path, const Job *job, int results, int hold) {
        const struct sigaction action = { .sa_handler = on_signal }; /* no SA_RESTART */
        char byte;
        int fd;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        handler_fd = results;
        (void) sigaction(SIGUSR1, &action, NULL);

        fd = ofd_open(path, true);
        report(results, fd);
        report(results, peer_lock(fd, job, results));
        while (read(hold, &byte, 1) < 0 && errno == EINTR)
                ;
        _exit(0);
}

static int peer_result(const Peer *peer) {
        int r = -EPIPE;

        cr_assert_eq(read(peer->results, &r, sizeof(r)), sizeof(r));
        return r;
}

/* Returns when it has opened the file and can be sent signals. */
static Peer peer_start(const char *path, Job job) {
        int results[2], hold[2];
        Peer peer;

        cr_assert_eq(pipe2(results, O_CLOEXEC), 0);
        cr_assert_eq(pipe2(hold, O_CLOEXEC), 0);
        peer = (Peer) { .pid = fork(), .results = results[0], .hold = hold[1] };
        if (peer.pid == 0) {
                (void) close(hold[1]);
                peer_run(path, &job, results[1], hold[0]);
        }
        cr_assert_gt(peer.pid, 0);
        (void) fd_close(results[1]);
        (void) fd_close(hold[0]);
        kit_ok(peer_result(&peer));
        return peer;
}

static Peer peer_hold(const char *path, Job job) {
        Peer peer = peer_start(path, job);

        kit_ok(peer_result(&peer));
        return peer;
}

static void peer_signal(const Peer *peer) {
        cr_assert_eq(kill(peer->pid, SIGUSR1), 0);
}

static void peer_reap(Peer *peer) {
        cr_assert_eq(waitpid(peer->pid, NULL, 0), peer->pid);
        (void) fd_close(peer->results);
        (void) fd_close(peer->hold);
}

static void peer_release(Peer *peer) {
        kit_ok(fd_write_all(peer->hold, "", 1));
        peer_reap(peer);
}

static void peer_kill(Peer *peer) {
        cr_assert_eq(kill(peer->pid, SIGKILL), 0);
        peer_reap(peer);
}

/* Returns when somebody sleeps in fcntl() for a lock on the file. */
static void wait_blocked(const char *path) {
        char line[256], inode[32];
        bool found = false;
        struct stat st;

        cr_assert_eq(stat(path, &st), 0);
        kit_ok(str_print(inode, sizeof(inode), ":%ju ", (uintmax_t) st.st_ino));
        while (!found) {
                FILE *locks = fopen("/proc/locks", "re");

                cr_assert_not_null(locks);
                while (fgets(line, sizeof(line), locks))
                        found = found || (strstr(line, "-> ") && strstr(line, inode));
                (void) fclose(locks);
                (void) usleep(1000);
        }
}

/* --- this process ---------------------------------------------------------------------------------------------- */

static int open_new(const char **ret_path) {
        *ret_path = kit_path("lock");
        return kit_ok(ofd_open(*ret_path, false));
}

static int open_again(const char *path) {
        return kit_ok(ofd_open(path, true));
}

/* Whether a new descriptor could have it in this mode. */
static bool is_free(const char *path, bool shared) {
        int fd = open_again(path), r;

        r = ofd_lock(fd, shared, TRY, false);
        cr_assert(r == 0 || r == -EAGAIN, "%s", strerror(-r));
        (void) fd_close(fd);
        return r == 0;
}

static void assert_held(const char *path, bool shared) {
        cr_assert_not(is_free(path, EXCLUSIVE));
        cr_assert_eq(is_free(path, SHARED), shared);
}

static void assert_free(const char *path) {
        cr_assert(is_free(path, EXCLUSIVE));
}

/* --- opening --------------------------------------------------------------------------------------------------- */

Test(ofd, makes_the_file_less_umask) {
        const char *path = kit_path("lock");
        struct stat st;
        int fd;

        (void) umask(027);
        kit_fails(ofd_open(path, true), -ENOENT);
        fd = kit_ok(ofd_open(path, false));
        cr_assert_eq(fstat(fd, &st), 0);
        cr_assert_eq(st.st_mode, (mode_t) (S_IFREG | 0640));
        cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        (void) fd_close(fd);
}

Test(ofd, leaves_the_content_alone) {
        const char *path = kit_path("lock");
        char *data;

        kit_ok(file_write_atomic(path, "data", 4, 0600));
        for (int existing = 0; existing <= 1; existing++) {
                int fd = kit_ok(ofd_open(path, existing));

                kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
                (void) fd_close(fd);
        }
        kit_ok(file_read(path, 16, &data, NULL));
        kit_streq(data, "data");
        free(data);
}

Test(ofd, regular_files_only) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *fifo = kit_path("fifo");
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        cr_assert_eq(mkfifo(fifo, 0600), 0);
        kit_ok(str_copy(address.sun_path, sizeof(address.sun_path), kit_path("socket")));
        cr_assert_eq(bind(s, (struct sockaddr *) &address, sizeof(address)), 0);
        for (int existing = 0; existing <= 1; existing++) {
                kit_fails(ofd_open(kit_folder(), existing), -EISDIR);
                kit_fails(ofd_open(fifo, existing), -EINVAL);
                kit_fails(ofd_open(address.sun_path, existing), -EINVAL);
                kit_fails(ofd_open("/dev/null", existing), -EINVAL);
                kit_fails(ofd_open("", existing), -ENOENT);
                kit_fails(ofd_open(kit_path("no-folder/lock"), existing), -ENOENT);
        }
        (void) fd_close(s);
}

Test(ofd, follows_links_to_what_exists_only) {
        const char *link = kit_path("link"), *path;
        int fd, other;

        cr_assert_eq(symlink("lock", link), 0);
        kit_fails(ofd_open(link, true), -ENOENT);
        kit_fails(ofd_open(link, false), -ELOOP);
        cr_assert_eq(access(kit_path("lock"), F_OK), -1);

        fd = open_new(&path);
        other = kit_ok(ofd_open(link, false));
        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        kit_fails(ofd_lock(other, EXCLUSIVE, TRY, false), -EAGAIN);
        (void) fd_close(fd);
        (void) fd_close(other);
}

static void assert_shared_only(const char *path, int error) {
        int fd = kit_ok(ofd_open(path, false));

        kit_ok(ofd_lock(fd, SHARED, TRY, false));
        kit_fails(ofd_convert(fd, EXCLUSIVE, TRY, false), error);
        kit_ok(ofd_unlock(fd));
        kit_fails(ofd_lock(fd, EXCLUSIVE, TRY, false), error);
        kit_fails(ofd_lock(fd, EXCLUSIVE, SOON, false), error);
        kit_fails(ofd_lock(fd, EXCLUSIVE, USEC_INFINITY, false), error);
        (void) fd_close(fd);
}

Test(ofd, no_permission_to_write_is_shared_only) {
        const char *path = kit_path("lock"), *secret = kit_path("secret"), *fifo = kit_path("fifo");
        bool is_root = geteuid() == 0;

        cr_assert_eq(mkfifo(fifo, 0444), 0);
        kit_ok(file_write_atomic(path, "", 0, 0444));
        kit_ok(file_write_atomic(secret, "", 0, 0));
        cr_assert_eq(chmod(kit_folder(), 0755), 0);
        if (is_root)
                cr_assert_eq(seteuid(NOBODY), 0);

        assert_shared_only(path, -EACCES);
        kit_fails(ofd_open(secret, false), -EACCES);
        kit_fails(ofd_open(fifo, false), -EINVAL);
        if (is_root) {
                kit_fails(ofd_open(kit_path("new"), false), -EACCES);
                cr_assert_eq(seteuid(0), 0);
        }
}

Test(ofd, a_read_only_file_system_is_shared_only) {
        const char *folder = kit_path("mnt"), *path = kit_path("mnt/lock");

        cr_assert_eq(mkdir(folder, 0700), 0);
        kit_ok(file_write_atomic(path, "", 0, 0600));
        if (unshare(CLONE_NEWNS) < 0)
                cr_skip_test("no mount namespace: %s", strerror(errno));
        cr_assert_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        cr_assert_eq(mount(folder, folder, NULL, MS_BIND, NULL), 0);
        cr_assert_eq(mount(NULL, folder, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);

        assert_shared_only(path, -EROFS);
        kit_fails(ofd_open(kit_path("mnt/new"), false), -EROFS);
        cr_assert_eq(umount2(folder, MNT_DETACH), 0);
}

/* A program that runs can't be written to. */
Test(ofd, a_running_program_is_shared_only) {
        int fd = kit_ok(ofd_open("/proc/self/exe", true));

        kit_ok(ofd_lock(fd, SHARED, SOON, false));
        kit_ok(ofd_unlock(fd));
        (void) fd_close(fd);
}

Test(ofd, bad_descriptors) {
        kit_fails(ofd_lock(-1, SHARED, TRY, false), -EBADF);
        kit_fails(ofd_lock(-1, EXCLUSIVE, USEC_INFINITY, false), -EBADF);
        kit_fails(ofd_convert(-1, EXCLUSIVE, SOON, false), -EBADF);
        errno = ENOENT;
        kit_fails(ofd_unlock(-1), -EBADF);
        cr_assert_eq(errno, ENOENT, "not what a signal handler may call");
}

/* --- exclusion (promise 1) ------------------------------------------------------------------------------------- */

Test(ofd, two_descriptors_of_one_process) {
        const char *path;
        int a = open_new(&path), b = open_again(path);

        for (int first = 0; first <= 1; first++)
                for (int second = 0; second <= 1; second++) {
                        int wanted = first && second ? 0 : -EAGAIN;

                        kit_ok(ofd_lock(a, first, TRY, false));
                        kit_fails(ofd_lock(b, second, TRY, false), wanted);
                        kit_ok(ofd_unlock(a));
                        kit_ok(ofd_unlock(b));
                        assert_free(path);
                }
        kit_ok(ofd_unlock(a));
        (void) fd_close(a);
        (void) fd_close(b);
}

/* Both ways, with other users of this library and with programs that use traditional locks. */
Test(ofd, two_processes) {
        const char *path;
        int fd = open_new(&path);

        for (int i = 0; i < 8; i++) {
                bool ours = i & 1, theirs = i & 2;
                int wanted = ours && theirs ? 0 : -EAGAIN;
                Peer peer = peer_hold(path, (Job) { .shared = theirs, .posix = i & 4 });

                kit_fails(ofd_lock(fd, ours, TRY, false), wanted);
                peer_release(&peer);

                kit_ok(ofd_lock(fd, ours, TRY, false));
                peer = peer_start(path, (Job) { .shared = theirs, .posix = i & 4 });
                kit_fails(peer_result(&peer), wanted);
                peer_release(&peer);
                kit_ok(ofd_unlock(fd));
        }
        (void) fd_close(fd);
}

/* Unlike what F_SETLK would do. */
Test(ofd, another_descriptor_closed_releases_nothing) {
        const char *path;
        int fd = open_new(&path);

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        (void) fd_close(open_again(path));
        assert_held(path, EXCLUSIVE);
        (void) fd_close(fd);
        assert_free(path);
}

Test(ofd, the_file_may_grow) {
        const char *path;
        int fd = open_new(&path);
        struct flock end = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1 << 20, .l_len = 1 };

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        cr_assert_eq(fcntl(fd, F_GETLK, &end), 0); /* as a traditional lock, which conflicts with our own */
        cr_assert_eq(end.l_type, F_WRLCK);
        (void) fd_close(fd);
}

Test(ofd, many_share_and_the_last_lets_a_writer_in) {
        const char *path;
        int fd = open_new(&path);
        Peer readers[4];

        for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
                readers[i] = peer_hold(path, (Job) { .shared = true, .posix = i % 2 });
        for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
                kit_fails(ofd_lock(fd, EXCLUSIVE, TRY, false), -EAGAIN);
                peer_release(&readers[i]);
        }
        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        (void) fd_close(fd);
}

/* --- waiting (promise 6) --------------------------------------------------------------------------------------- */

Test(ofd, times_out_and_not_before_the_deadline) {
        static const uint64_t msec[] = { 0, 1, 5, 10, 11, 35, 120, 333 };
        const char *path;
        int fd = open_new(&path);
        Peer peer = peer_hold(path, (Job) {});

        for (size_t i = 0; i < ARRAY_SIZE(msec); i++) {
                uint64_t deadline = shm_now() + msec[i] * USEC_PER_MSEC;

                kit_fails(ofd_lock(fd, i % 2, deadline, false), -ETIMEDOUT);
                cr_assert_geq(shm_now(), deadline);
        }
        kit_fails(ofd_lock(fd, EXCLUSIVE, 1, false), -ETIMEDOUT);
        peer_release(&peer);

        kit_ok(ofd_lock(fd, EXCLUSIVE, 1, false)); /* free: not even a past deadline is in the way */
        (void) fd_close(fd);
}

Test(ofd, waiters_get_it_when_it_is_released) {
        const uint64_t deadlines[] = { LATE, USEC_INFINITY, USEC_INFINITY - 1 };
        const char *path;
        int fd = open_new(&path);

        for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++) {
                Peer peer;

                kit_ok(ofd_lock(fd, i % 2, TRY, false));
                peer = peer_start(path, (Job) { .deadline_usec = deadlines[i] });
                if (deadlines[i] == USEC_INFINITY)
                        wait_blocked(path);
                kit_ok(ofd_unlock(fd));
                kit_ok(peer_result(&peer));
                assert_held(path, EXCLUSIVE);
                peer_release(&peer);
        }
        (void) fd_close(fd);
}

Test(ofd, traditional_waiters_and_we_wake_each_other) {
        const char *path;
        int fd = open_new(&path);
        Peer holder, waiter;

        holder = peer_hold(path, (Job) { .posix = true });
        waiter = peer_start(path, (Job) { .deadline_usec = USEC_INFINITY });
        wait_blocked(path);
        peer_release(&holder);
        kit_ok(peer_result(&waiter));

        holder = waiter;
        waiter = peer_start(path, (Job) { .posix = true, .deadline_usec = USEC_INFINITY });
        wait_blocked(path);
        peer_release(&holder);
        kit_ok(peer_result(&waiter));
        peer_release(&waiter);
        (void) fd_close(fd);
}

Test(ofd, signals_do_not_end_a_wait_for_ever) {
        const char *path;
        int fd = open_new(&path);
        Peer peer;

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        peer = peer_start(path, (Job) { .deadline_usec = USEC_INFINITY });
        for (unsigned i = 0; i < 3; i++) {
                wait_blocked(path);
                peer_signal(&peer);
                cr_assert_eq(peer_result(&peer), HANDLED);
        }
        wait_blocked(path);
        kit_ok(ofd_unlock(fd));
        kit_ok(peer_result(&peer));
        peer_release(&peer);
        (void) fd_close(fd);
}

Test(ofd, signals_do_not_end_a_wait_until_a_deadline) {
        const char *path;
        int fd = open_new(&path), r = HANDLED;
        uint64_t deadline;
        Peer peer;

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        deadline = shm_now() + 500 * USEC_PER_MSEC;
        peer = peer_start(path, (Job) { .deadline_usec = deadline });
        for (unsigned i = 0; r == HANDLED; i++) {
                if (i < 5)
                        peer_signal(&peer);
                r = peer_result(&peer);
        }
        kit_fails(r, -ETIMEDOUT);
        cr_assert_geq(shm_now(), deadline);
        peer_release(&peer);
        (void) fd_close(fd);
}

Test(ofd, signals_end_an_interruptible_wait) {
        const char *path;
        int fd = open_new(&path);
        Peer peer;

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        peer = peer_start(path, (Job) { .interruptible = true, .deadline_usec = USEC_INFINITY });
        wait_blocked(path);
        peer_signal(&peer);
        cr_assert_eq(peer_result(&peer), HANDLED);
        kit_fails(peer_result(&peer), -EINTR);
        peer_release(&peer);

        /* Nearly always asleep, but a signal may hit it elsewhere: then another does it. */
        peer = peer_start(path, (Job) { .interruptible = true, .deadline_usec = LATE });
        for (int r = HANDLED; r != -EINTR;) {
                struct pollfd p = { .fd = peer.results, .events = POLLIN };

                (void) usleep(1000);
                peer_signal(&peer);
                while (r != -EINTR && poll(&p, 1, 20) > 0) {
                        r = peer_result(&peer);
                        cr_assert(r == HANDLED || r == -EINTR, "%d", r);
                }
        }
        peer_release(&peer);
        (void) fd_close(fd);
}

static bool came_through;

/* A frame of its own: AddressSanitizer does not expect that variables go away by cancellation. */
static __attribute__((__noinline__)) void lock_while_cancelled(int fds[static 3]) {
        (void) pthread_cancel(pthread_self());
        kit_fails(ofd_lock(fds[0], EXCLUSIVE, SOON, false), -ETIMEDOUT);
        kit_ok(ofd_lock(fds[1], EXCLUSIVE, USEC_INFINITY, false));
        kit_ok(ofd_convert(fds[1], SHARED, USEC_INFINITY, false));
        kit_ok(ofd_unlock(fds[1]));
        kit_fails(ofd_open("/dev/null", true), -EINVAL);
        fds[2] = kit_ok(ofd_open("/proc/self/exe", true));
        came_through = true;
}

static void *cancelled_thread(void *arg) {
        lock_while_cancelled(arg);
        pthread_testcancel();
        return NULL;
}

Test(ofd, no_cancellation_points) {
        const char *path;
        int fd = open_new(&path), fds[3] = { open_again(path), kit_ok(ofd_open(kit_path("other"), false)), -1 };
        pthread_t thread;
        void *result;

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        cr_assert_eq(pthread_create(&thread, NULL, cancelled_thread, fds), 0);
        cr_assert_eq(pthread_join(thread, &result), 0);
        cr_assert(came_through);
        cr_assert_eq(result, PTHREAD_CANCELED, "the cancellation was forgotten");
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                (void) fd_close(fds[i]);
        (void) fd_close(fd);
}

/* --- death (promise 4) ----------------------------------------------------------------------------------------- */

Test(ofd, death_of_the_holder_releases) {
        const uint64_t deadlines[] = { USEC_INFINITY, LATE };
        const char *path;
        int fd = open_new(&path);

        for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++) {
                Peer holder = peer_hold(path, (Job) {}), waiter;

                waiter = peer_start(path, (Job) { .deadline_usec = deadlines[i] });
                if (deadlines[i] == USEC_INFINITY)
                        wait_blocked(path);
                peer_kill(&holder);
                kit_ok(peer_result(&waiter));
                peer_kill(&waiter);
                kit_ok(ofd_lock(fd, EXCLUSIVE, deadlines[i], false));
                kit_ok(ofd_unlock(fd));
        }
        (void) fd_close(fd);
}

Test(ofd, death_of_a_waiter_leaves_nothing) {
        const char *path;
        int fd = open_new(&path);
        Peer waiter;

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        waiter = peer_start(path, (Job) { .deadline_usec = USEC_INFINITY });
        wait_blocked(path);
        peer_kill(&waiter);
        kit_ok(ofd_unlock(fd));
        assert_free(path);
        (void) fd_close(fd);
}

/* --- conversion ------------------------------------------------------------------------------------------------ */

Test(ofd, downgrade_lets_readers_in) {
        const char *path;
        int fd = open_new(&path);
        Peer reader;

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        reader = peer_start(path, (Job) { .shared = true, .deadline_usec = USEC_INFINITY });
        wait_blocked(path);
        kit_ok(ofd_convert(fd, SHARED, TRY, false));
        kit_ok(peer_result(&reader));
        assert_held(path, SHARED);
        peer_release(&reader);
        assert_held(path, SHARED);
        kit_ok(ofd_convert(fd, EXCLUSIVE, TRY, false));
        assert_held(path, EXCLUSIVE);
        (void) fd_close(fd);
}

Test(ofd, an_upgrade_that_fails_leaves_the_shared_lock) {
        const char *path;
        int fd = open_new(&path);

        for (int posix = 0; posix <= 1; posix++) {
                Peer reader = peer_hold(path, (Job) { .shared = true, .posix = posix });
                uint64_t deadline = SOON;

                kit_ok(ofd_lock(fd, SHARED, TRY, false));
                kit_fails(ofd_convert(fd, EXCLUSIVE, TRY, false), -EAGAIN);
                kit_fails(ofd_convert(fd, EXCLUSIVE, deadline, false), -ETIMEDOUT);
                cr_assert_geq(shm_now(), deadline);
                peer_release(&reader);
                assert_held(path, SHARED);
                kit_ok(ofd_unlock(fd));
        }
        assert_free(path);
        (void) fd_close(fd);
}

Test(ofd, an_upgrade_that_waits_holds_the_shared_lock) {
        const char *path;
        int fd = open_new(&path);
        Peer upgrader;

        kit_ok(ofd_lock(fd, SHARED, TRY, false));
        upgrader = peer_start(path, (Job) { .then_exclusive = true, .deadline_usec = USEC_INFINITY });
        kit_ok(peer_result(&upgrader));
        wait_blocked(path);
        kit_fails(ofd_convert(fd, EXCLUSIVE, TRY, false), -EAGAIN); /* so the other has its part */
        assert_held(path, SHARED);                                  /* and does not keep readers out */
        kit_ok(ofd_unlock(fd));
        kit_ok(peer_result(&upgrader));
        assert_held(path, EXCLUSIVE);
        peer_release(&upgrader);
        (void) fd_close(fd);
}

Test(ofd, an_interrupted_upgrade_leaves_the_shared_lock) {
        const char *path;
        int fd = open_new(&path);
        Peer upgrader;

        kit_ok(ofd_lock(fd, SHARED, TRY, false));
        upgrader = peer_start(path, (Job) { .then_exclusive = true, .interruptible = true,
                                            .deadline_usec = USEC_INFINITY });
        kit_ok(peer_result(&upgrader));
        wait_blocked(path);
        peer_signal(&upgrader);
        cr_assert_eq(peer_result(&upgrader), HANDLED);
        kit_fails(peer_result(&upgrader), -EINTR);
        kit_ok(ofd_unlock(fd));
        assert_held(path, SHARED);
        peer_release(&upgrader);
        assert_free(path);
        (void) fd_close(fd);
}

/* Both have the lock shared and want it alone: with a time-out both are told, and neither has lost anything. */
Test(ofd, two_upgrades_time_out) {
        const char *path;
        int fd = open_new(&path);
        Peer upgrader;

        kit_ok(ofd_lock(fd, SHARED, TRY, false));
        upgrader = peer_start(path, (Job) { .then_exclusive = true, .deadline_usec = SOON });
        kit_ok(peer_result(&upgrader));
        kit_fails(ofd_convert(fd, EXCLUSIVE, SOON, false), -ETIMEDOUT);
        kit_fails(peer_result(&upgrader), -ETIMEDOUT);
        assert_held(path, SHARED);
        kit_ok(ofd_unlock(fd));
        assert_held(path, SHARED);
        peer_release(&upgrader);
        (void) fd_close(fd);
}

/* --- files that are removed ------------------------------------------------------------------------------------ */

/* Asked without taking it: what fd's file would say to somebody else. */
static short conflict(int fd) {
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

        cr_assert_eq(fcntl(fd, F_OFD_GETLK, &whole), 0);
        return whole.l_type;
}

Test(ofd, a_removed_file_is_stale) {
        const char *path;
        int fd = open_new(&path), other = open_again(path), fresh;

        cr_assert_eq(unlink(path), 0);
        for (int shared = 0; shared <= 1; shared++) {
                kit_fails(ofd_lock(fd, shared, TRY, false), -ESTALE);
                kit_fails(ofd_lock(fd, shared, SOON, false), -ESTALE);
                kit_fails(ofd_lock(fd, shared, USEC_INFINITY, false), -ESTALE);
                cr_assert_eq(conflict(other), F_UNLCK, "it was left locked");
        }

        fresh = kit_ok(ofd_open(path, false));
        kit_ok(ofd_lock(fresh, EXCLUSIVE, TRY, false));
        (void) fd_close(fd);
        (void) fd_close(other);
        (void) fd_close(fresh);
}

Test(ofd, a_replaced_file_is_stale) {
        const char *path, *other = kit_path("other");
        int fd = open_new(&path);

        kit_ok(file_write_atomic(other, "", 0, 0600));
        cr_assert_eq(rename(other, path), 0);
        kit_fails(ofd_lock(fd, EXCLUSIVE, TRY, false), -ESTALE);
        (void) fd_close(fd);
}

/* A name of it is left: whoever opens that is excluded. */
Test(ofd, a_moved_file_is_not_stale) {
        const char *path, *other = kit_path("other");
        int fd = open_new(&path);

        cr_assert_eq(rename(path, other), 0);
        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        assert_held(other, EXCLUSIVE);
        (void) fd_close(fd);
}

Test(ofd, a_file_removed_by_its_holder_is_stale_for_the_waiter) {
        const uint64_t deadlines[] = { USEC_INFINITY, LATE };

        for (size_t i = 0; i < ARRAY_SIZE(deadlines); i++) {
                const char *path;
                int fd = open_new(&path), other = open_again(path);
                Peer waiter;

                kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
                waiter = peer_start(path, (Job) { .deadline_usec = deadlines[i] });
                if (deadlines[i] == USEC_INFINITY)
                        wait_blocked(path);
                cr_assert_eq(unlink(path), 0);
                kit_ok(ofd_unlock(fd));
                kit_fails(peer_result(&waiter), -ESTALE);
                cr_assert_eq(conflict(other), F_UNLCK);
                peer_release(&waiter);
                (void) fd_close(fd);
                (void) fd_close(other);
        }
}

Test(ofd, conversion_of_a_removed_file_takes_nothing_away) {
        const char *path;
        int fd = open_new(&path), other = open_again(path);

        kit_ok(ofd_lock(fd, EXCLUSIVE, TRY, false));
        cr_assert_eq(unlink(path), 0);
        kit_ok(ofd_convert(fd, SHARED, TRY, false));
        cr_assert_eq(conflict(other), F_RDLCK);
        kit_fails(ofd_convert(fd, EXCLUSIVE, TRY, false), -ESTALE);
        cr_assert_eq(conflict(other), F_RDLCK);
        kit_ok(ofd_unlock(fd));
        cr_assert_eq(conflict(other), F_UNLCK);
        (void) fd_close(fd);
        (void) fd_close(other);
}
