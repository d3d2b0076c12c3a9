/* SPDX-License-Identifier: Apache-2.0 */
/* Handles: news, slow readers, ends, what holders may say */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/kv.h"
#include "base/time.h"
#include "bus/bus-proc.h"
#include "bus/handle.h"
#include "loop/loop-kit.h"
#include "support/kit.h"

KIT_SUITE(handle);

#define SEATS_MAX 512

typedef struct Rig Rig;

typedef struct Seat {
        HandleSeat seat;
        Rig *rig;
        unsigned n_written;
        unsigned n_told;
        unsigned n_released;
        unsigned n_left;
        bool died;
} Seat;

struct Rig {
        Loop *loop;
        Handle *handle;
        int client;
        unsigned n_closed;
        Seat seats[SEATS_MAX];
};

static void on_write(HandleSeat *seat, ClaimNews news, KvWriter *w) {
        Seat *s = container_of(seat, Seat, seat);

        s->n_written++;
        kv_add_u64(w, "TOKEN", 1000 + seat->id);
}

static void on_told(HandleSeat *seat) {
        cr_assert_null(seat->handle);
        container_of(seat, Seat, seat)->n_told++;
}

static void on_release(HandleSeat *seat) {
        container_of(seat, Seat, seat)->n_released++;
}

static void on_left(HandleSeat *seat, bool died) {
        Seat *s = container_of(seat, Seat, seat);

        cr_assert_null(seat->handle);
        s->n_left++;
        s->died = died;
}

static Rig *rig_of(Handle *h);

static HandleSeat *on_find(Handle *h, uint64_t id) {
        Rig *rig = rig_of(h);

        return id < SEATS_MAX ? &rig->seats[id].seat : NULL;
}

static void on_closed(Handle *h) {
        rig_of(h)->n_closed++;
}

static const HandleOps ops = {
        .write = on_write,
        .told = on_told,
        .release = on_release,
        .left = on_left,
        .find = on_find,
        .closed = on_closed,
};

typedef struct Owned {
        Handle handle;
        Rig *rig;
} Owned;

static Rig *rig_of(Handle *h) {
        return container_of(h, Owned, handle)->rig;
}

static Rig *rig_new(Loop *loop, unsigned n_seats) {
        Rig *rig = calloc(1, sizeof(*rig));
        Owned *owned = calloc(1, sizeof(*owned));

        rig->loop = loop;
        owned->rig = rig;
        rig->handle = &owned->handle;
        kit_ok(handle_open(rig->handle, loop, &ops, &rig->client));
        for (unsigned i = 0; i < SEATS_MAX; i++) {
                rig->seats[i].rig = rig;
                handle_seat_init(&rig->seats[i].seat, i);
                if (i < n_seats)
                        handle_join(rig->handle, &rig->seats[i].seat);
        }
        return rig;
}

static void rig_await_closed(Rig *rig) {
        while (rig->n_closed == 0)
                kit_ok(loop_run_once(rig->loop));
        cr_assert_eq(rig->n_closed, 1);
}

static void rig_free(Rig *rig) {
        rig->client = fd_close(rig->client);
        rig_await_closed(rig);
        free(container_of(rig->handle, Owned, handle));
        free(rig);
}

static void on_timer(LoopTimer *timer, uint64_t now_usec) {
}

/* Turns that don't wait. */
static void turns(Loop *loop, unsigned n) {
        LoopTimer timer;

        while (n-- > 0) {
                loop_timer_init(&timer, loop, on_timer);
                loop_timer_set(&timer, 1);
                kit_ok(loop_run_once(loop));
                loop_timer_unset(&timer);
        }
}

static char data[HANDLE_DATAGRAM_MAX];
static size_t len;

static bool receive(Rig *rig) {
        ssize_t n = recv(rig->client, data, sizeof(data), MSG_DONTWAIT);

        if (n < 0)
                cr_assert_eq(errno, EAGAIN);
        len = n > 0 ? (size_t) n : 0;
        return n > 0;
}

static bool is_at_end(Rig *rig) {
        return recv(rig->client, data, sizeof(data), MSG_DONTWAIT) == 0;
}

static void expect(Rig *rig, const char *event, unsigned claim) {
        KvPair pair;
        uint64_t id;

        while (!receive(rig))
                kit_ok(loop_run_once(rig->loop));
        cr_assert_eq(kv_find(data, len, "EVENT", &pair), 1);
        cr_assert(kv_value_is(&pair, event), "%s is not in %.*s", event, (int) len, data);
        cr_assert_eq(kv_find(data, len, "CLAIM", &pair), 1);
        kit_ok(kv_value_u64(&pair, &id));
        cr_assert_eq(id, claim);
}

