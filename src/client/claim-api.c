/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Claims as the program sees them: waiting, asking, releasing */

#include <errno.h>

#include "client/client.h"

/* Runs until `done` says so, or time is up: 0 or -ETIMEDOUT, -EINTR. */
static int claim_wait_until(tooz_claim *claim, bool (*done)(const tooz_claim *claim, int wanted), int wanted,
                            uint64_t timeout_usec) {
        uint64_t deadline_usec = usec_add(time_now(), timeout_usec);
        int r;

        for (;;) {
                uint64_t now;

                if (!claim->client || done(claim, wanted))
                        return 0;
                r = client_pump(claim->client, true);
                if (r < 0)
                        return r;
                if (done(claim, wanted))
                        return 0;

                now = time_now();
                if (now >= deadline_usec)
                        return -ETIMEDOUT;
                r = client_sleep(claim->client, usec_sub(deadline_usec, now));
                if (r < 0)
                        return r;
        }
}

static bool claim_is_in_or_over(const tooz_claim *claim, int wanted) {
        return (int) claim->state == wanted || claim_is_over(claim);
}

_public_ int tooz_claim_wait(tooz_claim *claim, tooz_claim_state state, uint64_t timeout_usec) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if ((unsigned) state >= _TOOZ_CLAIM_STATE_MAX || (state == TOOZ_CLAIM_WAITING && claim->state != state))
                return -EINVAL;

        r = claim_wait_until(claim, claim_is_in_or_over, (int) state, timeout_usec);
        if (claim->state == state)
                return 0;
        if (r < 0)
                return r;
        return claim_error(claim) ?: -ENOTCONN;
}

_public_ int tooz_claim_get_state(tooz_claim *claim, tooz_claim_state *ret) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        *ret = claim->state;
        return 0;
}

_public_ int tooz_claim_get_reason(tooz_claim *claim, const char **ret) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        *ret = claim->reason ?: "";
        return 0;
}

_public_ int tooz_claim_get_token(tooz_claim *claim, uint64_t *ret) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (claim->token == 0)
                return -ENODATA;
        *ret = claim->token;
        return 0;
}

_public_ int tooz_claim_get_previous(tooz_claim *claim, tooz_previous *ret) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (claim->token == 0)
                return -ENODATA;
        *ret = claim->previous;
        return 0;
}

_public_ int tooz_claim_get_position(tooz_claim *claim, uint32_t *ret) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        *ret = claim->position;
        return 0;
}

_public_ int tooz_claim_get_name(tooz_claim *claim, const char **ret_domain, const char **ret_name) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (ret_domain)
                *ret_domain = claim->domain;
        if (ret_name)
                *ret_name = claim->name;
        return 0;
}

_public_ int tooz_claim_get_mode(tooz_claim *claim, tooz_lock_mode *ret) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        *ret = claim->mode;
        return 0;
}

_public_ int tooz_claim_get_id(tooz_claim *claim, uint64_t *ret) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        *ret = claim->id;
        return 0;
}

_public_ int tooz_claim_get_deadline(tooz_claim *claim, uint64_t *ret_boottime_usec) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (!claim_is_held(claim))
                return -ENODATA;
        *ret_boottime_usec = claim->page ? page_deadline(claim->page, claim->epoch) : USEC_INFINITY;
        return 0;
}

_public_ int tooz_claim_get_session_timeout(tooz_claim *claim, uint64_t *ret_usec) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (claim->token == 0)
                return -ENODATA;
        *ret_usec = claim->page ? page_session_timeout(claim->page) : USEC_INFINITY;
        return 0;
}

_public_ int tooz_claim_check(tooz_claim *claim, uint64_t *ret_safe_usec) {
        uint64_t deadline_usec, now;
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (claim->client && !claim_is_over(claim)) {
                r = client_pump(claim->client, false);
                if (r < 0)
                        return r;
        }
        if (!claim_is_held(claim))
                return 0;

        deadline_usec = claim->page ? page_deadline(claim->page, claim->epoch) : USEC_INFINITY;
        now = time_now();
        if (deadline_usec <= now)
                return 0;
        if (ret_safe_usec)
                *ret_safe_usec = usec_sub(deadline_usec, now);
        return 1;
}

_public_ int tooz_claim_release_async(tooz_claim *claim) {
        int r = claim_check_caller(claim);

        if (r < 0)
                return r;
        if (claim->client && !claim_is_over(claim)) {
                claim_tell_release(claim);
                client_arm(claim->client);
        }
        return 0;
}

static bool claim_is_done(const tooz_claim *claim, int unused) {
        return claim_is_over(claim);
}

_public_ int tooz_claim_release(tooz_claim *claim) {
        int r = tooz_claim_release_async(claim);

        if (r < 0)
                return r;
        if (!claim->client)
                return 0;
        return claim_wait_until(claim, claim_is_done, 0, claim->client->call_timeout_usec);
}
