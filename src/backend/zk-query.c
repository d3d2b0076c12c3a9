/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to ZooKeeper: who holds and waits for a lock, and which locks there are
 *
 * A question lists a directory and reads each child, a window of them under way at a time. What this host knows better
 * is merged in: behind a node of ours stand local claims, with all details and in their order.
 *
 *   QUERY_LOCK   the contenders of one lock, each with its node's data
 *   QUERY_LIST   all locks, each with its contenders and then the data of the first
 *
 * Everything is bounded: what exceeds a bound is left out. Runs on the loop's thread. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/zk-backend.h"
#include "base/assert.h"
#include "base/str.h"
#include "base/time.h"

#define WINDOW 64u
#define DETAILS_MAX 256u /* contenders of which the data is read */
#define OWNERS_MAX 1024u
#define LOCKS_MAX 4096u

typedef struct Ask Ask;

/* A contender of the lock that is asked about, or one of all locks. */
typedef struct AskItem {
        ZkOp op;
        Ask *ask;
        char *name;    /* child of the directory that was listed */
        char *first;   /* QUERY_LIST: the first contender; then its data is being read */
        LockMode mode; /* of the contender, or of the first one */
        int32_t sequence;
        bool ours;
        bool read; /* `info` was filled in from its data */
        bool gone;
        unsigned n_holders; /* QUERY_LIST: nodes of others */
        unsigned n_waiters;
        OwnerInfo info;
} AskItem;

struct Ask {
        ZkBackend *zk;
        Query *q;
        ZkOp list;
        ZkOpFn on_item;
        AskItem **items;
        size_t n_items;
        size_t n_begun;
        size_t n_to_begin;
        size_t n_pending;
        int error;
};

/* --- life --------------------------------------------------------------------------------------- */

static AskItem *item_free(AskItem *item) {
        if (!item)
                return NULL;
        zk_op_deinit(&item->op);
        owner_info_done(&item->info);
        free(item->name);
        free(item->first);
        free(item);
        return NULL;
}

static void ask_finish(Ask *ask, int result) {
        ZkBackend *zk = ask->zk;

        for (size_t i = 0; i < ask->n_items; i++)
                item_free(ask->items[i]);
        free(ask->items);
        zk_op_deinit(&ask->list);
        zk->n_queries--;
        query_finish(ask->q, result, zk_effects(zk));
        free(ask);
}

static int ask_error(int rc) {
        if (rc == ZK_RC_NOMEM)
                return -ENOMEM;
        return zk_outcome(rc) == ZK_REFUSED ? -EACCES : -ENOTCONN;
}

static const Lock *ask_local_lock(const Ask *ask, const char *name) {
        return lock_table_find(&zk_domain(ask->zk)->locks, name);
}

/* What this host knows of a lock, in a query of its own. */
static int ask_local(const Ask *ask, const char *name, Query *ret) {
        Domain *d = zk_domain(ask->zk);
        int r;

        r = query_init(ret, QUERY_LOCK, d, name);
        if (r >= 0)
                r = domain_query_local(d, ret, ask->zk->backend.realm->host, zk_now(ask->zk), time_now_realtime());
        if (r < 0)
                query_deinit(ret);
        return r;
}

/* Moves an answer. */
static int ask_give(Query *q, OwnerInfo *from) {
        OwnerInfo *o = query_add_owner(q);

        if (!o)
                return -ENOMEM;
        *o = *from;
        *from = (OwnerInfo) {};
        return 0;
}

static AskItem *ask_add_item(Ask *ask, const char *name) {
        AskItem *item = calloc(1, sizeof(*item));

        if (!item)
                return NULL;
        zk_op_init(&item->op, ask->on_item);
        item->ask = ask;
        if (strdup_to(&item->name, name) < 0)
                return item_free(item);
        ask->items[ask->n_items++] = item;
        return item;
}

/* --- one lock ----------------------------------------------------------------------------------- */

