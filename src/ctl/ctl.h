/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Verbs of toozctl */

#include <tooz/tooz.h>

#include "base/macro.h"
#include "ctl/options.h"

#define AGENT_PATH "/org/tooz/Agent1"
#define AGENT_MANAGER "org.tooz.Agent1.Manager"
#define AGENT_DOMAIN "org.tooz.Agent1.Domain"

typedef struct Ctl {
        Options o;
        tooz_client *client; /* NULL: not connected yet */
} Ctl;

/* Each returns an ExitCode, after a message on standard error if it failed. */
int verb_lock(Ctl *ctl);
int verb_list_locks(Ctl *ctl);
int verb_lock_status(Ctl *ctl);
int verb_is_locked(Ctl *ctl);
int verb_break_lock(Ctl *ctl);
int verb_unlock(Ctl *ctl);
int verb_verify_token(Ctl *ctl);
int verb_list(Ctl *ctl);
int verb_status(Ctl *ctl);

/* Connects: 0, or -errno after a message. */
int ctl_connect(Ctl *ctl);
/* "toozctl: WHAT: what the agent or the error says". Returns EXIT_ERROR. */
int ctl_fail(Ctl *ctl, int error, const char *fmt, ...) _printf_(3, 4);
/* "toozctl: WHAT" */
void ctl_say(const char *fmt, ...) _printf_(1, 2);

/* "node3 backup.service (pid 4711, uid 0)". Returns buf. */
#define OWNER_TEXT_SIZE 768
const char *owner_describe(char buf[static OWNER_TEXT_SIZE], const struct tooz_owner *o);
