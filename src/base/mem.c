/* base/mem.c: allocation with sizes, wiping on free. Layer: base. The only file that may call malloc or free.
 */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* In front of each block, so that mem_free can wipe it. Keeps the block aligned for any type. */
struct header {
    _Alignas(max_align_t) size_t size;
};

#ifdef TT_FAULT_INJECTION
#include <pthread.h>
static pthread_mutex_t test_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t test_fail_in;
static struct mem_test_stats test_stats;
static mem_test_compare_fn test_compare;

void mem_test_fail_nth(size_t nth)
{
    pthread_mutex_lock(&test_lock);
    test_fail_in = nth;
    pthread_mutex_unlock(&test_lock);
}

void mem_test_reset(void)
{
    pthread_mutex_lock(&test_lock);
    test_stats = (struct mem_test_stats){0};
    pthread_mutex_unlock(&test_lock);
}

struct mem_test_stats mem_test_stats(void)
{
    pthread_mutex_lock(&test_lock);
    struct mem_test_stats copy = test_stats;
    pthread_mutex_unlock(&test_lock);
    return copy;
}

void mem_test_on_compare(mem_test_compare_fn hook)
{
    test_compare = hook;
}

static void test_compared(const void *ours, size_t n, bool *equal)
{
    if (test_compare != NULL)
        test_compare(ours, n, equal);
}

static bool test_alloc_fails(size_t n)
{
    pthread_mutex_lock(&test_lock);
    bool fails = test_fail_in > 0 && --test_fail_in == 0;
    if (!fails) {
        test_stats.allocations++;
        test_stats.live_blocks++;
        test_stats.live_bytes += n;
        if (test_stats.live_bytes > test_stats.peak_bytes)
            test_stats.peak_bytes = test_stats.live_bytes;
    }
    pthread_mutex_unlock(&test_lock);
    return fails;
}

static void test_freed(size_t n)
{
    pthread_mutex_lock(&test_lock);
    test_stats.live_blocks--;
    test_stats.live_bytes -= n;
    pthread_mutex_unlock(&test_lock);
}
#else
static bool test_alloc_fails(size_t n)
{
    (void)n;
    return false;
}
static void test_freed(size_t n)
{
    (void)n;
}
static void test_compared(const void *ours, size_t n, const bool *equal)
{
    (void)ours;
    (void)n;
    (void)equal;
}
#endif

void *mem_alloc(size_t n)
{
    if (n > SIZE_MAX - sizeof(struct header) || test_alloc_fails(n))
        return NULL;
    struct header *h = calloc(1, sizeof *h + n);
    if (h == NULL)
        return NULL;
    h->size = n;
    return h + 1;
}

void *mem_resize(void *p, size_t n)
{
    void *bigger = mem_alloc(n);
    if (bigger == NULL || p == NULL)
        return bigger;
    size_t old = ((struct header *)p - 1)->size;
    memcpy(bigger, p, old < n ? old : n);
    mem_free(p);
    return bigger;
}

void mem_free_theirs(void *p)
{
    free(p);
}

void mem_free(void *p)
{
    if (p == NULL)
        return;
    struct header *h = (struct header *)p - 1;
    test_freed(h->size);
    mem_wipe(p, h->size);
    free(h);
}

void *mem_dup(const void *p, size_t n)
{
    uint8_t *copy = n < SIZE_MAX ? mem_alloc(n + 1) : NULL;
    if (copy != NULL && n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s));
}

void mem_wipe(void *p, size_t n)
{
    if (n > 0)
        explicit_bzero(p, n);
}

bool mem_equal_ct(const void *a, const void *b, size_t n)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t diff = 0;
    test_compared(b, n, NULL);
    for (size_t i = 0; i < n; i++)
        diff = (uint8_t)(diff | (x[i] ^ y[i]));
    bool equal = diff == 0;
    test_compared(b, n, &equal);
    return equal;
}
