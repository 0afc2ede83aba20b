#include "histogram.h"

#include <inttypes.h>

int histogram_bucket(int64_t value) {
    const int subs = 1 << HISTOGRAM_SUB_BITS;
    if (value < subs) return value < 0 ? 0 : (int)value;
    const int power = 63 - __builtin_clzll((uint64_t)value);
    const int shift = power - HISTOGRAM_SUB_BITS;
    const int bucket = (shift + 1) * subs + (int)(value >> shift) - subs;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

void histogram_add(struct histogram *histogram, int64_t value) {
    histogram->buckets[histogram_bucket(value)]++;
    if (histogram->count == 0 || value < histogram->min) histogram->min = value;
    histogram->count++;
    histogram->sum += (double)value;
    if (value > histogram->max) histogram->max = value;
}

void histogram_print(const struct histogram *histogram, FILE *out) {
    fprintf(out, "{\"count\":%" PRIu64 ",\"min\":%" PRId64 ",\"max\":%" PRId64 ",\"sum\":%.0f,\"buckets\":[",
            histogram->count, histogram->min, histogram->max, histogram->sum);
    const char *comma = "";
    for (int bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        if (histogram->buckets[bucket] == 0) continue;
        fprintf(out, "%s[%d,%" PRIu64 "]", comma, bucket, histogram->buckets[bucket]);
        comma = ",";
    }
    fputs("]}", out);
}
