/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tests of the D-Bus face: a realm with the domain `node`, served in this process, and clients on the same loop
 *
 * The kit is what the agent is otherwise: it carries out the effects and keeps the realm's timer. */

#include <stdio.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kv.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"
#include "bus/bus-server.h"
#include "bus/bus.h"
#include "core/realm.h"
#include "loop/loop-kit.h"
#include "loop/loop.h"
#include "support/kit.h"

typedef struct World {
        Loop *loop;
        Realm realm;
        BusFacts facts;
        BusServer *server;
        LoopHook apply;
        LoopTimer timer;
        unsigned n_reloads;
} World;

static inline void world_on_apply(LoopHook *hook) {
        World *w = container_of(hook, World, apply);
        Effect *e;

        while ((e = effects_pop(&w->realm.effects)))
                switch (e->kind) {
                case EFFECT_CLAIM:
                        bus_server_tell_claim(w->server, container_of(e, Claim, effect));
                        break;
                case EFFECT_QUERY_DONE:
                        bus_server_tell_query(w->server, container_of(e, Query, effect));
                        break;
                case EFFECT_QUERY:
                        /* The test answers it. */
                        break;
                case EFFECT_NODE:
                case EFFECT_PLACE:
                case EFFECT_LOCK:
                case EFFECT_SESSION:
                case _EFFECT_KIND_MAX:
                        break;
                }
        loop_timer_set(&w->timer, realm_next_timer(&w->realm));
}

static inline void world_on_timer(LoopTimer *timer, uint64_t now_usec) {
        realm_on_timer(&container_of(timer, World, timer)->realm, time_now());
}

static inline int world_page(BusFacts *facts, const Domain *d) {
        return -EOPNOTSUPP;
}

static inline const char *world_text(BusFacts *facts, const Domain *d) {
        return "";
}

static inline int world_reload(BusFacts *facts) {
        container_of(facts, World, facts)->n_reloads++;
        return 0;
}

static inline void world_new(World *w, LoopKind kind, const char *address) {
        const BusConfig config = { .address = address, .socket_path = kit_path("agent.sock"), .socket_fd = -1,
                                   .socket_mode = 0666 };
        Domain *node;

        *w = (World) { .facts = { .version = "1.2.3", .page = world_page, .server = world_text, .detail = world_text,
                                  .reload = world_reload } };
        log_set_max_level(LOG_LEVEL_WARNING);
        w->loop = loop_kit_new(kind);
        kit_ok(realm_init(&w->realm, "host-a", getuid(), getgid()));
        kit_ok(domain_new(&node, "node", DOMAIN_NODE, 0, time_now()));
        realm_add_domain(&w->realm, node);
        loop_hook_add(&w->apply, w->loop, LOOP_PHASE_DEFERRED, world_on_apply);
        loop_timer_init(&w->timer, w->loop, world_on_timer);
        kit_ok(bus_server_new(&w->server, w->loop, &w->realm, &w->facts, &config));
}

static inline void world_turn(World *w) {
        kit_ok(loop_run_once(w->loop));
}

static inline void world_stop(World *w) {
        bus_server_stop(w->server);
        realm_stop(&w->realm, time_now());
        while (!bus_server_is_flushed(w->server))
                world_turn(w);
}

static inline void world_free(World *w) {
        world_stop(w);
        w->server = bus_server_free(w->server);
        loop_hook_remove(&w->apply);
        loop_timer_unset(&w->timer);
        realm_deinit(&w->realm);
        loop_free(w->loop);
}

static inline Domain *world_node(World *w) {
        return realm_find_domain(&w->realm, "node");
}

/* --- clients ------------------------------------------------------------------------------------ */

typedef struct Client {
        World *world;
        BusPump pump;
        bool closed;
        unsigned n_signals;
        char event[64]; /* of the last signal */
} Client;

static inline void client_on_closed(BusPump *pump) {
        container_of(pump, Client, pump)->closed = true;
}

static inline int client_on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Client *c = userdata;
        const char *event;
        uint64_t sequence;

        if (sd_bus_message_is_signal(m, BUS_CLAIM, "Event") > 0) {
                kit_ok(sd_bus_message_read(m, "ts", &sequence, &event));
                kit_ok(str_copy(c->event, sizeof(c->event), event));
                c->n_signals++;
                cr_assert_eq(sequence, c->n_signals);
        }
        return 0;
}

/* NULL: the direct socket. */
static inline void client_open(Client *c, World *w, const char *address) {
        char direct[256];
        sd_bus *bus;

        *c = (Client) { .world = w };
        if (!address)
                kit_ok(str_print(direct, sizeof(direct), "unix:path=%s/agent.sock", kit_folder()));
        kit_ok(sd_bus_new(&bus));
        kit_ok(sd_bus_set_address(bus, address ?: direct));
        kit_ok(sd_bus_set_bus_client(bus, address != NULL));
        kit_ok(sd_bus_start(bus));
        kit_ok(sd_bus_add_filter(bus, NULL, client_on_signal, c));
        kit_ok(bus_pump_start(&c->pump, w->loop, bus, client_on_closed));
}

/* Before that, sending a descriptor would wait in sd-bus. */
static inline void client_await_ready(Client *c) {
        while (!c->closed && sd_bus_is_ready(c->pump.bus) <= 0)
                world_turn(c->world);
}

static inline void client_close(Client *c) {
        if (c->pump.bus)
                bus_pump_close(&c->pump, 0);
        while (!c->closed)
                world_turn(c->world);
}

