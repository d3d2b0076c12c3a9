/* SPDX-License-Identifier: Apache-2.0 */
/* Workers use locks in all ways and are killed at random moments; others take their place
 *
 * A witness in memory of its own sees whether two believe to hold the same lock, whether tokens rise, whether all get
 * on, and whether a death is told: each lock protects a pair of numbers that differ while a writer is at work.
 *
 * --seed N, --kills N (of the storm; the others are a fraction of it), --only N (one of the configurations). */

#include <errno.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kill-kit.h"
#include "local/local.h"

#define N_LOCKS 3u
#define N_LANES 16u
#define N_THREADS 3u
#define PATIENCE_USEC UINT64_C(15000000)
#define LATE_USEC UINT64_C(700000)
#define X TOOZ_LOCK_EXCLUSIVE
#define S TOOZ_LOCK_SHARED

/* One after the other in it, each with a greater number. */
typedef struct Lane {
        _Atomic uint64_t number; /* of who is in it now */
        _Atomic uint64_t doomed; /* those up to this one are dead, or about to be */
        _Atomic uint64_t beat;
        _Atomic int doing;
} Lane;

typedef struct Watched {
        _Atomic uint64_t a, b; /* the same, unless a writer is at work or died at it */
        _Atomic uint64_t token_any, token_exclusive;
        _Atomic uint64_t marks[N_LANES]; /* number << 2 | mode + 1 */
} Watched;

typedef struct Witness {
        Lane lanes[N_LANES];
        Watched locks[N_LOCKS];
        _Atomic uint64_t n_overlaps, n_untold, n_bad_tokens, n_errors, n_stuck;
        _Atomic uint64_t worst_usec, n_late; /* no failures, but a bell may have been lost that a clock made up for */
        _Atomic uint64_t n_kills, n_uses, n_died, n_timeouts, n_ended;
        char path[160];
        uint64_t seed;
} Witness;

typedef enum Ending { BY_KILL, BY_THREAD_EXIT, BY_EXEC } Ending;

static Witness *witness;
static int witness_fd;
static Ending ending;

/* Of a worker */
typedef struct Worker {
        unsigned lane;
        uint64_t number;
        uint64_t random;
        tooz_local_lock *locks[N_LOCKS];
} Worker;

/* --- witness ---------------------------------------------------------------------------------------- */

static uint64_t below(Worker *w, uint64_t n) {
        w->random ^= w->random << 13;
        w->random ^= w->random >> 7;
        w->random ^= w->random << 17;
        return (w->random >> 11) % n;
}

static void say(_Atomic uint64_t *counter, const char *what, const Worker *w, unsigned lock, int64_t a, int64_t b) {
        if (atomic_fetch_add(counter, 1) < 5)
                diag("%s: lane %u number %" PRIu64 " doing %d lock %u: %" PRId64 " %" PRId64, what, w->lane, w->number,
                     witness->lanes[w->lane].doing, lock, a, b);
}

static void mark(Worker *w, unsigned lock, int mode) {
        Watched *l = &witness->locks[lock];

        l->marks[w->lane] = w->number << 2 | (uint64_t) (mode + 1);
        for (unsigned i = 0; i < N_LANES; i++) {
                uint64_t m = l->marks[i];

                if (i != w->lane && (m & 3) && (mode == X || (m & 3) == X + 1) && m >> 2 > witness->lanes[i].doomed)
                        say(&witness->n_overlaps, "two hold it", w, lock, i, (int64_t) m);
        }
}

static void unmark(Worker *w, unsigned lock) {
        witness->locks[lock].marks[w->lane] = 0;
}

static void lane_clear(unsigned lane) {
        for (unsigned i = 0; i < N_LOCKS; i++)
                witness->locks[i].marks[lane] = 0;
        witness->lanes[lane].number++;
}

static void raise_to(_Atomic uint64_t *to, uint64_t value) {
        uint64_t old = *to;

        while (old < value && !atomic_compare_exchange_weak(to, &old, value))
                continue;
}

