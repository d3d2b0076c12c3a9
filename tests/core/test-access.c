/* SPDX-License-Identifier: Apache-2.0 */
/* Access: who may do what with which name, with and without rules */

#include "base/str.h"
#include "core/access.h"
#include "support/kit.h"

#define AGENT_UID 900
#define AGENT_GID 901
#define ALL ((1u << _ACCESS_VERB_MAX) - 1)

typedef struct Case {
        uid_t uid;
        gid_t gid;
        AccessVerb verb;
        const char *domain;
        const char *name;
        bool allowed;
} Case;

static Access access_under_test;

static void begin(void) {
        kit_setup();
        access_init(&access_under_test, AGENT_UID, AGENT_GID);
}

static void end(void) {
        access_deinit(&access_under_test);
        kit_teardown();
}

TestSuite(access, .init = begin, .fini = end, .timeout = 120);

static AccessRule *add_rule(const char *domain, const char *glob, unsigned allow) {
        AccessRule *rule = access_rule_new();

        cr_assert_not_null(rule);
        kit_ok(strdup_to(&rule->domain, domain));
        kit_ok(strdup_to(&rule->name_glob, glob));
        rule->allow = allow;
        access_add(&access_under_test, rule);
        return rule;
}

static void check_cases(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const Case *c = &cases[i];
                const gid_t gids[] = { 50000, c->gid };
                const AccessSubject who = { .uid = c->uid, .gids = gids, .n_gids = ARRAY_SIZE(gids) };

                cr_assert_eq(access_allows(&access_under_test, &who, c->verb, c->domain, c->name), c->allowed,
                             "case %zu: uid %u, %s %s/%s", i, (unsigned) c->uid, access_verb_to_string(c->verb), c->domain,
                             c->name ?: "");
        }
}

Test(access, without_rules) {
        static const Case cases[] = {
                { 0, 0, ACCESS_MANAGE, "cluster", "x", true },
                { 0, 0, ACCESS_BREAK, "node", NULL, true },
                { AGENT_UID, 5, ACCESS_MANAGE, "cluster", "x", true },
                { 1000, AGENT_GID, ACCESS_LOCK, "cluster", "x", true },
                { 1000, AGENT_GID, ACCESS_BREAK, "node", "x", true },

                { 1000, 1000, ACCESS_READ, "cluster", "x", true },
                { 1000, 1000, ACCESS_READ, "node", NULL, true },
                { 1000, 1000, ACCESS_LOCK, "node", "user/1000/x", true },
                { 1000, 1000, ACCESS_LOCK, "node", "user/1000/a/b", true },

                { 1000, 1000, ACCESS_LOCK, "node", "x", false },
                { 1000, 1000, ACCESS_LOCK, "node", NULL, false },
                { 1000, 1000, ACCESS_LOCK, "node", "user/1000", false },
                { 1000, 1000, ACCESS_LOCK, "node", "user/1001/x", false },
                { 1000, 1000, ACCESS_LOCK, "node", "user/10000/x", false },
                { 100, 100, ACCESS_LOCK, "node", "user/1000/x", false },
                { 1000, 1000, ACCESS_LOCK, "node", "/user/1000/x", false },
                { 1000, 1000, ACCESS_LOCK, "cluster", "user/1000/x", false },
                { 1000, 1000, ACCESS_BREAK, "node", "user/1000/x", false },
                { 1000, 1000, ACCESS_MANAGE, "node", "user/1000/x", false },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

Test(access, the_largest_uid_has_a_folder_too) {
        static const Case cases[] = {
                { UINT32_MAX - 1, 1, ACCESS_LOCK, "node", "user/4294967294/x", true },
                { UINT32_MAX - 1, 1, ACCESS_LOCK, "node", "user/429496729/x", false },
        };

        check_cases(cases, ARRAY_SIZE(cases));
}

/* The first that matches decides, also against root and also by refusing. */
Test(access, the_first_matching_rule_decides) {
        static const Case cases[] = {
                { 1000, 1000, ACCESS_LOCK, "cluster", "backup/db", true },
                { 1000, 1000, ACCESS_BREAK, "cluster", "backup/db", false },
                { 1000, 1000, ACCESS_LOCK, "cluster", "backup/deep/er", true },
                { 1000, 1000, ACCESS_LOCK, "node", "backup/db", false },
                { 1000, 1000, ACCESS_READ, "cluster", "secret", false },
                { 0, 0, ACCESS_READ, "cluster", "secret", false },
                { 1000, 1000, ACCESS_READ, "cluster", "other", true },
                /* a rule about names says nothing about the domain as a whole */
                { 1000, 1000, ACCESS_READ, "cluster", NULL, true },
        };

        add_rule("cluster", "backup/*", 1u << ACCESS_LOCK | 1u << ACCESS_READ);
        add_rule(NULL, "secret", 0);
        add_rule("cluster", "backup/*", ALL);
        check_cases(cases, ARRAY_SIZE(cases));
}

Test(access, rules_for_users_and_groups) {
        static const Case cases[] = {
                { 1000, 1, ACCESS_MANAGE, "cluster", "x", true },
                { 1001, 1, ACCESS_MANAGE, "cluster", "x", false },
                { 1001, 77, ACCESS_LOCK, "cluster", "x", true },
                { 1001, 77, ACCESS_BREAK, "cluster", "x", false },
                { 1000, 77, ACCESS_BREAK, "cluster", NULL, true },
        };
        AccessRule *user = add_rule(NULL, NULL, ALL), *group = add_rule(NULL, NULL, 1u << ACCESS_LOCK);

        user->has_uid = true;
        user->uid = 1000;
        group->has_gid = true;
        group->gid = 77;
        check_cases(cases, ARRAY_SIZE(cases));
}
