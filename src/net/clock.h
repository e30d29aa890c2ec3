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

/* clock_wall_ms: milliseconds since 1970-01-01 UTC, for certificates and the ages of tickets. */
static inline int64_t clock_wall_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* clock_boot_ms: milliseconds since the machine started, sleep included; nobody sets it. */
static inline int64_t clock_boot_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* clock_wall_s: the same in seconds. */
static inline int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

#endif
