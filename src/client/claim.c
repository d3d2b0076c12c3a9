/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Claims: what this client holds or waits for
 *
 *         +------------------------------------> FAILED     (told; or the agent is gone)
 *         |
 *      WAITING ----> HELD <----> SUSPENDED ----> LOST       (told; or the agent is gone; or the page says so)
 *                     |              |
 *                     +--------------+---------> RELEASED   (told)
 *
 * A slow reader may be told of the latest state only, so WAITING may also be seen to go to SUSPENDED, LOST or
 * RELEASED. FAILED, LOST and RELEASED are final: claim_enter() ignores what comes after, since the agent may not know
 * yet that we took our leave by the page.
 *
 * The state changes when an event is *read*, in whatever function that is; the handler hears of it later, from
 * tooz_client_process() alone. A claim is in client->claims until it is over. Memory goes with the last reference,
 * except that the agent must still be told: then when it has been (client->releases). */

#include <errno.h>
#include <unistd.h>

#include "base/str.h"
#include "client/client.h"

static const struct {
        const char *reason;
        int error;
} reason_errors[] = {
        { "timeout", ETIMEDOUT },
        { "would-block", EAGAIN },
        { "canceled", ECANCELED },
        { "deadlock", EDEADLK },
        { "deadline", EKEYEXPIRED },
        { "session-expired", EKEYEXPIRED },
        { "broken", EIDRM },
        { "agent-stopping", ESHUTDOWN },
        { "agent-gone", ECONNRESET },
        { "backend-error", EREMOTEIO },
        { "exhausted", EOVERFLOW },
        { "token-regression", ENOTRECOVERABLE },
};

/* Indexed by EventKind. Events that don't change the state have none. */
static const int event_states[_EVENT_KIND_MAX] = {
        [EVENT_OTHER] = -1,
        [EVENT_QUEUED] = TOOZ_CLAIM_WAITING,
        [EVENT_ACQUIRED] = TOOZ_CLAIM_HELD,
        [EVENT_CONVERTED] = -1,
        [EVENT_CONVERT_FAILED] = -1,
        [EVENT_CONTENDED] = -1,
        [EVENT_SUSPENDED] = TOOZ_CLAIM_SUSPENDED,
        [EVENT_RESUMED] = TOOZ_CLAIM_HELD,
        [EVENT_RELEASED] = TOOZ_CLAIM_RELEASED,
        [EVENT_LOST] = TOOZ_CLAIM_LOST,
        [EVENT_FAILED] = TOOZ_CLAIM_FAILED,
};

bool claim_is_over(const tooz_claim *claim) {
        return claim->state >= TOOZ_CLAIM_LOST;
}

bool claim_is_held(const tooz_claim *claim) {
        return claim->state == TOOZ_CLAIM_HELD || claim->state == TOOZ_CLAIM_SUSPENDED;
}

int claim_error(const tooz_claim *claim) {
        if (!claim_is_over(claim))
                return 0;
        if (claim->state == TOOZ_CLAIM_RELEASED)
                return -ECANCELED;
        for (size_t i = 0; i < ARRAY_SIZE(reason_errors); i++)
                if (streq_ptr(claim->reason, reason_errors[i].reason))
                        return -reason_errors[i].error;
        return claim->state == TOOZ_CLAIM_LOST ? -EIDRM : -EIO;
}

int claim_check_caller(const tooz_claim *claim) {
        if (!claim)
                return -EINVAL;
        return claim->pid == getpid() ? 0 : -ECHILD;
}

static void claim_forget_events(tooz_claim *claim) {
        ListLink *link;

        while ((link = list_first(&claim->events)))
                (void) event_free(list_entry(link, Event, link));
        claim->n_events = 0;
        list_unlink(&claim->ready);
}

