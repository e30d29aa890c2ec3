/* tests/support/crypto_memory.c: see crypto_memory.h. */
#include "support/crypto_memory.h"

#include <openssl/crypto.h>
#include <stdlib.h>

static size_t fail_in, made;
static bool for_good, counting;

static bool fails(void)
{
    if (!counting)
        return false;
    made++;
    if (fail_in > 1) {
        fail_in--;
        return false;
    }
    bool now = fail_in == 1;
    if (!for_good)
        fail_in = 0;
    return now;
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

bool crypto_memory_take(void)
{
    return CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) == 1;
}

static void fail(size_t nth, bool all)
{
    fail_in = nth;
    counting = nth > 0;
    for_good = all;
}

void crypto_memory_fail_nth(size_t nth)
{
    fail(nth, false);
}

void crypto_memory_fail_from(size_t nth)
{
    fail(nth, true);
}

size_t crypto_memory_count(void)
{
    return made;
}

bool crypto_memory_pause(bool pause)
{
    bool was = !counting;
    counting = !pause;
    return was;
}
