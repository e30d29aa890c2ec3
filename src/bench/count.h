/* bench/count.h: counts what is allocated: by us (base/mem.c is linked through here) and by libcrypto and
 * libssl. Layer: bench. */
#ifndef BENCH_COUNT_H
#define BENCH_COUNT_H

#include <stddef.h>

#define COUNT_ENDS 3

/* struct count: of one end, as count_turn said whose turn it was; bytes as the allocator rounds them. */
struct count {
    size_t allocations, by_us; /* calls; those of mem.c among them */
    long live, peak;           /* bytes, relative to the last reset */
};
extern struct count counts[COUNT_ENDS];

/* count_install: before anything else is called. */
void count_install(void);
void count_reset(void);
void count_turn(int end);

#endif
