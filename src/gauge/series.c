/* gauge/series.c: see series.h. Layer: gauge. */
#include "gauge/series.h"

#include <stdlib.h>
#include <time.h>

#define WANTED 3

static double clock_us(clockid_t which)
{
    struct timespec t;
    (void)clock_gettime(which, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

double cpu_us(void)
{
    return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

void series_add(struct series *s, double v)
{
    if (s->n < SERIES_MAX)
        s->v[s->n++] = v;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least this share of all does not exceed. */
static double rank(const struct series *s, size_t percent)
{
    size_t at = (s->n * percent + 99) / 100;
    return s->v[at > 0 ? at - 1 : 0];
}

struct gauge_stats series_stats(struct series *s)
{
    struct gauge_stats r = {.n = s->n};
    if (s->n == 0)
        return r;
    qsort(s->v, s->n, sizeof *s->v, by_size);
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += s->v[i];
    r.min = s->v[0];
    r.max = s->v[s->n - 1];
    r.mean = sum / (double)s->n;
    r.p50 = rank(s, 50);
    r.p95 = rank(s, 95);
    r.p99 = rank(s, 99);
    return r;
}

double series_median(struct series *s)
{
    return series_stats(s).p50;
}

struct stopwatch stopwatch_start(double seconds)
{
    return (struct stopwatch){.until = now_us() + seconds * 1e6};
}

bool stopwatch_more(const struct stopwatch *w, const struct series *s)
{
    if (s->n == SERIES_MAX)
        return false;
    return s->n == 0 || now_us() < w->until || (s->n < WANTED && s->v[0] < 1e6);
}
