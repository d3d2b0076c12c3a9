/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* File descriptors and small files */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Accepts -1, keeps errno, returns -1: `fd = fd_close(fd)`. */
int fd_close(int fd);

int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* Whether both name one file: 1, 0 or -errno. */
int fd_is_same_file(int a, int b);

/* All of it, or -errno; for blocking descriptors. */
int fd_write_all(int fd, const void *data, size_t len);

/* The whole file and a NUL behind it; -EFBIG when it has more than `max` bytes. */
int file_read(const char *path, size_t max, char **ret_data, size_t *ret_len);

/* Readers see the old content or the new one, also after a power cut: temporary file, fsync, rename,
 * fsync of the directory. */
int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);
