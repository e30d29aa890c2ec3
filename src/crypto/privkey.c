/* crypto/privkey.c: private keys in software, for servers and tests that chose them by name. Layer: crypto.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/sig_internal.h"

/* Hands the password to libcrypto; without one the reading fails instead of asking on the terminal. */
static int password_callback(char *buf, int size, int rwflag, void *arg)
{
    (void)rwflag;
    const struct tt_bytes *password = arg;
    if (password == NULL || size < 0 || password->len > (size_t)size)
        return -1;
    if (password->len > 0)
        memcpy(buf, password->data, password->len);
    return (int)password->len;
}

static bool text_contains(struct tt_bytes text, const char *word)
{
    return text.len > 0 && memmem(text.data, text.len, word, strlen(word)) != NULL;
}

/* Without memory for it, each signature makes its own context. */
static void keep_signers(struct sig_key *k)
{
    k->signers = mem_alloc(sizeof *k->signers);
    if (k->signers != NULL)
        spare_init(k->signers);
}

tt_rc privkey_from_pem(struct privkey **ret, const struct crypto_lib *lib, struct tt_bytes pem,
                       const struct tt_bytes *password, struct tt_error *err)
{
    (void)lib;
    if (pem.len > INT32_MAX || !text_contains(pem, "PRIVATE KEY-----"))
        return error_set(err, TT_ERR_DECODE, "there is no private key in PEM form");
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    EVP_PKEY *pkey = bio == NULL
                         ? NULL
                         : PEM_read_bio_PrivateKey(bio, NULL, password_callback, (void *)(uintptr_t)password);
    BIO_free(bio);
    ERR_clear_error();
    if (pkey == NULL) {
        if (!text_contains(pem, "ENCRYPTED"))
            return error_set(err, TT_ERR_DECODE, "the private key is damaged or of an unknown kind");
        return error_set(err, TT_ERR_AUTH,
                         password == NULL
                             ? "the private key is encrypted and no password was given"
                             : "the password of the private key is wrong, or the key is damaged");
    }
    struct sig_key *k = NULL;
    tt_rc rc = sig_key_new(&k, pkey);
    if (rc == TT_ERR_MEMORY)
        return error_set(err, rc, "out of memory");
    if (rc != TT_OK)
        return error_set(err, TT_ERR_UNSUPPORTED, "this kind of private key cannot sign in TLS 1.3");
    keep_signers(k);
    *ret = (struct privkey *)k;
    return TT_OK;
}

tt_rc privkey_generate(struct privkey **ret, const struct crypto_lib *lib, uint16_t scheme)
{
    static const char *const names[CURVE_COUNT] = {"P-256", "P-384", "P-521"};
    const struct scheme_info *s = scheme_info_of(scheme);
    (void)lib;
    if (s == NULL || s->type != SIG_EC)
        return TT_ERR_UNSUPPORTED;
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", names[s->curve]);
    ERR_clear_error();
    if (pkey == NULL)
        return TT_ERR_INTERNAL;
    struct sig_key *k = NULL;
    TT_TRY(sig_key_new(&k, pkey));
    keep_signers(k);
    *ret = (struct privkey *)k;
    return TT_OK;
}

static const struct sig_key *key_of(const struct privkey *k)
{
    return (const struct sig_key *)k;
}

void privkey_free(struct privkey *k)
{
    sig_key_free((struct sig_key *)k);
}

tt_rc privkey_spki(const struct privkey *k, uint8_t **ret, size_t *ret_len)
{
    int len = i2d_PUBKEY(key_of(k)->pkey, NULL);
    uint8_t *der = len > 0 ? mem_alloc((size_t)len) : NULL;
    if (der == NULL)
        return TT_ERR_MEMORY;
    uint8_t *at = der;
    (void)i2d_PUBKEY(key_of(k)->pkey, &at);
    *ret = der;
    *ret_len = (size_t)len;
    return TT_OK;
}

bool privkey_fits(const struct privkey *k, uint16_t scheme)
{
    return sig_key_fits(key_of(k), scheme, true);
}

unsigned privkey_bits(const struct privkey *k)
{
    return key_of(k)->bits;
}

static bool sign_message(const struct sig_key *k, struct tt_bytes message, uint8_t *sig, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->pkey) == 1 &&
              EVP_DigestSign(ctx, sig, len, message.data, message.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static bool is_for_scheme(const void *ctx, const void *scheme)
{
    return EVP_PKEY_CTX_get_app_data((EVP_PKEY_CTX *)(uintptr_t)ctx) == scheme;
}

/* A context that has signed under this scheme can do so again. */
static EVP_PKEY_CTX *signer_take(const struct sig_key *k, const struct crypto_lib *lib,
                                 const struct scheme_info *s)
{
    EVP_PKEY_CTX *ctx = k->signers != NULL ? spare_take_like(k->signers, is_for_scheme, s) : NULL;
    if (ctx != NULL && is_for_scheme(ctx, s))
        return ctx;
    EVP_PKEY_CTX_free(ctx);
    ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    if (ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 && sig_pss_setup(ctx, lib, s) == TT_OK) {
        EVP_PKEY_CTX_set_app_data(ctx, (void *)(uintptr_t)s);
        return ctx;
    }
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static void signer_give(const struct sig_key *k, EVP_PKEY_CTX *ctx, bool is_well)
{
    if (!is_well || k->signers == NULL || !spare_give(k->signers, ctx))
        EVP_PKEY_CTX_free(ctx);
}

tt_rc privkey_sign(const struct crypto_lib *lib, struct privkey *pk, uint16_t scheme, struct tt_bytes message,
                   uint8_t *ret_sig, size_t cap, size_t *ret_len)
{
    const struct sig_key *k = key_of(pk);
    const struct scheme_info *s = scheme_info_of(scheme);
    if (s == NULL || !sig_key_fits(k, scheme, true))
        return TT_ERR_USAGE;
    size_t len = cap;
    bool ok = false;
    if (s->hash == HASH_NONE) {
        ok = sign_message(k, message, ret_sig, &len);
    } else {
        uint8_t digest[HASH_MAX_SIZE];
        TT_TRY(hash_digest(lib, s->hash, message, digest));
        EVP_PKEY_CTX *ctx = signer_take(k, lib, s);
        ok = ctx != NULL && EVP_PKEY_sign(ctx, ret_sig, &len, digest, hash_size(s->hash)) == 1;
        signer_give(k, ctx, ok);
    }
    ERR_clear_error();
    if (!ok)
        return TT_ERR_INTERNAL;
    *ret_len = len;
    return TT_OK;
}
