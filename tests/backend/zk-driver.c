/* SPDX-License-Identifier: Apache-2.0 */
/* Two (or more) hosts in one process, over a real ZooKeeper: for test-zk.py
 *
 *     zk-driver [KEY=VALUE ...]        servers=, chroot=, timeout=, tick=, scheme=, auth=, private, ack, loop=
 *
 * Commands on stdin, one a line; what happens is told on stdout, one line each:
 *
 *     host NAME [STATE]            -> host NAME up …            a realm, a domain, a backend
 *     lock NAME ID LOCK [x|s] [try|contention]
 *                                  -> claim NAME ID acquired TOKEN=…
 *     unlock NAME ID [died]        -> claim NAME ID released
 *     state NAME                   -> state NAME session=… up=… server=… detail=…
 *     query NAME LOCK              -> owner … (each), query NAME RESULT
 *     list NAME                    -> lock … (each), list NAME RESULT
 *     break NAME LOCK TOKEN [force] -> break NAME RESULT
 *     watches NAME BYTES           sets the bound of watches
 *     stop NAME                    -> stopped NAME
 *     quit
 *
 * The core, the loop and the backend are the real ones; what the agent does around them is done here in small. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/zk-backend.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "loop/defer.h"
#include "loop/loop.h"
#include "loop/op.h"
#include "loop/timer.h"

#define WORDS_MAX 8

typedef struct Host {
        ListLink link;
        char *name;
        Realm realm;
        Domain *domain;
        Backend *backend;
        LoopTimer timer;
        bool stopping;
        SessionState state_told;
} Host;

typedef struct TestClaim {
        Claim claim;
        Host *host;
        ListLink link;
        char *id;
        char *lock;
} TestClaim;

typedef struct TestQuery {
        Query q;
        Host *host;
} TestQuery;

static Loop *loop;
static List hosts = LIST_INIT(hosts);
static List claims = LIST_INIT(claims);
static LoopHook hook;
static LoopOp input;
static char buffer[65536];
static size_t buffered;
static bool quitting;

static struct {
        const char *servers, *chroot, *namespace_, *scheme, *auth;
        uint64_t timeout_usec, tick_usec;
        bool private, acknowledge;
        LoopKind kind;
} config = { .servers = "", .chroot = "", .namespace_ = "/tooz", .scheme = "digest", .timeout_usec = 4 * USEC_PER_SEC,
             .tick_usec = 200 * USEC_PER_MSEC };

_printf_(1, 2) static void say(const char *fmt, ...) {
        va_list ap;

        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
        fflush(stdout);
}

static const char *text(const char *s) {
        return s && *s ? s : "-";
}

static void *must(void *p) {
        tooz_assert(p);
        return p;
}

static Host *host_find(const char *name) {
        Host *h;

        list_foreach(h, &hosts, Host, link)
                if (streq(h->name, name))
                        return h;
        fprintf(stderr, "no host %s\n", name);
        abort();
}

/* --- effects ------------------------------------------------------------------------------------ */

static void claim_forget(TestClaim *c) {
        list_unlink(&c->link);
        claim_deinit(&c->claim);
        free(c->id);
        free(c->lock);
        free(c);
}

static void tell_claim(Claim *claim) {
        static const struct {
                ClaimNews news;
                const char *word;
        } words[] = {
                { NEWS_QUEUED, "queued" },       { NEWS_ACQUIRED, "acquired" },   { NEWS_CONTENDED, "contended" },
                { NEWS_SUSPENDED, "suspended" }, { NEWS_RESUMED, "resumed" },     { NEWS_RELEASED, "released" },
                { NEWS_LOST, "lost" },           { NEWS_FAILED, "failed" },
        };
        TestClaim *c = container_of(claim, TestClaim, claim);
        unsigned news = claim_take_news(claim);

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (news & words[i].news)
                        say("claim %s %s %s token=%" PRIu64 " previous=%s reason=%s", c->host->name, c->id, words[i].word,
                            claim->token, previous_to_string(claim->previous), claim_reason_to_string(claim->reason));
        if (news & NEWS_TERMINAL)
                claim_forget(c);
}

