/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#ifndef TOOZ_LOCAL_H
#define TOOZ_LOCAL_H

/* libtoozlocal: locks between the processes of one host, in shared memory. Needs libc alone, and no agent; a running
 * tooz-agent is one more user of the same locks.
 *
 * Results.  Functions return >= 0, or a negative errno. Results go to the pointer given for them, on success only.
 *
 * Time.  Microseconds. Time-outs are relative: 0 does not wait, TOOZ_USEC_INFINITY waits for ever. They become one
 * moment of CLOCK_MONOTONIC when the function is entered.
 *
 * Death.  A lock belongs to the thread that acquired it. When that thread ends, is killed, or its process calls
 * exec(), the kernel says so and the next in the queue has the lock at once, told so by a return value of 1.
 *
 * Threads.  An arena may be used by all threads at once. A lock object may be used by any thread, one at a time; what
 * was acquired must be released or converted by the same thread (-EPERM). Different objects are independent, also
 * when they name the same lock. A thread holds or waits for at most 1,024 locks at a time (-EMFILE).
 *
 * Fork.  In a forked child every function of an object of the parent returns -ECHILD; unref frees its memory there
 * and releases nothing. Open new ones. What the parent holds stays the parent's.
 *
 * Signals and cancellation.  No handler is installed, no mask changed, no thread started. A signal handler that runs
 * during a wait does not end it, unless the lock was opened with TOOZ_LOCAL_INTERRUPTIBLE and the handler was installed
 * without SA_RESTART. Functions marked AS-safe may be called in a signal handler. Waiting is no cancellation point, and
 * asynchronous cancellation is undefined; opening is one, as open(2) is.
 *
 * Trust.  Who can write to an arena can disturb everybody in it: it is shared with one group (the system's arena:
 * `tooz`), or with nobody but oneself. Everything read from it is checked. What is broken gives -EBADMSG or -ESTALE. */

#include <tooz/tooz-common.h>

TOOZ_BEGIN_DECLS

typedef struct tooz_local_arena tooz_local_arena; /* the locks of one trust group */
typedef struct tooz_local_lock tooz_local_lock;   /* one use of one lock */

/* --- arena ----------------------------------------------------------------------------------------------------- */

/* Flags of tooz_local_arena_open() */
#define TOOZ_LOCAL_ARENA_CREATE UINT64_C(1)   /* make it when it does not exist */
#define TOOZ_LOCAL_ARENA_READONLY UINT64_C(2) /* to look only: what would acquire or break returns -EROFS */
#define TOOZ_LOCAL_ARENA_USER UINT64_C(4)     /* $XDG_RUNTIME_DIR/tooz instead of /dev/shm/tooz */

/* Opens an arena, in a folder that exists. `name`: NULL for the default one ("node", which is the domain `node` of
 * the agent), another name of at most 64 bytes of [A-Za-z0-9._-] that does not begin with a dot, or an absolute
 * path. `mode`: permissions when it is made, such as 0600 or 0660; never for others (-EINVAL). Opening the same
 * arena again in one process gives the same mapping. It stays mapped until the process ends once a thread has locked
 * in it: the kernel needs it there.
 *      -EINVAL      a bad name, mode or flags
 *      -ENOENT      it, or its folder, does not exist, or $XDG_RUNTIME_DIR is not set
 *      -EACCES      not a member of its group
 *      -EPROTO      not an arena, or one of another version: the file is left alone
 *      -EBADMSG     its content is damaged
 *      -EPERM       the file, or its folder, may be written by everybody, or a stranger made it where everybody may
 *      -ENOSPC      no room in the file system
 *      -ETIMEDOUT   somebody has held its directory lock for 5 s */
int tooz_local_arena_open(tooz_local_arena **ret, const char *name, mode_t mode, uint64_t flags);
tooz_local_arena *tooz_local_arena_ref(tooz_local_arena *arena);
/* Returns NULL. Locks that are open keep the arena. */
tooz_local_arena *tooz_local_arena_unref(tooz_local_arena *arena);
TOOZ_DEFINE_CLEANUP(tooz_local_arena, tooz_local_arena_unref);

int tooz_local_arena_get_path(tooz_local_arena *arena, const char **ret);

/* --- lock ------------------------------------------------------------------------------------------------------ */

/* Flags of tooz_local_lock_open() and tooz_local_lock_open_path(). Where one can't mean anything it is ignored. */
#define TOOZ_LOCAL_EXISTING UINT64_C(1)      /* -ENOENT rather than making it */
#define TOOZ_LOCAL_INTERRUPTIBLE UINT64_C(2) /* a wait ends with -EINTR when a signal handler ran */
#define TOOZ_LOCAL_STAMP UINT64_C(4)         /* note the time of each acquisition (some 10 ns more); without it the
                                                owner's `since` is when somebody first had to wait or looked */
