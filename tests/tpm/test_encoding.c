/* tests/tpm/test_encoding.c: DER and PEM: the edges of integers and lengths, round trips, hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "wire/der.h"
#include "wire/pem.h"

static struct tt_bytes bytes(const void *p, size_t n)
{
    return (struct tt_bytes){p, n};
}

static void assert_bytes(struct tt_bytes got, const char *want, size_t n)
{
    assert_int_equal(got.len, n);
    if (n > 0)
        assert_memory_equal(got.data, want, n);
}
#define ASSERT_BYTES(got, literal) assert_bytes(got, literal, sizeof(literal) - 1)

static void uint_is_minimal(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t in_len;
        const char *out;
        size_t out_len;
    } cases[] = {
#define CASE(in, out) {in, sizeof(in) - 1, out, sizeof(out) - 1}
        CASE("", "\x02\x01\x00"),
        CASE("\x00\x00", "\x02\x01\x00"),
        CASE("\x01", "\x02\x01\x01"),
        CASE("\x7f", "\x02\x01\x7f"),
        CASE("\x80", "\x02\x02\x00\x80"),
        CASE("\xff\x01", "\x02\x03\x00\xff\x01"),
        CASE("\x00\x00\x7f\x80", "\x02\x02\x7f\x80"),
        CASE("\x00\x80\x00", "\x02\x03\x00\x80\x00"),
#undef CASE
    };
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct buf b = {0};
        struct writer w = writer_to(&b);
        der_put_uint(&w, bytes(cases[i].in, cases[i].in_len));
        assert_int_equal(wr_status(&w), TT_OK);
        assert_bytes(buf_bytes(&b), cases[i].out, cases[i].out_len);
        struct reader r = reader_of(buf_bytes(&b));
        struct tt_bytes v = der_get_uint(&r);
        assert_int_equal(rd_done(&r), TT_OK);
        assert_true(v.len == 0 || v.data[0] != 0);
        buf_free(&b);
    }
}

static void uint_refuses_other_encodings(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x02\x02\x00\x01", "\x02\x02\xff\x80", "\x02\x01\x80",
                                      "\x03\x01\x01",     "\x02\x81\x01",     "\x02\x02\x01"};
    static const size_t len[] = {4, 4, 3, 3, 3, 3};
    for (size_t i = 0; i < TT_COUNT(bad); i++) {
        struct reader r = reader_of(bytes(bad[i], len[i]));
        (void)der_get_uint(&r);
        assert_int_equal(rd_status(&r), TT_ERR_DECODE);
    }
    struct reader empty = reader_of(bytes("\x02\x00", 2));
    (void)der_get_uint(&empty);
    assert_int_equal(rd_status(&empty), TT_ERR_DECODE);
}

static void handle_in_both_signs(void **state)
{
    (void)state;
    struct reader r =
        reader_of(bytes("\x02\x05\x00\x81\x00\x00\x01\x02\x04\x81\x00\x00\x01\x02\x04\x40\x00\x00\x01", 19));
    assert_int_equal(der_get_u32(&r), 0x81000001);
    assert_int_equal(der_get_u32(&r), 0x81000001);
    assert_int_equal(der_get_u32(&r), 0x40000001);
    assert_int_equal(rd_done(&r), TT_OK);
    struct reader minus = reader_of(bytes("\x02\x01\xff", 3));
    (void)der_get_u32(&minus);
    assert_int_equal(rd_status(&minus), TT_ERR_DECODE);
}

static void lengths_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 70000};
    static uint8_t content[70000];
    for (size_t i = 0; i < TT_COUNT(sizes); i++) {
        struct buf b = {0};
        struct writer w = writer_to(&b);
        struct der_mark m = der_open(&w, DER_SEQUENCE);
        der_put(&w, DER_OCTET_STRING, bytes(content, sizes[i]));
        der_close(&w, m);
        assert_int_equal(wr_status(&w), TT_OK);
        struct reader r = reader_of(buf_bytes(&b)), inner = der_enter(&r, DER_SEQUENCE);
        assert_int_equal(rd_done(&r), TT_OK);
        assert_int_equal(der_get(&inner, DER_OCTET_STRING).len, sizes[i]);
        assert_int_equal(rd_done(&inner), TT_OK);
        buf_free(&b);
    }
}

static void lengths_not_minimal(void **state)
{
    (void)state;
    static uint8_t in[600] = {0x04};
    static const uint8_t heads[][4] = {
        {0x81, 0x7f}, {0x82, 0x00, 0xff}, {0x83, 0x00, 0x01, 0x00}, {0x80}, {0x84}};
    for (size_t i = 0; i < TT_COUNT(heads); i++) {
        memcpy(in + 1, heads[i], 4);
        struct reader r = reader_of(bytes(in, sizeof in));
        (void)der_get(&r, DER_OCTET_STRING);
        assert_int_equal(rd_status(&r), TT_ERR_DECODE);
    }
}

static void failed_outer_fails_inner(void **state)
{
    (void)state;
    struct reader r = reader_of(bytes("\x30\x05\x02\x01", 4)), inner = der_enter(&r, DER_SEQUENCE);
    assert_int_equal(rd_done(&inner), TT_ERR_DECODE);
}

static void pem_round_trip(void **state)
{
    (void)state;
    uint8_t der[200];
    for (size_t i = 0; i < sizeof der; i++)
        der[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof der; n++) {
        struct buf text = {0};
        assert_int_equal(buf_append(&text, "words before\n", 13), TT_OK);
        assert_int_equal(pem_write(&text, "A LABEL", bytes(der, n)), TT_OK);
        struct pem_block b;
        struct tt_bytes rest = buf_bytes(&text);
        assert_int_equal(pem_next(&b, &rest), TT_OK);
        ASSERT_BYTES(b.label, "A LABEL");
        assert_int_equal(b.len, n);
        assert_true(n == 0 || memcmp(b.der, der, n) == 0);
        pem_block_free(&b);
        assert_int_equal(pem_next(&b, &rest), TT_ERR_NOT_FOUND);
        buf_free(&text);
    }
}

static tt_rc decode(const char *text)
{
    struct pem_block b = {0};
    tt_rc rc = pem_find(&b, bytes(text, strlen(text)), "X");
    pem_block_free(&b);
    return rc;
}

static void pem_refuses(void **state)
{
    (void)state;
    assert_int_equal(decode("-----BEGIN X-----\nAAEC\n-----END X-----"), TT_OK);
    assert_int_equal(decode("-----BEGIN X-----\r\nAA\r\nEC\r\n-----END X-----\r\n"), TT_OK);
    assert_int_equal(decode("nothing"), TT_ERR_NOT_FOUND);
    assert_int_equal(decode("-----BEGIN X-----\nAAE\n-----END X-----"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\nAA==AAEC\n-----END X-----"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\nAB==\n-----END X-----"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\nA===\n-----END X-----"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\n====\n-----END X-----"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\nAA!C\n-----END X-----"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n\nAAEC\n-----END X-----"),
                     TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\nAAEC\n-----END Y-----"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X-----\nAAEC\n"), TT_ERR_DECODE);
    assert_int_equal(decode("-----BEGIN X"), TT_ERR_DECODE);
    assert_int_equal(
        decode("-----BEGIN Y-----\n!\n-----END Y-----\n-----BEGIN X-----\nAAEC\n-----END X-----"), TT_OK);
}

static void pem_truncated_everywhere(void **state)
{
    (void)state;
    struct buf text = {0};
    uint8_t der[61] = {1, 2, 3};
    assert_int_equal(pem_write(&text, "X", bytes(der, sizeof der)), TT_OK);
    for (size_t n = 0; n + 1 < buf_size(&text); n++) { /* without the last newline it is whole */
        struct pem_block b = {0};
        assert_int_not_equal(pem_find(&b, bytes(buf_front(&text), n), "X"), TT_OK);
    }
    buf_free(&text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(uint_is_minimal),          cmocka_unit_test(uint_refuses_other_encodings),
        cmocka_unit_test(handle_in_both_signs),     cmocka_unit_test(lengths_round_trip),
        cmocka_unit_test(lengths_not_minimal),      cmocka_unit_test(failed_outer_fails_inner),
        cmocka_unit_test(pem_round_trip),           cmocka_unit_test(pem_refuses),
        cmocka_unit_test(pem_truncated_everywhere),
    };
    return cmocka_run_group_tests_name("encoding", tests, NULL, NULL);
}
