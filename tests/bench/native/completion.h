/* The bytes of one streamed chat completion, as OpenRouter writes them: one chunk of the body to each event. */
#ifndef COMPLETION_H
#define COMPLETION_H

#include <stdint.h>

#include "buffer.h"

struct completion {
    char opening[320]; /* of every event, up to the content's text */
    int length;
};

/* The head of the answer, and the first comment. */
void completion_begin(struct completion *completion, struct buffer *out, uint64_t number);

/* A content delta of TOKEN_CHARS characters. */
void completion_token(const struct completion *completion, struct buffer *out, const char *token);

void completion_comment(struct buffer *out);

/* The finish reason, the usage (which repeats it), [DONE] and the end of the body. */
void completion_end(const struct completion *completion, struct buffer *out, int tokens);

#endif
