#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void http_reset(struct http *http) { *http = (struct http){0}; }

int http_status(const struct http *http) {
    return strncmp(http->first, "HTTP/1.", 7) == 0 ? atoi(http->first + 9) : 0;
}

static void header(struct http *http) {
    if (strncasecmp(http->line, "content-length:", 15) == 0) http->remaining = atol(http->line + 15);
    if (strncasecmp(http->line, "transfer-encoding:", 18) == 0) http->chunked = strstr(http->line, "chunked") != NULL;
}

static void line_ended(struct http *http) {
    switch (http->stage) {
    case HTTP_FIRST:
        memcpy(http->first, http->line, sizeof http->first);
        http->stage = HTTP_HEADER;
        break;
    case HTTP_HEADER:
        if (http->line[0] != 0) {
            header(http);
        } else {
            http->stage = http->chunked ? HTTP_SIZE : http->remaining > 0 ? HTTP_LENGTH : HTTP_DONE;
        }
        break;
    case HTTP_SIZE:
        http->remaining = strtol(http->line, NULL, 16);
        http->stage = http->remaining > 0 ? HTTP_CHUNK : HTTP_TRAILER;
        break;
    case HTTP_CHUNK_END:
        http->stage = HTTP_SIZE;
        break;
    default:
        if (http->line[0] == 0) http->stage = HTTP_DONE;
    }
}

/* Takes up to one line. What does not fit of a long header is dropped: nobody asks for it. */
static size_t take_line(struct http *http, const char *data, size_t length) {
    const char *end = memchr(data, '\n', length);
    const size_t taken = end ? (size_t)(end - data) : length;
    size_t kept = taken;
    if (http->used + kept >= sizeof http->line) kept = sizeof http->line - 1 - http->used;
    memcpy(http->line + http->used, data, kept);
    http->used += kept;
    if (end == NULL) return length;
    if (http->used > 0 && http->line[http->used - 1] == '\r') http->used--;
    http->line[http->used] = 0;
    http->used = 0;
    line_ended(http);
    return taken + 1;
}

long http_feed(struct http *http, const char *data, size_t length, http_body *body, void *owner) {
    size_t at = 0;
    while (at < length && http->stage != HTTP_DONE) {
        if (http->stage != HTTP_LENGTH && http->stage != HTTP_CHUNK) {
            at += take_line(http, data + at, length - at);
            if (http->remaining < 0) return -1;
            continue;
        }
        size_t size = length - at;
        if (size > (size_t)http->remaining) size = (size_t)http->remaining;
        body(owner, data + at, size);
        at += size;
        http->remaining -= (long)size;
        if (http->remaining == 0) http->stage = http->stage == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_DONE;
    }
    return (long)at;
}
