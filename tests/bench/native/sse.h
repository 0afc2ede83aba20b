/* Bytes of a stream → Server-Sent Events (WHATWG HTML section 9.2), as far as a viewer of plans needs it. */
#ifndef SSE_H
#define SSE_H

#include "buffer.h"
#include "follow.h"

struct sse {
    struct buffer line; /* what has come of the present line */
    struct buffer data;
    char name[16], id[24];
    size_t bytes;
};

typedef void sse_event(void *owner, const struct event *event);

void sse_feed(struct sse *sse, const char *data, size_t length, sse_event *event, void *owner);
void sse_free(struct sse *sse);

#endif
