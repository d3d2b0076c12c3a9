/* SPDX-License-Identifier: Apache-2.0 */
/* A domain under test: see harness.h */

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "harness.h"

#define START (1000 * USEC_PER_SEC)

static const ClaimOwner owner = { .uid = 1000, .pid = 42, .unit = (char *) "a.service", .comm = (char *) "a" };

/* --- effects ------------------------------------------------------------------------------------ */

static Request *request_add(Harness *h, RequestKind kind, const char *lock) {
        Request *r = calloc(1, sizeof(*r));

        cr_assert_not_null(r);
        r->kind = kind;
        list_link_init(&r->link);
        kit_ok(str_copy(r->lock, sizeof(r->lock), lock));
        list_append(&h->requests, &r->link);
        return r;
}

static void node_request(Harness *h, RequestKind kind, Node *node) {
        Request *r = request_add(h, kind, node->lock->name);

        r->serial = node->serial;
        r->mode = node->mode;
        r->sequence = node->sequence;
        r->record_died = node->record_died;
        r->clear_died = node->clear_died;
        kit_ok(str_copy(r->guid, sizeof(r->guid), node->guid));
        if (kind == REQUEST_WATCH)
                kit_ok(str_copy(r->predecessor, sizeof(r->predecessor), node->predecessor));
}

static void carry_out_node(Harness *h, Node *node) {
        unsigned want = node->want;

        node->want = 0;
        cr_assert_neq(want, 0);
        if (want & NODE_WANT_CREATE) {
                kit_ok(str_print(node->guid, sizeof(node->guid), "%032ju", (uintmax_t) node->serial));
                node_request(h, REQUEST_CREATE, node);
        }
        if (want & NODE_WANT_STAT)
                node_request(h, REQUEST_STAT, node);
        if (want & NODE_WANT_WATCH)
                node_request(h, REQUEST_WATCH, node);
        if (want & NODE_WANT_DELETE) {
                cr_assert_geq(node->sequence, 0);
                node->deleting = true;
                node_request(h, REQUEST_DELETE, node);
        }
}

static void carry_out_lock(Harness *h, Lock *lock) {
        cr_assert_neq(lock->want, 0);
        request_add(h, REQUEST_LIST, lock->name)->watch = lock->want & LOCK_WANT_LIST_WATCH;
        lock->want = 0;
}

static void carry_out_place(Harness *h, Place *place) {
        Request *r = request_add(h, REQUEST_PLACE, place->lock->name);

        cr_assert_neq(place->want, 0);
        r->place = place;
        r->mode = place->mode;
        r->record_died = place->record_died;
        r->want = TAKE(place->want, 0);
}

static void carry_out_session(Harness *h, Session *s) {
        unsigned want = s->want;

        s->want = 0;
        if (want & SESSION_WANT_REPLACE) {
                request_add(h, REQUEST_REPLACE, "");
                domain_on_replaced(h->domain, h->now);
        }
        if (!(want & SESSION_WANT_HEARTBEAT))
                return;
        domain_on_heartbeat_sent(h->domain, h->now);
        if (h->auto_beat)
                domain_on_heartbeat_ack(h->domain, h->now, &h->fx);
        else
                request_add(h, REQUEST_HEARTBEAT, "");
}

static void tell_claim(Claim *claim) {
        TestClaim *c = container_of(claim, TestClaim, claim);
        unsigned news = claim_take_news(claim);

        cr_assert_eq(c->n_terminal, 0, "claim %ju is told something after its end", (uintmax_t) claim->id);
        if (news & NEWS_TERMINAL) {
                cr_assert(claim_is_terminal(claim));
                cr_assert_null(claim->lock);
                c->n_terminal++;
        }
        c->told |= news;
}

static void carry_out(Harness *h, Effect *e) {
        switch (e->kind) {
        case EFFECT_CLAIM:
                tell_claim(container_of(e, Claim, effect));
                break;
        case EFFECT_NODE:
                carry_out_node(h, container_of(e, Node, effect));
                break;
        case EFFECT_PLACE:
                carry_out_place(h, container_of(e, Place, effect));
                break;
        case EFFECT_LOCK:
                carry_out_lock(h, container_of(e, Lock, effect));
                break;
        case EFFECT_SESSION:
                carry_out_session(h, container_of(e, Session, effect));
                break;
        case EFFECT_QUERY:
                request_add(h, REQUEST_QUERY, container_of(e, Query, effect)->name);
                break;
        case EFFECT_QUERY_DONE:
                break;
        case _EFFECT_KIND_MAX:
        default:
                cr_assert_fail("effect %d", (int) e->kind);
        }
}

void harness_drain(Harness *h) {
        Effect *e;

        while ((e = effects_pop(&h->fx)))
                carry_out(h, e);
        domain_check(h->domain, h->now);
}

/* --- life --------------------------------------------------------------------------------------- */

