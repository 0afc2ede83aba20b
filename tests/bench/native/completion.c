#include "completion.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "plan_text.h"

static const char FINISH[] =
    "\",\"role\":\"assistant\"},\"finish_reason\":\"stop\",\"native_finish_reason\":\"stop\"}]";

static void chunk(struct buffer *out, const char *data, size_t length) {
    buffer_print(out, "%zx\r\n", length);
    buffer_add(out, data, length);
    buffer_add(out, "\r\n", 2);
}

static void say(struct buffer *out, const char *text) { chunk(out, text, strlen(text)); }

void completion_comment(struct buffer *out) { say(out, ": OPENROUTER PROCESSING\n\n"); }

void completion_begin(struct completion *completion, struct buffer *out, uint64_t number) {
    const int64_t now = (int64_t)time(NULL);
    char id[48];
    snprintf(id, sizeof id, "gen-%" PRId64 "-%020" PRIu64, now, number);
    completion->length =
        snprintf(completion->opening, sizeof completion->opening,
                 "data: {\"id\":\"%s\",\"object\":\"chat.completion.chunk\",\"created\":%" PRId64
                 ",\"model\":\"openai/gpt-4.1-mini\",\"provider\":\"OpenAI\",\"choices\":[{\"index\":0,\"delta\":{"
                 "\"content\":\"",
                 id, now);
    buffer_print(out,
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                 "Transfer-Encoding: chunked\r\nX-Generation-Id: %s\r\n\r\n",
                 id);
    completion_comment(out);
}

void completion_token(const struct completion *completion, struct buffer *out, const char *token) {
    static const char rest[] = "\",\"role\":\"assistant\"},\"finish_reason\":null,\"native_finish_reason\":null}]}\n\n";
    char event[512];
    size_t length = (size_t)completion->length;
    memcpy(event, completion->opening, length);
    for (int at = 0; at < TOKEN_CHARS; at++) {
        if (token[at] == '"') event[length++] = '\\';
        event[length++] = token[at];
    }
    memcpy(event + length, rest, sizeof rest - 1);
    chunk(out, event, length + sizeof rest - 1);
}

void completion_end(const struct completion *completion, struct buffer *out, int tokens) {
    char event[1024];
    snprintf(event, sizeof event, "%s%s}\n\n", completion->opening, FINISH);
    say(out, event);
    snprintf(event, sizeof event,
             "%s%s,\"usage\":{\"prompt_tokens\":900,\"completion_tokens\":%d,\"total_tokens\":%d,\"cost\":0.0027,"
             "\"is_byok\":false}}\n\n",
             completion->opening, FINISH, tokens, 900 + tokens);
    say(out, event);
    say(out, "data: [DONE]\n\n");
    buffer_add(out, "0\r\n\r\n", 5);
}
