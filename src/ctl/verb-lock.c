/* SPDX-License-Identifier: Apache-2.0 */
/* lock: a command under a lock
 *
 *      request --> wait --> run ----------------------> released --> the command's status
 *                   |        |
 *                   |        +--> lost, or as good as --> all stopped --> 123
 *                   +--> 75, 124, 125, or the signal that ended the wait
 *
 * The lock is looked at after everything that happens, and when the time comes at which TERM must be sent, so that KILL
 * is through before the deadline: all of it from the status page, whether the agent speaks or not. It is given back
 * only when nothing of what ran under it is left.
 *
 * Signals come in on a descriptor; one loop waits for it, for the client, and, without a command, for the end of
 * standard input. */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "base/time.h"
#include "ctl/ctl.h"
#include "ctl/format.h"
#include "ctl/supervise.h"
#include "ctl/waiting.h"

/* From TERM to KILL where there is no session time-out to take a sixth of. */
#define KILL_AFTER_NODE_USEC (2500 * USEC_PER_MSEC)
/* KILL comes this much before the deadline, so that it is through at the deadline. */
#define KILL_EARLY_USEC (50 * USEC_PER_MSEC)
/* Calls to the agent are answered at once; these are for one that hangs. */
#define CALL_TIMEOUT_MAX_USEC (10 * USEC_PER_SEC)
#define CALL_TIMEOUT_MIN_USEC (2 * USEC_PER_SEC)
#define RELEASE_TIMEOUT_USEC (2 * USEC_PER_SEC)
/* When to say that the command has left something running. */
#define LINGER_SAY_USEC USEC_PER_SEC

typedef struct Hold {
        Ctl *ctl;
        tooz_claim *claim;
        const char *domain;
        const char *name;
        int signal_fd;
        sigset_t mask; /* as it was */
        Supervisor supervisor;
        bool has_command;
        bool input_ended;
        bool lost;
        bool said_lingering;
        int end_signal; /* one that ends us: INT, TERM… */
        uint64_t kill_after_usec;
        uint64_t deadline_usec; /* as last seen */
        uint64_t linger_usec;   /* when to say so */
} Hold;

/* The first are taken care of from the beginning, the others once there is a command to pass them on to. */
static const int signals[] = { SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM,
                               SIGALRM, SIGUSR1, SIGUSR2, SIGWINCH, SIGTSTP, SIGCONT };
#define N_SIGNALS_FIRST 5

static int hold_catch(Hold *h, size_t n_signals) {
        sigset_t set;
        int fd;

        sigemptyset(&set);
        for (size_t i = 0; i < n_signals; i++)
                sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        fd = signalfd(h->signal_fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fd < 0)
                return -errno;
        h->signal_fd = fd;
        return 0;
}

static int hold_catch_first(Hold *h) {
        /* If whoever started us ignores it, wait() would not tell how the command ended. */
        if (signal(SIGCHLD, SIG_DFL) == SIG_ERR)
                return -errno;
        if (sigprocmask(SIG_SETMASK, NULL, &h->mask) < 0)
                return -errno;
        return hold_catch(h, N_SIGNALS_FIRST);
}

/* The next one that has come, or 0. */
static int hold_read_signal(const Hold *h) {
        struct signalfd_siginfo info;

        return read(h->signal_fd, &info, sizeof(info)) == sizeof(info) ? (int) info.ssi_signo : 0;
}

/* Sleeps until something happens, at the latest at `until_usec`. */
static int hold_sleep(const Hold *h, bool input, uint64_t until_usec) {
        struct pollfd fds[] = {
                { .fd = tooz_client_get_fd(h->ctl->client), .events = POLLIN },
                { .fd = h->signal_fd, .events = POLLIN },
                { .fd = input ? STDIN_FILENO : -1, .events = POLLIN },
        };
        uint64_t left_usec = usec_sub(until_usec, time_now());
        int timeout_msec = -1;

        if (until_usec != USEC_INFINITY)
                timeout_msec = (int) MIN(usec_add(left_usec, USEC_PER_MSEC - 1) / USEC_PER_MSEC, (uint64_t) INT_MAX);
        if (poll(fds, ARRAY_SIZE(fds), timeout_msec) < 0 && errno != EINTR)
                return -errno;
        return fds[2].revents != 0;
}

