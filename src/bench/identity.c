/* bench/identity.c: see identity.h. Layer: bench. */
#include "bench/identity.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/mem.h"
#include "bench/report.h"

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (e == NULL || X509_add_ext(x, e, -1) != 1)
        die(value);
    X509_EXTENSION_free(e);
}

static X509 *certificate(EVP_PKEY *subject, const char *cn, X509 *issuer)
{
    static long serial = 1;
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();
    if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0) != 1)
        die("a name");
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400);
    X509_set_subject_name(x, name);
    X509_set_issuer_name(x, issuer != NULL ? X509_get_subject_name(issuer) : name);
    X509_set_pubkey(x, subject);
    X509_NAME_free(name);
    return x;
}

X509 *identity_certify(const struct identity *ca, EVP_PKEY *subject, const char *eku, const char *dns)
{
    X509 *x = certificate(subject, eku, ca->cert);
    add_extension(x, ca->cert, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, ca->cert, NID_key_usage, "critical,digitalSignature");
    add_extension(x, ca->cert, NID_ext_key_usage, eku);
    add_extension(x, ca->cert, NID_authority_key_identifier, "keyid:always");
    if (dns != NULL)
        add_extension(x, ca->cert, NID_subject_alt_name, dns);
    if (X509_sign(x, ca->pkey, EVP_sha256()) <= 0)
        die("signing a certificate");
    return x;
}

static char *bio_text(BIO *bio)
{
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    char *text = mem_dup(data, (size_t)n);
    BIO_free(bio);
    return text != NULL ? text : (die("memory"), NULL);
}

static void identity_finish(struct identity *id)
{
    uint8_t *der = NULL;
    int len = i2d_X509(id->cert, &der);
    BIO *bio = BIO_new(BIO_s_mem());
    if (len <= 0 || PEM_write_bio_PKCS8PrivateKey(bio, id->pkey, NULL, NULL, 0, NULL, NULL) != 1)
        die("encoding an identity");
    id->der = (struct tt_bytes){der, (size_t)len};
    id->key_pem = bio_text(bio);
    struct tt_bytes pem = {(const uint8_t *)id->key_pem, strlen(id->key_pem)};
    if (tt_key_open_software(&id->key, pem, NULL, NULL) != TT_OK)
        die("opening a software key");
}

void identities_make(struct identities *all)
{
    *all = (struct identities){.ca.pkey = EVP_EC_gen("P-256"),
                               .server.pkey = EVP_EC_gen("P-256"),
                               .client.pkey = EVP_EC_gen("P-256")};
    X509 *ca = certificate(all->ca.pkey, "bench CA", NULL);
    add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(ca, ca, NID_subject_key_identifier, "hash");
    if (X509_sign(ca, all->ca.pkey, EVP_sha256()) <= 0)
        die("signing the CA's certificate");
    all->ca.cert = ca;
    BIO *bio = BIO_new(BIO_s_mem());
    if (PEM_write_bio_X509(bio, ca) != 1)
        die("encoding the CA's certificate");
    all->ca_pem = bio_text(bio);
    all->server.cert = identity_certify(&all->ca, all->server.pkey, "serverAuth", "DNS:localhost");
    all->client.cert = identity_certify(&all->ca, all->client.pkey, "clientAuth", NULL);
    identity_finish(&all->server);
    identity_finish(&all->client);
}

void identity_release_key(struct identity *id)
{
    tt_key_free(id->key);
    OPENSSL_free((void *)(uintptr_t)id->der.data);
    id->key = NULL;
    id->der = (struct tt_bytes){NULL, 0};
}

void identity_replace(struct identity *id, struct tt_key *key, struct tt_bytes der)
{
    identity_release_key(id);
    id->key = key;
    id->der = der;
}

void identity_adopt(struct identities *ids, struct tt_key *key)
{
    struct tt_bytes spki = tt_key_spki(key);
    const uint8_t *at = spki.data;
    EVP_PKEY *public = d2i_PUBKEY(NULL, &at, (long)spki.len);
    uint8_t *der = NULL;
    X509 *cert = public == NULL ? NULL : identity_certify(&ids->ca, public, "clientAuth", NULL);
    int len = cert == NULL ? 0 : i2d_X509(cert, &der);
    if (len <= 0)
        die("the certificate of the TPM's key");
    identity_replace(&ids->client, key, (struct tt_bytes){der, (size_t)len});
    X509_free(cert);
    EVP_PKEY_free(public);
}

static void identity_free(struct identity *id)
{
    identity_release_key(id);
    EVP_PKEY_free(id->pkey);
    X509_free(id->cert);
    mem_free(id->key_pem);
}

void identities_free(struct identities *all)
{
    identity_free(&all->ca);
    identity_free(&all->server);
    identity_free(&all->client);
    mem_free(all->ca_pem);
}
