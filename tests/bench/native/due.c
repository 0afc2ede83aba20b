#include "due.h"

#include <stdio.h>
#include <stdlib.h>

static void place(struct due_queue *queue, struct due_item *item, int at) {
    queue->items[at] = item;
    item->place = at;
}

static void rise(struct due_queue *queue, struct due_item *item) {
    int at = item->place;
    while (at > 1 && queue->items[at / 2]->at > item->at) {
        place(queue, queue->items[at / 2], at);
        at /= 2;
    }
    place(queue, item, at);
}

static void sink(struct due_queue *queue, struct due_item *item) {
    int at = item->place;
    for (;;) {
        int child = at * 2;
        if (child > queue->count) break;
        if (child < queue->count && queue->items[child + 1]->at < queue->items[child]->at) child++;
        if (queue->items[child]->at >= item->at) break;
        place(queue, queue->items[child], at);
        at = child;
    }
    place(queue, item, at);
}

void due_set(struct due_queue *queue, struct due_item *item, int64_t at) {
    if (item->place == 0) {
        if (queue->count + 1 >= queue->capacity) {
            queue->capacity = queue->capacity ? queue->capacity * 2 : 256;
            queue->items = realloc(queue->items, (size_t)queue->capacity * sizeof *queue->items);
            if (queue->items == NULL) {
                perror("memory");
                exit(2);
            }
        }
        place(queue, item, ++queue->count);
    }
    item->at = at;
    rise(queue, item);
    sink(queue, item);
}

void due_remove(struct due_queue *queue, struct due_item *item) {
    if (item->place == 0) return;
    struct due_item *last = queue->items[queue->count--];
    const int hole = item->place;
    item->place = 0;
    if (last == item) return;
    place(queue, last, hole);
    rise(queue, last);
    sink(queue, last);
}

struct due_item *due_first(const struct due_queue *queue) { return queue->count ? queue->items[1] : NULL; }
