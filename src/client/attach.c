/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* The client in an sd-event loop, and its connection for other uses */

#include <errno.h>
#include <sys/epoll.h>

#include "client/client.h"

static int attach_on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        tooz_client *c = userdata;
        int r;

        r = tooz_client_process(c);
        return r < 0 ? r : 0;
}

_public_ int tooz_client_attach_event(tooz_client *c, sd_event *event, int64_t priority) {
        _cleanup_(sd_event_unrefp) sd_event *loop = NULL;
        _cleanup_(sd_event_source_unrefp) sd_event_source *source = NULL;
        int r = client_check(c);

        if (r < 0)
                return r;
        if (c->source)
                return -EBUSY;

        if (event)
                loop = sd_event_ref(event);
        else {
                r = sd_event_default(&loop);
                if (r < 0)
                        return r;
        }
        r = sd_event_add_io(loop, &source, c->epoll_fd, EPOLLIN, attach_on_io, c);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(source, priority);
        if (r < 0)
                return r;
        c->source = TAKE_PTR(source);
        return 0;
}

_public_ int tooz_client_detach_event(tooz_client *c) {
        if (!c)
                return -EINVAL;
        c->source = sd_event_source_disable_unref(c->source);
        return 0;
}

_public_ int tooz_client_get_bus(tooz_client *c, sd_bus **ret, const char **ret_destination) {
        int r = client_check(c);

        if (r < 0)
                return r;
        r = client_connect(c);
        if (r < 0)
                return r;
        *ret = c->bus;
        if (ret_destination)
                *ret_destination = c->destination;
        return 0;
}
