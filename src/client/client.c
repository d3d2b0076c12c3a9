/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* The client: one connection, one handle, one descriptor to poll
 *
 * An epoll set holds the handle, the connection and a timer, so that a program needs to poll one descriptor, and
 * deadlines come true also in a program that looks at nothing else. The timer is on CLOCK_BOOTTIME, which time-outs
 * of poll() are not. It is set to the earliest moment at which a page must be looked at, or to the past while events
 * wait for their handlers.
 *
 * client_pump() takes in and changes states; tooz_client_process() is that, and then one handler. So no handler runs
 * inside of any other function. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "client/client.h"

int client_check(const tooz_client *c) {
        if (!c)
                return -EINVAL;
        return c->pid == getpid() ? 0 : -ECHILD;
}

int client_watch(tooz_client *c, int fd, uint32_t events) {
        struct epoll_event ev = { .events = events };

        return epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void client_unwatch(tooz_client *c, int fd) {
        /* In a forked child the set is the parent's. */
        if (c->pid == getpid())
                (void) epoll_ctl(c->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static uint64_t client_next_timer(const tooz_client *c) {
        const HeapNode *next = heap_min(&c->deadlines);

        if (!list_is_empty(&c->ready))
                return 0;
        return next ? next->key : USEC_INFINITY;
}

void client_arm(tooz_client *c) {
        uint64_t next_usec = client_next_timer(c);
        struct itimerspec spec = {};

        if (next_usec == c->armed_usec)
                return;
        if (next_usec != USEC_INFINITY) {
                spec.it_value.tv_sec = (time_t) (next_usec / USEC_PER_SEC);
                /* All zero would disarm it. */
                spec.it_value.tv_nsec = (long) (next_usec % USEC_PER_SEC * NSEC_PER_USEC) + 1;
        }
        if (timerfd_settime(c->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
                c->armed_usec = next_usec;
}

static int client_run_timers(tooz_client *c) {
        HeapNode *node;
        uint64_t now;

        if (heap_is_empty(&c->deadlines))
                return 0;

        now = time_now();
        for (node = heap_min(&c->deadlines); node && node->key <= now; node = heap_min(&c->deadlines))
                claim_on_timer(container_of(node, tooz_claim, timer), now);
        return 0;
}

int client_pump(tooz_client *c, bool bus) {
        int r, n = 0;

        handle_flush(c);
        r = handle_read(c);
        if (r < 0)
                return r;
        n += r;

        r = client_run_timers(c);
        if (r < 0)
                return r;

        if (bus)
                n += client_process_bus(c);
        client_arm(c);
        return n > 0;
}

int client_sleep(tooz_client *c, uint64_t timeout_usec) {
        struct pollfd p = { .fd = c->epoll_fd, .events = POLLIN };
        int timeout_msec = -1, r;

        if (timeout_usec != USEC_INFINITY)
                timeout_msec = (int) MIN(usec_add(timeout_usec, USEC_PER_MSEC - 1) / USEC_PER_MSEC, (uint64_t) INT_MAX);

        r = poll(&p, 1, timeout_msec);
        return r < 0 ? -errno : r;
}

static void client_close_claims(tooz_client *c) {
        tooz_claim *claim, *tmp;

        list_foreach_safe(claim, tmp, &c->all, tooz_claim, link) {
                /* Not left to the end of the handle, of which somebody may have a copy. */
                if (c->pid == getpid() && (!claim_is_over(claim) || list_is_linked(&claim->to_release)))
                        (void) handle_send_release(c, claim->id);
                claim_orphan(claim);
        }
}

static tooz_client *client_free(tooz_client *c) {
        (void) tooz_client_detach_event(c);
        client_close_claims(c);
        handle_drop(c);
        client_drop_bus(c);
        (void) fd_close(c->timer_fd);
        (void) fd_close(c->epoll_fd);
        free(c->address);
        free(c->description);
        free(c->error);
        free(c);
        return NULL;
}
DEFINE_CLEANUP(tooz_client, client_free);

static int client_new(tooz_client **ret, const char *address) {
        _cleanup_(client_freep) tooz_client *c = NULL;

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->n_ref = 1;
        c->pid = getpid();
        c->call_timeout_usec = CALL_TIMEOUT_USEC;
        c->armed_usec = USEC_INFINITY;
        c->epoll_fd = c->timer_fd = c->handle_fd = c->bus_fd = -1;
        list_init(&c->all);
        list_init(&c->ready);
        list_init(&c->releases);
        list_init(&c->pages);
        heap_init(&c->deadlines);

        if (strdup_to(&c->address, address) < 0)
                return -ENOMEM;
        c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (c->epoll_fd < 0)
                return -errno;
        c->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (c->timer_fd < 0)
                return -errno;

        *ret = TAKE_PTR(c);
        return 0;
}

_public_ int tooz_client_open(tooz_client **ret, const char *address, uint64_t flags) {
        _cleanup_(client_freep) tooz_client *c = NULL;
        int r;

        if (!ret || flags != 0 || (address && !*address))
                return -EINVAL;

        r = client_new(&c, address);
        if (r < 0)
                return r;
        r = client_watch(c, c->timer_fd, EPOLLIN);
        if (r < 0)
                return r;
        r = client_connect(c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

_public_ tooz_client *tooz_client_ref(tooz_client *c) {
        if (c)
                c->n_ref++;
        return c;
}

_public_ tooz_client *tooz_client_unref(tooz_client *c) {
        if (!c || --c->n_ref > 0)
                return NULL;
        return client_free(c);
}

_public_ int tooz_client_set_call_timeout(tooz_client *c, uint64_t timeout_usec) {
        int r = client_check(c);

        if (r < 0)
                return r;
        if (timeout_usec == 0)
                return -EINVAL;
        c->call_timeout_usec = timeout_usec;
        return 0;
}

_public_ int tooz_client_set_description(tooz_client *c, const char *text) {
        int r = client_check(c);

        if (r < 0)
                return r;
        if (text && (strlen(text) > DESCRIPTION_MAX || !str_is_utf8(text, strlen(text))))
                return -EINVAL;
        return strdup_to(&c->description, text);
}

_public_ int tooz_client_get_default_domain(tooz_client *c, const char **ret) {
        int r = client_check(c);

        return r < 0 ? r : client_domain(c, NULL, ret);
}

_public_ const char *tooz_client_get_error(tooz_client *c) {
        return c && c->error ? c->error : "";
}

_public_ int tooz_client_dup_handle(tooz_client *c) {
        int r = client_check(c);

        if (r < 0)
                return r;
        if (c->handle_fd < 0)
                return -ENOTCONN;
        r = fcntl(c->handle_fd, F_DUPFD_CLOEXEC, 3);
        return r < 0 ? -errno : r;
}

_public_ int tooz_client_get_fd(tooz_client *c) {
        int r = client_check(c);

        return r < 0 ? r : c->epoll_fd;
}

_public_ int tooz_client_get_events(tooz_client *c) {
        int r = client_check(c);

        return r < 0 ? r : POLLIN;
}

_public_ int tooz_client_get_timeout(tooz_client *c, uint64_t *ret_boottime_usec) {
        int r = client_check(c);

        if (r < 0)
                return r;
        *ret_boottime_usec = client_next_timer(c);
        return 0;
}

_public_ int tooz_client_process(tooz_client *c) {
        ListLink *link;
        int r = client_check(c);

        if (r < 0)
                return r;
        r = client_pump(c, true);
        if (r < 0)
                return r;

        link = list_first(&c->ready);
        if (!link)
                return r;

        /* The handler may unreference the client. */
        (void) tooz_client_ref(c);
        r = claim_deliver(list_entry(link, tooz_claim, ready));
        client_arm(c);
        (void) tooz_client_unref(c);
        return r < 0 ? r : 1;
}

_public_ int tooz_client_wait(tooz_client *c, uint64_t timeout_usec) {
        int r = client_check(c);

        return r < 0 ? r : client_sleep(c, timeout_usec);
}