static void tell_owner(const OwnerInfo *o) {
        say("owner %s %s host=%s local=%d foreign=%d mode=%s pid=%u uid=%u unit=%s comm=%s token=%" PRIu64
            " node=%s since=%d description=%s",
            o->waiting ? "waits" : "holds", o->local ? "here" : "there", text(o->host), o->local, o->foreign,
            lock_mode_to_string(o->mode), o->pid, o->uid, text(o->unit), text(o->comm), o->token, text(o->node),
            o->since_realtime_usec != 0, text(o->description));
}

static void tell_query(Query *q) {
        TestQuery *t = container_of(q, TestQuery, q);

        for (size_t i = 0; i < q->n_owners; i++)
                tell_owner(&q->owners[i]);
        for (size_t i = 0; i < q->n_locks; i++)
                say("lock %s mode=%s holders=%u waiters=%u host=%s local=%d", q->locks[i].name,
                    lock_mode_to_string(q->locks[i].mode), q->locks[i].n_holders, q->locks[i].n_waiters,
                    text(q->locks[i].first.host), q->locks[i].first.local);
        say("%s %s %s", query_kind_to_string(q->kind), t->host->name, q->result < 0 ? strerrorname_np(-q->result) : "ok");
        query_deinit(q);
        free(t);
}

static void tell_session(Host *h, Session *s) {
        s->want &= ~(unsigned) SESSION_WANT_PUBLISH;
        if (s->state != h->state_told)
                say("session %s %s epoch=%" PRIu64, h->name, session_state_to_string(s->state), s->epoch);
        h->state_told = s->state;
        if (s->want)
                h->backend->ops->session(h->backend, s);
}

static void apply(Host *h, Effect *effect) {
        const BackendOps *ops = h->backend->ops;

        switch (effect->kind) {
        case EFFECT_CLAIM:
                tell_claim(container_of(effect, Claim, effect));
                break;
        case EFFECT_NODE:
                ops->node(h->backend, container_of(effect, Node, effect));
                break;
        case EFFECT_PLACE:
                assert_not_reached();
        case EFFECT_LOCK:
                ops->lock(h->backend, container_of(effect, Lock, effect));
                break;
        case EFFECT_SESSION:
                tell_session(h, container_of(effect, Session, effect));
                break;
        case EFFECT_QUERY:
                ops->query(h->backend, container_of(effect, Query, effect));
                break;
        case EFFECT_QUERY_DONE:
                tell_query(container_of(effect, Query, effect));
                break;
        case _EFFECT_KIND_MAX:
                assert_not_reached();
        }
}

static void host_free(Host *h) {
        list_unlink(&h->link);
        loop_timer_unset(&h->timer);
        backend_free(h->backend);
        realm_deinit(&h->realm);
        free(h->name);
        free(h);
}

static void host_tend(Host *h) {
        Effect *effect;

        while ((effect = effects_pop(&h->realm.effects)))
                apply(h, effect);
        lock_table_check(&h->domain->locks);
        if (h->stopping && h->backend->ops->stopped(h->backend)) {
                say("stopped %s", h->name);
                host_free(h);
                return;
        }
        loop_timer_set(&h->timer, realm_next_timer(&h->realm));
}

static void on_apply(LoopHook *unused) {
        Host *h, *tmp;

        list_foreach_safe(h, tmp, &hosts, Host, link)
                host_tend(h);
}

static void host_on_timer(LoopTimer *timer, uint64_t now) {
        realm_on_timer(&container_of(timer, Host, timer)->realm, now);
}

/* --- commands ----------------------------------------------------------------------------------- */

