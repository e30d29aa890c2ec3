/* tests/pki/test_cert.c: lists of certificates from PEM, what is shown of one, whose key it is. */
#include "pki_test.h"

#include <openssl/err.h>
#include <string.h>

#include "pki/text.h"
#include "wire/pem.h"

/* A self-signed certificate by libcrypto, DER. */
static void cert_make(struct buf *ret, const struct soft_key *k, const char *cn, long serial)
{
    X509 *x = X509_new();
    X509_NAME *name = name_of_cn(cn);
    uint8_t *der = NULL;
    assert_int_equal(X509_set_version(x, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), serial), 1);
    assert_int_equal(X509_set_subject_name(x, name), 1);
    assert_int_equal(X509_set_issuer_name(x, name), 1);
    X509_NAME_free(name);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x), (time_t)NOW));
    assert_non_null(
        ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(NOW + 30 * 365 * DAY))); /* GeneralizedTime */
    assert_int_equal(X509_set_pubkey(x, k->pkey), 1);
    X509_EXTENSION *san =
        X509V3_EXT_nconf(NULL, NULL, "subjectAltName", "DNS:a.example,RID:1.2.3,IP:192.0.2.1");
    assert_int_equal(X509_add_ext(x, san, -1), 1);
    X509_EXTENSION_free(san);
    assert_true(X509_sign(x, k->pkey, EVP_sha256()) > 0);
    int len = i2d_X509(x, &der);
    assert_true(len > 0);
    assert_int_equal(buf_append(ret, der, (size_t)len), TT_OK);
    OPENSSL_free(der);
    X509_free(x);
}

static void a_certificate_is_described(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    struct buf der = {0};
    struct tt_cert_info *info = NULL;
    cert_make(&der, &k,
              "b\xc3\xbc"
              "cher\x1b[2J",
              -255);
    assert_int_equal(tt_cert_describe(&info, buf_bytes(&der), NULL), TT_OK);
    assert_string_equal(info->subject, "CN=b\xc3\xbc"
                                       "cher\\1B[2J");
    assert_string_equal(info->issuer, info->subject);
    assert_string_equal(info->serial, "-ff");
    assert_string_equal(info->sans, "DNS:a.example, (other), IP:192.0.2.1");
    assert_string_equal(info->key, "P-256");
    assert_int_equal(info->not_before, NOW);
    assert_int_equal(info->not_after, NOW + 30 * 365 * DAY);
    assert_string_equal(info->not_before_text, "2026-06-01T00:00:00Z");
    assert_string_equal(info->not_after_text, "2056-05-24T00:00:00Z");
    assert_false(info->is_ca);
    uint8_t digest[32];
    char hex[65];
    assert_int_equal(EVP_Digest(buf_front(&der), buf_size(&der), digest, NULL, EVP_sha256(), NULL), 1);
    text_hex(hex, (struct tt_bytes){digest, 32});
    assert_string_equal(info->sha256, hex);
    tt_cert_info_free(info);
    tt_cert_info_free(NULL);
    buf_free(&der);
    key_drop(&k);
}

static void a_key_is_recognised(void **state)
{
    (void)state;
    static const char *const kinds[] = {"P-256", "RSA:2048", "P-384"};
    struct soft_key other = key_make("P-256");
    for (size_t i = 0; i < TT_COUNT(kinds); i++) {
        struct soft_key k = key_make(kinds[i]);
        struct buf der = {0};
        cert_make(&der, &k, "a", 1);
        assert_true(tt_cert_matches_key(buf_bytes(&der), (struct tt_bytes){k.spki, k.spki_len}));
        assert_false(tt_cert_matches_key(buf_bytes(&der), (struct tt_bytes){other.spki, other.spki_len}));
        assert_false(tt_cert_matches_key(buf_bytes(&der), (struct tt_bytes){k.spki, k.spki_len - 1}));
        assert_false(tt_cert_matches_key(buf_bytes(&der), (struct tt_bytes){NULL, 0}));
        assert_false(tt_cert_matches_key((struct tt_bytes){NULL, 0}, (struct tt_bytes){k.spki, k.spki_len}));
        buf_free(&der);
        key_drop(&k);
    }
    key_drop(&other);
    assert_int_equal(ERR_peek_error(), 0);
}

/* Two certificates and a key between them, with words around, as people keep them. */
static void bundle_make(struct buf *ret, size_t *ret_first_end, const struct soft_key *k)
{
    struct buf der = {0};
    cert_make(&der, k, "first", 1);
    assert_int_equal(buf_append(ret, "subject=first\n", 14), TT_OK);
    assert_int_equal(pem_write(ret, "CERTIFICATE", buf_bytes(&der)), TT_OK);
    *ret_first_end = buf_size(ret);
    static const char key[] =
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n-----END EC PRIVATE KEY-----\n";
    assert_int_equal(buf_append(ret, key, sizeof key - 1), TT_OK);
    buf_free(&der);
    cert_make(&der, k, "second", 2);
    assert_int_equal(pem_write(ret, "CERTIFICATE", buf_bytes(&der)), TT_OK);
    buf_free(&der);
}

