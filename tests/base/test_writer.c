/* tests/base/test_writer.c: wire/writer.h: numbers, length prefixes as scopes, and every way it can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "wire/reader.h"
#include "wire/writer.h"

static struct tt_bytes text(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

static void assert_written(struct buf *b, const struct writer *w, const void *expected, size_t n)
{
    assert_int_equal(wr_status(w), TT_OK);
    assert_int_equal(buf_size(b), n);
    assert_memory_equal(buf_front(b), expected, n);
    buf_free(b);
}

static void numbers_are_big_endian(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9,
                                       0xfa, 1,    2,    3,    4,    5,    6,    7,    8};
    struct buf b = {0};
    struct writer w = writer_to(&b);
    wr_u8(&w, 0xf1);
    wr_u16(&w, 0xf2f3);
    wr_u24(&w, 0xf4f5f6);
    wr_u32(&w, 0xf7f8f9fa);
    wr_u64(&w, 0x0102030405060708U);
    assert_written(&b, &w, expected, sizeof expected);
}

static void vectors_carry_their_length(void **state)
{
    (void)state;
    struct buf b = {0};
    struct writer w = writer_to(&b);
    wr_vec8(&w, text("a"));
    wr_vec16(&w, text("bc"));
    wr_vec24(&w, text("def"));
    wr_vec8(&w, (struct tt_bytes){NULL, 0});
    wr_bytes(&w, text("g"));
    assert_written(&b, &w, "\1a\0\2bc\0\0\3def\0g", 14);
}

static void scopes_nest(void **state)
{
    (void)state;
    struct buf b = {0};
    struct writer w = writer_to(&b);
    struct wr_mark outer = wr_open24(&w);
    struct wr_mark middle = wr_open16(&w);
    struct wr_mark inner = wr_open8(&w);
    wr_u8(&w, 'x');
    wr_close(&w, inner);
    inner = wr_open8(&w);
    wr_close(&w, inner);
    wr_close(&w, middle);
    wr_u8(&w, 'y');
    wr_close(&w, outer);
    assert_written(&b, &w, "\0\0\6\0\3\1x\0y", 9);
}

static void scopes_count_from_the_front(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(buf_append(&b, "old bytes", 9), TT_OK);
    buf_consume(&b, 4);
    struct writer w = writer_to(&b);
    struct wr_mark m = wr_open16(&w);
    /* long enough that the block grows and the live bytes move to its front */
    for (int i = 0; i < 500; i++)
        wr_u8(&w, 'z');
    wr_close(&w, m);
    assert_int_equal(wr_status(&w), TT_OK);
    assert_int_equal(buf_size(&b), 5 + 2 + 500);
    assert_memory_equal(buf_front(&b), "bytes\1\364z", 8);
    buf_free(&b);
}

static void the_longest_vector_fits(void **state)
{
    (void)state;
    static uint8_t zeros[0x10000];
    struct buf b = {0};
    struct writer w = writer_to(&b);
    wr_vec8(&w, (struct tt_bytes){zeros, 0xff});
    wr_vec16(&w, (struct tt_bytes){zeros, 0xffff});
    wr_vec24(&w, (struct tt_bytes){zeros, 0x10000});
    assert_int_equal(wr_status(&w), TT_OK);
    struct reader r = reader_of(buf_bytes(&b));
    assert_int_equal(rd_vec8(&r, 0).len, 0xff);
    assert_int_equal(rd_vec16(&r, 0).len, 0xffff);
    assert_int_equal(rd_vec24(&r, 0).len, 0x10000);
    assert_int_equal(rd_done(&r), TT_OK);
    buf_free(&b);
}

static void a_vector_over_its_prefix_fails(void **state)
{
    (void)state;
    static uint8_t zeros[0x1000000];
    static const struct {
        void (*write)(struct writer *, struct tt_bytes);
        size_t too_long;
    } cases[] = {{wr_vec8, 0x100}, {wr_vec16, 0x10000}, {wr_vec24, 0x1000000}};
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct buf b = {0};
        struct writer w = writer_to(&b);
        cases[i].write(&w, (struct tt_bytes){zeros, cases[i].too_long});
        assert_int_equal(wr_status(&w), TT_ERR_MEMORY);
        buf_free(&b);
        w = writer_to(&b);
        cases[i].write(&w, (struct tt_bytes){zeros, cases[i].too_long - 1});
        assert_int_equal(wr_status(&w), TT_OK);
        buf_free(&b);
    }
}

static void over_the_cap_fails_and_sticks(void **state)
{
    (void)state;
    struct buf b = {.max = 6};
    struct writer w = writer_to(&b);
    struct wr_mark m = wr_open16(&w);
    wr_u32(&w, 1);
    assert_int_equal(wr_status(&w), TT_OK);
    wr_u8(&w, 2);
    assert_int_equal(wr_status(&w), TT_ERR_MEMORY);
    size_t size = buf_size(&b);
    buf_consume(&b, 4);
    wr_u8(&w, 3); /* there is room again, but what came before is lost */
    wr_bytes(&w, text("x"));
    wr_close(&w, m);
    assert_int_equal(buf_size(&b), size - 4);
    assert_int_equal(wr_status(&w), TT_ERR_MEMORY);
    buf_free(&b);
}

#ifdef TT_FAULT_INJECTION
/* Writes something that allocates several times. */
static tt_rc write_much(struct buf *b)
{
    struct writer w = writer_to(b);
    struct wr_mark m = wr_open24(&w);
    for (uint32_t i = 0; i < 2000; i++)
        wr_u32(&w, i);
    wr_close(&w, m);
    return wr_status(&w);
}

static void each_failed_allocation_is_reported(void **state)
{
    (void)state;
    mem_test_reset();
    struct buf b = {0};
    assert_int_equal(write_much(&b), TT_OK);
    buf_free(&b);
    size_t n = mem_test_stats().allocations;
    assert_true(n > 2);
    for (size_t nth = 1; nth <= n; nth++) {
        mem_test_fail_nth(nth);
        assert_int_equal(write_much(&b), TT_ERR_MEMORY);
        buf_free(&b);
    }
    mem_test_fail_nth(0);
    assert_int_equal(mem_test_stats().live_blocks, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_big_endian),
        cmocka_unit_test(vectors_carry_their_length),
        cmocka_unit_test(scopes_nest),
        cmocka_unit_test(scopes_count_from_the_front),
        cmocka_unit_test(the_longest_vector_fits),
        cmocka_unit_test(a_vector_over_its_prefix_fails),
        cmocka_unit_test(over_the_cap_fails_and_sticks),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(each_failed_allocation_is_reported),
#endif
    };
    return cmocka_run_group_tests_name("wire/writer", tests, NULL, NULL);
}
