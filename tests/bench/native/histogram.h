/* A histogram of microseconds in logarithmic buckets: 32 to each doubling, so a value is known to about 3 %.
 *
 * Only the counting is done here; what is read out of it (percentiles, sums over runs) is done in one place, in
 * planbench/histogram.py, which has the same arithmetic the other way round. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_BUCKETS 1280 /* up to 2^44 µs */

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    int64_t min, max;
    double sum;
};

/* The bucket of a value; negative values count as 0. */
int histogram_bucket(int64_t value);

void histogram_add(struct histogram *histogram, int64_t value);

/* Writes {"count": …, "min": …, "max": …, "sum": …, "buckets": [[bucket, count], …]}. */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
