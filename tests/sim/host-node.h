/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A host: nodes and listings, as src/backend/zk-lock.c carries them out */

#include "sim/host.h"

void host_carry_out_node(Host *h, Node *node);
void host_carry_out_lock(Host *h, Lock *lock);
void host_on_watch(Host *h, const WatchKey *key);
