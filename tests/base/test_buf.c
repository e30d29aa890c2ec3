/* tests/base/test_buf.c: the byte queue of base/buf.h: order, cap, growth, failure of memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/buf.h"

static void starts_empty(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_size(&b), 0);
    assert_null(buf_front(&b));
    assert_null(buf_bytes(&b).data);
    buf_free(&b);
    assert_int_equal(buf_append(&b, NULL, 0), TT_OK);
    assert_int_equal(buf_size(&b), 0);
    buf_free(&b);
}

static void gives_back_what_went_in(void **state)
{
    (void)state;
    struct buf b = {0};
    uint8_t next_in = 0, next_out = 0;
    /* Push and pull by different steps, so that the live bytes wander through the block and it grows. */
    for (int round = 0; round < 500; round++) {
        uint8_t chunk[37];
        for (size_t i = 0; i < sizeof chunk; i++)
            chunk[i] = next_in++;
        assert_int_equal(buf_append(&b, chunk, sizeof chunk), TT_OK);
        size_t n = buf_size(&b) < 31 ? buf_size(&b) : 31;
        for (size_t i = 0; i < n; i++)
            assert_int_equal(buf_front(&b)[i], next_out++);
        buf_consume(&b, n);
    }
    assert_int_equal(buf_size(&b), 500 * (37 - 31));
    assert_int_equal(buf_bytes(&b).len, buf_size(&b));
    assert_ptr_equal(buf_bytes(&b).data, buf_front(&b));
    buf_consume(&b, buf_size(&b));
    assert_int_equal(buf_size(&b), 0);
    buf_free(&b);
}

static void consuming_makes_room_without_growing(void **state)
{
    (void)state;
    struct buf b = {0};
    uint8_t chunk[200] = {1};
    assert_int_equal(buf_append(&b, chunk, sizeof chunk), TT_OK);
    size_t cap = b.cap;
    for (int i = 0; i < 100; i++) {
        buf_consume(&b, 150);
        assert_int_equal(buf_append(&b, chunk, 150), TT_OK);
    }
    assert_int_equal(b.cap, cap);
    assert_int_equal(buf_size(&b), 200);
    buf_free(&b);
}

static void reserved_bytes_are_not_live_until_committed(void **state)
{
    (void)state;
    struct buf b = {0};
    uint8_t *to = buf_reserve(&b, 10);
    assert_non_null(to);
    assert_int_equal(buf_size(&b), 0);
    memcpy(to, "abc", 3);
    buf_commit(&b, 3);
    assert_int_equal(buf_size(&b), 3);
    assert_memory_equal(buf_front(&b), "abc", 3);
    buf_free(&b);
}

static void the_cap_is_on_live_bytes(void **state)
{
    (void)state;
    struct buf b = {.max = 10};
    assert_int_equal(buf_append(&b, "0123456789", 10), TT_OK);
    assert_int_equal(buf_append(&b, "x", 1), TT_ERR_MEMORY);
    assert_int_equal(buf_append(&b, "", 0), TT_OK);
    assert_null(buf_reserve(&b, 1));
    buf_consume(&b, 4);
    assert_int_equal(buf_append(&b, "abcde", 5), TT_ERR_MEMORY);
    assert_int_equal(buf_append(&b, "abcd", 4), TT_OK);
    assert_memory_equal(buf_front(&b), "456789abcd", 10);
    buf_free(&b);
    assert_int_equal(b.max, 10);
    assert_int_equal(buf_append(&b, "0123456789x", 11), TT_ERR_MEMORY);
}

static void absurd_sizes_are_refused(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_int_equal(buf_append(&b, "abc", 3), TT_OK);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(buf_reserve(&b, SIZE_MAX - 3));
    assert_memory_equal(buf_front(&b), "abc", 3);
    buf_free(&b);
}

#ifdef TT_FAULT_INJECTION
static void no_memory_leaves_it_as_it_was(void **state)
{
    (void)state;
    mem_test_reset();
    struct buf b = {0};
    mem_test_fail_nth(1);
    assert_int_equal(buf_append(&b, "abc", 3), TT_ERR_MEMORY);
    assert_int_equal(buf_size(&b), 0);
    assert_int_equal(buf_append(&b, "abc", 3), TT_OK);
    uint8_t big[4096] = {0};
    mem_test_fail_nth(1);
    assert_int_equal(buf_append(&b, big, sizeof big), TT_ERR_MEMORY);
    assert_int_equal(buf_size(&b), 3);
    assert_memory_equal(buf_front(&b), "abc", 3);
    assert_int_equal(buf_append(&b, big, sizeof big), TT_OK);
    assert_int_equal(buf_size(&b), 3 + sizeof big);
    buf_free(&b);
    assert_int_equal(mem_test_stats().live_blocks, 0);
}
#endif

/* What stays is what was live, in a block of its size; an empty one has no block. */
static void fits_to_what_is_live(void **state)
{
    (void)state;
    struct buf b = {.max = 100};
    assert_int_equal(buf_append(&b, "abcdefgh", 8), TT_OK);
    buf_consume(&b, 3);
    buf_fit(&b);
    assert_int_equal(b.cap, 5);
    assert_int_equal(buf_size(&b), 5);
    assert_memory_equal(buf_front(&b), "defgh", 5);
    assert_int_equal(buf_append(&b, "ij", 2), TT_OK);
    assert_memory_equal(buf_front(&b), "defghij", 7);
    buf_consume(&b, 7);
    buf_fit(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    assert_int_equal(b.max, 100);
    buf_free(&b);
}

static void many_bytes_start_at_a_cache_line(void **state)
{
    (void)state;
    struct buf b = {0};
    for (size_t head = 0; head < 70; head += 5) {
        uint8_t *to = buf_reserve_lined(&b, head, 16384);
        assert_int_equal(((uintptr_t)to + head) % 64, 0);
        assert_int_equal(buf_size(&b), 0);
        memset(to, (int)head, head + 16384);
        buf_commit(&b, head + 16384);
        assert_ptr_equal(buf_front(&b), to);
        to = buf_reserve_lined(&b, 5, 16384);
        assert_ptr_equal(to, buf_front(&b) + head + 16384); /* not a byte between */
        for (size_t i = 0; i < head + 16384; i++)
            assert_int_equal(buf_front(&b)[i], head);
        buf_consume(&b, head + 16384);
    }
    buf_free(&b);
    const uint8_t *few = buf_reserve_lined(&b, 5, 100);
    assert_ptr_equal(few, b.data); /* nothing is lost for them */
    buf_free(&b);
    b.max = 8192;
    assert_non_null(buf_reserve_lined(&b, 5, 8187)); /* the cap is on what is asked for */
    assert_null(buf_reserve_lined(&b, 5, 8188));
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty),
        cmocka_unit_test(gives_back_what_went_in),
        cmocka_unit_test(consuming_makes_room_without_growing),
        cmocka_unit_test(reserved_bytes_are_not_live_until_committed),
        cmocka_unit_test(the_cap_is_on_live_bytes),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(fits_to_what_is_live),
        cmocka_unit_test(many_bytes_start_at_a_cache_line),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(no_memory_leaves_it_as_it_was),
#endif
    };
    return cmocka_run_group_tests_name("base/buf", tests, NULL, NULL);
}
