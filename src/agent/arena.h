/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The `node` backend in an arena: locks of this host that programs also take without an agent (libtoozlocal) */

#include "backend/backend.h"

/* Opens or makes the arena at `path`. Takes `node`, which goes on keeping the ceiling of tokens, when it succeeds.
 * -errno: the arena is not to be had; nothing has changed. */
int arena_backend_new(Backend **ret, Backend *node, const char *path);
