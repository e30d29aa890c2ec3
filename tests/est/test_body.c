/* tests/est/test_body.c: bodies of EST: the standards' own examples, each form in which servers send them,
 * what is not one, and ours. */
#include "pki/pki_test.h"

#include <string.h>

#include "est/body.h"
#include "pki/certs_only.h"
#include "rfc7030.h"
#include "wire/base64.h"

static struct tt_cert_list *certs_of(struct tt_bytes body)
{
    struct tt_cert_list *list = NULL;
    struct tt_error err = {0};
    if (est_certs_read(&list, body, &err) != TT_OK)
        fail_msg("%s", err.text);
    return list;
}

static void subject_is(const struct tt_cert_list *list, size_t i, const char *subject)
{
    struct tt_cert_info *info = NULL;
    assert_true(i < list->len);
    assert_int_equal(tt_cert_describe(&info, list->certs[i], NULL), TT_OK);
    assert_string_equal(info->subject, subject);
    tt_cert_info_free(info);
}

static void the_examples_of_rfc_7030(void **state)
{
    (void)state;
    struct tt_cert_list *list = certs_of(bytes_of(rfc7030_cacerts));
    assert_int_equal(list->len, 4);
    subject_is(list, 0, "CN=estExampleCA OwO");
    subject_is(list, 3, "CN=estExampleCA NwN");
    tt_cert_list_free(list);
    list = certs_of(bytes_of(rfc7030_enrolled));
    assert_int_equal(list->len, 1);
    subject_is(list, 0, "CN=demostep4 1368141352");
    tt_cert_list_free(list);
}

/* ---- the forms of one body ---- */

static struct buf der_of(const char *base64)
{
    struct buf b = {0};
    assert_int_equal(est_body_read(&b, bytes_of(base64), NULL), TT_OK);
    return b;
}

/* text with each line feed replaced. */
static void with_ends(struct buf *to, const char *text, const char *end)
{
    for (; *text != '\0'; text++)
        assert_int_equal(*text == '\n' ? buf_append(to, end, strlen(end)) : buf_append(to, text, 1), TT_OK);
}

static void every_line_end(void **state)
{
    (void)state;
    static const char *const ends[] = {"\n", "\r\n", "", " ", "\t", "\n\n", "\r\n \t"};
    for (size_t i = 0; i < TT_COUNT(ends); i++) {
        struct buf body = {0};
        with_ends(&body, rfc7030_enrolled, ends[i]);
        struct tt_cert_list *list = certs_of(buf_bytes(&body));
        assert_int_equal(list->len, 1);
        tt_cert_list_free(list);
        buf_free(&body);
    }
}

static void der_without_base64(void **state)
{
    (void)state;
    struct buf der = der_of(rfc7030_cacerts);
    struct tt_cert_list *list = certs_of(buf_bytes(&der));
    assert_int_equal(list->len, 4);
    tt_cert_list_free(list);
    buf_free(&der);
    static const uint8_t short_form[] = {0x30, 0x0b, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 7};
    struct est_csrattrs a = {0};
    assert_int_equal(est_csrattrs_read(&a, (struct tt_bytes){short_form, sizeof short_form}, NULL), TT_OK);
    assert_non_null(est_csrattrs_find(&a, EST_OID_CHALLENGE_PASSWORD));
    est_csrattrs_free(&a);
}

static void pem_of_any_label(void **state)
{
    (void)state;
    static const char *const labels[] = {"PKCS7", "CMS"};
    for (size_t i = 0; i < TT_COUNT(labels); i++) {
        struct buf body = {0};
        char line[64];
        (void)snprintf(line, sizeof line, "-----BEGIN %s-----\n", labels[i]);
        assert_int_equal(buf_append(&body, line, strlen(line)), TT_OK);
        with_ends(&body, rfc7030_enrolled, "\r\n");
        (void)snprintf(line, sizeof line, "-----END %s-----\n", labels[i]);
        assert_int_equal(buf_append(&body, line, strlen(line)), TT_OK);
        struct tt_cert_list *list = certs_of(buf_bytes(&body));
        assert_int_equal(list->len, 1);
        tt_cert_list_free(list);
        buf_free(&body);
    }
}