static void check_token(Worker *w, unsigned lock, bool shared) {
        Watched *l = &witness->locks[lock];
        uint64_t token, before = shared ? l->token_exclusive : l->token_any;
        int r = tooz_local_lock_get_token(w->locks[lock], &token);

        if (r < 0)
                say(&witness->n_errors, "get_token", w, lock, r, 0);
        else if (token <= before)
                say(&witness->n_bad_tokens, "token not greater", w, lock, (int64_t) before, (int64_t) token);
        else {
                raise_to(&l->token_any, token);
                if (!shared)
                        raise_to(&l->token_exclusive, token);
        }
}

/* --- holding ---------------------------------------------------------------------------------------- */

static void loiter(Worker *w) {
        uint64_t n = below(w, 400);

        for (volatile uint64_t i = 0; i < n; i++)
                continue;
        if (below(w, 40) == 0)
                sched_yield();
        if (below(w, 200) == 0)
                kit_sleep(below(w, 500));
}

static _Noreturn void exec_again(Worker *w) {
        char lane[16], fd[16];

        snprintf(lane, sizeof(lane), "%u", w->lane);
        snprintf(fd, sizeof(fd), "%d", witness_fd);
        execl("/proc/self/exe", "test-kill", "--worker", lane, "--fd", fd, NULL);
        _exit(60);
}

/* Ends while it holds. */
static void perhaps_end(Worker *w) {
        if (ending == BY_KILL || below(w, 150) > 0)
                return;
        raise_to(&witness->lanes[w->lane].doomed, w->number);
        witness->n_ended++;
        if (ending == BY_EXEC)
                exec_again(w);
        pthread_exit(NULL);
}

static void write_pair(Worker *w, unsigned lock, int told) {
        Watched *l = &witness->locks[lock];

        if (l->a != l->b && !told)
                say(&witness->n_untold, "not told of a death", w, lock, (int64_t) l->a, (int64_t) l->b);
        if (told && below(w, 4) == 0)
                return; /* the next one is told too */
        if (told) {
                l->b = l->a;
                if (tooz_local_lock_mark_consistent(w->locks[lock]) < 0)
                        say(&witness->n_errors, "mark_consistent", w, lock, 0, 0);
        }
        l->a++;
        loiter(w);
        perhaps_end(w);
        l->b++;
}

static void hold(Worker *w, unsigned lock, tooz_lock_mode mode, int told) {
        Watched *l = &witness->locks[lock];

        mark(w, lock, mode);
        check_token(w, lock, mode == S);
        witness->n_died += told == 1;
        if (mode == X) {
                write_pair(w, lock, told);
                return;
        }
        if (l->a != l->b && !told)
                say(&witness->n_untold, "a reader not told of a death", w, lock, (int64_t) l->a, (int64_t) l->b);
        loiter(w);
        perhaps_end(w);
}

static void give(Worker *w, unsigned lock) {
        int r;

        unmark(w, lock);
        r = tooz_local_lock_release(w->locks[lock]);
        if (r < 0)
                say(&witness->n_errors, "release", w, lock, r, 0);
        witness->n_uses++;
}

/* --- what workers do -------------------------------------------------------------------------------- */

static bool taken(Worker *w, unsigned lock, int r, int allowed, const char *what) {
        if (r < 0 && r != allowed)
                say(&witness->n_errors, what, w, lock, r, 0);
        witness->n_timeouts += r < 0;
        return r >= 0;
}

static int acquire(Worker *w, unsigned lock, tooz_lock_mode mode) {
        tooz_local_lock *l = w->locks[lock];

        switch (below(w, 4)) {
        case 0:
                return tooz_local_lock_try(l, mode);
        case 1:
                return tooz_local_lock_acquire(l, mode, below(w, 3000));
        default:
                return tooz_local_lock_acquire(l, mode, TOOZ_USEC_INFINITY);
        }
}

static void do_use(Worker *w, unsigned lock, tooz_lock_mode mode) {
        int r = acquire(w, lock, mode);

        if (!taken(w, lock, r, r == -EAGAIN ? -EAGAIN : -ETIMEDOUT, "acquire"))
                return;
        hold(w, lock, mode, r);
        give(w, lock);
}

