/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what a client asks for: everything is checked here, before anything is made */

#include <errno.h>

#include "base/str.h"
#include "base/time.h"
#include "bus/bus-claim.h"

int bus_request_read_target(const BusCall *call, LockRequest *req) {
        const char *domain, *mode;
        int r;

        *req = (LockRequest) { .timeout_usec = USEC_INFINITY, .handle_fd = -1, .signals = -1 };
        r = sd_bus_message_read(call->message, "sss", &domain, &req->name, &mode);
        if (r < 0)
                return r;
        r = bus_call_domain(call, domain, &req->domain);
        if (r < 0)
                return r;
        r = bus_call_name(call, req->domain, req->name);
        if (r < 0)
                return r;
        r = bus_call_allow(call, ACCESS_LOCK, req->domain, req->name);
        if (r < 0)
                return r;

        r = lock_mode_from_string(mode);
        if (r < 0)
                return bus_error_setf(call->error, BUS_E_INVALID_ARGS, "The mode is neither \"%s\" nor \"%s\"",
                                      lock_mode_to_string(LOCK_EXCLUSIVE), lock_mode_to_string(LOCK_SHARED));
        req->mode = (LockMode) r;
        return 0;
}

int bus_request_check_flags(const BusCall *call, uint64_t flags, uint64_t allowed) {
        if (flags & ~allowed)
                return bus_error_setf(call->error, BUS_E_INVALID_ARGS, "Unknown flags 0x%jx", (uintmax_t) (flags & ~allowed));
        return 0;
}

/* --- options ------------------------------------------------------------------------------------ */

static int option_timeout(const BusCall *call, LockRequest *req) {
        return sd_bus_message_read(call->message, "t", &req->timeout_usec);
}

static int option_description(const BusCall *call, LockRequest *req) {
        int r;

        r = sd_bus_message_read(call->message, "s", &req->description);
        if (r < 0)
                return r;
        if (strlen(req->description) > CLAIM_DESCRIPTION_MAX)
                return bus_error_setf(call->error, BUS_E_INVALID_ARGS, "The description is longer than %d bytes",
                                      CLAIM_DESCRIPTION_MAX);
        for (const char *p = req->description; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f)
                        return bus_error_setf(call->error, BUS_E_INVALID_ARGS,
                                              "The description contains control characters");
        return 0;
}

static int option_lifetime(const BusCall *call, LockRequest *req) {
        const char *lifetime;
        int r;

        r = sd_bus_message_read(call->message, "s", &lifetime);
        if (r < 0)
                return r;
        r = bus_lifetime_from_string(lifetime);
        if (r < 0)
                return bus_error_setf(call->error, BUS_E_NOT_SUPPORTED, "The lifetime is neither \"%s\" nor \"%s\"",
                                      bus_lifetime_to_string(BUS_LIFETIME_HANDLE),
                                      bus_lifetime_to_string(BUS_LIFETIME_PEER));
        req->lifetime = (BusLifetime) r;
        return 0;
}

static int option_handle(const BusCall *call, LockRequest *req) {
        return sd_bus_message_read(call->message, "h", &req->handle_fd);
}

static int option_signals(const BusCall *call, LockRequest *req) {
        return sd_bus_message_read(call->message, "b", &req->signals);
}

static const struct {
        const char *name;
        const char *signature;
        int (*read)(const BusCall *call, LockRequest *req);
} options[] = {
        { "Timeout", "t", option_timeout },
        { "Description", "s", option_description },
        { "Lifetime", "s", option_lifetime },
        { "Handle", "h", option_handle },
        { "Signals", "b", option_signals },
};

static int option_read(const BusCall *call, LockRequest *req, const char *name) {
        char shown[NAME_FORM_SIZE] = "?";
        const char *contents;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
                if (!streq(options[i].name, name))
                        continue;
                r = sd_bus_message_peek_type(call->message, NULL, &contents);
                if (r < 0)
                        return r;
                if (!streq(contents, options[i].signature))
                        return bus_error_setf(call->error, BUS_E_INVALID_ARGS, "Option %s is of type %s", name,
                                              options[i].signature);
                r = sd_bus_message_enter_container(call->message, 'v', contents);
                if (r < 0)
                        return r;
                r = options[i].read(call, req);
                if (r < 0)
                        return r;
                return sd_bus_message_exit_container(call->message);
        }

        if (strlen(name) <= NAME_LEN_MAX)
                (void) name_encode(NAME_FORM_LOG, name, shown, sizeof(shown));
        return bus_error_setf(call->error, BUS_E_INVALID_ARGS, "Unknown option \"%s\"", shown);
}

int bus_request_read_options(const BusCall *call, LockRequest *req) {
        int r;

        r = sd_bus_message_enter_container(call->message, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(call->message, 'e', "sv")) > 0) {
                const char *name;

                r = sd_bus_message_read(call->message, "s", &name);
                if (r < 0)
                        return r;
                r = option_read(call, req, name);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(call->message);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (req->signals < 0)
                req->signals = req->lifetime == BUS_LIFETIME_PEER;
        return sd_bus_message_exit_container(call->message);
}
