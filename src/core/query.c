/* SPDX-License-Identifier: Apache-2.0 */
/* Query: a question to a domain that may need its backend, and its answer */

#include <stdlib.h>

#include "base/str.h"
#include "core/query.h"

static const char *const query_kind_table[_QUERY_KIND_MAX] = {
        [QUERY_LOCK] = "lock",
        [QUERY_LIST] = "list",
        [QUERY_BREAK] = "break",
};
DEFINE_STRING_TABLE(query_kind, QueryKind, _QUERY_KIND_MAX);

int query_init(Query *q, QueryKind kind, Domain *domain, const char *name) {
        *q = (Query) { .kind = kind, .domain = domain };
        effect_init(&q->effect, EFFECT_QUERY);
        return strdup_to(&q->name, name);
}

void owner_info_done(OwnerInfo *o) {
        free(o->host);
        free(o->unit);
        free(o->comm);
        free(o->description);
        free(o->node);
}

void lock_info_done(LockInfo *l) {
        free(l->name);
        owner_info_done(&l->first);
}

void query_deinit(Query *q) {
        effect_cancel(&q->effect);
        for (size_t i = 0; i < q->n_owners; i++)
                owner_info_done(&q->owners[i]);
        for (size_t i = 0; i < q->n_locks; i++)
                lock_info_done(&q->locks[i]);
        free(q->owners);
        free(q->locks);
        free(q->name);
}

/* One more, zeroed, element: arrays grow to powers of two. */
static void *array_add(void **array, size_t *n, size_t size) {
        if ((*n & (*n - 1)) == 0) {
                void *larger = realloc(*array, (*n ? 2 * *n : 1) * size);

                if (!larger)
                        return NULL;
                *array = larger;
        }
        return memset((char *) *array + (*n)++ * size, 0, size);
}

OwnerInfo *query_add_owner(Query *q) {
        void *owners = q->owners;
        OwnerInfo *o = array_add(&owners, &q->n_owners, sizeof(*o));

        q->owners = owners;
        return o;
}

LockInfo *query_add_lock(Query *q) {
        void *locks = q->locks;
        LockInfo *l = array_add(&locks, &q->n_locks, sizeof(*l));

        q->locks = locks;
        return l;
}

void query_finish(Query *q, int result, Effects *fx) {
        q->result = result;
        effect_cancel(&q->effect);
        q->effect.kind = EFFECT_QUERY_DONE;
        effects_push(fx, &q->effect);
}