#define TOOZ_LOCAL_FCNTL UINT64_C(8)         /* the kind for files: implied by open_path, -EINVAL for open */

/* Opens the lock `name` of an arena: UTF-8, 1 to 255 bytes, no control bytes, and not "." or "..". It is made when
 * it does not exist.
 *      -EINVAL      bad name or flags
 *      -ENOENT      TOOZ_LOCAL_EXISTING, and it does not exist
 *      -ENOSPC      the arena is full, or the file system is
 *      -ESTALE      the arena was removed or replaced: open it again */
int tooz_local_lock_open(tooz_local_lock **ret, tooz_local_arena *arena, const char *name, uint64_t flags);

/* Opens a lock of the second kind: an open-file-description lock (fcntl_locking(2)) over the whole file `path`, made
 * with mode 0666 less umask unless TOOZ_LOCAL_EXISTING is given. It excludes all who lock that file by fcntl(),
 * among them Tooz's `file://` driver; on NFS too. It belongs to the object, not to a thread, and a forked child that
 * does not exec() keeps it held. No queue, no owner, no statistics, token 0; its name is the path. Its waits are not
 * fair: who tries first after a release has it. The functions say -EOPNOTSUPP to what this kind can't do. */
int tooz_local_lock_open_path(tooz_local_lock **ret, const char *path, uint64_t flags);

tooz_local_lock *tooz_local_lock_ref(tooz_local_lock *lock);
/* Returns NULL. The last one releases the lock, or ends its wait. By another thread than the one that acquired or
 * started to wait, it can't: then the lock stays held, or its place in the queue taken, until that thread ends. With
 * an object whose thread has ended, nothing else can be done. */
tooz_local_lock *tooz_local_lock_unref(tooz_local_lock *lock);
TOOZ_DEFINE_CLEANUP(tooz_local_lock, tooz_local_lock_unref);

/* Acquires.
 *      0            acquired
 *      1            acquired, and a holder before us died with it: look after what it protects, then
 *                   tooz_local_lock_mark_consistent(). Without that, the next one is told too.
 *      -EAGAIN      time-out 0, and it is held, or others are to have it first
 *      -ETIMEDOUT   not acquired in time
 *      -EDEADLK     this thread holds it already, through this object or another
 *      -EINTR       only with TOOZ_LOCAL_INTERRUPTIBLE
 *      -EMFILE      this thread holds or waits for 1,024 locks; -EUSERS: the arena is full of threads
 *      -ECHILD      a forked child, see above
 *      -ESTALE      the arena was removed or replaced: said to those who had to wait, and to new uses
 *      -EBADMSG     the arena is damaged
 * Waiters are served in the order of their arrival, readers that stand together at once. A thread that is running may
 * overtake those that sleep, each of them for at most 1 ms of its wait. */
TOOZ_WUR int tooz_local_lock_acquire(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t timeout_usec);
/* The same, until a moment of CLOCK_MONOTONIC. */
TOOZ_WUR int tooz_local_lock_acquire_until(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t deadline_usec);
/* The same with time-out 0. */
TOOZ_WUR int tooz_local_lock_try(tooz_local_lock *lock, tooz_lock_mode mode);

/* Changes the mode of what is held. Downgrading does not wait. Upgrading goes before all who wait; the lock stays
 * held in shared mode until then, and when it fails. It gets a new token, and 1 as long as nobody has marked the lock
 * consistent. To the mode that it has: 0. The kind for files: downgrading and upgrading, without the order.
 *      0, 1         as above
 *      -EDEADLK     another holder is waiting to upgrade: release, and acquire anew
 *      -EPERM       not held by this thread
 *      -ENOLCK      it was broken meanwhile
 *      -EAGAIN, -ETIMEDOUT, -EINTR as above */
TOOZ_WUR int tooz_local_lock_convert(tooz_local_lock *lock, tooz_lock_mode mode, uint64_t timeout_usec);

/* Releases. AS-safe.
 *      -EPERM       not held by this thread
 *      -ENOLCK      it was broken meanwhile: what was done under it may have been done beside another holder */
int tooz_local_lock_release(tooz_local_lock *lock);

/* What the lock protects is in order again after a holder's death. -EPERM: not held exclusively by this thread. */
int tooz_local_lock_mark_consistent(tooz_local_lock *lock);