static void claim_set_handler(tooz_claim *claim, tooz_claim_handler handler, void *userdata, tooz_destroy_handler destroy) {
        tooz_destroy_handler old_destroy = claim->destroy;
        void *old_userdata = claim->userdata;

        claim->handler = handler;
        claim->userdata = userdata;
        claim->destroy = destroy;
        if (old_destroy)
                old_destroy(old_userdata);
}

void claim_free(tooz_claim *claim) {
        if (claim->client) {
                hash_remove(hh, claim->client->claims, claim);
                heap_remove(&claim->client->deadlines, &claim->timer);
        }
        list_unlink(&claim->link);
        list_unlink(&claim->to_release);
        claim_forget_events(claim);
        claim_set_handler(claim, NULL, NULL, NULL);
        (void) page_unref(claim->page);
        free(claim->reason);
        free(claim->domain);
        free(claim->name);
        free(claim);
}

static void claim_freep(tooz_claim **p) {
        if (*p)
                claim_free(*p);
}

int claim_new(tooz_claim **ret, tooz_client *c, uint64_t id, const char *domain, const char *name, tooz_lock_mode mode) {
        _cleanup_(claim_freep) tooz_claim *claim = NULL;
        int r;

        claim = calloc(1, sizeof(*claim));
        if (!claim)
                return -ENOMEM;
        claim->n_ref = 1;
        claim->pid = c->pid;
        claim->id = id;
        claim->mode = mode;
        list_link_init(&claim->link);
        list_link_init(&claim->to_release);
        list_link_init(&claim->ready);
        list_init(&claim->events);
        claim->client = c;
        list_append(&c->all, &claim->link);

        if (strdup_to(&claim->domain, domain) < 0 || strdup_to(&claim->name, name) < 0)
                return -ENOMEM;
        r = hash_add(hh, c->claims, &claim->id, sizeof(claim->id), claim);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(claim);
        return 0;
}

static void claim_drop_oldest_event(tooz_claim *claim) {
        Event *oldest = list_first_entry(&claim->events, Event, link);

        claim->n_missed += oldest->missed + 1;
        claim->n_events--;
        (void) event_free(oldest);
}

/* Takes the event. */
static void claim_keep_event(tooz_claim *claim, Event *e) {
        if (!claim->handler || claim->n_ref == 0) {
                (void) event_free(e);
                return;
        }

        if (claim->n_events == CLAIM_EVENTS_MAX)
                claim_drop_oldest_event(claim);
        list_append(&claim->events, &e->link);
        claim->n_events++;
        if (!list_is_linked(&claim->ready))
                list_append(&claim->client->ready, &claim->ready);
}

/* Called when the claim is held, and whenever the page is to be looked at again. */
static void claim_set_timer(tooz_claim *claim) {
        Heap *deadlines = &claim->client->deadlines;

        if (claim->page && claim_is_held(claim))
                heap_set(deadlines, &claim->timer, page_deadline(claim->page, claim->epoch));
        else
                heap_remove(deadlines, &claim->timer);
}

/* The one place where the state changes. */
static void claim_enter(tooz_claim *claim, tooz_claim_state state) {
        claim->state = state;
        if (state != TOOZ_CLAIM_WAITING)
                claim->position = 0;
        claim_set_timer(claim);
        if (claim_is_over(claim))
                hash_remove(hh, claim->client->claims, claim);
}

static void claim_take_facts(tooz_claim *claim, const Event *e) {
        if (e->kind == EVENT_QUEUED && e->position > 0)
                claim->position = (uint32_t) MIN(e->position, UINT32_MAX);
        if (e->token > 0)
                claim->token = e->token;
        if (e->epoch > 0)
                claim->epoch = e->epoch;
        if (e->kind == EVENT_ACQUIRED)
                claim->previous = e->previous;
        if (e->has_mode && (e->kind == EVENT_ACQUIRED || e->kind == EVENT_CONVERTED))
                claim->mode = e->mode;
        if (event_is_final(e) && *e->reason)
                (void) strdup_to(&claim->reason, e->reason);
}