static int hold_process(const Hold *h) {
        int r;

        do
                r = tooz_client_process(h->ctl->client);
        while (r > 0);
        return r;
}

/* --- requesting and waiting --------------------------------------------------------------------- */

static int conflict_status(const Hold *h, int status) {
        return h->ctl->o.conflict_exit >= 0 ? h->ctl->o.conflict_exit : status;
}

/* Who is in the way? `words` are for when nobody is any more. */
static int say_conflict(Hold *h, const char *words) {
        Waiting w;

        waiting_init(&w, h->ctl, h->domain, h->name, 0, time_now());
        if (!h->ctl->o.quiet) {
                (void) waiting_ask(&w);
                waiting_say_conflict(&w, words);
        }
        return conflict_status(h, EXIT_CONFLICT);
}

static int request(Hold *h) {
        struct tooz_lock_options options = TOOZ_LOCK_OPTIONS_INIT;
        _cleanup_free_ char *words = NULL;
        const Options *o = &h->ctl->o;
        int r;

        /* A hanging agent must not make the wait much longer than it may be. */
        if (o->wait_usec < CALL_TIMEOUT_MAX_USEC)
                (void) tooz_client_set_call_timeout(h->ctl->client, MAX(o->wait_usec, CALL_TIMEOUT_MIN_USEC));
        options.mode = o->mode;
        options.timeout_usec = o->wait_usec;
        options.description = o->reason;
        r = tooz_lock_request(h->ctl->client, &h->claim, o->domain, o->args[0], &options);
        if (r >= 0) {
                (void) tooz_claim_get_name(h->claim, &h->domain, &h->name);
                return 0;
        }
        if (r != -EAGAIN) {
                (void) ctl_fail(h->ctl, r, "lock %s", o->args[0]);
                return EXIT_SELF;
        }
        words = strdup(tooz_client_get_error(h->ctl->client));
        h->name = o->args[0];
        h->domain = o->domain;
        if (!*h->domain)
                (void) tooz_client_get_default_domain(h->ctl->client, &h->domain);
        return say_conflict(h, str_is_empty(words) ? "held by others" : words);
}

/* It has ended before it was held. */
static int say_failed(Hold *h) {
        const char *reason = "";

        (void) tooz_claim_get_reason(h->claim, &reason);
        if (streq(reason, "would-block"))
                return say_conflict(h, "held by others");
        if (!streq(reason, "timeout")) {
                ctl_say("lock %s/%s: %s", h->domain, h->name, reason);
                return EXIT_SELF;
        }
        if (h->ctl->o.wait_usec == 0)
                return say_conflict(h, "held by others");
        if (!h->ctl->o.quiet)
                ctl_say("lock %s/%s: not free in time", h->domain, h->name);
        return conflict_status(h, EXIT_TIMEOUT);
}

/* Ends like a program that does not care for the signal, as whoever sent it expects. */
static int end_by_signal(Hold *h, int sig) {
        (void) tooz_claim_release_async(h->claim);
        (void) signal(sig, SIG_DFL);
        (void) sigprocmask(SIG_SETMASK, &h->mask, NULL);
        (void) raise(sig);
        return EXIT_SIGNAL + sig;
}

static bool signal_ends(int sig) {
        return sig == SIGHUP || sig == SIGINT || sig == SIGQUIT || sig == SIGTERM;
}

