/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one table: outcome <-> errno <-> name of a D-Bus error */

#include <systemd/sd-bus.h>

#include "base/macro.h"
#include "base/table.h"
#include "core/claim.h"

typedef enum BusErrorCode {
        BUS_E_WOULD_BLOCK,
        BUS_E_TIMED_OUT,
        BUS_E_CANCELED,
        BUS_E_DEADLOCK,
        BUS_E_NOT_OWNER,
        BUS_E_STALE_TOKEN,
        BUS_E_LOCK_LOST,
        BUS_E_SESSION_EXPIRED,
        BUS_E_NOT_CONNECTED,
        BUS_E_SUSPENDED,
        BUS_E_NO_SUCH_DOMAIN,
        BUS_E_NO_SUCH_CLAIM,
        BUS_E_NOT_HELD,
        BUS_E_INVALID_NAME,
        BUS_E_QUOTA_EXCEEDED,
        BUS_E_NOT_SUPPORTED,
        BUS_E_BUSY,
        BUS_E_STOPPING,
        BUS_E_BACKEND_ERROR,
        BUS_E_EXHAUSTED,
        BUS_E_TOKEN_REGRESSION,
        BUS_E_ACCESS_DENIED,
        BUS_E_INVALID_ARGS,
        BUS_E_NO_MEMORY,
        BUS_E_FAILED,
        _BUS_ERROR_MAX,
        _BUS_ERROR_INVALID = -EINVAL,
} BusErrorCode;

/* Full names: "org.tooz.Agent1.Error.WouldBlock"… */
DECLARE_STRING_TABLE(bus_error, BusErrorCode);

/* What a client library makes of it. Positive. */
int bus_error_to_errno(BusErrorCode code);

BusErrorCode bus_error_from_errno(int error); /* negative, of a query or a system call */
BusErrorCode bus_error_from_outcome(int outcome); /* LOCK_E_… */
BusErrorCode bus_error_from_reason(ClaimReason reason);

/* Sets the error. Returns a negative errno, so that a handler can return it. The text is cut to what fits, and what
 * is no printable UTF-8 in it is replaced: it may quote what clients sent. */
int bus_error_setf(sd_bus_error *error, BusErrorCode code, const char *fmt, ...) _printf_(3, 4);

/* Text for a failure that has no more to say. Never NULL. */
const char *bus_error_text(BusErrorCode code);