static uint64_t number(const char *key) {
        uint64_t value;
        KvPair pair;

        if (kv_find(data, len, key, &pair) != 1)
                return 0;
        kit_ok(kv_value_u64(&pair, &value));
        return value;
}

/* Tells seats of news until the socket is full and something waits. */
static unsigned fill(Rig *rig) {
        unsigned n = 0;

        do {
                cr_assert_lt(n, SEATS_MAX);
                handle_tell(&rig->seats[n++].seat, NEWS_ACQUIRED, time_now());
                turns(rig->loop, 3);
        } while (handle_is_flushed(rig->handle));
        return n;
}

/* --- news --------------------------------------------------------------------------------------- */

LOOP_TEST(handle, news_are_numbered_per_claim) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 2);

        handle_tell(&rig->seats[0].seat, NEWS_QUEUED, 7);
        handle_tell(&rig->seats[1].seat, NEWS_ACQUIRED, 8);
        expect(rig, "queued", 0);
        cr_assert_eq(number("SEQ"), 1);
        cr_assert_eq(number("BOOTTIME_USEC"), 7);
        cr_assert_eq(number("TOKEN"), 1000);
        expect(rig, "acquired", 1);
        cr_assert_eq(number("SEQ"), 1);
        handle_tell(&rig->seats[0].seat, NEWS_ACQUIRED | NEWS_CONTENDED, 9);
        expect(rig, "acquired", 0);
        cr_assert_eq(number("SEQ"), 2);
        expect(rig, "contended", 0);
        cr_assert_eq(number("SEQ"), 3);
        cr_assert_eq(number("MISSED"), 0);
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, end_is_told_and_then_the_seat_is_free) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 2);

        handle_tell(&rig->seats[0].seat, NEWS_LOST, time_now());
        cr_assert_eq(rig->seats[0].n_told, 0);
        expect(rig, "lost", 0);
        turns(loop, 2);
        cr_assert_eq(rig->seats[0].n_told, 1);
        /* Others stay. */
        handle_tell(&rig->seats[1].seat, NEWS_SUSPENDED, time_now());
        expect(rig, "suspended", 1);
        rig_free(rig);
        loop_free(loop);
}

/* --- slow readers ------------------------------------------------------------------------------- */

LOOP_TEST(handle, slow_reader_finds_latest_state_and_what_it_missed) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, SEATS_MAX);
        unsigned n = fill(rig);

        /* The last one still waits for the socket; what comes now waits behind it. */
        handle_tell(&rig->seats[n].seat, NEWS_QUEUED, 1);
        handle_tell(&rig->seats[n].seat, NEWS_ACQUIRED, 2);
        handle_tell(&rig->seats[n].seat, NEWS_SUSPENDED, 3);
        handle_tell(&rig->seats[n].seat, NEWS_RESUMED, 4);
        handle_tell(&rig->seats[n].seat, NEWS_SUSPENDED, 5);
        turns(loop, 3);
        cr_assert_eq(rig->seats[n].n_written, 0);

        for (unsigned i = 0; i < n; i++)
                expect(rig, "acquired", i);
        expect(rig, "acquired", n);
        cr_assert_eq(number("MISSED"), 3);
        cr_assert_eq(number("SEQ"), 4);
        expect(rig, "suspended", n);
        cr_assert_eq(number("MISSED"), 0);
        cr_assert_eq(number("SEQ"), 5);
        turns(loop, 3);
        cr_assert(!receive(rig));
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, loss_that_cannot_be_told_shuts_down_at_once) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, SEATS_MAX), *other = rig_new(loop, 1);
        unsigned n = fill(rig);

        handle_tell(&rig->seats[n].seat, NEWS_LOST, time_now());
        turns(loop, 6);
        cr_assert_eq(rig->n_closed, 1);
        cr_assert_eq(rig->seats[n].n_told, 0);
        for (unsigned i = 0; i < SEATS_MAX; i++) {
                cr_assert_eq(rig->seats[i].n_left, 1);
                cr_assert(!rig->seats[i].died);
        }
        /* What the socket had taken can be read, and then the end. */
        while (receive(rig))
                ;
        cr_assert(is_at_end(rig));

        handle_tell(&other->seats[0].seat, NEWS_ACQUIRED, time_now());
        expect(other, "acquired", 0);
        rig_free(rig);
        rig_free(other);
        loop_free(loop);
}

