/* SPDX-License-Identifier: Apache-2.0 */
/* Kills a process at each instruction of what it does with a lock, and looks whether those left behind go on
 *
 *      H  holds the lock before (gives it back when asked, when the victim sleeps, or dies with it)
 *      V  the victim: single-stepped from stop() until it says `done`, killed somewhere on its way
 *      W  waits behind the victim while it is killed
 *      C  acquires three times after that, in both modes
 *
 * Two kinds of points: after the k-th change of the shared memory, and at the n-th instruction. Some of them, others in
 * each run; with --long all, but for ways of more than 5,000 instructions, which take hours (--steps N: the budget of
 * a mode).
 * --seed N; --mode N: that one alone; --point N (and --change): that point alone. */

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill-kit.h"
#include "local/local.h"

#define PATIENCE_SEC 10u
#define PATIENCE_USEC (PATIENCE_SEC * UINT64_C(1000000))
/* Of a mode. A step costs some 15 us in a virtual machine. */
#define STEPS_BUDGET 12000u
#define LONG_STEPS_BUDGET 15000000u
#define CHANGE_STEPS_BUDGET 45000u
#define LATE_USEC UINT64_C(700000)
#define X TOOZ_LOCK_EXCLUSIVE
#define S TOOZ_LOCK_SHARED

enum { H, V, W, C, N_ROLES };

typedef enum Phase { BEFORE, HOLDS, GIVES, AFTER } Phase;
typedef enum Body { ACQUIRE, WARM, RELEASE, CONVERT, BREAK, CANCEL, FIRST_USE } Body;
typedef enum Fate { STAYS, GIVES_WHEN_ASLEEP, DIES_WHEN_ASLEEP, IS_DEAD } Fate;
typedef enum Start { NEVER, AT_ONCE, BEHIND } Start;

typedef struct Mode {
        const char *name;
        Body body;
        tooz_lock_mode mode;   /* the victim's */
        uint64_t timeout;
        bool has_h;
        tooz_lock_mode h_mode;
        Fate fate;
        Start w_start;
        tooz_lock_mode w_mode;
} Mode;

