/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pump: one sd_bus connection driven by the loop */

#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "loop/defer.h"
#include "loop/op.h"
#include "loop/timer.h"

#define BUS_PUMP_BATCH 64u    /* messages per turn */
#define BUS_PUMP_CLOG 16u     /* unsent messages, at which nothing more is read */
#define BUS_PUMP_FLOOD 16384u /* unsent messages, at which the connection is given up */

typedef struct BusPump BusPump;
typedef void (*BusPumpFn)(BusPump *pump);

struct BusPump {
        Loop *loop;
        sd_bus *bus;
        int fd; /* a duplicate: sd-bus closes its own when it likes, but ours stays while operations are armed */
        LoopOp in;
        LoopOp out;
        LoopTimer timer;
        LoopDefer more;    /* go on reading in the next turn */
        LoopDefer publish; /* see what sd-bus waits for */
        BusPumpFn on_closed;
        bool closing;
        int error; /* why it was closed; 0: because we wanted it */
};

/* Takes the started bus when it succeeds. on_closed() is called once, never from inside a call of sd-bus. -errno. */
int bus_pump_start(BusPump *p, Loop *loop, sd_bus *bus, BusPumpFn on_closed);
/* Something was sent outside of sd_bus_process(). */
void bus_pump_touch(BusPump *p);
/* Begins to close. What is unsent is dropped. Idempotent. */
void bus_pump_close(BusPump *p, int error);
/* Is everything sent? */
bool bus_pump_is_flushed(const BusPump *p);
