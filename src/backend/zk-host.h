/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* This agent's own node in ZooKeeper: heartbeats, and requests of other agents to break a lock */

#include <stdbool.h>
#include <stdint.h>

typedef struct ZkBackend ZkBackend;

typedef struct ZkHost {
        int64_t made_for;    /* session for which our nodes are there */
        bool dirs_made;      /* those above them, and those of locks */
        bool no_containers;  /* the servers are too old for them */
        bool list_due;       /* requests are to be listed, and watched */
        bool listing;
        unsigned n_requests; /* being read */
} ZkHost;

/* SESSION_WANT_HEARTBEAT. */
void zk_host_beat(ZkBackend *zk);
/* A new connection, perhaps with a new session. */
void zk_host_on_connected(ZkBackend *zk);
/* Something happened below our node. */
void zk_host_on_children(ZkBackend *zk);
/* The way out: our nodes need not wait for the servers' sweep. */
void zk_host_leave(ZkBackend *zk);
