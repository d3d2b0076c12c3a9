/* SPDX-License-Identifier: Apache-2.0 */
/* Access rules: who may do what with which name */

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/macro.h"
#include "base/str.h"
#include "core/access.h"

static const char *const access_verb_table[_ACCESS_VERB_MAX] = {
        [ACCESS_READ] = "read",
        [ACCESS_LOCK] = "lock",
        [ACCESS_BREAK] = "break",
        [ACCESS_MANAGE] = "manage",
};
DEFINE_STRING_TABLE(access_verb, AccessVerb, _ACCESS_VERB_MAX);

void access_init(Access *a, uid_t agent_uid, gid_t agent_gid) {
        *a = (Access) { .agent_uid = agent_uid, .agent_gid = agent_gid };
        list_init(&a->rules);
}

void access_deinit(Access *a) {
        AccessRule *rule, *tmp;

        list_foreach_safe(rule, tmp, &a->rules, AccessRule, link)
                access_rule_free(rule);
}

AccessRule *access_rule_new(void) {
        AccessRule *rule = calloc(1, sizeof(*rule));

        if (rule)
                list_link_init(&rule->link);
        return rule;
}

AccessRule *access_rule_free(AccessRule *rule) {
        if (!rule)
                return NULL;
        list_unlink(&rule->link);
        free(rule->domain);
        free(rule->name_glob);
        free(rule);
        return NULL;
}

void access_add(Access *a, AccessRule *rule) {
        list_append(&a->rules, &rule->link);
}

static bool subject_in_group(const AccessSubject *who, gid_t gid) {
        for (size_t i = 0; i < who->n_gids; i++)
                if (who->gids[i] == gid)
                        return true;
        return false;
}

static bool rule_matches(const AccessRule *rule, const AccessSubject *who, const char *domain, const char *name) {
        if (rule->has_uid && rule->uid != who->uid)
                return false;
        if (rule->has_gid && !subject_in_group(who, rule->gid))
                return false;
        if (rule->domain && !streq(rule->domain, domain))
                return false;
        /* A rule about names says nothing about a whole domain. */
        return !rule->name_glob || (name && fnmatch(rule->name_glob, name, 0) == 0);
}

/* `user/<uid>/…` in `node` belongs to that user. */
static bool name_is_own(const AccessSubject *who, const char *domain, const char *name) {
        char prefix[STRLEN("user/4294967295/") + 1];

        if (!name || !streq(domain, "node"))
                return false;
        snprintf(prefix, sizeof(prefix), "user/%u/", (unsigned) who->uid);
        return str_skip_prefix(name, prefix);
}

bool access_allows(const Access *a, const AccessSubject *who, AccessVerb verb, const char *domain, const char *name) {
        const AccessRule *rule;

        list_foreach(rule, &a->rules, AccessRule, link)
                if (rule_matches(rule, who, domain, name))
                        return rule->allow & 1u << verb;

        if (who->uid == 0 || who->uid == a->agent_uid || subject_in_group(who, a->agent_gid))
                return true;
        return verb == ACCESS_READ || (verb == ACCESS_LOCK && name_is_own(who, domain, name));
}
