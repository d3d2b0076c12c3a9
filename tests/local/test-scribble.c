/* SPDX-License-Identifier: Apache-2.0 */
/* An arena into which somebody writes anything, at any time
 *
 * Its users may get errors, time-outs, or a lock that another one has too. They must not crash, nor wait for longer
 * than they asked for; and users of another arena must not notice.
 *
 * --seed N, --seconds N (all in all), --only N (one kind of scribbling), --keep (what hangs is kept for a debugger). */

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill-kit.h"
#include "local/local.h"

#define N_LOCKS KIT_LOCKS
#define N_USERS 3u
#define N_OTHERS 2u
#define HANG_USEC UINT64_C(12000000)
#define X TOOZ_LOCK_EXCLUSIVE
#define S TOOZ_LOCK_SHARED

typedef enum Scribble { ANYWHERE, SLOTS, JOURNALS, QUEUES, HEADER, COUNTS, NAMES, LIVES, N_SCRIBBLES } Scribble;

static const char *const scribbles[] = {
        "all over", "words and guards", "journals", "queues", "header, buckets and names",
        "counts for a moment", "chains for a moment", "robust mutexes",
};

typedef struct Witness {
        _Atomic uint64_t since[N_USERS]; /* in a call since; 0: in none */
        _Atomic int doing[N_USERS];
        _Atomic uint64_t n_calls, n_good, n_writes, n_other, n_spoilt, n_shown;
        _Atomic uint64_t inside, a, b;
        _Atomic int stop;
} Witness;

static Witness *witness;
static bool keep; /* a user that hangs, for a debugger */
static char path[160], other_path[160];

/* --- the scribbler ---------------------------------------------------------------------------------- */

static char *map_writable(size_t size) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        char *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (fd < 0 || base == MAP_FAILED)
                _exit(80);
        return base;
}

/* What a checker of numbers may believe: small ones, those in use, and the ends of ranges. */
static uint32_t some_ref(void) {
        switch (kit_below(8)) {
        case 0:
                return (uint32_t) kit_random();
        case 1:
                return (uint32_t) (SHM_BLOCKS_MAX * SHM_ENTRIES + kit_below(3));
        default:
                return (uint32_t) kit_below(5 * SHM_ENTRIES);
        }
}

static uint64_t some_word(uint64_t old) {
        uint64_t flags = kit_random() & UINT64_C(0xff000000);

        return kit_below(8) ? (old & SHM_W_GENERATION) | flags | some_ref() : kit_random();
}

static uint64_t some_journal(void) {
        uint64_t generation = kit_below(4) ? 1 : kit_below(3);

        if (kit_below(16) == 0)
                return kit_random();
        return generation << 32 | SHM_J(kit_below(12)) |
               (kit_below(8) ? 1 + kit_below(N_LOCKS) : kit_random() & SHM_J_SLOT);
}

/* Half of what is written is put back at once: so things go on, and values change between two looks at them. */
static void put64(_Atomic uint64_t *where, uint64_t value) {
        uint64_t old = *where;

        *where = value;
        if (kit_below(2))
                return;
        for (uint64_t n = kit_below(200); n > 0; n--)
                __asm__ volatile("");
        *where = old;
}

static bool put_back; /* all of it */

static void put32(_Atomic uint32_t *where, uint32_t value) {
        uint32_t old = *where;

        *where = value;
        if (!put_back && kit_below(2))
                return;
        for (uint64_t n = kit_below(200); n > 0; n--)
                __asm__ volatile("");
        *where = old;
}

static void scribble_slot(ShmSlot *s, bool queue) {
        _Atomic uint32_t *numbers[] = { &s->guard, &s->head, &s->tail, &s->n_waiting };

        if (!queue && kit_below(2))
                put64(&s->word, some_word(s->word));
        else if (!queue && kit_below(2))
                put64((_Atomic uint64_t *) s + 1 + kit_below(7), kit_random());
        else
                put32(numbers[kit_below(4)], some_ref() | (kit_below(4) ? 0 : SHM_GUARD_WAIT));
        if (queue && kit_below(4) == 0)
                put64(&s->hand_usec, kit_below(2) ? kit_random() : 0);
}

static void scribble_entry(ShmBlock *b) {
        ShmEntry *e = &b->entries[kit_below(4)];

        switch (kit_below(4)) {
        case 0:
                put64(&e->ticket, kit_below(2) ? kit_below(16) : kit_random());
                break;
        case 1:
                put32(&e->next, some_ref());
                break;
        case 2:
                put32(&e->prev, some_ref());
                break;
        default:
                put32((_Atomic uint32_t *) b + kit_below(5), (uint32_t) (kit_below(2) ? kit_below(5) : kit_random()));
        }
}

