/* SPDX-License-Identifier: Apache-2.0 OR LGPL-2.1-or-later */
#pragma once

/* What an agent holds in an arena for its clients, and how that outlives it
 *
 * An agent's blocks all live with the robust mutex of the first of them. Beside it, the agent has a record lock on a
 * byte of the file, through a descriptor of which the service manager keeps a copy. When the agent is killed, who
 * waits for it finds the mutex dead and the byte locked: it is coming back, and what it held is held. Only when the
 * byte is free too has it all been released by death. */

#include "shm/actor.h"

/* Locks the byte of a delegated actor. *ret_fd: a description of its own; what the actor holds stands as long as that
 * or a copy of it is open anywhere. 0 or -errno; -EAGAIN: somebody else has the byte. */
int shm_delegate_stand(ShmActor *actor, int *ret_fd);

/* A former agent's stored descriptor is `fd`: gives its bytes back; what it held is recovered by this actor. How many blocks were looked at. */
unsigned shm_delegate_recover(ShmActor *actor, int fd);
