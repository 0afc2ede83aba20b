/* Reads one HTTP/1.1 message after another, request or response, in pieces as they come (RFC 9112). */
#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>

enum http_stage {
    HTTP_FIRST,
    HTTP_HEADER,
    HTTP_LENGTH,
    HTTP_SIZE,
    HTTP_CHUNK,
    HTTP_CHUNK_END,
    HTTP_TRAILER,
    HTTP_DONE
};

struct http {
    enum http_stage stage;
    char first[256]; /* request or status line */
    char line[256];
    size_t used;
    long remaining;
    int chunked;
};

typedef void http_body(void *owner, const char *data, size_t length);

/* Takes bytes up to the end of the message and gives its body to `body`. Returns how many it took: fewer than `length`
 * only when the message is over (stage HTTP_DONE); -1 when this is not HTTP. */
long http_feed(struct http *http, const char *data, size_t length, http_body *body, void *owner);

/* Ready for the next message of the connection. */
void http_reset(struct http *http);

/* The status of a response; 0 when it has none. */
int http_status(const struct http *http);

#endif
