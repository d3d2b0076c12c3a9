/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A host: the core of an agent, and the thin part of a backend that carries out its effects
 *
 * It does what src/backend/zk-*.c do, in their order, over the modelled library. What the library and the clients say
 * goes through an inbox that is emptied once in each turn of the loop, followed by timers and effects. The process can
 * be stopped as a whole (SIGSTOP), its loop can hang while the library goes on, and it can be killed. */

#include "core/domain.h"
#include "sim/zk-client.h"

typedef struct Host Host;
typedef struct World World;

typedef enum ItemKind {
        ITEM_STATE,
        ITEM_OP,
        ITEM_EVENT,
        ITEM_CALL, /* of a local client */
} ItemKind;

typedef struct Item {
        ListLink link;
        ItemKind kind;
        uint64_t handle; /* who says it */
        LibState state;
        ZkOp *op;
        WatchKey key;
        void (*call)(Host *h, void *arg);
        void *arg;
} Item;

struct Host {
        World *world;
        Sim *sim;
        Model *model;
        unsigned id;
        Domain *domain;
        Effects fx;
        ZkClient *zk; /* NULL: no handle is open */
        uint64_t n_handles;
        bool connected; /* as far as the backend was told */
        uint64_t n_connects;
        bool alive;
        bool stopped; /* the whole process */
        bool hung;    /* its loop */
        List inbox;
        SimEvent turn;
        SimEvent timer;
        SimEvent wake; /* from being stopped or hung */
        SimEvent restart; /* after it was killed */
        uint64_t n_nodes; /* GUIDs made */
};

void host_init(Host *h, World *world, Model *model, unsigned id);
void host_start(Host *h);
/* SIGKILL: nothing of it is left, but what the servers know. Its claims are in a terminal state then. */
void host_kill(Host *h);
void host_stop(Host *h, uint64_t usec);
void host_hang(Host *h, uint64_t usec);
void host_continue(Host *h);
/* Calls fn(h, arg) in the next turn of its loop, or never when it is killed before. */
void host_call(Host *h, void (*fn)(Host *h, void *arg), void *arg);
/* What the agent does after the last transition of a turn. */
void host_drain(Host *h);
bool host_is_running(const Host *h);
