/* What one viewer sees of one plan, held against the protocol and against the plan's own markers. */
#ifndef FOLLOW_H
#define FOLLOW_H

#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/* The markers of a text, in order: how many, the last, and a hash of their numbers. */
struct markers {
    uint32_t count;
    int last;
    uint64_t hash;
};

struct follow {
    int64_t begin; /* when the stream began at the source; 0: not seen yet */
    int stamps;    /* how many of the stamp's tokens have been seen */
    struct markers markers;
    int attempt, seq;
    uint32_t updates;
    int64_t first_update, last_update;
    int opened, ended;
};

/* Of all viewers together. Times in microseconds. */
struct tally {
    double token_us;
    uint32_t marked; /* markers of every plan; 0: not known */
    int measuring; /* whether histograms are filled now */
    struct histogram lag;      /* of each marked token: from when it was due to when it was read */
    struct histogram gap;      /* between two updates of a viewer */
    struct histogram per_hour; /* updates an hour of a viewer, over its stream */
    struct histogram event_bytes;
    uint64_t texts, events, updates, snapshots;
    uint64_t completed, cancelled, failed;
    uint64_t out_of_order, markers_lost, documents_different;
    uint64_t repeated_ends; /* whatever came after an end */
};

/* One SSE event; `name` and `id` are empty when it has none. Bytes is its size on the wire, without chunk framing. */
struct event {
    char name[16], id[24];
    char *data;
    size_t length, bytes;
};

void follow_event(struct follow *follow, struct tally *tally, const struct event *event, int64_t at);

#endif
