/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service manager is told. Without one ($NOTIFY_SOCKET) nothing happens. */

#include <stdbool.h>

#include "base/macro.h"

bool notify_is_wanted(void);
void notify_ready(const char *status);
void notify_reloading(void); /* to be followed by notify_ready() */
void notify_stopping(void);
void notify_status(const char *status);
void notify_watchdog(void);
