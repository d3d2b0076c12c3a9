/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the kernel says of a process: unit, name, and whether it is dead or dying
 *
 * All of it is for people to read and for `PREVIOUS=died`; nothing decides about access. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROC_TEXT_SIZE 256

/* The unit in the text of /proc/PID/cgroup: the outermost one that is no slice; "" if there is none. */
void proc_parse_unit(const char *cgroup, char *ret, size_t size);
/* Is the process that this text of /proc/PID/statm describes on its way out? */
bool proc_parse_exiting(const char *statm);

/* "" when it can't be found out. */
void proc_read_unit(pid_t pid, char *ret, size_t size);
void proc_read_comm(pid_t pid, char *ret, size_t size);

/* A descriptor that goes on naming this process when its PID is used again. Of a socket's other end: without a race
 * where the kernel knows SO_PEERPIDFD. -errno. */
int proc_open(pid_t pid);
int proc_open_peer(int socket_fd, pid_t pid);
/* A pidfd, which becomes readable when it has ended, for a process that is open already. -errno. */
int proc_open_pidfd(pid_t pid, int proc_fd);

/* Has the process ended, or begun to end? Its descriptors are closed in between. `proc_fd` may be -1: not known, false. */
bool proc_is_dead(int proc_fd);
