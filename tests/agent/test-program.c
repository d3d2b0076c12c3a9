/* SPDX-License-Identifier: Apache-2.0 */
/* The program: starts, tells its service manager, reloads and stops, on both loops; exit statuses */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "loop/loop.h"
#include "support/kit.h"

KIT_SUITE(program);

#define ARGS_MAX 16
#define PATIENCE_MSEC 60000 /* for a loaded machine: nothing waits for it when all is well */

typedef struct Program {
        pid_t pid;
        const char *log;
        const char *socket;
        int manager; /* $NOTIFY_SOCKET's other end */
        char heard[4096];
} Program;

static void in_child(const char *log, char **argv) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fd >= 0 && dup2(fd, STDERR_FILENO) >= 0)
                execv(argv[0], argv);
        _exit(127);
}

static void run(Program *p, const char *const *arguments) {
        _cleanup_free_ char *program = strjoin(getenv("builddir") ?: ".", "/src/tooz-agent");
        char *argv[ARGS_MAX] = { program };

        for (size_t i = 0; arguments[i]; i++) {
                cr_assert_lt(i + 2, ARGS_MAX);
                argv[i + 1] = (char *) (uintptr_t) arguments[i];
        }
        p->log = kit_path("log");
        p->pid = fork();
        cr_assert_geq(p->pid, 0);
        if (p->pid == 0)
                in_child(p->log, argv);
}

#define RUN(p, ...) run(p, (const char *const[]) { __VA_ARGS__, NULL })

