/* SPDX-License-Identifier: Apache-2.0 */
/* The agent of this build */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <tooz/tooz.h>
#include <unistd.h>

#include "base/str.h"
#include "client/real-agent.h"
#include "support/kit.h"

static void run_agent(const char *socket) {
        char program[512], socket_option[256], state_option[256];

        kit_ok(str_print(program, sizeof(program), "%s/src/tooz-agent", getenv("builddir") ?: "."));
        kit_ok(str_print(socket_option, sizeof(socket_option), "--socket=%s", socket));
        kit_ok(str_print(state_option, sizeof(state_option), "--state-directory=%s", kit_folder()));
        (void) prctl(PR_SET_PDEATHSIG, (unsigned long) SIGKILL, 0UL, 0UL, 0UL);
        (void) execl(program, program, "--config=/dev/null", "--bus-address=none", "--node-name=here", socket_option,
                     state_option, "--log-level=warning", NULL);
        _exit(127);
}

void real_agent_start(RealAgent *a) {
        tooz_client *c = NULL;
        int r, status;

        a->socket = a->socket ?: kit_path("real.sock");
        (void) kit_folder();
        a->pid = fork();
        if (a->pid == 0)
                run_agent(a->socket);

        while ((r = tooz_client_open(&c, a->socket, 0)) < 0) {
                cr_assert_eq(waitpid(a->pid, &status, WNOHANG), 0, "the agent ended");
                (void) usleep(2000);
        }
        (void) tooz_client_unref(c);
}

void real_agent_kill(RealAgent *a) {
        cr_assert_eq(kill(a->pid, SIGKILL), 0);
        cr_assert_eq(waitpid(a->pid, NULL, 0), a->pid);
}

void real_agent_stop(RealAgent *a) {
        int status;

        cr_assert_eq(kill(a->pid, SIGTERM), 0);
        cr_assert_eq(waitpid(a->pid, &status, 0), a->pid);
        cr_assert_eq(status, 0);
}
