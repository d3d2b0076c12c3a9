/* SPDX-License-Identifier: Apache-2.0 */
/* Pump: sd-bus and the loop
 *
 * sd-bus wants to be called when its descriptor is ready or its time-out has passed; it reads one message per call.
 *
 *   run phase       the descriptor is readable or writable: up to BUS_PUMP_BATCH messages are worked on; if there
 *                   are more, the pump goes on in the deferred phase, and from there in the next turn
 *   deferred phase  the same; then core's effects are carried out, which sends replies and signals
 *   publish phase   what sd-bus could not send at once waits for writability. Nothing is read here: effects of a
 *                   request would find nobody to carry them out in this turn
 *
 * Back-pressure: from a client that does not take its replies nothing more is read; if signals pile up all the same,
 * the connection is given up.
 *
 * The descriptor is watched through a duplicate, because sd-bus closes its own as soon as the other end is gone,
 * when an operation may still be armed on it. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/time.h"
#include "bus/bus-pump.h"

static void pump_on_settled(BusPump *p) {
        if (!p->closing || !loop_op_is_idle(&p->in) || !loop_op_is_idle(&p->out))
                return;

        loop_defer_cancel(&p->more);
        p->fd = fd_close(p->fd);
        p->bus = sd_bus_close_unref(p->bus);
        p->on_closed(p);
}

void bus_pump_close(BusPump *p, int error) {
        if (p->closing)
                return;
        p->closing = true;
        p->error = error;

        loop_timer_unset(&p->timer);
        loop_defer_cancel(&p->publish);
        loop_op_cancel(&p->in);
        loop_op_cancel(&p->out);
        /* For the case that both are idle; else whichever ends last has the last word. */
        loop_defer_trigger(&p->more);
}

static uint64_t pump_backlog(const BusPump *p) {
        uint64_t n = 0;

        (void) sd_bus_get_n_queued_write(p->bus, &n);
        return n;
}

bool bus_pump_is_flushed(const BusPump *p) {
        return p->closing || pump_backlog(p) == 0;
}

void bus_pump_touch(BusPump *p) {
        if (!p->closing)
                loop_defer_trigger(&p->publish);
}

static void pump_process(BusPump *p) {
        for (unsigned i = 0; i < BUS_PUMP_BATCH; i++) {
                int r = sd_bus_process(p->bus, NULL);

                if (r < 0) {
                        bus_pump_close(p, r);
                        return;
                }
                if (p->closing)
                        return;
                if (r == 0 || pump_backlog(p) >= BUS_PUMP_CLOG) {
                        bus_pump_touch(p);
                        return;
                }
        }

        loop_defer_trigger(&p->more);
        bus_pump_touch(p);
}

static void pump_on_more(LoopDefer *defer) {
        BusPump *p = container_of(defer, BusPump, more);

        if (p->closing)
                pump_on_settled(p);
        else
                pump_process(p);
}

static void pump_on_in(LoopOp *op, int result, uint32_t flags) {
        BusPump *p = container_of(op, BusPump, in);

        if (p->closing) {
                if (!(flags & LOOP_OP_MORE))
                        pump_on_settled(p);
                return;
        }
        if (result < 0)
                bus_pump_close(p, result);
        else if (pump_backlog(p) < BUS_PUMP_CLOG)
                pump_process(p);
}

static void pump_on_out(LoopOp *op, int result, uint32_t flags) {
        BusPump *p = container_of(op, BusPump, out);

        if (p->closing)
                pump_on_settled(p);
        else if (result < 0)
                bus_pump_close(p, result);
        else
                pump_process(p);
}

static void pump_on_timer(LoopTimer *timer, uint64_t now_usec) {
        pump_process(container_of(timer, BusPump, timer));
}

/* sd-bus counts on CLOCK_MONOTONIC, the loop on CLOCK_BOOTTIME. */
static uint64_t monotonic_now(void) {
        struct timespec ts;

        tooz_assert(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

static void pump_on_publish(LoopDefer *defer) {
        BusPump *p = container_of(defer, BusPump, publish);
        uint64_t until = UINT64_MAX;
        int events;

        if (pump_backlog(p) >= BUS_PUMP_FLOOD) {
                bus_pump_close(p, -ENOBUFS);
                return;
        }

        events = sd_bus_get_events(p->bus);
        if (events >= 0 && events & POLLOUT && loop_op_is_idle(&p->out))
                loop_poll(&p->out, p->fd, POLLOUT, false);

        /* Fails when the connection is over: sd_bus_process() then says why. */
        if (events < 0 || sd_bus_get_timeout(p->bus, &until) < 0 || until == 0) {
                loop_timer_unset(&p->timer);
                loop_defer_trigger(&p->more);
        } else if (until == UINT64_MAX)
                loop_timer_unset(&p->timer);
        else
                loop_timer_set(&p->timer, usec_add(time_now(), usec_sub(until, monotonic_now())));
}

int bus_pump_start(BusPump *p, Loop *loop, sd_bus *bus, BusPumpFn on_closed) {
        int fd;

        fd = sd_bus_get_fd(bus);
        if (fd < 0)
                return fd;
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0)
                return -errno;

        *p = (BusPump) { .loop = loop, .bus = bus, .fd = fd, .on_closed = on_closed };
        loop_op_init(&p->in, loop, pump_on_in);
        loop_op_init(&p->out, loop, pump_on_out);
        loop_timer_init(&p->timer, loop, pump_on_timer);
        loop_defer_init(&p->more, loop, LOOP_PHASE_DEFERRED, pump_on_more);
        loop_defer_init(&p->publish, loop, LOOP_PHASE_PUBLISH, pump_on_publish);

        loop_poll(&p->in, p->fd, POLLIN, true);
        loop_defer_trigger(&p->more);
        return 0;
}
