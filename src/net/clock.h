/* net/clock.h: the clocks the engine does not read. Layer: net. */
#ifndef NET_CLOCK_H
#define NET_CLOCK_H

#include <stdint.h>
#include <time.h>

/* clock_monotonic_ns: for durations. */
static inline uint64_t clock_monotonic_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* clock_wall_s: seconds since 1970-01-01 UTC, for certificates. */
static inline int64_t clock_wall_s(void)
{
    return (int64_t)time(NULL);
}

#endif
