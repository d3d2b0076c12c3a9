/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Questions about locks: who holds, who waits, whether a token is current */

#include <errno.h>

#include "base/str.h"
#include "client/client.h"

_public_ int tooz_lock_verify(tooz_client *c, const char *domain, const char *name, uint64_t token,
                              uint64_t *ret_latest) {
        static const AgentCall call = { .interface = AGENT_MANAGER, .member = "VerifyToken" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        uint64_t latest;
        int current, r = client_check(c);

        if (r < 0)
                return r;
        if (!name)
                return -EINVAL;
        r = client_domain(c, domain, &domain);
        if (r < 0)
                return r;
        r = client_call(c, &call, &reply, "sst", domain, name, token);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "bt", &current, &latest);
        if (r < 0)
                return r;
        if (ret_latest)
                *ret_latest = latest;
        return current != 0;
}

static int extra_read_one(sd_bus_message *m, struct tooz_owner *o) {
        const char *key, *contents;
        int r;

        r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
                return r;
        if (!streq(key, "Command"))
                return sd_bus_message_skip(m, "v");
        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return r;
        if (!streq_ptr(contents, "s"))
                return sd_bus_message_skip(m, "v");
        return sd_bus_message_read(m, "v", "s", &o->command);
}

static int extra_read(sd_bus_message *m, struct tooz_owner *o) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = extra_read_one(m, o);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* 1: an owner, 0: no more. */
static int owner_read(sd_bus_message *m, struct tooz_owner *o) {
        const char *mode;
        int r;

        r = sd_bus_message_enter_container(m, 'r', "sssuusttsa{sv}");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "sssuustts", &o->id, &o->host, &mode, &o->pid, &o->uid, &o->unit, &o->token,
                                &o->since_realtime_usec, &o->description);
        if (r < 0)
                return r;
        r = tooz_lock_mode_from_string(mode);
        o->mode = r < 0 ? TOOZ_LOCK_EXCLUSIVE : (tooz_lock_mode) r;
        r = extra_read(m, o);
        if (r < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

static int owners_read(sd_bus_message *m, int waiting, tooz_owner_handler handler, void *userdata) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sssuusttsa{sv})");
        if (r < 0)
                return r;
        for (;;) {
                struct tooz_owner o = { .size = sizeof(o), .waiting = waiting, .command = "" };

                r = owner_read(m, &o);
                if (r < 0)
                        return r;
                if (r == 0)
                        return sd_bus_message_exit_container(m) < 0 ? -EBADMSG : 0;
                r = handler(&o, userdata);
                if (r != 0)
                        return r;
        }
}

_public_ int tooz_lock_foreach_owner(tooz_client *c, const char *domain, const char *name, tooz_owner_handler handler,
                                     void *userdata) {
        static const AgentCall call = { .interface = AGENT_MANAGER, .member = "QueryLock" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = client_check(c);

        if (r < 0)
                return r;
        if (!name || !handler)
                return -EINVAL;
        r = client_domain(c, domain, &domain);
        if (r < 0)
                return r;
        r = client_call(c, &call, &reply, "ss", domain, name);
        if (r < 0)
                return r;
        r = owners_read(reply, 0, handler, userdata);
        return r != 0 ? r : owners_read(reply, 1, handler, userdata);
}

_public_ int tooz_lock_foreach(tooz_client *c, const char *domain, uint64_t flags, tooz_lock_handler handler,
                               void *userdata) {
        static const AgentCall call = { .interface = AGENT_MANAGER, .member = "ListLocks" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r = client_check(c);

        if (r < 0)
                return r;
        if (!handler || flags & ~(uint64_t) TOOZ_LIST_LOCAL)
                return -EINVAL;
        r = client_call(c, &call, &reply, "st", domain ?: "", flags);
        if (r < 0)
                return r;

        r = sd_bus_message_enter_container(reply, 'a', "(sssuuttso)");
        if (r < 0)
                return r;
        for (;;) {
                struct tooz_lock_info l = { .size = sizeof(l) };
                const char *mode, *path;

                r = sd_bus_message_read(reply, "(sssuuttso)", &l.domain, &l.name, &mode, &l.n_holders, &l.n_waiters,
                                        &l.token, &l.since_realtime_usec, &l.holder, &path);
                if (r <= 0)
                        return r;
                r = tooz_lock_mode_from_string(mode);
                l.mode = r < 0 ? TOOZ_LOCK_EXCLUSIVE : (tooz_lock_mode) r;
                r = handler(&l, userdata);
                if (r != 0)
                        return r;
        }
}