Harness *harness_new(DomainKind kind) {
        Harness *h = calloc(1, sizeof(*h));

        cr_assert_not_null(h);
        h->now = START;
        h->next_id = 1;
        h->auto_beat = true;
        h->zxid = INT64_C(5) << 32;
        list_init(&h->claims);
        list_init(&h->requests);
        effects_init(&h->fx);
        kit_ok(domain_new(&h->domain, kind == DOMAIN_NODE ? "node" : "cluster", kind, HARNESS_TIMEOUT, h->now));
        h->domain->locks.realtime_offset_usec = (int64_t) (1795400000 * USEC_PER_SEC);
        return h;
}

Harness *harness_free(Harness *h) {
        TestClaim *c, *c_next;
        Request *r, *r_next;

        lock_table_stop(&h->domain->locks, h->now, &h->fx);
        harness_drain(h);
        list_foreach_safe(c, c_next, &h->claims, TestClaim, link) {
                cr_assert_eq(c->n_terminal, c->claim.state == CLAIM_NEW ? 0 : 1);
                claim_deinit(&c->claim);
                free(c);
        }
        list_foreach_safe(r, r_next, &h->requests, Request, link)
                free(r);
        domain_free(h->domain);
        free(h);
        return NULL;
}

Harness *harness_new_up(void) {
        Harness *h = harness_new(DOMAIN_ZOOKEEPER);

        harness_up(h, HARNESS_SESSION);
        return h;
}

void harness_up(Harness *h, int64_t id) {
        domain_on_handshake(h->domain, id, HARNESS_TIMEOUT, h->now, h->now, &h->fx);
        harness_drain(h);
}

void harness_reconnect(Harness *h) {
        h->auto_beat = false;
        harness_up(h, HARNESS_SESSION);
}

void harness_cut(Harness *h) {
        domain_on_disconnect(h->domain, h->now, &h->fx);
        harness_drain(h);
}

void harness_expire(Harness *h) {
        domain_on_expired(h->domain, h->now, &h->fx);
        harness_drain(h);
}

void harness_pass(Harness *h, uint64_t usec) {
        uint64_t until = h->now + usec, due;

        while ((due = domain_next_timer(h->domain)) <= until) {
                h->now = MAX(h->now, due);
                domain_on_timer(h->domain, h->now, &h->fx);
                harness_drain(h);
                cr_assert_gt(domain_next_timer(h->domain), h->now, "a timer that was served is still due");
        }
        h->now = until;
}

void harness_jump(Harness *h, uint64_t usec) {
        h->now += usec;
        domain_on_timer(h->domain, h->now, &h->fx);
        harness_drain(h);
}

/* --- clients ------------------------------------------------------------------------------------ */

Claim *claim_new(Harness *h, LockMode mode, uint64_t flags) {
        TestClaim *c = calloc(1, sizeof(*c));

        cr_assert_not_null(c);
        kit_ok(claim_init(&c->claim, h->next_id++, mode, flags, &owner));
        list_link_init(&c->link);
        list_append(&h->claims, &c->link);
        return &c->claim;
}

Claim *ask_until(Harness *h, const char *name, LockMode mode, uint64_t flags, uint64_t wait_usec) {
        Claim *claim = claim_new(h, mode, flags);

        cr_assert_eq(lock_table_request(&h->domain->locks, claim, name, usec_add(h->now, wait_usec), h->now, &h->fx), 0);
        harness_drain(h);
        return claim;
}

Claim *ask(Harness *h, const char *name, LockMode mode) {
        return ask_until(h, name, mode, 0, USEC_INFINITY);
}

void release(Harness *h, Claim *claim) {
        lock_table_release(&h->domain->locks, claim, false, h->now, &h->fx);
        harness_drain(h);
}

void die(Harness *h, Claim *claim) {
        lock_table_release(&h->domain->locks, claim, true, h->now, &h->fx);
        harness_drain(h);
}

int convert(Harness *h, Claim *claim, LockMode mode, uint64_t wait_usec) {
        int r = lock_table_convert(&h->domain->locks, claim, mode, usec_add(h->now, wait_usec), h->now, &h->fx);

        harness_drain(h);
        return r;
}

int break_lock(Harness *h, const char *name, uint64_t token) {
        int r = lock_table_break(&h->domain->locks, name, token, h->now, &h->fx);

        harness_drain(h);
        return r;
}

unsigned told(Claim *claim) {
        TestClaim *c = container_of(claim, TestClaim, claim);
        unsigned news = c->told;

        c->told = 0;
        return news;
}

bool granted(Claim *claim) {
        return told(claim) & NEWS_ACQUIRED && claim->state == CLAIM_HELD && claim->token > 0;
}

bool failed(Claim *claim, ClaimReason reason) {
        return told(claim) & NEWS_FAILED && claim->state == CLAIM_FAILED && claim->reason == reason;
}

bool lost(Claim *claim, ClaimReason reason) {
        return told(claim) & NEWS_LOST && claim->state == CLAIM_LOST && claim->reason == reason;
}

