/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Intrusive pairing heap: the smallest key first, equal keys in order of insertion */

#include <stdbool.h>
#include <stdint.h>

typedef struct HeapNode HeapNode;
struct HeapNode {
        uint64_t key;
        uint64_t seq;    /* order of insertion among equal keys */
        HeapNode *child; /* first of the children */
        HeapNode *next;  /* sibling */
        HeapNode *prev;  /* sibling before, or the parent of a first child; NULL: not in a heap */
};

/* Zeroes are an empty heap and a node that is in none. A heap must not move while it has nodes. */
typedef struct Heap {
        HeapNode anchor; /* its one child is the root */
        uint64_t next_seq;
} Heap;

static inline void heap_init(Heap *heap) {
        *heap = (Heap) {};
}

static inline void heap_node_init(HeapNode *node) {
        *node = (HeapNode) {};
}

static inline bool heap_is_empty(const Heap *heap) {
        return !heap->anchor.child;
}

static inline bool heap_is_linked(const HeapNode *node) {
        return node->prev;
}

static inline HeapNode *heap_min(const Heap *heap) {
        return heap->anchor.child;
}

void heap_insert(Heap *heap, HeapNode *node, uint64_t key);
void heap_remove(Heap *heap, HeapNode *node); /* idempotent */
HeapNode *heap_pop(Heap *heap);               /* or NULL */

/* Inserts or moves: among equal keys it comes last. */
static inline void heap_set(Heap *heap, HeapNode *node, uint64_t key) {
        heap_remove(heap, node);
        heap_insert(heap, node, key);
}
