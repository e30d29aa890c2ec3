/* gauge/series.h: values being taken, and what becomes of them. Layer: gauge. */
#ifndef GAUGE_SERIES_H
#define GAUGE_SERIES_H

#include "gauge/gauge.h"

#define SERIES_MAX 4096

/* struct series: microseconds. Zero it first. */
struct series {
    size_t n;
    double v[SERIES_MAX];
};

void series_add(struct series *s, double v);
/* series_stats, series_median: sort them. Of no values everything is 0. */
struct gauge_stats series_stats(struct series *s);
double series_median(struct series *s);

/* struct stopwatch: how long a row may still take. */
struct stopwatch {
    double until; /* of now_us */
};
struct stopwatch stopwatch_start(double seconds);
/* stopwatch_more: room and time for one more value. At least one is taken, three where the first took less
 * than a second. */
bool stopwatch_more(const struct stopwatch *w, const struct series *s);

double now_us(void);
double cpu_us(void);

#endif
