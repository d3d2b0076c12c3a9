/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Quotas: how much one uid may have
 *
 * Every object made for a client carries a charge; discharging is part of its destructor. Root is charged like
 * everybody, with the limits of `QuotaLimits`. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/table.h"


typedef enum QuotaKind {
        QUOTA_CLAIMS,
        QUOTA_CONNECTIONS,
        QUOTA_HANDLES,
        _QUOTA_KIND_MAX,
        _QUOTA_KIND_INVALID = -1,
} QuotaKind;

DECLARE_STRING_TABLE(quota_kind, QuotaKind);

typedef struct QuotaUser QuotaUser;

typedef struct Quota {
        QuotaUser *users; /* by uid; one exists while it is charged with anything */
        unsigned limits[_QUOTA_KIND_MAX];
} Quota;

/* Embedded in what is charged. All zero: nothing charged. */
typedef struct QuotaCharge {
        QuotaUser *user;
        QuotaKind kind;
} QuotaCharge;

void quota_init(Quota *q);
void quota_deinit(Quota *q);
void quota_set_limit(Quota *q, QuotaKind kind, unsigned limit);
/* 0; -EDQUOT: the user has as many as it may; -ENOMEM. */
int quota_charge(Quota *q, QuotaCharge *charge, uid_t uid, QuotaKind kind);
void quota_discharge(Quota *q, QuotaCharge *charge);
unsigned quota_count(const Quota *q, uid_t uid, QuotaKind kind);
