/* SPDX-License-Identifier: Apache-2.0 */
/* An agent's holds: they stand as long as a copy of its descriptor is open anywhere, and are recovered then */

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shm/delegate.h"
#include "shm/look.h"
#include "shm/recover.h"
#include "shm/shm-kit.h"

SHM_SUITE(delegate);

/* --- passing the descriptor -------------------------------------------------------------------------------------- */

typedef union Control {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
} Control;

static bool fd_send(int socket, int fd) {
        Control control = { .header = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                        .cmsg_len = CMSG_LEN(sizeof(int)) } };
        struct iovec iov = { .iov_base = (char[]) { 0 }, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                                  .msg_controllen = sizeof(control) };

        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        return sendmsg(socket, &message, 0) == 1;
}

static int fd_receive(int socket) {
        Control control;
        char c;
        struct iovec iov = { .iov_base = &c, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                                  .msg_controllen = sizeof(control) };
        int fd;

        cr_assert_eq(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
        cr_assert_not_null(CMSG_FIRSTHDR(&message));
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        return fd;
}

/* --- the agent --------------------------------------------------------------------------------------------------- */

typedef struct Agent {
        uint64_t place;
        uint64_t token;
        bool shared;
        bool stands;
        int sockets[2];
        pid_t pid;
        int stored; /* our copy of its descriptor */
} Agent;

static void agent_main(ShmArena *arena, void *arg) {
        static ShmHold h;
        Agent *agent = arg;
        ShmActor *actor;
        int fd;

        must(shm_actor_new_delegated(&actor, arena) == 0);
        if (agent->stands)
                must(shm_delegate_stand(actor, &fd) == 0 && fd_send(agent->sockets[1], fd));
        shm_hold_init(&h, arena, (uint32_t) (agent->place & SHM_J_SLOT), (uint32_t) (agent->place >> 32));
        must(shm_hold_start(&h, actor, agent->shared, TRY) == 0);
        atom_store(&h.seat->entry->token, agent->token);
}

static Agent agent_start(const ShmHold *h, bool shared, bool stands) {
        Agent agent = { .place = h->place, .token = 4711, .shared = shared, .stands = stands, .stored = -1 };

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, agent.sockets), 0);
        agent.pid = shm_kit_child(agent_main, &agent);
        if (stands)
                agent.stored = fd_receive(agent.sockets[0]);
        (void) close(agent.sockets[0]);
        (void) close(agent.sockets[1]);
        return agent;
}

static bool is_standing(const ShmHold *h) {
        ShmParty p;

        cr_assert_eq(shm_look_holders(h->arena, (uint32_t) (h->place & SHM_J_SLOT), &p, 1), 1);
        cr_assert(p.delegated);
        cr_assert_eq(p.token, 4711);
        cr_assert_eq(p.dead, shm_ref_is_dead(h->arena, p.ref));
        return !p.dead;
}

Test(delegate, stands_as_long_as_a_copy_is_open) {
        ShmHold h = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor();
        Agent agent = agent_start(&h, EXCLUSIVE, true);

        cr_assert(is_standing(&h));
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), -EAGAIN);
        shm_kit_kill(agent.pid);
        cr_assert(is_standing(&h));
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), -EAGAIN);
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_leq(h.until_usec, shm_now() + SHM_STANDING_USEC, "nobody says when it is closed");
        kit_fails(shm_hold_resume(&h), -EINPROGRESS);
        (void) close(agent.stored);
        kit_fails(shm_hold_resume(&h), 0);
        cr_assert(h.died);
        kit_ok(shm_hold_release(&h));
}

Test(delegate, readers_stand_too) {
        ShmHold h = shm_kit_hold("a"), r = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *b = shm_kit_actor();
        Agent agent = agent_start(&h, SHARED, true);

        shm_kit_kill(agent.pid);
        cr_assert(is_standing(&h));
        kit_fails(shm_hold_start(&r, b, SHARED, TRY), 0);
        kit_ok(shm_hold_release(&r));
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, QUEUE), -EINPROGRESS);
        cr_assert_leq(h.until_usec, shm_now() + SHM_STANDING_USEC);
        (void) close(agent.stored);
        kit_fails(shm_hold_resume(&h), 0);
        cr_assert(h.died);
        kit_ok(shm_hold_release(&h));
}

Test(delegate, without_a_copy_it_dies_at_once) {
        ShmHold h = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor();
        Agent agent = agent_start(&h, EXCLUSIVE, false);

        shm_kit_kill(agent.pid);
        cr_assert_not(is_standing(&h));
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), 0);
        cr_assert(h.died);
        kit_ok(shm_hold_release(&h));
}

/* The next agent has the stored descriptor, and gives back what the former one held. */
Test(delegate, recovery) {
        ShmHold h = shm_kit_hold("a");
        ShmActor *a = shm_kit_actor(), *next;
        Agent agent = agent_start(&h, EXCLUSIVE, true);
        uint32_t rung;
        int fd;

        shm_kit_kill(agent.pid);
        kit_fails(shm_hold_start(&h, a, SHARED, QUEUE), -EINPROGRESS);
        rung = shm_kit_bell(a);
        cr_assert_eq(shm_delegate_recover(a, agent.stored), 1);
        cr_assert_neq(shm_kit_bell(a), rung);
        cr_assert_eq(*shm_ref_journal(h.arena, shm_ref(1, 0)), 0);
        kit_fails(shm_hold_resume(&h), 0);
        cr_assert(h.died);
        kit_ok(shm_hold_release(&h));
        (void) close(agent.stored);

        next = shm_kit_delegate();
        cr_assert_eq(next->first, &h.arena->blocks[1], "its block is free again");
        kit_ok(shm_delegate_stand(next, &fd));
        (void) close(fd);
}

