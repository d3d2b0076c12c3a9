/* SPDX-License-Identifier: Apache-2.0 */
/* The `node` backend in an arena: see arena.h
 *
 * The agent is one participant among others. Its entries are delegated (shm/delegate.h): the service manager keeps a
 * copy of a descriptor, and as long as that is open, what a killed agent held stays held. A new agent gives the old
 * one's descriptor back, by which the claims of that one end as died.
 *
 *      OPEN --> LOST --> OPEN      the file was removed, replaced or damaged: claims are lost, another one is made
 *
 * What has been mapped is never unmapped: the kernel walks through it when we end. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/arena-backend.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "core/token.h"
#include "sd/store.h"
#include "shm/delegate.h"
#include "shm/directory.h"
#include "shm/sigbus.h"

#define ARENA_MODE 0660
#define TEND_USEC (5 * USEC_PER_SEC)
#define STORE_NAME "arena"
#define STORED_MAX 16

/* --- opening -------------------------------------------------------------------------------------- */

/* Of agents before this one, by whatever way they ended. */
static void recover_stored(ArenaBackend *a) {
        int fds[STORED_MAX], n = store_take(STORE_NAME, fds, STORED_MAX);

        for (int i = 0; i < n; i++) {
                if (fd_is_same_file(fds[i], a->arena->fd) > 0)
                        (void) shm_delegate_recover(a->actor, fds[i]);
                fd_close(fds[i]);
        }
        if (n > 0)
                log_info("Domain node: what the agent before this one held is given back");
}

static int stand(ArenaBackend *a) {
        int r;

        r = shm_delegate_stand(a->actor, &a->delegate_fd);
        if (r < 0)
                return r;
        recover_stored(a);
        store_forget(STORE_NAME);
        store_keep(STORE_NAME, a->delegate_fd);
        return 0;
}

/* What has been given is below it. `node` stores a ceiling above that, so a damaged arena can't make them repeat. */
static void note_tokens(ArenaBackend *a) {
        TokenSource *tokens = &a->backend.domain->tokens;
        uint64_t high = atomic_load(&a->arena->broken) ? tokens->ceiling : shm_directory_high(a->arena);

        tokens->high = MAX(tokens->high, high);
}

/* Tokens above all that an agent on this host has ever given. */
static int raise_tokens(ArenaBackend *a) {
        int r = shm_directory_raise(a->arena, a->backend.domain->tokens.high);

        note_tokens(a);
        return r;
}

static int open_at(ArenaBackend *a) {
        int r;

        r = shm_arena_open(&a->arena, a->path, ARENA_MODE, SHM_OPEN_CREATE);
        if (r < 0)
                return r;
        a->arena->patience_usec = SHM_AGENT_PATIENCE_USEC;
        r = shm_sigbus_guard(a->arena);
        if (r >= 0)
                r = raise_tokens(a);
        if (r >= 0)
                r = shm_actor_new_delegated(&a->actor, a->arena);
        if (r >= 0)
                r = stand(a);
        if (r < 0)
                return r;
        /* Who rings calls the kernel: we mostly sleep. */
        (void) atom_add(&a->actor->first->sleepers, 1);
        a->bell = atom_load(&a->actor->first->bell);
        a->n_broken = atom_load(&a->actor->first->n_broken);
        a->checked_usec = time_now();
        a->words_changed = true;
        a->backend.info.server = a->path;
        a->backend.info.detail = "";
        return 0;
}

/* What is mapped stays: see above. */
static void close_it(ArenaBackend *a) {
        arena_forget_slots(a);
        a->delegate_fd = fd_close(a->delegate_fd);
        a->actor = shm_actor_free(a->actor);
        a->arena = shm_arena_unref(a->arena);
        a->backend.info.server = "";
}

int arena_open(ArenaBackend *a) {
        int r;

        if (a->actor)
                return 0;
        r = open_at(a);
        if (r < 0) {
                close_it(a);
                a->backend.info.detail = "the arena can't be opened";
                return r;
        }
        log_notice("Domain node: opened %s again", a->path);
        return 0;
}