static void scribble_header(char *base) {
        ShmHeader *h = (ShmHeader *) (void *) base;
        ShmSlot *slots = (ShmSlot *) (void *) (base + SHM_SLOTS_OFFSET);
        _Atomic uint32_t *buckets = (_Atomic uint32_t *) (void *) (base + SHM_BUCKETS_OFFSET);

        switch (kit_below(5)) {
        case 0:
                put32(&h->n_blocks + kit_below(6), (uint32_t) (kit_below(2) ? kit_below(300) : kit_random()));
                break;
        case 1:
                put32(&h->n_blocks, (uint32_t) kit_below(3));
                break;
        case 2:
                put32(buckets + kit_below(SHM_BUCKETS), (uint32_t) kit_below(300));
                break;
        case 3: /* its hash, next, partner, and name */
                put32(&slots[kit_below(260)].hash + kit_below(kit_below(2) ? 4 : 32), (uint32_t) kit_below(2 * 300));
                break;
        default:
                put32((_Atomic uint32_t *) h + kit_below(16), (uint32_t) kit_random());
        }
}

static void scribble_names(char *base) {
        ShmSlot *slots = (ShmSlot *) (void *) (base + SHM_SLOTS_OFFSET);
        _Atomic uint32_t *buckets = (_Atomic uint32_t *) (void *) (base + SHM_BUCKETS_OFFSET);
        uint32_t value = (uint32_t) (kit_below(4) ? kit_random() : kit_below(300));

        switch (kit_below(3)) {
        case 0:
                put32(buckets + kit_below(SHM_BUCKETS), value);
                break;
        case 1:
                put32(&slots[kit_below(64)].next, value);
                break;
        default:
                put32(&slots[kit_below(64)].partner, value);
        }
}

/* Mostly the words that the kernel and others look at: as if somebody who lives had them. */
static void scribble_live(ShmBlock *b) {
        _Atomic uint32_t *words = (_Atomic uint32_t *) (void *) b->live;
        uint32_t me = (uint32_t) getpid() | (kit_below(2) ? FUTEX_WAITERS : 0);

        if (kit_below(4))
                put32(&b->live[kit_below(SHM_ENTRIES)].word, kit_below(4) ? me : kit_below(2) ? 0 : FUTEX_OWNER_DIED);
        else
                put32(words + kit_below(sizeof(b->live) / 4), (uint32_t) kit_random());
}

static void scribble_once(char *base, Scribble how) {
        ShmBlock *block = (ShmBlock *) (void *) (base + SHM_BLOCKS_OFFSET) + kit_below(6);
        ShmSlot *slot = (ShmSlot *) (void *) (base + SHM_SLOTS_OFFSET) + 1 + kit_below(N_LOCKS);
        size_t used[] = { SHM_BLOCKS_OFFSET, 16 * sizeof(ShmBlock), 256 * sizeof(ShmSlot) };
        size_t begin[] = { 0, SHM_BLOCKS_OFFSET, SHM_SLOTS_OFFSET }, which = kit_below(3);

        switch (how) {
        case ANYWHERE:
                put32((_Atomic uint32_t *) (void *) (base + begin[which]) + kit_below(used[which] / 4),
                      (uint32_t) kit_random());
                break;
        case SLOTS:
                scribble_slot(slot, false);
                break;
        case JOURNALS:
                put64(&block->journal[kit_below(3)], some_journal());
                break;
        case QUEUES:
                if (kit_below(2))
                        scribble_slot(slot, true);
                else
                        scribble_entry(block);
                break;
        case HEADER:
                scribble_header(base);
                break;
        case COUNTS:
                put32(&((ShmHeader *) (void *) base)->n_blocks + kit_below(2),
                      (uint32_t) (kit_below(4) ? kit_below(3) : kit_random()));
                break;
        case NAMES:
                scribble_names(base);
                break;
        case LIVES:
                scribble_live(block);
                break;
        case N_SCRIBBLES:
                break;
        }
}

static _Noreturn void scribbler(Scribble how) {
        char *base = map_writable(SHM_FILE_SIZE);

        put_back = how == COUNTS || how == NAMES;
        for (uint64_t n = 0;; n++) {
                scribble_once(base, how);
                witness->n_writes++;
                /* At full speed nobody ever gets far; so there are pauses too. */
                if (!put_back && how != LIVES && kit_below(64) == 0)
                        kit_sleep(kit_below(300));
        }
}

/* --- users of the scribbled arena ------------------------------------------------------------------- */

static unsigned user;

