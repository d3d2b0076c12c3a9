/* SPDX-License-Identifier: Apache-2.0 */
/* One terminal completion for each arming, whatever races with the cancellation; new lives in callbacks */

#include "loop/loop-kit.h"

KIT_SUITE(cancel);

LOOP_TEST(cancel, queued) {
        Loop *loop = loop_kit_new(kind);
        int fd = loop_kit_eventfd();
        Probe probe;

        probe_init(&probe, loop);
        loop_kit_poke(fd);
        loop_poll(&probe.op, fd, POLLIN, false);
        loop_op_cancel(&probe.op);
        loop_op_cancel(&probe.op);
        cr_assert_eq(probe.n, 0); /* not from inside the call */
        cr_assert_eq(probe.op.state, LOOP_OP_CANCELLING);
        kit_ok(loop_run_once(loop)); /* which doesn't wait */
        cr_assert_eq(probe.n, 1);
        cr_assert_eq(probe.result, -ECANCELED);
        cr_assert_eq(loop_stats(loop)->n_submitted, 0);

        loop_op_cancel(&probe.op);
        cr_assert(loop_op_is_idle(&probe.op));
        loop_kit_settle(loop);
        cr_assert_eq(probe.n, 1);
        loop_free(loop);
        close(fd);
}

LOOP_TEST(cancel, inflight) {
        Loop *loop = loop_kit_new(kind);
        Probe poll, recv, send;
        char buf[1 << 20] = {};
        int fds[2];

        loop_kit_pair(SOCK_STREAM, fds);
        probe_init(&poll, loop);
        probe_init(&recv, loop);
        probe_init(&send, loop);
        loop_poll(&poll.op, fds[0], POLLIN, true);
        loop_recv(&recv.op, fds[0], buf, sizeof(buf));
        loop_kit_settle(loop);
        do
                loop_send(&send.op, fds[0], buf, sizeof(buf));
        while (loop_kit_settle(loop), loop_op_is_idle(&send.op));
        cr_assert_eq(poll.n + recv.n, 0);

        send.n = send.n_ended = 0;
        loop_op_cancel(&poll.op);
        loop_op_cancel(&recv.op);
        loop_op_cancel(&send.op);
        kit_ok(loop_drain(loop));
        cr_assert_eq(poll.result, -ECANCELED);
        cr_assert_eq(recv.result, -ECANCELED);
        cr_assert_eq(send.result, -ECANCELED);
        cr_assert_eq(poll.n + recv.n + send.n, 3);
        loop_free(loop);
        loop_kit_close_pair(fds);
}

/* The result is there already when it is cancelled: that is what is told, once. */
LOOP_TEST(cancel, too_late) {
        Loop *loop = loop_kit_new(kind);
        Probe recv;
        char buf[16];
        int fds[2];

        loop_kit_pair(SOCK_SEQPACKET, fds);
        probe_init(&recv, loop);
        for (unsigned i = 1; i <= 50; i++) {
                loop_recv(&recv.op, fds[1], buf, sizeof(buf));
                loop_kit_settle(loop);
                cr_assert_eq(write(fds[0], "abc", 3), 3);
                loop_op_cancel(&recv.op);
                probe_await_end(&recv);
                cr_assert_eq(recv.n, i);

                /* Either way the packet isn't lost. */
                if (recv.result == -ECANCELED)
                        cr_assert_eq(read(fds[1], buf, sizeof(buf)), 3);
                else
                        cr_assert_eq(recv.result, 3);
        }
        loop_free(loop);
        loop_kit_close_pair(fds);
}

/* Two have a result in one turn, and each cancels the other. */
typedef struct Rival {
        LoopOp op;
        struct Rival *other;
        unsigned n;
        int result;
        char buf[8];
} Rival;

static void rival_run(LoopOp *op, int result, uint32_t flags) {
        Rival *rival = container_of(op, Rival, op);

        rival->n++;
        rival->result = result;
        loop_op_cancel(&rival->other->op);
}

LOOP_TEST(cancel, by_another_one_of_the_turn) {
        Loop *loop = loop_kit_new(kind);
        Rival rivals[2];
        int fds[2];

        loop_kit_pair(SOCK_SEQPACKET, fds);
        for (int i = 0; i < 2; i++) {
                rivals[i] = (Rival) { .other = &rivals[!i] };
                loop_op_init(&rivals[i].op, loop, rival_run);
                cr_assert_eq(write(fds[0], "abc", 3), 3);
                cr_assert_eq(write(fds[1], "abc", 3), 3);
                loop_recv(&rivals[i].op, fds[i], rivals[i].buf, sizeof(rivals[i].buf));
        }
        kit_ok(loop_run_once(loop));
        kit_ok(loop_drain(loop));
        for (int i = 0; i < 2; i++) {
                cr_assert_eq(rivals[i].n, 1);
                cr_assert_eq(rivals[i].result, 3);
        }

        /* The late cancellation doesn't hit the next life. */
        for (int i = 0; i < 2; i++)
                loop_recv(&rivals[i].op, fds[i], rivals[i].buf, sizeof(rivals[i].buf));
        kit_ok(loop_drain(loop));
        cr_assert_eq(rivals[0].result + rivals[1].result, 6);
        loop_free(loop);
        loop_kit_close_pair(fds);
}

