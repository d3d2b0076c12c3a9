/* SPDX-License-Identifier: Apache-2.0 */
/* What breaks the loop's laws stops the program */

#include <pthread.h>
#include <signal.h>

#include "loop/inbox.h"
#include "loop/loop-kit.h"
#include "loop/timer.h"

KIT_SUITE(misuse);

/* Reached when it doesn't: past the teardown, which would abort for the leaks and look like success. */
static void survived(void) {
        _exit(EXIT_SUCCESS);
}

static void run_nested(LoopOp *op, int result, uint32_t flags) {
        loop_run_once(op->loop);
}

LOOP_TEST(misuse, turn_within_a_callback, .signal = SIGABRT) {
        Loop *loop = loop_kit_new(kind);
        LoopOp op;
        int fd = loop_kit_eventfd();

        loop_op_init(&op, loop, run_nested);
        loop_kit_poke(fd);
        loop_poll(&op, fd, POLLIN, false);
        loop_run_once(loop);
        survived();
}

LOOP_TEST(misuse, armed_twice, .signal = SIGABRT) {
        Loop *loop = loop_kit_new(kind);
        Probe probe;

        probe_init(&probe, loop);
        loop_poll(&probe.op, STDIN_FILENO, POLLIN, false);
        loop_poll(&probe.op, STDIN_FILENO, POLLIN, false);
        survived();
}

static void *foreign_turn(void *loop) {
        loop_run_once(loop);
        return NULL;
}

LOOP_TEST(misuse, turn_of_a_foreign_thread, .signal = SIGABRT) {
        Loop *loop = loop_kit_new(kind);
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, foreign_turn, loop), 0);
        pthread_join(thread, NULL);
        survived();
}

LOOP_TEST(misuse, freed_with_an_armed_operation, .signal = SIGABRT) {
        Loop *loop = loop_kit_new(kind);
        Probe probe;

        probe_init(&probe, loop);
        loop_poll(&probe.op, STDIN_FILENO, POLLIN, false);
        loop_free(loop);
        survived();
}

static void ring(LoopTimer *timer, uint64_t now_usec) {
}

LOOP_TEST(misuse, freed_with_a_timer, .signal = SIGABRT) {
        Loop *loop = loop_kit_new(kind);
        LoopTimer timer;

        loop_timer_init(&timer, loop, ring);
        loop_timer_set(&timer, USEC_INFINITY - 1);
        loop_free(loop);
        survived();
}

static void receive(Inbox *inbox, InboxItem *item) {
}

LOOP_TEST(misuse, inbox_with_items_removed, .signal = SIGABRT) {
        Loop *loop = loop_kit_new(kind);
        InboxItem item;
        Inbox inbox;

        kit_ok(inbox_init(&inbox, loop, receive));
        inbox_push(&inbox, &item);
        inbox_deinit(&inbox);
        survived();
}

/* On io_uring the request holds the file; on epoll it is a bug that must show. */
Test(misuse, descriptor_closed_under_an_armed_operation, .signal = SIGABRT) {
        Loop *loop = loop_kit_new(LOOP_EPOLL);
        int fd = loop_kit_eventfd();
        Probe probe;

        probe_init(&probe, loop);
        loop_poll(&probe.op, fd, POLLIN, false);
        loop_kit_settle(loop);
        close(fd);
        loop_op_cancel(&probe.op);
        loop_drain(loop);
        survived();
}