static const Mode modes[] = {
        { "exclusive", ACQUIRE, X, PATIENCE_USEC, false, X, STAYS, NEVER, X },
        { "shared", WARM, S, PATIENCE_USEC, false, X, STAYS, NEVER, X },
        { "shared, first time", ACQUIRE, S, PATIENCE_USEC, false, X, STAYS, NEVER, X },
        { "shared beside a reader", ACQUIRE, S, PATIENCE_USEC, true, S, STAYS, NEVER, X },
        { "exclusive after readers", WARM, X, PATIENCE_USEC, false, X, STAYS, NEVER, X },
        { "release, writer asleep", RELEASE, X, 0, false, X, STAYS, AT_ONCE, X },
        { "release, reader asleep", RELEASE, X, 0, false, X, STAYS, AT_ONCE, S },
        { "release shared, writer asleep", RELEASE, S, 0, false, X, STAYS, AT_ONCE, X },
        { "try, held", ACQUIRE, X, 0, true, X, STAYS, NEVER, X },
        { "time-out", ACQUIRE, X, 1000, true, X, STAYS, NEVER, X },
        { "time-out, another behind", ACQUIRE, X, 3000, true, X, STAYS, BEHIND, X },
        { "time-out shared, writer behind", ACQUIRE, S, 3000, true, X, STAYS, BEHIND, X },
        { "time-out while draining, reader behind", ACQUIRE, X, 3000, true, S, STAYS, BEHIND, S },
        { "granted", ACQUIRE, X, PATIENCE_USEC, true, X, GIVES_WHEN_ASLEEP, NEVER, X },
        { "granted, writer behind", ACQUIRE, X, PATIENCE_USEC, true, X, GIVES_WHEN_ASLEEP, BEHIND, X },
        { "granted shared", ACQUIRE, S, PATIENCE_USEC, true, X, GIVES_WHEN_ASLEEP, NEVER, X },
        { "granted shared, reader behind", ACQUIRE, S, PATIENCE_USEC, true, X, GIVES_WHEN_ASLEEP, BEHIND, S },
        { "drains", ACQUIRE, X, PATIENCE_USEC, true, S, GIVES_WHEN_ASLEEP, NEVER, X },
        { "granted by death", ACQUIRE, X, PATIENCE_USEC, true, X, DIES_WHEN_ASLEEP, BEHIND, X },
        { "drains a reader that dies", ACQUIRE, X, PATIENCE_USEC, true, S, DIES_WHEN_ASLEEP, BEHIND, X },
        { "recovers a dead writer", ACQUIRE, X, PATIENCE_USEC, true, X, IS_DEAD, NEVER, X },
        { "recovers a dead writer, shared", ACQUIRE, S, PATIENCE_USEC, true, X, IS_DEAD, NEVER, X },
        { "recovers a dead reader", ACQUIRE, X, PATIENCE_USEC, true, S, IS_DEAD, NEVER, X },
        { "upgrade", CONVERT, S, PATIENCE_USEC, false, X, STAYS, NEVER, X },
        { "upgrade beside a reader", CONVERT, S, PATIENCE_USEC, true, S, GIVES_WHEN_ASLEEP, NEVER, X },
        { "upgrade, time-out", CONVERT, S, 1000, true, S, STAYS, NEVER, X },
        { "upgrade beside a reader that dies", CONVERT, S, PATIENCE_USEC, true, S, DIES_WHEN_ASLEEP, NEVER, X },
        { "upgrade before a writer that drains", CONVERT, S, PATIENCE_USEC, false, X, STAYS, AT_ONCE, X },
        { "upgrade before a writer, beside a reader", CONVERT, S, PATIENCE_USEC, true, S,
          GIVES_WHEN_ASLEEP, AT_ONCE, X },
        { "downgrade", CONVERT, X, PATIENCE_USEC, false, X, STAYS, NEVER, X },
        { "downgrade, reader asleep", CONVERT, X, PATIENCE_USEC, false, X, STAYS, AT_ONCE, S },
        { "downgrade, writer asleep", CONVERT, X, PATIENCE_USEC, false, X, STAYS, AT_ONCE, X },
        { "break", BREAK, X, 0, true, X, STAYS, NEVER, X },
        { "break, writer asleep", BREAK, X, 0, true, X, STAYS, AT_ONCE, X },
        { "break a reader, writer asleep", BREAK, X, 0, true, S, STAYS, AT_ONCE, X },
        { "start, cancel", CANCEL, X, 0, true, X, STAYS, NEVER, X },
        { "start, cancel, another behind", CANCEL, X, 0, true, X, STAYS, BEHIND, X },
        { "first use of an arena and a name", FIRST_USE, X, PATIENCE_USEC, false, X, STAYS, NEVER, X },
        { "first use, over a dead writer", FIRST_USE, X, PATIENCE_USEC, true, X, IS_DEAD, NEVER, X },
        { "first use, over a dead reader", FIRST_USE, X, PATIENCE_USEC, true, S, IS_DEAD, NEVER, X },
};

typedef struct Use {
        _Atomic int r;
        _Atomic uint64_t token;
        _Atomic int shared;
} Use;

typedef struct Shared {
        _Atomic int phase, done, killed, marked;
        _Atomic int release, w_go, c_go;      /* from the parent */
        _Atomic int ready[N_ROLES];
        _Atomic int in[N_ROLES];              /* believes to hold: mode + 1 */
        _Atomic int violations;
        _Atomic int h_result, h_held, v_result, w_done;
        _Atomic uint64_t h_token, v_token, w_usec;
        _Atomic uint32_t slot, blocks[N_ROLES]; /* number + 1 */
        Use w, c[3];
} Shared;

