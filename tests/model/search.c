/* SPDX-License-Identifier: Apache-2.0 */
/* Depth first over all that could come next, leaving out states that were met before; or at random */

#include <stdio.h>
#include <time.h>

#include "model/model.h"

typedef enum ChoiceKind {
        CHOICE_RUN,
        CHOICE_KILL,
        CHOICE_CLOCK,
} ChoiceKind;

typedef struct Choice {
        uint8_t kind;
        uint8_t proc;
        uint8_t cost; /* of preemptions, of clocks */
} Choice;

typedef struct Node {
        Choice list[CHOICES_MAX];
        unsigned n, next;
        char *saved;
        size_t size;
} Node;

static Node *nodes;
static size_t depth, n_nodes;
static bool bounded;
static uint64_t n_kills;

/* --- what could come next --------------------------------------------------------------------------- */

static void add(Choice *list, unsigned *n, ChoiceKind kind, uint32_t p, unsigned cost) {
        list[(*n)++] = (Choice) { .kind = (uint8_t) kind, .proc = (uint8_t) p, .cost = (uint8_t) cost };
}

/* If nobody can go on, time passes. Else a clock that runs out is one of few. */
static void add_clocks(Choice *list, unsigned *n, bool idle) {
        uint64_t usec, first = UINT64_MAX;

        for (uint32_t p = 0; p < n_procs; p++)
                if (proc_has_clock(p, &usec))
                        first = MIN(first, usec);
        for (uint32_t p = 0; p < n_procs; p++) {
                if (!proc_has_clock(p, &usec))
                        continue;
                if (idle && usec == first)
                        add(list, n, CHOICE_CLOCK, p, 0);
                else if (world.clocks_left > 0)
                        add(list, n, CHOICE_CLOCK, p, 1);
        }
}

static unsigned find_choices(Choice *list) {
        uint32_t c = world.current;
        Proc *current = &world.proc[c];
        bool can = proc_can_run(c), costs = can && current->state != PROC_DYING;
        unsigned n = 0;

        if (can)
                add(list, &n, CHOICE_RUN, c, 0);
        for (uint32_t p = 0; p < n_procs && !current->kill_only; p++) {
                if (p == c || !proc_can_run(p))
                        continue;
                if (!costs || !bounded || world.preempt_left > 0)
                        add(list, &n, CHOICE_RUN, p, bounded && costs);
        }
        if (!current->kill_only)
                add_clocks(list, &n, n == 0);
        if (world.kills_left > 0 && current->fresh && current->state <= PROC_SLEEPS)
                add(list, &n, CHOICE_KILL, c, 0);
        return n;
}

static void take(Choice choice) {
        uint64_t usec;

        world.proc[world.current].fresh = 0;
        switch ((ChoiceKind) choice.kind) {
        case CHOICE_RUN:
                if (choice.proc != world.current && model_trace)
                        trace_note("---- P%u%s", choice.proc, choice.cost ? " (preempting)" : "");
                world.preempt_left = (uint8_t) (world.preempt_left - choice.cost);
                proc_resume(choice.proc);
                break;
        case CHOICE_KILL:
                if (model_trace)
                        trace_note("P%u is KILLED", choice.proc);
                world.kills_left--;
                n_kills++;
                proc_kill(choice.proc);
                break;
        case CHOICE_CLOCK:
                (void) proc_has_clock(choice.proc, &usec);
                if (model_trace)
                        trace_note("the clock of P%u runs out: %lu us later", choice.proc, usec - world.now);
                world.now = usec;
                world.clocks_left = (uint8_t) (world.clocks_left - choice.cost);
                if (choice.cost == 0 && ++world.forced_clocks > 60)
                        model_fail("nothing but clocks run out: P%u", choice.proc);
                break;
        }
        check_step();
}

/* --- states met before ------------------------------------------------------------------------------ */

static uint64_t *table;
static size_t table_size, table_used;

static void table_clear(void) {
        free(table);
        table_size = (size_t) 1 << 16;
        table_used = 0;
        table = calloc(table_size, sizeof(*table));
        if (!table)
                abort();
}

static uint64_t *table_find(uint64_t key) {
        size_t i = (size_t) (key >> 4) & (table_size - 1);

        while (table[i] && (table[i] | 15) != (key | 15))
                i = (i + 1) & (table_size - 1);
        return &table[i];
}

static void table_grow(void) {
        uint64_t *old = table;
        size_t n = table_size;

        table_size *= 2;
        table = calloc(table_size, sizeof(*table));
        if (!table)
                abort();
        for (size_t i = 0; i < n; i++)
                if (old[i])
                        *table_find(old[i]) = old[i];
        free(old);
}

/* With as many preemptions left as now, or more. Of the hash, 60 bits are kept. */
static bool met_before(void) {
        uint64_t key = world_hash(bounded) | 15, *found;

        if (table_used * 2 > table_size)
                table_grow();
        found = table_find(key);
        if (*found && (*found & 15) >= world.preempt_left)
                return true;
        table_used += *found == 0;
        *found = (key & ~UINT64_C(15)) | world.preempt_left;
        return false;
}

/* --- a schedule again ------------------------------------------------------------------------------- */

