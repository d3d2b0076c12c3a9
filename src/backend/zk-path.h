/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Paths in ZooKeeper and names of lock nodes: composing ours, judging those of others
 *
 *     <chroot><namespace>/locks/<name>/<guid>__lock__<sequence>       exclusive (kazoo's Lock)
 *                                     /<guid>__r__lock__<sequence>    shared, ours
 *                                     /<guid>__rlock__<sequence>      shared, kazoo's ReadLock
 *     <chroot>/toozd/hosts/<session>/{alive,break-<sequence>}
 *     <chroot>/toozd/died/<name>
 *
 * The chroot is put in front by us and not by the library, so that we can create it, and so that what is counted for
 * the cap of watches is what goes over the wire. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/mode.h"
#include "core/tenure.h"

#define ZK_ROOT_MAX 512
#define ZK_PATH_SIZE 2048
/* GUID, "__r__lock__", sequence (a minus sign and ten digits), NUL */
#define ZK_NODE_NAME_SIZE (NODE_GUID_LEN + 11 + 11 + 1)

typedef enum ZkDir {
        ZK_DIR_LOCKS,
        ZK_DIR_HOSTS,
        ZK_DIR_DIED,
} ZkDir;
#define ZK_N_DIRS 3

typedef struct ZkRoot {
        char dirs[ZK_N_DIRS][ZK_ROOT_MAX];
} ZkRoot;

/* Both are "/a/b" without a slash at the end; `chroot` may be "" or "/". -EINVAL, -ENAMETOOLONG. */
int zk_root_init(ZkRoot *root, const char *chroot, const char *namespace_);

/* Into `buf` of ZK_PATH_SIZE: 0 or -ENAMETOOLONG. `name` may be NULL (the directory itself), and so may `child`. */
int zk_path(const ZkRoot *root, ZkDir dir, const char *name, const char *child, char *buf);
int zk_path_host(const ZkRoot *root, int64_t session, const char *child, char *buf);

/* The other way round. `child` is NULL for the entry itself; both point into `path`. */
bool zk_path_parse(const ZkRoot *root, ZkDir dir, const char *path, size_t *ret_name_len, const char **ret_name,
                   const char **ret_child);

/* Lengths of "/a", "/a/b", …, the path itself: call with 0 first, until it returns 0. */
size_t zk_path_next_prefix(const char *path, size_t len);

/* Name of a session's node in ZK_DIR_HOSTS. */
#define ZK_HOST_NAME_SIZE 17
void zk_host_name(int64_t session, char buf[static ZK_HOST_NAME_SIZE]);

/* Name of a lock node of ours; without the sequence when that is negative: the server adds it. */
void zk_node_name(const char *guid, LockMode mode, int32_t sequence, char buf[static ZK_NODE_NAME_SIZE]);
/* Sequence at the end of a created path, or -1. */
int32_t zk_node_sequence(const char *path);

/* Is this child a contender for the lock, in kazoo's eyes or ours? `ret->name` borrows `child`. */
bool zk_contender_parse(const char *child, Contender *ret);
/* Of a host's children: is this one a request to break a lock? */
bool zk_is_break_request(const char *child);
#define ZK_BREAK_PREFIX "break-"
#define ZK_ALIVE "alive"
