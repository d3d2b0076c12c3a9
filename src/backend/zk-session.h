/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The session's side of the library: handles opened and replaced, its states told to the core */

#include <stdbool.h>
#include <stdint.h>

#include "backend/zk-data.h"
#include "backend/zk-handle.h"
#include "loop/timer.h"

#define ZK_SERVER_SIZE 80

typedef struct ZkBackend ZkBackend;

typedef struct ZkSession {
        ZkHandle *handle; /* the one in use; NULL: none, the next is opened at `open_at_usec` */
        List retired;     /* ZkHandle.link: on their way to CLOSED */
        LoopTimer timer;
        uint64_t open_at_usec;
        uint64_t opened_usec;
        uint64_t unsent_usec; /* the next connect request, or that of the connection in use, went out later than this */
        uint64_t n_connects;  /* names a connection */
        uint64_t stop_usec;   /* when to close although requests are under way; USEC_INFINITY: not stopping */
        int early;            /* state that an event told of before the handle was open; 0: none */
        bool connected;
        bool auth_added;
        bool refused; /* `detail` is ours, not the library's last error */
        char server[ZK_SERVER_SIZE];
        char detail[ZK_DETAIL_SIZE];
} ZkSession;

void zk_session_init(ZkBackend *zk);
/* All handles must be gone: zk_session_is_stopped(). */
void zk_session_deinit(ZkBackend *zk);

/* Opens the first handle, in the next turn. */
void zk_session_start(ZkBackend *zk);
/* SESSION_WANT_REPLACE. */
void zk_session_replace(ZkBackend *zk);
/* Finishes what is under way, but not for long, and closes the session. */
void zk_session_stop(ZkBackend *zk);
bool zk_session_is_stopping(const ZkBackend *zk);
bool zk_session_is_stopped(const ZkBackend *zk);

/* An item of the inbox that is not an operation's. */
void zk_session_on_event(ZkBackend *zk, ZkHandle *h, int state);
void zk_session_on_log(ZkBackend *zk, ZkHandle *h, const char *text);
void zk_session_on_helper(ZkBackend *zk, ZkHandle *h);
void zk_session_on_trouble(ZkBackend *zk, ZkHandle *h);
/* After each operation. */
void zk_session_on_idle(ZkBackend *zk, ZkHandle *h);

/* The connection was alive at this moment. */
void zk_session_saw_contact(ZkBackend *zk, uint64_t usec);
/* The session is of no use as it is: gives it up and tries again later. */
void zk_session_refuse(ZkBackend *zk, const char *detail);

/* Is an answer on this handle about the session that is up? */
bool zk_session_is_current(const ZkBackend *zk, const ZkHandle *h);
