/* tests/support/testca.c: see testca.h. */
#include "support/testca.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "testca: %s failed\n", what);
        abort();
    }
}

static EVP_PKEY *make_key(const char *kind)
{
    if (strncmp(kind, "RSA-", 4) == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)strtoul(kind + 4, NULL, 10));
    return strcmp(kind, "ED25519") == 0 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                        : EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
}

static void set_names(X509 *x, const struct node_options *o)
{
    X509_NAME *name = X509_NAME_new();
    if (o->cn[0] != '\0')
        must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)o->cn, -1, -1, 0) ==
                 1,
             "name");
    X509_set_subject_name(x, name);
    X509_set_issuer_name(x, o->issuer == NULL ? name : X509_get_subject_name(o->issuer->x509));
    X509_NAME_free(name);
}

static void set_extension(X509 *x, const struct node_options *o, const char *name, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, o->issuer == NULL ? x : o->issuer->x509, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf(NULL, &ctx, name, value);
    must(e != NULL && X509_add_ext(x, e, -1) == 1, name);
    X509_EXTENSION_free(e);
}

static void set_extensions(X509 *x, const struct node_options *o)
{
    const X509 *issuer = o->issuer == NULL ? NULL : o->issuer->x509;
    for (size_t i = 0; i < TT_COUNT(o->extensions) && o->extensions[i][0] != NULL; i++)
        set_extension(x, o, o->extensions[i][0], o->extensions[i][1]);
    if (!o->no_ski && X509_get_ext_by_NID(x, NID_subject_key_identifier, -1) < 0)
        set_extension(x, o, "subjectKeyIdentifier", "hash");
    if (!o->no_aki && issuer != NULL && X509_get_ext_by_NID(issuer, NID_subject_key_identifier, -1) >= 0 &&
        X509_get_ext_by_NID(x, NID_authority_key_identifier, -1) < 0)
        set_extension(x, o, "authorityKeyIdentifier", "keyid:always");
}

static void set_serial(X509 *x, const struct node_options *o)
{
    static long serial = 5000;
    BIGNUM *given = NULL;
    if (o->serial == NULL)
        must(ASN1_INTEGER_set(X509_get_serialNumber(x), serial++) == 1, "serial number");
    else
        must(BN_hex2bn(&given, o->serial) > 0 && BN_to_ASN1_INTEGER(given, X509_get_serialNumber(x)) != NULL,
             "serial number");
    BN_free(given);
}

static X509 *make_cert(EVP_PKEY *key, const struct node_options *o)
{
    X509 *x = X509_new();
    EVP_PKEY *signer = o->issuer == NULL ? key : o->issuer->pkey;
    X509_set_version(x, o->v1 ? X509_VERSION_1 : X509_VERSION_3);
    set_serial(x, o);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(o->from != 0 ? o->from : TEST_NOW - 30 * 86400));
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(o->until != 0 ? o->until : TEST_NOW + 30 * 86400));
    set_names(x, o);
    X509_set_pubkey(x, key);
    if (!o->v1)
        set_extensions(x, o);
    const EVP_MD *md = EVP_PKEY_is_a(signer, "ED25519") ? NULL
                       : o->md != NULL                  ? EVP_get_digestbyname(o->md)
                                                        : EVP_sha256();
    must(X509_sign(x, signer, md) > 0, "signing a certificate");
    return x;
}

struct node *node_new(const struct node_options *o)
{
    struct node *n = calloc(1, sizeof *n);
    n->pkey = o->same_key != NULL ? o->same_key->pkey : make_key(o->key != NULL ? o->key : "P-256");
    must(n->pkey != NULL, "key generation");
    if (o->same_key != NULL)
        EVP_PKEY_up_ref(n->pkey);
    X509 *made = make_cert(n->pkey, o);
    int len = i2d_X509(made, &n->der);
    must(len > 0, "DER");
    X509_free(made);
    n->cert = (struct tt_bytes){n->der, (size_t)len};
    const unsigned char *at = n->der;
    n->x509 = d2i_X509(NULL, &at, len);
    unsigned char *spki = NULL;
    int spki_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(n->x509), &spki);
    must(spki_len > 0 && EVP_Digest(spki, (size_t)spki_len, n->pin, NULL, EVP_sha256(), NULL) == 1, "pin");
    OPENSSL_free(spki);
    return n;
}

void node_free(struct node *n)
{
    if (n == NULL)
        return;
    EVP_PKEY_free(n->pkey);
    X509_free(n->x509);
    OPENSSL_free(n->der);
    free(n);
}

