/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zkproxy: a TCP relay between ZooKeeper clients and one server that can lose exactly the frame that a
 * test wants lost.
 *
 *     zkproxy LISTEN-IP SERVER-IP SERVER-PORT       prints "listening PORT", then obeys its stdin:
 *
 *     drop-request OP N [cut|hold] [TEXT]    the N-th request OP from now on (that contains TEXT) does not
 *                                            reach the server
 *     drop-reply OP N [cut|hold] [TEXT]      it reaches the server, its reply does not reach the client
 *     blackhole c2s|s2c|both                 forward nothing, keep every connection open and silent
 *     cut                                    reset every connection
 *     refuse                                 reset every new connection as well
 *     heal                                   end all of the above; rules that have not fired are forgotten
 *     status                                 counters, as one line of JSON
 *
 * With "cut" both sides are reset at the moment of the loss; with "hold" the direction in question goes
 * silent instead, for that connection. Silence is delay, as in a partition: on "heal" the bytes flow on.
 * Only a connection of which a frame was lost is reset then, since nobody could make sense of it.
 *
 * Frames are understood as far as needed: length, xid and opcode of requests, xid of replies. The first
 * frame of each direction is the handshake. End of stdin ends the program.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/macro.h"

#define CONNECTIONS_MAX 128
#define FRAME_MAX (4U << 20)
#define PENDING_MAX 65536U
#define RULES_MAX 16
#define READ_SIZE 65536U

enum { C2S, S2C };                       /* index of a direction, and of the side that it is read from */

typedef struct Buffer {
        uint8_t *data;
        size_t length;
        size_t size;
} Buffer;

typedef struct Pending {
        int32_t xid;
        int op;                          /* index in ops */
        int rule;                        /* that wants the reply lost, or -1 */
} Pending;

typedef struct Connection {
        int fds[2];                      /* [C2S] client, [S2C] server */
        Buffer in[2];                    /* read, not yet a whole frame, or silenced */
        Buffer out[2];                   /* to be written to the other side */
        bool greeted[2];
        bool held[2];
        bool torn;                       /* a frame was lost while the connection was kept */
        bool dead;
        Pending *pending;
        size_t n_pending;
} Connection;

typedef struct Rule {
        bool used;
        bool fired;
        bool reply;
        bool hold;
        int op;
        unsigned countdown;
        char text[128];
} Rule;

static const struct {
        const char *name;
        int32_t code;
} ops[] = {
        { "any", 0 },         { "create", 1 },       { "delete", 2 },        { "exists", 3 },
        { "get-data", 4 },    { "set-data", 5 },     { "get-children", 8 },  { "sync", 9 },
        { "ping", 11 },       { "get-children2", 12 }, { "check", 13 },      { "multi", 14 },
        { "create2", 15 },    { "create-container", 19 }, { "auth", 100 },   { "set-watches", 101 },
        { "set-watches2", 105 }, { "close", -11 },   { "other", -1000 },
        /* classes: what a rule may say, never what a frame is */
        { "make", -1001 },    { "remove", -1002 },
};
enum { OP_ANY = 0, OP_CREATE = 1, OP_DELETE = 2, OP_MULTI = 11, OP_CREATE2 = 12, OP_CREATE_CONTAINER = 13,
       OP_OTHER = 18, OP_MAKE = 19, OP_REMOVE = 20 };

static Connection connections[CONNECTIONS_MAX];
static Rule rules[RULES_MAX];
static bool silenced[2];
static bool refusing;
static struct sockaddr_in server_address;
static uint64_t n_requests[ARRAY_SIZE(ops)];
static uint64_t n_replies[ARRAY_SIZE(ops)];
static uint64_t n_accepted, n_dropped;

static void buffer_reserve(Buffer *b, size_t extra) {
        if (b->length + extra <= b->size)
                return;
        b->size = 2 * (b->length + extra);
        b->data = realloc(b->data, b->size);
        if (!b->data)
                abort();
}

static void buffer_append(Buffer *b, const uint8_t *data, size_t length) {
        buffer_reserve(b, length);
        memcpy(b->data + b->length, data, length);
        b->length += length;
}

static void buffer_consume(Buffer *b, size_t length) {
        b->length -= length;
        memmove(b->data, b->data + length, b->length);
}