static void do_nested(Worker *w, unsigned lock) {
        unsigned other = (unsigned) (lock + 1 + below(w, N_LOCKS - lock - 1));
        tooz_lock_mode mode = below(w, 2) ? X : S;
        int r = tooz_local_lock_acquire(w->locks[lock], mode, TOOZ_USEC_INFINITY);

        if (!taken(w, lock, r, 0, "acquire, first of two"))
                return;
        hold(w, lock, mode, r);
        do_use(w, other, below(w, 2) ? X : S);
        give(w, lock);
}

static void do_convert(Worker *w, unsigned lock) {
        bool up = below(w, 2);
        int r = tooz_local_lock_acquire(w->locks[lock], up ? S : X, TOOZ_USEC_INFINITY);

        if (!taken(w, lock, r, 0, "acquire to convert"))
                return;
        hold(w, lock, up ? S : X, r);
        if (!up)
                mark(w, lock, S);
        r = tooz_local_lock_convert(w->locks[lock], up ? X : S, below(w, 2) ? TOOZ_USEC_INFINITY : below(w, 3000));
        if (up && taken(w, lock, r, r == -EAGAIN || r == -ETIMEDOUT ? r : -EDEADLK, "upgrade"))
                hold(w, lock, X, r);
        else if (!up && r != 0)
                say(&witness->n_errors, "downgrade", w, lock, r, 0);
        give(w, lock);
}

static void futex_wait_for(const tooz_local_wait *wait) {
        struct timespec until = { .tv_sec = (time_t) (wait->until_usec / 1000000u),
                                  .tv_nsec = (long) (wait->until_usec % 1000000u * 1000u) };
        struct futex_waitv v[TOOZ_LOCAL_WAIT_WORDS];

        for (uint32_t i = 0; i < wait->n_words; i++)
                v[i] = (struct futex_waitv) { .uaddr = (uintptr_t) wait->words[i].address, .val = wait->words[i].value,
                                              .flags = FUTEX_32 };
        (void) syscall(SYS_futex_waitv, v, wait->n_words, 0, wait->until_usec == TOOZ_USEC_INFINITY ? NULL : &until,
                       CLOCK_MONOTONIC);
}

static void do_event(Worker *w, unsigned lock, tooz_lock_mode mode) {
        uint64_t rounds = below(w, 3) ? UINT64_MAX : below(w, 4);
        tooz_local_lock *l = w->locks[lock];
        int r = tooz_local_lock_start(l, mode);

        for (; r == -EINPROGRESS && rounds > 0; rounds--) {
                tooz_local_wait wait = { .size = sizeof(wait) };

                r = tooz_local_lock_get_wait(l, &wait);
                if (r < 0)
                        break;
                futex_wait_for(&wait);
                r = tooz_local_lock_resume(l);
        }
        if (r == -EINPROGRESS) {
                r = tooz_local_lock_cancel(l);
                if (r < 0)
                        say(&witness->n_errors, "cancel", w, lock, r, 0);
                return;
        }
        if (!taken(w, lock, r, 0, "start and resume"))
                return;
        hold(w, lock, mode, r);
        give(w, lock);
}

static void work_once(Worker *w) {
        uint64_t from = kit_now(), usec;
        unsigned lock = (unsigned) below(w, N_LOCKS);
        int what = (int) below(w, 8);

        witness->lanes[w->lane].doing = what;
        switch (what) {
        case 0: case 1:
                do_use(w, lock, X);
                break;
        case 2: case 3:
                do_use(w, lock, S);
                break;
        case 4:
                do_nested(w, (unsigned) below(w, N_LOCKS - 1));
                break;
        case 5:
                do_convert(w, lock);
                break;
        default:
                do_event(w, lock, below(w, 2) ? X : S);
        }
        witness->lanes[w->lane].beat++;
        usec = kit_now() - from;
        raise_to(&witness->worst_usec, usec);
        witness->n_late += usec > LATE_USEC;
}

