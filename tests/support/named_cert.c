/* tests/support/named_cert.c: certificates whose names are any bytes. Tests only. */
#include "support/named_cert.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void put(X509_NAME *subject, GENERAL_NAMES *sans, const struct name_of *n)
{
    int len = (int)(n->len != 0 ? n->len : strlen(n->value));
    if (n->nid != 0) {
        must(X509_NAME_add_entry_by_NID(subject, n->nid, n->type, (const unsigned char *)n->value, len, -1,
                                        0) == 1);
        return;
    }
    ASN1_IA5STRING *s = ASN1_IA5STRING_new();
    GENERAL_NAME *g = GENERAL_NAME_new();
    must(s != NULL && g != NULL && ASN1_STRING_set(s, n->value, len) == 1);
    GENERAL_NAME_set0_value(g, n->type, s);
    must(sk_GENERAL_NAME_push(sans, g) > 0);
}

struct tt_bytes named_cert(const struct name_of *names, bool twice)
{
    X509 *x = X509_new();
    X509_NAME *subject = X509_NAME_new();
    GENERAL_NAMES *sans = GENERAL_NAMES_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(x != NULL && subject != NULL && sans != NULL && key != NULL);
    for (; names->value != NULL; names++)
        put(subject, sans, names);
    must(X509_set_version(x, X509_VERSION_3) == 1 && X509_set_subject_name(x, subject) == 1 &&
         X509_set_pubkey(x, key) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(x), 0) != NULL &&
         X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL);
    for (int i = 0; sk_GENERAL_NAME_num(sans) > 0 && i < (twice ? 2 : 1); i++)
        must(X509_add1_ext_i2d(x, NID_subject_alt_name, sans, 0, X509V3_ADD_APPEND) == 1);
    must(X509_sign(x, key, EVP_sha256()) > 0);
    struct tt_bytes der = {NULL, 0};
    unsigned char *at = NULL;
    int len = i2d_X509(x, &at);
    must(len > 0);
    der = (struct tt_bytes){at, (size_t)len};
    EVP_PKEY_free(key);
    GENERAL_NAMES_free(sans);
    X509_NAME_free(subject);
    X509_free(x);
    return der;
}