static int end(Program *p) {
        int status;

        cr_assert_eq(waitpid(p->pid, &status, 0), p->pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool log_has(const Program *p, const char *text) {
        _cleanup_free_ char *log = NULL;

        kit_ok(file_read(p->log, 1 << 20, &log, NULL));
        return strstr(log, text);
}

/* --- service manager ------------------------------------------------------------------------------ */

static void manager_open(Program *p) {
        struct sockaddr_un addr = { .sun_family = AF_UNIX };

        *p = (Program) { .manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), .socket = kit_path("agent.sock") };
        kit_ok(str_copy(addr.sun_path, sizeof(addr.sun_path), kit_path("notify")));
        kit_ok(bind(p->manager, (struct sockaddr *) &addr, sizeof(addr)));
        kit_ok(setenv("NOTIFY_SOCKET", addr.sun_path, 1));
}

static void manager_close(Program *p) {
        p->manager = fd_close(p->manager);
}

/* Waits for the message that begins like this; what comes before it is ignored. */
static const char *hear(Program *p, const char *beginning) {
        struct pollfd poll_fd = { .fd = p->manager, .events = POLLIN };
        ssize_t n;

        do {
                cr_assert_eq(poll(&poll_fd, 1, PATIENCE_MSEC), 1, "no %s", beginning);
                n = recv(p->manager, p->heard, sizeof(p->heard) - 1, 0);
                cr_assert_gt(n, 0);
                p->heard[n] = 0;
        } while (!str_skip_prefix(p->heard, beginning));
        return p->heard;
}

static void start(Program *p, const char *loop) {
        _cleanup_free_ char *socket_option = strjoin("--socket=", p->socket);
        _cleanup_free_ char *loop_option = strjoin("--loop=", loop);
        const char *config = kit_path("agent.conf");
        _cleanup_free_ char *config_option = strjoin("--config=", config);

        if (access(config, F_OK) < 0)
                kit_ok(file_write_atomic(config, "", 0, 0600));
        RUN(p, "--bus-address=none", socket_option, loop_option, config_option);
        kit_streq(hear(p, "READY=1"), "READY=1\nSTATUS=node: 0 held, 0 waiting");
}

static bool loop_is_refused(const char *loop) {
        _cleanup_(loop_freep) Loop *probe = NULL;

        return loop_new(&probe, (LoopKind) loop_kind_from_string(loop)) < 0;
}

static bool answers(const char *path) {
        struct sockaddr_un addr = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        kit_ok(str_copy(addr.sun_path, sizeof(addr.sun_path), path));
        return connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == 0;
}

static void smoke(const char *loop) {
        _cleanup_(manager_close) Program p;

        if (loop_is_refused(loop))
                cr_skip_test("%s is refused here", loop);
        manager_open(&p);
        start(&p, loop);
        cr_assert(answers(p.socket));
        kit_ok(kill(p.pid, SIGHUP));
        (void) hear(&p, "RELOADING=1\nMONOTONIC_USEC=");
        (void) hear(&p, "READY=1");
        kit_ok(kill(p.pid, SIGTERM));
        (void) hear(&p, "STOPPING=1");
        cr_assert_eq(end(&p), 0);
        cr_assert(access(p.socket, F_OK) < 0 && errno == ENOENT);
        cr_assert(log_has(&p, loop));
}

Test(program, smoke_on_io_uring) {
        smoke("io_uring");
}

Test(program, smoke_on_epoll) {
        smoke("epoll");
}

Test(program, interrupt_stops_too) {
        _cleanup_(manager_close) Program p;

        manager_open(&p);
        start(&p, "auto");
        kit_ok(kill(p.pid, SIGINT));
        cr_assert_eq(end(&p), 0);
}

Test(program, watchdog_is_fed) {
        _cleanup_(manager_close) Program p;

        manager_open(&p);
        kit_ok(setenv("WATCHDOG_USEC", "100000", 1));
        kit_ok(unsetenv("WATCHDOG_PID"));
        start(&p, "auto");
        for (unsigned i = 0; i < 3; i++)
                (void) hear(&p, "WATCHDOG=1");
        kit_ok(kill(p.pid, SIGTERM));
        cr_assert_eq(end(&p), 0);
}

Test(program, starts_again_after_sigkill) {
        _cleanup_(manager_close) Program p;

        manager_open(&p);
        start(&p, "auto");
        kit_ok(kill(p.pid, SIGKILL));
        cr_assert_eq(end(&p), -SIGKILL);
        start(&p, "auto");
        cr_assert(answers(p.socket));
        kit_ok(kill(p.pid, SIGTERM));
        cr_assert_eq(end(&p), 0);
}

Test(program, the_second_one_names_the_first) {
        _cleanup_(manager_close) Program p;
        _cleanup_free_ char *option = NULL, *pid = NULL;
        Program second = {};

        manager_open(&p);
        start(&p, "auto");
        option = strjoin("--socket=", p.socket);
        pid = str_format("Another tooz-agent (pid %d) uses the same socket", (int) p.pid);
        RUN(&second, "--bus-address=none", option);
        cr_assert_eq(end(&second), EXIT_FAILURE);
        cr_assert(log_has(&second, pid));
        cr_assert(answers(p.socket));
        kit_ok(kill(p.pid, SIGTERM));
        cr_assert_eq(end(&p), 0);
}

/* --- reload --------------------------------------------------------------------------------------- */

static void reload(Program *p, const char *config) {
        kit_ok(file_write_atomic(kit_path("agent.conf"), config, strlen(config), 0600));
        kit_ok(kill(p->pid, SIGHUP));
        (void) hear(p, "RELOADING=1");
        (void) hear(p, "READY=1");
}

Test(program, reload_applies_what_it_can_and_says_the_rest) {
        _cleanup_(manager_close) Program p;

        manager_open(&p);
        start(&p, "auto");
        reload(&p, "[Agent]\nNodeName=other\nSocketMode=0600\n");
        cr_assert(log_has(&p, "NodeName= changed: takes effect at the next restart"));
        cr_assert(log_has(&p, "SocketMode= changed: takes effect at the next restart"));
        cr_assert(log_has(&p, "Configuration reloaded"));

        reload(&p, "[Agent]\nLogLevel=warning\nNodeName=a b\n");
        cr_assert(log_has(&p, "agent.conf:3: [Agent] NodeName=: "));
        cr_assert(log_has(&p, "the one before stays in force"));

        reload(&p, "[Agent]\nLogLevel=err\n[Limits]\nClaimsPerUser=1\n");
        kit_ok(kill(p.pid, SIGTERM));
        cr_assert_eq(end(&p), 0);
        cr_assert_not(log_has(&p, "Stopping"));
}

/* --- exit statuses -------------------------------------------------------------------------------- */

Test(program, exit_statuses) {
        _cleanup_free_ char *missing = strjoin("--config=", kit_path("absent"));
        _cleanup_free_ char *wrong = strjoin("--config=", kit_path("wrong"));
        Program p = {};

        kit_ok(file_write_atomic(kit_path("wrong"), "x\n", 2, 0600));
        RUN(&p, "--no-such-option");
        cr_assert_eq(end(&p), EX_USAGE);
        RUN(&p, "surplus");
        cr_assert_eq(end(&p), EX_USAGE);
        RUN(&p, missing);
        cr_assert_eq(end(&p), EX_NOINPUT);
        RUN(&p, wrong);
        cr_assert_eq(end(&p), EX_CONFIG);
        RUN(&p, "--loop=fast");
        cr_assert_eq(end(&p), EX_CONFIG);
        RUN(&p, "--version");
        cr_assert_eq(end(&p), 0);
}

Test(program, a_socket_that_can_not_be_made) {
        _cleanup_free_ char *option = strjoin("--socket=", kit_path("a/b/c/agent.sock"));
        Program p = {};

        RUN(&p, "--bus-address=none", option);
        cr_assert_eq(end(&p), EXIT_FAILURE);
        cr_assert(log_has(&p, "No such file or directory"));
}

#ifdef HAVE_ZOOKEEPER
/* Nobody listens there: the agent serves `node` all the same, and stops at once. */
Test(program, a_cluster_that_is_not_there) {
        static const char config[] = "URL=zookeeper://127.0.0.1:1/\n[Agent]\nBusAddress=none\n";
        _cleanup_free_ char *socket_option = NULL, *state_option = NULL, *config_option = NULL;
        _cleanup_(manager_close) Program p;

        manager_open(&p);
        socket_option = strjoin("--socket=", p.socket);
        state_option = strjoin("--state-directory=", kit_folder());
        config_option = strjoin("--config=", kit_path("agent.conf"));
        kit_ok(file_write_atomic(kit_path("agent.conf"), config, strlen(config), 0600));
        kit_ok(file_write_atomic(kit_path("acknowledge-regression"), "", 0, 0600));
        RUN(&p, socket_option, state_option, config_option);
        cr_assert_not_null(strstr(hear(&p, "READY=1"), " · cluster: connecting"));

        /* An acknowledgement counts once. */
        cr_assert(log_has(&p, "acknowledge-regression found and removed"));
        cr_assert(access(kit_path("acknowledge-regression"), F_OK) < 0 && errno == ENOENT);
        kit_ok(kill(p.pid, SIGTERM));
        cr_assert_eq(end(&p), 0);
}
#else
Test(program, a_cluster_without_a_client_library) {
        _cleanup_free_ char *config_option = strjoin("--config=", kit_path("agent.conf"));
        static const char config[] = "URL=zookeeper://127.0.0.1:1/\n";
        Program p = {};

        kit_ok(file_write_atomic(kit_path("agent.conf"), config, strlen(config), 0600));
        RUN(&p, "--bus-address=none", "--socket=none", config_option);
        cr_assert_eq(end(&p), EX_CONFIG);
        cr_assert(log_has(&p, "Domain cluster: this tooz-agent was built without ZooKeeper"));
}
#endif
