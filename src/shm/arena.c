/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
/* Opening, making and mapping an arena. See arena.h
 *
 *      (no file, or empty) --> MAKING --> READY          under the directory lock; `magic` is written last
 *
 * Who dies while MAKING leaves no magic, and the next one begins anew: nobody can have mapped it for use. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "shm/arena.h"
#include "shm/futex.h"

#define NAP_NSEC 2000000
#define CHECK_USEC UINT64_C(100000)

static pthread_mutex_t registry_mutex = PTHREAD_MUTEX_INITIALIZER;
static ShmArena *registry;

/* --- directory lock --------------------------------------------------------------------------------- */

static int byte_lock(int fd, short type) {
        struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = SHM_DIRECTORY_BYTE, .l_len = 1 };

        return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Rarely taken and shortly held: who finds it taken naps. */
static int byte_lock_wait(int fd, uint64_t until) {
        static const struct timespec nap = { .tv_nsec = NAP_NSEC };
        int r;

        for (;;) {
                r = byte_lock(fd, F_WRLCK);
                if (r != -EAGAIN && r != -EACCES && r != -EINTR)
                        return r;
                if (shm_now() >= until)
                        return -ETIMEDOUT;
                (void) nanosleep(&nap, NULL);
        }
}

int shm_directory_lock(ShmArena *arena, uint64_t patience_usec) {
        uint64_t until = usec_add(shm_now(), patience_usec);
        struct timespec ts = { .tv_sec = (time_t) (until / USEC_PER_SEC),
                               .tv_nsec = (long) (until % USEC_PER_SEC * NSEC_PER_USEC) };
        int r;

        if (arena->readonly)
                return -EROFS;
        r = -pthread_mutex_clocklock(&arena->directory, CLOCK_MONOTONIC, &ts);
        if (r < 0)
                return r;
        r = byte_lock_wait(arena->fd, until);
        if (r < 0)
                (void) pthread_mutex_unlock(&arena->directory);
        return r;
}

void shm_directory_unlock(ShmArena *arena) {
        (void) byte_lock(arena->fd, F_UNLCK);
        (void) pthread_mutex_unlock(&arena->directory);
}

int shm_arena_allocate(ShmArena *arena, size_t offset, size_t len) {
        for (;;) {
                if (fallocate(arena->fd, 0, (off_t) offset, (off_t) len) >= 0)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
}

/* --- making ----------------------------------------------------------------------------------------- */

static bool header_is_ours(const ShmHeader *h) {
        return h->version == SHM_VERSION && h->header_size == sizeof(ShmHeader) && h->signature == SHM_SIGNATURE;
}

static int arena_make(ShmArena *arena) {
        ShmHeader *h = arena->header;
        int r;

        r = shm_arena_allocate(arena, 0, SHM_BLOCKS_OFFSET);
        if (r < 0)
                return r;
        memset(h, 0, sizeof(*h));
        h->version = SHM_VERSION;
        h->header_size = sizeof(ShmHeader);
        h->signature = SHM_SIGNATURE;
        h->created_usec = time_now_realtime();
        atomic_store(&h->n_slots, 1); /* slot 0 is none */
        atomic_store(&h->sweep, 1);
        atomic_store(&h->magic, SHM_MAGIC);
        return 0;
}

/* Sets the size of a new file before it is mapped. */
static int file_size(int fd, bool create) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size == 0 && create && ftruncate(fd, (off_t) SHM_FILE_SIZE) < 0)
                return -errno;
        if (st.st_size != 0 && st.st_size != (off_t) SHM_FILE_SIZE)
                return -EPROTO;
        return 0;
}

static int arena_map(ShmArena *arena) {
        int protection = PROT_READ | (arena->readonly ? 0 : PROT_WRITE);
        char *base;

        base = mmap(NULL, SHM_FILE_SIZE, protection, MAP_SHARED, arena->fd, 0);
        if (base == MAP_FAILED)
                return -errno;
        (void) madvise(base, SHM_FILE_SIZE, MADV_DONTFORK);
        (void) madvise(base, SHM_FILE_SIZE, MADV_DONTDUMP);
        arena->header = (ShmHeader *) base;
        arena->buckets = (_Atomic uint32_t *) (void *) (base + SHM_BUCKETS_OFFSET);
        arena->blocks = (ShmBlock *) (void *) (base + SHM_BLOCKS_OFFSET);
        arena->slots = (ShmSlot *) (void *) (base + SHM_SLOTS_OFFSET);
        return 0;
}

