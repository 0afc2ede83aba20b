/* One connection of the client: a small machine that goes from request to request and then follows a stream. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdint.h>

#include "buffer.h"
#include "follow.h"
#include "http.h"
#include "sse.h"

enum purpose { INPUTS, STREAM, STATUS, CANCEL, LIVE };

struct plan {
    char user[40], id[40], preference[40];
    int running;
    int64_t cancelled_at; /* 0: nobody has asked */
};

struct connection {
    struct connection *previous, *next;
    int socket; /* -1: being closed */
    enum purpose purpose;
    struct plan *plan;
    struct buffer out, body;
    struct http http;
    struct sse sse;
    struct follow follow;
    int64_t asked_at;
    int starts; /* it asked for the plan, so its first event answers the start */
    int awaits; /* a snapshot, or the first text of a start */
};

/* All connections of the client. */
struct pool {
    struct connection *open; /* a list */
    struct connection *dead; /* freed after the round, because an event of this round may still name it */
    int poller, port, count;
};

struct connection *connection_open(struct pool *pool, struct plan *plan);
void connection_close(struct pool *pool, struct connection *connection);
void connection_bury(struct pool *pool);

/* What the control plane answered, in microseconds from the request. */
struct answers {
    struct histogram inputs, first_event, first_text, status, cancel, cancelled_event, live;
    struct histogram attach, snapshot; /* of a viewer's first coming, and of its coming back */
    uint64_t refused, broken, connect_failures;
};

#endif
