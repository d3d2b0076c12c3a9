/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Access rules: who may do what with which name
 *
 * The configured rules are asked in their order; the first whose user, domain and name match decides: allowed if it
 * lists the verb, refused if not. Without a match the built-in rules hold:
 *   - root, the agent's own user, and members of its group (`tooz`) may do everything;
 *   - everybody may read, and may lock in `node` under `user/<uid>/`. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/table.h"

typedef enum AccessVerb {
        ACCESS_READ,
        ACCESS_LOCK,
        ACCESS_BREAK,
        ACCESS_MANAGE,
        _ACCESS_VERB_MAX,
        _ACCESS_VERB_INVALID = -1,
} AccessVerb;

DECLARE_STRING_TABLE(access_verb, AccessVerb);

typedef struct AccessSubject {
        uid_t uid;
        const gid_t *gids; /* primary and supplementary */
        size_t n_gids;
} AccessSubject;

/* One [Access …] section. Unset parts match everything. */
typedef struct AccessRule {
        ListLink link;
        bool has_uid, has_gid;
        uid_t uid;
        gid_t gid;
        char *domain;
        char *name_glob; /* fnmatch() pattern, '*' crosses '/' */
        unsigned allow;  /* 1 << AccessVerb */
} AccessRule;

typedef struct Access {
        List rules;
        uid_t agent_uid;
        gid_t agent_gid;
} Access;

void access_init(Access *a, uid_t agent_uid, gid_t agent_gid);
void access_deinit(Access *a);
AccessRule *access_rule_new(void);
AccessRule *access_rule_free(AccessRule *rule);
void access_add(Access *a, AccessRule *rule); /* takes it */

/* `name` may be NULL for verbs on a whole domain. */
bool access_allows(const Access *a, const AccessSubject *who, AccessVerb verb, const char *domain, const char *name);
