/* SPDX-License-Identifier: Apache-2.0 */
/* Where io_uring is refused, the loop runs on epoll: sysctl, sandbox, old kernel, no memory
 *
 * The filter stays with the process, which is that of one test. */

#include <dlfcn.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "loop/loop-kit.h"

KIT_SUITE(refused);

/* It stands before that of liburing. */
static bool no_probe;

struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *ring) {
        __typeof__(&io_uring_get_probe_ring) real = dlsym(RTLD_NEXT, "io_uring_get_probe_ring");

        return no_probe ? NULL : real(ring);
}

static void refuse_io_uring(int error) {
        struct sock_filter filter[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((unsigned) error & SECCOMP_RET_DATA)),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { .len = ARRAY_SIZE(filter), .filter = filter };

        cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
                cr_skip_test("seccomp is refused here: %s", strerror(errno));
}

static void refused_with(int error) {
        Loop *loop = NULL;

        kit_fails(loop_new(&loop, LOOP_URING), -error);
        cr_assert_null(loop);

        kit_ok(loop_new(&loop, LOOP_AUTO));
        cr_assert_eq(loop_kind(loop), LOOP_EPOLL);
        cr_assert_eq(loop_refusal(loop), -error);
        loop_kit_settle(loop); /* it works */
        loop_free(loop);
}

Test(refused, by_sysctl) {
        refuse_io_uring(EPERM);
        refused_with(EPERM);
}

Test(refused, by_sandbox) {
        refuse_io_uring(ENOSYS);
        refused_with(ENOSYS);
}

Test(refused, by_old_kernel) {
        refuse_io_uring(EINVAL);
        refused_with(EINVAL);
}

/* There is an io_uring, without what the loop needs of it. */
Test(refused, by_somewhat_old_kernel) {
        loop_kit_require(LOOP_URING);
        no_probe = true;
        refused_with(EOPNOTSUPP);
}

Test(refused, for_want_of_memory) {
        refuse_io_uring(ENOMEM);
        refused_with(ENOMEM);
}

Test(refused, not_here) {
        Loop *loop;

        loop_kit_require(LOOP_URING);
        kit_ok(loop_new(&loop, LOOP_AUTO));
        cr_assert_eq(loop_kind(loop), LOOP_URING);
        cr_assert_eq(loop_refusal(loop), 0);
        loop_free(loop);
}

/* Taken by name, epoll isn't a refusal. */
Test(refused, epoll_by_name) {
        Loop *loop = loop_kit_new(LOOP_EPOLL);

        cr_assert_eq(loop_refusal(loop), 0);
        loop_free(loop);
}
