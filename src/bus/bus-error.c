/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of errors
 *
 * Every way in which a request can fail has one row: its name on the bus, the errno that client libraries make of
 * it, and a sentence for when there is nothing more to say. Everything else that can go wrong (outcomes of the core,
 * reasons of a claim, negative errnos) is mapped to a row here and nowhere else. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/str.h"
#include "bus/bus-error.h"
#include "core/lock-table.h"

#define PREFIX "org.tooz.Agent1.Error."
#define TEXT_SIZE 2048

static const char *const bus_error_table[_BUS_ERROR_MAX] = {
        [BUS_E_WOULD_BLOCK] = PREFIX "WouldBlock",
        [BUS_E_TIMED_OUT] = PREFIX "TimedOut",
        [BUS_E_CANCELED] = PREFIX "Canceled",
        [BUS_E_DEADLOCK] = PREFIX "Deadlock",
        [BUS_E_NOT_OWNER] = PREFIX "NotOwner",
        [BUS_E_STALE_TOKEN] = PREFIX "StaleToken",
        [BUS_E_LOCK_LOST] = PREFIX "LockLost",
        [BUS_E_SESSION_EXPIRED] = PREFIX "SessionExpired",
        [BUS_E_NOT_CONNECTED] = PREFIX "NotConnected",
        [BUS_E_SUSPENDED] = PREFIX "Suspended",
        [BUS_E_NO_SUCH_DOMAIN] = PREFIX "NoSuchDomain",
        [BUS_E_NO_SUCH_CLAIM] = PREFIX "NoSuchClaim",
        [BUS_E_NOT_HELD] = PREFIX "NotHeld",
        [BUS_E_INVALID_NAME] = PREFIX "InvalidName",
        [BUS_E_QUOTA_EXCEEDED] = PREFIX "QuotaExceeded",
        [BUS_E_NOT_SUPPORTED] = PREFIX "NotSupported",
        [BUS_E_BUSY] = PREFIX "Busy",
        [BUS_E_STOPPING] = PREFIX "Stopping",
        [BUS_E_BACKEND_ERROR] = PREFIX "BackendError",
        [BUS_E_EXHAUSTED] = PREFIX "Exhausted",
        [BUS_E_TOKEN_REGRESSION] = PREFIX "TokenRegression",
        [BUS_E_ACCESS_DENIED] = SD_BUS_ERROR_ACCESS_DENIED,
        [BUS_E_INVALID_ARGS] = SD_BUS_ERROR_INVALID_ARGS,
        [BUS_E_NO_MEMORY] = SD_BUS_ERROR_NO_MEMORY,
        [BUS_E_FAILED] = SD_BUS_ERROR_FAILED,
};
DEFINE_STRING_TABLE(bus_error, BusErrorCode, _BUS_ERROR_MAX);

static const struct {
        int error;
        const char *text;
} facts[_BUS_ERROR_MAX] = {
        [BUS_E_WOULD_BLOCK] = { EAGAIN, "The lock is held" },
        [BUS_E_TIMED_OUT] = { ETIMEDOUT, "The lock was not free in time" },
        [BUS_E_CANCELED] = { ECANCELED, "The claim was cancelled" },
        [BUS_E_DEADLOCK] = { EDEADLK, "Another holder already waits for the same conversion" },
        [BUS_E_NOT_OWNER] = { EPERM, "The claim belongs to another user" },
        [BUS_E_STALE_TOKEN] = { ESTALE, "The token is not that of a holder" },
        [BUS_E_LOCK_LOST] = { EIDRM, "The lock was lost" },
        [BUS_E_SESSION_EXPIRED] = { EKEYEXPIRED, "The session with the cluster has expired" },
        [BUS_E_NOT_CONNECTED] = { ENOTCONN, "There is no contact with the cluster" },
        [BUS_E_SUSPENDED] = { EHOSTDOWN, "The claim is suspended: there is no contact with the cluster" },
        [BUS_E_NO_SUCH_DOMAIN] = { ENOENT, "There is no such domain" },
        [BUS_E_NO_SUCH_CLAIM] = { ENOENT, "There is no such claim" },
        [BUS_E_NOT_HELD] = { ENOLCK, "The lock is not held" },
        [BUS_E_INVALID_NAME] = { EINVAL, "The name is not valid" },
        [BUS_E_QUOTA_EXCEEDED] = { EDQUOT, "The user has as many as it may have" },
        [BUS_E_NOT_SUPPORTED] = { EOPNOTSUPP, "This is not supported" },
        [BUS_E_BUSY] = { EBUSY, "Another request of this kind is being worked on" },
        [BUS_E_STOPPING] = { ESHUTDOWN, "The agent is stopping" },
        [BUS_E_BACKEND_ERROR] = { EREMOTEIO, "The cluster refuses" },
        [BUS_E_EXHAUSTED] = { EOVERFLOW, "The sequence numbers of this name are used up" },
        [BUS_E_TOKEN_REGRESSION] = { ENOTRECOVERABLE, "The cluster went back in time: an operator must acknowledge it" },
        [BUS_E_ACCESS_DENIED] = { EACCES, "Access denied" },
        [BUS_E_INVALID_ARGS] = { EINVAL, "Invalid arguments" },
        [BUS_E_NO_MEMORY] = { ENOMEM, "Out of memory" },
        [BUS_E_FAILED] = { EIO, "The request failed" },
};

