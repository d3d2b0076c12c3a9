/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Supervisor of a command that runs under a lock, and of everything that it starts */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/table.h"
#include "ctl/process.h"

typedef enum SuperviseState {
        SUPERVISE_IDLE,
        SUPERVISE_RUNNING,     /* the command runs */
        SUPERVISE_LINGERING,   /* it has ended; what it started has not */
        SUPERVISE_TERMINATING, /* all have got TERM */
        SUPERVISE_KILLING,     /* all get KILL until none is left */
        SUPERVISE_GONE,        /* nothing is left, or nobody waits for it */
        _SUPERVISE_STATE_MAX,
} SuperviseState;

DECLARE_STRING_TABLE(supervise_state, SuperviseState);

typedef struct Supervisor {
        SuperviseState state;
        pid_t pid;
        int exit_status; /* as a shell has it */
        bool reaped;     /* the command has ended */
        bool stopped;    /* it has been stopped, and we have its terminal */
        bool close;      /* when the command ends, what it started is let go */
        int tty_fd;      /* controlling terminal that we lend to the command, or -1 */
        sigset_t mask;   /* of signals, as the command gets it */
        ProcessSet own;  /* children that were here before: not ours to stop */
        uint64_t timer_usec;
        uint64_t kill_usec;
} Supervisor;

/* Makes this process the one to which orphans below it go. One supervisor in a process, before any child. */
int supervisor_init(Supervisor *s, const sigset_t *mask);
void supervisor_deinit(Supervisor *s);

/* Starts the command in a process group of its own, to which a foreground terminal is lent. It is killed when this
 * process dies. `handle_fd` (or -1) is inherited. -ENOENT: not found; another error: it can't be run. */
int supervisor_start(Supervisor *s, char *const argv[], int handle_fd);

/* SIGCHLD has come. */
void supervisor_on_child(Supervisor *s, uint64_t now);
void supervisor_on_timer(Supervisor *s, uint64_t now);
/* BOOTTIME; USEC_INFINITY: never. */
uint64_t supervisor_next_timer(const Supervisor *s);

/* Passes a signal on to the command's group. */
void supervisor_forward(Supervisor *s, int sig);

/* The lock is lost, or about to be: stops all. KILL comes at `kill_usec`; in the past: no TERM before it. Once begun
 * it is not taken back; a later call can only bring KILL forward. */
void supervisor_stop(Supervisor *s, uint64_t kill_usec, uint64_t now);

/* The command was stopped from the terminal (`stopped`): stops us too, as a shell expects, until somebody continues
 * us. Then the caller looks after the lock before it lets the command go on. */
void supervisor_suspend(Supervisor *s);
void supervisor_continue(Supervisor *s);

bool supervisor_is_stopping(const Supervisor *s);