/* A socket that takes everything is not blocked, however many losses there are to tell. */
LOOP_TEST(handle, many_losses_at_once_are_told) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, SEATS_MAX);

        for (unsigned i = 0; i < SEATS_MAX; i++)
                handle_tell(&rig->seats[i].seat, NEWS_LOST, time_now());
        for (unsigned i = 0; i < SEATS_MAX; i++)
                expect(rig, "lost", i);
        turns(loop, 2);
        for (unsigned i = 0; i < SEATS_MAX; i++)
                cr_assert_eq(rig->seats[i].n_told, 1);
        cr_assert_eq(rig->n_closed, 0);
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, harmless_end_waits_for_a_reader_that_is_late) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, SEATS_MAX);
        unsigned n = fill(rig);

        handle_tell(&rig->seats[n].seat, NEWS_FAILED, time_now());
        handle_tell(&rig->seats[n + 1].seat, NEWS_RELEASED, time_now());
        turns(loop, 6);
        cr_assert_eq(rig->n_closed, 0);
        for (unsigned i = 0; i < n; i++)
                expect(rig, "acquired", i);
        expect(rig, "failed", n);
        expect(rig, "released", n + 1);
        turns(loop, 2);
        cr_assert_eq(rig->seats[n].n_told, 1);
        cr_assert_eq(rig->n_closed, 0);
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, harmless_end_does_not_wait_for_ever) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, SEATS_MAX);
        unsigned n = fill(rig);

        handle_tell(&rig->seats[n].seat, NEWS_FAILED, time_now());
        rig_await_closed(rig);
        cr_assert_eq(rig->seats[0].n_left, 1);
        rig_free(rig);
        loop_free(loop);
}

/* A seat that is left takes what it owed with it. */
LOOP_TEST(handle, seat_that_leaves_owes_nothing) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, SEATS_MAX);
        unsigned n = fill(rig);

        handle_tell(&rig->seats[n].seat, NEWS_LOST, time_now());
        handle_leave(&rig->seats[n].seat);
        handle_leave(&rig->seats[n].seat);
        turns(loop, 6);
        cr_assert_eq(rig->n_closed, 0);
        /* Also the one whose news is in flight. */
        handle_leave(&rig->seats[n - 1].seat);
        for (unsigned i = 0; i < n; i++)
                expect(rig, "acquired", i);
        turns(loop, 3);
        cr_assert(!receive(rig));
        rig_free(rig);
        loop_free(loop);
}

/* --- ends --------------------------------------------------------------------------------------- */

LOOP_TEST(handle, last_copy_closed_ends_all_claims) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 3);
        int copy = fcntl(rig->client, F_DUPFD_CLOEXEC, 3);

        rig->client = fd_close(rig->client);
        turns(loop, 4);
        cr_assert_eq(rig->n_closed, 0);
        close(copy);
        rig_await_closed(rig);
        for (unsigned i = 0; i < 3; i++) {
                cr_assert_eq(rig->seats[i].n_left, 1);
                cr_assert(!rig->seats[i].died);
        }
        cr_assert_eq(rig->seats[3].n_left, 0);
        rig_free(rig);
        loop_free(loop);
}

/* Closed with news unread, which the kernel reports as a reset. */
LOOP_TEST(handle, closed_with_news_unread) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 1);

        handle_tell(&rig->seats[0].seat, NEWS_ACQUIRED, time_now());
        turns(loop, 3);
        rig->client = fd_close(rig->client);
        rig_await_closed(rig);
        cr_assert_eq(rig->seats[0].n_left, 1);
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, holder_that_was_killed_has_died) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 1);
        int proc_fd;
        pid_t pid;

        pid = fork();
        if (pid == 0) {
                pause();
                _exit(0);
        }
        proc_fd = kit_ok(proc_open(pid));
        rig->handle->proc_fd = proc_fd;
        rig->client = fd_close(rig->client); /* the child has the last copy */
        turns(loop, 4);
        cr_assert_eq(rig->seats[0].n_left, 0);
        kit_ok(kill(pid, SIGKILL));
        rig_await_closed(rig);
        cr_assert_eq(rig->seats[0].n_left, 1);
        cr_assert(rig->seats[0].died);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        close(proc_fd);
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, holder_that_closed_and_lives_has_not_died) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 1);
        int proc_fd = kit_ok(proc_open(getpid()));

        rig->handle->proc_fd = proc_fd;
        rig->client = fd_close(rig->client);
        rig_await_closed(rig);
        cr_assert_eq(rig->seats[0].n_left, 1);
        cr_assert(!rig->seats[0].died);
        close(proc_fd);
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, closing_tells_nobody_and_is_idempotent) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, SEATS_MAX);

        (void) fill(rig); /* a send is in flight */
        handle_close(rig->handle);
        handle_close(rig->handle);
        handle_tell(&rig->seats[0].seat, NEWS_LOST, time_now());
        cr_assert_eq(rig->n_closed, 0);
        rig_await_closed(rig);
        cr_assert_eq(rig->seats[0].n_left, 0);
        cr_assert_null(rig->seats[0].seat.handle);
        rig_free(rig);
        loop_free(loop);
}

