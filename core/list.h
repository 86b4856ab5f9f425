/* Intrusive doubly linked list. A node is in at most one list; a node that is in none points to itself, so that removing
 * twice is harmless and membership can be asked. The list head is a node that belongs to no element. */
#pragma once
#include "core/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
/* Is this node in a list? */
static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}
static inline void list_insert_before(struct list *at, struct list *node)
{
    assert(!list_linked(node));
    assert(at->prev->next == at);
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}
static inline void list_push(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}
static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}
static inline void list_remove(struct list *node)
{
    assert(node->next->prev == node);
    assert(node->prev->next == node);
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}
static inline struct list *list_pop(struct list *head)
{
    struct list *node = list_first(head);
    if (node)
        list_remove(node);
    return node;
}
/* Moves everything in `from` to the end of `to`. */
static inline void list_splice(struct list *to, struct list *from)
{
    assert(to != from);
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
