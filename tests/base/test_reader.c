/* tests/base/test_reader.c: the cursor of wire/reader.h: numbers, vectors, and its sticky failure at every
 * length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "wire/reader.h"

static const uint8_t data[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a};

static struct reader first(size_t n)
{
    return reader_of((struct tt_bytes){data, n});
}

static void numbers_are_big_endian(void **state)
{
    (void)state;
    struct reader r = first(sizeof data);
    assert_int_equal(rd_u8(&r), 0x01);
    assert_int_equal(rd_u16(&r), 0x0203);
    assert_int_equal(rd_u24(&r), 0x040506);
    assert_int_equal(rd_u32(&r), 0x0708090a);
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rd_status(&r), TT_OK);
    assert_int_equal(rd_done(&r), TT_OK);
    r = first(8);
    assert_true(rd_u64(&r) == 0x0102030405060708U);
    assert_int_equal(rd_done(&r), TT_OK);
}

static void nothing_is_not_a_failure(void **state)
{
    (void)state;
    struct reader r = reader_of((struct tt_bytes){NULL, 0});
    assert_int_equal(rd_left(&r), 0);
    assert_int_equal(rd_rest(&r).len, 0);
    assert_int_equal(rd_bytes(&r, 0).len, 0);
    assert_int_equal(rd_done(&r), TT_OK);
    assert_int_equal(rd_u8(&r), 0);
    assert_int_equal(rd_done(&r), TT_ERR_DECODE);
}

static uint64_t read_u8(struct reader *r)
{
    return rd_u8(r);
}
static uint64_t read_u16(struct reader *r)
{
    return rd_u16(r);
}
static uint64_t read_u24(struct reader *r)
{
    return rd_u24(r);
}
static uint64_t read_u32(struct reader *r)
{
    return rd_u32(r);
}

static void short_numbers_fail_and_read_zero(void **state)
{
    (void)state;
    static const struct {
        uint64_t (*read)(struct reader *);
        size_t size;
    } numbers[] = {{read_u8, 1}, {read_u16, 2}, {read_u24, 3}, {read_u32, 4}, {rd_u64, 8}};
    for (size_t i = 0; i < TT_COUNT(numbers); i++) {
        for (size_t n = 0; n < numbers[i].size; n++) {
            struct reader r = first(n);
            assert_true(numbers[i].read(&r) == 0);
            assert_int_equal(rd_status(&r), TT_ERR_DECODE);
            assert_int_equal(rd_left(&r), 0);
        }
        struct reader r = first(numbers[i].size);
        assert_true(numbers[i].read(&r) != 0);
        assert_int_equal(rd_done(&r), TT_OK);
    }
}

static void a_failure_sticks(void **state)
{
    (void)state;
    struct reader r = first(5);
    assert_int_equal(rd_u8(&r), 1);
    assert_null(rd_bytes(&r, 5).data);
    assert_int_equal(rd_u8(&r), 0);
    assert_int_equal(rd_bytes(&r, 0).len, 0);
    assert_null(rd_bytes(&r, 0).data);
    assert_null(rd_rest(&r).data);
    assert_null(rd_vec8(&r, 0).data);
    assert_int_equal(rd_status(&r), TT_ERR_DECODE);
    assert_int_equal(rd_done(&r), TT_ERR_DECODE);
    r = first(5);
    rd_fail(&r);
    assert_int_equal(rd_u8(&r), 0);
    assert_int_equal(rd_status(&r), TT_ERR_DECODE);
}

static void absurd_lengths_fail(void **state)
{
    (void)state;
    struct reader r = first(4);
    assert_null(rd_bytes(&r, SIZE_MAX).data);
    assert_int_equal(rd_status(&r), TT_ERR_DECODE);
}

static void left_over_bytes_are_not_done(void **state)
{
    (void)state;
    struct reader r = first(2);
    assert_int_equal(rd_u8(&r), 1);
    assert_int_equal(rd_status(&r), TT_OK);
    assert_int_equal(rd_done(&r), TT_ERR_DECODE);
    assert_int_equal(rd_u8(&r), 2);
    assert_int_equal(rd_done(&r), TT_OK);
}

static void views_point_into_the_input(void **state)
{
    (void)state;
    struct reader r = first(sizeof data);
    assert_ptr_equal(rd_bytes(&r, 3).data, data);
    struct tt_bytes rest = rd_rest(&r);
    assert_ptr_equal(rest.data, data + 3);
    assert_int_equal(rest.len, sizeof data - 3);
    assert_int_equal(rd_done(&r), TT_OK);
}

static const struct vector {
    struct tt_bytes (*read)(struct reader *, size_t);
    size_t prefix;
} vectors[] = {{rd_vec8, 1}, {rd_vec16, 2}, {rd_vec24, 3}};

/* prefix bytes that say `len`, then `len` bytes; returns the size. */
static size_t put_vector(uint8_t *to, size_t prefix, size_t len)
{
    memset(to, 0, prefix);
    to[prefix - 1] = (uint8_t)len;
    memset(to + prefix, 0xab, len);
    return prefix + len;
}

