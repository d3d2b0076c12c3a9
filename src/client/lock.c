/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Locks: requesting, converting, breaking
 *
 * A request is one round trip: the agent answers at once with the claim, and everything after that is told on the
 * handle. In a cluster domain a second one brings the status page, when no claim on this handle has it yet. */

#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "base/str.h"
#include "client/client.h"

static const struct tooz_lock_options default_options = TOOZ_LOCK_OPTIONS_INIT;

/* Options of a caller that was built with an older or newer header than ours: what it knows and we don't must be
 * zero. */
static int options_read(struct tooz_lock_options *ret, const struct tooz_lock_options *given) {
        const char *end;

        *ret = default_options;
        if (!given)
                return 0;
        if (given->size < sizeof(*ret))
                return -EINVAL;

        end = (const char *) given + given->size;
        for (const char *p = (const char *) (given + 1); p < end; p++)
                if (*p)
                        return -E2BIG;

        *ret = *given;
        if (ret->flags & ~(uint64_t) (TOOZ_NO_QUEUE | TOOZ_NOTIFY_CONTENTION))
                return -EINVAL;
        if ((unsigned) ret->mode >= _TOOZ_LOCK_MODE_MAX)
                return -EINVAL;
        if (ret->timeout_usec == 0)
                ret->flags |= TOOZ_NO_QUEUE;
        return 0;
}

typedef struct Request {
        tooz_client *client;
        const struct tooz_lock_options *options;
} Request;

static int request_fill(sd_bus_message *m, const void *with) {
        const Request *q = with;
        const struct tooz_lock_options *o = q->options;
        const char *description = o->description ?: q->client->description;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && o->timeout_usec != USEC_INFINITY && !(o->flags & TOOZ_NO_QUEUE))
                r = sd_bus_message_append(m, "{sv}", "Timeout", "t", o->timeout_usec);
        if (r >= 0 && description)
                r = sd_bus_message_append(m, "{sv}", "Description", "s", description);
        if (r >= 0 && q->client->handle_fd >= 0)
                r = sd_bus_message_append(m, "{sv}", "Handle", "h", q->client->handle_fd);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r;
}

static int claim_path_id(const char *path, uint64_t *ret) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = sd_bus_path_decode(path, AGENT_CLAIM_PATH, &text);
        if (r < 0)
                return r;
        return r == 0 || str_parse_u64(text, ret) < 0 ? -EBADMSG : 0;
}

/* The claim's number, and, when the client had no handle, that. */
static int request_read(tooz_client *c, sd_bus_message *reply, uint64_t *ret_id) {
        const char *path;
        int fd, r;

        r = sd_bus_message_read(reply, "oh", &path, &fd);
        if (r < 0)
                return r;
        r = claim_path_id(path, ret_id);
        if (r < 0)
                return r;
        if (c->handle_fd >= 0)
                return 0;

        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : handle_adopt(c, fd);
}

static int page_fetch(tooz_client *c, const char *domain, Page **ret) {
        static const AgentCall call = { .interface = AGENT_MANAGER, .member = "GetStatusPage" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int fd, r;

        r = client_call(c, &call, &reply, "s", domain);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "h", &fd);
        return r < 0 ? r : page_open(ret, fd);
}

static int page_get(tooz_client *c, const char *domain, Page **ret) {
        DomainPage *p;
        int r;

        if (streq(domain, DOMAIN_NODE)) {
                *ret = NULL;
                return 0;
        }
        list_foreach(p, &c->pages, DomainPage, link)
                if (streq(p->domain, domain)) {
                        *ret = page_ref(p->page);
                        return 0;
                }

        p = calloc(1, sizeof(*p) + strlen(domain) + 1);
        if (!p)
                return -ENOMEM;
        memcpy(p->domain, domain, strlen(domain));
        list_link_init(&p->link);
        r = page_fetch(c, domain, &p->page);
        if (r < 0) {
                free(p);
                return r;
        }
        list_append(&c->pages, &p->link);
        *ret = page_ref(p->page);
        return 0;
}

/* The agent has the claim; make ours. */
static int request_take(tooz_client *c, sd_bus_message *reply, const char *domain, const char *name,
                        tooz_claim **ret) {
        _cleanup_(tooz_claim_unrefp) tooz_claim *claim = NULL;
        uint64_t id;
        int r;

        r = request_read(c, reply, &id);
        if (r < 0)
                return r;
        r = claim_new(&claim, c, id, domain, name, TOOZ_LOCK_EXCLUSIVE);
        if (r < 0) {
                (void) handle_send_release(c, id);
                return r;
        }
        r = page_get(c, claim->domain, &claim->page);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(claim);
        return 0;
}

_public_ int tooz_lock_request(tooz_client *c, tooz_claim **ret, const char *domain, const char *name,
                               const struct tooz_lock_options *options) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        struct tooz_lock_options o;
        AgentCall call = { .interface = AGENT_MANAGER, .member = "RequestLock", .fill = request_fill };
        int r = client_check(c);

        if (r < 0)
                return r;
        if (!ret || !name)
                return -EINVAL;
        r = options_read(&o, options);
        if (r < 0)
                return r;
        r = client_domain(c, domain, &domain);
        if (r < 0)
                return r;
        /* So as not to name a handle that has come to its end. */
        r = client_pump(c, false);
        if (r < 0)
                return r;

        call.with = &(Request) { .client = c, .options = &o };
        r = client_call(c, &call, &reply, "ssst", domain, name, tooz_lock_mode_to_string(o.mode), o.flags);
        if (r < 0)
                return r;
        r = request_take(c, reply, domain, name, ret);
        if (r >= 0)
                (*ret)->mode = o.mode;
        return r;
}

