/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about locks in the arena
 *
 * Our own entries are delegated and left out: the core knows of them, claim by claim. The others come from shared
 * memory, as whoever may write it has left it; it is for people to read. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/arena-backend.h"
#include "base/str.h"
#include "bus/bus-proc.h"
#include "shm/directory.h"
#include "shm/look.h"
#include "shm/recover.h"

#define PARTIES_MAX 1024u

typedef struct ArenaLook {
        ArenaBackend *a;
        Query *q;
        uint64_t now; /* CLOCK_MONOTONIC */
        uint64_t realtime_now;
        uint64_t pid_ns;
        ShmParty parties[PARTIES_MAX];
} ArenaLook;

static bool party_is_ours(const ArenaLook *look, const ShmParty *p) {
        const ShmBlock *b = shm_ref_block(look->a->arena, p->ref);

        return p->delegated && b && shm_block(look->a->arena, atom_load(&b->master)) == look->a->actor->first;
}

/* Drops our own; how many are left. */
static unsigned leave_ours(ArenaLook *look, unsigned n) {
        unsigned left = 0;

        for (unsigned i = 0; i < n; i++)
                if (!party_is_ours(look, &look->parties[i]))
                        look->parties[left++] = look->parties[i];
        return left;
}

static unsigned look_holders(ArenaLook *look, uint32_t index) {
        return leave_ours(look, shm_look_holders(look->a->arena, index, look->parties, PARTIES_MAX));
}

static unsigned look_waiters(ArenaLook *look, uint32_t index) {
        return leave_ours(look, shm_look_waiters(look->a->arena, index, look->parties, PARTIES_MAX));
}

static int owner_fill(const ArenaLook *look, OwnerInfo *o, const ShmParty *p, bool waiting) {
        char unit[PROC_TEXT_SIZE] = "", node[64];

        /* Elsewhere the number means another process. */
        if (!p->dead && p->pid_ns == look->pid_ns)
                proc_read_unit((pid_t) p->pid, unit, sizeof(unit));
        o->waiting = waiting;
        o->mode = p->shared ? LOCK_SHARED : LOCK_EXCLUSIVE;
        o->pid = p->pid;
        o->uid = p->uid;
        o->token = waiting ? 0 : p->token;
        if (p->since_usec != 0)
                o->since_realtime_usec = usec_sub(look->realtime_now, usec_sub(look->now, p->since_usec));
        (void) str_print(node, sizeof(node), "thread-%u.%u", p->pid, p->tid);
        if (strdup_to(&o->host, look->a->backend.realm->host) < 0 || strdup_to(&o->unit, unit) < 0 ||
            strdup_to(&o->comm, p->comm) < 0 || strdup_to(&o->node, node) < 0)
                return -ENOMEM;
        return 0;
}