static void worker_init(Worker *w, unsigned lane) {
        tooz_local_arena *arena;
        char name[16];
        int r;

        *w = (Worker) { .lane = lane, .number = witness->lanes[lane].number };
        w->random = (witness->seed + lane * 7919 + w->number * 104729) * 2862933555777941757u + 3037000493u;
        r = tooz_local_arena_open(&arena, witness->path, 0600, TOOZ_LOCAL_ARENA_CREATE);
        for (unsigned i = 0; r >= 0 && i < N_LOCKS; i++) {
                snprintf(name, sizeof(name), "lock%u", i);
                r = tooz_local_lock_open(&w->locks[i], arena, name, i & 1 ? TOOZ_LOCAL_STAMP : 0);
        }
        if (r < 0) {
                say(&witness->n_errors, "open", w, 0, r, 0);
                _exit(61);
        }
        tooz_local_arena_unref(arena);
}

static void *work(void *data) {
        Worker *w = data;

        for (;;)
                work_once(w);
        return NULL;
}

/* A process whose threads end while they hold, and are followed by others. */
static _Noreturn void work_in_threads(unsigned first) {
        pthread_t threads[N_THREADS];
        Worker workers[N_THREADS];

        for (unsigned i = 0; i < N_THREADS; i++) {
                worker_init(&workers[i], first + i);
                if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
                        _exit(62);
        }
        for (unsigned i = 0;; i = (i + 1) % N_THREADS) {
                if (pthread_tryjoin_np(threads[i], NULL) != 0) {
                        kit_sleep(200);
                        continue;
                }
                for (unsigned k = 0; k < N_LOCKS; k++)
                        tooz_local_lock_unref(workers[i].locks[k]);
                lane_clear(first + i);
                worker_init(&workers[i], first + i);
                if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0)
                        _exit(62);
        }
}

/* --- killing ---------------------------------------------------------------------------------------- */

/* A process has as many lanes as it has threads. */
static unsigned lanes_per_process(void) {
        return ending == BY_THREAD_EXIT ? N_THREADS : 1;
}

static pid_t spawn(unsigned first) {
        pid_t pid = kit_fork();
        Worker w;

        if (pid != 0)
                return pid;
        if (ending == BY_THREAD_EXIT)
                work_in_threads(first);
        worker_init(&w, first);
        work(&w);
        _exit(0);
}

static void doom(unsigned first) {
        for (unsigned i = 0; i < lanes_per_process(); i++)
                raise_to(&witness->lanes[first + i].doomed, witness->lanes[first + i].number + (ending != BY_KILL));
}

/* Its lanes are free for the next one. Who ended by itself may have been about to take the next number. */
static void bury(pid_t pid, unsigned first) {
        kit_kill(pid);
        for (unsigned i = 0; i < lanes_per_process(); i++) {
                lane_clear(first + i);
                if (witness->lanes[first + i].number <= witness->lanes[first + i].doomed)
                        witness->lanes[first + i].number = witness->lanes[first + i].doomed + 1;
        }
}

static void dump(void) {
        KitMap map;

        if (!kit_map(&map, witness->path))
                return;
        for (uint32_t slot = 1; slot <= N_LOCKS; slot++)
                kit_dump(&map, slot);
        kit_unmap(&map);
}

static bool is_away[N_LANES]; /* killed, and not followed by anybody yet */

/* All who are there get on, when nobody kills. */
static void watch(unsigned from, unsigned to) {
        uint64_t beats[N_LANES], until = kit_now() + PATIENCE_USEC;

        for (unsigned i = from; i < to; i++)
                beats[i] = witness->lanes[i].beat;
        for (unsigned i = from; i < to; i++)
                while (!is_away[i] && witness->lanes[i].beat < beats[i] + 2) {
                        if (kit_now() > until) {
                                if (witness->n_stuck++ == 0) {
                                        diag("lane %u is stuck, doing %d", i, witness->lanes[i].doing);
                                        dump();
                                }
                                return;
                        }
                        kit_sleep(200);
                }
}

typedef struct Range {
        unsigned from, n; /* lanes, processes */
        pid_t pids[N_LANES];
} Range;

static unsigned lane_of(const Range *g, unsigned process) {
        return g->from + process % g->n * lanes_per_process();
}

static void set_away(const Range *g, unsigned process, bool away) {
        for (unsigned i = 0; i < lanes_per_process(); i++)
                is_away[lane_of(g, process) + i] = away;
}

