/* SPDX-License-Identifier: Apache-2.0 */
/* Query: arrays of answers, and their memory */

#include <stdio.h>

#include "base/str.h"
#include "core/query.h"
#include "support/kit.h"

KIT_SUITE(query);

Test(query, arrays_grow_and_are_zeroed) {
        Query q;

        kit_ok(query_init(&q, QUERY_LOCK, NULL, "x"));
        for (unsigned i = 0; i < 100; i++) {
                OwnerInfo *o = query_add_owner(&q);
                LockInfo *l = query_add_lock(&q);

                cr_assert(o && l);
                cr_assert(!o->host && !o->unit && !o->comm && !o->description && !o->node && o->pid == 0);
                cr_assert(!l->name && !l->first.host && l->n_holders == 0);
                o->pid = i;
                kit_ok(strdup_to(&o->host, "h"));
                kit_ok(strdup_to(&l->name, "l"));
                kit_ok(strdup_to(&l->first.node, "n"));
                l->n_waiters = i;
        }
        cr_assert_eq(q.n_owners, 100);
        cr_assert_eq(q.n_locks, 100);
        for (unsigned i = 0; i < 100; i++) {
                cr_assert_eq(q.owners[i].pid, i);
                cr_assert_eq(q.locks[i].n_waiters, i);
        }
        query_deinit(&q);
}

Test(query, ends_by_one_effect) {
        Effects fx;
        Query q;

        effects_init(&fx);
        kit_ok(query_init(&q, QUERY_BREAK, NULL, "x"));
        cr_assert_eq(q.effect.kind, EFFECT_QUERY);
        effects_push(&fx, &q.effect);
        query_finish(&q, -ESTALE, &fx);
        cr_assert_eq(effects_pop(&fx), &q.effect);
        cr_assert_eq(q.effect.kind, EFFECT_QUERY_DONE);
        cr_assert_eq(q.result, -ESTALE);
        cr_assert_null(effects_pop(&fx));

        query_finish(&q, 0, &fx);
        query_deinit(&q);
        cr_assert_null(effects_pop(&fx));
}
