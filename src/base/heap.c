/* SPDX-License-Identifier: Apache-2.0 */
/* Pairing heap
 *
 * A node's children form a list; a child's key is never smaller than its parent's. Two heaps meld by
 * making one root the first child of the other. Removing a root melds its children in pairs from left
 * to right, then the pairs from right to left: amortised O(log n), no allocation and no recursion. */

#include "base/assert.h"
#include "base/heap.h"

static bool node_before(const HeapNode *a, const HeapNode *b) {
        return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

/* Both are roots, without siblings or parent. */
static HeapNode *meld(HeapNode *a, HeapNode *b) {
        if (!a || !b)
                return a ?: b;

        if (node_before(b, a)) {
                HeapNode *swap = a;

                a = b;
                b = swap;
        }

        b->next = a->child;
        b->prev = a;
        if (b->next)
                b->next->prev = b;
        a->child = b;
        return a;
}

static HeapNode *take_first(HeapNode **list) {
        HeapNode *node = *list;

        if (node) {
                *list = node->next;
                node->next = node->prev = NULL;
        }
        return node;
}

static HeapNode *meld_siblings(HeapNode *list) {
        HeapNode *pairs = NULL, *root = NULL;

        while (list) {
                HeapNode *a = take_first(&list);
                HeapNode *pair = meld(a, take_first(&list));

                pair->next = pairs;
                pairs = pair;
        }

        while (pairs)
                root = meld(root, take_first(&pairs));
        return root;
}

static void set_root(Heap *heap, HeapNode *root) {
        heap->anchor.child = root;
        if (root)
                root->prev = &heap->anchor;
}

void heap_insert(Heap *heap, HeapNode *node, uint64_t key) {
        tooz_assert(!heap_is_linked(node));

        *node = (HeapNode) { .key = key, .seq = heap->next_seq++ };
        set_root(heap, meld(heap->anchor.child, node));
}

void heap_remove(Heap *heap, HeapNode *node) {
        HeapNode *rest;

        if (!heap_is_linked(node))
                return;

        if (node->prev->child == node)
                node->prev->child = node->next;
        else
                node->prev->next = node->next;
        if (node->next)
                node->next->prev = node->prev;

        rest = meld_siblings(node->child);
        set_root(heap, meld(heap->anchor.child, rest));
        node->child = node->next = node->prev = NULL;
}

HeapNode *heap_pop(Heap *heap) {
        HeapNode *node = heap_min(heap);

        if (node)
                heap_remove(heap, node);
        return node;
}