static void enter(int what) {
        witness->doing[user] = what;
        witness->since[user] = kit_now();
        witness->n_calls++;
}

static int leave(int r) {
        witness->since[user] = 0;
        witness->n_good += r >= 0;
        return r;
}

#define CALL(what, call) (enter(what), leave(call))

static void look(tooz_local_arena *arena, tooz_local_lock *lock) {
        tooz_local_owner owner = { .size = sizeof(owner) };
        tooz_local_stat stat = { .size = sizeof(stat) };
        uint64_t cookie = 0, token;
        char name[256];

        CALL(1, tooz_local_lock_get_owner(lock, &owner));
        CALL(2, tooz_local_lock_get_stat(lock, &stat));
        CALL(3, tooz_local_lock_get_token(lock, &token));
        for (int i = 0; i < 8; i++)
                if (CALL(4, tooz_local_arena_next(arena, &cookie, name, sizeof(name), &owner)) <= 0)
                        break;
}

static void use_events(tooz_local_lock *lock, tooz_lock_mode mode) {
        tooz_local_wait wait = { .size = sizeof(wait) };
        int r = CALL(5, tooz_local_lock_start(lock, mode));

        for (int i = 0; i < 4 && r == -EINPROGRESS; i++) {
                CALL(6, tooz_local_lock_get_wait(lock, &wait));
                kit_sleep(100);
                r = CALL(7, tooz_local_lock_resume(lock));
        }
        if (r == -EINPROGRESS)
                CALL(8, tooz_local_lock_cancel(lock));
        else if (r >= 0)
                CALL(9, tooz_local_lock_release(lock));
}

static void use_once(tooz_local_lock *lock, tooz_lock_mode mode) {
        uint64_t token = 0;
        int r;

        if (kit_below(4) == 0) {
                use_events(lock, mode);
                return;
        }
        r = CALL(10, tooz_local_lock_acquire(lock, mode, kit_below(3) ? kit_below(5000) : kit_below(200000)));
        if (r < 0)
                return;
        CALL(11, tooz_local_lock_get_token(lock, &token));
        if (kit_below(3) == 0)
                CALL(12, tooz_local_lock_convert(lock, mode == X ? S : X, kit_below(2) * kit_below(3000)));
        if (kit_below(8) == 0)
                CALL(13, tooz_local_lock_break(lock, token));
        if (r == 1)
                CALL(14, tooz_local_lock_mark_consistent(lock));
        CALL(15, tooz_local_lock_release(lock));
}

/* Where: addresses in the program, for addr2line. */
static void on_crash(int signum) {
        void *frames[24];

        if (witness->n_shown++ < 2)
                backtrace_symbols_fd(frames, backtrace(frames, (int) ARRAY_SIZE(frames)), STDERR_FILENO);
        (void) signal(signum, SIG_DFL);
        (void) raise(signum);
}

static _Noreturn void user_process(void) {
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        char name[160];
        int r;

        (void) signal(SIGSEGV, on_crash);
        (void) signal(SIGABRT, on_crash);
        r = CALL(20, tooz_local_arena_open(&arena, path, 0600, kit_below(2) ? TOOZ_LOCAL_ARENA_CREATE : 0));
        for (int n = 0; r >= 0 && n < 20; n++) {
                memset(name, 'n', sizeof(name));
                snprintf(name, sizeof(name), "lock%u", (unsigned) kit_below(N_LOCKS));
                if (kit_below(6) == 0)
                        snprintf(name, sizeof(name), "%0*u", 1 + (int) kit_below(150), (unsigned) kit_below(1000));
                if (CALL(21, tooz_local_lock_open(&lock, arena, name, kit_below(4) ? 0 : TOOZ_LOCAL_STAMP)) < 0)
                        continue;
                for (int i = 0; i < 20; i++)
                        use_once(lock, kit_below(2) ? X : S);
                look(arena, lock);
                enter(22);
                tooz_local_lock_unref(lock);
                leave(0);
        }
        _exit(0);
}

/* --- users of another arena ------------------------------------------------------------------------- */

static _Noreturn void other_process(void) {
        tooz_local_arena *arena;
        tooz_local_lock *lock;

        if (tooz_local_arena_open(&arena, other_path, 0600, TOOZ_LOCAL_ARENA_CREATE) < 0 ||
            tooz_local_lock_open(&lock, arena, "other", 0) < 0)
                _exit(81);
        while (!witness->stop) {
                if (tooz_local_lock_acquire(lock, X, 10000000) != 0)
                        _exit(82);
                witness->n_spoilt += witness->inside++ != 0 || witness->a != witness->b;
                witness->a++;
                if (kit_below(20) == 0)
                        kit_sleep(200);
                witness->b++;
                witness->inside--;
                if (tooz_local_lock_release(lock) != 0)
                        _exit(83);
                witness->n_other++;
        }
        _exit(0);
}

