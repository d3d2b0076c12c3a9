/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Unix signals as events of the loop, by signalfd */

#include <signal.h>
#include <sys/signalfd.h>

#include "loop/loop.h"

typedef struct LoopSignal LoopSignal;
typedef struct LoopSignalSource LoopSignalSource;
typedef void (*LoopSignalFn)(LoopSignal *sig, const struct signalfd_siginfo *info);

struct LoopSignal {
        LoopSignalFn fn;
        LoopSignalSource *source; /* lives on until its operation has ended */
};

/* Blocks `mask` in the calling thread, for good: to be called before other threads are started. */
int loop_signal_init(LoopSignal *sig, Loop *loop, const sigset_t *mask, LoopSignalFn fn);

/* Not called any more from here on. Also from the callback; accepts one that is all zero. */
void loop_signal_deinit(LoopSignal *sig);