static void do_host(char **words, size_t n) {
        Host *h = must(calloc(1, sizeof(*h)));
        const ZkConfig zk = {
                .servers = config.servers,
                .chroot = config.chroot,
                .namespace_ = config.namespace_,
                .timeout_usec = config.timeout_usec,
                .tick_usec = config.tick_usec,
                .auth_scheme = config.auth ? config.scheme : NULL,
                .auth = config.auth,
                .acl_private = config.private,
                .state_directory = n > 2 ? words[2] : NULL,
                .host_data = "HOST=test\nVERSION=0\n",
                .acknowledge_regression = config.acknowledge,
        };
        int r;

        h->name = must(strdup(words[1]));
        list_link_init(&h->link);
        tooz_assert(realm_init(&h->realm, h->name, 0, 0) >= 0);
        tooz_assert(domain_new(&h->domain, "cluster", DOMAIN_ZOOKEEPER, config.timeout_usec, loop_now(loop)) >= 0);
        realm_add_domain(&h->realm, h->domain);
        loop_timer_init(&h->timer, loop, host_on_timer);
        r = zk_backend_new(&h->backend, loop, &h->realm, h->domain, &zk);
        if (r < 0) {
                say("host %s %s", h->name, strerrorname_np(-r));
                host_free(h);
                return;
        }
        list_append(&hosts, &h->link);
        say("host %s ok", h->name);
}

static void do_lock(char **words, size_t n) {
        const ClaimOwner owner = { .uid = 1000, .pid = 4711, .unit = (char *) "test.service", .comm = (char *) "driver",
                                   .description = (char *) "nightly backup" };
        TestClaim *c = must(calloc(1, sizeof(*c)));
        LockMode mode = n > 4 && streq(words[4], "s") ? LOCK_SHARED : LOCK_EXCLUSIVE;
        uint64_t flags = n > 5 && streq(words[5], "try")        ? CLAIM_NO_QUEUE :
                         n > 5 && streq(words[5], "contention") ? CLAIM_NOTIFY_CONTENTION :
                                                                  0;
        int r;

        c->host = host_find(words[1]);
        c->id = must(strdup(words[2]));
        c->lock = must(strdup(words[3]));
        list_link_init(&c->link);
        list_append(&claims, &c->link);
        tooz_assert(claim_init(&c->claim, realm_new_claim_id(&c->host->realm), mode, flags, &owner) >= 0);
        r = lock_table_request(&c->host->domain->locks, &c->claim, c->lock, USEC_INFINITY, loop_now(loop),
                               &c->host->realm.effects);
        if (r == 0)
                return;
        say("claim %s %s refused %d", c->host->name, c->id, r);
        claim_forget(c);
}

static void do_unlock(char **words, size_t n) {
        TestClaim *c;

        list_foreach(c, &claims, TestClaim, link) {
                if (!streq(c->host->name, words[1]) || !streq(c->id, words[2]))
                        continue;
                lock_table_release(&c->host->domain->locks, &c->claim, n > 3, loop_now(loop), &c->host->realm.effects);
                return;
        }
        fprintf(stderr, "no claim %s %s\n", words[1], words[2]);
}

static void do_state(char **words, size_t n) {
        Host *h = host_find(words[1]);
        const Session *s = &h->domain->session;

        say("state %s session=0x%" PRIx64 " state=%s server=%s locks=%zu watches=%zu ops=%zu detail=%s", h->name,
            (uint64_t) s->id, session_state_to_string(s->state), text(h->backend->info.server), h->domain->locks.n_locks,
            zk_of(h->backend)->session.handle ? zk_of(h->backend)->session.handle->watches.bytes : 0,
            zk_of(h->backend)->session.handle ? zk_of(h->backend)->session.handle->n_ops : 0,
            text(h->backend->info.detail));
}

static void ask(Host *h, QueryKind kind, const char *name, uint64_t token, uint64_t flags) {
        TestQuery *t = must(calloc(1, sizeof(*t)));

        t->host = h;
        tooz_assert(query_init(&t->q, kind, h->domain, name) >= 0);
        t->q.token = token;
        t->q.flags = flags;
        t->q.uid = 1000;
        realm_query(&h->realm, &t->q, loop_now(loop), time_now_realtime());
}

static void do_query(char **words, size_t n) {
        ask(host_find(words[1]), QUERY_LOCK, words[2], 0, 0);
}

static void do_list(char **words, size_t n) {
        ask(host_find(words[1]), QUERY_LIST, NULL, 0, n > 2 ? QUERY_LIST_LOCAL : 0);
}

static void do_break(char **words, size_t n) {
        uint64_t token;

        tooz_assert(str_parse_u64(words[3], &token) >= 0);
        ask(host_find(words[1]), QUERY_BREAK, words[2], token, n > 4 ? QUERY_BREAK_FORCE : 0);
}

