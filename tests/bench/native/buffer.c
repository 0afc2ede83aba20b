#include "buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEPT_BYTES 16384

static void reserve(struct buffer *buffer, size_t more) {
    if (buffer->length + more <= buffer->capacity) return;
    size_t capacity = buffer->capacity ? buffer->capacity : 512;
    while (capacity < buffer->length + more) capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        perror("memory");
        exit(2);
    }
    buffer->data = data;
    buffer->capacity = capacity;
}

void buffer_add(struct buffer *buffer, const char *data, size_t length) {
    if (length == 0) return;
    reserve(buffer, length);
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
}

void buffer_print(struct buffer *buffer, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    const int length = vsnprintf(NULL, 0, format, arguments);
    reserve(buffer, (size_t)length + 1);
    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, again);
    buffer->length += (size_t)length;
    va_end(again);
    va_end(arguments);
}

int buffer_send(struct buffer *buffer, int socket) {
    size_t sent = 0;
    while (sent < buffer->length) {
        const ssize_t count = send(socket, buffer->data + sent, buffer->length - sent, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && errno != EAGAIN) return 0;
        if (count < 0) break;
        sent += (size_t)count;
    }
    if (sent == buffer->length) {
        buffer_clear(buffer);
    } else if (sent > 0) {
        memmove(buffer->data, buffer->data + sent, buffer->length - sent);
        buffer->length -= sent;
    }
    return 1;
}

void buffer_clear(struct buffer *buffer) {
    buffer->length = 0;
    if (buffer->capacity > KEPT_BYTES) buffer_free(buffer);
}

void buffer_free(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){0};
}
