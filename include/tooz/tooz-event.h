/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#ifndef TOOZ_EVENT_H
#define TOOZ_EVENT_H

/* libtooz for programs that use sd-bus or sd-event: the only header of tooz that needs those of libsystemd */

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <tooz/tooz.h>

TOOZ_BEGIN_DECLS

/* Processes the client in this loop, with this priority (sd_event_source_set_priority()). The loop keeps no reference
 * to the client; the client keeps one to the loop. NULL: the default loop of this thread. When a handler returns an error the loop no
 * longer calls the client, as it does with all its sources. -EBUSY: attached already. */
int tooz_client_attach_event(tooz_client *c, sd_event *event, int64_t priority);

/* Idempotent. */
int tooz_client_detach_event(tooz_client *c);

/* The connection to the agent, made again if it broke, for calls that have no function here. Borrowed, and valid until
 * the next call of a function of the client. It is a bus or peer to peer: with a NULL destination on the latter.
 * `ret_destination` (may be NULL) gets what to use. */
int tooz_client_get_bus(tooz_client *c, sd_bus **ret, const char **ret_destination);

TOOZ_END_DECLS
#endif