/* Takes the lock away from the holder whose token is `token`, and gives it to the next. The holder learns it from
 * tooz_local_lock_is_held() and -ENOLCK; the agent tells its client `lost`. A last resort.
 *      -ENOLCK      nobody holds it with that token (any more) */
int tooz_local_lock_break(tooz_local_lock *lock, uint64_t token);

int tooz_local_lock_get_name(tooz_local_lock *lock, const char **ret);
/* Fencing token of what is held: unique for the name, and greater than that of every conflicting grant before it.
 * AS-safe. -EPERM: not held. -ENOLCK: it was broken. */
int tooz_local_lock_get_token(tooz_local_lock *lock, uint64_t *ret);
/* 1 held and not broken, 0 not. AS-safe. */
int tooz_local_lock_is_held(tooz_local_lock *lock);

/* --- looking --------------------------------------------------------------------------------------------------- */

/* Set `size` to sizeof() first: the structs may grow. Another size is -EINVAL. */
typedef struct tooz_local_owner {
        uint64_t size;
        pid_t pid;
        pid_t tid;
        uid_t uid;
        uint32_t mode;        /* tooz_lock_mode */
        uint64_t start_time;  /* of the process, in clock ticks since boot: tells a reused pid */
        uint64_t pid_ns;      /* inode of the PID namespace in which pid and tid count */
        uint64_t token;
        uint64_t since_usec;  /* CLOCK_MONOTONIC; see TOOZ_LOCAL_STAMP; 0: not known */
        char comm[16];
} tooz_local_owner;

/* The exclusive holder, or one of the shared. 1: held, 0: free. What it says may be over when it is read. */
int tooz_local_lock_get_owner(tooz_local_lock *lock, tooz_local_owner *ret);

typedef struct tooz_local_stat {
        uint64_t size;
        uint32_t holders;
        uint32_t waiters;
        uint64_t n_acquired;      /* exclusive ones */
        uint64_t n_contended;     /* had to queue */
        uint64_t n_owner_died;
        uint64_t n_broken;
        uint64_t wait_usec_total; /* of those that queued */
} tooz_local_stat;

int tooz_local_lock_get_stat(tooz_local_lock *lock, tooz_local_stat *ret);

/* Walks over the locks of an arena, in no particular order: `*cookie` starts at 0. 1: an entry, with its name and,
 * if it is held, its owner (else its pid is 0; NULL: not wanted); 0: the end. A name that does not fit is -ENOBUFS,
 * and the next call goes on behind it (256 bytes always do). */
int tooz_local_arena_next(tooz_local_arena *arena, uint64_t *cookie, char *ret_name, size_t name_size,
                          tooz_local_owner *ret_owner);

/* --- from an event loop ---------------------------------------------------------------------------------------- */

/* For callers that wait on futexes themselves (futex_waitv(2), io_uring's IORING_OP_FUTEX_WAITV):
 *
 *      r = tooz_local_lock_start(lock, mode);
 *      while (r == -EINPROGRESS) {
 *              tooz_local_lock_get_wait(lock, &wait);
 *              ... sleep until one of the words differs from its value, or is woken, or wait.until_usec ...
 *              r = tooz_local_lock_resume(lock);
 *      }
 */
#define TOOZ_LOCAL_WAIT_WORDS 32

typedef struct tooz_local_wait {
        uint64_t size;
        uint32_t n_words;
        struct {
                const uint32_t *address; /* FUTEX2_SIZE_U32, shared, in this order */
                uint32_t value;
        } words[TOOZ_LOCAL_WAIT_WORDS];
        uint64_t until_usec; /* CLOCK_MONOTONIC: resume then at the latest; TOOZ_USEC_INFINITY: no need */
} tooz_local_wait;

/* Acquires, or takes a place in the queue: 0 or 1 as tooz_local_lock_acquire(), -EINPROGRESS, or an error of it. An
 * object that waits already: -EDEADLK. */
TOOZ_WUR int tooz_local_lock_start(tooz_local_lock *lock, tooz_lock_mode mode);
/* What to wait for. -EPERM: not waiting. */
int tooz_local_lock_get_wait(tooz_local_lock *lock, tooz_local_wait *ret);
/* Looks again, by the same thread: 0 or 1, -EINPROGRESS, or an error, which ends the wait. */
TOOZ_WUR int tooz_local_lock_resume(tooz_local_lock *lock);
/* Gives the place up. 0; -EPERM: not waiting. */
int tooz_local_lock_cancel(tooz_local_lock *lock);

TOOZ_END_DECLS

#endif
