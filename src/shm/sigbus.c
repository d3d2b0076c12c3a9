/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "shm/sigbus.h"

#define GUARDED_MAX 8

static ShmArena *_Atomic guarded[GUARDED_MAX];
static struct sigaction former;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int install_error;

static ShmArena *find(const void *address) {
        for (unsigned i = 0; i < GUARDED_MAX; i++) {
                ShmArena *a = atomic_load(&guarded[i]);

                if (a && (const char *) address >= (const char *) a->header &&
                    (const char *) address < (const char *) a->header + SHM_FILE_SIZE)
                        return a;
        }
        return NULL;
}

static void pass_on(int sig, siginfo_t *info, void *context) {
        if (former.sa_flags & SA_SIGINFO && former.sa_sigaction) {
                former.sa_sigaction(sig, info, context);
                return;
        }
        if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
                former.sa_handler(sig);
                return;
        }
        /* As if there were no handler: the access is repeated, and ends the process. */
        (void) signal(sig, SIG_DFL);
}

/* mmap() is no async-signal-safe function by POSIX, but it is a bare system call, and the interrupted code is an access
 * to memory. */
static void on_sigbus(int sig, siginfo_t *info, void *context) {
        ShmArena *arena = find(info->si_addr);
        int saved = errno;

        if (!arena) {
                pass_on(sig, info, context);
                return;
        }
        atomic_store(&arena->broken, true);
        if (mmap(arena->header, SHM_FILE_SIZE, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
                (void) signal(sig, SIG_DFL);
        errno = saved;
}

static void install(void) {
        struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };

        sigemptyset(&action.sa_mask);
        install_error = sigaction(SIGBUS, &action, &former) < 0 ? -errno : 0;
}

int shm_sigbus_guard(ShmArena *arena) {
        ShmArena *none;

        (void) pthread_once(&once, install);
        if (install_error < 0)
                return install_error;
        for (unsigned i = 0; i < GUARDED_MAX; i++) {
                none = NULL;
                if (atomic_load(&guarded[i]) == arena)
                        return 0;
                if (atomic_compare_exchange_strong(&guarded[i], &none, arena)) {
                        arena->pinned = true; /* the handler must find it mapped */
                        return 0;
                }
        }
        return -EUSERS;
}