static void do_watches(char **words, size_t n) {
        uint64_t bytes;

        tooz_assert(str_parse_u64(words[2], &bytes) >= 0);
        zk_of(host_find(words[1])->backend)->session.handle->watches.bytes_max = bytes;
}

static void host_stop(Host *h) {
        if (h->stopping)
                return;
        realm_stop(&h->realm, loop_now(loop));
        host_tend(h);
        h->backend->ops->stop(h->backend);
        h->stopping = true;
}

static void do_stop(char **words, size_t n) {
        host_stop(host_find(words[1]));
}

static void do_quit(char **words, size_t n) {
        Host *h;

        list_foreach(h, &hosts, Host, link)
                host_stop(h);
        quitting = true;
}

static const struct {
        const char *word;
        size_t n_min;
        void (*fn)(char **words, size_t n);
} commands[] = {
        { "host", 2, do_host },   { "lock", 4, do_lock },   { "unlock", 3, do_unlock }, { "state", 2, do_state },
        { "query", 3, do_query }, { "list", 2, do_list },   { "break", 4, do_break },   { "watches", 3, do_watches },
        { "stop", 2, do_stop },   { "quit", 1, do_quit },
};

static void do_line(char *line) {
        char *words[WORDS_MAX], *word, *rest = line;
        size_t n = 0;

        while (n < WORDS_MAX && (word = strsep(&rest, " ")))
                if (*word)
                        words[n++] = word;
        for (size_t i = 0; i < ARRAY_SIZE(commands) && n > 0; i++) {
                if (!streq(words[0], commands[i].word) || n < commands[i].n_min)
                        continue;
                commands[i].fn(words, n);
                return;
        }
        if (n > 0)
                fprintf(stderr, "what is %s?\n", words[0]);
}

static void take_lines(void) {
        char *line = buffer, *end;

        while ((end = memchr(line, '\n', buffered - (size_t) (line - buffer)))) {
                *end = '\0';
                do_line(line);
                line = end + 1;
        }
        buffered -= (size_t) (line - buffer);
        memmove(buffer, line, buffered);
}

static void on_input(LoopOp *op, int result, uint32_t flags) {
        ssize_t n = result < 0 ? -1 : read(STDIN_FILENO, buffer + buffered, sizeof(buffer) - buffered);
        char quit[] = "quit";

        if (n > 0) {
                buffered += (size_t) n;
                take_lines();
        } else if (n == 0)
                do_line(quit);
        if (!quitting)
                loop_poll(op, STDIN_FILENO, POLLIN, false);
}

static void configure(const char *arg) {
        const char *v;

        if ((v = str_skip_prefix(arg, "servers=")))
                config.servers = v;
        else if ((v = str_skip_prefix(arg, "chroot=")))
                config.chroot = v;
        else if ((v = str_skip_prefix(arg, "timeout=")))
                tooz_assert(time_parse_span(v, &config.timeout_usec) >= 0);
        else if ((v = str_skip_prefix(arg, "tick=")))
                tooz_assert(time_parse_span(v, &config.tick_usec) >= 0);
        else if ((v = str_skip_prefix(arg, "auth=")))
                config.auth = v;
        else if ((v = str_skip_prefix(arg, "scheme=")))
                config.scheme = v;
        else if (streq(arg, "private"))
                config.private = true;
        else if (streq(arg, "ack"))
                config.acknowledge = true;
        else if ((v = str_skip_prefix(arg, "loop=")))
                config.kind = (LoopKind) loop_kind_from_string(v);
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                configure(argv[i]);
        log_set_max_level(LOG_LEVEL_DEBUG);
        tooz_assert(loop_new(&loop, config.kind) >= 0);
        loop_hook_add(&hook, loop, LOOP_PHASE_DEFERRED, on_apply);
        loop_op_init(&input, loop, on_input);
        loop_poll(&input, STDIN_FILENO, POLLIN, false);
        say("ready");

        while (!loop_op_is_idle(&input) || !list_is_empty(&hosts))
                tooz_assert(loop_run_once(loop) >= 0);
        tooz_assert(list_is_empty(&claims));
        loop_hook_remove(&hook);
        loop_free(loop);
        return 0;
}
