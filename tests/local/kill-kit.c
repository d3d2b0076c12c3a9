/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kill-kit.h"
#include "local/local.h"

/* --- TAP -------------------------------------------------------------------------------------------- */

static unsigned n_tests, n_bad;

void tap(bool good, const char *format, ...) {
        va_list args;

        n_bad += !good;
        printf("%sok %u - ", good ? "" : "not ", ++n_tests);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        printf("\n");
        fflush(stdout);
}

void tap_skip(const char *name, const char *reason) {
        printf("ok %u - %s # SKIP %s\n", ++n_tests, name, reason);
        fflush(stdout);
}

/* One write, since several processes may speak at once. */
void diag(const char *format, ...) {
        char line[1024] = "# ";
        va_list args;
        int len;

        va_start(args, format);
        len = vsnprintf(line + 2, sizeof(line) - 4, format, args);
        va_end(args);
        len = len < 0 ? 2 : len + 2 > (int) sizeof(line) - 2 ? (int) sizeof(line) - 2 : len + 2;
        line[len++] = '\n';
        if (write(STDOUT_FILENO, line, (size_t) len) < 0)
                _exit(99);
}

int tap_done(void) {
        printf("1..%u\n", n_tests);
        return n_bad > 0;
}

/* --- numbers ---------------------------------------------------------------------------------------- */

static uint64_t random_state = 1;

uint64_t kit_now(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000u + (uint64_t) ts.tv_nsec / 1000u;
}

void kit_seed(uint64_t seed) {
        random_state = seed * 2862933555777941757u + 3037000493u;
        random_state = random_state ?: 1;
}

uint64_t kit_random(void) {
        random_state ^= random_state << 13;
        random_state ^= random_state >> 7;
        random_state ^= random_state << 17;
        return random_state;
}

uint64_t kit_below(uint64_t n) {
        return n > 0 ? (kit_random() >> 11) % n : 0;
}

bool kit_option(int argc, char **argv, const char *name, uint64_t *ret) {
        for (int i = 1; i < argc; i++) {
                if (strcmp(argv[i], name) != 0)
                        continue;
                if (ret && i + 1 < argc)
                        *ret = strtoull(argv[i + 1], NULL, 0);
                return true;
        }
        return false;
}

void kit_seed_from(int argc, char **argv) {
        uint64_t seed = (kit_now() ^ (uint64_t) getpid() << 20) % 1000000;

        (void) kit_option(argc, argv, "--seed", &seed);
        diag("--seed %" PRIu64, seed);
        kit_seed(seed);
}

/* --- places ----------------------------------------------------------------------------------------- */

static char folder[64];
static pid_t folder_pid;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
        (void) st, (void) type, (void) where;
        return remove(path);
}

static void folder_remove(void) {
        if (folder_pid == getpid())
                (void) nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Only the files matter then; a test that is cut short has no more to say. */
static void on_end(int signum) {
        folder_remove();
        _exit(128 + signum);
}

const char *kit_folder(void) {
        if (folder[0])
                return folder;
        snprintf(folder, sizeof(folder), "/dev/shm/tooz-kill.XXXXXX");
        if (!mkdtemp(folder)) {
                snprintf(folder, sizeof(folder), "/tmp/tooz-kill.XXXXXX");
                if (!mkdtemp(folder))
                        abort();
        }
        folder_pid = getpid();
        atexit(folder_remove);
        (void) signal(SIGTERM, on_end);
        (void) signal(SIGINT, on_end);
        return folder;
}

const char *kit_path(const char *name) {
        static char paths[16][160];
        static unsigned next;
        char *path = paths[next++ % 16];

        snprintf(path, sizeof(paths[0]), "%s/%s", kit_folder(), name);
        return path;
}

void *kit_shared(size_t size) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                abort();
        return p;
}

void *kit_shared_fd(size_t size, int *ret_fd) {
        int fd = memfd_create("tooz-kill", 0);
        void *p;

        if (fd < 0 || ftruncate(fd, (off_t) size) < 0)
                abort();
        p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                abort();
        *ret_fd = fd;
        return p;
}

/* --- processes -------------------------------------------------------------------------------------- */

pid_t kit_fork(void) {
        pid_t parent = getpid(), pid;

        fflush(stdout);
        pid = fork();
        if (pid < 0)
                abort();
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                /* 0: in another PID namespace. */
                if (getppid() != parent && getppid() != 0)
                        _exit(98);
        }
        return pid;
}

void kit_sleep(uint64_t usec) {
        struct timespec ts = { .tv_sec = (time_t) (usec / 1000000u), .tv_nsec = (long) (usec % 1000000u * 1000u) };

        (void) nanosleep(&ts, NULL);
}

int kit_reap(pid_t pid, unsigned seconds) {
        uint64_t until = kit_now() + seconds * UINT64_C(1000000);
        uint64_t nap = 20;
        int status;

        while (waitpid(pid, &status, WNOHANG) == 0) {
                if (kit_now() > until) {
                        kit_kill(pid);
                        return -1;
                }
                kit_sleep(nap);
                nap = MIN(nap * 2, UINT64_C(1000));
        }
        return status;
}

