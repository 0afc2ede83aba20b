#include "options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
} NUMBERS[] = {
    {"port", offsetof(struct options, port)},
    {"tokens-per-second", offsetof(struct options, tokens_per_second)},
    {"starts", offsetof(struct options, starts)},
    {"rate", offsetof(struct options, rate)},
    {"at-once", offsetof(struct options, at_once)},
    {"marked", offsetof(struct options, marked)},
    {"viewers", offsetof(struct options, viewers)},
    {"measure-from", offsetof(struct options, measure_from)},
    {"measure-to", offsetof(struct options, measure_to)},
    {"status-rate", offsetof(struct options, status_rate)},
    {"live-rate", offsetof(struct options, live_rate)},
    {"cancel-at", offsetof(struct options, cancel_at)},
    {"cancels", offsetof(struct options, cancels)},
    {"reconnect-at", offsetof(struct options, reconnect_at)},
    {"reconnects", offsetof(struct options, reconnects)},
    {"seconds", offsetof(struct options, seconds)},
};

static void refuse(const char *argument) {
    fprintf(stderr, "client: %s: not an option with a value\n", argument);
    exit(2);
}

static void read_one(struct options *options, const char *name, const char *value) {
    if (strcmp(name, "--mode") == 0) {
        options->mode = value;
    } else if (strcmp(name, "--path") == 0) {
        options->path = value;
    } else {
        char *end;
        const double number = strtod(value, &end);
        for (size_t at = 0; at < sizeof NUMBERS / sizeof *NUMBERS; at++) {
            if (strncmp(name, "--", 2) != 0 || strcmp(name + 2, NUMBERS[at].name) != 0 || *end != 0) continue;
            memcpy((char *)options + NUMBERS[at].offset, &number, sizeof number);
            return;
        }
        refuse(name);
    }
}

struct options options_read(int count, char **arguments) {
    struct options options = {.mode = "gateway", .path = "/", .tokens_per_second = 50, .starts = 1, .rate = 1e6,
                              .at_once = 1e9, .viewers = 1, .measure_to = 1e9, .seconds = 60};
    for (int at = 1; at < count; at += 2) {
        if (at + 1 == count) refuse(arguments[at]);
        read_one(&options, arguments[at], arguments[at + 1]);
    }
    return options;
}