struct node *node_ca(const char *cn, const struct node *issuer)
{
    return node_new(&(struct node_options){.cn = cn, .issuer = issuer, .extensions = CA_EXTENSIONS});
}

struct node *node_server(const struct node *issuer, const char *dns)
{
    char san[100];
    snprintf(san, sizeof san, "DNS:%s", dns != NULL ? dns : "");
    return node_new(&(struct node_options){.cn = "server",
                                           .issuer = issuer,
                                           .extensions = {{"keyUsage", "critical,digitalSignature"},
                                                          {"extendedKeyUsage", "serverAuth"},
                                                          {dns == NULL ? NULL : "subjectAltName", san}}});
}

void node_anchor(struct tt_trust *t, const struct node *n)
{
    must(tt_trust_add_der(t, n->cert, NULL) == TT_OK, "tt_trust_add_der");
}

static void set_crl_times(X509_CRL *crl, const struct crl_options *o)
{
    ASN1_TIME *from = ASN1_TIME_set(NULL, (time_t)(o->from != 0 ? o->from : TEST_NOW - 86400));
    ASN1_TIME *until = ASN1_TIME_set(NULL, (time_t)(o->until != 0 ? o->until : TEST_NOW + 86400));
    X509_CRL_set1_lastUpdate(crl, from);
    X509_CRL_set1_nextUpdate(crl, until);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
}

static void revoke(X509_CRL *crl, const struct node *n)
{
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)(TEST_NOW - 3600));
    must(X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(n->x509)) == 1 &&
             X509_REVOKED_set_revocationDate(r, when) == 1 && X509_CRL_add0_revoked(crl, r) == 1,
         "revocation");
    ASN1_TIME_free(when);
}

struct tt_bytes crl_new(const struct crl_options *o)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(number, 1);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(o->issuer->x509));
    set_crl_times(crl, o);
    if (o->revoked != NULL)
        revoke(crl, o->revoked);
    must(X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1, "CRL number");
    if (o->delta)
        must(X509_CRL_add1_ext_i2d(crl, NID_delta_crl, number, 1, 0) == 1, "delta CRL");
    must(X509_CRL_sign(crl, o->signer != NULL ? o->signer : o->issuer->pkey, EVP_sha256()) > 0,
         "signing a CRL");
    uint8_t *der = NULL;
    int len = i2d_X509_CRL(crl, &der);
    must(len > 0, "DER of a CRL");
    ASN1_INTEGER_free(number);
    X509_CRL_free(crl);
    return (struct tt_bytes){der, (size_t)len};
}

struct tt_bytes ocsp_new(const struct ocsp_options *o)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    const struct node *signer = o->responder != NULL ? o->responder : o->issuer;
    OCSP_CERTID *id = OCSP_cert_to_id(o->id_hash, o->leaf->x509, o->issuer->x509);
    ASN1_TIME *from = ASN1_TIME_adj(NULL, (time_t)(o->from != 0 ? o->from : TEST_NOW - 86400), 0, 0);
    ASN1_TIME *until = o->until == -1
                           ? NULL
                           : ASN1_TIME_adj(NULL, (time_t)(o->until != 0 ? o->until : TEST_NOW + 86400), 0, 0);
    ASN1_TIME *revoked = ASN1_TIME_adj(NULL, (time_t)(TEST_NOW - 3600), 0, 0);
    bool is_revoked = o->status == V_OCSP_CERTSTATUS_REVOKED;
    must(OCSP_basic_add1_status(basic, id, o->status, OCSP_REVOKED_STATUS_KEYCOMPROMISE,
                                is_revoked ? revoked : NULL, from, until) != NULL,
         "OCSP status");
    must(OCSP_basic_sign(basic, signer->x509, signer->pkey, o->md != NULL ? o->md : EVP_sha256(), NULL, 0) ==
             1,
         "signing an OCSP response");
    OCSP_RESPONSE *r = OCSP_response_create(o->response_status, o->response_status == 0 ? basic : NULL);
    uint8_t *der = NULL;
    int len = i2d_OCSP_RESPONSE(r, &der);
    must(len > 0, "DER of an OCSP response");
    OCSP_RESPONSE_free(r);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
    return (struct tt_bytes){der, (size_t)len};
}

void der_free(struct tt_bytes der)
{
    OPENSSL_free((void *)(uintptr_t)der.data);
}
