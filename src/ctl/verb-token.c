/* SPDX-License-Identifier: Apache-2.0 */
/* break-lock, unlock, verify-token: what needs a fencing token */

#include <errno.h>
#include <inttypes.h>
#include <tooz/tooz-event.h>

#include "base/str.h"
#include "ctl/ctl.h"

static int find_token_on_owner(const struct tooz_owner *o, void *userdata) {
        uint64_t *token = userdata;

        if (o->waiting)
                return 0;
        *token = o->token;
        return 1;
}

/* The token is the proof that the holder is still the one that the user has looked at. */
static int need_token(Ctl *ctl, const char *name) {
        uint64_t token = 0;

        if (ctl->o.has_token)
                return 0;
        if (tooz_lock_foreach_owner(ctl->client, ctl->o.domain, name, find_token_on_owner, &token) > 0 && token > 0)
                ctl_say("%s needs --token= of the holder that you mean; now it is %" PRIu64, ctl->o.verb, token);
        else
                ctl_say("%s needs --token= of the holder that you mean; nobody holds %s now", ctl->o.verb, name);
        return -EINVAL;
}

static int say_stale(Ctl *ctl, const char *name, int error) {
        uint64_t latest = 0;

        if (error != -ESTALE || tooz_lock_verify(ctl->client, ctl->o.domain, name, ctl->o.token, &latest) < 0 ||
            latest == 0)
                return ctl_fail(ctl, error, "%s %s", ctl->o.verb, name);
        ctl_say("token %" PRIu64 " is stale, the latest is %" PRIu64 ": the holder changed meanwhile, nothing done",
                ctl->o.token, latest);
        return EXIT_ERROR;
}

int verb_break_lock(Ctl *ctl) {
        const char *name = ctl->o.args[0];
        int r;

        if (ctl_connect(ctl) < 0)
                return EXIT_ERROR;
        if (need_token(ctl, name) < 0)
                return EXIT_USAGE;
        r = tooz_lock_break(ctl->client, ctl->o.domain, name, ctl->o.token, ctl->o.force ? TOOZ_BREAK_FORCE : 0);
        return r < 0 ? say_stale(ctl, name, r) : EXIT_OK;
}

int verb_unlock(Ctl *ctl) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const char *name = ctl->o.args[0], *destination;
        sd_bus *bus;
        int r;

        if (ctl_connect(ctl) < 0)
                return EXIT_ERROR;
        if (need_token(ctl, name) < 0)
                return EXIT_USAGE;
        r = tooz_client_get_bus(ctl->client, &bus, &destination);
        if (r < 0)
                return ctl_fail(ctl, r, "unlock %s", name);
        r = sd_bus_call_method(bus, destination, "/org/tooz/Agent1", "org.tooz.Agent1.Manager", "Unlock", &error, NULL,
                               "sst", ctl->o.domain, name, ctl->o.token);
        if (r < 0) {
                ctl_say("unlock %s: %s", name, error.message ?: strerror(-r));
                return EXIT_ERROR;
        }
        return EXIT_OK;
}

int verb_verify_token(Ctl *ctl) {
        const char *name = ctl->o.args[0];
        uint64_t token, latest;
        int r;

        if (str_parse_u64(ctl->o.args[1], &token) < 0) {
                ctl_say("%s is no token", ctl->o.args[1]);
                return EXIT_USAGE;
        }
        if (ctl_connect(ctl) < 0)
                return EXIT_UNKNOWN;
        r = tooz_lock_verify(ctl->client, ctl->o.domain, name, token, &latest);
        if (r < 0) {
                (void) ctl_fail(ctl, r, "verify-token %s", name);
                return EXIT_UNKNOWN;
        }
        if (r > 0)
                return EXIT_OK;
        if (!ctl->o.quiet)
                ctl_say("%" PRIu64 " is not the token of a holder, the latest is %" PRIu64, token, latest);
        return EXIT_NO;
}
