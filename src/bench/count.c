/* bench/count.c: see count.h. The program is linked with --wrap for the four names below, and libcrypto is
 * told to allocate here. Layer: bench. */
#include "bench/count.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <string.h>

#include "bench/report.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);

struct count counts[COUNT_ENDS];
static struct count *now = &counts[COUNT_ENDS - 1];

void count_turn(int end)
{
    now = &counts[end];
}

void count_reset(void)
{
    memset(counts, 0, sizeof counts);
    now = &counts[COUNT_ENDS - 1];
}

static void *came(void *p)
{
    now->allocations++;
    now->live += (long)malloc_usable_size(p);
    if (now->live > now->peak)
        now->peak = now->live;
    return p;
}

static void goes(void *p)
{
    now->live -= (long)malloc_usable_size(p);
}

void *__wrap_malloc(size_t n)
{
    now->by_us++;
    return came(__real_malloc(n));
}

void *__wrap_calloc(size_t n, size_t size)
{
    now->by_us++;
    return came(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t n)
{
    now->by_us++;
    goes(p);
    return came(__real_realloc(p, n));
}

void __wrap_free(void *p)
{
    goes(p);
    __real_free(p);
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return n == 0 ? NULL : came(__real_malloc(n));
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    __wrap_free(p);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    if (n == 0) {
        crypto_free(p, file, line);
        return NULL;
    }
    goes(p);
    return came(__real_realloc(p, n));
}

void count_install(void)
{
    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
        die("libcrypto takes no allocator");
}