/* EXIT_OK: held. */
static int wait_held(Hold *h) {
        tooz_claim_state state = TOOZ_CLAIM_WAITING;
        uint64_t give_up_usec, id = 0;
        Waiting w;
        int r, sig;

        (void) tooz_claim_get_id(h->claim, &id);
        waiting_init(&w, h->ctl, h->domain, h->name, id, time_now());
        /* The agent keeps the time; this is for one that hangs. */
        give_up_usec = usec_add(usec_add(time_now(), h->ctl->o.wait_usec), CALL_TIMEOUT_MIN_USEC);
        for (;;) {
                r = hold_process(h);
                if (r < 0)
                        break;
                (void) tooz_claim_get_state(h->claim, &state);
                if (state != TOOZ_CLAIM_WAITING)
                        break;
                while ((sig = hold_read_signal(h)) > 0 && !signal_ends(sig))
                        ;
                if (sig > 0) {
                        waiting_done(&w);
                        return end_by_signal(h, sig);
                }
                if (time_now() >= give_up_usec) {
                        waiting_done(&w);
                        ctl_say("lock %s/%s: the agent does not answer", h->domain, h->name);
                        return conflict_status(h, EXIT_TIMEOUT);
                }
                waiting_show(&w, time_now());
                r = hold_sleep(h, false, MIN(w.next_usec, give_up_usec));
                if (r < 0)
                        break;
        }
        waiting_done(&w);
        if (r < 0) {
                (void) ctl_fail(h->ctl, r, "lock %s/%s", h->domain, h->name);
                return EXIT_SELF;
        }
        return state == TOOZ_CLAIM_HELD || state == TOOZ_CLAIM_SUSPENDED ? EXIT_OK : say_failed(h);
}

/* --- holding ------------------------------------------------------------------------------------ */

/* Time from TERM to KILL; a healthy session is never closer to its deadline than 5T/12, so a quarter of it fits. */
static int choose_kill_after(Hold *h) {
        char given[TIME_TEXT_SIZE], session[TIME_TEXT_SIZE];
        uint64_t session_usec = USEC_INFINITY;

        h->kill_after_usec = h->ctl->o.kill_after_usec;
        (void) tooz_claim_get_session_timeout(h->claim, &session_usec);
        if (session_usec == USEC_INFINITY) {
                if (h->kill_after_usec == USEC_INFINITY)
                        h->kill_after_usec = KILL_AFTER_NODE_USEC;
                return EXIT_OK;
        }
        if (h->kill_after_usec == USEC_INFINITY)
                h->kill_after_usec = session_usec / 6;
        if (h->kill_after_usec <= session_usec / 4)
                return EXIT_OK;
        ctl_say("--kill-after=%s does not fit: at most a quarter of the session time-out, which is %s",
                time_format_span(given, h->kill_after_usec), time_format_span(session, session_usec));
        return EXIT_SELF;
}

static void say_lost(Hold *h) {
        tooz_claim_state state = TOOZ_CLAIM_HELD;
        const char *reason = "";

        (void) tooz_claim_get_state(h->claim, &state);
        (void) tooz_claim_get_reason(h->claim, &reason);
        if (state == TOOZ_CLAIM_SUSPENDED)
                reason = "no contact";
        ctl_say("lock %s/%s %s (%s)%s", h->domain, h->name,
                state == TOOZ_CLAIM_LOST ? "lost" : "about to be lost", *reason ? reason : "deadline",
                !h->has_command || h->ctl->o.on_lost == ON_LOST_IGNORE ? "" : ", stopping the command");
}

/* When everything must be gone. After a loss with the deadline ahead (the agent died) the cluster still keeps the lock
 * for us; after any other one somebody may have it already. */
static uint64_t kill_time(const Hold *h, uint64_t now) {
        uint64_t last_usec = h->deadline_usec == USEC_INFINITY ? USEC_INFINITY : usec_sub(h->deadline_usec, KILL_EARLY_USEC);

        if (h->ctl->o.on_lost == ON_LOST_KILL)
                return now;
        return MIN(usec_add(now, h->kill_after_usec), last_usec);
}

static bool is_expired(const Hold *h) {
        const char *reason = "";

        (void) tooz_claim_get_reason(h->claim, &reason);
        return streq(reason, "deadline") || streq(reason, "session-expired");
}

static void lose(Hold *h, uint64_t now) {
        if (!h->lost)
                say_lost(h);
        h->lost = true;
        if (h->has_command && h->ctl->o.on_lost != ON_LOST_IGNORE)
                supervisor_stop(&h->supervisor, is_expired(h) ? now : kill_time(h, now), now);
}

