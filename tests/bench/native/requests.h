/* The requests of the public API, and of the source itself, as a client writes them. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "buffer.h"
#include "connection.h"

/* A user of its own for each plan. */
void plan_user(struct plan *plan);

void request_inputs(struct buffer *out, const struct plan *plan);
void request_start(struct buffer *out, const struct plan *plan);
void request_completion(struct buffer *out);

/* GET the plan's events, or `path` when the plan has no id. */
void request_events(struct buffer *out, const struct plan *plan, const char *path);

void request_path(struct buffer *out, const char *path);

/* `method` /api/streaming/`what`/{planId} */
void request_of(struct buffer *out, const struct plan *plan, const char *method, const char *what);

/* The text member `name` of a JSON object, when it holds no escapes; 0 when it is not there or too long. */
int json_text(const char *json, const char *name, char *out, size_t size);

#endif
