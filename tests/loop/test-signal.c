/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as events, and signals that interrupt */

#include <signal.h>
#include <sys/time.h>

#include "loop/loop-kit.h"
#include "loop/signal.h"

KIT_SUITE(signals);

typedef struct Ear {
        LoopSignal sig;
        unsigned n;
        uint32_t signo;
        int value;
        bool deaf_after_one;
} Ear;

static void ear_hear(LoopSignal *sig, const struct signalfd_siginfo *info) {
        Ear *ear = container_of(sig, Ear, sig);

        ear->n++;
        ear->signo = info->ssi_signo;
        ear->value = info->ssi_int;
        if (ear->deaf_after_one)
                loop_signal_deinit(sig);
}

static void ear_init(Ear *ear, Loop *loop, int signo) {
        sigset_t mask;

        *ear = (Ear) {};
        sigemptyset(&mask);
        sigaddset(&mask, signo);
        kit_ok(loop_signal_init(&ear->sig, loop, &mask, ear_hear));
}

static void send_value(int signo, int value) {
        cr_assert_eq(sigqueue(getpid(), signo, (union sigval) { .sival_int = value }), 0);
}

LOOP_TEST(signals, each_to_its_own) {
        Loop *loop = loop_kit_new(kind);
        Ear usr1, usr2;

        ear_init(&usr1, loop, SIGUSR1);
        ear_init(&usr2, loop, SIGUSR2);
        for (unsigned i = 1; i <= 3; i++) {
                send_value(SIGUSR1, (int) i);
                while (usr1.n < i)
                        kit_ok(loop_run_once(loop));
                cr_assert_eq(usr1.signo, SIGUSR1);
                cr_assert_eq(usr1.value, (int) i);
        }
        cr_assert_eq(usr2.n, 0);
        send_value(SIGUSR2, 7);
        while (usr2.n < 1)
                kit_ok(loop_run_once(loop));
        cr_assert_eq(usr2.value, 7);
        cr_assert_eq(usr1.n, 3);

        loop_signal_deinit(&usr1.sig);
        loop_signal_deinit(&usr2.sig);
        loop_signal_deinit(&usr2.sig);
        loop_free(loop);
}

/* Several wait already when the loop comes to look: real-time signals, which are kept one by one. */
LOOP_TEST(signals, several_at_once) {
        Loop *loop = loop_kit_new(kind);
        Ear ear;

        ear_init(&ear, loop, SIGRTMIN);
        for (int i = 1; i <= 5; i++)
                send_value(SIGRTMIN, i);
        while (ear.n < 5)
                kit_ok(loop_run_once(loop));
        cr_assert_eq(ear.value, 5);
        loop_signal_deinit(&ear.sig);
        loop_free(loop);
}

LOOP_TEST(signals, deinit_in_the_callback) {
        Loop *loop = loop_kit_new(kind);
        Ear ear;

        ear_init(&ear, loop, SIGRTMIN);
        ear.deaf_after_one = true;
        send_value(SIGRTMIN, 1);
        send_value(SIGRTMIN, 2);
        while (ear.n < 1)
                kit_ok(loop_run_once(loop));
        loop_kit_settle(loop);
        cr_assert_eq(ear.n, 1);
        loop_free(loop);
}

/* A handler without SA_RESTART interrupts the wait: no error, and nothing is lost. */
static int handler_fd;
static volatile sig_atomic_t n_handled;

static void handler(int signo) {
        uint64_t one = 1;

        if (++n_handled == 10)
                (void) !write(handler_fd, &one, sizeof(one));
}

LOOP_TEST(signals, interrupted_wait) {
        struct itimerval every = { .it_interval.tv_usec = 500, .it_value.tv_usec = 500 }, off = {};
        struct sigaction action = { .sa_handler = handler };
        Loop *loop = loop_kit_new(kind);
        Probe probe;

        handler_fd = loop_kit_eventfd();
        probe_init(&probe, loop);
        loop_poll(&probe.op, handler_fd, POLLIN, false);
        cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
        cr_assert_eq(setitimer(ITIMER_REAL, &every, NULL), 0);
        probe_await(&probe, 1);
        cr_assert_eq(setitimer(ITIMER_REAL, &off, NULL), 0);
        cr_assert_geq(n_handled, 10);
        cr_assert_eq(probe.result, POLLIN);
        loop_free(loop);
        close(handler_fd);
}
