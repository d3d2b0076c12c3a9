/* SPDX-License-Identifier: Apache-2.0 */
/* Status pages as an agent makes them */

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/pages.h"
#include "support/kit.h"

struct tooz_page *pages_new(int *ret_fd) {
        int fd = memfd_create("tooz-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        struct tooz_page *page;

        cr_assert_geq(fd, 0);
        cr_assert_eq(ftruncate(fd, sizeof(*page)), 0);
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
        page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        cr_assert_neq(page, MAP_FAILED);
        page->magic = TOOZ_PAGE_MAGIC;
        page->version = TOOZ_PAGE_VERSION;
        page->size = sizeof(*page);
        page->session_timeout_usec = 6000000;
        *ret_fd = fd;
        return page;
}

void pages_write(struct tooz_page *page, uint32_t state, uint64_t epoch, uint64_t deadline_usec) {
        uint64_t sequence = __atomic_load_n(&page->sequence, __ATOMIC_RELAXED);

        __atomic_store_n(&page->sequence, sequence + 1, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_RELEASE);
        __atomic_store_n(&page->state, state, __ATOMIC_RELAXED);
        __atomic_store_n(&page->epoch, epoch, __ATOMIC_RELAXED);
        __atomic_store_n(&page->deadline_boottime_usec, deadline_usec, __ATOMIC_RELAXED);
        __atomic_store_n(&page->sequence, sequence + 2, __ATOMIC_RELEASE);
}

void pages_free(struct tooz_page *page) {
        cr_assert_eq(munmap(page, sizeof(*page)), 0);
}
