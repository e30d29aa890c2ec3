/* tests/support/signer_double.c: wraps a software signer; the maximum salt is made by libcrypto. */
#include "support/signer_double.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "signer/signer.h"

struct double_key {
    struct tt_key key; /* must be first */
    struct signer_double what;
    struct tt_key *soft;
    EVP_PKEY *pkey;
    atomic_uint signatures;
};

static bool sign_maximum_salt(const struct double_key *d, uint16_t scheme, struct tt_bytes message,
                              uint8_t *sig, size_t *len)
{
    const EVP_MD *md = scheme == TT_SCHEME_RSA_PSS_RSAE_SHA512   ? EVP_sha512()
                       : scheme == TT_SCHEME_RSA_PSS_RSAE_SHA384 ? EVP_sha384()
                                                                 : EVP_sha256();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, &p, md, NULL, d->pkey) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_MAX) == 1 &&
              EVP_DigestSign(ctx, sig, len, message.data, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool is_pss(uint16_t scheme)
{
    return scheme == TT_SCHEME_RSA_PSS_RSAE_SHA256 || scheme == TT_SCHEME_RSA_PSS_RSAE_SHA384 ||
           scheme == TT_SCHEME_RSA_PSS_RSAE_SHA512;
}

static tt_rc double_sign(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig,
                         size_t cap, size_t *ret_len, struct tt_error *err)
{
    struct double_key *d = (struct double_key *)key;
    atomic_fetch_add(&d->signatures, 1);
    struct timespec delay = {.tv_sec = d->what.delay_ms / 1000,
                             .tv_nsec = (long)(d->what.delay_ms % 1000) * 1000000};
    (void)nanosleep(&delay, NULL);
    if (d->what.fail)
        return error_set(err, TT_ERR_TPM, "the signer double was told to fail");
    if (!d->what.maximum_salt || !is_pss(scheme))
        return tt_key_sign(d->soft, scheme, message, ret_sig, cap, ret_len, err);
    size_t len = cap;
    if (!sign_maximum_salt(d, scheme, message, ret_sig, &len))
        return error_set(err, TT_ERR_INTERNAL, "the signer double cannot sign");
    *ret_len = len;
    return TT_OK;
}

static void double_free(struct tt_key *key)
{
    struct double_key *d = (struct double_key *)key;
    tt_key_free(d->soft);
    EVP_PKEY_free(d->pkey);
}

static tt_rc double_fill(struct double_key *d, struct tt_error *err)
{
    struct tt_bytes pem = {(const uint8_t *)d->what.pem, strlen(d->what.pem)};
    TT_TRY(tt_key_open_software(&d->soft, pem, NULL, err));
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    d->pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    struct tt_bytes spki = tt_key_spki(d->soft);
    d->key.type = tt_key_type(d->soft);
    d->key.is_tpm = d->what.pose_as_tpm;
    d->key.schemes_len = tt_key_schemes(d->soft, d->key.schemes, SIGNER_MAX_SCHEMES);
    d->key.x509_scheme = tt_key_x509_scheme(d->soft);
    d->key.spki = mem_dup(spki.data, spki.len);
    d->key.spki_len = spki.len;
    d->what.pem = NULL;
    return d->pkey == NULL || d->key.spki == NULL ? TT_ERR_MEMORY : TT_OK;
}

tt_rc signer_double_new(struct tt_key **ret, const struct signer_double *what, struct tt_error *err)
{
    static const struct signer_ops ops = {.sign = double_sign, .free = double_free};
    struct double_key *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    d->key.ops = &ops;
    d->what = *what;
    tt_rc rc = double_fill(d, err);
    if (rc != TT_OK) {
        tt_key_free(&d->key);
        return rc;
    }
    *ret = &d->key;
    return TT_OK;
}

unsigned signer_double_signatures(const struct tt_key *key)
{
    return atomic_load(&((struct double_key *)(uintptr_t)key)->signatures);
}