bool waits(const Claim *claim) {
        return claim->state == CLAIM_WAITING;
}

/* --- the backend -------------------------------------------------------------------------------- */

static Request *request_find(const Harness *h, RequestKind kind, const char *lock) {
        Request *r;

        list_foreach(r, &h->requests, Request, link)
                if (r->kind == kind && streq(r->lock, lock))
                        return r;
        return NULL;
}

Request take(Harness *h, RequestKind kind, const char *lock) {
        Request *r = request_find(h, kind, lock), copy;

        cr_assert_not_null(r, "nothing of kind %d is asked for \"%s\"", (int) kind, lock);
        copy = *r;
        list_link_init(&copy.link);
        list_unlink(&r->link);
        free(r);
        return copy;
}

bool asked(const Harness *h, RequestKind kind, const char *lock) {
        return request_find(h, kind, lock);
}

bool idle(const Harness *h) {
        return list_is_empty(&h->requests);
}

void children_add(Children *c, const char *guid, LockMode mode, int32_t sequence) {
        cr_assert_lt(c->n, ARRAY_SIZE(c->contenders));
        kit_ok(str_print(c->names[c->n], sizeof(c->names[c->n]), "%s__%slock__%010d", guid, mode == LOCK_SHARED ? "r__" : "",
                         (int) sequence));
        c->contenders[c->n] = (Contender) { .name = c->names[c->n], .mode = mode, .sequence = sequence };
        c->n++;
}

static Node *node_of(Harness *h, const Request *r) {
        return lock_table_find_node(&h->domain->locks, r->lock, r->serial);
}

Node *on_created_as(Harness *h, const Request *create, NodeFacts facts) {
        Node *node = node_of(h, create);

        if (!node)
                return NULL;
        lock_table_on_created(&h->domain->locks, node, &facts, h->now, &h->fx);
        harness_drain(h);
        return node_of(h, create);
}

Node *on_created(Harness *h, const Request *create) {
        return on_created_as(h, create,
                             (NodeFacts) { .sequence = h->sequence++, .czxid = ++h->zxid, .owner = h->domain->session.id });
}

void on_create_failed(Harness *h, const Request *create, ClaimReason reason) {
        Node *node = node_of(h, create);

        if (node)
                lock_table_on_create_failed(&h->domain->locks, node, reason, h->now, &h->fx);
        harness_drain(h);
}

void on_statted(Harness *h, const Request *stat, const NodeFacts *facts) {
        Node *node = node_of(h, stat);

        if (node)
                lock_table_on_statted(&h->domain->locks, node, facts, h->now, &h->fx);
        harness_drain(h);
}

void on_listed(Harness *h, const Request *list, const Children *c) {
        const Listing listing = {
                .contenders = c ? c->contenders : NULL,
                .n_contenders = c ? c->n : 0,
                .died_czxid = c ? c->died_czxid : 0,
                .watch_armed = list->watch,
        };
        Lock *lock = lock_table_find(&h->domain->locks, list->lock);

        cr_assert_not_null(lock, "a lock with a listing in flight was freed");
        lock_table_on_listed(&h->domain->locks, lock, c ? &listing : NULL, h->now, &h->fx);
        harness_drain(h);
}

void on_watch_armed(Harness *h, const Request *watch, bool armed, bool retry) {
        Node *node = node_of(h, watch);

        if (node)
                lock_table_on_watch_armed(&h->domain->locks, node, armed, retry, h->now, &h->fx);
        harness_drain(h);
}

void on_hint(Harness *h, const char *lock, bool children) {
        Lock *l = lock_table_find(&h->domain->locks, lock);

        if (l)
                lock_table_on_hint(&h->domain->locks, l, children, h->now, &h->fx);
        harness_drain(h);
}

void on_deleted(Harness *h, const Request *delete, bool gone) {
        Node *node = node_of(h, delete);

        if (node)
                lock_table_on_deleted(&h->domain->locks, node, gone, h->now, &h->fx);
        harness_drain(h);
}

void list_with(Harness *h, const char *lock, const Children *others) {
        Request list = take(h, REQUEST_LIST, lock);
        Children c = *others;
        Node *node;

        for (size_t i = 0; i < c.n; i++)
                c.contenders[i].name = c.names[i];
        list_foreach(node, &the_lock(h, lock)->tenure.nodes, Node, link)
                if (node->sequence >= 0)
                        children_add(&c, node->guid, node->mode, node->sequence);
        on_listed(h, &list, &c);
}

Node *serve_with(Harness *h, const char *lock, const Children *others) {
        Request create = take(h, REQUEST_CREATE, lock);

        cr_assert_not_null(on_created(h, &create));
        list_with(h, lock, others);
        return node_of(h, &create);
}

Node *serve_alone(Harness *h, const char *lock) {
        return serve_with(h, lock, (Children[]) { {} });
}

Lock *the_lock(Harness *h, const char *name) {
        return lock_table_find(&h->domain->locks, name);
}
