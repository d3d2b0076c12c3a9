/* SPDX-License-Identifier: Apache-2.0 */
/* The list: links know whether they are linked, order is kept */

#include <signal.h>

#include "base/list.h"
#include "support/kit.h"

typedef struct Item {
        ListLink link;
        int value;
} Item;

static void item_init(Item *item, int value) {
        *item = (Item) { .value = value };
        list_link_init(&item->link);
}

static int sum_in_order(List *list) {
        Item *item;
        int sum = 0;

        list_foreach(item, list, Item, link)
                sum = sum * 10 + item->value;
        return sum;
}

KIT_SUITE(list);

Test(list, empty) {
        List list = LIST_INIT(list);

        cr_assert(list_is_empty(&list));
        cr_assert_null(list_first(&list));
        cr_assert_null(list_last(&list));
        cr_assert_null(list_pop_first(&list));
        cr_assert_null(list_first_entry(&list, Item, link));
        cr_assert_eq(sum_in_order(&list), 0);
}

Test(list, order) {
        List list = LIST_INIT(list);
        Item items[5];

        for (int i = 0; i < 5; i++)
                item_init(&items[i], i + 1);

        list_append(&list, &items[1].link);
        list_append(&list, &items[3].link);
        list_prepend(&list, &items[0].link);
        list_insert_before(&items[3].link, &items[2].link);
        cr_assert_eq(sum_in_order(&list), 1234);

        cr_assert_eq(list_next(&list, &items[0].link), &items[1].link);
        cr_assert_eq(list_prev(&list, &items[1].link), &items[0].link);
        cr_assert_null(list_next(&list, &items[3].link));
        cr_assert_null(list_prev(&list, &items[0].link));
        cr_assert_eq(list_last(&list), &items[3].link);
        cr_assert_eq(list_pop_first(&list), &items[0].link);
        cr_assert_not(list_is_linked(&items[0].link));
        cr_assert_eq(sum_in_order(&list), 234);
}

Test(list, unlink_is_idempotent) {
        List list = LIST_INIT(list);
        Item item;

        item_init(&item, 1);
        list_unlink(&item.link);
        list_append(&list, &item.link);
        cr_assert(list_is_linked(&item.link));
        list_unlink(&item.link);
        list_unlink(&item.link);
        cr_assert_not(list_is_linked(&item.link));
        cr_assert(list_is_empty(&list));
}

Test(list, linking_twice_aborts, .signal = SIGABRT) {
        List list = LIST_INIT(list);
        Item item;

        item_init(&item, 1);
        list_append(&list, &item.link);
        list_append(&list, &item.link);
}

Test(list, splice) {
        List a = LIST_INIT(a), b = LIST_INIT(b);
        Item items[4];

        for (int i = 0; i < 4; i++)
                item_init(&items[i], i + 1);
        list_append(&a, &items[0].link);
        list_append(&b, &items[1].link);
        list_append(&b, &items[2].link);

        list_splice(&a, &b);
        cr_assert_eq(sum_in_order(&a), 123);
        cr_assert(list_is_empty(&b));
        list_splice(&a, &b);
        cr_assert_eq(sum_in_order(&a), 123);

        list_append(&b, &items[3].link);
        cr_assert_eq(sum_in_order(&b), 4);
}

Test(list, foreach_safe_may_unlink) {
        List list = LIST_INIT(list);
        Item items[4], *item, *tmp;

        for (int i = 0; i < 4; i++) {
                item_init(&items[i], i + 1);
                list_append(&list, &items[i].link);
        }
        list_foreach_safe(item, tmp, &list, Item, link)
                if (item->value % 2 == 0)
                        list_unlink(&item->link);
        cr_assert_eq(sum_in_order(&list), 13);
}
