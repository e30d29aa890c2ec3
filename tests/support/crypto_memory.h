/* tests/support/crypto_memory.h: libcrypto's memory, which can be made to fail: the way to make each of its
 * calls fail. Tests only. */
#ifndef TESTS_CRYPTO_MEMORY_H
#define TESTS_CRYPTO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* crypto_memory_take: before anything of libcrypto is used; false when it is too late. */
bool crypto_memory_take(void);
/* crypto_memory_fail_nth: the nth allocation from now on fails; 0: none. */
void crypto_memory_fail_nth(size_t nth);
/* crypto_memory_fail_from: the nth from now on and all that follow; 0: none. */
void crypto_memory_fail_from(size_t nth);
/* crypto_memory_count: allocations that were made while failing was asked for, ever. */
size_t crypto_memory_count(void);
/* crypto_memory_pause: what a test does for itself does not fail. Returns what it was. */
bool crypto_memory_pause(bool pause);

#endif