void arena_check(ArenaBackend *a) {
        int r;

        a->check_due = false;
        if (!a->arena)
                return;
        a->checked_usec = time_now();
        r = shm_arena_check(a->arena);
        if (r >= 0)
                return;
        log_error_errno(r, "Domain node: %s was removed, replaced or damaged: what was held in it is lost", a->path);
        note_tokens(a);
        close_it(a);
        arena_lose_all(a);
        (void) arena_open(a);
}

/* --- time ----------------------------------------------------------------------------------------- */

static void on_wake(ArenaWait *w, _Atomic uint32_t *word) {
        ArenaBackend *a = container_of(w, ArenaBackend, wait);

        arena_look(a);
        (void) arena_tell(a);
        /* When somebody dies the kernel wakes one, who wakes the next. */
        if (word && a->actor && word != &a->actor->first->bell)
                shm_futex_wake(word);
}

static void on_look_timer(LoopTimer *timer, uint64_t now_usec) {
        ArenaBackend *a = container_of(timer, ArenaBackend, look_timer);

        arena_look_due(a);
        (void) arena_tell(a);
}

static void on_tend_timer(LoopTimer *timer, uint64_t now_usec) {
        ArenaBackend *a = container_of(timer, ArenaBackend, tend_timer);

        if (!list_is_empty(&a->held) || !list_is_empty(&a->waiting))
                arena_check(a);
        if (a->arena)
                note_tokens(a);
        loop_timer_set(timer, usec_add(now_usec, TEND_USEC));
}

/* --- backend -------------------------------------------------------------------------------------- */

static void arena_node(Backend *b, Node *node) {
        assert_not_reached();
}

static void arena_lock(Backend *b, Lock *lock) {
        assert_not_reached();
}

static void arena_session(Backend *b, Session *session) {
        session->want = 0;
}

static void arena_stop(Backend *b) {
        ArenaBackend *a = arena_of(b);

        loop_timer_unset(&a->look_timer);
        loop_timer_unset(&a->tend_timer);
        arena_wait_stop(&a->wait);
        a->node->ops->stop(a->node);
        store_forget(STORE_NAME);
        a->stopped = true;
}

static bool arena_stopped(const Backend *b) {
        const ArenaBackend *a = container_of(b, ArenaBackend, backend);

        return a->stopped && arena_wait_is_stopped(&a->wait) && list_is_empty(&a->held) && list_is_empty(&a->waiting) &&
               a->node->ops->stopped(a->node);
}

static Backend *arena_free(Backend *b) {
        ArenaBackend *a = arena_of(b);

        loop_timer_unset(&a->look_timer);
        loop_timer_unset(&a->tend_timer);
        arena_wait_deinit(&a->wait);
        arena_drop_all(a);
        close_it(a);
        backend_free(a->node);
        free(a->path);
        free(a);
        return NULL;
}

static const BackendOps arena_ops = {
        .node = arena_node,
        .lock = arena_lock,
        .place = arena_place,
        .report = arena_report,
        .session = arena_session,
        .query = arena_query,
        .stop = arena_stop,
        .stopped = arena_stopped,
        .free = arena_free,
};

int arena_backend_new(Backend **ret, Backend *node, const char *path) {
        ArenaBackend *a;
        int r;

        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        a->backend = (Backend) { .ops = &arena_ops, .loop = node->loop, .realm = node->realm, .domain = node->domain,
                                 .info.kind = "node", .info.server = "", .info.detail = "" };
        a->delegate_fd = -1;
        list_init(&a->waiting);
        list_init(&a->held);
        list_init(&a->due);
        loop_timer_init(&a->look_timer, node->loop, on_look_timer);
        loop_timer_init(&a->tend_timer, node->loop, on_tend_timer);
        r = arena_wait_init(&a->wait, node->loop, on_wake);
        if (r >= 0)
                r = strdup_to(&a->path, path);
        if (r >= 0)
                r = open_at(a);
        if (r < 0) {
                arena_free(&a->backend);
                return r;
        }
        a->node = node;
        loop_timer_set(&a->tend_timer, usec_add(time_now(), TEND_USEC));
        node->domain->locks.arena = true;
        *ret = &a->backend;
        return 0;
}