static int add_owners(ArenaLook *look, unsigned n, bool waiting) {
        for (unsigned i = 0; i < n; i++) {
                OwnerInfo *o = query_add_owner(look->q);

                if (!o || owner_fill(look, o, &look->parties[i], waiting) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Holders first, then waiters, as they came. */
static int compare_owners(const void *a, const void *b) {
        const OwnerInfo *x = a, *y = b;

        if (x->waiting != y->waiting)
                return x->waiting ? 1 : -1;
        if (x->since_realtime_usec == y->since_realtime_usec)
                return 0;
        return x->since_realtime_usec < y->since_realtime_usec ? -1 : 1;
}

static int query_lock(ArenaLook *look) {
        ArenaBackend *a = look->a;
        ShmHold h;
        int r;

        r = domain_query_local(a->backend.domain, look->q, a->backend.realm->host, time_now(), look->realtime_now);
        if (r < 0 || !a->actor)
                return r;
        r = arena_find_slot(a, look->q->name, false, &h);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        r = add_owners(look, look_holders(look, (uint32_t) (h.place & SHM_J_SLOT)), false);
        if (r >= 0)
                r = add_owners(look, look_waiters(look, (uint32_t) (h.place & SHM_J_SLOT)), true);
        if (r >= 0 && look->q->n_owners > 1)
                qsort(look->q->owners, look->q->n_owners, sizeof(*look->q->owners), compare_owners);
        return r;
}

/* --- lists ---------------------------------------------------------------------------------------- */

static LockInfo *info_find(const ArenaLook *look, const char *name) {
        /* Most locks of others have no claims here, and the table knows at once. */
        const Lock *lock = lock_table_find(arena_locks(look->a), name);

        for (size_t i = 0; lock && i < look->q->n_locks; i++)
                if (streq(look->q->locks[i].name, name))
                        return &look->q->locks[i];
        return NULL;
}

static int list_add(ArenaLook *look, const char *name, const ShmParty *first, unsigned n_holders, unsigned n_waiters) {
        LockInfo *l = info_find(look, name);
        bool is_new = !l;

        if (is_new)
                l = query_add_lock(look->q);
        if (!l || (is_new && strdup_to(&l->name, name) < 0))
                return -ENOMEM;
        /* Whoever holds it is shown. */
        if (is_new || (n_holders > 0 && l->n_holders == 0)) {
                owner_info_done(&l->first);
                l->first = (OwnerInfo) {};
                l->mode = first->shared ? LOCK_SHARED : LOCK_EXCLUSIVE;
                if (owner_fill(look, &l->first, first, n_holders == 0) < 0)
                        return -ENOMEM;
        }
        l->n_holders += n_holders;
        l->n_waiters += n_waiters;
        return 0;
}

static int list_slot(ArenaLook *look, uint32_t index) {
        unsigned n_holders = look_holders(look, index), n_waiters;
        ShmParty first = look->parties[0];
        char name[SHM_NAME_MAX + 1];

        n_waiters = look_waiters(look, index);
        if (n_holders == 0)
                first = look->parties[0];
        if (n_holders + n_waiters == 0 || shm_directory_name(look->a->arena, index, name) <= 0 ||
            name_check(name) != NAME_OK)
                return 0;
        return list_add(look, name, &first, n_holders, n_waiters);
}

static int query_list(ArenaLook *look) {
        ArenaBackend *a = look->a;
        uint32_t n;
        int r;

        r = domain_list_local(a->backend.domain, look->q, a->backend.realm->host, time_now(), look->realtime_now);
        if (r < 0 || !a->actor)
                return r;
        n = shm_n_slots(a->arena);
        for (uint32_t i = 1; r >= 0 && i < n; i++) {
                uint64_t w = atom_load(&a->arena->slots[i].word);

                if (!(w & SHM_W_RETIRED) && (w & (SHM_W_OWNER | SHM_W_READ) || atom_load(&a->arena->slots[i].head)))
                        r = list_slot(look, i);
        }
        return r;
}

/* --- breaking ------------------------------------------------------------------------------------- */

static int break_foreign(ArenaLook *look) {
        ArenaBackend *a = look->a;
        ShmHold h;
        int r;

        if (!a->actor)
                return -ENOENT;
        r = arena_find_slot(a, look->q->name, false, &h);
        if (r < 0)
                return r;
        if (shm_look_holders(a->arena, (uint32_t) (h.place & SHM_J_SLOT), look->parties, PARTIES_MAX) == 0)
                return -ENOENT;
        return shm_hold_break(&h, a->actor, look->q->token);
}

static int query_break(ArenaLook *look) {
        ArenaBackend *a = look->a;
        const Query *q = look->q;

        /* What is held here needs nobody else. */
        if (lock_table_break(arena_locks(a), q->name, q->token, time_now(), &a->backend.realm->effects) == 0)
                return 0;
        return break_foreign(look);
}

/* --- all ------------------------------------------------------------------------------------------ */

static uint64_t own_pid_ns(void) {
        struct stat st;

        return stat("/proc/self/ns/pid", &st) < 0 ? 0 : st.st_ino;
}

static int answer(ArenaLook *look) {
        switch (look->q->kind) {
        case QUERY_LOCK:
                return query_lock(look);
        case QUERY_LIST:
                return query_list(look);
        case QUERY_BREAK:
                return query_break(look);
        case _QUERY_KIND_MAX:
        case _QUERY_KIND_INVALID:
        default:
                return -EINVAL;
        }
}

void arena_query(Backend *b, Query *q) {
        _cleanup_free_ ArenaLook *look = calloc(1, sizeof(*look));
        int r = -ENOMEM;

        if (look) {
                look->a = arena_of(b);
                look->q = q;
                look->now = shm_now();
                look->realtime_now = time_now_realtime();
                look->pid_ns = own_pid_ns();
                r = answer(look);
        }
        query_finish(q, r, &b->realm->effects);
}
