/* SPDX-License-Identifier: Apache-2.0 */
/* Status page of a cluster domain
 *
 * Readers are strangers. They get a descriptor that was opened read-only, so that not even a shared mapping of theirs
 * can be made writable; and who opens it anew through /proc finds the seal against writing in the future. The size is
 * sealed too, so that nobody can give a reader a SIGBUS. Our own mapping is older than the seals and goes on writing.
 *
 * One writer. It never sleeps between the two steps of the sequence; a reader that finds it odd for long takes the
 * page as expired. */

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/page.h"
#include "base/fd.h"
#include "base/macro.h"
#include "base/str.h"

/* <linux/fcntl.h> has it, which can't be included beside <fcntl.h> */
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define PAGE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE)

_Static_assert(sizeof(struct tooz_page) == 64, "size of the page is part of the format");
_Static_assert(offsetof(struct tooz_page, magic) == 0, "offset");
_Static_assert(offsetof(struct tooz_page, version) == 8, "offset");
_Static_assert(offsetof(struct tooz_page, size) == 12, "offset");
_Static_assert(offsetof(struct tooz_page, sequence) == 16, "offset");
_Static_assert(offsetof(struct tooz_page, epoch) == 24, "offset");
_Static_assert(offsetof(struct tooz_page, deadline_boottime_usec) == 32, "offset");
_Static_assert(offsetof(struct tooz_page, session_timeout_usec) == 40, "offset");
_Static_assert(offsetof(struct tooz_page, updated_boottime_usec) == 48, "offset");
_Static_assert(offsetof(struct tooz_page, state) == 56, "offset");
_Static_assert(offsetof(struct tooz_page, agent_pid) == 60, "offset");

static const uint32_t page_states[_SESSION_STATE_MAX] = {
        [SESSION_CONNECTING] = TOOZ_PAGE_CONNECTING,
        [SESSION_UP] = TOOZ_PAGE_UP,
        [SESSION_SUSPENDED] = TOOZ_PAGE_SUSPENDED,
        [SESSION_OVERDUE] = TOOZ_PAGE_OVERDUE,
};

#define page_store(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)

static int page_create(int *ret_fd, struct tooz_page **ret_map, const char *domain) {
        _cleanup_close_ int fd = -1;
        char name[128];
        void *map;

        (void) snprintf(name, sizeof(name), "tooz-page-%.64s", domain);
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0 || ftruncate(fd, sizeof(struct tooz_page)) < 0 || fchmod(fd, 0444) < 0)
                return -errno;

        map = mmap(NULL, sizeof(struct tooz_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, PAGE_SEALS) < 0) {
                int r = -errno;

                (void) munmap(map, sizeof(struct tooz_page));
                return r;
        }
        *ret_fd = TAKE_FD(fd);
        *ret_map = map;
        return 0;
}

int page_init(Page *page, const char *domain) {
        int r;

        *page = (Page) PAGE_INIT;
        r = page_create(&page->fd, &page->map, domain);
        if (r < 0)
                return r;

        page->map->magic = TOOZ_PAGE_MAGIC;
        page->map->version = TOOZ_PAGE_VERSION;
        page->map->size = sizeof(struct tooz_page);
        page->map->state = TOOZ_PAGE_CONNECTING;
        page->map->agent_pid = (uint32_t) getpid();
        return 0;
}

void page_deinit(Page *page) {
        if (page->map)
                (void) munmap(page->map, sizeof(struct tooz_page));
        page->map = NULL;
        page->fd = fd_close(page->fd);
}

void page_publish(Page *page, const Session *session, uint64_t now) {
        struct tooz_page *map = page->map;
        uint64_t sequence = map->sequence;

        page_store(map->sequence, sequence + 1);
        atomic_thread_fence(memory_order_release);

        page_store(map->epoch, session->epoch);
        page_store(map->deadline_boottime_usec, session->deadline_usec);
        page_store(map->session_timeout_usec, session->timeout_usec);
        page_store(map->updated_boottime_usec, now);
        page_store(map->state, page_states[session->state]);

        __atomic_store_n(&map->sequence, sequence + 2, __ATOMIC_RELEASE);
}

int page_share(const Page *page) {
        char path[64];
        int fd;

        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", page->fd);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}