/* Who comes back by exec() has another number then. So it is stopped before its number is read. */
static void halt(pid_t pid) {
        siginfo_t info;

        if (ending == BY_EXEC && kill(pid, SIGSTOP) >= 0)
                (void) waitid(P_PID, (id_t) pid, &info, WSTOPPED | WEXITED | WNOWAIT);
}

/* Kills some at once. Now and then those who are left must get on before others come, who would look after the dead. */
static void kill_some(Range *g, unsigned first, unsigned burst, bool look) {
        for (unsigned i = first; i < first + burst; i++) {
                halt(g->pids[i % g->n]);
                doom(lane_of(g, i));
        }
        for (unsigned i = first; i < first + burst; i++)
                (void) kill(g->pids[i % g->n], SIGKILL);
        for (unsigned i = first; i < first + burst; i++) {
                bury(g->pids[i % g->n], lane_of(g, i));
                set_away(g, i, true);
        }
        if (look)
                watch(g->from, g->from + g->n * lanes_per_process());
        for (unsigned i = first; i < first + burst; i++) {
                g->pids[i % g->n] = spawn(lane_of(g, i));
                set_away(g, i, false);
        }
        witness->n_kills += burst;
}

static void storm(unsigned from, unsigned to, uint64_t kills) {
        Range g = { .from = from, .n = (to - from) / lanes_per_process() };
        uint64_t done = 0;

        for (unsigned i = 0; i < g.n; i++)
                g.pids[i] = spawn(lane_of(&g, i));
        for (unsigned round = 1; done < kills && witness->n_stuck == 0; round++) {
                unsigned burst = kit_below(8) ? 1 : (unsigned) (1 + kit_below(g.n));

                kit_sleep(kit_below(kit_below(4) ? 1500 : 8000));
                kill_some(&g, (unsigned) kit_below(g.n), burst, round % 5 == 0);
                done += burst;
                if (round % 25 == 0)
                        watch(from, from + g.n * lanes_per_process());
        }
        watch(from, from + g.n * lanes_per_process());
        for (unsigned i = 0; i < g.n; i++)
                doom(lane_of(&g, i));
        for (unsigned i = 0; i < g.n; i++)
                bury(g.pids[i], lane_of(&g, i));
}

/* --- afterwards ------------------------------------------------------------------------------------- */

/* Takes everything, and makes sure that no block is left as a dead thread left it. */
static _Noreturn void sweep_up(void) {
        Worker w;

        ending = BY_KILL;
        lane_clear(0);
        witness->lanes[0].number = witness->lanes[0].doomed + 1;
        worker_init(&w, 0);
        for (unsigned i = 0; i < N_LOCKS; i++) {
                int r = tooz_local_lock_acquire(w.locks[i], X, PATIENCE_USEC);

                if (!taken(&w, i, r, 0, "acquire, in the end"))
                        _exit(1);
                hold(&w, i, X, r);
                if (r == 1 && tooz_local_lock_mark_consistent(w.locks[i]) < 0)
                        _exit(3);
                give(&w, i);
        }
        for (unsigned i = 0; i < 2 * N_LANES; i++) {
                ShmActor *actor;

                if (shm_actor_new(&actor, local_actor->arena) < 0)
                        _exit(2);
        }
        _exit(0);
}

static bool all_is_free(void) {
        pid_t pid = kit_fork();
        bool good;
        KitMap map;

        if (pid == 0)
                sweep_up();
        good = kit_reap(pid, 60) == 0;
        if (!good)
                diag("a lock can't be taken in the end");
        if (!kit_map(&map, witness->path))
                return false;
        for (uint32_t slot = 1; slot <= N_LOCKS; slot++) {
                const char *left = kit_not_idle(&map, slot);

                if (left) {
                        diag("slot %u: %s", slot, left);
                        kit_dump(&map, slot);
                        good = false;
                }
        }
        kit_unmap(&map);
        return good;
}

static void begin(const char *name, Ending how) {
        uint64_t seed = kit_random();

        memset(witness, 0, sizeof(*witness));
        for (unsigned i = 0; i < N_LANES; i++)
                witness->lanes[i].number = 1;
        witness->seed = seed;
        snprintf(witness->path, sizeof(witness->path), "%s", kit_path(name));
        ending = how;
}