static Shared *sh;
static const Mode *mode;
static const char *arena_path;
static char lock_name[32];
static KitMap map;
static char problem[256];
static uint64_t worst_usec;
static bool was_late; /* no failure: but the clock of a waiter may have hidden a bell that was lost */

static void fail(const char *what, long detail) {
        if (!problem[0])
                snprintf(problem, sizeof(problem), "%s (%ld)", what, detail);
}

/* --- what all processes do -------------------------------------------------------------------------- */

static tooz_local_arena *arena;

static tooz_local_lock *lock_open(void) {
        tooz_local_lock *lock;
        int r = tooz_local_lock_open(&lock, arena, lock_name, 0);

        if (r < 0) {
                diag("lock_open: %d", r);
                _exit(50);
        }
        sh->slot = kit_slot(lock);
        return lock;
}

/* Has a block from here on. */
static tooz_local_lock *attach(int role) {
        tooz_local_lock *warm;

        if (tooz_local_arena_open(&arena, arena_path, 0600, TOOZ_LOCAL_ARENA_CREATE) < 0 ||
            tooz_local_lock_open(&warm, arena, "warm", 0) < 0 || tooz_local_lock_acquire(warm, S, PATIENCE_USEC) < 0 ||
            tooz_local_lock_release(warm) < 0)
                _exit(51);
        sh->blocks[role] = (uint32_t) (local_actor->first - local_actor->arena->blocks) + 1;
        return lock_open();
}

/* The victim's mark is not believed once it is about to be killed. */
static void enter(int role, tooz_lock_mode how) {
        sh->in[role] = (int) how + 1;
        for (int other = 0; other < N_ROLES; other++) {
                int in = sh->in[other];

                if (other != role && in && (in == X + 1 || how == X) && !(other == V && sh->killed))
                        sh->violations += 1 << (8 * other);
        }
}

static bool is_waiting(int role) {
        uint32_t b = sh->blocks[role] - 1;

        if (sh->blocks[role] == 0 || map.blocks[b].sleepers == 0)
                return false;
        for (uint32_t e = 0; e < SHM_ENTRIES; e++) {
                uint64_t j = map.blocks[b].journal[e];
                ShmPhase phase = SHM_J_PHASE(j);

                if ((j & SHM_J_SLOT) == sh->slot && (phase == SHM_WX || phase == SHM_WS || phase == SHM_UP))
                        return true;
        }
        return false;
}

static void wait_for(const _Atomic int *flag) {
        while (!*flag)
                kit_sleep(20);
}

/* --- the roles -------------------------------------------------------------------------------------- */

static void role_h(void) {
        tooz_local_lock *lock = attach(H);
        uint64_t token;

        if (tooz_local_lock_acquire(lock, mode->h_mode, PATIENCE_USEC) != 0 ||
            tooz_local_lock_get_token(lock, &token) < 0)
                _exit(52);
        sh->h_token = token;
        if (mode->body != BREAK)
                enter(H, mode->h_mode);
        sh->ready[H] = 1;
        while (!sh->release && !(mode->fate != STAYS && is_waiting(V)))
                kit_sleep(20);
        kit_sleep(kit_below(200));
        if (mode->fate == DIES_WHEN_ASLEEP || mode->fate == IS_DEAD) {
                sh->in[H] = 0;
                raise(SIGKILL);
        }
        sh->in[H] = 0;
        sh->h_held = tooz_local_lock_is_held(lock);
        sh->h_result = tooz_local_lock_release(lock);
        _exit(0);
}

