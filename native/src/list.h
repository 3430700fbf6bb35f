/* SPDX-License-Identifier: MIT */
/* list.h - a doubly linked list whose links live in its members.
 *
 * A link that is in no list points at itself, so `list_remove` may be called at
 * any time. */
#ifndef SMW_LIST_H
#define SMW_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct list list;
struct list {
    list *next;
    list *prev;
};

/* The struct that holds `link` as its member `field`. */
#define list_entry(link, type, field) \
    ((type *)(void *)((char *)(link) - offsetof(type, field)))

static inline void list_init(list *head)
{
    head->next = head->prev = head;
}

static inline bool list_is_empty(const list *head)
{
    return head->next == head;
}

static inline void list_append(list *head, list *link)
{
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}

static inline void list_prepend(list *head, list *link)
{
    list_append(head->next, link);
}

static inline void list_remove(list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

static inline list *list_pop(list *head)
{
    list *first = head->next;
    if (first == head) return NULL;
    list_remove(first);
    return first;
}

#endif
