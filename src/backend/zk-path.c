/* SPDX-License-Identifier: Apache-2.0 */
/* Paths in ZooKeeper: see zk-path.h. Pure. What others named is hostile until proven otherwise. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "backend/zk-path.h"
#include "base/assert.h"
#include "base/macro.h"
#include "base/str.h"

#define SEQUENCE_DIGITS 10
#define MARK_EXCLUSIVE "__lock__"
#define MARK_SHARED "__r__lock__"
#define MARK_SHARED_KAZOO "__rlock__"

static bool component_is_valid(const char *s, size_t len) {
        if (len == 0 || (len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.'))
                return false;
        return str_is_printable_ascii(s, len);
}

/* "/a/b": every component something that ZooKeeper takes. */
static bool prefix_is_valid(const char *path) {
        const char *p = path;

        while (*p == '/') {
                size_t len = strcspn(p + 1, "/");

                if (!component_is_valid(p + 1, len))
                        return false;
                p += 1 + len;
        }
        return *p == '\0' && p > path;
}

int zk_root_init(ZkRoot *root, const char *chroot, const char *namespace_) {
        int r;

        if (streq(chroot, "/"))
                chroot = "";
        if (*chroot && !prefix_is_valid(chroot))
                return -EINVAL;
        if (!prefix_is_valid(namespace_))
                return -EINVAL;

        r = str_print(root->dirs[ZK_DIR_LOCKS], ZK_ROOT_MAX, "%s%s/locks", chroot, namespace_);
        if (r >= 0)
                r = str_print(root->dirs[ZK_DIR_HOSTS], ZK_ROOT_MAX, "%s/toozd/hosts", chroot);
        if (r >= 0)
                r = str_print(root->dirs[ZK_DIR_DIED], ZK_ROOT_MAX, "%s/toozd/died", chroot);
        return r < 0 ? -ENAMETOOLONG : 0;
}

int zk_path(const ZkRoot *root, ZkDir dir, const char *name, const char *child, char *buf) {
        int r;

        r = str_print(buf, ZK_PATH_SIZE, "%s%s%s%s%s", root->dirs[dir], name ? "/" : "", name ?: "", child ? "/" : "",
                      child ?: "");
        return r < 0 ? -ENAMETOOLONG : 0;
}

int zk_path_host(const ZkRoot *root, int64_t session, const char *child, char *buf) {
        char name[ZK_HOST_NAME_SIZE];

        zk_host_name(session, name);
        return zk_path(root, ZK_DIR_HOSTS, name, child, buf);
}

bool zk_path_parse(const ZkRoot *root, ZkDir dir, const char *path, size_t *ret_name_len, const char **ret_name,
                   const char **ret_child) {
        const char *name = str_skip_prefix(path, root->dirs[dir]);
        size_t len;

        if (!name || *name != '/')
                return false;
        name++;
        len = strcspn(name, "/");
        if (len == 0)
                return false;

        *ret_name = name;
        *ret_name_len = len;
        *ret_child = name[len] == '/' ? name + len + 1 : NULL;
        return !*ret_child || (**ret_child && !strchr(*ret_child, '/'));
}

size_t zk_path_next_prefix(const char *path, size_t len) {
        if (path[len] != '/')
                return 0;
        return len + 1 + strcspn(path + len + 1, "/");
}

void zk_host_name(int64_t session, char buf[static ZK_HOST_NAME_SIZE]) {
        tooz_assert(str_print(buf, ZK_HOST_NAME_SIZE, "%016" PRIx64, (uint64_t) session) >= 0);
}

void zk_node_name(const char *guid, LockMode mode, int32_t sequence, char buf[static ZK_NODE_NAME_SIZE]) {
        const char *mark = mode == LOCK_SHARED ? MARK_SHARED : MARK_EXCLUSIVE;
        int r;

        if (sequence < 0)
                r = str_print(buf, ZK_NODE_NAME_SIZE, "%s%s", guid, mark);
        else
                r = str_print(buf, ZK_NODE_NAME_SIZE, "%s%s%010" PRId32, guid, mark, sequence);
        tooz_assert(r >= 0);
}

/* Ten digits at the end, with or without a minus before them (that is how kazoo reads them), are `*ret`; what stands
 * before them is the first `return value` bytes. 0: there are none. A number that no server gives is the nearest
 * that one could. */
static size_t sequence_parse(const char *name, size_t len, int32_t *ret) {
        int64_t value = 0;
        size_t at;

        if (len <= SEQUENCE_DIGITS)
                return 0;
        at = len - SEQUENCE_DIGITS;
        for (size_t i = at; i < len; i++) {
                if (name[i] < '0' || name[i] > '9')
                        return 0;
                value = value * 10 + (name[i] - '0');
        }
        if (name[at - 1] == '-') {
                value = -value;
                at--;
        }
        *ret = (int32_t) MAX(MIN(value, (int64_t) INT32_MAX), (int64_t) INT32_MIN);
        return at;
}

int32_t zk_node_sequence(const char *path) {
        int32_t sequence;

        return sequence_parse(path, strlen(path), &sequence) > 0 ? sequence : -1;
}

static bool has_suffix(const char *s, size_t len, const char *suffix) {
        size_t n = strlen(suffix);

        return len >= n && memcmp(s + len - n, suffix, n) == 0;
}

/* Only a name that is ours in every byte may stand beside others: in doubt it excludes. */
static bool is_our_shared(const char *name, size_t len) {
        if (len != NODE_GUID_LEN + STRLEN(MARK_SHARED) || !has_suffix(name, len, MARK_SHARED))
                return false;
        return strspn(name, "0123456789abcdef") == NODE_GUID_LEN;
}

bool zk_contender_parse(const char *child, Contender *ret) {
        size_t len = sequence_parse(child, strlen(child), &ret->sequence);

        if (len == 0)
                return false;
        if (is_our_shared(child, len) || has_suffix(child, len, MARK_SHARED_KAZOO))
                ret->mode = LOCK_SHARED;
        else if (has_suffix(child, len, MARK_EXCLUSIVE))
                ret->mode = LOCK_EXCLUSIVE;
        else
                return false;
        ret->name = child;
        return true;
}

bool zk_is_break_request(const char *child) {
        return str_skip_prefix(child, ZK_BREAK_PREFIX);
}