static int contender_compare(const void *a, const void *b) {
        int32_t x = (*(AskItem *const *) a)->sequence, y = (*(AskItem *const *) b)->sequence;

        return (x > y) - (x < y);
}

static int lock_take_contenders(Ask *ask) {
        const Lock *lock = ask_local_lock(ask, ask->q->name);

        for (size_t i = 0; i < ask->list.n_names; i++) {
                AskItem *item;
                Contender c;

                if (!zk_contender_parse(ask->list.names[i], &c))
                        continue;
                item = ask_add_item(ask, c.name);
                if (!item)
                        return -ENOMEM;
                item->mode = c.mode;
                item->sequence = c.sequence;
                item->ours = lock && tenure_is_ours(&lock->tenure, &c);
        }
        qsort(ask->items, ask->n_items, sizeof(ask->items[0]), contender_compare);
        ask->n_to_begin = MIN(ask->n_items, (size_t) DETAILS_MAX);
        return 0;
}

static void lock_drop_gone(Ask *ask) {
        size_t n = 0;

        for (size_t i = 0; i < ask->n_items; i++) {
                if (ask->items[i]->gone)
                        item_free(ask->items[i]);
                else
                        ask->items[n++] = ask->items[i];
        }
        ask->n_items = n;
}

/* The first alone if it is exclusive, else all before the first exclusive one. */
static size_t lock_count_holders(const Ask *ask) {
        size_t i = 0;

        if (ask->n_items > 0 && ask->items[0]->mode == LOCK_EXCLUSIVE)
                return 1;
        while (i < ask->n_items && ask->items[i]->mode == LOCK_SHARED)
                i++;
        return i;
}

static int lock_give_other(Ask *ask, AskItem *item, bool waiting) {
        OwnerInfo *o = &item->info;

        o->waiting = waiting;
        o->mode = item->mode;
        if (waiting)
                o->token = 0;
        if (strdup_to(&o->node, item->name) < 0)
                return -ENOMEM;
        return ask_give(ask->q, o);
}

static int lock_give_local(Ask *ask, Query *local, bool waiting, const char *node) {
        int r = 0;

        for (size_t i = 0; i < local->n_owners && r >= 0; i++) {
                OwnerInfo *o = &local->owners[i];

                /* One that was given has left an empty place. */
                if (!o->local || o->waiting != waiting)
                        continue;
                r = strdup_to(&o->node, node);
                if (r >= 0)
                        r = ask_give(ask->q, o);
        }
        return r;
}

/* Local claims stand where the node of ours stands that they wait behind; those that the node in force will serve
 * stand right behind the holders. */
static int lock_give_range(Ask *ask, Query *local, size_t from, size_t to, bool waiting) {
        size_t ours = from;
        int r = 0;

        while (ours < to && !ask->items[ours]->ours)
                ours++;
        if (waiting && ours == to)
                r = lock_give_local(ask, local, true, NULL);
        for (size_t i = from; i < to && r >= 0 && ask->q->n_owners < OWNERS_MAX; i++) {
                if (i == ours)
                        r = lock_give_local(ask, local, waiting, ask->items[i]->name);
                else if (!ask->items[i]->ours)
                        r = lock_give_other(ask, ask->items[i], waiting);
        }
        return r;
}

static int lock_answer(Ask *ask) {
        size_t n_holders;
        Query local;
        int r;

        r = ask_local(ask, ask->q->name, &local);
        if (r < 0)
                return r;
        lock_drop_gone(ask);
        n_holders = lock_count_holders(ask);
        r = lock_give_range(ask, &local, 0, n_holders, false);
        /* Holders whose node was not among them: made or deleted a moment ago. */
        if (r >= 0)
                r = lock_give_local(ask, &local, false, NULL);
        if (r >= 0)
                r = lock_give_range(ask, &local, n_holders, ask->n_items, true);
        query_deinit(&local);
        return r;
}

