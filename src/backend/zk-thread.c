/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that runs on foreign threads: see zk-thread.h
 *
 *   IO thread          log callback
 *   completion thread  completions, watches, log callback
 *   helper thread      resolving names, zookeeper_init2(), zookeeper_close() and what these call
 *
 * None of them touches an object of the loop's, takes a lock or waits for the loop. An item that was pushed is gone.
 * The library guarantees that a handle's callbacks end before zookeeper_close() returns, and the helper pushes its own
 * item after that: it is the last one of its handle. */

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-thread.h"
#include "base/macro.h"
#include "base/str.h"

#define LOG_LINES_MAX 64 /* of one handle on their way: more are dropped */
#define LOG_SLOTS 8
#define SERVERS_MAX 64

/* --- completions -------------------------------------------------------------------------------- */

static void op_push(ZkOp *op, int rc) {
        op->rc = rc;
        inbox_push(op->door->inbox, &op->item.item);
}

/* The library hands the operation back as `const void *`. */
static ZkOp *op_of(const void *data) {
        return (ZkOp *) (uintptr_t) data;
}

static void op_take_stat(ZkOp *op, const struct Stat *stat) {
        if (!stat)
                return;
        op->stat = *stat;
        op->has_stat = true;
}

static int op_take_text(ZkOp *op, const char *text, size_t len) {
        op->text = malloc(len + 1);
        if (!op->text)
                return ZK_RC_NOMEM;
        if (len > 0)
                memcpy(op->text, text, len);
        op->text[len] = '\0';
        op->text_len = len;
        return ZOK;
}

static int op_take_names(ZkOp *op, const struct String_vector *names) {
        size_t n = (size_t) MAX(names->count, 0), size = n * sizeof(char *);
        char *at;

        for (size_t i = 0; i < n; i++)
                size += strlen(names->data[i]) + 1;
        op->names = malloc(MAX(size, (size_t) 1));
        if (!op->names)
                return ZK_RC_NOMEM;

        at = (char *) (op->names + n);
        for (size_t i = 0; i < n; i++) {
                op->names[i] = at;
                at = stpcpy(at, names->data[i]) + 1;
        }
        op->n_names = n;
        return ZOK;
}

void zk_thread_on_void(int rc, const void *data) {
        op_push(op_of(data), rc);
}

void zk_thread_on_stat(int rc, const struct Stat *stat, const void *data) {
        ZkOp *op = op_of(data);

        op_take_stat(op, stat);
        op_push(op, rc);
}

void zk_thread_on_data(int rc, const char *value, int len, const struct Stat *stat, const void *data) {
        ZkOp *op = op_of(data);

        op_take_stat(op, stat);
        if (rc == ZOK)
                rc = op_take_text(op, value, (size_t) MAX(len, 0)); /* a node without data has the length -1 */
        op_push(op, rc);
}

void zk_thread_on_created(int rc, const char *path, const struct Stat *stat, const void *data) {
        ZkOp *op = op_of(data);

        op_take_stat(op, stat);
        if (rc == ZOK)
                rc = op_take_text(op, path ?: "", path ? strlen(path) : 0);
        op_push(op, rc);
}

void zk_thread_on_names(int rc, const struct String_vector *names, const struct Stat *stat, const void *data) {
        ZkOp *op = op_of(data);

        op_take_stat(op, stat);
        if (rc == ZOK && names)
                rc = op_take_names(op, names);
        op_push(op, rc);
}

/* --- events and log ----------------------------------------------------------------------------- */

void zk_thread_trouble(ZkDoor *door) {
        if (!atomic_exchange(&door->troubled, true))
                inbox_push(door->inbox, &door->trouble.item);
}

void zk_thread_on_event(zhandle_t *zh, int type, int state, const char *path, void *context) {
        ZkDoor *door = context;
        size_t len = path ? strlen(path) : 0;
        ZkEvent *event;

        event = calloc(1, sizeof(*event) + len + 1);
        if (!event) {
                zk_thread_trouble(door);
                return;
        }
        event->item = (ZkItem) { .kind = ZK_ITEM_EVENT, .handle = door->handle };
        event->type = type;
        event->state = state;
        if (len > 0)
                memcpy(event->path, path, len);
        inbox_push(door->inbox, &event->item.item);
}

static _Atomic(ZkDoor *) log_doors[LOG_SLOTS];

static void log_push(size_t slot, const char *text) {
        ZkDoor *door = atomic_load(&log_doors[slot]);
        size_t len = strnlen(text, 1024);
        ZkLogLine *line;

        if (!door || atomic_load(&door->n_log_lines) >= LOG_LINES_MAX)
                return;
        line = calloc(1, sizeof(*line) + len + 1);
        if (!line)
                return;
        atomic_fetch_add(&door->n_log_lines, 1);
        line->item = (ZkItem) { .kind = ZK_ITEM_LOG, .handle = door->handle };
        line->door = door;
        memcpy(line->text, text, len);
        inbox_push(door->inbox, &line->item.item);
}

#define LOG_SLOT(n) \
        static void log_slot_##n(const char *text) { \
                log_push(n, text); \
        }
