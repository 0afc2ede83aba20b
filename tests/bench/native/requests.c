#include "requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void post(struct buffer *out, const char *path, const char *user, const char *accept, const char *body) {
    buffer_print(out,
                 "POST %s HTTP/1.1\r\nHost: bench\r\nX-User-Id: %s\r\nAccept: %s\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 path, user, accept, strlen(body), body);
}

void plan_user(struct plan *plan) {
    snprintf(plan->user, sizeof plan->user, "%08x-%04x-4%03x-8%03x-%06x%06x", (unsigned)rand(), rand() & 0xffff,
             rand() & 0xfff, rand() & 0xfff, rand() & 0xffffff, rand() & 0xffffff);
}

void request_inputs(struct buffer *out, const struct plan *plan) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"userId\":\"%s\",\"goals\":\"Run a half marathon in spring\",\"focusAreas\":[\"Endurance\"],"
             "\"availableHours\":{\"monday\":1,\"saturday\":3},\"ambition\":\"balanced\",\"weeks\":4}",
             plan->user);
    post(out, "/api/plan/inputs", plan->user, "application/json", body);
}

void request_start(struct buffer *out, const struct plan *plan) {
    char body[256];
    snprintf(body, sizeof body, "{\"userId\":\"%s\",\"preferenceId\":\"%s\"}", plan->user, plan->preference);
    post(out, "/api/streaming/generate-plan", plan->user, "text/event-stream", body);
}

void request_completion(struct buffer *out) {
    post(out, "/api/v1/chat/completions", "-", "text/event-stream", "{\"stream\":true}");
}

static void get(struct buffer *out, const char *method, const char *path, const char *user) {
    buffer_print(out, "%s %s HTTP/1.1\r\nHost: bench\r\nX-User-Id: %s\r\n\r\n", method, path, user);
}

void request_path(struct buffer *out, const char *path) { get(out, "GET", path, "-"); }

void request_of(struct buffer *out, const struct plan *plan, const char *method, const char *what) {
    char path[128];
    snprintf(path, sizeof path, "/api/streaming/%s/%s", what, plan->id);
    get(out, method, path, plan->user);
}

void request_events(struct buffer *out, const struct plan *plan, const char *path) {
    if (plan->id[0]) {
        request_of(out, plan, "GET", "events");
    } else {
        request_path(out, path);
    }
}

int json_text(const char *json, const char *name, char *out, size_t size) {
    char key[64];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *begin = strstr(json, key);
    const char *end = begin ? strchr(begin + strlen(key), '"') : NULL;
    if (end == NULL) return 0;
    begin += strlen(key);
    if ((size_t)(end - begin) >= size) return 0;
    snprintf(out, size, "%.*s", (int)(end - begin), begin);
    return 1;
}