/* --- all locks ---------------------------------------------------------------------------------- */

static int name_compare(const void *a, const void *b) {
        return strcmp((*(AskItem *const *) a)->name, (*(AskItem *const *) b)->name);
}

static int list_take_locks(Ask *ask) {
        for (size_t i = 0; i < ask->list.n_names && ask->n_items < LOCKS_MAX; i++)
                if (name_check_cluster(ask->list.names[i]) == NAME_OK && !ask_add_item(ask, ask->list.names[i]))
                        return -ENOMEM;
        qsort(ask->items, ask->n_items, sizeof(ask->items[0]), name_compare);
        ask->n_to_begin = ask->n_items;
        return 0;
}

/* Counts the contenders of others; readers hold it together as far as they stand before the first writer. */
static int list_count(AskItem *item) {
        const Lock *lock = ask_local_lock(item->ask, item->name);
        Contender c, first = {};
        int32_t writer = INT32_MAX;

        for (size_t i = 0; i < item->op.n_names; i++) {
                if (!zk_contender_parse(item->op.names[i], &c))
                        continue;
                if (!first.name || c.sequence < first.sequence)
                        first = c;
                if (c.mode == LOCK_EXCLUSIVE && c.sequence < writer)
                        writer = c.sequence;
        }
        if (!first.name)
                return 0;

        for (size_t i = 0; i < item->op.n_names; i++) {
                if (!zk_contender_parse(item->op.names[i], &c) || (lock && tenure_is_ours(&lock->tenure, &c)))
                        continue;
                if (c.sequence == first.sequence || c.sequence < writer)
                        item->n_holders++;
                else
                        item->n_waiters++;
        }
        item->mode = first.mode;
        item->ours = lock && tenure_is_ours(&lock->tenure, &first);
        return strdup_to(&item->first, first.name);
}

static int list_give_first(Ask *ask, AskItem *item, LockInfo *info) {
        Query local;
        int r;

        info->mode = item->mode;
        if (item->read) {
                info->first = item->info;
                info->first.mode = item->mode;
                item->info = (OwnerInfo) {};
                return 0;
        }
        r = ask_local(ask, info->name, &local);
        if (r < 0)
                return r;
        if (local.n_owners > 0) {
                info->first = local.owners[0];
                info->mode = info->first.mode;
                local.owners[0] = (OwnerInfo) {};
        }
        query_deinit(&local);
        return 0;
}

static int list_give(Ask *ask, AskItem *item) {
        const Lock *lock = ask_local_lock(ask, item->name);
        LockInfo *info;
        unsigned n_holders = item->n_holders, n_waiters = item->n_waiters;

        if (lock) {
                n_holders += lock->queue.n_holders;
                n_waiters += lock->queue.n_waiters;
        }
        if (n_holders + n_waiters == 0)
                return 0;
        info = query_add_lock(ask->q);
        if (!info)
                return -ENOMEM;
        info->name = TAKE_PTR(item->name);
        info->n_holders = n_holders;
        info->n_waiters = n_waiters;
        return list_give_first(ask, item, info);
}

static int list_answer(Ask *ask) {
        int r = 0;

        for (size_t i = 0; i < ask->n_items && r >= 0; i++)
                r = list_give(ask, ask->items[i]);
        return r;
}

/* --- reading ------------------------------------------------------------------------------------ */

static void item_take_data(AskItem *item) {
        const ZkOp *op = &item->op;

        if (zk_data_read_node(op->text, op->text_len, &item->info) < 0) {
                item->ask->error = -ENOMEM;
                return;
        }
        item->read = true;
        if (token_zxid_is_valid(op->stat.czxid))
                item->info.token = token_from_czxid(op->stat.czxid, 0);
        if (item->info.since_realtime_usec == 0)
                item->info.since_realtime_usec = (uint64_t) MAX(op->stat.ctime, (int64_t) 0) * USEC_PER_MSEC;
}

