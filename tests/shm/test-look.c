/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a slot: who holds it, who waits, also read-only and when what is there is forged */

#include <errno.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "shm/look.h"
#include "shm/recover.h"
#include "shm/shm-kit.h"

SHM_SUITE(look);

static uint32_t index_of(const ShmHold *h) {
        return (uint32_t) (h->place & SHM_J_SLOT);
}

static unsigned holders(const ShmHold *h, ShmParty *ret, unsigned max) {
        return shm_look_holders(h->arena, index_of(h), ret, max);
}

static unsigned waiters(const ShmHold *h, ShmParty *ret, unsigned max) {
        return shm_look_waiters(h->arena, index_of(h), ret, max);
}

Test(look, nobody) {
        ShmHold h = shm_kit_hold("a");
        ShmParty p;

        cr_assert_eq(holders(&h, &p, 1), 0);
        cr_assert_eq(waiters(&h, &p, 1), 0);
        cr_assert_eq(shm_look_holders(h.arena, 0, &p, 1), 0);
        cr_assert_eq(shm_look_holders(h.arena, SHM_SLOTS_MAX, &p, 1), 0);
        cr_assert_eq(shm_look_waiters(h.arena, SHM_SLOTS_MAX, &p, 1), 0);
        cr_assert_eq(shm_look_holders(h.arena, index_of(&h) + 1, &p, 1), 0, "a free slot");
}

Test(look, a_writer) {
        ShmHold h = shm_kit_hold("a");
        uint64_t token, since;
        struct stat st;
        ShmParty p;

        cr_assert_eq(prctl(PR_SET_NAME, "my) \x1b[1m\xff name"), 0);
        kit_ok(shm_hold_start(&h, shm_kit_actor(), EXCLUSIVE, TRY));
        kit_ok(shm_hold_get_token(&h, &token));
        cr_assert_eq(holders(&h, &p, 0), 0);
        cr_assert_eq(holders(&h, &p, 1), 1);
        cr_assert_eq(p.ref, h.seat->ref);
        cr_assert_not(p.shared || p.delegated || p.dead);
        cr_assert_eq(p.pid, (uint32_t) getpid());
        cr_assert_eq(p.tid, (uint32_t) syscall(SYS_gettid));
        cr_assert_eq(p.uid, geteuid());
        cr_assert_gt(p.start_time, 0, "whatever is in the name");
        cr_assert_eq(stat("/proc/self/ns/pid", &st), 0);
        cr_assert_eq(p.pid_ns, st.st_ino);
        cr_assert_eq(p.token, token);
        cr_assert(str_is_utf8(p.comm, strlen(p.comm)));
        cr_assert_null(strchr(p.comm, '\x1b'));
        cr_assert_eq(strncmp(p.comm, "my) ", 4), 0);

        since = p.since_usec;
        cr_assert_gt(since, 0, "the first look notes it");
        (void) usleep(2000);
        cr_assert_eq(holders(&h, &p, 1), 1);
        cr_assert_eq(p.since_usec, since);
        kit_ok(shm_hold_release(&h));
        cr_assert_eq(holders(&h, &p, 1), 0);
}

