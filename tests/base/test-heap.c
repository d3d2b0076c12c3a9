/* SPDX-License-Identifier: Apache-2.0 */
/* The heap against a sorted model */

#include "base/heap.h"
#include "base/random.h"
#include "support/kit.h"

KIT_SUITE(heap);

Test(heap, empty) {
        Heap heap = {};
        HeapNode node = {};

        cr_assert(heap_is_empty(&heap));
        cr_assert_null(heap_min(&heap));
        cr_assert_null(heap_pop(&heap));
        cr_assert_not(heap_is_linked(&node));
        heap_remove(&heap, &node);
        cr_assert_not(heap_is_linked(&node));
}

Test(heap, equal_keys_keep_their_order) {
        Heap heap = {};
        HeapNode nodes[9] = {};

        for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
                heap_insert(&heap, &nodes[i], i % 3);
        heap_set(&heap, &nodes[0], 0); /* now the last of its key */

        cr_assert_eq(heap_pop(&heap), &nodes[3]);
        cr_assert_eq(heap_pop(&heap), &nodes[6]);
        cr_assert_eq(heap_pop(&heap), &nodes[0]);
        cr_assert_eq(heap_pop(&heap), &nodes[1]);
        cr_assert_eq(heap_pop(&heap), &nodes[4]);
}

/* The smallest among the linked ones by search: what the heap must give. */
static HeapNode *model_min(HeapNode *nodes, size_t n) {
        HeapNode *min = NULL;

        for (size_t i = 0; i < n; i++)
                if (heap_is_linked(&nodes[i]) &&
                    (!min || nodes[i].key < min->key || (nodes[i].key == min->key && nodes[i].seq < min->seq)))
                        min = &nodes[i];
        return min;
}

Test(heap, random_events_match_the_model) {
        enum { N = 200 };
        HeapNode nodes[N] = {};
        Heap heap = {};
        Prng prng;

        prng_init(&prng, kit_seed());
        for (unsigned step = 0; step < 20000; step++) {
                HeapNode *node = &nodes[prng_below(&prng, N)];

                switch (prng_below(&prng, 4)) {
                case 0:
                case 1:
                        heap_set(&heap, node, prng_below(&prng, 50));
                        break;
                case 2:
                        heap_remove(&heap, node);
                        break;
                default:
                        (void) heap_pop(&heap);
                }
                cr_assert_eq(heap_min(&heap), model_min(nodes, N), "step %u", step);
        }
}
