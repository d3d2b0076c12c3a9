/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Reader of a domain's status page
 *
 * The agent is the only writer and may be killed or stopped at any instruction, so nothing here waits for it: a reader
 * that finds the page being written tries again a bounded number of times and then takes it as expired. The memfd
 * must be sealed against shrinking, because a page that vanishes under a reader is a SIGBUS in its program. */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "client/page.h"

#define READ_TRIES 1000

static int page_check_fd(int fd, size_t *ret_size) {
        struct stat st;
        int seals;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < (off_t) sizeof(struct tooz_page) || st.st_size > 1 << 20)
                return -EBADMSG;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || !(seals & F_SEAL_SHRINK))
                return -EBADMSG;

        *ret_size = (size_t) st.st_size;
        return 0;
}

int page_open(Page **ret, int fd) {
        _cleanup_(page_unrefp) Page *p = NULL;
        size_t size = 0;
        void *map;
        int r;

        r = page_check_fd(fd, &size);
        if (r < 0)
                return r;

        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        p->n_ref = 1;

        map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        p->map = map;
        p->size = size;

        if (p->map->magic != TOOZ_PAGE_MAGIC || p->map->version != TOOZ_PAGE_VERSION ||
            p->map->size < sizeof(struct tooz_page))
                return -EBADMSG;

        *ret = TAKE_PTR(p);
        return 0;
}

Page *page_ref(Page *p) {
        p->n_ref++;
        return p;
}

Page *page_unref(Page *p) {
        if (!p || --p->n_ref > 0)
                return NULL;

        if (p->map)
                (void) munmap((void *) (uintptr_t) p->map, p->size);
        free(p);
        return NULL;
}

int page_read(const Page *p, PageView *ret) {
        const struct tooz_page *map = p->map;

        for (unsigned i = 0; i < READ_TRIES; i++) {
                uint64_t before = __atomic_load_n(&map->sequence, __ATOMIC_ACQUIRE);
                PageView view;

                if (before & 1)
                        continue;

                view = (PageView) {
                        .epoch = __atomic_load_n(&map->epoch, __ATOMIC_RELAXED),
                        .deadline_usec = __atomic_load_n(&map->deadline_boottime_usec, __ATOMIC_RELAXED),
                        .session_timeout_usec = __atomic_load_n(&map->session_timeout_usec, __ATOMIC_RELAXED),
                        .state = __atomic_load_n(&map->state, __ATOMIC_RELAXED),
                };
                __atomic_thread_fence(__ATOMIC_ACQUIRE);
                if (__atomic_load_n(&map->sequence, __ATOMIC_RELAXED) == before) {
                        *ret = view;
                        return 0;
                }
        }
        return -ESTALE;
}

uint64_t page_deadline(const Page *p, uint64_t epoch) {
        PageView view;

        if (page_read(p, &view) < 0)
                return 0;
        if (view.epoch != epoch)
                return 0;
        if (view.state != TOOZ_PAGE_UP && view.state != TOOZ_PAGE_SUSPENDED)
                return 0;
        return view.deadline_usec;
}

uint64_t page_session_timeout(const Page *p) {
        PageView view;

        return page_read(p, &view) < 0 ? 0 : view.session_timeout_usec;
}
