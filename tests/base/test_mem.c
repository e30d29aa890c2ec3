/* tests/base/test_mem.c: allocation, wiping and fault injection of base/mem.h.
 *
 * What a freed block holds may not be looked at. That freeing wipes is shown from outside: the program is
 * linked with --wrap=free, so that the block is still valid memory when it is inspected. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const unsigned char *watched; /* look at these bytes when the block around them is freed */
static size_t watched_len;
static bool watched_was_freed, watched_was_zero;

void __real_free(void *p);
void __wrap_free(void *p);

void __wrap_free(void *p)
{
    if (watched != NULL && p != NULL && (unsigned char *)p <= watched && watched - (unsigned char *)p <= 64) {
        watched_was_freed = true;
        watched_was_zero = true;
        for (size_t i = 0; i < watched_len; i++)
            watched_was_zero = watched_was_zero && watched[i] == 0;
        watched = NULL;
    }
    __real_free(p);
}

static void watch(const void *p, size_t n)
{
    watched = p;
    watched_len = n;
    watched_was_freed = watched_was_zero = false;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

static void new_memory_is_zero_and_aligned(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        uint8_t *p = mem_alloc(n);
        assert_non_null(p);
        assert_true(all_zero(p, n));
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        if (n > 0)
            memset(p, 0xa5, n);
        mem_free(p);
    }
}

static void too_much_is_refused(void **state)
{
    (void)state;
    assert_null(mem_alloc(SIZE_MAX));
    assert_null(mem_alloc(SIZE_MAX - 8));
    assert_null(mem_dup("x", SIZE_MAX));
}

static void free_takes_null(void **state)
{
    (void)state;
    mem_free(NULL);
    void *nothing = NULL;
    mem_free_auto(&nothing);
    mem_wipe(NULL, 0);
}

static void free_wipes_the_whole_block(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 257; n += 64) {
        uint8_t *p = mem_alloc(n);
        assert_non_null(p);
        memset(p, 0x5a, n);
        watch(p, n);
        mem_free(p);
        assert_true(watched_was_freed);
        assert_true(watched_was_zero);
    }
}

static void resize_keeps_the_bytes_and_wipes_the_old_block(void **state)
{
    (void)state;
    uint8_t *p = mem_alloc(32);
    assert_non_null(p);
    memset(p, 0x11, 32);
    watch(p, 32);
    uint8_t *bigger = mem_resize(p, 100);
    assert_non_null(bigger);
    assert_true(watched_was_freed && watched_was_zero);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(bigger[i], 0x11);
    assert_true(all_zero(bigger + 32, 68));
    watch(bigger, 100);
    uint8_t *smaller = mem_resize(bigger, 5);
    assert_non_null(smaller);
    assert_true(watched_was_freed && watched_was_zero);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(smaller[i], 0x11);
    mem_free(smaller);
}

static void resize_of_null_allocates(void **state)
{
    (void)state;
    uint8_t *p = mem_resize(NULL, 9);
    assert_non_null(p);
    assert_true(all_zero(p, 9));
    mem_free(p);
}

static void copies_end_in_a_nul(void **state)
{
    (void)state;
    const uint8_t data[] = {1, 2, 0, 3};
    uint8_t *copy = mem_dup(data, sizeof data);
    assert_non_null(copy);
    assert_memory_equal(copy, data, sizeof data);
    assert_int_equal(copy[sizeof data], 0);
    mem_free(copy);
    char *text = mem_strdup("tpm");
    assert_non_null(text);
    assert_string_equal(text, "tpm");
    mem_free(text);
    char *empty = mem_dup(NULL, 0);
    assert_non_null(empty);
    assert_string_equal(empty, "");
    mem_free(empty);
}

static void wipe_overwrites(void **state)
{
    (void)state;
    uint8_t secret[48];
    memset(secret, 0xff, sizeof secret);
    mem_wipe(secret, 47);
    assert_true(all_zero(secret, 47));
    assert_int_equal(secret[47], 0xff);
}

static void compare_sees_every_byte(void **state)
{
    (void)state;
    uint8_t a[33], b[33];
    memset(a, 0x77, sizeof a);
    memcpy(b, a, sizeof a);
    assert_true(mem_equal_ct(a, b, sizeof a));
    assert_true(mem_equal_ct(a, b, 0));
    for (size_t i = 0; i < sizeof a; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b[i] = (uint8_t)(a[i] ^ (1U << bit));
            assert_false(mem_equal_ct(a, b, sizeof a));
            assert_true(mem_equal_ct(a, b, i));
        }
        b[i] = a[i];
    }
}

static void auto_frees_at_the_end_of_the_scope(void **state)
{
    (void)state;
    {
        TT_AUTO(mem_free_auto) uint8_t *p = mem_alloc(8);
        assert_non_null(p);
        memset(p, 1, 8);
        watch(p, 8);
    }
    assert_true(watched_was_freed && watched_was_zero);
}

#ifdef TT_FAULT_INJECTION
static void only_the_nth_allocation_fails(void **state)
{
    (void)state;
    mem_test_fail_nth(3);
    uint8_t *p[4];
    for (size_t i = 0; i < 4; i++)
        p[i] = mem_alloc(1);
    assert_non_null(p[0]);
    assert_non_null(p[1]);
    assert_null(p[2]);
    assert_non_null(p[3]);
    mem_test_fail_nth(1);
    assert_null(mem_resize(p[0], 10));
    p[0][0] = 1; /* still valid */
    mem_test_fail_nth(1);
    assert_null(mem_dup("x", 1));
    mem_test_fail_nth(1);
    assert_null(mem_strdup("x"));
    mem_test_fail_nth(1);
    mem_test_fail_nth(0);
    p[2] = mem_alloc(1);
    assert_non_null(p[2]);
    for (size_t i = 0; i < 4; i++)
        mem_free(p[i]);
}

static void the_statistics_count(void **state)
{
    (void)state;
    mem_test_reset();
    void *a = mem_alloc(100), *b = mem_alloc(50);
    assert_int_equal(mem_test_stats().live_blocks, 2);
    assert_int_equal(mem_test_stats().live_bytes, 150);
    mem_free(a);
    a = mem_alloc(10);
    mem_test_fail_nth(1);
    assert_null(mem_alloc(1000));
    struct mem_test_stats s = mem_test_stats();
    assert_int_equal(s.allocations, 3);
    assert_int_equal(s.live_blocks, 2);
    assert_int_equal(s.live_bytes, 60);
    assert_int_equal(s.peak_bytes, 150);
    mem_free(a);
    mem_free(b);
    assert_int_equal(mem_test_stats().live_blocks, 0);
    assert_int_equal(mem_test_stats().live_bytes, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_memory_is_zero_and_aligned),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(free_takes_null),
        cmocka_unit_test(free_wipes_the_whole_block),
        cmocka_unit_test(resize_keeps_the_bytes_and_wipes_the_old_block),
        cmocka_unit_test(resize_of_null_allocates),
        cmocka_unit_test(copies_end_in_a_nul),
        cmocka_unit_test(wipe_overwrites),
        cmocka_unit_test(compare_sees_every_byte),
        cmocka_unit_test(auto_frees_at_the_end_of_the_scope),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(only_the_nth_allocation_fails),
        cmocka_unit_test(the_statistics_count),
#endif
    };
    return cmocka_run_group_tests_name("base/mem", tests, NULL, NULL);
}
