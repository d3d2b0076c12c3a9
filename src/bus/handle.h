/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Handle: the descriptor that a client holds. Claims live as long as it does, and their news come on it. */

#include <stdbool.h>
#include <stdint.h>

#include "base/kv.h"
#include "base/list.h"
#include "core/claim.h"
#include "loop/defer.h"
#include "loop/op.h"
#include "loop/timer.h"

#define HANDLE_DATAGRAM_MAX 4096 /* what we read */
#define HANDLE_NEWS_MAX 1024     /* what we write is shorter */
/* How long the end of a claim that harms nobody may wait for a slow reader. The loss of a lock doesn't wait. */
#define HANDLE_PATIENCE_USEC UINT64_C(1000000)

typedef struct Handle Handle;

/* The place of one claim on a handle, embedded in the claim's owner. */
typedef struct HandleSeat {
        Handle *handle;   /* NULL: on none */
        uint64_t id;      /* of the claim */
        ListLink link;    /* handle->seats */
        ListLink waiting; /* handle->waiting, while something is pending */
        unsigned pending; /* ClaimNews that the socket has not taken yet */
        uint32_t missed;  /* news that were dropped since the last one that was sent */
        uint32_t sequence;
        uint64_t told_usec;
} HandleSeat;

typedef struct HandleOps {
        /* Writes the lines of one piece of news (a single bit), behind EVENT=. */
        void (*write)(HandleSeat *seat, ClaimNews news, KvWriter *w);
        /* The terminal news of a claim has been sent. The seat has been left. */
        void (*told)(HandleSeat *seat);
        /* The holder gives the claim back. Leaves the seat when it is told of the end. */
        void (*release)(HandleSeat *seat);
        /* The other end is gone, or the handle was given up. The seat has been left; terminal news may be untold. */
        void (*left)(HandleSeat *seat, bool died);
        /* The seat of this claim on this handle, or NULL. */
        HandleSeat *(*find)(Handle *handle, uint64_t id);
        /* Nothing is in flight any more: it may be freed, and must be. */
        void (*closed)(Handle *handle);
} HandleOps;

struct Handle {
        Loop *loop;
        const HandleOps *ops;
        int fd;
        uint64_t cookie; /* of the client's end: names it when it comes back */
        int proc_fd;     /* whose it is (bus-proc.h): borrowed; -1: not known */
        List seats;
        unsigned n_seats;
        List waiting;
        unsigned n_losses;   /* seats on which a loss waits to be sent, */
        unsigned n_ends;     /* or another end */
        unsigned idle_turns; /* without progress while a loss waits */
        bool closing;
        bool hung_up;        /* by the other side */

        LoopOp recv;
        LoopOp send;
        LoopDefer haste;    /* in each turn while a loss is untold */
        LoopTimer patience; /* for the other ends */
        HandleSeat *sending; /* whose news is in flight; NULL: it has left */
        ClaimNews sending_news;

        char in[HANDLE_DATAGRAM_MAX + 1]; /* one more, to see what is too long */
        char out[HANDLE_NEWS_MAX];
};

/* Makes the pair and begins to read. `ret_client` is the client's end, close-on-exec. -errno, and then there is
 * nothing to close. */
int handle_open(Handle *h, Loop *loop, const HandleOps *ops, int *ret_client);
/* The cookie of any socket, to compare with handle->cookie. -errno when it is no socket. */
int handle_cookie(int fd, uint64_t *ret);

/* Begins to close: seats are left without a word, closed() comes later. Idempotent. */
void handle_close(Handle *h);
/* The same, but the claims end: left() is called for each seat. */
void handle_give_up(Handle *h, bool died);

void handle_seat_init(HandleSeat *seat, uint64_t id);
void handle_join(Handle *h, HandleSeat *seat);
/* Idempotent. What is pending is forgotten. */
void handle_leave(HandleSeat *seat);

/* Passes news on, now or when the socket takes it. */
void handle_tell(HandleSeat *seat, unsigned news, uint64_t now);
/* "acquired"…: of a single bit. */
const char *handle_event_name(ClaimNews news);
/* Is everything sent? */
bool handle_is_flushed(const Handle *h);