static void replay(const Choice *path, size_t n) {
        Choice list[CHOICES_MAX];
        size_t i = 0;

        (void) printf("# schedule of \"%s\" (%s):\n", scenario->name, model_bug ? model_bug : "none");
        model_trace = true;
        failure[0] = 0;
        while (!failure[0]) {
                unsigned n_list = find_choices(list);

                if (n_list == 0) {
                        check_end();
                        break;
                }
                if (n_list > 1 && i == n)
                        break;
                take(n_list > 1 ? path[i++] : list[0]);
        }
        model_trace = false;
        (void) printf("# => %s\n", failure);
}

static void start(const Scenario *s, unsigned preempt) {
        world_init(s);
        world.preempt_left = (uint8_t) preempt;
        bounded = preempt != UNBOUNDED;
}

static void print_failure(const Scenario *s, unsigned preempt, const Choice *path, size_t n) {
        char text[sizeof(failure)];

        (void) snprintf(text, sizeof(text), "%s", failure);
        start(s, preempt);
        replay(path, n);
        (void) snprintf(failure, sizeof(failure), "%s", text);
}

/* --- searching -------------------------------------------------------------------------------------- */

double seconds_used(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static Node *push(void) {
        if (depth == n_nodes) {
                n_nodes = n_nodes ? n_nodes * 2 : 1024;
                nodes = realloc(nodes, n_nodes * sizeof(*nodes));
                if (!nodes)
                        abort();
                memset(nodes + depth, 0, (n_nodes - depth) * sizeof(*nodes));
        }
        return &nodes[depth++];
}

/* To the next that has not been tried. */
static bool back(void) {
        for (; depth > 0; depth--) {
                Node *node = &nodes[depth - 1];

                if (node->next == node->n)
                        continue;
                world_restore(node->saved);
                take(node->list[node->next++]);
                return true;
        }
        return false;
}

static void go_on(Choice *list, unsigned n) {
        Node *node;

        if (n > 1) {
                node = push();
                memcpy(node->list, list, sizeof(node->list));
                node->n = n;
                node->next = 1;
                (void) world_save(&node->saved, &node->size);
        }
        take(list[0]);
}

static void fail_in_search(const Scenario *s, unsigned preempt) {
        Choice *path = calloc(depth + 1, sizeof(*path));

        if (!path)
                abort();
        for (size_t i = 0; i < depth; i++)
                path[i] = nodes[i].list[nodes[i].next - 1];
        print_failure(s, preempt, path, depth);
        free(path);
}

/* One more; false: that was all. */
static bool search_on(uint64_t *n_executions) {
        Choice list[CHOICES_MAX];
        unsigned n = find_choices(list);

        if (n == 0) {
                (*n_executions)++;
                check_end();
                return !failure[0] && back();
        }
        if (n > 1 && met_before())
                return back();
        go_on(list, n);
        return true;
}

static void search_start(void) {
        n_steps = n_kills = 0;
        depth = 0;
        failure[0] = 0;
        table_clear();
}

bool search(const Scenario *s, unsigned preempt, double seconds_max, Result *r, bool *ret_complete) {
        double end = seconds_used() + seconds_max;
        bool more = true;

        search_start();
        start(s, preempt);
        for (uint64_t i = 1; more && !failure[0]; i++) {
                more = search_on(&r->n_executions);
                if (i % 4096 == 0 && seconds_used() > end)
                        break;
        }
        *ret_complete = !more;
        r->n_states += table_used;
        r->n_steps += n_steps;
        r->n_kills += n_kills;
        if (failure[0])
                fail_in_search(s, preempt);
        return !failure[0];
}

/* --- at random -------------------------------------------------------------------------------------- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) ((random_state >> 33) % n);
}

/* Mostly the same goes on. */
static Choice pick(const Choice *list, unsigned n) {
        if (list[0].kind == CHOICE_RUN && list[0].proc == world.current && random_below(8) > 0)
                return list[0];
        return list[random_below(n)];
}

static void run_once(const Scenario *s, Choice **path, size_t *size) {
        Choice list[CHOICES_MAX];
        size_t i = 0;
        unsigned n;

        start(s, UNBOUNDED);
        while (!failure[0] && (n = find_choices(list)) > 0) {
                if (i == *size) {
                        *size = *size ? *size * 2 : 1024;
                        *path = realloc(*path, *size * sizeof(**path));
                        if (!*path)
                                abort();
                }
                (*path)[i] = n > 1 ? pick(list, n) : list[0];
                take((*path)[i]);
                i += n > 1;
                if (i > 100000)
                        model_fail("no end after %zu choices", i);
        }
        if (!failure[0])
                check_end();
        if (failure[0])
                print_failure(s, UNBOUNDED, *path, i);
}

bool search_random(const Scenario *s, uint64_t seed, uint64_t runs, double seconds_max, Result *r) {
        double end = seconds_used() + seconds_max;
        Choice *path = NULL;
        size_t size = 0;

        search_start();
        for (uint64_t i = 0; i < runs && !failure[0] && seconds_used() < end; i++) {
                random_state = (seed + i) * UINT64_C(0x9e3779b97f4a7c15) + 1;
                run_once(s, &path, &size);
                r->n_executions++;
                if (failure[0])
                        (void) printf("# again: --only='%s' --random=1 --seed=%lu\n", s->name, seed + i);
        }
        free(path);
        r->n_steps += n_steps;
        r->n_kills += n_kills;
        return !failure[0];
}