static int arena_attach(ShmArena *arena) {
        struct stat st;

        if (fstat(arena->fd, &st) < 0)
                return -errno;
        if (st.st_size != (off_t) SHM_FILE_SIZE)
                return -EPROTO;
        return arena_map(arena);
}

/* Under the directory lock. */
static int arena_make_or_attach(ShmArena *arena) {
        uint64_t magic;
        int r;

        r = file_size(arena->fd, true);
        if (r < 0)
                return r;
        r = arena_attach(arena);
        if (r < 0)
                return r;
        magic = atomic_load(&arena->header->magic);
        if (magic == 0)
                return arena_make(arena);
        return magic == SHM_MAGIC ? 0 : -EPROTO;
}

static int arena_load(ShmArena *arena, bool create) {
        int r;

        if (!create) {
                r = arena_attach(arena);
                if (r < 0)
                        return r;
                if (atomic_load(&arena->header->magic) != SHM_MAGIC)
                        return -EPROTO;
        } else {
                r = byte_lock_wait(arena->fd, usec_add(shm_now(), SHM_DIRECTORY_PATIENCE_USEC));
                if (r < 0)
                        return r;
                r = arena_make_or_attach(arena);
                (void) byte_lock(arena->fd, F_UNLCK);
                if (r < 0)
                        return r;
        }
        return header_is_ours(arena->header) ? 0 : -EPROTO;
}

/* --- trust ------------------------------------------------------------------------------------------ */

/* What the world may write, anybody may have forged. */
static int file_trust(const struct stat *st) {
        if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
                return -EPERM;
        return st->st_mode & (S_IRWXO | S_ISUID | S_ISGID | S_IXUSR | S_IXGRP) ? -EPERM : 0;
}

/* Who may make files in the folder may put a forged arena there. 1: everybody may, as in /dev/shm, though not replace
 * those of others. */
static int folder_trust(const char *path) {
        _cleanup_free_ char *folder = NULL;
        const char *slash = strrchr(path, '/');
        struct stat st;

        if (strndup_to(&folder, path, slash == path ? 1 : (size_t) (slash - path)) < 0)
                return -ENOMEM;
        if (stat(folder, &st) < 0)
                return -errno;
        if (!(st.st_mode & S_IWOTH))
                return 0;
        return st.st_mode & S_ISVTX ? 1 : -EPERM;
}

static int open_errno(void) {
        switch (errno) {
        case ELOOP:
        case EISDIR:
        case ENXIO:
                return -EPERM; /* no regular file */
        case ENOTDIR:
                return -ENOENT;
        default:
                return -errno;
        }
}

