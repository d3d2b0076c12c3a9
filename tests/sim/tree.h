/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Tree of znodes, as one server has it */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"

#define TREE_PATH_SIZE 128

typedef struct Znode Znode;
struct Znode {
        UT_hash_handle hh;
        Znode *parent;
        List children;
        ListLink link; /* on parent->children */
        int64_t czxid;
        int64_t mzxid;
        int64_t pzxid;
        int64_t owner; /* session, 0: persistent */
        int64_t value; /* its data: a zxid is all that is ever stored */
        int32_t next_sequence;
        char path[TREE_PATH_SIZE];
};

typedef struct Tree {
        Znode *by_path; /* "/" is "" */
} Tree;

void tree_init(Tree *t);
void tree_deinit(Tree *t);
Znode *tree_find(const Tree *t, const char *path);
/* The parent must exist, and the node must not. */
Znode *tree_create(Tree *t, const char *path, int64_t owner, int64_t value, int64_t zxid);
/* It must have no children. */
void tree_delete(Tree *t, Znode *z, int64_t zxid);
/* Length of the parent's path. */
size_t tree_parent_len(const char *path);
/* What follows the last '/'. */
const char *tree_name(const char *path);
