/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* The handle: one SOCK_SEQPACKET descriptor on which all claims of a client live
 *
 * The agent hands it out with the first claim; later requests name it, so that they share it. Events of all claims come
 * in on it, RELEASE goes out. Its end is the end of everything: the agent is gone and with it the claims (a restart
 * that keeps them keeps the handle open). Nothing here waits.
 *
 * An event of a claim that this client doesn't know, and that is not its last, is a request whose reply was lost: the
 * agent took it after we had given up on the call. It is released at once, or nobody would. */

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/kv.h"
#include "client/client.h"

int handle_adopt(tooz_client *c, int fd) {
        int r;

        tooz_assert(c->handle_fd < 0);
        r = client_watch(c, fd, EPOLLIN);
        if (r < 0) {
                (void) fd_close(fd);
                return r;
        }
        c->handle_fd = fd;
        return 0;
}

static void pages_forget(tooz_client *c) {
        DomainPage *p, *tmp;

        list_foreach_safe(p, tmp, &c->pages, DomainPage, link) {
                list_unlink(&p->link);
                (void) page_unref(p->page);
                free(p);
        }
}

void handle_drop(tooz_client *c) {
        tooz_claim *claim, *tmp;

        if (c->handle_fd >= 0) {
                /* By hand: a copy of the descriptor would keep it in the epoll set. */
                client_unwatch(c, c->handle_fd);
                c->handle_fd = fd_close(c->handle_fd);
        }
        c->handle_blocked = false;
        pages_forget(c);
        hash_foreach_safe(hh, c->claims, claim, tmp)
                claim_end(claim, "agent-gone", time_now());
        handle_flush(c);
}

int handle_send_release(tooz_client *c, uint64_t claim_id) {
        char text[64];
        KvWriter w = KV_WRITER(text);
        int len;

        if (c->handle_fd < 0)
                return -ENOTCONN;

        kv_add(&w, "RELEASE", "1");
        kv_add_u64(&w, "CLAIM", claim_id);
        len = kv_finish(&w);
        if (len < 0)
                return len;
        if (send(c->handle_fd, text, (size_t) len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return errno == ENOBUFS ? -EAGAIN : -errno;
        return 0;
}

static void handle_set_blocked(tooz_client *c, bool blocked) {
        struct epoll_event ev = { .events = EPOLLIN | (blocked ? EPOLLOUT : 0) };

        if (c->handle_fd < 0 || c->handle_blocked == blocked)
                return;
        if (epoll_ctl(c->epoll_fd, EPOLL_CTL_MOD, c->handle_fd, &ev) == 0)
                c->handle_blocked = blocked;
}

void handle_flush(tooz_client *c) {
        ListLink *link;

        while ((link = list_first(&c->releases))) {
                tooz_claim *claim = list_entry(link, tooz_claim, to_release);

                if (handle_send_release(c, claim->id) == -EAGAIN)
                        break;
                list_unlink(link);
                if (claim->n_ref == 0)
                        claim_free(claim);
        }
        handle_set_blocked(c, link);
}

static void handle_on_event(tooz_client *c, Event *e, uint64_t now) {
        tooz_claim *claim;

        hash_find(hh, c->claims, &e->claim_id, sizeof(e->claim_id), claim);
        if (claim)
                claim_on_event(claim, e, now);
        else {
                if (!event_is_final(e))
                        (void) handle_send_release(c, e->claim_id);
                (void) event_free(e);
        }
}

int handle_read(tooz_client *c) {
        char buf[EVENT_SIZE_MAX];
        unsigned n;

        for (n = 0; n < HANDLE_READ_MAX && c->handle_fd >= 0; n++) {
                ssize_t len = recv(c->handle_fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);
                Event *e;
                int r;

                if (len < 0 && (errno == EAGAIN || errno == EINTR))
                        break;
                if (len <= 0) {
                        handle_drop(c);
                        return 1;
                }

                r = event_parse(&e, buf, (size_t) len);
                if (r == -ENOMEM)
                        return r;
                if (r >= 0)
                        handle_on_event(c, e, time_now());
        }
        return n > 0;
}
