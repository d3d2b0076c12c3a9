/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The door between libzookeeper's threads and the loop
 *
 * Only the functions of zk-thread.c run on foreign threads: the library's two, and the helper that opens and closes a
 * handle. They copy what they were given, push it to the inbox, and return. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zookeeper/zookeeper.h>

#include "base/list.h"
#include "loop/inbox.h"

typedef struct ZkHandle ZkHandle;
typedef struct ZkOp ZkOp;
typedef void (*ZkOpFn)(ZkOp *op);

typedef enum ZkItemKind {
        ZK_ITEM_OP,      /* a ZkOp is complete */
        ZK_ITEM_EVENT,   /* a ZkEvent: session or watch */
        ZK_ITEM_LOG,     /* a ZkLogLine */
        ZK_ITEM_HELPER,  /* a ZkHelper is done */
        ZK_ITEM_TROUBLE, /* an event was lost for want of memory */
} ZkItemKind;

/* What goes through the inbox, and belongs to the loop's side from then on. */
typedef struct ZkItem {
        InboxItem item;
        ZkItemKind kind;
        ZkHandle *handle;
} ZkItem;

/* The part of a handle that foreign threads use. */
typedef struct ZkDoor {
        Inbox *inbox;
        ZkHandle *handle;
        ZkItem trouble; /* there beforehand, since it tells of want of memory */
        atomic_bool troubled;
        atomic_uint n_log_lines; /* on their way */
} ZkDoor;

typedef struct ZkEvent {
        ZkItem item;
        int type;
        int state;
        char path[];
} ZkEvent;

typedef struct ZkLogLine {
        ZkItem item;
        ZkDoor *door;
        char text[];
} ZkLogLine;

/* One request to the servers, embedded in what its caller wants to know when the answer comes. Made beforehand, so
 * that an answer can't fail for want of memory unless it brings a text. `done` is called exactly once, on the loop's
 * thread, never from inside the submitting call, whatever becomes of the handle; from then on it is the caller's. */
struct ZkOp {
        ZkItem item;
        ListLink link; /* on handle->ops while it is under way */
        ZkDoor *door;
        ZkOpFn done;
        char *watch_path; /* of the watch that it asks for */
        int watch_kind;

        int rc; /* ZOK, or an error of the library */
        bool has_stat;
        struct Stat stat;
        char *text; /* created path, or data; NUL behind it */
        size_t text_len;
        char **names; /* children: one block of memory */
        size_t n_names;
        zoo_op_result_t results[2]; /* of a multi */
};

/* A text did not fit in memory. Outside of the library's range. */
#define ZK_RC_NOMEM (-2000)
/* The bound of watches is reached. */
#define ZK_RC_NO_WATCH (-2001)

/* Completions; `data` is the ZkOp. */
void zk_thread_on_void(int rc, const void *data);
void zk_thread_on_stat(int rc, const struct Stat *stat, const void *data);
void zk_thread_on_data(int rc, const char *value, int len, const struct Stat *stat, const void *data);
void zk_thread_on_created(int rc, const char *path, const struct Stat *stat, const void *data);
void zk_thread_on_names(int rc, const struct String_vector *names, const struct Stat *stat, const void *data);

/* For the session and all watches; the context is the ZkDoor. One function and one context for all, since the library
 * compares each with each when the session changes. */
void zk_thread_on_event(zhandle_t *zh, int type, int state, const char *path, void *context);

/* As if an event had been lost. Also for the loop's side, when it can't go on for want of memory. */
void zk_thread_trouble(ZkDoor *door);

/* A log callback for a handle: the library gives it no context, so there are as many functions as handles. NULL: all
 * are in use. */
log_callback_fn zk_thread_take_log(ZkDoor *door);
void zk_thread_release_log(ZkDoor *door);

/* The helper thread: what it is to do, and what came of it. */
typedef struct ZkHelper {
        ZkItem item;
        pthread_t thread;
        ZkDoor *door;
        log_callback_fn log;
        char *servers; /* to open: "host:port,…"; names are resolved here, where it may block */
        int timeout_msec;
        zhandle_t *zh; /* opened, or to close */
        int error;     /* -errno, or 0 */
        char failure[128];
} ZkHelper;

int zk_thread_start_open(ZkHelper *helper);
int zk_thread_start_close(ZkHelper *helper);
/* After its item has come. */
void zk_thread_join(ZkHelper *helper);
