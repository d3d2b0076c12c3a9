/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: how much one uid may have */

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/macro.h"
#include "core/quota.h"

static const char *const quota_kind_table[_QUOTA_KIND_MAX] = {
        [QUOTA_CLAIMS] = "claims",
        [QUOTA_CONNECTIONS] = "connections",
        [QUOTA_HANDLES] = "handles",
};
DEFINE_STRING_TABLE(quota_kind, QuotaKind, _QUOTA_KIND_MAX);

static const unsigned default_limits[_QUOTA_KIND_MAX] = {
        [QUOTA_CLAIMS] = 4096,
        [QUOTA_CONNECTIONS] = 256,
        [QUOTA_HANDLES] = 4096,
};

struct QuotaUser {
        uid_t uid;
        UT_hash_handle hh;
        unsigned n[_QUOTA_KIND_MAX];
};

void quota_init(Quota *q) {
        *q = (Quota) {};
        memcpy(q->limits, default_limits, sizeof(q->limits));
}

void quota_deinit(Quota *q) {
        tooz_assert(!q->users);
}

void quota_set_limit(Quota *q, QuotaKind kind, unsigned limit) {
        q->limits[kind] = limit;
}

static QuotaUser *quota_find(const Quota *q, uid_t uid) {
        QuotaUser *user;

        hash_find(hh, q->users, &uid, sizeof(uid), user);
        return user;
}

static int quota_get(Quota *q, QuotaUser **ret, uid_t uid) {
        _cleanup_free_ QuotaUser *user = NULL;
        int r;

        *ret = quota_find(q, uid);
        if (*ret)
                return 0;

        user = calloc(1, sizeof(*user));
        if (!user)
                return -ENOMEM;
        user->uid = uid;
        r = hash_add(hh, q->users, &user->uid, sizeof(user->uid), user);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(user);
        return 0;
}

int quota_charge(Quota *q, QuotaCharge *charge, uid_t uid, QuotaKind kind) {
        QuotaUser *user;
        int r;

        tooz_assert(!charge->user);
        if (q->limits[kind] == 0)
                return -EDQUOT;
        r = quota_get(q, &user, uid);
        if (r < 0)
                return r;
        if (user->n[kind] >= q->limits[kind])
                return -EDQUOT;
        user->n[kind]++;
        *charge = (QuotaCharge) { .user = user, .kind = kind };
        return 0;
}

void quota_discharge(Quota *q, QuotaCharge *charge) {
        QuotaUser *user = charge->user;

        if (!user)
                return;
        tooz_assert(user->n[charge->kind] > 0);
        user->n[charge->kind]--;
        *charge = (QuotaCharge) {};
        for (unsigned i = 0; i < _QUOTA_KIND_MAX; i++)
                if (user->n[i] > 0)
                        return;
        hash_remove(hh, q->users, user);
        free(user);
}

unsigned quota_count(const Quota *q, uid_t uid, QuotaKind kind) {
        const QuotaUser *user = quota_find(q, uid);

        return user ? user->n[kind] : 0;
}
