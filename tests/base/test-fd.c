/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors and whole files */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/str.h"
#include "support/kit.h"

static unsigned count_files(const char *folder) {
        DIR *dir = opendir(folder);
        unsigned n = 0;

        cr_assert_not_null(dir);
        for (struct dirent *e; (e = readdir(dir));)
                n += e->d_name[0] != '.';
        closedir(dir);
        return n;
}

KIT_SUITE(fd);

Test(fd, close_keeps_errno) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        kit_ok(fd);
        errno = EAGAIN;
        cr_assert_eq(fd_close(fd), -1);
        cr_assert_eq(errno, EAGAIN);
        cr_assert_eq(fcntl(fd, F_GETFD), -1);
        cr_assert_eq(fd_close(-1), -1);
}

Test(fd, closing_twice_aborts, .signal = SIGABRT) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        fd_close(fd);
        fd_close(fd);
}

Test(fd, flags) {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        kit_ok(fd_set_nonblock(fd, true));
        cr_assert(fcntl(fd, F_GETFL) & O_NONBLOCK);
        kit_ok(fd_set_nonblock(fd, false));
        cr_assert_not(fcntl(fd, F_GETFL) & O_NONBLOCK);
        kit_ok(fd_set_cloexec(fd, false));
        cr_assert_not(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        kit_ok(fd_set_cloexec(fd, true));
        cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        kit_fails(fd_set_nonblock(-1, true), -EBADF);
        kit_fails(fd_set_cloexec(-1, true), -EBADF);
}

Test(fd, same_file) {
        _cleanup_close_ int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/null", O_WRONLY | O_CLOEXEC),
                            c = open("/dev/zero", O_RDONLY | O_CLOEXEC);

        cr_assert_eq(fd_is_same_file(a, b), 1);
        cr_assert_eq(fd_is_same_file(a, c), 0);
        kit_fails(fd_is_same_file(a, -1), -EBADF);
}

Test(fd, write_and_read_a_file) {
        const char *path = kit_path("state");
        char *data = NULL;
        struct stat st;
        size_t len;

        kit_ok(file_write_atomic(path, "one", 3, 0640));
        kit_ok(file_write_atomic(path, "a\0b", 3, 0600));
        kit_ok(stat(path, &st));
        cr_assert_eq(st.st_mode & 07777, 0600);
        cr_assert_eq(count_files(kit_folder()), 1, "a temporary file is left");

        kit_ok(file_read(path, 3, &data, &len));
        cr_assert_eq(len, 3);
        cr_assert_eq(memcmp(data, "a\0b", 4), 0);
        free(data);

        kit_fails(file_read(path, 2, &data, &len), -EFBIG);
        kit_fails(file_read(kit_path("none"), 2, &data, &len), -ENOENT);
        kit_fails(file_write_atomic(kit_path("none/x"), "", 0, 0600), -ENOENT);
}

/* The target can't be replaced: the old content stays and nothing is left beside it. */
Test(fd, failed_replacement_leaves_nothing) {
        const char *path = kit_path("folder");

        kit_ok(mkdir(path, 0700));
        kit_fails(file_write_atomic(path, "x", 1, 0600), -EISDIR);
        cr_assert_eq(count_files(kit_folder()), 1);
}

Test(fd, relative_path) {
        char *data = NULL;

        kit_ok(chdir(kit_folder()));
        kit_ok(file_write_atomic("here", "x", 1, 0600));
        kit_ok(file_read("here", 10, &data, NULL));
        kit_streq(data, "x");
        free(data);
}
