#include "sse.h"

#include <stdio.h>
#include <string.h>

/* The value of a field `name: value` when the line is that field. */
static const char *field(const char *line, size_t length, const char *name, size_t *size) {
    const size_t prefix = strlen(name);
    if (length < prefix || memcmp(line, name, prefix) != 0) return NULL;
    const char *value = line + prefix;
    if (prefix < length && *value == ' ') value++;
    *size = length - (size_t)(value - line);
    return value;
}

static void dispatch(struct sse *sse, sse_event *event, void *owner) {
    if (sse->data.length > 0) {
        buffer_add(&sse->data, "", 1);
        struct event whole = {.data = sse->data.data, .length = sse->data.length - 1, .bytes = sse->bytes};
        memcpy(whole.name, sse->name, sizeof whole.name);
        memcpy(whole.id, sse->id, sizeof whole.id);
        event(owner, &whole);
    }
    buffer_clear(&sse->data);
    sse->name[0] = 0;
    sse->bytes = 0;
}

static void take_line(struct sse *sse, const char *line, size_t length, sse_event *event, void *owner) {
    size_t size;
    const char *value;
    sse->bytes += length + 1;
    if (length > 0 && line[length - 1] == '\r') length--;
    if (length == 0) {
        dispatch(sse, event, owner);
    } else if ((value = field(line, length, "data:", &size))) {
        buffer_add(&sse->data, value, size);
    } else if ((value = field(line, length, "event:", &size))) {
        snprintf(sse->name, sizeof sse->name, "%.*s", (int)size, value);
    } else if ((value = field(line, length, "id:", &size))) {
        snprintf(sse->id, sizeof sse->id, "%.*s", (int)size, value);
    }
}

void sse_feed(struct sse *sse, const char *data, size_t length, sse_event *event, void *owner) {
    const char *end = data + length;
    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        if (newline == NULL) {
            buffer_add(&sse->line, data, (size_t)(end - data));
            return;
        }
        if (sse->line.length > 0) {
            buffer_add(&sse->line, data, (size_t)(newline - data));
            take_line(sse, sse->line.data, sse->line.length, event, owner);
            buffer_clear(&sse->line);
        } else {
            take_line(sse, data, (size_t)(newline - data), event, owner);
        }
        data = newline + 1;
    }
}

void sse_free(struct sse *sse) {
    buffer_free(&sse->line);
    buffer_free(&sse->data);
}
