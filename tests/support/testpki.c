/* tests/support/testpki.c: see testpki.h. */
#include "support/testpki.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "testpki: %s failed\n", what);
        abort();
    }
}

static EVP_PKEY *key_make(const char *kind, uint16_t *scheme)
{
    EVP_PKEY *k = NULL;
    if (strcmp(kind, "RSA") == 0) {
        k = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
        *scheme = TT_SCHEME_RSA_PSS_RSAE_SHA256;
    } else if (strcmp(kind, "RSA-PSS") == 0) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
        must(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1 &&
                 EVP_PKEY_generate(ctx, &k) == 1,
             "RSA-PSS key");
        EVP_PKEY_CTX_free(ctx);
        *scheme = TT_SCHEME_RSA_PSS_PSS_SHA256;
    } else if (strcmp(kind, "ED25519") == 0) {
        k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        *scheme = TT_SCHEME_ED25519;
    } else {
        k = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
        *scheme = strcmp(kind, "P-256") == 0   ? TT_SCHEME_ECDSA_SECP256R1_SHA256
                  : strcmp(kind, "P-384") == 0 ? TT_SCHEME_ECDSA_SECP384R1_SHA384
                                               : TT_SCHEME_ECDSA_SECP521R1_SHA512;
    }
    must(k != NULL, "key generation");
    return k;
}

static void add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e != NULL && X509_add_ext(x, e, -1) == 1, value);
    X509_EXTENSION_free(e);
}

/* DelegationUsage ::= NULL */
static void add_delegation_usage(X509 *x)
{
    ASN1_OBJECT *id = OBJ_txt2obj("1.3.6.1.4.1.44363.44", 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    must(ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05", 2) == 1, "DelegationUsage");
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, id, 0, value);
    must(e != NULL && X509_add_ext(x, e, -1) == 1, "DelegationUsage");
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(id);
}

static X509 *cert_make(struct test_key *k, const struct test_cert *t)
{
    static long serial = 1000;
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();
    int64_t from = t->not_before != 0 ? t->not_before : TEST_NOW - 30 * 86400;
    int64_t to = t->not_after != 0 ? t->not_after : TEST_NOW + 30 * 86400;
    must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)t->cn, -1, -1, 0),
         "name");
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)from);
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)to);
    X509_set_subject_name(x, name);
    X509_set_pubkey(x, k->pkey);
    X509 *issuer = NULL;
    if (t->issuer != NULL) {
        const unsigned char *at = t->issuer->cert;
        issuer = d2i_X509(NULL, &at, (long)t->issuer->cert_len);
        X509_set_issuer_name(x, X509_get_subject_name(issuer));
        add_ext(x, issuer, NID_basic_constraints, "critical,CA:FALSE");
        if (!t->no_key_usage)
            add_ext(x, issuer, NID_key_usage, "critical,digitalSignature");
    } else {
        X509_set_issuer_name(x, name);
        add_ext(x, x, NID_basic_constraints, "critical,CA:TRUE");
        add_ext(x, x, NID_key_usage, "critical,keyCertSign,cRLSign");
    }
    add_ext(x, issuer != NULL ? issuer : x, NID_subject_key_identifier, "hash");
    if (issuer != NULL)
        add_ext(x, issuer, NID_authority_key_identifier, "keyid:always");
    if (t->delegation)
        add_delegation_usage(x);
    if (t->eku != NULL)
        add_ext(x, issuer, NID_ext_key_usage, t->eku);
    if (t->dns != NULL) {
        char san[300];
        snprintf(san, sizeof san, "DNS:%s", t->dns);
        add_ext(x, issuer, NID_subject_alt_name, san);
    }
    EVP_PKEY *signer = t->issuer != NULL ? t->issuer->pkey : k->pkey;
    must(X509_sign(x, signer, EVP_PKEY_is_a(signer, "ED25519") ? NULL : EVP_sha256()) > 0,
         "signing a certificate");
    X509_free(issuer);
    X509_NAME_free(name);
    return x;
}

static char *bio_text(BIO *bio)
{
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    char *text = malloc((size_t)n + 1);
    memcpy(text, data, (size_t)n);
    text[n] = '\0';
    BIO_free(bio);
    return text;
}

struct test_key *test_key_new(const char *kind, const struct test_cert *cert)
{
    struct test_key *k = calloc(1, sizeof *k);
    k->pkey = key_make(kind, &k->scheme);
    X509 *x = cert_make(k, cert);
    int len = i2d_X509(x, &k->cert);
    must(len > 0, "DER");
    k->cert_len = (size_t)len;
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_X509(bio, x) == 1, "PEM");
    k->cert_pem = bio_text(bio);
    X509_free(x);
    return k;
}

void test_key_free(struct test_key *k)
{
    if (k == NULL)
        return;
    EVP_PKEY_free(k->pkey);
    OPENSSL_free(k->cert);
    OPENSSL_free(k->spki);
    free(k->cert_pem);
    free(k);
}

size_t test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig, size_t cap)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    unsigned hash = scheme & 0xff;
    bool pss = (scheme >= TT_SCHEME_RSA_PSS_RSAE_SHA256 && scheme <= TT_SCHEME_RSA_PSS_RSAE_SHA512) ||
               scheme == TT_SCHEME_RSA_PSS_PSS_SHA256;
    const char *md = scheme == TT_SCHEME_ED25519                                        ? NULL
                     : scheme == TT_SCHEME_ECDSA_SECP384R1_SHA384 || (pss && hash == 5) ? "SHA384"
                     : scheme == TT_SCHEME_ECDSA_SECP521R1_SHA512 || (pss && hash == 6) ? "SHA512"
                                                                                        : "SHA256";
    must(EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, k->pkey, NULL) == 1, "sign init");
    if (pss) {
        EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST);
    }
    size_t len = cap;
    must(EVP_DigestSign(ctx, sig, &len, message.data, message.len) == 1, "sign");
    EVP_MD_CTX_free(ctx);
    return len;
}

struct tt_bytes test_key_spki(struct test_key *k)
{
    if (k->spki == NULL) {
        int len = i2d_PUBKEY(k->pkey, &k->spki);
        must(len > 0, "SubjectPublicKeyInfo");
        k->spki_len = (size_t)len;
    }
    return (struct tt_bytes){k->spki, k->spki_len};
}

void test_key_pin(struct test_key *k, uint8_t ret[32])
{
    struct tt_bytes spki = test_key_spki(k);
    must(EVP_Digest(spki.data, spki.len, ret, NULL, EVP_sha256(), NULL) == 1, "SHA-256");
}

char *test_key_pem(const struct test_key *k)
{
    BIO *bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1, "PEM");
    return bio_text(bio);
}
