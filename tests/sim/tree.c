/* SPDX-License-Identifier: Apache-2.0 */
/* Tree of znodes: see tree.h */

#include <stdlib.h>

#include "base/assert.h"
#include "base/str.h"
#include "sim/tree.h"

static Znode *znode_new(Tree *t, const char *path) {
        Znode *z = calloc(1, sizeof(*z));

        tooz_assert(z);
        tooz_assert(str_copy(z->path, sizeof(z->path), path) >= 0);
        list_init(&z->children);
        list_link_init(&z->link);
        tooz_assert(hash_add(hh, t->by_path, z->path, strlen(z->path), z) >= 0);
        return z;
}

void tree_init(Tree *t) {
        *t = (Tree) {};
        znode_new(t, "");
}

void tree_deinit(Tree *t) {
        Znode *z, *tmp;

        hash_foreach_safe(hh, t->by_path, z, tmp) {
                hash_remove(hh, t->by_path, z);
                free(z);
        }
}

Znode *tree_find(const Tree *t, const char *path) {
        Znode *z;

        hash_find(hh, t->by_path, path, strlen(path), z);
        return z;
}

size_t tree_parent_len(const char *path) {
        const char *slash = strrchr(path, '/');

        tooz_assert(slash);
        return (size_t) (slash - path);
}

const char *tree_name(const char *path) {
        return path + tree_parent_len(path) + 1;
}

static Znode *tree_find_parent(const Tree *t, const char *path) {
        Znode *z;

        hash_find(hh, t->by_path, path, tree_parent_len(path), z);
        return z;
}

Znode *tree_create(Tree *t, const char *path, int64_t owner, int64_t value, int64_t zxid) {
        Znode *parent = tree_find_parent(t, path), *z;

        tooz_assert(parent && !tree_find(t, path));
        z = znode_new(t, path);
        z->parent = parent;
        z->czxid = z->mzxid = z->pzxid = zxid;
        z->owner = owner;
        z->value = value;
        list_append(&parent->children, &z->link);
        parent->pzxid = zxid;
        parent->next_sequence++;
        return z;
}

void tree_delete(Tree *t, Znode *z, int64_t zxid) {
        tooz_assert(z->parent && list_is_empty(&z->children));
        z->parent->pzxid = zxid;
        list_unlink(&z->link);
        hash_remove(hh, t->by_path, z);
        free(z);
}
