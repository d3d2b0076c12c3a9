/* SPDX-License-Identifier: Apache-2.0 */
/* Status page: what a client can and can't do with it, and that it never reads a mixture */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/page.h"
#include "support/kit.h"

KIT_SUITE(page);

#define SIZE sizeof(struct tooz_page)

static void page_done(Page *page) {
        page_deinit(page);
}

static const struct tooz_page *map_page(int fd) {
        void *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);

        cr_assert_neq(map, MAP_FAILED);
        return map;
}

Test(page, says_what_the_session_is) {
        _cleanup_(page_done) Page page = PAGE_INIT;
        Session s = { .state = SESSION_SUSPENDED, .epoch = 7, .deadline_usec = 1000, .timeout_usec = 15 };
        const struct tooz_page *map;
        _cleanup_close_ int fd = -1;

        kit_ok(page_init(&page, "cluster"));
        fd = kit_ok(page_share(&page));
        map = map_page(fd);
        cr_assert_eq(map->magic, TOOZ_PAGE_MAGIC);
        cr_assert_eq(memcmp(&map->magic, "zotpage1", 8), 0);
        cr_assert_eq(map->version, TOOZ_PAGE_VERSION);
        cr_assert_eq(map->size, SIZE);
        cr_assert_eq(map->sequence, 0);
        cr_assert_eq(map->state, TOOZ_PAGE_CONNECTING);
        cr_assert_eq(map->agent_pid, getpid());

        page_publish(&page, &s, 123);
        cr_assert_eq(map->sequence, 2);
        cr_assert_eq(map->epoch, 7);
        cr_assert_eq(map->deadline_boottime_usec, 1000);
        cr_assert_eq(map->session_timeout_usec, 15);
        cr_assert_eq(map->updated_boottime_usec, 123);
        cr_assert_eq(map->state, TOOZ_PAGE_SUSPENDED);
        munmap((void *) (uintptr_t) map, SIZE);
}

Test(page, state_numbers_are_those_of_the_format) {
        static const uint32_t expected[_SESSION_STATE_MAX] = {
                [SESSION_CONNECTING] = 0, [SESSION_UP] = 1, [SESSION_SUSPENDED] = 2, [SESSION_OVERDUE] = 3,
        };
        _cleanup_(page_done) Page page = PAGE_INIT;
        Session s = {};

        kit_ok(page_init(&page, "cluster"));
        for (s.state = 0; s.state < _SESSION_STATE_MAX; s.state++) {
                page_publish(&page, &s, 1);
                cr_assert_eq(page.map->state, expected[s.state]);
        }
}

/* The descriptor that a client gets. */
Test(page, shared_descriptor_is_read_only) {
        _cleanup_(page_done) Page page = PAGE_INIT;
        _cleanup_close_ int fd = -1;
        void *map;

        kit_ok(page_init(&page, "cluster"));
        fd = kit_ok(page_share(&page));
        cr_assert_neq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);

        cr_assert(write(fd, "x", 1) < 0 && errno == EBADF);
        cr_assert(ftruncate(fd, 0) < 0);
        cr_assert(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
        map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
        cr_assert_neq(map, MAP_FAILED);
        cr_assert(mprotect(map, SIZE, PROT_READ | PROT_WRITE) < 0 && errno == EACCES);
        munmap(map, SIZE);
}

/* A client of the agent's own user, or root, can open it anew for writing: then the seals hold. */
Test(page, seals) {
        _cleanup_(page_done) Page page = PAGE_INIT;
        _cleanup_close_ int fd = -1;
        char path[64];

        kit_ok(page_init(&page, "cluster"));
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", page.fd);
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0)
                fd = fcntl(page.fd, F_DUPFD_CLOEXEC, 0);
        kit_ok(fd);

        cr_assert(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM);
        cr_assert(ftruncate(fd, 0) < 0 && errno == EPERM);
        cr_assert(ftruncate(fd, 1 << 20) < 0 && errno == EPERM);
        cr_assert(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
        cr_assert(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
}

/* Every field of a written page is the same number: a reader that sees two has read a mixture. */
typedef struct Reader {
        const struct tooz_page *map;
        atomic_bool stop;
        uint64_t n_read;
        bool mixed;
} Reader;

static bool read_page(const struct tooz_page *map, uint64_t *ret_a, uint64_t *ret_b) {
        uint64_t sequence = __atomic_load_n(&map->sequence, __ATOMIC_ACQUIRE);

        if (sequence & 1)
                return false;
        *ret_a = __atomic_load_n(&map->epoch, __ATOMIC_RELAXED);
        *ret_b = __atomic_load_n(&map->updated_boottime_usec, __ATOMIC_RELAXED);
        atomic_thread_fence(memory_order_acquire);
        return __atomic_load_n(&map->sequence, __ATOMIC_RELAXED) == sequence;
}

static void *reader_main(void *arg) {
        Reader *reader = arg;
        uint64_t a, b;

        while (!atomic_load(&reader->stop))
                if (read_page(reader->map, &a, &b)) {
                        reader->n_read++;
                        reader->mixed |= a != b;
                }
        return NULL;
}

Test(page, readers_never_see_a_mixture) {
        _cleanup_(page_done) Page page = PAGE_INIT;
        _cleanup_close_ int fd = -1;
        Reader reader = {};
        pthread_t thread;

        kit_ok(page_init(&page, "cluster"));
        fd = kit_ok(page_share(&page));
        reader.map = map_page(fd);
        cr_assert_eq(pthread_create(&thread, NULL, reader_main, &reader), 0);
        for (uint64_t i = 1; i <= 2000000; i++) {
                Session s = { .epoch = i, .deadline_usec = i };

                page_publish(&page, &s, i);
        }
        atomic_store(&reader.stop, true);
        cr_assert_eq(pthread_join(thread, NULL), 0);
        cr_assert_gt(reader.n_read, 0);
        cr_assert_not(reader.mixed);
        munmap((void *) (uintptr_t) reader.map, SIZE);
}