static void item_read(AskItem *item, const char *name, const char *child) {
        char path[ZK_PATH_SIZE];

        item->ask->n_pending++;
        if (zk_path(&item->ask->zk->root, ZK_DIR_LOCKS, name, child, path) < 0)
                path[0] = '\0';
        zk_get(item->ask->zk->session.handle, &item->op, path, false);
}

static void item_begin(AskItem *item) {
        char path[ZK_PATH_SIZE];
        Ask *ask = item->ask;

        if (ask->q->kind == QUERY_LOCK) {
                /* Of ours all is known. */
                if (!item->ours)
                        item_read(item, ask->q->name, item->name);
                return;
        }
        ask->n_pending++;
        tooz_assert(zk_path(&ask->zk->root, ZK_DIR_LOCKS, item->name, NULL, path) >= 0);
        zk_list(ask->zk->session.handle, &item->op, path, false);
}

/* Keeps the window full; the answer is there when nothing is left to be read. */
static void ask_pump(Ask *ask) {
        bool usable = ask->error >= 0 && zk_session_is_current(ask->zk, ask->list.item.handle);
        int r = usable ? ask->error : MIN(ask->error, -ENOTCONN);

        while (usable && ask->n_begun < ask->n_to_begin && ask->n_pending < WINDOW)
                item_begin(ask->items[ask->n_begun++]);
        if (ask->n_pending > 0)
                return;
        if (usable)
                r = ask->q->kind == QUERY_LOCK ? lock_answer(ask) : list_answer(ask);
        ask_finish(ask, r);
}

static void item_on_listed(AskItem *item) {
        Ask *ask = item->ask;

        if (list_count(item) < 0)
                ask->error = -ENOMEM;
        else if (item->first && !item->ours)
                item_read(item, item->name, item->first);
}

static void item_on_done(ZkOp *op) {
        AskItem *item = container_of(op, AskItem, op);
        Ask *ask = item->ask;

        ask->n_pending--;
        if (op->rc == ZNONODE || op->rc == ZBADARGUMENTS)
                item->gone = true;
        else if (op->rc != ZOK)
                ask->error = ask_error(op->rc);
        else if (!zk_session_is_current(ask->zk, op->item.handle))
                ask->error = -ENOTCONN;
        else if (ask->q->kind == QUERY_LIST && !item->first)
                item_on_listed(item);
        else
                item_take_data(item);
        ask_pump(ask);
}

static int ask_take_names(Ask *ask) {
        if (ask->list.rc == ZNONODE)
                return 0;
        if (ask->list.rc != ZOK)
                return ask_error(ask->list.rc);
        ask->items = calloc(MAX(ask->list.n_names, (size_t) 1), sizeof(ask->items[0]));
        if (!ask->items)
                return -ENOMEM;
        return ask->q->kind == QUERY_LOCK ? lock_take_contenders(ask) : list_take_locks(ask);
}

static void ask_on_listed(ZkOp *op) {
        Ask *ask = container_of(op, Ask, list);

        ask->error = ask_take_names(ask);
        ask_pump(ask);
}

void zk_query_start(ZkBackend *zk, Query *q) {
        char path[ZK_PATH_SIZE];
        Ask *ask;

        if (!zk->session.connected || zk_session_is_stopping(zk)) {
                query_finish(q, -ENOTCONN, zk_effects(zk));
                return;
        }
        ask = calloc(1, sizeof(*ask));
        if (!ask) {
                query_finish(q, -ENOMEM, zk_effects(zk));
                return;
        }
        ask->zk = zk;
        ask->q = q;
        ask->on_item = item_on_done;
        zk_op_init(&ask->list, ask_on_listed);
        zk->n_queries++;
        tooz_assert(zk_path(&zk->root, ZK_DIR_LOCKS, q->kind == QUERY_LOCK ? q->name : NULL, NULL, path) >= 0);
        zk_list(zk->session.handle, &ask->list, path, false);
}