static void use(int role, tooz_local_lock *lock, tooz_lock_mode how, Use *u) {
        uint64_t token = 0;
        int r = tooz_local_lock_acquire(lock, how, PATIENCE_USEC);

        if (r >= 0) {
                enter(role, how);
                (void) tooz_local_lock_get_token(lock, &token);
                if (r == 1 && how == X)
                        (void) tooz_local_lock_mark_consistent(lock);
                sh->in[role] = 0;
                if (tooz_local_lock_release(lock) < 0)
                        r = -EBADE;
        }
        u->token = token;
        u->shared = how == S;
        u->r = r;
}

static void role_w(void) {
        tooz_local_lock *lock = attach(W);

        sh->ready[W] = 1;
        while (mode->w_start == BEHIND && !sh->w_go && !is_waiting(V))
                kit_sleep(20);
        use(W, lock, mode->w_mode, &sh->w);
        sh->w_usec = kit_now();
        sh->w_done = 1;
        _exit(0);
}

/* The last one leaves no block of a dead thread as it is. */
static void role_c(bool shared_first) {
        tooz_local_lock *lock = attach(C);

        sh->ready[C] = 1;
        wait_for(&sh->c_go);
        use(C, lock, shared_first ? S : X, &sh->c[0]);
        use(C, lock, shared_first ? X : S, &sh->c[1]);
        use(C, lock, X, &sh->c[2]);
        for (int i = 0; i < N_ROLES; i++) {
                ShmActor *actor;

                if (shm_actor_new(&actor, local_actor->arena) < 0)
                        _exit(53);
        }
        _exit(0);
}

/* --- the victim ------------------------------------------------------------------------------------- */

/* From here on it is stepped. */
static void stop(void) {
        raise(SIGSTOP);
}

static void v_hold(tooz_local_lock *lock, int r, tooz_lock_mode how) {
        uint64_t token;

        sh->v_result = r;
        if (r < 0)
                return;
        enter(V, how);
        sh->phase = HOLDS;
        if (tooz_local_lock_get_token(lock, &token) >= 0)
                sh->v_token = token;
        if (r == 1 && how == X) {
                (void) tooz_local_lock_mark_consistent(lock);
                sh->marked = 1;
        }
}

static void v_release(tooz_local_lock *lock) {
        int r;

        sh->in[V] = 0;
        sh->phase = GIVES;
        r = tooz_local_lock_release(lock);
        sh->phase = AFTER;
        if (r < 0)
                sh->v_result = -EBADE;
}

static void v_acquire(tooz_local_lock *lock) {
        int r;

        stop();
        r = tooz_local_lock_acquire(lock, mode->mode, mode->timeout);
        v_hold(lock, r, mode->mode);
        if (r >= 0)
                v_release(lock);
}

/* Somebody has read before, so that there are traces of it. */
static void v_warm(tooz_local_lock *lock) {
        if (tooz_local_lock_acquire(lock, S, 0) != 0 || tooz_local_lock_release(lock) < 0)
                _exit(54);
        v_acquire(lock);
}

static void v_release_only(tooz_local_lock *lock) {
        v_hold(lock, tooz_local_lock_acquire(lock, mode->mode, 0), mode->mode);
        stop();
        v_release(lock);
}

static void v_convert(tooz_local_lock *lock) {
        uint64_t token;
        int r;

        v_hold(lock, tooz_local_lock_acquire(lock, mode->mode, 0), mode->mode);
        stop();
        if (mode->mode == X)
                sh->in[V] = S + 1; /* from some moment on, so not before */
        r = tooz_local_lock_convert(lock, mode->mode == X ? S : X, mode->timeout);
        if (r >= 0 && mode->mode == S)
                v_hold(lock, r, X);
        else if (r >= 0 && tooz_local_lock_get_token(lock, &token) < 0)
                r = -EBADE;
        sh->v_result = r;
        v_release(lock);
}

static void v_break(tooz_local_lock *lock) {
        stop();
        sh->v_result = tooz_local_lock_break(lock, sh->h_token);
}

