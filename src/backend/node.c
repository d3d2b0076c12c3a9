/* SPDX-License-Identifier: Apache-2.0 */
/* The `node` backend
 *
 * The lock table is the whole truth of this host, so there is hardly anything to carry out: what remains is time.
 * New tokens start at the wall clock, whose distance from BOOTTIME is looked at now and then; and so that they keep
 * rising when that clock was set back and the agent restarted, a ceiling that they don't reach is kept in a file
 * before they come near it. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "base/assert.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "loop/timer.h"

/* The core asks for a new ceiling half an hour before the old one is reached. */
#define TEND_USEC (5 * 60 * USEC_PER_SEC)
#define FILE_MAX 64

typedef struct NodeBackend {
        Backend backend;
        LoopTimer timer;
        char *path; /* of the ceiling; NULL: not kept */
        bool stopped;
} NodeBackend;

static NodeBackend *node_of(Backend *b) {
        return container_of(b, NodeBackend, backend);
}

static int ceiling_read(const char *path, uint64_t *ret) {
        _cleanup_free_ char *data = NULL;
        size_t len;
        int r;

        r = file_read(path, FILE_MAX, &data, &len);
        if (r == -ENOENT) {
                *ret = 0;
                return 0;
        }
        if (r < 0)
                return r;
        while (len > 0 && data[len - 1] == '\n')
                len--;
        return str_parse_u64n(data, len, ret) < 0 ? -EBADMSG : 0;
}

static int ceiling_store(const char *path, uint64_t ceiling) {
        char text[FILE_MAX];
        int r;

        r = str_print(text, sizeof(text), "%" PRIu64 "\n", ceiling);
        return r < 0 ? r : file_write_atomic(path, text, (size_t) r, 0644);
}

/* A full disk must not keep this host from locking: tokens rise as long as the clock does. */
static void node_tend(NodeBackend *n) {
        Domain *d = n->backend.domain;
        uint64_t realtime = time_now_realtime(), ceiling;
        int r = 0;

        d->locks.realtime_offset_usec = (int64_t) (realtime - time_now());
        ceiling = token_source_due(&d->tokens, realtime * NSEC_PER_USEC);
        if (ceiling > 0 && n->path)
                r = ceiling_store(n->path, ceiling);
        if (ceiling > 0 && r >= 0)
                token_source_stored(&d->tokens, ceiling);
        if (r < 0)
                log_warning_errno(r, "Can't keep the ceiling of tokens in %s", n->path);
}

static void node_on_timer(LoopTimer *timer, uint64_t now) {
        node_tend(container_of(timer, NodeBackend, timer));
        loop_timer_set(timer, usec_add(now, TEND_USEC));
}

/* A domain without nodes has no such wishes. */
static void node_node(Backend *b, Node *node) {
        assert_not_reached();
}

static void node_lock(Backend *b, Lock *lock) {
        assert_not_reached();
}

static void node_session(Backend *b, Session *session) {
        session->want = 0;
}

/* The core answers from its table. */
static void node_query(Backend *b, Query *q) {
        query_finish(q, -EOPNOTSUPP, &b->realm->effects);
}

static void node_stop(Backend *b) {
        NodeBackend *n = node_of(b);

        loop_timer_unset(&n->timer);
        n->stopped = true;
}

static bool node_stopped(const Backend *b) {
        return container_of(b, NodeBackend, backend)->stopped;
}

static Backend *node_free_backend(Backend *b) {
        NodeBackend *n = node_of(b);

        loop_timer_unset(&n->timer);
        free(n->path);
        free(n);
        return NULL;
}

static const BackendOps node_ops = {
        .node = node_node,
        .lock = node_lock,
        .session = node_session,
        .query = node_query,
        .stop = node_stop,
        .stopped = node_stopped,
        .free = node_free_backend,
};

static int node_restore(NodeBackend *n, const char *state_directory) {
        uint64_t ceiling = 0;
        int r;

        if (state_directory) {
                n->path = strjoin(state_directory, "/node-tokens");
                if (!n->path)
                        return -ENOMEM;
                r = ceiling_read(n->path, &ceiling);
                if (r < 0)
                        return r;
        }
        token_source_init(&n->backend.domain->tokens, ceiling);
        return 0;
}

int node_backend_new(Backend **ret, Loop *loop, Realm *realm, Domain *domain, const char *state_directory) {
        _cleanup_(backend_freep) Backend *b = NULL;
        NodeBackend *n;
        int r;

        n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        b = &n->backend;
        *b = (Backend) { .ops = &node_ops, .loop = loop, .realm = realm, .domain = domain, .info.kind = "node",
                         .info.server = "", .info.detail = "" };
        loop_timer_init(&n->timer, loop, node_on_timer);
        r = node_restore(n, state_directory);
        if (r < 0)
                return r;
        node_tend(n);
        loop_timer_set(&n->timer, usec_add(time_now(), TEND_USEC));
        *ret = TAKE_PTR(b);
        return 0;
}