typedef struct Answer {
        bool done;
        sd_bus_message *message;
        sd_bus_slot *slot;
} Answer;

static inline int answer_on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Answer *a = userdata;

        a->message = sd_bus_message_ref(m);
        a->done = true;
        return 1;
}

static inline sd_bus_message *client_method(Client *c, const char *path, const char *interface, const char *member) {
        sd_bus_message *m;

        kit_ok(sd_bus_message_new_method_call(c->pump.bus, &m,
                                              streq(interface, "org.freedesktop.DBus") ? interface : BUS_NAME, path,
                                              interface, member));
        return m;
}

/* Takes the message. */
static inline void client_send(Client *c, Answer *a, sd_bus_message *m) {
        *a = (Answer) {};
        kit_ok(sd_bus_call_async(c->pump.bus, &a->slot, m, answer_on_reply, a, UINT64_MAX));
        sd_bus_message_unref(m);
        bus_pump_touch(&c->pump);
}

static inline void answer_await(Client *c, Answer *a) {
        while (!a->done && !c->closed)
                world_turn(c->world);
        cr_assert(a->done);
        a->slot = sd_bus_slot_unref(a->slot);
}

/* The answer, or NULL when it is this error. */
static inline sd_bus_message *client_answer(Client *c, Answer *a, const char *want) {
        const sd_bus_error *e;

        answer_await(c, a);
        e = sd_bus_message_get_error(a->message);
        if (!want) {
                cr_assert(!e, "%s: %s", e ? e->name : "", e ? e->message : "");
                return a->message;
        }
        cr_assert(e, "no error, but %s was expected", want);
        cr_assert(str_ends_with(e->name, want), "%s: %s, but %s was expected", e->name, e->message, want);
        cr_assert(e->message && *e->message);
        a->message = sd_bus_message_unref(a->message);
        return NULL;
}

#define client_call(c, want, path, interface, member, ...)                                       \
        ({                                                                                       \
                sd_bus_message *_m = client_method(c, path, interface, member);                  \
                Answer _a;                                                                       \
                kit_ok(sd_bus_message_append(_m, __VA_ARGS__));                                  \
                client_send(c, &_a, _m);                                                         \
                client_answer(c, &_a, want);                                                     \
        })
#define manager_call(c, want, member, ...) client_call(c, want, BUS_PATH, BUS_MANAGER, member, __VA_ARGS__)

/* A claim as its client has it. */
typedef struct Held {
        char path[128];
        int fd;
        char data[HANDLE_DATAGRAM_MAX];
        size_t len;
} Held;

static inline void held_read(Held *h, sd_bus_message *answer) {
        const char *path;
        int fd;

        kit_ok(sd_bus_message_read(answer, "oh", &path, &fd));
        kit_ok(str_copy(h->path, sizeof(h->path), path));
        h->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        cr_assert_geq(h->fd, 0);
}

#define held_request(c, h, name, mode, flags, ...)                                                              \
        ({                                                                                                      \
                sd_bus_message *_r = manager_call(c, NULL, "RequestLock", "sssta{sv}", "node", name, mode,       \
                                                  (uint64_t) (flags), __VA_ARGS__);                             \
                held_read(h, _r);                                                                               \
                sd_bus_message_unref(_r);                                                                       \
        })

/* The next datagram: its length, 0 at the end. */
static inline size_t held_receive(World *w, Held *h) {
        ssize_t n;

        while ((n = recv(h->fd, h->data, sizeof(h->data), MSG_DONTWAIT)) < 0) {
                cr_assert_eq(errno, EAGAIN);
                world_turn(w);
        }
        h->len = (size_t) n;
        return h->len;
}

static inline void held_is(const Held *h, const char *key, const char *value) {
        KvPair pair;

        cr_assert_eq(kv_find(h->data, h->len, key, &pair), 1, "no %s in %.*s", key, (int) h->len, h->data);
        cr_assert(kv_value_is(&pair, value), "%s is not %s in %.*s", key, value, (int) h->len, h->data);
}

static inline uint64_t held_number(const Held *h, const char *key) {
        uint64_t value;
        KvPair pair;

        cr_assert_eq(kv_find(h->data, h->len, key, &pair), 1, "no %s in %.*s", key, (int) h->len, h->data);
        kit_ok(kv_value_u64(&pair, &value));
        return value;
}

static inline void held_expect(World *w, Held *h, const char *event) {
        cr_assert_gt(held_receive(w, h), 0);
        held_is(h, "EVENT", event);
}

/* Turns until nothing of the name is held or waited for. */
static inline void world_await_free(World *w, const char *name) {
        while (lock_table_find(&world_node(w)->locks, name))
                world_turn(w);
}

static inline void held_close(World *w, Held *h, const char *name) {
        h->fd = fd_close(h->fd);
        world_await_free(w, name);
}

/* Turns that don't wait, for what must not happen. */
static inline void world_turns(World *w, unsigned n) {
        while (n-- > 0) {
                loop_timer_set(&w->timer, 1);
                world_turn(w);
        }
}

static inline Claim *world_holder(World *w, const char *name) {
        const Lock *lock = lock_table_find(&world_node(w)->locks, name);

        return lock ? list_first_entry(&lock->queue.holders, Claim, link) : NULL;
}

static inline unsigned world_n_waiting(World *w, const char *name) {
        const Lock *lock = lock_table_find(&world_node(w)->locks, name);

        return lock ? lock->queue.n_waiters : 0;
}
