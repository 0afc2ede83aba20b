#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static void count(const char *name, uint64_t value) { printf(",\"%s\":%" PRIu64, name, value); }

static void histogram(const char *name, const struct histogram *values) {
    printf(",\"%s\":", name);
    histogram_print(values, stdout);
}

static void report_tally(const struct tally *tally) {
    count("texts", tally->texts);
    count("events", tally->events);
    count("updates", tally->updates);
    count("snapshots", tally->snapshots);
    count("completed", tally->completed);
    count("cancelled", tally->cancelled);
    count("failed", tally->failed);
    count("outOfOrder", tally->out_of_order);
    count("markersLost", tally->markers_lost);
    count("documentsDifferent", tally->documents_different);
    count("repeatedEnds", tally->repeated_ends);
    histogram("lag", &tally->lag);
    histogram("gap", &tally->gap);
    histogram("updatesPerHour", &tally->per_hour);
    histogram("eventBytes", &tally->event_bytes);
}

static void report_answers(const struct answers *answers) {
    count("refused", answers->refused);
    count("broken", answers->broken);
    count("connectFailures", answers->connect_failures);
    histogram("inputs", &answers->inputs);
    histogram("firstEvent", &answers->first_event);
    histogram("firstText", &answers->first_text);
    histogram("status", &answers->status);
    histogram("cancel", &answers->cancel);
    histogram("cancelledEvent", &answers->cancelled_event);
    histogram("attach", &answers->attach);
    histogram("snapshot", &answers->snapshot);
    histogram("live", &answers->live);
}

void report_result(const struct outcome *outcome, const struct tally *tally, const struct answers *answers) {
    printf("{\"result\":true,\"seconds\":%.3f,\"cpuSeconds\":%.3f", outcome->seconds,
           (double)clock() / CLOCKS_PER_SEC);
    count("started", (uint64_t)outcome->started);
    count("unfinished", (uint64_t)outcome->unfinished);
    count("reconnected", (uint64_t)outcome->reconnected);
    report_tally(tally);
    report_answers(answers);
    puts("}");
    fflush(stdout);
}
