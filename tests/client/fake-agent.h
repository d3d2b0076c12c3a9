/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An agent that does what the test tells it: it hangs, dies, forgets to reply, lets its page stand still
 *
 * It answers calls on its socket in a thread; the events of claims are sent by the test itself, on the agent's end of
 * the handle. What a good agent does is tested with a real one. */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct FakeAgent {
        const char *path;
        int listen_fd;
        int stop_fd;
        pthread_t thread;

        /* Set by the test before the call that is concerned. */
        int page_fd;            /* -1: there is none */
        const char *error;      /* name of the error that RequestLock gives, NULL: none */

        /* Asked for with fake_agent_hang() and _hang_up(), and then done. */
        bool want_hang, hangs;
        bool want_hang_up;

        /* Read by the test after the call has returned. */
        int handle_fd; /* our end of the last handle */
        unsigned n_requests;
        unsigned n_shared; /* requests that named the handle */
        uint64_t last_timeout_usec;
        uint64_t last_flags;
        char last_domain[64];
        char last_mode[16];
} FakeAgent;

void fake_agent_start(FakeAgent *f);
void fake_agent_stop(FakeAgent *f);

/* It answers nothing (or again), from when this returns. */
void fake_agent_hang(FakeAgent *f, bool on);
/* Closes the connection of the client; the handle stays. */
void fake_agent_hang_up(FakeAgent *f);
/* One event of a claim (they are numbered from 1), with more lines or "". */
void fake_agent_tell(FakeAgent *f, uint64_t claim, const char *event, const char *lines);
/* The next datagram from the client, or "" if it has hung up. Waits. */
const char *fake_agent_hear(FakeAgent *f);
/* Our end of the handle closes: the agent is gone. */
void fake_agent_drop_handle(FakeAgent *f);