static const BusErrorCode by_reason[_CLAIM_REASON_MAX] = {
        [REASON_NONE] = BUS_E_FAILED,
        [REASON_TIMEOUT] = BUS_E_TIMED_OUT,
        [REASON_WOULD_BLOCK] = BUS_E_WOULD_BLOCK,
        [REASON_CANCELED] = BUS_E_CANCELED,
        [REASON_DEADLOCK] = BUS_E_DEADLOCK,
        [REASON_DEADLINE] = BUS_E_LOCK_LOST,
        [REASON_SESSION_EXPIRED] = BUS_E_SESSION_EXPIRED,
        [REASON_BROKEN] = BUS_E_LOCK_LOST,
        [REASON_AGENT_STOPPING] = BUS_E_STOPPING,
        [REASON_BACKEND_ERROR] = BUS_E_BACKEND_ERROR,
        [REASON_EXHAUSTED] = BUS_E_EXHAUSTED,
        [REASON_TOKEN_REGRESSION] = BUS_E_TOKEN_REGRESSION,
};

int bus_error_to_errno(BusErrorCode code) {
        tooz_assert((size_t) code < _BUS_ERROR_MAX);
        return facts[code].error;
}

BusErrorCode bus_error_from_errno(int error) {
        switch (error) {
        case -ENOENT:
                return BUS_E_NOT_HELD;
        case -EINVAL:
                return BUS_E_INVALID_ARGS;
        case -EPERM:
                return BUS_E_ACCESS_DENIED;
        default:
                break;
        }
        for (BusErrorCode code = 0; code < _BUS_ERROR_MAX; code++)
                if (facts[code].error == -error)
                        return code;
        return BUS_E_FAILED;
}

BusErrorCode bus_error_from_outcome(int outcome) {
        switch (outcome) {
        case LOCK_E_WOULD_BLOCK:
                return BUS_E_WOULD_BLOCK;
        case LOCK_E_NOT_CONNECTED:
                return BUS_E_NOT_CONNECTED;
        case LOCK_E_NOT_HELD:
                return BUS_E_NOT_HELD;
        case LOCK_E_DEADLOCK:
                return BUS_E_DEADLOCK;
        case LOCK_E_STALE_TOKEN:
                return BUS_E_STALE_TOKEN;
        case LOCK_E_SUSPENDED:
                return BUS_E_SUSPENDED;
        default:
                return bus_error_from_errno(outcome);
        }
}

BusErrorCode bus_error_from_reason(ClaimReason reason) {
        tooz_assert((size_t) reason < _CLAIM_REASON_MAX);
        return by_reason[reason];
}

const char *bus_error_text(BusErrorCode code) {
        tooz_assert((size_t) code < _BUS_ERROR_MAX);
        return facts[code].text;
}

int bus_error_setf(sd_bus_error *error, BusErrorCode code, const char *fmt, ...) {
        char text[TEXT_SIZE];
        size_t len;
        va_list ap;

        va_start(ap, fmt);
        (void) vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);

        /* Also a character that was cut in the middle makes it no UTF-8, and sd-bus then refuses to send it. */
        len = strlen(text);
        while (len > 0 && !str_is_utf8(text, len))
                text[--len] = 0;
        str_defuse(text, len);

        (void) sd_bus_error_set(error, bus_error_to_string(code), text);
        return -bus_error_to_errno(code);
}