/* --- what the holder says ----------------------------------------------------------------------- */

static void say(Rig *rig, const void *text, size_t n) {
        cr_assert_eq(send(rig->client, text, n, MSG_NOSIGNAL), (ssize_t) n);
        turns(rig->loop, 3);
}

#define SAY(rig, text) say(rig, text, strlen(text))

static unsigned n_released(const Rig *rig) {
        unsigned n = 0;

        for (unsigned i = 0; i < SEATS_MAX; i++)
                n += rig->seats[i].n_released;
        return n;
}

LOOP_TEST(handle, release_of_one_and_of_all) {
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 3);

        SAY(rig, "RELEASE=1\nCLAIM=1\n");
        cr_assert_eq(n_released(rig), 1);
        cr_assert_eq(rig->seats[1].n_released, 1);
        SAY(rig, "FUTURE=thing\nCLAIM=2\nRELEASE=1");
        cr_assert_eq(rig->seats[2].n_released, 1);
        cr_assert_eq(n_released(rig), 2);
        SAY(rig, "RELEASE=1\n");
        cr_assert_eq(n_released(rig), 5);
        rig_free(rig);
        loop_free(loop);
}

LOOP_TEST(handle, garbage_is_ignored) {
        static const char *const garbage[] = {
                "\n", "=", "RELEASE", "RELEASE=", "RELEASE=0\n", "RELEASE=11\n", "release=1\n", "RELEASE=1\nCLAIM=\n",
                "RELEASE=1\nCLAIM=-1\n", "RELEASE=1\nCLAIM=1x\n", "RELEASE=1\nCLAIM=99999999999999999999\n",
                "RELEASE=1\nCLAIM=500\n", "RELEASE=1\nno line\n", "CLAIM=1\n", "\xff\xff\xff\xff",
        };
        Loop *loop = loop_kit_new(kind);
        Rig *rig = rig_new(loop, 3);
        char big[HANDLE_DATAGRAM_MAX + 1];

        for (size_t i = 0; i < ARRAY_SIZE(garbage); i++)
                SAY(rig, garbage[i]);
        say(rig, "", 0);
        say(rig, "RELEASE=1\n\0\0\0\0", 14);
        memset(big, '\n', sizeof(big));
        memcpy(big, "RELEASE=1", 9);
        say(rig, big, sizeof(big));
        cr_assert_eq(n_released(rig), 0);
        cr_assert_eq(rig->n_closed, 0);
        /* As long as it may be. */
        say(rig, big, sizeof(big) - 1);
        cr_assert_eq(n_released(rig), 3);
        rig_free(rig);
        loop_free(loop);
}

/* --- which handle it is ------------------------------------------------------------------------- */

Test(handle, cookie_names_the_clients_end_and_no_other) {
        Loop *loop = loop_kit_new(LOOP_EPOLL);
        Rig *one = rig_new(loop, 1), *two = rig_new(loop, 1);
        int copy = fcntl(one->client, F_DUPFD_CLOEXEC, 3);
        uint64_t cookie;

        kit_ok(handle_cookie(copy, &cookie));
        cr_assert_eq(cookie, one->handle->cookie);
        kit_ok(handle_cookie(two->client, &cookie));
        cr_assert_neq(cookie, one->handle->cookie);
        kit_ok(handle_cookie(one->handle->fd, &cookie));
        cr_assert_neq(cookie, one->handle->cookie);
        close(copy);
        copy = open("/dev/null", O_RDONLY | O_CLOEXEC);
        cr_assert_lt(handle_cookie(copy, &cookie), 0);
        close(copy);
        rig_free(one);
        rig_free(two);
        loop_free(loop);
}