static void v_cancel(tooz_local_lock *lock) {
        int r;

        stop();
        r = tooz_local_lock_start(lock, mode->mode);
        if (r == -EINPROGRESS && mode->w_start == BEHIND)
                for (int i = 0; i < 300 && !is_waiting(W); i++)
                        kit_sleep(20);
        sh->v_result = r == -EINPROGRESS ? tooz_local_lock_cancel(lock) : -EBADE;
}

static void v_first_use(void) {
        tooz_local_lock *lock;
        int r;

        stop();
        if (tooz_local_arena_open(&arena, arena_path, 0600, TOOZ_LOCAL_ARENA_CREATE) < 0)
                _exit(55);
        lock = lock_open();
        r = tooz_local_lock_acquire(lock, mode->mode, mode->timeout);
        v_hold(lock, r, mode->mode);
        v_release(lock);
}

static void role_v(void) {
        tooz_local_lock *lock = NULL;

        if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
                _exit(56);
        if (mode->body != FIRST_USE)
                lock = attach(V);
        switch (mode->body) {
        case ACQUIRE: v_acquire(lock); break;
        case WARM: v_warm(lock); break;
        case RELEASE: v_release_only(lock); break;
        case CONVERT: v_convert(lock); break;
        case BREAK: v_break(lock); break;
        case CANCEL: v_cancel(lock); break;
        case FIRST_USE: v_first_use(); break;
        }
        sh->done = 1;
        for (;;)
                pause();
}

/* --- one point -------------------------------------------------------------------------------------- */

static pid_t pids[N_ROLES];

static bool await(const _Atomic int *flag, int role) {
        uint64_t until = kit_now() + 2 * PATIENCE_USEC;

        while (!*flag) {
                int status;

                if (waitpid(pids[role], &status, WNOHANG) == pids[role]) {
                        pids[role] = 0;
                        if (!*flag)
                                fail("a helper ended", 1000 * role + WEXITSTATUS(status));
                        return *flag;
                }
                if (kit_now() > until) {
                        fail("a helper hangs", role);
                        return false;
                }
                kit_sleep(20);
        }
        return true;
}

/* The victim and its tracer on one processor: a step is then a context switch, and no interrupt of another one. */
static void pin(void) {
        cpu_set_t set;
        int cpu = sched_getcpu();

        CPU_ZERO(&set);
        CPU_SET(cpu < 0 ? 0 : cpu, &set);
        (void) sched_setaffinity(0, sizeof(set), &set);
}

static cpu_set_t all_cpus;

static void start(int role, bool shared_first) {
        pids[role] = kit_fork();
        if (pids[role] == 0) {
                if (role != V)
                        (void) sched_setaffinity(0, sizeof(all_cpus), &all_cpus);
                switch (role) {
                case H: role_h(); break;
                case V: role_v(); break;
                case W: role_w(); break;
                default: role_c(shared_first);
                }
                _exit(57);
        }
}

static bool start_helpers(bool early_c, bool shared_first) {
        int status;

        if (mode->has_h) {
                start(H, false);
                if (!await(&sh->ready[H], H))
                        return false;
        }
        start(V, false);
        if (waitpid(pids[V], &status, 0) != pids[V] || !WIFSTOPPED(status)) {
                pids[V] = 0;
                fail("the victim did not start", status);
                return false;
        }
        ptrace(PTRACE_SETOPTIONS, pids[V], 0, PTRACE_O_EXITKILL);
        if (mode->fate == IS_DEAD && mode->has_h) {
                kit_kill(pids[H]);
                pids[H] = 0;
                sh->in[H] = 0;
        }
        if (mode->w_start != NEVER) {
                start(W, false);
                if (!await(&sh->ready[W], W))
                        return false;
                for (int i = 0; mode->w_start == AT_ONCE && !is_waiting(W) && i < 100000; i++)
                        kit_sleep(20);
                kit_sleep(100);
        }
        if (early_c)
                start(C, shared_first);
        return !early_c || await(&sh->ready[C], C);
}