LOG_SLOT(0)
LOG_SLOT(1)
LOG_SLOT(2)
LOG_SLOT(3)
LOG_SLOT(4)
LOG_SLOT(5)
LOG_SLOT(6)
LOG_SLOT(7)

static const log_callback_fn log_slots[LOG_SLOTS] = {
        log_slot_0, log_slot_1, log_slot_2, log_slot_3, log_slot_4, log_slot_5, log_slot_6, log_slot_7,
};

/* Without it the library writes to stderr. */
static void log_nowhere(const char *text) {
}

log_callback_fn zk_thread_take_log(ZkDoor *door) {
        for (size_t i = 0; i < LOG_SLOTS; i++) {
                ZkDoor *none = NULL;

                if (atomic_compare_exchange_strong(&log_doors[i], &none, door))
                        return log_slots[i];
        }
        return log_nowhere;
}

void zk_thread_release_log(ZkDoor *door) {
        for (size_t i = 0; i < LOG_SLOTS; i++) {
                ZkDoor *mine = door;

                (void) atomic_compare_exchange_strong(&log_doors[i], &mine, NULL);
        }
}

/* --- the helper --------------------------------------------------------------------------------- */

/* "[::1]" and "::1" alike; the library takes the last colon for the port's. */
static void server_split(char *server, char **ret_host, const char **ret_port) {
        char *colon = strrchr(server, ':'), *end;

        while (*server == ' ')
                server++;
        *ret_port = "2181";
        if (colon && colon != server && (server[0] == '[' ? colon[-1] == ']' : strchr(server, ':') == colon)) {
                *colon = '\0';
                *ret_port = colon + 1;
        }
        *ret_host = server;
        if (server[0] != '[')
                return;
        *ret_host = server + 1;
        end = strchr(server, ']');
        if (end)
                *end = '\0';
}

/* Appends "address:port" of all that a server's name stands for. */
static int server_resolve(char *server, FILE *out, unsigned *n) {
        struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *list, *a;
        const char *port;
        char *host;
        int r;

        server_split(server, &host, &port);
        r = getaddrinfo(host, port, &hints, &list);
        if (r != 0)
                return r;
        for (a = list; a && *n < SERVERS_MAX; a = a->ai_next) {
                char address[NI_MAXHOST], service[NI_MAXSERV];

                if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), service, sizeof(service),
                                NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                        continue;
                fprintf(out, "%s%s:%s", *n > 0 ? "," : "", address, service);
                (*n)++;
        }
        freeaddrinfo(list);
        return 0;
}

/* The library gets literals only: it would resolve names on its IO thread, again and again, and a slow resolver would
 * cost the session. Names that don't resolve are left out while others do. */
static int servers_resolve(ZkHelper *helper, char **ret) {
        _cleanup_free_ char *copy = strdup(helper->servers), *literal = NULL;
        char *server, *rest = copy;
        unsigned n = 0;
        size_t size;
        FILE *out;
        int r;

        out = open_memstream(&literal, &size);
        if (!out || !copy) {
                if (out)
                        fclose(out);
                return -ENOMEM;
        }
        while ((server = strsep(&rest, ","))) {
                r = server_resolve(server, out, &n);
                if (r != 0)
                        (void) str_print(helper->failure, sizeof(helper->failure), "can't resolve %.60s: %.40s", server,
                                         gai_strerror(r));
        }
        if (fclose(out) != 0)
                return -ENOMEM;
        if (n == 0)
                return -EHOSTUNREACH;
        *ret = TAKE_PTR(literal);
        return 0;
}

static void *helper_open(void *data) {
        ZkHelper *helper = data;
        _cleanup_free_ char *literal = NULL;

        helper->error = servers_resolve(helper, &literal);
        if (helper->error >= 0) {
                errno = 0;
                helper->zh = zookeeper_init2(literal, zk_thread_on_event, helper->timeout_msec, NULL, helper->door,
                                             ZOO_NO_LOG_CLIENTENV, helper->log);
                if (!helper->zh)
                        helper->error = errno > 0 ? -errno : -EIO;
                else
                        (void) zoo_set_servers_resolution_delay(helper->zh, -1);
        }
        inbox_push(helper->door->inbox, &helper->item.item);
        return NULL;
}

static void *helper_close(void *data) {
        ZkHelper *helper = data;

        (void) zookeeper_close(helper->zh);
        helper->zh = NULL;
        inbox_push(helper->door->inbox, &helper->item.item);
        return NULL;
}

/* Signals are for the loop's thread alone; the library's threads inherit this from the helper. */
static int helper_start(ZkHelper *helper, void *(*fn)(void *)) {
        sigset_t all, old;
        int r;

        sigfillset(&all);
        r = pthread_sigmask(SIG_SETMASK, &all, &old);
        if (r != 0)
                return -r;
        r = pthread_create(&helper->thread, NULL, fn, helper);
        (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
        return -r;
}

int zk_thread_start_open(ZkHelper *helper) {
        return helper_start(helper, helper_open);
}

int zk_thread_start_close(ZkHelper *helper) {
        return helper_start(helper, helper_close);
}

void zk_thread_join(ZkHelper *helper) {
        (void) pthread_join(helper->thread, NULL);
}
