/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about the locks of a domain, as far as this host can answer them */

#include "base/str.h"
#include "base/time.h"
#include "core/domain.h"

/* What people read stands in wall-clock time. */
typedef struct Clock {
        uint64_t now;
        uint64_t realtime_now;
} Clock;

static uint64_t clock_realtime(const Clock *clock, uint64_t boottime_usec) {
        return usec_sub(clock->realtime_now, usec_sub(clock->now, boottime_usec));
}

static int owner_info_fill(OwnerInfo *o, const Claim *claim, const char *host, const Clock *clock) {
        const ClaimOwner *owner = &claim->owner;

        o->waiting = !claim_is_holding(claim);
        o->local = true;
        o->claim_id = claim->id;
        o->mode = claim->mode;
        o->pid = (uint32_t) owner->pid;
        o->uid = owner->uid;
        o->token = o->waiting ? 0 : claim->token;
        o->since_realtime_usec = clock_realtime(clock, o->waiting ? claim->requested_usec : claim->held_since_usec);
        if (strdup_to(&o->host, host) < 0 || strdup_to(&o->unit, owner->unit) < 0 || strdup_to(&o->comm, owner->comm) < 0 ||
            strdup_to(&o->description, owner->description) < 0)
                return -ENOMEM;
        return 0;
}

static int query_add_claims(Query *q, const List *claims, const char *host, const Clock *clock) {
        OwnerInfo *o;
        Claim *c;
        int r;

        list_foreach(c, claims, Claim, link) {
                o = query_add_owner(q);
                if (!o)
                        return -ENOMEM;
                r = owner_info_fill(o, c, host, clock);
                if (r < 0)
                        return r;
        }
        return 0;
}

int domain_query_local(Domain *d, Query *q, const char *host, uint64_t now, uint64_t realtime_now) {
        const Clock clock = { now, realtime_now };
        const Lock *lock = lock_table_find(&d->locks, q->name);
        int r;

        if (!lock)
                return 0;
        r = query_add_claims(q, &lock->queue.holders, host, &clock);
        if (r < 0)
                return r;
        return query_add_claims(q, &lock->queue.waiters, host, &clock);
}

static int query_add_local_lock(Query *q, const Lock *lock, const char *host, const Clock *clock) {
        const LockQueue *queue = &lock->queue;
        const Claim *first;
        LockInfo *info;

        info = query_add_lock(q);
        if (!info)
                return -ENOMEM;
        first = list_first_entry(queue->n_holders > 0 ? &queue->holders : &queue->waiters, Claim, link);
        info->mode = first->mode;
        info->n_holders = queue->n_holders;
        info->n_waiters = queue->n_waiters;
        if (strdup_to(&info->name, lock->name) < 0)
                return -ENOMEM;
        return owner_info_fill(&info->first, first, host, clock);
}

int domain_list_local(Domain *d, Query *q, const char *host, uint64_t now, uint64_t realtime_now) {
        const Clock clock = { now, realtime_now };
        const Lock *lock;
        int r;

        for (lock = lock_table_next(&d->locks, NULL); lock; lock = lock_table_next(&d->locks, lock)) {
                if (lock->queue.n_holders == 0 && lock->queue.n_waiters == 0)
                        continue;
                r = query_add_local_lock(q, lock, host, &clock);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The one answer of a break in `node`. */
static int domain_break(Domain *d, const Query *q, uint64_t now, Effects *fx) {
        switch (lock_table_break(&d->locks, q->name, q->token, now, fx)) {
        case 0:
                return 0;
        case LOCK_E_STALE_TOKEN:
                return -ESTALE;
        default:
                return -ENOENT;
        }
}

void domain_query(Domain *d, Query *q, const char *host, uint64_t now, uint64_t realtime_now, Effects *fx) {
        bool alone = d->kind == DOMAIN_NODE && !d->locks.arena;
        int r;

        if (!alone && !(q->kind == QUERY_LIST && q->flags & QUERY_LIST_LOCAL)) {
                effects_push(fx, &q->effect);
                return;
        }
        switch (q->kind) {
        case QUERY_LOCK:
                r = domain_query_local(d, q, host, now, realtime_now);
                break;
        case QUERY_LIST:
                r = domain_list_local(d, q, host, now, realtime_now);
                break;
        case QUERY_BREAK:
                r = domain_break(d, q, now, fx);
                break;
        case _QUERY_KIND_MAX:
        case _QUERY_KIND_INVALID:
        default:
                r = -EINVAL;
        }
        query_finish(q, r, fx);
}
