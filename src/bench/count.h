/* bench/count.h: counts what is allocated, by everybody in the process. Layer: bench. */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include <stddef.h>

#define COUNT_ENDS 3

/* struct count: of one end, as count_turn said whose turn it was; bytes as the allocator rounds them. */
struct count {
    size_t allocations, by_us; /* calls; those of base/mem.c among them */
    long live, peak;           /* bytes, relative to the last reset */
};
extern struct count counts[COUNT_ENDS];

/* count_reset: all to zero; counting begins, for the last end. count_stop: nothing is counted until then. */
void count_reset(void);
void count_stop(void);
void count_turn(int end);

#endif