static int32_t read_be32(const uint8_t *p) {
        return (int32_t) ((uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3]);
}

static int op_from_code(int32_t code) {
        for (int i = 1; i < OP_OTHER; i++)
                if (ops[i].code == code)
                        return i;
        return OP_OTHER;
}

static int op_from_name(const char *name) {
        for (int i = 0; i < (int) ARRAY_SIZE(ops); i++)
                if (strcmp(ops[i].name, name) == 0)
                        return i;
        return -1;
}

static bool op_matches(int wanted, int op) {
        switch (wanted) {
        case OP_ANY:
                return true;
        case OP_MAKE:
                return op == OP_CREATE || op == OP_CREATE2 || op == OP_CREATE_CONTAINER;
        case OP_REMOVE:
                return op == OP_DELETE || op == OP_MULTI;
        default:
                return wanted == op;
        }
}

/* --- connections --------------------------------------------------------------------------------- */

static void connection_reset(Connection *c) {
        struct linger abrupt = { .l_onoff = 1 };

        for (int side = 0; side < 2; side++) {
                (void) setsockopt(c->fds[side], SOL_SOCKET, SO_LINGER, &abrupt, sizeof(abrupt));
                close(c->fds[side]);
                free(c->in[side].data);
                free(c->out[side].data);
        }
        free(c->pending);
        *c = (Connection) { .fds = { -1, -1 } };
}

static void connection_accept(int listener) {
        Connection *free_slot = NULL;
        int client, server;

        client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
                return;
        n_accepted++;
        for (size_t i = 0; i < CONNECTIONS_MAX && !free_slot; i++)
                if (connections[i].fds[C2S] < 0)
                        free_slot = &connections[i];
        server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (refusing || !free_slot || server < 0 ||
            connect(server, (struct sockaddr *) &server_address, sizeof(server_address)) < 0) {
                close(client);
                if (server >= 0)
                        close(server);
                return;
        }
        (void) fcntl(client, F_SETFL, O_NONBLOCK);
        (void) fcntl(server, F_SETFL, O_NONBLOCK);
        /* Pipelined frames would wait for each other's acknowledgement, 40 ms. */
        (void) setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
        (void) setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &(int) { 1 }, sizeof(int));
        *free_slot = (Connection) { .fds = { client, server } };
}

/* --- rules --------------------------------------------------------------------------------------- */

/* The rule that this request makes fire, or -1. Every rule that it matches counts it. */
static int rule_match(int op, const uint8_t *frame, size_t length) {
        int fired = -1;

        for (int i = 0; i < RULES_MAX; i++) {
                Rule *r = &rules[i];

                if (!r->used || r->fired || !op_matches(r->op, op))
                        continue;
                if (r->text[0] && !memmem(frame, length, r->text, strlen(r->text)))
                        continue;
                if (--r->countdown == 0 && fired < 0)
                        fired = i;
        }
        return fired;
}

/* A frame is lost here: the connection is cut, or falls silent in that direction. */
static void rule_fire(Connection *c, int rule, int direction) {
        rules[rule].fired = true;
        n_dropped++;
        if (rules[rule].hold) {
                c->held[direction] = true;
                c->torn = true;
        } else
                c->dead = true;
}

/* True when the frame is to be forwarded. */
static bool request_passes(Connection *c, const uint8_t *frame, size_t length) {
        int op, rule;

        if (length < 12)
                return true;
        op = op_from_code(read_be32(frame + 8));
        n_requests[op]++;
        rule = rule_match(op, frame, length);
        if (rule >= 0 && !rules[rule].reply) {
                rule_fire(c, rule, C2S);
                return false;
        }
        if (c->n_pending < PENDING_MAX) {
                c->pending = realloc(c->pending, (c->n_pending + 1) * sizeof(Pending));
                if (!c->pending)
                        abort();
                c->pending[c->n_pending++] = (Pending) { .xid = read_be32(frame + 4), .op = op, .rule = rule };
        }
        return true;
}

static bool reply_passes(Connection *c, const uint8_t *frame, size_t length) {
        int32_t xid;

        if (length < 8)
                return true;
        xid = read_be32(frame + 4);
        for (size_t i = 0; i < c->n_pending; i++) {
                Pending p = c->pending[i];

                if (p.xid != xid)
                        continue;
                memmove(c->pending + i, c->pending + i + 1, (--c->n_pending - i) * sizeof(Pending));
                n_replies[p.op]++;
                if (p.rule < 0)
                        return true;
                rule_fire(c, p.rule, S2C);
                return false;
        }
        return true;                     /* a watch event */
}

