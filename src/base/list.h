/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Intrusive circular doubly linked list: linking can't fail and unlinking needs no list */

#include <stdbool.h>

#include "base/assert.h"
#include "base/macro.h"

/* A link is detached when it points to itself. A list is the link that belongs to no element. */
typedef struct ListLink ListLink;
struct ListLink {
        ListLink *next;
        ListLink *prev;
};

typedef struct List {
        ListLink head;
} List;

#define LIST_INIT(list) { .head = { .next = &(list).head, .prev = &(list).head } }
#define LIST_LINK_INIT(link) { .next = &(link), .prev = &(link) }

static inline void list_link_init(ListLink *link) {
        link->next = link->prev = link;
}

static inline void list_init(List *list) {
        list_link_init(&list->head);
}

static inline bool list_is_linked(const ListLink *link) {
        return link->next != link;
}

static inline bool list_is_empty(const List *list) {
        return list->head.next == &list->head;
}

static inline void list_insert_before(ListLink *pos, ListLink *link) {
        tooz_assert(!list_is_linked(link));
        link->next = pos;
        link->prev = pos->prev;
        pos->prev->next = link;
        pos->prev = link;
}

static inline void list_append(List *list, ListLink *link) {
        list_insert_before(&list->head, link);
}

static inline void list_prepend(List *list, ListLink *link) {
        list_insert_before(list->head.next, link);
}

/* Idempotent: a detached link stays detached. */
static inline void list_unlink(ListLink *link) {
        link->prev->next = link->next;
        link->next->prev = link->prev;
        list_link_init(link);
}

static inline ListLink *list_first(const List *list) {
        return list_is_empty(list) ? NULL : list->head.next;
}

static inline ListLink *list_last(const List *list) {
        return list_is_empty(list) ? NULL : list->head.prev;
}

static inline ListLink *list_next(const List *list, const ListLink *link) {
        return link->next == &list->head ? NULL : link->next;
}

static inline ListLink *list_prev(const List *list, const ListLink *link) {
        return link->prev == &list->head ? NULL : link->prev;
}

static inline ListLink *list_pop_first(List *list) {
        ListLink *link = list_first(list);

        if (link)
                list_unlink(link);
        return link;
}

/* Moves all elements of `src` behind those of `dst`. */
static inline void list_splice(List *dst, List *src) {
        if (list_is_empty(src))
                return;
        src->head.next->prev = dst->head.prev;
        dst->head.prev->next = src->head.next;
        src->head.prev->next = &dst->head;
        dst->head.prev = src->head.prev;
        list_init(src);
}

#define list_entry(link, type, member) container_of(link, type, member)

#define list_first_entry(list, type, member) list_entry(list_first(list), type, member)

#define list_foreach(e, list, type, member)                                        \
        for (e = list_entry((list)->head.next, type, member);                      \
             &e->member != &(list)->head;                                          \
             e = list_entry(e->member.next, type, member))

/* The body may unlink or free `e`, but not `tmp`. */
#define list_foreach_safe(e, tmp, list, type, member)                              \
        for (e = list_entry((list)->head.next, type, member),                      \
            tmp = list_entry(e->member.next, type, member);                        \
             &e->member != &(list)->head;                                          \
             e = tmp, tmp = list_entry(e->member.next, type, member))