/* What BouncyCastle's generator writes: each constructed value of indefinite length. */
static void ber_of_indefinite_length(void **state)
{
    (void)state;
    struct buf der = der_of(rfc7030_enrolled);
    struct buf ber = {0};
    struct tt_cert_list *list = certs_of(buf_bytes(&der));
    static const uint8_t head[] = {0x30, 0x80, 6,    9,    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d,
                                   1,    7,    2,    0xa0, 0x80, 0x30, 0x80, 2,    1,    1,
                                   0x31, 0,    0x30, 0x80, 6,    9,    0x2a, 0x86, 0x48, 0x86,
                                   0xf7, 0x0d, 1,    7,    1,    0,    0,    0xa0, 0x80};
    static const uint8_t tail[] = {0, 0, 0x31, 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(buf_append(&ber, head, sizeof head), TT_OK);
    assert_int_equal(buf_append(&ber, list->certs[0].data, list->certs[0].len), TT_OK);
    assert_int_equal(buf_append(&ber, tail, sizeof tail), TT_OK);
    struct buf body = {0};
    assert_int_equal(base64_put(&body, buf_bytes(&ber)), TT_OK);
    struct tt_cert_list *again = certs_of(buf_bytes(&body));
    assert_int_equal(again->len, 1);
    assert_int_equal(again->certs[0].len, list->certs[0].len);
    tt_cert_list_free(again);
    tt_cert_list_free(list);
    buf_free(&body);
    buf_free(&ber);
    buf_free(&der);
}

/* ---- what is not a body ---- */

static void refused(const char *body, const char *words)
{
    struct tt_cert_list *list = NULL;
    struct tt_error err = {0};
    tt_rc rc = est_certs_read(&list, bytes_of(body), &err);
    check_error(rc, TT_ERR_DECODE, &err, words, body);
}

static void what_is_no_certs_only_message(void **state)
{
    (void)state;
    refused("", "the body is empty");
    refused(" \r\n", "the body is empty");
    refused("<html>404</html>", "is not base64");
    refused("MIIDOAYJKoZIhvcNAQcC=oIIDKTCC", "is not base64");
    refused("MIID", "no PKCS#7 message");
    refused("0", "is not base64");
    refused("-----BEGIN PKCS7-----\nMIID", "is not base64");
    refused("MAsGCSqGSIb3DQEHAQ==", "not of the kind that carries certificates"); /* data */
    refused("MCMGCSqGSIb3DQEHAqAWMBQCAQExADALBgkqhkiG9w0BBwExAA==",
            "there is no certificate"); /* none in it */
    struct buf longer = der_of(rfc7030_enrolled);
    assert_int_equal(buf_append(&longer, "x", 1), TT_OK);
    struct tt_cert_list *list = NULL;
    assert_int_equal(est_certs_read(&list, buf_bytes(&longer), NULL), TT_ERR_DECODE);
    assert_null(list);
    buf_free(&longer);
}

static void larger_than_any(void **state)
{
    (void)state;
    struct tt_error err = {0};
    struct buf out = {0};
    char *big = mem_alloc(EST_BODY_MAX + 1);
    assert_non_null(big);
    memset(big, 'A', EST_BODY_MAX + 1);
    check_error(est_body_read(&out, (struct tt_bytes){(uint8_t *)big, EST_BODY_MAX + 1}, &err), TT_ERR_DECODE,
                &err, "larger than 1048576 bytes", "one byte too many");
    err = (struct tt_error){0};
    assert_int_equal(est_body_read(&out, (struct tt_bytes){(uint8_t *)big, EST_BODY_MAX}, &err), TT_OK);
    buf_free(&out);
    mem_free(big);
}

/* ---- ours ---- */

static void written_sorted_each_once_and_read_again(void **state)
{
    (void)state;
    struct tt_cert_list *list = certs_of(bytes_of(rfc7030_cacerts));
    struct tt_bytes backwards[6];
    for (size_t i = 0; i < 4; i++)
        backwards[i] = list->certs[3 - i];
    backwards[4] = backwards[0];
    backwards[5] = backwards[2];
    struct buf forth = {0}, back = {0};
    assert_int_equal(est_certs_write(&forth, list), TT_OK);
    assert_int_equal(est_certs_write(&back, &(struct tt_cert_list){backwards, 6}), TT_OK);
    assert_int_equal(buf_size(&forth), buf_size(&back));
    assert_memory_equal(buf_front(&forth), buf_front(&back), buf_size(&forth));
    struct tt_cert_list *again = certs_of(buf_bytes(&back));
    assert_int_equal(again->len, 4);
    tt_cert_list_free(again);
    tt_cert_list_free(list);
    buf_free(&forth);
    buf_free(&back);
}

static void more_than_a_message_carries(void **state)
{
    (void)state;
    struct tt_cert_list *list = certs_of(bytes_of(rfc7030_enrolled));
    struct tt_bytes many[CERTS_ONLY_MAX + 1];
    for (size_t i = 0; i < TT_COUNT(many); i++)
        many[i] = list->certs[0];
    struct buf out = {0};
    assert_int_equal(est_certs_write(&out, &(struct tt_cert_list){many, TT_COUNT(many)}), TT_ERR_USAGE);
    assert_int_equal(est_certs_write(&out, &(struct tt_cert_list){many, TT_COUNT(many) - 1}), TT_OK);
    tt_cert_list_free(list);
    buf_free(&out);
}

/* ---- CSR attributes ---- */

static const char rfc8951_csrattrs[] = "MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJ\n"
                                       "BgcrBgEBAQEWBggqhkjOPQQDAw==";

static void attributes_of_the_standards(void **state)
{
    (void)state;
    struct est_csrattrs a = {0};
    assert_int_equal(est_csrattrs_read(&a, bytes_of(rfc8951_csrattrs), NULL), TT_OK);
    assert_int_equal(a.len, 4);
    assert_false(est_csrattrs_find(&a, EST_OID_CHALLENGE_PASSWORD)->attribute);
    const struct est_attr *ext = est_csrattrs_find(&a, EST_OID_EXTENSION_REQUEST);
    assert_true(ext == &a.list[2] && ext->attribute && ext->values.len == 9);
    /* and written again, it is the same text */
    struct buf again = {0};
    assert_int_equal(est_csrattrs_write(&again, a.list, a.len), TT_OK);
    assert_int_equal(buf_size(&again), sizeof rfc8951_csrattrs);
    assert_memory_equal(buf_front(&again), rfc8951_csrattrs, sizeof rfc8951_csrattrs - 1);
    buf_free(&again);
    est_csrattrs_free(&a);
    assert_int_equal(est_csrattrs_read(&a, bytes_of(rfc7030_csrattrs), NULL), TT_OK);
    assert_int_equal(a.len, 6);
    est_csrattrs_free(&a);
}

static void no_attributes(void **state)
{
    (void)state;
    static const char *const none[] = {"", "\r\n", "MAA=", "MAA=\n"};
    for (size_t i = 0; i < TT_COUNT(none); i++) {
        struct est_csrattrs a = {0};
        assert_int_equal(est_csrattrs_read(&a, bytes_of(none[i]), NULL), TT_OK);
        assert_int_equal(a.len, 0);
        assert_null(est_csrattrs_find(&a, EST_OID_CHALLENGE_PASSWORD));
        est_csrattrs_free(&a);
    }
}

static void damaged_attributes(void **state)
{
    (void)state;
    struct buf der = der_of(rfc8951_csrattrs);
    for (size_t n = 1; n < buf_size(&der); n++) {
        struct est_csrattrs a = {0};
        assert_int_equal(est_csrattrs_read(&a, (struct tt_bytes){buf_front(&der), n}, NULL), TT_ERR_DECODE);
        assert_int_equal(a.len, 0);
    }
    buf_free(&der);
    static const uint8_t empty_oid[] = {0x30, 2, 6, 0};
    struct est_csrattrs a = {0};
    assert_int_equal(est_csrattrs_read(&a, (struct tt_bytes){empty_oid, 4}, NULL), TT_ERR_DECODE);
    struct est_attr many[EST_CSRATTRS_MAX + 1];
    for (size_t i = 0; i < TT_COUNT(many); i++)
        many[i] = (struct est_attr){.oid = EST_OID_CHALLENGE_PASSWORD};
    struct buf body = {0};
    assert_int_equal(est_csrattrs_write(&body, many, TT_COUNT(many)), TT_OK);
    assert_int_equal(est_csrattrs_read(&a, buf_bytes(&body), NULL), TT_ERR_DECODE);
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_7030),
        cmocka_unit_test(every_line_end),
        cmocka_unit_test(der_without_base64),
        cmocka_unit_test(pem_of_any_label),
        cmocka_unit_test(ber_of_indefinite_length),
        cmocka_unit_test(what_is_no_certs_only_message),
        cmocka_unit_test(larger_than_any),
        cmocka_unit_test(written_sorted_each_once_and_read_again),
        cmocka_unit_test(more_than_a_message_carries),
        cmocka_unit_test(attributes_of_the_standards),
        cmocka_unit_test(no_attributes),
        cmocka_unit_test(damaged_attributes),
    };
    return cmocka_run_group_tests_name("est/body", tests, NULL, NULL);
}