/* --- relay --------------------------------------------------------------------------------------- */

/* Move the whole frames of one direction on, unless it is silent. */
static void connection_forward(Connection *c, int direction) {
        Buffer *in = &c->in[direction];

        while (!c->dead && !c->held[direction] && !silenced[direction] && in->length >= 4) {
                size_t length = (uint32_t) read_be32(in->data);
                bool passes;

                if (length > FRAME_MAX) {               /* no frame: a four-letter word */
                        buffer_append(&c->out[direction], in->data, in->length);
                        in->length = 0;
                        return;
                }
                length += 4;
                if (in->length < length)
                        return;
                if (!c->greeted[direction])
                        passes = c->greeted[direction] = true;
                else if (direction == C2S)
                        passes = request_passes(c, in->data, length);
                else
                        passes = reply_passes(c, in->data, length);
                if (passes)
                        buffer_append(&c->out[direction], in->data, length);
                buffer_consume(in, length);
        }
}

static void connection_read(Connection *c, int direction) {
        Buffer *in = &c->in[direction];
        ssize_t n;

        buffer_reserve(in, READ_SIZE);
        n = read(c->fds[direction], in->data + in->length, READ_SIZE);
        if (n > 0)
                in->length += (size_t) n;
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                c->dead = true;
}

static void connection_write(Connection *c, int direction) {
        Buffer *out = &c->out[direction];
        ssize_t n;

        if (out->length == 0)
                return;
        n = send(c->fds[!direction], out->data, out->length, MSG_NOSIGNAL);
        if (n > 0)
                buffer_consume(out, (size_t) n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
                c->dead = true;
}

static short connection_events(const Connection *c, int side) {
        bool silent = c->held[side] || silenced[side];

        return (short) ((silent ? 0 : POLLIN) | (c->out[!side].length > 0 ? POLLOUT : 0));
}

static void connection_turn(Connection *c, const struct pollfd pfds[2]) {
        for (int side = 0; side < 2 && !c->dead; side++)
                if (pfds[side].revents & POLLIN)
                        connection_read(c, side);
                else if (pfds[side].revents & (POLLERR | POLLHUP))
                        c->dead = true;
        /* what the server said last reaches the client even when the server then closed */
        for (int direction = 0; direction < 2; direction++) {
                bool closing = c->dead;

                c->dead = false;
                connection_forward(c, direction);
                if (!c->dead)
                        connection_write(c, direction);
                c->dead = c->dead || closing;
        }
        if (c->dead)
                connection_reset(c);
}

/* --- control ------------------------------------------------------------------------------------- */

static const char *command_drop(bool reply, char *arguments) {
        char op[32], how[8] = "cut", text[128] = "";
        unsigned n;
        int fields, op_index;

        fields = sscanf(arguments, "%31s %u %7s %127s", op, &n, how, text);
        op_index = fields >= 1 ? op_from_name(op) : -1;
        if (fields < 2 || n == 0 || op_index < 0 || (strcmp(how, "cut") != 0 && strcmp(how, "hold") != 0))
                return "error: drop-… OP N [cut|hold] [TEXT]";
        for (size_t i = 0; i < RULES_MAX; i++)
                if (!rules[i].used) {
                        rules[i] = (Rule) { .used = true, .reply = reply, .hold = how[0] == 'h', .op = op_index,
                                            .countdown = n };
                        memcpy(rules[i].text, text, sizeof(text));
                        return "ok";
                }
        return "error: too many rules";
}

static const char *command_heal(void) {
        memset(rules, 0, sizeof(rules));
        memset(silenced, 0, sizeof(silenced));
        refusing = false;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
                Connection *c = &connections[i];

                memset(c->held, 0, sizeof(c->held));
                if (c->fds[C2S] < 0)
                        continue;
                if (c->torn) {
                        connection_reset(c);
                        continue;
                }
                for (int direction = 0; direction < 2; direction++)
                        connection_forward(c, direction);
        }
        return "ok";
}