#define LOOK_BLOCKS 6

typedef struct Look {
        char header[64];
        ShmSlot slot;
        ShmBlock blocks[LOOK_BLOCKS];
} Look;

static bool look_changed(Look *look) {
        bool changed = memcmp(look->header, map.base, sizeof(look->header)) != 0 ||
                       memcmp(&look->slot, &map.slots[sh->slot], sizeof(look->slot)) != 0 ||
                       memcmp(look->blocks, map.blocks, sizeof(look->blocks)) != 0;

        if (changed) {
                memcpy(look->header, map.base, sizeof(look->header));
                memcpy(&look->slot, &map.slots[sh->slot], sizeof(look->slot));
                memcpy(look->blocks, map.blocks, sizeof(look->blocks));
        }
        return changed;
}

static uint64_t n_changes; /* seen while the last one was stepped */

/* Until it is done, at most. *ret_steps: how many instructions. */
static void step(uint64_t n, bool by_change, uint64_t *ret_steps) {
        static Look look;
        int status;

        (void) look_changed(&look);
        n_changes = 0;
        for (*ret_steps = 0; (by_change ? n_changes : *ret_steps) < n; (*ret_steps)++) {
                if (sh->done)
                        break;
                alarm(2 * PATIENCE_SEC);
                if (ptrace(PTRACE_SINGLESTEP, pids[V], 0, 0) < 0 || waitpid(pids[V], &status, 0) != pids[V] ||
                    !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
                        fail("stepping: the victim hangs or ended", (long) *ret_steps);
                        break;
                }
                n_changes += look_changed(&look);
        }
        alarm(0);
}

/* --- what must be true then ------------------------------------------------------------------------- */

/* Does the shared memory say that the victim holds it? */
static bool v_stands(void) {
        uint32_t b = sh->blocks[V] - 1;
        uint64_t w = map.slots[sh->slot].word;

        if (sh->blocks[V] == 0)
                return true; /* not known */
        if ((w & SHM_W_OWNER) && ((uint32_t) (w & SHM_W_OWNER) - 1) / SHM_ENTRIES == b && !(w & SHM_W_DRAIN))
                return true;
        for (uint32_t e = 0; e < SHM_ENTRIES; e++) {
                uint64_t j = map.blocks[b].journal[e];

                if ((j & SHM_J_SLOT) == sh->slot && (SHM_J_PHASE(j) == SHM_SH || SHM_J_PHASE(j) == SHM_UP))
                        return true;
        }
        return false;
}

/* Is the next one to be told of a death? 1, 0, or -1: maybe */
static int expect_died(void) {
        bool h_died = mode->has_h && (mode->fate == IS_DEAD || mode->fate == DIES_WHEN_ASLEEP) && !sh->marked;

        if (sh->phase == HOLDS || (h_died && sh->phase == BEFORE))
                return 1;
        if (h_died) /* given back, but perhaps in shared mode, which can't mark it */
                return 1;
        return mode->body != BREAK && v_stands() ? -1 : 0;
}

static uint64_t token_any, token_exclusive;

static void judge(const char *who, const Use *u, int *pending) {
        char text[64];

        snprintf(text, sizeof(text), "%s %s: result", who, u->shared ? "shared" : "exclusive");
        if (u->r < 0)
                fail(text, u->r);
        else if (*pending == 0 && u->r != 0)
                fail("told of a death, but nobody died holding", u->r);
        else if (*pending == 1 && u->r != 1 && !u->shared)
                fail("not told of a death", u->r);
        if (u->token <= (u->shared ? token_exclusive : token_any))
                fail("token not greater", (long) u->token);
        token_any = MAX(token_any, u->token);
        if (!u->shared)
                token_exclusive = MAX(token_exclusive, u->token);
        if (!u->shared)
                *pending = 0;
        else if (u->r == 1)
                *pending = 1;
}

