/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Calls: one question to the agent, one answer
 *
 * All calls are synchronous and bounded; what takes long is told on the handle. A connection that turns out to be dead
 * is replaced and the question asked again, once. That is harmless also for a request that the agent had taken:
 * without a shared handle the lost reply took the claim's only descriptor with it, and with one the stray claim is
 * released as soon as something is heard of it (handle.c). */

#include <errno.h>
#include <stdarg.h>
#include <sys/epoll.h>

#include "base/str.h"
#include "client/client.h"

static const sd_bus_error_map error_map[] = {
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.WouldBlock", EAGAIN),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.TimedOut", ETIMEDOUT),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.Canceled", ECANCELED),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.Deadlock", EDEADLK),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.NotOwner", EPERM),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.StaleToken", ESTALE),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.LockLost", EIDRM),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.SessionExpired", EKEYEXPIRED),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.NotConnected", ENOTCONN),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.Suspended", EHOSTDOWN),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.NoSuchDomain", ENOENT),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.NoSuchLock", ENOENT),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.NoSuchClaim", ENOENT),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.NotHeld", ENOLCK),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.InvalidName", EINVAL),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.QuotaExceeded", EDQUOT),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.NotSupported", EOPNOTSUPP),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.Busy", EBUSY),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.Stopping", ESHUTDOWN),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.BackendError", EREMOTEIO),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.Exhausted", EOVERFLOW),
        SD_BUS_ERROR_MAP(AGENT_NAME ".Error.TokenRegression", ENOTRECOVERABLE),
        SD_BUS_ERROR_MAP_END,
};

/* At load, since sd-bus's list of maps has no lock. */
__attribute__((__constructor__)) static void register_errors(void) {
        (void) sd_bus_error_add_map(error_map);
}

void client_drop_bus(tooz_client *c) {
        if (!c->bus)
                return;
        client_unwatch(c, c->bus_fd);
        c->bus_fd = -1;
        c->bus = sd_bus_close_unref(c->bus);
        free(TAKE_PTR(c->default_domain));
}

int client_connect(tooz_client *c) {
        int r;

        if (c->bus && sd_bus_is_ready(c->bus) > 0)
                return 0;
        client_drop_bus(c);

        r = connect_agent(c->address, c->call_timeout_usec, &c->bus, &c->destination);
        if (r < 0)
                return r;

        c->bus_fd = sd_bus_get_fd(c->bus);
        r = c->bus_fd < 0 ? c->bus_fd : client_watch(c, c->bus_fd, EPOLLIN);
        if (r < 0)
                client_drop_bus(c);
        return r < 0 ? r : 0;
}

int client_process_bus(tooz_client *c) {
        int n, r;

        for (n = 0; n < BUS_READ_MAX && c->bus; n++) {
                r = sd_bus_process(c->bus, NULL);
                if (r < 0)
                        client_drop_bus(c);
                if (r <= 0)
                        break;
        }
        return n > 0;
}

void client_forget_error(tooz_client *c) {
        free(TAKE_PTR(c->error));
}

static int call_fill(sd_bus_message *m, const AgentCall *call, const char *types, va_list ap) {
        int r = 0;

        if (*types)
                r = sd_bus_message_appendv(m, types, ap);
        if (r >= 0 && call->fill)
                r = call->fill(m, call->with);
        return r;
}

static int call_once(tooz_client *c, const AgentCall *call, sd_bus_message **ret, const char *types, va_list ap) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = client_connect(c);
        if (r < 0)
                return r;
        r = sd_bus_message_new_method_call(c->bus, &m, c->destination, call->path ?: AGENT_PATH, call->interface,
                                           call->member);
        if (r < 0)
                return r;
        r = call_fill(m, call, types, ap);
        if (r < 0)
                return r;

        r = sd_bus_call(c->bus, m, call->timeout_usec ?: c->call_timeout_usec, &error, ret);
        if (r < 0)
                (void) strdup_to(&c->error, error.message);
        return r < 0 ? r : 0;
}

int client_call(tooz_client *c, const AgentCall *call, sd_bus_message **ret, const char *types, ...) {
        int r = -ENOTCONN;

        client_forget_error(c);
        for (unsigned attempt = 0; attempt < 2; attempt++) {
                va_list ap;

                va_start(ap, types);
                r = call_once(c, call, ret, types, ap);
                va_end(ap);
                if (r >= 0 || !c->bus || sd_bus_is_open(c->bus) > 0)
                        break;
                client_drop_bus(c);
        }
        client_arm(c);
        return r;
}

static int client_read_default_domain(tooz_client *c) {
        static const AgentCall call = { .interface = "org.freedesktop.DBus.Properties", .member = "Get" };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *name;
        int r;

        r = client_call(c, &call, &reply, "ss", AGENT_MANAGER, "DefaultDomain");
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "v", "s", &name);
        if (r < 0)
                return r;
        return strdup_to(&c->default_domain, name);
}

int client_domain(tooz_client *c, const char *domain, const char **ret) {
        int r;

        if (!str_is_empty(domain)) {
                *ret = domain;
                return 0;
        }
        if (!c->default_domain) {
                r = client_read_default_domain(c);
                if (r < 0)
                        return r;
        }
        *ret = c->default_domain;
        return 0;
}