/* How long before the deadline the command must begin to end. */
static uint64_t guard_margin(const Hold *h) {
        if (!h->has_command || h->ctl->o.on_lost == ON_LOST_IGNORE)
                return 0;
        return h->ctl->o.on_lost == ON_LOST_KILL ? 2 * KILL_EARLY_USEC : h->kill_after_usec;
}

/* Looks after the lock; returns when to look again. */
static uint64_t guard(Hold *h, uint64_t now) {
        uint64_t safe_usec = 0, margin_usec = guard_margin(h);

        if (h->lost && !is_expired(h))
                return USEC_INFINITY;
        if (tooz_claim_check(h->claim, &safe_usec) > 0) {
                h->deadline_usec = usec_add(now, safe_usec);
                if (safe_usec > margin_usec)
                        return usec_sub(h->deadline_usec, margin_usec);
        }
        lose(h, now);
        return USEC_INFINITY;
}

static void pass_signal(Hold *h, int sig) {
        switch (sig) {
        case SIGCHLD:
                break;
        case SIGCONT:
                supervisor_continue(&h->supervisor);
                break;
        default:
                supervisor_forward(&h->supervisor, sig);
        }
}

static void on_signals(Hold *h) {
        int sig;

        while ((sig = hold_read_signal(h)) > 0)
                if (h->has_command)
                        pass_signal(h, sig);
                else if (signal_ends(sig))
                        h->end_signal = sig;
        if (h->has_command)
                supervisor_on_child(&h->supervisor, time_now());
}

static void on_input(Hold *h) {
        char buf[4096];
        ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
                h->input_ended = true;
}

static bool is_over(const Hold *h) {
        if (h->has_command)
                return h->supervisor.state == SUPERVISE_GONE;
        return h->lost || h->input_ended || h->end_signal > 0;
}

static void say_lingering(Hold *h, uint64_t now) {
        if (h->supervisor.state != SUPERVISE_LINGERING || h->said_lingering || h->ctl->o.quiet)
                return;
        if (h->linger_usec == USEC_INFINITY)
                h->linger_usec = usec_add(now, LINGER_SAY_USEC);
        if (now < h->linger_usec)
                return;
        ctl_say("the command has ended, waiting for what it has left running (see -o)");
        h->said_lingering = true;
        h->linger_usec = USEC_INFINITY;
}

/* Until the command and all of its kin are gone, or the hold without a command ends. */
static int hold(Hold *h) {
        int r;

        h->linger_usec = USEC_INFINITY;
        for (;;) {
                uint64_t now, until_usec;

                r = hold_process(h);
                if (r < 0 && r != -ENOMEM)
                        return r;
                now = time_now();
                until_usec = guard(h, now);
                on_signals(h);
                if (h->has_command) {
                        supervisor_on_timer(&h->supervisor, now);
                        say_lingering(h, now);
                        until_usec = MIN(until_usec, supervisor_next_timer(&h->supervisor));
                        until_usec = MIN(until_usec, h->linger_usec);
                }
                if (is_over(h))
                        return 0;
                if (h->supervisor.stopped) {
                        supervisor_suspend(&h->supervisor);
                        if (guard(h, time_now()) == USEC_INFINITY && h->lost)
                                continue;
                        supervisor_continue(&h->supervisor);
                        continue;
                }
                r = hold_sleep(h, !h->has_command, until_usec);
                if (r < 0)
                        return r;
                if (r > 0)
                        on_input(h);
        }
}

/* --- with and without a command ----------------------------------------------------------------- */

static int set_environment(const Hold *h) {
        uint64_t token = 0, id = 0;
        char number[32];

        (void) tooz_claim_get_token(h->claim, &token);
        (void) tooz_claim_get_id(h->claim, &id);
        (void) str_print(number, sizeof(number), "%" PRIu64, token);
        if (setenv("TOOZ_FENCING_TOKEN", number, 1) < 0)
                return -errno;
        (void) str_print(number, sizeof(number), "%" PRIu64, id);
        if (setenv("TOOZ_CLAIM", number, 1) < 0 || setenv("TOOZ_LOCK", h->name, 1) < 0 ||
            setenv("TOOZ_DOMAIN", h->domain, 1) < 0)
                return -errno;
        return 0;
}