static void judge_end(void) {
        const char *left = kit_not_idle(&map, sh->slot);

        if (left)
                fail(left, 0);
        if (sh->violations)
                fail("two hold it", sh->violations);
}

static void finish_h(void) {
        sh->release = 1;
        if (pids[H] && kit_reap(pids[H], 2 * PATIENCE_SEC) < 0)
                fail("the former holder hangs", 0);
        pids[H] = 0;
        if (!mode->has_h || mode->fate == DIES_WHEN_ASLEEP || mode->fate == IS_DEAD)
                return;
        if ((sh->h_result != 0 || !sh->h_held) && mode->body != BREAK)
                fail("the former holder lost it", sh->h_result);
        if (mode->body == BREAK && sh->h_result != (sh->h_held ? 0 : -ENOLCK))
                fail("the broken holder was not told", sh->h_result);
}

static void finish(bool early_c, bool shared_first, int pending) {
        uint64_t killed_usec = kit_now();

        sh->w_go = 1;
        finish_h();
        if (pids[W]) {
                if (kit_reap(pids[W], 2 * PATIENCE_SEC) < 0)
                        fail("the waiter hangs", 0);
                pids[W] = 0;
                if (sh->w_usec > killed_usec)
                        worst_usec = MAX(worst_usec, sh->w_usec - killed_usec);
                judge("waiter", &sh->w, &pending);
        }
        if (!early_c)
                start(C, shared_first);
        sh->c_go = 1;
        if (kit_reap(pids[C], 5 * PATIENCE_SEC) != 0)
                fail("the checker hangs, or could not end well", 0);
        pids[C] = 0;
        worst_usec = MAX(worst_usec, kit_now() - killed_usec);
        was_late = kit_now() - killed_usec > LATE_USEC;
        for (int i = 0; i < 3; i++)
                judge("checker", &sh->c[i], &pending);
        judge_end();
}

static void renew_arena(unsigned n) {
        static char path[160];
        tooz_local_arena *a;

        if (path[0])
                (void) unlink(path);
        kit_unmap(&map);
        snprintf(path, sizeof(path), "%s", kit_path("arena"));
        snprintf(path + strlen(path), 16, "-%u", n);
        arena_path = path;
        /* Made by this process, which never locks in it: then it is unmapped again. */
        if (tooz_local_arena_open(&a, path, 0600, TOOZ_LOCAL_ARENA_CREATE) < 0 || !kit_map(&map, path))
                abort();
        tooz_local_arena_unref(a);
}

static void point(uint64_t n, bool by_change, uint64_t *ret_steps) {
        static unsigned serial;
        bool early_c = kit_random() >> 20 & 1, shared_first = kit_random() >> 20 & 1;
        int pending;

        problem[0] = 0;
        memset(sh, 0, sizeof(*sh));
        memset(pids, 0, sizeof(pids));
        snprintf(lock_name, sizeof(lock_name), "lock-%u", serial++);
        *ret_steps = 0;
        if (!start_helpers(early_c, shared_first)) {
                for (int i = 0; i < N_ROLES; i++)
                        kit_kill(pids[i]);
                return;
        }
        step(n, by_change, ret_steps);
        pending = expect_died();
        sh->killed = 1;
        kit_kill(pids[V]);
        pids[V] = 0;
        token_exclusive = mode->h_mode == X ? sh->h_token : 0;
        token_any = MAX(sh->h_token, sh->v_token);
        if (sh->v_token > 0 && !(sh->v_token & 1))
                token_exclusive = sh->v_token;
        if (sh->done && sh->v_result < 0 && mode->timeout > 5000)
                fail("the victim's own call", sh->v_result);
        if (sh->phase == HOLDS)
                sh->in[V] = 0;
        finish(early_c, shared_first, pending);
        if (problem[0] || was_late) {
                diag("%s %s: %s %" PRIu64 " (%" PRIu64 " steps), phase %d, %s checker, %s first, expected died %d",
                     problem[0] ? "FAILED" : "late", mode->name, by_change ? "change" : "instruction", n, *ret_steps,
                     sh->phase, early_c ? "early" : "late", shared_first ? "shared" : "exclusive", pending);
                diag("  %s; W r %d token %" PRIu64 "; C r %d %d %d; H r %d token %" PRIu64 "; V r %d token %" PRIu64,
                     problem, sh->w.r, sh->w.token, sh->c[0].r, sh->c[1].r, sh->c[2].r, sh->h_result, sh->h_token,
                     sh->v_result, sh->v_token);
                kit_dump(&map, sh->slot);
        }
}

