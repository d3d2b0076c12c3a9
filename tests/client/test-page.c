/* SPDX-License-Identifier: Apache-2.0 */
/* Reader of the status page: what it believes, and what it does when the writer is gone */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/time.h"
#include "client/page.h"
#include "client/pages.h"
#include "support/kit.h"

KIT_SUITE(page);

static struct tooz_page *written;
static Page *page;

static void open_page(void) {
        int fd;

        written = pages_new(&fd);
        kit_ok(page_open(&page, fd));
        close(fd);
}

static void close_page(void) {
        (void) page_unref(page);
        pages_free(written);
}

Test(page, holds_in_its_epoch_while_up_or_suspended) {
        open_page();
        pages_write(written, TOOZ_PAGE_UP, 3, 1000);
        cr_assert_eq(page_deadline(page, 3), 1000);
        cr_assert_eq(page_deadline(page, 2), 0);
        cr_assert_eq(page_deadline(page, 4), 0);
        pages_write(written, TOOZ_PAGE_SUSPENDED, 3, 1000);
        cr_assert_eq(page_deadline(page, 3), 1000);
        pages_write(written, TOOZ_PAGE_OVERDUE, 3, 1000);
        cr_assert_eq(page_deadline(page, 3), 0);
        pages_write(written, TOOZ_PAGE_CONNECTING, 3, 1000);
        cr_assert_eq(page_deadline(page, 3), 0);
        cr_assert_eq(page_session_timeout(page), 6000000);
        close_page();
}

Test(page, a_writer_that_died_while_writing_is_expired) {
        PageView view;

        open_page();
        pages_write(written, TOOZ_PAGE_UP, 3, USEC_INFINITY);
        cr_assert_eq(page_deadline(page, 3), USEC_INFINITY);
        written->sequence++;
        kit_fails(page_read(page, &view), -ESTALE);
        cr_assert_eq(page_deadline(page, 3), 0);
        cr_assert_eq(page_session_timeout(page), 0);
        close_page();
}

static void *write_for_ever(void *stop) {
        for (uint64_t i = 1; !__atomic_load_n((bool *) stop, __ATOMIC_RELAXED); i++)
                pages_write(written, TOOZ_PAGE_UP, i, ~i);
        return NULL;
}

Test(page, a_view_is_of_one_write) {
        pthread_t writer;
        bool stop = false;
        unsigned n_read = 0;

        open_page();
        pages_write(written, TOOZ_PAGE_UP, 0, UINT64_MAX);
        cr_assert_eq(pthread_create(&writer, NULL, write_for_ever, &stop), 0);
        for (unsigned i = 0; i < 100000; i++) {
                PageView view;

                if (page_read(page, &view) < 0)
                        continue;
                n_read++;
                cr_assert_eq(view.deadline_usec, ~view.epoch);
        }
        __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
        cr_assert_eq(pthread_join(writer, NULL), 0);
        cr_assert_gt(n_read, 0);
        close_page();
}

Test(page, what_cannot_be_trusted_is_refused) {
        int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING), pipe_fds[2];
        struct tooz_page good = { .magic = TOOZ_PAGE_MAGIC, .version = TOOZ_PAGE_VERSION, .size = sizeof(good) };
        Page *p = NULL;

        cr_assert_eq(write(fd, &good, sizeof(good)), (ssize_t) sizeof(good));
        kit_fails(page_open(&p, fd), -EBADMSG);
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
        kit_ok(page_open(&p, fd));
        p = page_unref(p);

        good.version++;
        cr_assert_eq(pwrite(fd, &good, sizeof(good), 0), (ssize_t) sizeof(good));
        kit_fails(page_open(&p, fd), -EBADMSG);
        good = (struct tooz_page) { .magic = 1, .version = TOOZ_PAGE_VERSION, .size = sizeof(good) };
        cr_assert_eq(pwrite(fd, &good, sizeof(good), 0), (ssize_t) sizeof(good));
        kit_fails(page_open(&p, fd), -EBADMSG);
        close(fd);

        fd = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        cr_assert_eq(ftruncate(fd, sizeof(good) - 1), 0);
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
        kit_fails(page_open(&p, fd), -EBADMSG);
        close(fd);

        cr_assert_eq(pipe(pipe_fds), 0);
        kit_fails(page_open(&p, pipe_fds[0]), -EBADMSG);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
}