static void a_list_is_read_in_order(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    struct buf pem = {0};
    size_t first_end;
    bundle_make(&pem, &first_end, &k);
    struct tt_cert_list *list = NULL;
    assert_int_equal(tt_cert_list_from_pem(&list, buf_bytes(&pem), NULL), TT_OK);
    assert_int_equal(list->len, 2);
    static const char *const names[] = {"CN=first", "CN=second"};
    for (size_t i = 0; i < 2; i++) {
        struct tt_cert_info *info = NULL;
        assert_int_equal(tt_cert_describe(&info, list->certs[i], NULL), TT_OK);
        assert_string_equal(info->subject, names[i]);
        tt_cert_info_free(info);
    }
    char *text = NULL;
    struct tt_cert_list *again = NULL;
    assert_int_equal(tt_cert_list_to_pem(&text, list, 2, NULL), TT_OK);
    assert_int_equal(tt_cert_list_from_pem(&again, bytes_of(text), NULL), TT_OK);
    assert_int_equal(again->len, 2);
    assert_int_equal(again->certs[1].len, list->certs[1].len);
    assert_memory_equal(again->certs[1].data, list->certs[1].data, list->certs[1].len);
    tt_free(text);
    tt_cert_list_free(again);
    tt_cert_list_free(list);
    tt_cert_list_free(NULL);
    buf_free(&pem);
    key_drop(&k);
}

/* Cut at every byte: no crash; a cut inside a certificate is an error that names it. */
static void each_truncation_of_a_list(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    struct buf pem = {0};
    size_t first_end;
    bundle_make(&pem, &first_end, &k);
    const uint8_t *begin2 =
        memmem(buf_front(&pem) + first_end, buf_size(&pem) - first_end, "-----BEGIN CERT", 15);
    size_t second = (size_t)(begin2 - buf_front(&pem));
    for (size_t n = 0; n <= buf_size(&pem); n++) {
        uint8_t *copy = mem_alloc(n); /* exactly n bytes, for the address sanitizer */
        assert_non_null(copy);
        memcpy(copy, buf_front(&pem), n);
        struct tt_cert_list *list = NULL;
        struct tt_error err = {0};
        tt_rc rc = tt_cert_list_from_pem(&list, (struct tt_bytes){copy, n}, &err);
        if (n + 1 >= buf_size(&pem))
            assert_int_equal(rc, TT_OK);
        else if (n < 14 + 11)
            check_error(rc, TT_ERR_DECODE, &err, "no certificate", "before the first");
        else if (n + 1 < first_end)
            check_error(rc, TT_ERR_DECODE, &err, "certificate number 1 is cut off", "in the first");
        else if (n >= second + 11)
            check_error(rc, TT_ERR_DECODE, &err, "certificate number 2 is cut off", "in the second");
        tt_cert_list_free(list);
        mem_free(copy);
    }
    buf_free(&pem);
    key_drop(&k);
}

static void each_truncation_of_a_certificate(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    struct buf der = {0}, pem = {0};
    cert_make(&der, &k, "a", 1);
    for (size_t n = 0; n < buf_size(&der); n++) {
        uint8_t *copy = mem_alloc(n);
        struct tt_cert_info *info = NULL;
        struct tt_cert_list *list = NULL;
        struct tt_error err = {0};
        assert_non_null(copy);
        if (n > 0)
            memcpy(copy, buf_front(&der), n);
        assert_int_equal(tt_cert_describe(&info, (struct tt_bytes){copy, n}, NULL), TT_ERR_DECODE);
        assert_int_equal(pem_write(&pem, "CERTIFICATE", (struct tt_bytes){copy, n}), TT_OK);
        check_error(tt_cert_list_from_pem(&list, buf_bytes(&pem), &err), TT_ERR_DECODE, &err,
                    "certificate number 1 is damaged", "PEM of half a certificate");
        buf_free(&pem);
        mem_free(copy);
    }
    assert_int_equal(buf_append(&der, "", 1), TT_OK);
    struct tt_cert_info *info = NULL;
    assert_int_equal(tt_cert_describe(&info, buf_bytes(&der), NULL), TT_ERR_DECODE); /* a byte too many */
    buf_free(&der);
    key_drop(&k);
}

/* Whatever byte is wrong, describing either works or fails; the sanitizers watch. */
static void each_flipped_byte_is_survived(void **state)
{
    (void)state;
    struct soft_key k = key_make("P-256");
    struct buf der = {0};
    cert_make(&der, &k, "a", 1);
    size_t readable = 0;
    for (size_t i = 0; i < buf_size(&der); i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct tt_cert_info *info = NULL;
            buf_front(&der)[i] ^= (uint8_t)(1U << bit);
            readable += tt_cert_describe(&info, buf_bytes(&der), NULL) == TT_OK;
            buf_front(&der)[i] ^= (uint8_t)(1U << bit);
            tt_cert_info_free(info);
        }
    }
    assert_true(readable > 0);
    assert_int_equal(ERR_peek_error(), 0);
    buf_free(&der);
    key_drop(&k);
}

static void other_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } table[] = {
        {"", "no certificate"},
        {"hello", "no certificate"},
        {"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "this is a private key"},
        {"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
         "certificate request"},
        {"\x30\x82\x01\x02 and so on", "looks like DER"},
        {"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "number 1 is damaged"},
        {"-----BEGIN CERTIFICATE-----\nM*A=\n-----END CERTIFICATE-----\n", "not base64"},
        {"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "number 1 is damaged"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct tt_cert_list *list = NULL;
        struct tt_error err = {0};
        check_error(tt_cert_list_from_pem(&list, bytes_of(table[i].text), &err), TT_ERR_DECODE, &err,
                    table[i].words, table[i].text);
        assert_null(list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_described),
        cmocka_unit_test(a_key_is_recognised),
        cmocka_unit_test(a_list_is_read_in_order),
        cmocka_unit_test(each_truncation_of_a_list),
        cmocka_unit_test(each_truncation_of_a_certificate),
        cmocka_unit_test(each_flipped_byte_is_survived),
        cmocka_unit_test(other_files_are_named),
    };
    return cmocka_run_group_tests_name("pki/cert", tests, NULL, NULL);
}