Test(look, readers) {
        enum { N = 5 };
        ShmHold h[N], w = shm_kit_hold("a");
        ShmParty p[N + 1];

        for (unsigned i = 0; i < N; i++) {
                h[i] = shm_kit_hold("a");
                kit_ok(shm_hold_start(&h[i], shm_kit_actor(), SHARED, TRY));
        }
        cr_assert_eq(holders(&h[0], p, 2), 2);
        cr_assert_eq(holders(&h[0], p, N + 1), N);
        for (unsigned i = 0; i < N; i++) {
                cr_assert_eq(p[i].ref, h[i].seat->ref);
                cr_assert(p[i].shared);
                cr_assert_eq(p[i].token, h[i].token);
        }
        /* Who waits for them to leave holds nothing. */
        kit_fails(shm_hold_start(&w, shm_kit_actor(), EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_eq(holders(&h[0], p, N + 1), N);
        cr_assert_eq(waiters(&h[0], p, N + 1), 1);
        cr_assert_eq(p[0].ref, w.seat->ref);
        shm_hold_cancel(&w);
        for (unsigned i = 0; i < N; i++)
                kit_ok(shm_hold_release(&h[i]));
}

Test(look, one_that_upgrades_holds) {
        ShmHold h[2] = { shm_kit_hold("a"), shm_kit_hold("a") };
        ShmParty p[3];

        for (unsigned i = 0; i < 2; i++)
                kit_ok(shm_hold_start(&h[i], shm_kit_actor(), SHARED, TRY));
        kit_fails(shm_hold_convert(&h[0], EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_eq(holders(&h[0], p, 3), 2);
        cr_assert_eq(p[0].ref, h[0].seat->ref);
        cr_assert(p[0].shared);
        shm_hold_cancel(&h[0]);
}

Test(look, those_who_wait_in_their_order) {
        enum { N = 4 };
        ShmHold h = shm_kit_hold("a"), w[N];
        ShmParty p[N + 1];

        kit_ok(shm_hold_start(&h, shm_kit_actor(), EXCLUSIVE, TRY));
        for (unsigned i = 0; i < N; i++) {
                w[i] = shm_kit_hold("a");
                kit_fails(shm_hold_start(&w[i], shm_kit_actor(), i % 2, QUEUE), -EINPROGRESS);
        }
        cr_assert_eq(waiters(&h, p, 2), 2);
        cr_assert_eq(waiters(&h, p, N + 1), N);
        for (unsigned i = 0; i < N; i++) {
                cr_assert_eq(p[i].ref, w[i].seat->ref);
                cr_assert_eq(p[i].shared, i % 2);
                cr_assert_gt(p[i].since_usec, 0);
                cr_assert(i == 0 || p[i].since_usec >= p[i - 1].since_usec);
        }
        for (unsigned i = 0; i < N; i++)
                shm_hold_cancel(&w[i]);
        kit_ok(shm_hold_release(&h));
}

Test(look, a_dead_one) {
        ShmHold h = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor();
        ShmParty p;

        kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
        shm_kit_die(a);
        cr_assert_eq(holders(&h, &p, 1), 1);
        cr_assert(p.dead);
}

Test(look, readonly) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmArena *a;
        ShmParty p;

        kit_ok(shm_hold_start(&h, shm_kit_actor(), EXCLUSIVE, TRY));
        kit_ok(shm_arena_open(&a, shm_kit_path(), 0600, SHM_OPEN_READONLY));
        cr_assert_eq(shm_look_holders(a, index_of(&h), &p, 1), 1);
        cr_assert_eq(p.ref, h.seat->ref);
        cr_assert_eq(p.since_usec, 0, "it can't be noted");
        kit_fails(shm_hold_start(&w, shm_kit_actor(), EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_eq(shm_look_holders(a, index_of(&h), &p, 1), 1);
        cr_assert_gt(p.since_usec, 0, "who waits has noted it");
        cr_assert_eq(shm_look_waiters(a, index_of(&h), &p, 1), 1);
        shm_hold_cancel(&w);
        kit_ok(shm_hold_release(&h));
        shm_arena_unref(a);
}

Test(look, forged) {
        ShmHold h = shm_kit_hold("a"), w[2] = { shm_kit_hold("a"), shm_kit_hold("a") };
        ShmActor *actors[] = { shm_kit_actor(), shm_kit_actor() };
        ShmParty p[10];

        atom_store(&h.slot->word, h.idle | SHM_W_OWNER);
        cr_assert_eq(holders(&h, p, 10), 0, "no such entry");
        atom_store(&h.slot->word, h.idle);
        kit_ok(shm_hold_start(&h, shm_kit_actor(), EXCLUSIVE, TRY));
        for (unsigned i = 0; i < 2; i++)
                kit_fails(shm_hold_start(&w[i], actors[i], EXCLUSIVE, QUEUE), -EINPROGRESS);
        atom_store(&w[1].seat->entry->next, w[0].seat->ref);
        cr_assert_eq(waiters(&h, p, 10), 10, "a circle ends");
        atom_store(&w[1].seat->entry->next, UINT32_MAX);
        cr_assert_eq(waiters(&h, p, 10), 2);
        memset(actors[0]->first->comm, 0xff, sizeof(actors[0]->first->comm));
        cr_assert_eq(waiters(&h, p, 10), 2);
        cr_assert_lt(strnlen(p[0].comm, sizeof(p[0].comm)), sizeof(p[0].comm));
        cr_assert(str_is_utf8(p[0].comm, strlen(p[0].comm)));
}