/* The mode that was asked for, whatever the umask is. */
static int file_make(const char *path, mode_t mode, int how) {
        int fd, r;

        fd = open(path, how | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
                return open_errno();
        if (fchmod(fd, mode) < 0) {
                r = -errno;
                (void) unlink(path);
                (void) close(fd);
                return r;
        }
        return fd;
}

static int file_open(const char *path, mode_t mode, unsigned flags) {
        int how = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (flags & SHM_OPEN_READONLY ? O_RDONLY : O_RDWR);
        int fd;

        do {
                fd = open(path, how);
                if (fd >= 0)
                        return fd;
                if (errno != ENOENT || !(flags & SHM_OPEN_CREATE) || flags & SHM_OPEN_READONLY)
                        return open_errno();
                fd = file_make(path, mode, how);
        } while (fd == -EEXIST);
        return fd;
}

/* --- arenas of this process ------------------------------------------------------------------------- */

static ShmArena *registry_find(dev_t dev, ino_t ino, bool readonly) {
        ShmArena *a;

        for (a = registry; a; a = a->next)
                if (a->dev == dev && a->ino == ino && a->readonly == readonly && a->pid == getpid())
                        return a;
        return NULL;
}

static void registry_remove(ShmArena *arena) {
        for (ShmArena **a = &registry; *a; a = &(*a)->next)
                if (*a == arena) {
                        *a = arena->next;
                        return;
                }
}

static ShmArena *arena_free(ShmArena *arena) {
        if (!arena)
                return NULL;
        if (arena->header && arena->pid == getpid())
                (void) munmap(arena->header, SHM_FILE_SIZE);
        fd_close(arena->fd);
        free(arena->path);
        free(arena);
        return NULL;
}

DEFINE_CLEANUP(ShmArena, arena_free);

static int arena_new(ShmArena **ret, int fd, const char *path, const struct stat *st, unsigned flags) {
        _cleanup_(arena_freep) ShmArena *arena = NULL;
        int r;

        arena = calloc(1, sizeof(*arena));
        if (!arena) {
                (void) close(fd);
                return -ENOMEM;
        }
        arena->fd = fd;
        arena->dev = st->st_dev;
        arena->ino = st->st_ino;
        arena->pid = getpid();
        arena->n_refs = 1;
        arena->patience_usec = SHM_DIRECTORY_PATIENCE_USEC;
        arena->readonly = flags & SHM_OPEN_READONLY;
        (void) pthread_mutex_init(&arena->directory, NULL);
        r = strdup_to(&arena->path, path);
        if (r < 0)
                return r;
        r = arena_load(arena, flags & SHM_OPEN_CREATE && !arena->readonly);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(arena);
        return 0;
}

static int open_locked(ShmArena **ret, const char *path, mode_t mode, unsigned flags) {
        _cleanup_close_ int fd = -1;
        ShmArena *arena;
        struct stat st;
        int everybody, r;

        everybody = folder_trust(path);
        if (everybody < 0)
                return everybody;
        fd = file_open(path, mode, flags);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        r = file_trust(&st);
        if (r < 0)
                return r;
        if (everybody && st.st_uid != 0 && st.st_uid != geteuid())
                return -EPERM;
        arena = registry_find(st.st_dev, st.st_ino, flags & SHM_OPEN_READONLY);
        if (arena) {
                arena->n_refs++;
                *ret = arena;
                return 0;
        }
        r = arena_new(&arena, TAKE_FD(fd), path, &st, flags);
        if (r < 0)
                return r;
        arena->next = registry;
        registry = arena;
        *ret = arena;
        return 0;
}

int shm_arena_open(ShmArena **ret, const char *path, mode_t mode, unsigned flags) {
        int r;

        if (path[0] != '/' || mode & ~(mode_t) 0660)
                return -EINVAL;
        (void) pthread_mutex_lock(&registry_mutex);
        r = open_locked(ret, path, mode, flags);
        (void) pthread_mutex_unlock(&registry_mutex);
        return r;
}

ShmArena *shm_arena_ref(ShmArena *arena) {
        (void) pthread_mutex_lock(&registry_mutex);
        arena->n_refs++;
        (void) pthread_mutex_unlock(&registry_mutex);
        return arena;
}

ShmArena *shm_arena_unref(ShmArena *arena) {
        if (!arena)
                return NULL;
        (void) pthread_mutex_lock(&registry_mutex);
        tooz_assert(arena->n_refs > 0);
        /* A pinned one waits to be opened again. */
        if (--arena->n_refs == 0 && !arena->pinned) {
                registry_remove(arena);
                arena_free(arena);
        }
        (void) pthread_mutex_unlock(&registry_mutex);
        return NULL;
}

/* A path that leads nowhere, or elsewhere, is where others will lock from now on. */
static bool is_replaced(const ShmArena *arena) {
        struct stat st;

        if (stat(arena->path, &st) < 0)
                return errno == ENOENT || errno == ENOTDIR;
        return st.st_dev != arena->dev || st.st_ino != arena->ino;
}

int shm_arena_check_often(ShmArena *arena) {
        uint64_t now = shm_now();
        int r;

        if (now < atomic_load_explicit(&arena->checked_usec, memory_order_relaxed) + CHECK_USEC)
                return 0;
        r = shm_arena_check(arena);
        if (r >= 0)
                atomic_store_explicit(&arena->checked_usec, now, memory_order_relaxed);
        return r;
}

int shm_arena_check(const ShmArena *arena) {
        struct stat st;

        if (arena->pid != getpid())
                return -ECHILD;
        if (atomic_load_explicit(&arena->broken, memory_order_relaxed))
                return -EBADMSG;
        if (fstat(arena->fd, &st) < 0)
                return -errno;
        if (st.st_nlink == 0 || is_replaced(arena))
                return -ESTALE;
        if (st.st_size != (off_t) SHM_FILE_SIZE || atomic_load(&arena->header->magic) != SHM_MAGIC ||
            !header_is_ours(arena->header))
                return -EBADMSG;
        return 0;
}
