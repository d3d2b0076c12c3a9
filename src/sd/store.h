/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The service manager's store of descriptors: what it keeps for us survives us */

#include <stddef.h>

/* Keeps a copy of `fd` under `name`. Without a manager nothing happens. */
void store_keep(const char *name, int fd);
/* Drops all of that name. */
void store_forget(const char *name);
/* Those of that name that were kept when this process was started. How many; they are the caller's. Once. */
int store_take(const char *name, int *ret, size_t max);
