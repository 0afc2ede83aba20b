/* Bytes that wait: to be sent, or for the rest of their line. */
#ifndef BUFFER_H
#define BUFFER_H

#include <stddef.h>

struct buffer {
    char *data;
    size_t length;
    size_t capacity;
};

void buffer_add(struct buffer *buffer, const char *data, size_t length);
__attribute__((format(printf, 2, 3))) void buffer_print(struct buffer *buffer, const char *format, ...);

/* Sends to a socket that does not block and keeps what it does not take. 0 when the connection is broken. */
int buffer_send(struct buffer *buffer, int socket);

/* Empties it; large memory is given back, because ten thousand idle connections have one each. */
void buffer_clear(struct buffer *buffer);
void buffer_free(struct buffer *buffer);

#endif