static const char *command_cut(void) {
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (connections[i].fds[C2S] >= 0)
                        connection_reset(&connections[i]);
        return "ok";
}

static void print_counters(const char *name, const uint64_t *counters) {
        printf("\"%s\": {", name);
        for (size_t i = 1, n = 0; i <= OP_OTHER; i++)
                if (counters[i] > 0)
                        printf("%s\"%s\": %llu", n++ ? ", " : "", ops[i].name, (unsigned long long) counters[i]);
        printf("}, ");
}

static void command_status(void) {
        unsigned n_open = 0, n_fired = 0;

        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                n_open += connections[i].fds[C2S] >= 0;
        for (size_t i = 0; i < RULES_MAX; i++)
                n_fired += rules[i].fired;
        printf("{");
        print_counters("requests", n_requests);
        print_counters("replies", n_replies);
        printf("\"open\": %u, \"accepted\": %llu, \"dropped\": %llu, \"fired\": %u}\n", n_open,
               (unsigned long long) n_accepted, (unsigned long long) n_dropped, n_fired);
}

static void command_run(char *line) {
        const char *answer = "ok";
        char *arguments;

        line[strcspn(line, "\n")] = '\0';
        arguments = strchr(line, ' ');
        if (arguments)
                *arguments++ = '\0';
        else
                arguments = line + strlen(line);
        if (strcmp(line, "status") == 0) {
                command_status();
                return;
        }
        if (strcmp(line, "drop-request") == 0 || strcmp(line, "drop-reply") == 0)
                answer = command_drop(strcmp(line, "drop-reply") == 0, arguments);
        else if (strcmp(line, "blackhole") == 0) {
                silenced[C2S] = silenced[C2S] || strcmp(arguments, "s2c") != 0;
                silenced[S2C] = silenced[S2C] || strcmp(arguments, "c2s") != 0;
        } else if (strcmp(line, "cut") == 0)
                answer = command_cut();
        else if (strcmp(line, "refuse") == 0)
                refusing = true;
        else if (strcmp(line, "heal") == 0)
                answer = command_heal();
        else
                answer = "error: unknown command";
        puts(answer);
}

static int listen_on(const char *ip) {
        struct sockaddr_in a = { .sin_family = AF_INET };
        socklen_t size = sizeof(a);
        int fd;

        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || inet_pton(AF_INET, ip, &a.sin_addr) != 1 || bind(fd, (struct sockaddr *) &a, sizeof(a)) < 0 ||
            listen(fd, 64) < 0 || getsockname(fd, (struct sockaddr *) &a, &size) < 0) {
                perror("zkproxy: listen");
                exit(1);
        }
        printf("listening %u\n", ntohs(a.sin_port));
        return fd;
}

static void turn(int listener) {
        struct pollfd pfds[2 + 2 * CONNECTIONS_MAX] = { { .fd = STDIN_FILENO, .events = POLLIN },
                                                        { .fd = listener, .events = POLLIN } };
        char line[512];

        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                for (int side = 0; side < 2; side++)
                        pfds[2 + 2 * i + (size_t) side] = (struct pollfd) {
                                .fd = connections[i].fds[side], .events = connection_events(&connections[i], side) };
        if (poll(pfds, ARRAY_SIZE(pfds), -1) < 0)
                return;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                if (connections[i].fds[C2S] >= 0)
                        connection_turn(&connections[i], pfds + 2 + 2 * i);
        if (pfds[1].revents)
                connection_accept(listener);
        if (pfds[0].revents) {
                if (!fgets(line, sizeof(line), stdin))
                        exit(0);
                command_run(line);
        }
}

int main(int argc, char **argv) {
        int listener;

        if (argc != 4) {
                fprintf(stderr, "usage: zkproxy LISTEN-IP SERVER-IP SERVER-PORT\n");
                return 2;
        }
        server_address = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons((uint16_t) atoi(argv[3])) };
        if (inet_pton(AF_INET, argv[2], &server_address.sin_addr) != 1)
                return 2;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                connections[i].fds[C2S] = connections[i].fds[S2C] = -1;
        setvbuf(stdout, NULL, _IOLBF, 0);
        setvbuf(stdin, NULL, _IONBF, 0);
        listener = listen_on(argv[1]);
        for (;;)
                turn(listener);
}