static void conclude(const char *name, uint64_t from) {
        tap(witness->n_overlaps == 0, "%s: exclusion", name);
        tap(witness->n_untold == 0, "%s: deaths are told", name);
        tap(witness->n_bad_tokens == 0, "%s: tokens rise", name);
        tap(witness->n_errors == 0, "%s: no other errors", name);
        tap(witness->n_stuck == 0, "%s: all get on", name);
        tap(all_is_free(), "%s: all is free in the end", name);
        diag("%" PRIu64 " kills, %" PRIu64 " ended while holding, %" PRIu64 " uses, %" PRIu64 " told of a death, "
             "%" PRIu64 " not taken, %" PRIu64 " ms; the longest took %" PRIu64 " us, %" PRIu64 " very long",
             witness->n_kills, witness->n_ended, witness->n_uses, witness->n_died, witness->n_timeouts,
             (kit_now() - from) / 1000, witness->worst_usec, witness->n_late);
        (void) unlink(witness->path);
}

/* --- configurations --------------------------------------------------------------------------------- */

static void run_plain(const char *name, Ending how, unsigned n_lanes, uint64_t kills) {
        uint64_t from = kit_now();

        begin(name, how);
        storm(0, n_lanes, kills);
        conclude(name, from);
}

/* Its children are in a new namespace: one that stays is the first of it, the others are workers. */
static _Noreturn void nursery(unsigned from, unsigned to, uint64_t kills) {
        pid_t init;

        if (unshare(CLONE_NEWPID) < 0)
                _exit(70);
        init = kit_fork();
        if (init == 0)
                for (;;)
                        pause();
        storm(from, to, kills);
        kit_kill(init);
        _exit(0);
}

static bool may_unshare(void) {
        pid_t pid = kit_fork();

        if (pid == 0)
                _exit(unshare(CLONE_NEWPID) < 0);
        return kit_reap(pid, 10) == 0;
}

static void run_namespaces(uint64_t kills) {
        const char *name = "namespaces";
        uint64_t from = kit_now();
        pid_t nurseries[2];
        bool good = true;

        if (!may_unshare()) {
                tap_skip(name, "no right to make PID namespaces");
                return;
        }
        begin(name, BY_KILL);
        for (unsigned i = 0; i < 2; i++) {
                uint64_t seed = kit_random();

                nurseries[i] = kit_fork();
                if (nurseries[i] == 0) {
                        kit_seed(seed);
                        nursery(4 * i, 4 * i + 4, kills / 2);
                }
        }
        for (unsigned i = 0; i < 2; i++)
                good = kit_reap(nurseries[i], 3600) == 0 && good;
        tap(good, "namespaces: both end well");
        conclude(name, from);
}

/* After an exec() in the midst of a hold: the same process, another worker. */
static int come_back(uint64_t lane, uint64_t fd) {
        Worker w;

        witness_fd = (int) fd;
        witness = mmap(NULL, sizeof(*witness), PROT_READ | PROT_WRITE, MAP_SHARED, witness_fd, 0);
        if (witness == MAP_FAILED)
                return 63;
        ending = BY_EXEC;
        lane_clear((unsigned) lane);
        worker_init(&w, (unsigned) lane);
        work(&w);
        return 0;
}

int main(int argc, char **argv) {
        uint64_t kills = 3000, only = UINT64_MAX, lane = 0, fd = 0;

        if (kit_option(argc, argv, "--worker", &lane) && kit_option(argc, argv, "--fd", &fd))
                return come_back(lane, fd);
        kit_seed_from(argc, argv);
        (void) kit_option(argc, argv, "--kills", &kills);
        (void) kit_option(argc, argv, "--only", &only);
        witness = kit_shared_fd(sizeof(*witness), &witness_fd);
        if (only == UINT64_MAX || only == 0)
                run_plain("storm", BY_KILL, 6, kills);
        if (only == UINT64_MAX || only == 1)
                run_namespaces(kills / 2);
        if (only == UINT64_MAX || only == 2)
                run_plain("threads", BY_THREAD_EXIT, 2 * N_THREADS, kills / 8);
        if (only == UINT64_MAX || only == 3)
                run_plain("exec", BY_EXEC, 5, kills / 4);
        return tap_done();
}
