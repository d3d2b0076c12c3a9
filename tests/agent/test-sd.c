/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager and the journal get */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "sd/journal.h"
#include "sd/notify.h"
#include "sd/watchdog.h"
#include "support/kit.h"

KIT_SUITE(sd);

static char received[4096];

static int open_manager(void) {
        struct sockaddr_un addr = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        kit_ok(str_copy(addr.sun_path, sizeof(addr.sun_path), kit_path("notify")));
        kit_ok(bind(fd, (struct sockaddr *) &addr, sizeof(addr)));
        kit_ok(setenv("NOTIFY_SOCKET", kit_path("notify"), 1));
        return fd;
}

/* What came, or "". */
static const char *hear(int fd) {
        ssize_t n = recv(fd, received, sizeof(received) - 1, 0);

        received[n > 0 ? n : 0] = 0;
        return received;
}

Test(sd, nobody_listens) {
        kit_ok(unsetenv("NOTIFY_SOCKET"));
        cr_assert_not(notify_is_wanted());
        notify_ready("x");
        notify_status("x");
}

Test(sd, messages) {
        _cleanup_close_ int fd = open_manager();

        cr_assert(notify_is_wanted());
        notify_ready("node: 1 held");
        kit_streq(hear(fd), "READY=1\nSTATUS=node: 1 held");
        notify_status("more");
        kit_streq(hear(fd), "STATUS=more");
        notify_stopping();
        kit_streq(hear(fd), "STOPPING=1\nSTATUS=Stopping.");
        notify_watchdog();
        kit_streq(hear(fd), "WATCHDOG=1");
}

/* systemd takes the READY=1 that ends a reload by comparing MONOTONIC_USEC with its own clock. */
Test(sd, reload_is_stamped_with_the_monotonic_clock) {
        _cleanup_close_ int fd = open_manager();
        struct timespec before, after;
        const char *text;
        uint64_t usec;

        clock_gettime(CLOCK_MONOTONIC, &before);
        notify_reloading();
        clock_gettime(CLOCK_MONOTONIC, &after);
        text = str_skip_prefix(hear(fd), "RELOADING=1\nMONOTONIC_USEC=");
        cr_assert_not_null(text);
        kit_ok(str_parse_u64(text, &usec));
        cr_assert_geq(usec, (uint64_t) before.tv_sec * USEC_PER_SEC);
        cr_assert_leq(usec, ((uint64_t) after.tv_sec + 1) * USEC_PER_SEC);
}

/* --- watchdog ------------------------------------------------------------------------------------- */

static unsigned n_fed;
static bool well = true;

static void count_feed(void) {
        n_fed++;
}

static bool report_well(Watchdog *w, uint64_t now_usec) {
        return well;
}

/* Turns until the timer has come `n` times, which it does whether it feeds or not. */
static void turn(Loop *loop, Watchdog *w, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                cr_assert(loop_timer_is_set(&w->timer));
                kit_ok(loop_run_once(loop));
        }
}

Test(sd, no_watchdog_without_the_environment) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        Watchdog w;

        kit_ok(unsetenv("WATCHDOG_USEC"));
        kit_ok(loop_new(&loop, LOOP_EPOLL));
        kit_ok(watchdog_init(&w, loop, report_well));
        cr_assert_not(loop_timer_is_set(&w.timer));
        watchdog_deinit(&w);
}

Test(sd, watchdog_of_the_environment) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        char pid[32];
        Watchdog w;

        kit_ok(str_print(pid, sizeof(pid), "%d", (int) getpid()));
        kit_ok(setenv("WATCHDOG_USEC", "5000000", 1));
        kit_ok(setenv("WATCHDOG_PID", pid, 1));
        kit_ok(loop_new(&loop, LOOP_EPOLL));
        kit_ok(watchdog_init(&w, loop, report_well));
        cr_assert_eq(w.period_usec, 5000000);
        cr_assert(loop_timer_is_set(&w.timer));
        watchdog_deinit(&w);
        cr_assert_not(loop_timer_is_set(&w.timer));
}

Test(sd, only_a_whole_turn_feeds_and_only_when_all_is_well) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        Watchdog w;

        kit_ok(unsetenv("WATCHDOG_USEC"));
        kit_ok(loop_new(&loop, LOOP_EPOLL));
        kit_ok(watchdog_init(&w, loop, report_well));
        w.send = count_feed;
        watchdog_start(&w, 2 * USEC_PER_MSEC);
        cr_assert_eq(n_fed, 0);
        turn(loop, &w, 1);
        cr_assert_eq(n_fed, 1);

        well = false;
        turn(loop, &w, 5);
        cr_assert_eq(n_fed, 1);

        well = true;
        while (n_fed == 1)
                turn(loop, &w, 1);
        watchdog_deinit(&w);
}

/* The timer asks; the publish phase feeds. A turn that hangs between the two feeds nothing. */
static LoopHook hook;
static unsigned n_fed_when_deferred;

static void note_feeds(LoopHook *h) {
        n_fed_when_deferred = n_fed;
}

Test(sd, feeding_is_the_last_phase) {
        _cleanup_(loop_freep) Loop *loop = NULL;
        Watchdog w;

        kit_ok(unsetenv("WATCHDOG_USEC"));
        kit_ok(loop_new(&loop, LOOP_EPOLL));
        loop_hook_add(&hook, loop, LOOP_PHASE_DEFERRED, note_feeds);
        kit_ok(watchdog_init(&w, loop, report_well));
        w.send = count_feed;
        watchdog_start(&w, USEC_PER_SEC);
        n_fed_when_deferred = 77;
        turn(loop, &w, 1);
        cr_assert_eq(n_fed_when_deferred, 0);
        cr_assert_eq(n_fed, 1);
        loop_hook_remove(&hook);
        watchdog_deinit(&w);
}

/* --- log ------------------------------------------------------------------------------------------ */

static void log_to_file(const char *path, void (*sink)(const LogRecord *), const char *message) {
        int saved = dup(STDERR_FILENO), fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        LogRecord record = { .level = LOG_LEVEL_WARNING, .file = "f.c", .line = 3, .func = "f", .message = message };

        kit_ok(dup2(fd, STDERR_FILENO));
        sink(&record);
        kit_ok(dup2(saved, STDERR_FILENO));
        close(saved);
        close(fd);
}

Test(sd, standard_error_has_time_and_level_and_one_line) {
        _cleanup_free_ char *text = NULL;
        const char *rest;
        unsigned n[7];

        log_to_file(kit_path("log"), journal_to_stderr, "two\nlines");
        kit_ok(file_read(kit_path("log"), 4096, &text, NULL));
        cr_assert_eq(sscanf(text, "%4u-%2u-%2u %2u:%2u:%2u.%3u ", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6]), 7);
        rest = strstr(text, ": warning: ");
        cr_assert_not_null(rest, "%s", text);
        kit_streq(rest, ": warning: two?lines\n");
}
