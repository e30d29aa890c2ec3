/* tests/tpm/tpm_test.c */
#include "tpm_test.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

void record(void *recorder, const struct tt_tpm_event *event)
{
    struct recorder *r = recorder;
    if (r->count < TT_COUNT(r->names)) {
        r->names[r->count] = event->name;
        r->responses[r->count] = event->response;
    }
    r->count++;
}

const char *recorder_text(const struct recorder *r)
{
    static char text[2048];
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < r->count && i < TT_COUNT(r->names) && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n == 0 ? "" : " ",
                              r->names[i] + strlen("TPM2_"));
    return text;
}

struct tt_tpm *open_tpm(const char *spec)
{
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    assert_ok(tt_tpm_open(&tpm, spec, &err), &err);
    return tpm;
}

struct tt_key *open_key(struct tt_tpm *tpm, const char *pem)
{
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    assert_ok(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), &err);
    return key;
}

char *create_key(struct tt_tpm *tpm, enum tt_key_type type)
{
    char *pem = NULL;
    struct tt_error err = {0};
    assert_ok(tt_key_create(&pem, tpm, type, &err), &err);
    return pem;
}

struct check {
    const EVP_MD *md;
    int padding; /* 0: not RSA */
};

static struct check check_of(uint16_t scheme)
{
    switch (scheme) {
    case TT_SCHEME_ECDSA_SECP256R1_SHA256:
        return (struct check){EVP_sha256(), 0};
    case TT_SCHEME_ECDSA_SECP384R1_SHA384:
        return (struct check){EVP_sha384(), 0};
    case TT_SCHEME_ECDSA_SECP521R1_SHA512:
        return (struct check){EVP_sha512(), 0};
    case TT_SCHEME_RSA_PSS_RSAE_SHA256:
        return (struct check){EVP_sha256(), RSA_PKCS1_PSS_PADDING};
    case TT_SCHEME_RSA_PSS_RSAE_SHA384:
        return (struct check){EVP_sha384(), RSA_PKCS1_PSS_PADDING};
    case TT_SCHEME_RSA_PSS_RSAE_SHA512:
        return (struct check){EVP_sha512(), RSA_PKCS1_PSS_PADDING};
    default:
        return (struct check){EVP_sha256(), RSA_PKCS1_PADDING};
    }
}

/* An explicit salt length makes libcrypto demand exactly this one. */
static bool verifies(EVP_PKEY *pub, const struct check *c, int salt, struct tt_bytes message,
                     struct tt_bytes sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;
    bool ok = EVP_DigestVerifyInit(ctx, &p, c->md, NULL, pub) == 1;
    if (c->padding != 0)
        ok = ok && EVP_PKEY_CTX_set_rsa_padding(p, c->padding) == 1;
    if (c->padding == RSA_PKCS1_PSS_PADDING)
        ok = ok && EVP_PKEY_CTX_set_rsa_pss_saltlen(p, salt) == 1;
    ok = ok && EVP_DigestVerify(ctx, sig.data, sig.len, message.data, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

void sign_and_verify(struct tt_key *key, uint16_t scheme)
{
    static const struct tt_bytes message = {(const uint8_t *)"a message that nobody hashed before", 35};
    struct check c = check_of(scheme);
    uint8_t sig[1024];
    size_t len = 0;
    struct tt_error err = {0};
    assert_ok(tt_key_sign(key, scheme, message, sig, sizeof sig, &len, &err), &err);
    struct tt_bytes spki = tt_key_spki(key);
    const unsigned char *at = spki.data;
    EVP_PKEY *pub = d2i_PUBKEY(NULL, &at, (long)spki.len);
    assert_non_null(pub);
    assert_ptr_equal(at, spki.data + spki.len);
    int salt = EVP_MD_get_size(c.md);
    assert_true(verifies(pub, &c, salt, message, (struct tt_bytes){sig, len}));
    if (c.padding == RSA_PKCS1_PSS_PADDING) {
        assert_false(verifies(pub, &c, salt - 1, message, (struct tt_bytes){sig, len}));
        assert_false(verifies(pub, &c, RSA_PSS_SALTLEN_MAX, message, (struct tt_bytes){sig, len}));
    }
    EVP_PKEY_free(pub);
}

tt_rc try_sign(struct tt_key *key, struct tt_error *err)
{
    uint8_t sig[1024];
    size_t len = 0;
    uint16_t scheme = 0;
    *err = (struct tt_error){0};
    (void)tt_key_schemes(key, &scheme, 1);
    return tt_key_sign(key, scheme, text_bytes("message"), sig, sizeof sig, &len, err);
}