/* Cancelled by the callback of its own completion that isn't the last. */
static void leaver_run(LoopOp *op, int result, uint32_t flags) {
        probe_note(op, result, flags);
        loop_op_cancel(op);
}

LOOP_TEST(cancel, multishot_by_its_own_callback) {
        Loop *loop = loop_kit_new(kind);
        int fd = loop_kit_eventfd();
        Probe probe;

        probe_init(&probe, loop);
        probe.op.fn = leaver_run;
        for (unsigned i = 1; i <= 3; i++) {
                loop_kit_poke(fd);
                loop_poll(&probe.op, fd, POLLIN, true);
                kit_ok(loop_drain(loop));
                cr_assert_eq(probe.n_ended, i);
                cr_assert_eq(probe.result, -ECANCELED);
                cr_assert_eq(probe.n, 2 * i);
        }
        loop_free(loop);
        close(fd);
}

/* In the callback of its terminal completion, an operation is armed for the next life, cancelled at once,
 * and armed again. */
typedef struct Phoenix {
        LoopOp op;
        int fd;
        unsigned n_cancelled;
        unsigned n_real;
} Phoenix;

static void phoenix_run(LoopOp *op, int result, uint32_t flags) {
        Phoenix *phoenix = container_of(op, Phoenix, op);

        cr_assert(loop_op_is_idle(op));
        if (result == -ECANCELED)
                phoenix->n_cancelled++;
        else
                phoenix->n_real++;
        if (phoenix->n_cancelled + phoenix->n_real == 100)
                return;
        loop_poll(op, phoenix->fd, POLLIN, false);
        if (result >= 0)
                loop_op_cancel(op);
}

LOOP_TEST(cancel, armed_again_in_the_callback) {
        Loop *loop = loop_kit_new(kind);
        Phoenix phoenix = { .fd = loop_kit_eventfd() };

        loop_kit_poke(phoenix.fd);
        loop_op_init(&phoenix.op, loop, phoenix_run);
        loop_poll(&phoenix.op, phoenix.fd, POLLIN, false);
        kit_ok(loop_drain(loop));
        cr_assert_eq(phoenix.n_cancelled, 50);
        cr_assert_eq(phoenix.n_real, 50);
        loop_free(loop);
        close(phoenix.fd);
}

/* --- freed in the callback --------------------------------------------------------------------------- */

typedef struct Guest {
        LoopOp op;
        unsigned *n_left;
        int fd;
        char buf[64];
} Guest;

static void guest_run(LoopOp *op, int result, uint32_t flags) {
        Guest *guest = container_of(op, Guest, op);

        cr_assert(result >= 0 || result == -ECANCELED);
        (*guest->n_left)--;
        close(guest->fd);
        memset(guest, 0xa5, sizeof(*guest));
        free(guest);
}

LOOP_TEST(cancel, freed_in_the_callback) {
        Loop *loop = loop_kit_new(kind);
        unsigned n_left = 0;
        int fds[2];

        for (unsigned i = 0; i < 64; i++) {
                Guest *guest = malloc(sizeof(*guest));

                loop_kit_pair(SOCK_SEQPACKET, fds);
                *guest = (Guest) { .n_left = &n_left, .fd = fds[0] };
                loop_op_init(&guest->op, loop, guest_run);
                loop_recv(&guest->op, guest->fd, guest->buf, sizeof(guest->buf));
                n_left++;
                if (i % 3 == 0)
                        loop_kit_settle(loop); /* else it is cancelled while it is queued */
                if (i % 2 == 0)
                        cr_assert_eq(write(fds[1], "x", 1), 1);
                else
                        loop_op_cancel(&guest->op);
                close(fds[1]);
        }
        kit_ok(loop_drain(loop));
        cr_assert_eq(n_left, 0);
        loop_free(loop);
}

/* --- ping-pong: each completion arms the next operation ---------------------------------------------- */

typedef struct Player {
        LoopOp op;
        int fd;
        bool sending;
        unsigned n_left;
        char ball;
} Player;

static void player_run(LoopOp *op, int result, uint32_t flags) {
        Player *player = container_of(op, Player, op);

        cr_assert_eq(result, 1);
        if (player->n_left-- == 0)
                return;
        player->sending = !player->sending;
        if (player->sending)
                loop_send(op, player->fd, &player->ball, 1);
        else
                loop_recv(op, player->fd, &player->ball, 1);
}

LOOP_TEST(cancel, ping_pong) {
        Loop *loop = loop_kit_new(kind);
        Player players[2] = {};
        int fds[2];

        loop_kit_pair(SOCK_SEQPACKET, fds);
        for (int i = 0; i < 2; i++) {
                players[i] = (Player) { .fd = fds[i], .n_left = 1999, .sending = i == 0, .ball = 'b' };
                loop_op_init(&players[i].op, loop, player_run);
        }
        loop_send(&players[0].op, fds[0], &players[0].ball, 1);
        loop_recv(&players[1].op, fds[1], &players[1].ball, 1);
        kit_ok(loop_drain(loop));
        cr_assert_eq(loop_stats(loop)->n_completed, 4000);
        cr_assert_eq(players[1].ball, 'b');
        loop_free(loop);
        loop_kit_close_pair(fds);
}
