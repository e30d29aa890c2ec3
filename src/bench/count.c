/* bench/count.c: see count.h. The functions of libc's allocator are replaced for the whole process, so that
 * those of every library are counted; mem.c reaches them through --wrap, so that our own are known. Layer:
 * bench. */
#include "bench/count.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* glibc's own, under the names it keeps for such a purpose */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *p);
void *__wrap_calloc(size_t n, size_t size);

#define SEEN __attribute__((visibility("default"))) /* by the libraries, instead of libc's */

struct count counts[COUNT_ENDS];
static struct count *now; /* NULL: nobody counts */

void count_turn(int end)
{
    now = &counts[end];
}

void count_reset(void)
{
    memset(counts, 0, sizeof counts);
    now = &counts[COUNT_ENDS - 1];
}

void count_stop(void)
{
    now = NULL;
}

static void *came(void *p)
{
    if (now == NULL || p == NULL)
        return p;
    now->allocations++;
    now->live += (long)malloc_usable_size(p);
    if (now->live > now->peak)
        now->peak = now->live;
    return p;
}

static void goes(void *p)
{
    if (now != NULL && p != NULL)
        now->live -= (long)malloc_usable_size(p);
}

SEEN void *malloc(size_t n)
{
    return came(__libc_malloc(n));
}

SEEN void *calloc(size_t n, size_t size)
{
    return came(__libc_calloc(n, size));
}

SEEN void *realloc(void *p, size_t n)
{
    goes(p);
    return came(__libc_realloc(p, n));
}

SEEN void *aligned_alloc(size_t alignment, size_t n)
{
    return came(__libc_memalign(alignment, n));
}

SEEN int posix_memalign(void **ret, size_t alignment, size_t n)
{
    *ret = aligned_alloc(alignment, n);
    return *ret == NULL;
}

SEEN void free(void *p)
{
    goes(p);
    __libc_free(p);
}

/* mem.c allocates with calloc alone. */
void *__wrap_calloc(size_t n, size_t size)
{
    if (now != NULL)
        now->by_us++;
    return calloc(n, size);
}