void kit_kill(pid_t pid) {
        int status;

        if (pid <= 0)
                return;
        (void) kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status))
                continue;
}

/* --- the arena from outside ------------------------------------------------------------------------- */

static _Noreturn void make_arena(const char *path) {
        tooz_local_arena *arena;
        tooz_local_lock *lock;
        char name[16];

        if (tooz_local_arena_open(&arena, path, 0600, TOOZ_LOCAL_ARENA_CREATE) < 0)
                _exit(1);
        for (unsigned i = 0; i < KIT_LOCKS; i++) {
                snprintf(name, sizeof(name), "lock%u", i);
                if (tooz_local_lock_open(&lock, arena, name, 0) < 0 || tooz_local_lock_try(lock, TOOZ_LOCK_SHARED) != 0)
                        _exit(2);
        }
        _exit(0);
}

/* Under another name first: others may make it too, if they find none. */
void kit_make_arena(const char *path) {
        const char *fresh = kit_path("fresh");
        pid_t pid = kit_fork();

        if (pid == 0)
                make_arena(fresh);
        if (kit_reap(pid, 30) != 0 || rename(fresh, path) < 0)
                abort();
}

bool kit_map(KitMap *ret, const char *path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        void *base;

        if (fd < 0)
                return false;
        base = mmap(NULL, SHM_FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
        if (base == MAP_FAILED)
                return false;
        *ret = (KitMap) {
                .base = base,
                .header = base,
                .blocks = (const ShmBlock *) ((const char *) base + SHM_BLOCKS_OFFSET),
                .slots = (const ShmSlot *) ((const char *) base + SHM_SLOTS_OFFSET),
        };
        return true;
}

void kit_unmap(KitMap *map) {
        if (map->base)
                (void) munmap((void *) (uintptr_t) map->base, SHM_FILE_SIZE);
        *map = (KitMap) {};
}

static const char *phase_name(ShmPhase phase) {
        static const char *const names[] = { "-", "X", "SA", "SH", "UP", "WX", "WS", "GUARD", "BROKEN_X", "BROKEN_S" };

        return phase < ARRAY_SIZE(names) ? names[phase] : "?";
}

static void dump_entry(const ShmBlock *b, uint32_t index, uint32_t e) {
        uint64_t j = b->journal[e];

        diag("  entry %u (block %u.%u pid %u): %s gen %u ticket %" PRIu64 " prev %u next %u live %08x bell %u "
             "sleepers %u", index * SHM_ENTRIES + e + 1, index, e, b->pid, phase_name(SHM_J_PHASE(j)),
             (uint32_t) (j >> 32), b->entries[e].ticket, b->entries[e].prev, b->entries[e].next,
             b->live[e].word, b->bell, b->sleepers);
}

void kit_dump(const KitMap *map, uint32_t slot) {
        const ShmSlot *s = &map->slots[slot % SHM_SLOTS_MAX];
        uint64_t w = s->word;

        diag("slot %u word %016" PRIx64 " gen %u owner %u%s%s%s%s%s%s%s readers %016" PRIx64 " token %" PRIu64, slot, w,
             (uint32_t) (w >> 32), (uint32_t) (w & SHM_W_OWNER), w & SHM_W_WAIT ? " WAIT" : "",
             w & SHM_W_WOKEN ? " WOKEN" : "", w & SHM_W_HAND ? " HAND" : "", w & SHM_W_DIED ? " DIED" : "",
             w & SHM_W_READ ? " READ" : "", w & SHM_W_DRAIN ? " DRAIN" : "", w & SHM_W_RETIRED ? " RETIRED" : "",
             s->readers, s->token);
        diag("  guard %08x head %u tail %u n_waiting %u n_died %u next_ticket %" PRIu64 " hand in %" PRId64 " us",
             s->guard, s->head, s->tail, s->n_waiting, s->n_died, s->next_ticket, (int64_t) (s->hand_usec - kit_now()));
        for (uint32_t b = 0; b < MIN(map->header->n_blocks, SHM_BLOCKS_MAX); b++)
                for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                        if (map->blocks[b].journal[e] && (map->blocks[b].journal[e] & SHM_J_SLOT) == slot)
                                dump_entry(&map->blocks[b], b, e);
}

const char *kit_not_idle(const KitMap *map, uint32_t slot) {
        const ShmSlot *s = &map->slots[slot % SHM_SLOTS_MAX];

        if (s->word & (SHM_W_OWNER | SHM_W_WAIT | SHM_W_WOKEN | SHM_W_HAND | SHM_W_DIED | SHM_W_DRAIN | SHM_W_RETIRED))
                return "the word is not idle";
        if (s->head || s->tail || s->n_waiting)
                return "the queue is not empty";
        if (s->guard)
                return "the guard is taken";
        for (uint32_t b = 0; b < MIN(map->header->n_blocks, SHM_BLOCKS_MAX); b++)
                for (uint32_t e = 0; e < SHM_ENTRIES; e++)
                        if ((map->blocks[b].journal[e] & SHM_J_SLOT) == slot)
                                return "a journal names it";
        return NULL;
}

uint32_t kit_slot(const tooz_local_lock *lock) {
        return (uint32_t) (lock->hold.place & SHM_J_SLOT);
}
