/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Single instance: a lock file beside what two agents must not share */

/* Takes the lock of `path` (made if need be) for the life of the descriptor and writes our pid there. -EEXIST:
 * another process has it, *ret_pid says which (0: not known). */
int instance_lock(const char *path, int *ret_fd, int *ret_pid);
