/* The last line of the client: everything that it has counted, as JSON. */
#ifndef REPORT_H
#define REPORT_H

#include "connection.h"

struct outcome {
    double seconds;
    int started, unfinished, reconnected;
};

void report_result(const struct outcome *outcome, const struct tally *tally, const struct answers *answers);

#endif