/* --- scribbling ------------------------------------------------------------------------------------- */

static pid_t start_user(unsigned which) {
        uint64_t seed = kit_random();
        pid_t pid = kit_fork();

        if (pid == 0) {
                kit_seed(seed);
                user = which;
                user_process();
        }
        return pid;
}

typedef struct Count {
        unsigned ended, crashed, hung;
} Count;

static void look_after(pid_t *pid, unsigned which, Count *count, const char *what) {
        uint64_t since = witness->since[which];
        int status = 0;

        if (waitpid(*pid, &status, WNOHANG) == *pid) {
                count->ended++;
                if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0) {
                        if (count->crashed++ < 3)
                                diag("%s: a user crashed: status %x, in call %d", what, status, witness->doing[which]);
                }
        } else if (since > 0 && kit_now() > since + HANG_USEC) {
                if (count->hung++ < 3) {
                        diag("%s: a user hangs in call %d (pid %d)", what, witness->doing[which], *pid);
                        if (keep)
                                pause();
                }
                kit_kill(*pid);
        } else
                return;
        witness->since[which] = 0;
        *pid = start_user(which);
}

static void run_scribble(Scribble how, uint64_t usec) {
        uint64_t until = kit_now() + usec, renew = kit_now(), seed = kit_random();
        pid_t scribbling = 0, users[N_USERS], others[N_OTHERS];
        Count count = {};
        bool good = true;

        memset(witness, 0, sizeof(*witness));
        kit_make_arena(path);
        kit_make_arena(other_path);
        for (unsigned i = 0; i < N_OTHERS; i++)
                if ((others[i] = kit_fork()) == 0)
                        other_process();
        for (unsigned i = 0; i < N_USERS; i++)
                users[i] = start_user(i);
        while (kit_now() < until) {
                /* A new arena now and then: of the old one nothing is left that could be spoilt. */
                if (kit_now() >= renew) {
                        kit_kill(scribbling);
                        kit_make_arena(path);
                        scribbling = kit_fork();
                        if (scribbling == 0) {
                                kit_seed(seed ^ renew);
                                scribbler(how);
                        }
                        renew = kit_now() + 250000;
                }
                for (unsigned i = 0; i < N_USERS; i++)
                        look_after(&users[i], i, &count, scribbles[how]);
                kit_sleep(1000);
        }
        /* Who has been in a call for some time is given as much as others before it is said to hang. */
        for (uint64_t end = kit_now() + HANG_USEC + 1000000; kit_now() < end; kit_sleep(10000)) {
                bool late = false;

                for (unsigned i = 0; i < N_USERS; i++) {
                        look_after(&users[i], i, &count, scribbles[how]);
                        late = late || (witness->since[i] > 0 && witness->since[i] < until);
                }
                if (!late)
                        break;
        }
        kit_kill(scribbling);
        for (unsigned i = 0; i < N_USERS; i++)
                kit_kill(users[i]);
        witness->stop = 1;
        for (unsigned i = 0; i < N_OTHERS; i++)
                good = kit_reap(others[i], 20) == 0 && good;
        tap(count.crashed == 0, "%s: no user crashes", scribbles[how]);
        tap(count.hung == 0, "%s: no user hangs", scribbles[how]);
        tap(good && witness->n_spoilt == 0 && witness->n_other > 0, "%s: another arena is not disturbed",
            scribbles[how]);
        diag("%" PRIu64 " writes, %" PRIu64 " calls, %" PRIu64 " without an error, %u processes, %" PRIu64
             " uses of the other", witness->n_writes, witness->n_calls, witness->n_good, count.ended, witness->n_other);
}

int main(int argc, char **argv) {
        uint64_t seconds = 32, only = UINT64_MAX;

        kit_seed_from(argc, argv);
        (void) kit_option(argc, argv, "--seconds", &seconds);
        (void) kit_option(argc, argv, "--only", &only);
        keep = kit_option(argc, argv, "--keep", NULL);
        witness = kit_shared(sizeof(*witness));
        snprintf(path, sizeof(path), "%s", kit_path("arena"));
        snprintf(other_path, sizeof(other_path), "%s", kit_path("other"));
        for (uint64_t how = 0; how < N_SCRIBBLES; how++)
                if (only == UINT64_MAX || only == how)
                        run_scribble((Scribble) how, seconds * 1000000 / N_SCRIBBLES);
        return tap_done();
}