/* The blocks of an agent that lives are left alone. */
Test(delegate, recovery_beside_another_agent) {
        ShmHold h = shm_kit_hold("a"), other = shm_kit_hold("b");
        ShmActor *a = shm_kit_actor();
        Agent living = agent_start(&other, EXCLUSIVE, true), agent = agent_start(&h, EXCLUSIVE, true);

        shm_kit_kill(agent.pid);
        cr_assert_eq(shm_delegate_recover(a, agent.stored), 2);
        kit_fails(shm_hold_start(&h, a, EXCLUSIVE, TRY), 0);
        kit_fails(shm_hold_start(&other, a, EXCLUSIVE, TRY), -EAGAIN);
        cr_assert(is_standing(&other));
        kit_ok(shm_hold_release(&h));
        shm_kit_kill(living.pid);
        cr_assert(is_standing(&other));
        (void) close(agent.stored);
        (void) close(living.stored);
}

Test(delegate, only_one_has_the_byte) {
        ShmActor *d = shm_kit_delegate();
        int fd, other;

        kit_ok(shm_delegate_stand(d, &fd));
        kit_fails(shm_delegate_stand(d, &other), -EAGAIN);
        cr_assert(shm_ref_is_standing(d->arena, d->spare->ref));
        (void) close(fd);
        cr_assert_not(shm_ref_is_standing(d->arena, d->spare->ref));
        kit_ok(shm_delegate_stand(d, &fd));
        (void) close(fd);
}

/* All its blocks live with the first mutex. */
Test(delegate, grows) {
        enum { N = 3 * SHM_ENTRIES };
        static ShmHold holds[N];
        ShmActor *d = shm_kit_delegate(), *a = shm_kit_actor();
        ShmHold h;
        char name[32];

        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(name, sizeof(name), "n%u", i);
                holds[i] = shm_kit_hold(name);
                kit_ok(shm_hold_start(&holds[i], d, EXCLUSIVE, TRY));
                cr_assert_eq(holds[i].seat->live, &d->first->live[0].word);
        }
        cr_assert_eq(d->n_blocks, 3);
        for (unsigned i = 0; i < N; i += 10)
                kit_ok(shm_hold_release(&holds[i]));
        atom_store(&d->first->live[0].word, FUTEX_OWNER_DIED);
        for (unsigned i = 0; i < N; i++) {
                (void) snprintf(name, sizeof(name), "n%u", i);
                h = shm_kit_hold(name);
                kit_ok(shm_hold_start(&h, a, EXCLUSIVE, TRY));
                cr_assert_eq(h.died, i % 10 != 0);
                kit_ok(shm_hold_release(&h));
        }
}

/* Its clients are other processes: the same lock may be held by two of them. */
Test(delegate, no_deadlock_of_an_agent) {
        ShmHold h[2] = { shm_kit_hold("a"), shm_kit_hold("a") };
        ShmActor *d = shm_kit_delegate();

        kit_ok(shm_hold_start(&h[0], d, SHARED, TRY));
        kit_ok(shm_hold_start(&h[1], d, SHARED, TRY));
        kit_ok(shm_hold_release(&h[0]));
        kit_fails(shm_hold_start(&h[0], d, EXCLUSIVE, QUEUE), -EINPROGRESS);
        kit_ok(shm_hold_release(&h[1]));
        kit_fails(shm_hold_resume(&h[0]), 0);
        kit_ok(shm_hold_release(&h[0]));
}

Test(delegate, broken_by_the_token_of_the_claim) {
        ShmHold h = shm_kit_hold("a"), breaker = shm_kit_hold("a");
        ShmActor *d = shm_kit_delegate(), *a = shm_kit_actor();
        uint64_t token;

        for (unsigned shared = 0; shared < 2; shared++) {
                kit_ok(shm_hold_start(&h, d, shared, TRY));
                kit_ok(shm_hold_get_token(&h, &token));
                atom_store(&h.seat->entry->token, 99);
                kit_fails(shm_hold_break(&breaker, a, token), -ESTALE);
                kit_fails(shm_hold_break(&breaker, a, 99), 0);
                cr_assert_eq(d->first->n_broken, shared + 1);
                cr_assert_not(shm_hold_is_held(&h));
                kit_fails(shm_hold_release(&h), -ENOLCK);
        }
}

/* It is told who stands behind it. */
Test(delegate, is_told_of_those_behind) {
        ShmHold h = shm_kit_hold("a"), w = shm_kit_hold("a");
        ShmActor *d = shm_kit_delegate(), *a = shm_kit_actor();
        uint32_t rung;

        for (unsigned shared = 0; shared < 2; shared++) {
                kit_ok(shm_hold_start(&h, d, shared, TRY));
                rung = shm_kit_bell(d);
                kit_fails(shm_hold_start(&w, a, EXCLUSIVE, QUEUE), -EINPROGRESS);
                cr_assert_neq(shm_kit_bell(d), rung);
                shm_hold_cancel(&w);
                kit_ok(shm_hold_release(&h));
        }
}
