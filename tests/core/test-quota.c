/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: what one user has does not count for another, and comes back */

#include "core/quota.h"
#include "support/aborts.h"
#include "support/kit.h"

KIT_SUITE(quota);

Test(quota, limits_hold_for_each_user_and_kind) {
        QuotaCharge a[3] = {}, b = {}, other = {};
        Quota q;

        quota_init(&q);
        quota_set_limit(&q, QUOTA_CLAIMS, 2);
        kit_ok(quota_charge(&q, &a[0], 1000, QUOTA_CLAIMS));
        kit_ok(quota_charge(&q, &a[1], 1000, QUOTA_CLAIMS));
        kit_fails(quota_charge(&q, &a[2], 1000, QUOTA_CLAIMS), -EDQUOT);
        cr_assert_eq(quota_count(&q, 1000, QUOTA_CLAIMS), 2);

        kit_ok(quota_charge(&q, &b, 1001, QUOTA_CLAIMS));
        kit_ok(quota_charge(&q, &other, 1000, QUOTA_HANDLES));
        cr_assert_eq(quota_count(&q, 1001, QUOTA_CLAIMS), 1);
        cr_assert_eq(quota_count(&q, 1002, QUOTA_CLAIMS), 0);

        quota_discharge(&q, &a[0]);
        cr_assert_eq(quota_count(&q, 1000, QUOTA_CLAIMS), 1);
        kit_ok(quota_charge(&q, &a[2], 1000, QUOTA_CLAIMS));

        quota_discharge(&q, &a[1]);
        quota_discharge(&q, &a[2]);
        quota_discharge(&q, &b);
        quota_discharge(&q, &other);
        quota_deinit(&q);
}

Test(quota, discharging_twice_is_discharging_once) {
        QuotaCharge a = {}, b = {}, never = {};
        Quota q;

        quota_init(&q);
        kit_ok(quota_charge(&q, &a, 1, QUOTA_CLAIMS));
        kit_ok(quota_charge(&q, &b, 1, QUOTA_CLAIMS));
        quota_discharge(&q, &a);
        quota_discharge(&q, &a);
        quota_discharge(&q, &never);
        cr_assert_eq(quota_count(&q, 1, QUOTA_CLAIMS), 1);
        quota_discharge(&q, &b);
        quota_deinit(&q);
}

Test(quota, a_refused_charge_leaves_nothing) {
        QuotaCharge a = {};
        Quota q;

        quota_init(&q);
        quota_set_limit(&q, QUOTA_CONNECTIONS, 0);
        kit_fails(quota_charge(&q, &a, 1, QUOTA_CONNECTIONS), -EDQUOT);
        quota_discharge(&q, &a);
        quota_deinit(&q);
}

/* A reload of the configuration: what is there stays, what is new is refused. */
Test(quota, a_lowered_limit_takes_nothing_away) {
        QuotaCharge c[4] = {};
        Quota q;

        quota_init(&q);
        for (unsigned i = 0; i < 3; i++)
                kit_ok(quota_charge(&q, &c[i], 1, QUOTA_CLAIMS));
        quota_set_limit(&q, QUOTA_CLAIMS, 1);
        kit_fails(quota_charge(&q, &c[3], 1, QUOTA_CLAIMS), -EDQUOT);
        quota_discharge(&q, &c[0]);
        kit_fails(quota_charge(&q, &c[3], 1, QUOTA_CLAIMS), -EDQUOT);
        quota_discharge(&q, &c[1]);
        quota_discharge(&q, &c[2]);
        kit_ok(quota_charge(&q, &c[3], 1, QUOTA_CLAIMS));
        quota_discharge(&q, &c[3]);
        quota_deinit(&q);
}

Test(quota, defaults_are_those_of_the_design) {
        Quota q;

        quota_init(&q);
        cr_assert_eq(q.limits[QUOTA_CLAIMS], 4096);
        cr_assert_eq(q.limits[QUOTA_CONNECTIONS], 256);
        for (QuotaKind k = 0; k < _QUOTA_KIND_MAX; k++)
                cr_assert_gt(q.limits[k], 0);
        quota_deinit(&q);
}

static void charge_twice(const void *arg) {
        QuotaCharge c = {};
        Quota q;

        quota_init(&q);
        (void) quota_charge(&q, &c, 1, QUOTA_CLAIMS);
        (void) quota_charge(&q, &c, 1, QUOTA_CLAIMS);
}

static void deinit_charged(const void *arg) {
        QuotaCharge c = {};
        Quota q;

        quota_init(&q);
        (void) quota_charge(&q, &c, 1, QUOTA_CLAIMS);
        quota_deinit(&q);
}

Test(quota, a_charge_can_not_be_lost) {
        cr_assert(aborts(charge_twice, NULL));
        cr_assert(aborts(deinit_charged, NULL));
}
