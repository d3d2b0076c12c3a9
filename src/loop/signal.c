/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: a signalfd, polled
 *
 * The descriptor and its operation live in a source of their own, which outlives the LoopSignal until the
 * operation has ended: so a LoopSignal can go at any moment, also in its own callback. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "loop/loop-internal.h"
#include "loop/signal.h"

struct LoopSignalSource {
        LoopOp op;
        int fd;
        LoopSignal *sig; /* NULL: it is gone */
};

static void signal_source_run(LoopOp *op, int result, uint32_t flags) {
        LoopSignalSource *source = container_of(op, LoopSignalSource, op);
        struct signalfd_siginfo info;

        while (source->sig && result >= 0) {
                op->loop->stats.n_enters++;
                if (read(source->fd, &info, sizeof(info)) != (ssize_t) sizeof(info))
                        break; /* EAGAIN: all read */
                source->sig->fn(source->sig, &info);
        }

        if (flags & LOOP_OP_MORE)
                return;

        if (source->sig) {
                /* Not to be deaf for want of memory in the kernel. */
                loop_poll(op, source->fd, POLLIN, true);
                return;
        }
        fd_close(source->fd);
        free(source);
}

int loop_signal_init(LoopSignal *sig, Loop *loop, const sigset_t *mask, LoopSignalFn fn) {
        _cleanup_free_ LoopSignalSource *source = NULL;
        int r;

        loop_assert_owner(loop);
        *sig = (LoopSignal) {};

        source = calloc(1, sizeof(*source));
        if (!source)
                return -ENOMEM;

        r = pthread_sigmask(SIG_BLOCK, mask, NULL);
        if (r > 0)
                return -r;

        source->fd = signalfd(-1, mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (source->fd < 0)
                return -errno;

        loop_op_init(&source->op, loop, signal_source_run);
        source->op.internal = true;
        loop_poll(&source->op, source->fd, POLLIN, true);
        loop->n_signals++;

        source->sig = sig;
        sig->fn = fn;
        sig->source = TAKE_PTR(source);
        return 0;
}

void loop_signal_deinit(LoopSignal *sig) {
        LoopSignalSource *source = TAKE_PTR(sig->source);

        if (!source)
                return;
        source->sig = NULL;
        source->op.loop->n_signals--;
        loop_op_cancel(&source->op);
}
