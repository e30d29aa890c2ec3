/* base/mem.h: the only place that calls malloc and free. Layer: base.
 *
 * Freeing wipes: every block knows its size. Tests inject failures and check wiping here (mem_test_*). */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/rc.h"

/* mem_alloc: n zeroed bytes, or NULL. n may be 0 (a valid unique pointer is returned). */
TT_MUST_USE void *mem_alloc(size_t n);

/* mem_resize: like realloc, but the old block is wiped when it moves. The added bytes are zero. On failure p
 * is still valid. p may be NULL. */
TT_MUST_USE void *mem_resize(void *p, size_t n);

/* mem_free: wipe the whole block, then free it. p may be NULL. */
void mem_free(void *p);

/* mem_free_theirs: free what another library took from malloc for its caller to free; nothing secret, for it
 * is not wiped. p may be NULL. */
void mem_free_theirs(void *p);

/* mem_free_auto: for TT_AUTO on any pointer variable. */
static inline void mem_free_auto(void *pp)
{
    mem_free(*(void **)pp);
}

/* mem_dup: a copy of n bytes; one NUL byte is kept behind them, so that text can be used as a string. */
TT_MUST_USE void *mem_dup(const void *p, size_t n);

/* mem_strdup: a copy of a string. */
TT_MUST_USE char *mem_strdup(const char *s);

/* mem_wipe: overwrite with zeros in a way the compiler keeps. p may be NULL when n is 0. */
void mem_wipe(void *p, size_t n);

/* mem_equal_ct: are n bytes equal, in time that depends on n only. a: what came; b: what it must be. */
bool mem_equal_ct(const void *a, const void *b, size_t n);

#ifdef TT_FAULT_INJECTION
/* Tests only. The nth allocation from now (1 = the next) fails, and only that one; 0 switches it off. */
void mem_test_fail_nth(size_t nth);
/* Allocations made and bytes live since the last reset. */
struct mem_test_stats {
    size_t allocations;
    size_t live_blocks;
    size_t live_bytes;
    size_t peak_bytes;
};
void mem_test_reset(void);
struct mem_test_stats mem_test_stats(void);
/* The hook is called by mem_equal_ct twice: before it compares (equal is NULL), and after, with its verdict.
 * By convention `ours` is the second argument: what we have computed and the peer must not learn. NULL: no
 * hook. */
typedef void (*mem_test_compare_fn)(const void *ours, size_t n, bool *equal);
void mem_test_on_compare(mem_test_compare_fn hook);
#endif

#endif
