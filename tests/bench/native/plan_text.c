#include "plan_text.h"

#include <stdlib.h>
#include <string.h>

static const char DIGITS[] = "0123456789abcdefghijklmnopqrstuvwxyz";
static const char *const DAYS[] = {"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"};

/* How much of everything a plan has; texts in tokens. */
struct shape {
    int weeks, tasks, goals, summary, focus, goal, description;
};

struct writer {
    char *out; /* NULL to count only */
    int length, marked, stamp_token;
};

static void put(struct writer *writer, const char *text) {
    const int length = (int)strlen(text);
    if (writer->out) memcpy(writer->out + writer->length, text, (size_t)length);
    writer->length += length;
}

static void pad_until(struct writer *writer, int remainder) {
    while (writer->length % TOKEN_CHARS != remainder) put(writer, " ");
}

static void number(char *out, int64_t value, int digits) {
    for (int at = digits - 1; at >= 0; at--, value /= 36) out[at] = DIGITS[value % 36];
}

static void markers(struct writer *writer, int tokens) {
    for (int count = 0; count < tokens; count++) {
        char marker[TOKEN_CHARS + 1] = "~";
        number(marker + 1, writer->length / TOKEN_CHARS, TOKEN_CHARS - 1);
        put(writer, marker);
    }
    writer->marked += tokens;
}

static void text(struct writer *writer, int tokens) {
    pad_until(writer, TOKEN_CHARS - 1);
    put(writer, "\"");
    markers(writer, tokens);
    put(writer, "\"");
}

static void summary(struct writer *writer, int tokens) {
    pad_until(writer, TOKEN_CHARS - 1);
    put(writer, "\"");
    writer->stamp_token = writer->length / TOKEN_CHARS;
    for (int count = 0; count < STAMP_TOKENS; count++) put(writer, "@000");
    markers(writer, tokens);
    put(writer, "\"");
}

static void task(struct writer *writer, const struct shape *shape) {
    put(writer, "{\"description\":");
    text(writer, shape->description);
    put(writer, ",\"focus_area\":");
    text(writer, 2);
    put(writer, ",\"start_time\":\"09:00\",\"end_time\":\"10:00\"}");
}

static void week(struct writer *writer, const struct shape *shape, int index) {
    const char opening[] = {'{', '"', 'w', 'e', 'e', 'k', '"', ':', (char)('1' + index), 0};
    put(writer, opening);
    put(writer, ",\"focus\":");
    text(writer, shape->focus);
    put(writer, ",\"goals\":[");
    for (int count = 0; count < shape->goals; count++) {
        if (count) put(writer, ",");
        text(writer, shape->goal);
    }
    put(writer, "],\"daily_tasks\":{");
    for (int day = 0; day < 7; day++) {
        put(writer, day ? ",\"" : "\"");
        put(writer, DAYS[day]);
        put(writer, "\":[");
        for (int count = day; count < shape->tasks; count += 7) {
            if (count != day) put(writer, ",");
            task(writer, shape);
        }
        put(writer, "]");
    }
    put(writer, "}}");
}

static struct writer document(const struct shape *shape, char *out) {
    struct writer writer = {.out = out};
    put(&writer, "{\"monthly_summary\":");
    summary(&writer, shape->summary);
    put(&writer, ",\"weekly_breakdown\":[");
    for (int index = 0; index < shape->weeks; index++) {
        if (index) put(&writer, ",");
        week(&writer, shape, index);
    }
    put(&writer, "]");
    pad_until(&writer, TOKEN_CHARS - 1);
    put(&writer, "}");
    return writer;
}

static int size_of(const struct shape *shape) { return document(shape, NULL).length / TOKEN_CHARS; }

/* Like the plans that models write: some 45 tokens to a task, so a longer plan has more tasks, not longer ones. */
static struct shape shape_for(int tokens, int weeks) {
    const int each = tokens / weeks;
    const int tasks = each > 100 ? (each - 60) / 45 : 0;
    const int goals = tasks ? 3 : 0;
    struct shape shape = {weeks, tasks < 168 ? tasks : 168, goals, 1, tasks ? 6 : 1, 6, 1};
    while (shape.tasks && size_of(&shape) <= tokens) shape.description++;
    if (shape.description > 1) shape.description--;
    shape.summary += tokens - size_of(&shape);
    return shape;
}

int plan_text_make(struct plan_text *plan, int tokens, int weeks) {
    if (tokens > MOST_TOKENS) return 0;
    const struct shape shape = shape_for(tokens, weeks);
    if (shape.summary < 1) return 0;
    plan->text = malloc((size_t)tokens * TOKEN_CHARS);
    if (plan->text == NULL) return 0;
    const struct writer written = document(&shape, plan->text);
    plan->tokens = tokens;
    plan->marked = written.marked;
    plan->stamp_token = written.stamp_token;
    return written.length == tokens * TOKEN_CHARS;
}

void plan_text_token(const struct plan_text *plan, int token, int64_t begin, char *out) {
    const int part = token - plan->stamp_token;
    memcpy(out, plan->text + token * TOKEN_CHARS, TOKEN_CHARS);
    if (part < 0 || part >= STAMP_TOKENS) return;
    for (int after = part + 1; after < STAMP_TOKENS; after++) begin /= 36 * 36 * 36;
    number(out + 1, begin % (36 * 36 * 36), TOKEN_CHARS - 1);
}
