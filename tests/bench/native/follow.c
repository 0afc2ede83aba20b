#include "follow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan_text.h"

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : -1;
}

/* Three digits to base 36, or -1. */
static int number(const char *at, const char *end) {
    int value = 0;
    for (int place = 0; place < TOKEN_CHARS - 1; place++) {
        const int next = at + place < end ? digit(at[place]) : -1;
        if (next < 0) return -1;
        value = value * 36 + next;
    }
    return value;
}

static void see_stamp(struct follow *follow, int value) {
    if (follow->stamps == STAMP_TOKENS) return;
    follow->begin = follow->begin * 36 * 36 * 36 + value;
    follow->stamps++;
}

/* A token that this viewer had not seen before. */
static void see_token(const struct follow *follow, struct tally *tally, int token, int64_t at) {
    tally->texts++;
    if (follow->stamps < STAMP_TOKENS) {
        tally->markers_lost++;
    } else if (tally->measuring) {
        histogram_add(&tally->lag, at - follow->begin - (int64_t)(token * tally->token_us));
    }
}

/* All markers of `text`. What continues the plan is added to `into`; what is newer than the viewer's last is seen. */
static void read_markers(struct follow *follow, struct tally *tally, const struct event *event, struct markers *into,
                         int64_t at) {
    const char *end = event->data + event->length;
    const int newest = follow->markers.last;
    for (const char *c = event->data; c < end; c++) {
        if (*c != '~' && *c != '@') continue;
        const int token = number(c + 1, end);
        if (token < 0) {
            tally->markers_lost++;
        } else if (*c == '@') {
            see_stamp(follow, token);
        } else if (into->count > 0 && token <= into->last) {
            tally->markers_lost++;
        } else {
            into->count++;
            into->last = token;
            into->hash = (into->hash ^ (uint64_t)token) * 1099511628211u;
            if (token > newest) see_token(follow, tally, token, at);
        }
    }
}

/* A whole document replaces what was held; it must hold all of that. */
static void read_document(struct follow *follow, struct tally *tally, const struct event *event, int64_t at) {
    struct markers whole = {0};
    read_markers(follow, tally, event, &whole, at);
    if (whole.count < follow->markers.count) tally->documents_different++;
    follow->markers = whole;
}

static void read_update(struct follow *follow, struct tally *tally, const struct event *event, int64_t at) {
    read_markers(follow, tally, event, &follow->markers, at);
    tally->updates++;
    if (follow->updates++ == 0) {
        follow->first_update = at;
    } else if (tally->measuring) {
        histogram_add(&tally->gap, at - follow->last_update);
    }
    follow->last_update = at;
}

/* `<attempt>.<seq>`: the next of the attempt; where it may be any, the viewer's first or a later one than its last. */
static void read_id(struct follow *follow, struct tally *tally, const struct event *event, int any) {
    const char *dot = strchr(event->id, '.');
    const int attempt = atoi(event->id), seq = dot ? atoi(dot + 1) : -1;
    const int next = attempt == follow->attempt && seq == follow->seq + 1;
    const int later = attempt > follow->attempt || (attempt == follow->attempt && seq > follow->seq);
    if (!(any ? later : next)) tally->out_of_order++;
    follow->attempt = attempt;
    follow->seq = seq;
}

static void end(struct follow *follow, struct tally *tally) {
    follow->ended = 1;
    const int64_t lasted = follow->last_update - follow->first_update;
    if (follow->updates > 1 && lasted > 0 && tally->measuring)
        histogram_add(&tally->per_hour, (int64_t)((follow->updates - 1) * 3.6e9 / (double)lasted));
}

static void end_complete(struct follow *follow, struct tally *tally, const struct event *event, int64_t at) {
    const struct markers held = follow->markers;
    read_document(follow, tally, event, at);
    if (held.count != follow->markers.count || held.hash != follow->markers.hash) tally->documents_different++;
    if (tally->marked > follow->markers.count) tally->markers_lost += tally->marked - follow->markers.count;
    tally->completed++;
    end(follow, tally);
}

/* The source itself: its events have no name, and what ends the stream is a word. */
static void read_direct(struct follow *follow, struct tally *tally, const struct event *event, int64_t at) {
    if (strncmp(event->data, "[DONE]", 6) == 0) {
        tally->completed++;
        end(follow, tally);
    } else {
        read_update(follow, tally, event, at);
    }
}

void follow_event(struct follow *follow, struct tally *tally, const struct event *event, int64_t at) {
    if (follow->ended) {
        tally->repeated_ends++;
        return;
    }
    tally->events++;
    follow->opened = 1;
    if (strcmp(event->name, "progress") == 0) {
        if (tally->measuring) histogram_add(&tally->event_bytes, (int64_t)event->bytes);
        read_id(follow, tally, event, 0);
        read_update(follow, tally, event, at);
    } else if (strcmp(event->name, "snapshot") == 0) {
        tally->snapshots++;
        read_id(follow, tally, event, 1);
        read_document(follow, tally, event, at);
    } else if (strcmp(event->name, "complete") == 0) {
        read_id(follow, tally, event, 0);
        end_complete(follow, tally, event, at);
    } else if (strcmp(event->name, "cancelled") == 0) {
        read_id(follow, tally, event, 1);
        tally->cancelled++;
        end(follow, tally);
    } else if (strcmp(event->name, "error") == 0) {
        fprintf(stderr, "error event: %.300s\n", event->data);
        tally->failed++;
        end(follow, tally);
    } else if (event->name[0] == 0) {
        read_direct(follow, tally, event, at);
    }
}