_public_ int tooz_lock(tooz_client *c, tooz_claim **ret, const char *domain, const char *name,
                       const struct tooz_lock_options *options) {
        _cleanup_(tooz_claim_unrefp) tooz_claim *claim = NULL;
        uint64_t timeout_usec = options && options->size >= sizeof(*options) ? options->timeout_usec : USEC_INFINITY;
        int r;

        r = tooz_lock_request(c, &claim, domain, name, options);
        if (r < 0)
                return r;
        /* The agent keeps the time; the call time-out on top is for one that hangs. */
        r = tooz_claim_wait(claim, TOOZ_CLAIM_HELD, usec_add(timeout_usec, c->call_timeout_usec));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(claim);
        return 0;
}

typedef struct Conversion {
        bool done;
        int result;
        uint64_t token;
        tooz_client *client;
} Conversion;

static int conversion_on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Conversion *v = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        v->done = true;
        if (e) {
                v->result = -sd_bus_error_get_errno(e);
                (void) strdup_to(&v->client->error, e->message);
        } else
                v->result = sd_bus_message_read(m, "t", &v->token);
        return 1;
}

static int conversion_send(tooz_claim *claim, tooz_lock_mode mode, uint64_t timeout_usec, Conversion *v,
                           sd_bus_slot **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        tooz_client *c = claim->client;
        char id[32];
        int r;

        r = client_connect(c);
        if (r < 0)
                return r;
        (void) str_print(id, sizeof(id), "%" PRIu64, claim->id);
        r = sd_bus_path_encode(AGENT_CLAIM_PATH, id, &path);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(c->bus, &m, c->destination, path, AGENT_CLAIM, "Convert");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "st", tooz_lock_mode_to_string(mode), timeout_usec);
        if (r < 0)
                return r;
        return sd_bus_call_async(c->bus, ret, m, conversion_on_reply, v, USEC_INFINITY);
}

/* Waits for the reply, but no longer than the claim or the connection lives. */
static int conversion_wait(tooz_claim *claim, Conversion *v, uint64_t timeout_usec) {
        uint64_t deadline_usec = usec_add(time_now(), timeout_usec);
        tooz_client *c = claim->client;
        int r;

        for (;;) {
                uint64_t now;

                r = client_pump(c, true);
                if (v->done)
                        return v->result;
                if (r < 0)
                        return r;
                if (claim_is_over(claim))
                        return claim_error(claim);
                if (!c->bus)
                        return -ECONNRESET;
                now = time_now();
                if (now >= deadline_usec)
                        return -ETIMEDOUT;
                /* A signal does not take back what the agent was asked: go on. */
                r = client_sleep(c, usec_sub(deadline_usec, now));
                if (r < 0 && r != -EINTR)
                        return r;
        }
}

static int convert_once(tooz_claim *claim, tooz_lock_mode mode, uint64_t timeout_usec) {
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        Conversion v = { .client = claim->client };
        int r;

        r = conversion_send(claim, mode, timeout_usec, &v, &slot);
        if (r < 0)
                return r;
        r = conversion_wait(claim, &v, usec_add(timeout_usec, claim->client->call_timeout_usec));
        if (r < 0)
                return r;
        claim->mode = mode;
        claim->token = MAX(claim->token, v.token);
        return 0;
}

_public_ int tooz_lock_convert(tooz_claim *claim, tooz_lock_mode mode, uint64_t timeout_usec) {
        uint64_t deadline_usec = usec_add(time_now(), timeout_usec), left_usec;
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if ((unsigned) mode >= _TOOZ_LOCK_MODE_MAX)
                return -EINVAL;
        if (!claim->client || !claim_is_held(claim))
                return -EIDRM;

        /* The agent lets no call wait for longer than its MaxBlockingUSec. */
        client_forget_error(claim->client);
        do {
                left_usec = usec_sub(deadline_usec, time_now());
                r = convert_once(claim, mode, MIN(left_usec, CONVERT_SLICE_USEC));
        } while (r == -ETIMEDOUT && left_usec > CONVERT_SLICE_USEC && claim_is_held(claim));
        client_arm(claim->client);
        return r;
}

_public_ int tooz_lock_break(tooz_client *c, const char *domain, const char *name, uint64_t token, uint64_t flags) {
        static const AgentCall call = { .interface = AGENT_MANAGER, .member = "BreakLock" };
        int r = client_check(c);

        if (r < 0)
                return r;
        if (!name || flags & ~(uint64_t) TOOZ_BREAK_FORCE)
                return -EINVAL;
        r = client_domain(c, domain, &domain);
        return r < 0 ? r : client_call(c, &call, NULL, "sstt", domain, name, token, flags);
}