/* --- all points ------------------------------------------------------------------------------------- */

static unsigned n_points, n_failed, n_arenas;

static void try_point(uint64_t n, bool by_change, uint64_t *ret_steps) {
        point(n, by_change, ret_steps);
        n_points++;
        if (problem[0]) {
                n_failed++;
                renew_arena(n_arenas++);
        }
}

/* Every `stride`-th point, from a random one on, until the victim is done before. */
static void run_points(bool by_change, uint64_t last, uint64_t stride) {
        uint64_t steps;

        for (uint64_t n = 1 + kit_below(stride); n_failed < 5 && n <= last; n += stride) {
                try_point(n, by_change, &steps);
                if (sh->done)
                        break;
        }
}

static void run_mode(unsigned number, bool longer, uint64_t budget) {
        uint64_t total, changes, stride, stride_changes = 1, from = kit_now();

        mode = &modes[number];
        n_points = n_failed = 0;
        worst_usec = 0;
        renew_arena(n_arenas++);
        try_point(UINT32_MAX, false, &total); /* to the end: it is not killed in any of this */
        changes = n_changes;
        stride = total * total / 2 / budget + 1;
        if (!longer)
                stride_changes = changes * total / 2 / CHANGE_STEPS_BUDGET + 1;
        run_points(true, UINT32_MAX, stride_changes);
        run_points(false, total + total / 16, stride);
        tap(n_failed == 0, "%s", mode->name);
        diag("%u: %" PRIu64 " instructions (each %" PRIu64 ".), %" PRIu64 " changes (each %" PRIu64 ".), %u points, "
             "worst %" PRIu64 " us, %" PRIu64 " ms", number, total, stride, changes, stride_changes, n_points,
             worst_usec, (kit_now() - from) / 1000);
}

static void on_alarm(int signum) {
        (void) signum;
}

int main(int argc, char **argv) {
        bool longer = kit_option(argc, argv, "--long", NULL);
        uint64_t only = UINT64_MAX, at = 0, steps, budget = longer ? LONG_STEPS_BUDGET : STEPS_BUDGET;
        unsigned total = 0;

        sigaction(SIGALRM, &(struct sigaction) { .sa_handler = on_alarm }, NULL);
        kit_seed_from(argc, argv);
        (void) sched_getaffinity(0, sizeof(all_cpus), &all_cpus);
        pin();
        (void) kit_option(argc, argv, "--mode", &only);
        (void) kit_option(argc, argv, "--steps", &budget);
        sh = kit_shared(sizeof(*sh));
        if (kit_option(argc, argv, "--point", &at)) {
                mode = &modes[only % ARRAY_SIZE(modes)];
                renew_arena(n_arenas++);
                for (int i = 0; i < 20 && n_failed == 0; i++)
                        try_point(at, kit_option(argc, argv, "--change", NULL), &steps);
                tap(n_failed == 0, "%s at %" PRIu64, mode->name, at);
                return tap_done();
        }
        for (unsigned i = 0; i < ARRAY_SIZE(modes); i++)
                if (only == UINT64_MAX || only == i) {
                        run_mode(i, longer, budget);
                        total += n_points;
                }
        diag("%u points", total);
        return tap_done();
}