void claim_on_event(tooz_claim *claim, Event *e, uint64_t now) {
        int state = event_states[e->kind];

        claim_take_facts(claim, e);
        if (state >= 0 && !claim_is_over(claim))
                claim_enter(claim, (tooz_claim_state) state);
        e->state = claim->state;
        e->token = claim->token;
        claim_keep_event(claim, e);
        claim_on_timer(claim, now);
}

void claim_end(tooz_claim *claim, const char *reason, uint64_t now) {
        bool held = claim_is_held(claim);
        Event *e;

        if (claim_is_over(claim))
                return;
        if (event_make(&e, claim->id, held ? EVENT_LOST : EVENT_FAILED, reason, now) >= 0)
                claim_on_event(claim, e, now);
        else
                /* Without memory the handler misses it, the state does not. */
                claim_enter(claim, held ? TOOZ_CLAIM_LOST : TOOZ_CLAIM_FAILED);
}

void claim_on_timer(tooz_claim *claim, uint64_t now) {
        if (!heap_is_linked(&claim->timer))
                return;

        claim_set_timer(claim);
        if (claim->timer.key > now)
                return;

        claim_end(claim, "deadline", now);
        /* If the agent lives on it must not keep for us what we no longer use. */
        claim_tell_release(claim);
}

void claim_tell_release(tooz_claim *claim) {
        tooz_client *c = claim->client;

        if (!list_is_linked(&claim->to_release))
                list_append(&c->releases, &claim->to_release);
        handle_flush(c);
}

void claim_orphan(tooz_claim *claim) {
        bool held = claim_is_held(claim);

        claim_forget_events(claim);
        list_unlink(&claim->link);
        list_unlink(&claim->to_release);
        if (!claim_is_over(claim))
                claim_enter(claim, held ? TOOZ_CLAIM_RELEASED : TOOZ_CLAIM_FAILED);
        claim->client = NULL;
        if (claim->n_ref == 0)
                claim_free(claim);
}

int claim_deliver(tooz_claim *claim) {
        Event *e = list_first_entry(&claim->events, Event, link);
        struct tooz_event public_event;
        int r;

        list_unlink(&e->link);
        claim->n_events--;
        list_unlink(&claim->ready);
        if (!list_is_empty(&claim->events))
                list_append(&claim->client->ready, &claim->ready);

        public_event = (struct tooz_event) {
                .size = sizeof(public_event),
                .sequence = e->sequence,
                .boottime_usec = e->boottime_usec,
                .missed = e->missed + claim->n_missed,
                .token = e->token,
                .name = e->name,
                .reason = e->reason,
                .fields = e->fields,
                .state = e->state,
        };
        claim->n_missed = 0;

        /* The handler may unreference it. */
        (void) tooz_claim_ref(claim);
        r = claim->handler(claim, &public_event, claim->userdata);
        (void) tooz_claim_unref(claim);
        (void) event_free(e);
        return r;
}

_public_ tooz_claim *tooz_claim_ref(tooz_claim *claim) {
        if (claim)
                claim->n_ref++;
        return claim;
}

_public_ tooz_claim *tooz_claim_unref(tooz_claim *claim) {
        if (!claim || --claim->n_ref > 0)
                return NULL;

        claim_forget_events(claim);
        if (!claim->client || claim->pid != getpid())
                claim_free(claim);
        else if (!claim_is_over(claim)) {
                claim_enter(claim, claim_is_held(claim) ? TOOZ_CLAIM_RELEASED : TOOZ_CLAIM_FAILED);
                claim_tell_release(claim);
        } else if (!list_is_linked(&claim->to_release))
                claim_free(claim);
        return NULL;
}

_public_ int tooz_claim_set_handler(tooz_claim *claim, tooz_claim_handler handler, void *userdata,
                                    tooz_destroy_handler destroy) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (!handler)
                claim_forget_events(claim);
        claim_set_handler(claim, handler, userdata, destroy);
        return 0;
}