static void vectors_are_read_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(vectors); i++) {
        uint8_t bytes[3 + 20];
        for (size_t len = 0; len <= 20; len++) {
            size_t size = put_vector(bytes, vectors[i].prefix, len);
            struct reader r = reader_of((struct tt_bytes){bytes, size});
            struct tt_bytes v = vectors[i].read(&r, 0);
            assert_int_equal(v.len, len);
            assert_ptr_equal(v.data, bytes + vectors[i].prefix);
            assert_int_equal(rd_done(&r), TT_OK);
        }
    }
}

static void a_vector_cut_anywhere_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(vectors); i++) {
        uint8_t bytes[3 + 20];
        size_t size = put_vector(bytes, vectors[i].prefix, 20);
        for (size_t n = 0; n < size; n++) {
            struct reader r = reader_of((struct tt_bytes){bytes, n});
            assert_null(vectors[i].read(&r, 0).data);
            assert_int_equal(rd_status(&r), TT_ERR_DECODE);
        }
    }
}

static void a_vector_under_its_minimum_fails(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(vectors); i++) {
        uint8_t bytes[3 + 5];
        size_t size = put_vector(bytes, vectors[i].prefix, 5);
        struct reader r = reader_of((struct tt_bytes){bytes, size});
        assert_int_equal(vectors[i].read(&r, 5).len, 5);
        r = reader_of((struct tt_bytes){bytes, size});
        assert_null(vectors[i].read(&r, 6).data);
        assert_int_equal(rd_status(&r), TT_ERR_DECODE);
    }
}

static void long_prefixes_count_all_their_bytes(void **state)
{
    (void)state;
    static uint8_t bytes[3 + 0x010203];
    bytes[0] = 0x01;
    bytes[1] = 0x02;
    bytes[2] = 0x03;
    struct reader r = reader_of((struct tt_bytes){bytes, sizeof bytes});
    assert_int_equal(rd_vec24(&r, 0).len, 0x010203);
    r = reader_of((struct tt_bytes){bytes, sizeof bytes});
    assert_int_equal(rd_vec16(&r, 0).len, 0x0102);
    r = reader_of((struct tt_bytes){bytes, sizeof bytes - 1});
    assert_null(rd_vec24(&r, 0).data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_big_endian),
        cmocka_unit_test(nothing_is_not_a_failure),
        cmocka_unit_test(short_numbers_fail_and_read_zero),
        cmocka_unit_test(a_failure_sticks),
        cmocka_unit_test(absurd_lengths_fail),
        cmocka_unit_test(left_over_bytes_are_not_done),
        cmocka_unit_test(views_point_into_the_input),
        cmocka_unit_test(vectors_are_read_whole),
        cmocka_unit_test(a_vector_cut_anywhere_fails),
        cmocka_unit_test(a_vector_under_its_minimum_fails),
        cmocka_unit_test(long_prefixes_count_all_their_bytes),
    };
    return cmocka_run_group_tests_name("wire/reader", tests, NULL, NULL);
}