static int start(Hold *h, char *const *argv) {
        _cleanup_close_ int handle = h->ctl->o.close ? -1 : tooz_client_dup_handle(h->ctl->client);
        int r;

        r = set_environment(h);
        if (r < 0) {
                ctl_say("can't set the environment: %s", strerror(-r));
                return EXIT_SELF;
        }
        r = supervisor_start(&h->supervisor, argv, handle);
        if (r < 0) {
                ctl_say("can't run %s: %s", argv[0], strerror(-r));
                return r == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
        }
        return EXIT_OK;
}

static int run_command(Hold *h) {
        const Options *o = &h->ctl->o;
        const char *shell = getenv("SHELL");
        char *shell_argv[] = { (char *) (uintptr_t) (str_is_empty(shell) ? "/bin/sh" : shell),
                               (char *) (uintptr_t) "-c", o->shell, NULL };
        int r;

        h->supervisor.close = o->close;
        r = hold_catch(h, ARRAY_SIZE(signals));
        if (r < 0) {
                ctl_say("%s", strerror(-r));
                return EXIT_SELF;
        }
        r = start(h, o->shell ? shell_argv : o->command);
        if (r != EXIT_OK)
                return r;
        r = hold(h);
        if (r < 0) {
                ctl_say("%s", strerror(-r));
                supervisor_stop(&h->supervisor, 0, time_now());
                return EXIT_SELF;
        }
        return h->lost && o->on_lost != ON_LOST_IGNORE ? EXIT_LOST : h->supervisor.exit_status;
}

/* One line that a shell can eval, or a program read. */
static int say_held(const Hold *h) {
        uint64_t token = 0;
        char text[32];
        json_t *line;

        (void) tooz_claim_get_token(h->claim, &token);
        (void) str_print(text, sizeof(text), "%" PRIu64, token);
        if (h->ctl->o.json != JSON_OFF) {
                line = json_pack("{s:s, s:s, s:s, s:s}", "event", "acquired", "domain", h->domain, "name", h->name,
                                 "token", text);
                return json_print(line, &h->ctl->o, stdout);
        }
        if (isatty(STDOUT_FILENO))
                printf("Holding %s/%s, token %s. ^D or ^C gives it back.\n", h->domain, h->name, text);
        else
                printf("TOOZ_FENCING_TOKEN=%s\n", text);
        return fflush(stdout) == EOF ? -errno : 0;
}

static int hold_without_command(Hold *h) {
        int r;

        r = say_held(h);
        if (r >= 0)
                r = hold(h);
        if (r < 0) {
                ctl_say("%s", strerror(-r));
                return EXIT_SELF;
        }
        if (h->lost)
                return EXIT_LOST;
        return h->end_signal > 0 ? end_by_signal(h, h->end_signal) : EXIT_OK;
}

static int lock_and_run(Hold *h) {
        int r;

        r = request(h);
        if (r != EXIT_OK)
                return r;
        r = wait_held(h);
        if (r != EXIT_OK)
                return r;
        r = choose_kill_after(h);
        if (r == EXIT_OK)
                r = h->has_command ? run_command(h) : hold_without_command(h);
        /* Waits for the agent, so that whoever asks next is not told that it is held; not long for one that hangs, since
         * our end gives it back too. */
        (void) tooz_client_set_call_timeout(h->ctl->client, RELEASE_TIMEOUT_USEC);
        (void) tooz_claim_release(h->claim);
        return r;
}

int verb_lock(Ctl *ctl) {
        Hold h = { .ctl = ctl, .signal_fd = -1, .deadline_usec = USEC_INFINITY };
        int r;

        h.has_command = ctl->o.command || ctl->o.shell;
        r = hold_catch_first(&h);
        if (r >= 0)
                r = supervisor_init(&h.supervisor, &h.mask);
        if (r < 0)
                ctl_say("%s", strerror(-r));
        r = r < 0 || ctl_connect(ctl) < 0 ? EXIT_SELF : lock_and_run(&h);

        (void) tooz_claim_unref(h.claim);
        supervisor_deinit(&h.supervisor);
        (void) fd_close(h.signal_fd);
        return r;
}
