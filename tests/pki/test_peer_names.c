/* tests/pki/test_peer_names.c: all names of a certificate, whatever they are made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "pki/peer_names.h"
#include "support/named_cert.h"
#include "tpmtls/pki.h"

struct want {
    enum peer_name_kind kind;
    const char *value;
    size_t len;
};

static struct peer_names *read_names(struct tt_bytes der)
{
    struct peer_names *n = NULL;
    struct tt_error err = {0};
    if (peer_names_read(&n, der, &err) != TT_OK)
        fail_msg("%s", err.text);
    return n;
}

static void assert_names(const struct name_of *given, bool twice, const struct want *want, size_t n)
{
    struct tt_bytes der = named_cert(given, twice);
    struct peer_names *names = read_names(der);
    assert_int_equal(names->len, n);
    for (size_t i = 0; i < n; i++) {
        size_t len = want[i].len != 0 ? want[i].len : strlen(want[i].value);
        assert_int_equal(names->at[i].kind, want[i].kind);
        assert_int_equal(names->at[i].len, len);
        assert_memory_equal(names->at[i].value, want[i].value, len);
        assert_int_equal(names->at[i].value[len], 0);
    }
    char hex[65];
    struct tt_cert_info *info = NULL;
    assert_int_equal(tt_cert_describe(&info, der, NULL), TT_OK);
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", names->key_sha256[i]);
    assert_string_equal(hex, info->spki_sha256);
    assert_string_equal(names->subject, info->subject);
    tt_cert_info_free(info);
    peer_names_free(names);
    OPENSSL_free((void *)(uintptr_t)der.data);
}

static void test_all_of_them(void **state)
{
    (void)state;
    static const struct name_of given[] = {{NID_organizationName, V_ASN1_UTF8STRING, "Example", 0},
                                           {NID_organizationalUnitName, V_ASN1_UTF8STRING, "ops", 0},
                                           {NID_organizationalUnitName, V_ASN1_PRINTABLESTRING, "lab", 0},
                                           {NID_commonName, V_ASN1_UTF8STRING, "device-1", 0},
                                           {NID_commonName, V_ASN1_UTF8STRING, "second", 0},
                                           {0, GEN_DNS, "Device-1.Example.ORG", 0},
                                           {0, GEN_EMAIL, "a@example.org", 0},
                                           {0, GEN_URI, "spiffe://example.org/Web", 0},
                                           {0, GEN_DNS, "b.example.org", 0},
                                           {0, 0, NULL, 0}};
    static const struct want want[] = {{PEER_NAME_CN, "device-1", 0},
                                       {PEER_NAME_CN, "second", 0},
                                       {PEER_NAME_OU, "ops", 0},
                                       {PEER_NAME_OU, "lab", 0},
                                       {PEER_NAME_DNS, "device-1.example.org", 0},
                                       {PEER_NAME_URI, "spiffe://example.org/Web", 0},
                                       {PEER_NAME_DNS, "b.example.org", 0}};
    assert_names(given, false, want, TT_COUNT(want));
    assert_names(given, true, want, 4); /* a second subjectAltName: neither counts */
    assert_names(&given[9], false, NULL, 0);
}

/* Strings of any type are the same text; a NUL is a byte of the value. */
static void test_strings(void **state)
{
    (void)state;
    static const struct name_of given[] = {{NID_commonName, V_ASN1_BMPSTRING, "\0Z\0o\0\xeb", 6},
                                           {NID_commonName, V_ASN1_T61STRING, "Zo\xeb", 0},
                                           {NID_commonName, V_ASN1_UTF8STRING, "Zo\xc3\xab", 0},
                                           {NID_commonName, V_ASN1_BMPSTRING, "\0a\0\0\0b", 6},
                                           {NID_commonName, V_ASN1_UTF8STRING, "good\0.evil", 10},
                                           {0, GEN_DNS, "good.org\0.evil.org", 18},
                                           {0, 0, NULL, 0}};
    static const struct want want[] = {
        {PEER_NAME_CN, "Zo\xc3\xab", 0},   {PEER_NAME_CN, "Zo\xc3\xab", 0},
        {PEER_NAME_CN, "Zo\xc3\xab", 0},   {PEER_NAME_CN, "a\0b", 3},
        {PEER_NAME_CN, "good\0.evil", 10}, {PEER_NAME_DNS, "good.org\0.evil.org", 18}};
    assert_names(given, false, want, TT_COUNT(want));
}

static void test_first_and_nonsense(void **state)
{
    (void)state;
    static const struct name_of given[] = {{NID_commonName, V_ASN1_UTF8STRING, "a", 0},
                                           {NID_commonName, V_ASN1_UTF8STRING, "b", 0},
                                           {0, 0, NULL, 0}};
    struct tt_bytes der = named_cert(given, false);
    struct peer_names *n = read_names(der);
    assert_string_equal((const char *)peer_names_first(n, PEER_NAME_CN)->value, "a");
    assert_null(peer_names_first(n, PEER_NAME_URI));
    peer_names_free(n);
    for (size_t len = 0; len < der.len; len++) {
        n = NULL;
        assert_int_equal(peer_names_read(&n, (struct tt_bytes){der.data, len}, NULL), TT_ERR_DECODE);
        assert_null(n);
    }
    OPENSSL_free((void *)(uintptr_t)der.data);
    peer_names_free(NULL);
}

#ifdef TT_FAULT_INJECTION
static void test_without_memory(void **state)
{
    (void)state;
    static const struct name_of given[] = {
        {NID_commonName, V_ASN1_UTF8STRING, "a", 0}, {0, GEN_DNS, "a.example.org", 0}, {0, 0, NULL, 0}};
    struct tt_bytes der = named_cert(given, false);
    tt_rc rc = TT_ERR_MEMORY;
    for (size_t nth = 1; nth < 50 && rc != TT_OK; nth++) {
        struct peer_names *n = NULL;
        struct tt_error err = {0};
        mem_test_fail_nth(nth);
        rc = peer_names_read(&n, der, &err);
        mem_test_fail_nth(0);
        assert_true(rc == TT_OK || rc == TT_ERR_MEMORY);
        assert_true((rc == TT_OK) == (n != NULL));
        peer_names_free(n);
    }
    assert_int_equal(rc, TT_OK);
    OPENSSL_free((void *)(uintptr_t)der.data);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_them),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_first_and_nonsense),
#ifdef TT_FAULT_INJECTION
        cmocka_unit_test(test_without_memory),
#endif
    };
    return cmocka_run_group_tests_name("peer_names", tests, NULL, NULL);
}
