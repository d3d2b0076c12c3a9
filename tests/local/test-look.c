/* SPDX-License-Identifier: Apache-2.0 */
/* Who holds a lock, and how it has been used */

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "local/local-kit.h"
#include "shm/futex.h"

LOCAL_SUITE(local_look);

static tooz_local_stat stat_of(tooz_local_lock *lock) {
        tooz_local_stat stat = { .size = sizeof(stat) };

        kit_ok(tooz_local_lock_get_stat(lock, &stat));
        cr_assert_eq(stat.size, sizeof(stat));
        return stat;
}

Test(local_look, other_sizes) {
        tooz_local_lock *lock = local_kit_lock("a", 0);
        tooz_local_owner owner = { .size = sizeof(owner) - 1 };
        tooz_local_stat stat = { .size = 0 };

        kit_fails(tooz_local_lock_get_owner(lock, &owner), -EINVAL);
        kit_fails(tooz_local_lock_get_stat(lock, &stat), -EINVAL);
        stat.size = sizeof(stat) + 8;
        kit_fails(tooz_local_lock_get_stat(lock, &stat), -EINVAL);
}

Test(local_look, owner) {
        tooz_local_owner owner = { .size = sizeof(owner), .pid = 77 };
        tooz_local_lock *lock = local_kit_lock("a", 0);
        struct stat ns;

        cr_assert_eq(prctl(PR_SET_NAME, "holder"), 0);
        kit_fails(tooz_local_lock_get_owner(lock, &owner), 0);
        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        kit_fails(tooz_local_lock_get_owner(lock, &owner), 1);
        cr_assert_eq(owner.size, sizeof(owner));
        cr_assert_eq(owner.pid, getpid());
        cr_assert_eq(owner.tid, syscall(SYS_gettid));
        cr_assert_eq(owner.uid, geteuid());
        cr_assert_eq(owner.mode, X);
        cr_assert_gt(owner.start_time, 0);
        cr_assert_eq(stat("/proc/self/ns/pid", &ns), 0);
        cr_assert_eq(owner.pid_ns, ns.st_ino);
        cr_assert_eq(owner.token, local_kit_token(lock));
        kit_streq(owner.comm, "holder");
        kit_ok(tooz_local_lock_convert(lock, S, 0));
        kit_fails(tooz_local_lock_get_owner(lock, &owner), 1);
        cr_assert_eq(owner.mode, S);
        cr_assert_eq(owner.token, local_kit_token(lock));
        kit_ok(tooz_local_lock_release(lock));
        kit_fails(tooz_local_lock_get_owner(lock, &owner), 0);
}

Test(local_look, owner_of_another_thread_and_process) {
        tooz_local_owner owner = { .size = sizeof(owner) };
        tooz_local_lock *a = local_kit_lock("a", 0), *b = local_kit_lock("b", 0);
        pid_t pid = child_hold("b", S);
        Other o;

        other_begin(&o, "a", X);
        kit_fails(other_result(&o), 0);
        kit_fails(tooz_local_lock_get_owner(a, &owner), 1);
        cr_assert_eq(owner.pid, getpid());
        cr_assert_eq(owner.tid, o.tid);
        kit_fails(tooz_local_lock_get_owner(b, &owner), 1);
        cr_assert_eq(owner.pid, pid);
        cr_assert_eq(owner.mode, S);
        child_kill(pid);
        kit_fails(tooz_local_lock_get_owner(b, &owner), 0);
        kit_fails(other_end(&o), 0);
}

/* Without it, the first who looks or has to wait notes the time. */
Test(local_look, stamp) {
        tooz_local_owner owner = { .size = sizeof(owner) };
        tooz_local_lock *stamped = local_kit_lock("a", TOOZ_LOCAL_STAMP), *plain = local_kit_lock("b", 0);
        uint64_t before, after;

        for (unsigned i = 0; i < 3; i++) {
                before = shm_now();
                kit_ok(tooz_local_lock_acquire(stamped, X, 0));
                kit_ok(tooz_local_lock_acquire(plain, X, 0));
                after = shm_now();
                (void) usleep(2000);
                kit_fails(tooz_local_lock_get_owner(stamped, &owner), 1);
                cr_assert_geq(owner.since_usec, before);
                cr_assert_leq(owner.since_usec, after);
                kit_fails(tooz_local_lock_get_owner(plain, &owner), 1);
                cr_assert_gt(owner.since_usec, after);
                kit_ok(tooz_local_lock_release(stamped));
                kit_ok(tooz_local_lock_release(plain));
        }
}

Test(local_look, stat) {
        tooz_local_lock *lock = local_kit_lock("a", 0), *breaker = local_kit_lock("a", 0);
        tooz_local_stat s = stat_of(lock);
        Other others[3];

        cr_assert_eq(s.holders + s.waiters + s.n_acquired + s.n_contended + s.n_owner_died + s.n_broken, 0);
        for (unsigned i = 0; i < 5; i++) {
                kit_ok(tooz_local_lock_acquire(lock, X, 0));
                kit_ok(tooz_local_lock_release(lock));
        }
        kit_ok(tooz_local_lock_acquire(lock, S, 0));
        cr_assert_eq(stat_of(lock).n_acquired, 5, "exclusive ones");
        cr_assert_eq(stat_of(lock).holders, 1);
        for (unsigned i = 0; i < 3; i++) {
                other_begin(&others[i], "a", i == 2 ? X : S);
                if (i < 2)
                        kit_fails(other_result(&others[i]), 0);
        }
        local_kit_await_waiters(lock, 1);
        s = stat_of(lock);
        cr_assert_eq(s.holders, 3);
        cr_assert_eq(s.n_contended, 1);
        cr_assert_eq(s.wait_usec_total, 0);
        kit_ok(tooz_local_lock_release(lock));
        for (unsigned i = 0; i < 3; i++) {
                if (i == 2)
                        kit_fails(other_result(&others[i]), 0);
                kit_fails(other_end(&others[i]), 0);
        }
        s = stat_of(lock);
        cr_assert_eq(s.holders, 0);
        cr_assert_eq(s.waiters, 0);
        cr_assert_eq(s.n_acquired, 6);
        cr_assert_gt(s.wait_usec_total, 0);

        kit_ok(tooz_local_lock_acquire(lock, X, 0));
        kit_ok(tooz_local_lock_break(breaker, local_kit_token(lock)));
        kit_fails(tooz_local_lock_release(lock), -ENOLCK);
        child_kill(child_hold("a", X));
        kit_fails(tooz_local_lock_acquire(lock, X, 0), 1);
        s = stat_of(lock);
        cr_assert_eq(s.n_broken, 1);
        cr_assert_eq(s.n_owner_died, 1);
        kit_ok(tooz_local_lock_release(lock));
}
