/* What is due next: a binary heap of items that live in their owners. */
#ifndef DUE_H
#define DUE_H

#include <stdint.h>

struct due_item {
    int64_t at; /* microseconds on now_us()'s clock */
    int place;  /* in the heap, from 1; 0: not in it */
};

struct due_queue {
    struct due_item **items;
    int count, capacity;
    int timer; /* the owner's timerfd, if it has one */
};

/* Puts an item in, or moves it. */
void due_set(struct due_queue *queue, struct due_item *item, int64_t at);
void due_remove(struct due_queue *queue, struct due_item *item);
struct due_item *due_first(const struct due_queue *queue);

#endif
