/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is cut off under its users: empty memory, and no death */

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/directory.h"
#include "shm/shm-kit.h"
#include "shm/sigbus.h"

SHM_SUITE(sigbus);

Test(sigbus, an_arena_that_is_cut_off) {
        ShmHold h = shm_kit_hold("a");
        ShmArena *a = shm_kit_arena();
        uint32_t index, generation;

        kit_ok(shm_sigbus_guard(a));
        kit_ok(shm_sigbus_guard(a));
        cr_assert_eq(truncate(shm_kit_path(), 0), 0);
        cr_assert_eq(atom_load(&h.slot->word), 0, "empty memory");
        cr_assert(a->broken);
        cr_assert_eq(a->header->magic, 0);
        atom_store(&h.slot->word, 1);
        kit_fails(shm_arena_check(a), -EBADMSG);
        kit_fails(shm_directory_find(a, "a", true, &index, &generation), -EBADMSG);
}

Test(sigbus, in_the_midst_of_an_acquisition) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();

        kit_ok(shm_sigbus_guard(shm_kit_arena()));
        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        kit_fails(shm_hold_start(&w, b, EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_eq(truncate(shm_kit_path(), 4096), 0);
        (void) shm_hold_release(&h);
        if (shm_hold_resume(&w) == -EINPROGRESS)
                shm_hold_cancel(&w);
        cr_assert(shm_kit_arena()->broken);
        cr_assert_not(shm_hold_is_held(&h));
}

/* --- other memory ------------------------------------------------------------------------------------------------ */

static volatile char *cut_off(const char *path) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        volatile char *p;

        must(fd >= 0 && ftruncate(fd, 4096) == 0);
        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        must(p != MAP_FAILED && ftruncate(fd, 0) == 0);
        (void) close(fd);
        return p;
}

static int status_of(void (*fn)(volatile char *p), volatile char *p) {
        const struct rlimit no_core = { 0, 0 };
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                (void) setrlimit(RLIMIT_CORE, &no_core);
                fn(p);
                _exit(99);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        return status;
}

static void die_of_it(volatile char *p) {
        ShmArena *own;

        (void) signal(SIGBUS, SIG_DFL);
        must(shm_arena_open(&own, shm_kit_path(), 0600, 0) == 0);
        must(shm_sigbus_guard(own) == 0);
        *p = 1;
}

Test(sigbus, of_other_memory_kills) {
        int status;

        (void) shm_kit_arena();
        status = status_of(die_of_it, cut_off(kit_path("other")));
        cr_assert(WIFSIGNALED(status));
        cr_assert_eq(WTERMSIG(status), SIGBUS);
}

static void on_signal(int sig) {
        _exit(42);
}

static void handle_it(volatile char *p) {
        ShmArena *own;

        (void) signal(SIGBUS, on_signal);
        must(shm_arena_open(&own, shm_kit_path(), 0600, 0) == 0);
        must(shm_sigbus_guard(own) == 0);
        *p = 1;
}

Test(sigbus, of_other_memory_is_the_former_handlers) {
        int status;

        (void) shm_kit_arena();
        status = status_of(handle_it, cut_off(kit_path("other")));
        cr_assert(WIFEXITED(status));
        cr_assert_eq(WEXITSTATUS(status), 42);
}
