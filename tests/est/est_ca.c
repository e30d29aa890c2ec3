/* tests/est/est_ca.c: see est_ca.h. */
#include "est_ca.h"

#include <string.h>

#include "pki/cert.h"

static void extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static void name_set(X509_NAME *name, const char *cn)
{
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0),
                     1);
}

struct tt_bytes cert_make(const struct made *m)
{
    static long serial;
    X509 *x = X509_new();
    assert_int_equal(X509_set_version(x, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial), 1);
    name_set(X509_get_subject_name(x), m->subject);
    name_set(X509_get_issuer_name(x), m->issuer);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(x), (time_t)m->from));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(x), (time_t)m->until));
    assert_int_equal(X509_set_pubkey(x, m->key->pkey), 1);
    if (m->is_ca)
        extension(x, x, NID_basic_constraints, "critical,CA:TRUE");
    if (m->san != NULL)
        extension(x, x, NID_subject_alt_name, m->san);
    extension(x, x, NID_subject_key_identifier, "hash");
    X509 *issuer = X509_new(); /* as far as the identifier of its key needs it */
    assert_int_equal(X509_set_pubkey(issuer, m->by->pkey), 1);
    extension(issuer, issuer, NID_subject_key_identifier, "hash");
    extension(x, issuer, NID_authority_key_identifier, "keyid:always");
    X509_free(issuer);
    assert_true(X509_sign(x, m->by->pkey, EVP_sha256()) > 0);
    uint8_t *der = NULL;
    int n = i2d_X509(x, &der);
    assert_true(n > 0);
    uint8_t *copy = mem_dup(der, (size_t)n);
    OPENSSL_free(der);
    X509_free(x);
    return (struct tt_bytes){copy, (size_t)n};
}

void list_put(struct tt_cert_list **list, struct tt_bytes der)
{
    if (*list == NULL)
        *list = mem_alloc(sizeof **list);
    assert_int_equal(cert_list_add(*list, mem_dup(der.data, der.len), der.len), TT_OK);
}
