/* crypto/apart.c: see apart.h. Layer: crypto. */
#define OPENSSL_SUPPRESS_DEPRECATED /* engines are, and are still in use */
#include "crypto/apart.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>
#ifndef OPENSSL_NO_ENGINE
#include <openssl/engine.h>
#endif

#include "base/mem.h"

#define MODULUS_MAX 512 /* RSA-4096 */

struct apart {
    OSSL_LIB_CTX *ctx;
    EVP_MD *md[APART_HASHES];
    struct crypto_lib *lib;
};

struct apart_digest {
    EVP_MD_CTX *ctx;
};

struct apart_key {
    const struct apart *apart;
    EVP_PKEY *pkey;
};

static const struct {
    const char *name;
    size_t size;
} hashes[APART_HASHES] = {[APART_SHA1] = {"SHA1", 20},
                          [APART_SHA224] = {"SHA2-224", 28},
                          [APART_SHA256] = {"SHA2-256", 32},
                          [APART_SHA384] = {"SHA2-384", 48},
                          [APART_SHA512] = {"SHA2-512", 64}};

bool apart_is_over(void)
{
    return OPENSSL_init_crypto(0, NULL) != 1;
}

static bool fetch(struct apart *a, struct tt_error *err)
{
    a->ctx = OSSL_LIB_CTX_new();
    if (a->ctx == NULL)
        return false;
    for (enum apart_hash h = APART_SHA1; h < APART_HASHES; h++) {
        a->md[h] = EVP_MD_fetch(a->ctx, hashes[h].name, NULL);
        if (a->md[h] == NULL)
            return false;
    }
    return crypto_lib_new_apart(&a->lib, a->ctx, err) == TT_OK;
}

tt_rc apart_new(struct apart **ret, struct tt_error *err)
{
    struct apart *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    (void)ERR_set_mark();
    bool ok = fetch(a, err);
    (void)ERR_pop_to_mark();
    if (!ok) {
        apart_free(a);
        return error_set(err, TT_ERR_MEMORY, "libcrypto has no memory, or lacks a hash");
    }
    *ret = a;
    return TT_OK;
}

void apart_free(struct apart *a)
{
    if (a == NULL)
        return;
    crypto_lib_free(a->lib);
    for (size_t i = 0; i < APART_HASHES; i++)
        EVP_MD_free(a->md[i]);
    OSSL_LIB_CTX_free(a->ctx);
    mem_free(a);
}

const struct crypto_lib *apart_lib(const struct apart *a)
{
    return a->lib;
}

/* The table of defaults may hold the last reference that the engine works by: ours is kept for as long as it
 * is out of the table. */
void apart_enter(struct apart_visit *ret, const struct apart *a)
{
    ret->context = OSSL_LIB_CTX_set0_default(a->ctx);
    ret->engine = NULL;
#ifndef OPENSSL_NO_ENGINE
    ENGINE *engine = ENGINE_get_pkey_meth_engine(EVP_PKEY_EC);
    if (engine != NULL)
        ENGINE_unregister_pkey_meths(engine);
    ret->engine = engine;
#endif
}

void apart_leave(struct apart_visit *v)
{
#ifndef OPENSSL_NO_ENGINE
    if (v->engine != NULL) {
        (void)ENGINE_set_default_pkey_meths(v->engine);
        (void)ENGINE_finish(v->engine);
    }
#endif
    (void)OSSL_LIB_CTX_set0_default(v->context);
}

bool apart_random(const struct apart *a, uint8_t *ret, size_t n)
{
    (void)ERR_set_mark();
    bool ok = RAND_bytes_ex(a->ctx, ret, n, 0) == 1;
    (void)ERR_pop_to_mark();
    return ok;
}

size_t apart_hash_size(enum apart_hash hash)
{
    return hashes[hash].size;
}

/* ---- digests ---- */

tt_rc apart_digest_new(struct apart_digest **ret, const struct apart *a, enum apart_hash hash)
{
    TT_AUTO(apart_digest_free_auto) struct apart_digest *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return TT_ERR_MEMORY;
    d->ctx = EVP_MD_CTX_new();
    if (d->ctx == NULL || EVP_DigestInit_ex2(d->ctx, a->md[hash], NULL) != 1)
        return TT_ERR_MEMORY;
    *ret = TT_TAKE(d);
    return TT_OK;
}

tt_rc apart_digest_update(struct apart_digest *d, struct tt_bytes data)
{
    return data.len == 0 || EVP_DigestUpdate(d->ctx, data.data, data.len) == 1 ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc apart_digest_final(struct apart_digest *d, uint8_t *ret)
{
    return EVP_DigestFinal_ex(d->ctx, ret, NULL) == 1 ? TT_OK : TT_ERR_INTERNAL;
}

void apart_digest_free(struct apart_digest *d)
{
    if (d == NULL)
        return;
    EVP_MD_CTX_free(d->ctx);
    mem_free(d);
}

/* ---- public keys ---- */

tt_rc apart_key_new(struct apart_key **ret, const struct apart *a, struct tt_bytes spki)
{
    TT_AUTO(apart_key_free_auto) struct apart_key *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return TT_ERR_MEMORY;
    const uint8_t *at = spki.data;
    k->apart = a;
    (void)ERR_set_mark();
    k->pkey = spki.len <= INT32_MAX ? d2i_PUBKEY_ex(NULL, &at, (long)spki.len, a->ctx, NULL) : NULL;
    (void)ERR_pop_to_mark();
    if (k->pkey == NULL || at != spki.data + spki.len)
        return TT_ERR_DECODE;
    *ret = TT_TAKE(k);
    return TT_OK;
}

void apart_key_free(struct apart_key *k)
{
    if (k == NULL)
        return;
    EVP_PKEY_free(k->pkey);
    mem_free(k);
}

static bool setup(EVP_PKEY_CTX *ctx, const struct apart_key *k, const struct apart_signed *what)
{
    switch (what->form) {
    case APART_ECDSA:
        return true;
    case APART_PKCS1: /* without a hash libcrypto takes the block as it is */
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
    case APART_X509:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1;
    default:
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(ctx, k->apart->md[what->hash]) == 1 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, k->apart->md[what->hash]) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)what->salt_len) == 1;
    }
}

/* A number to the power of e, for the form that is compared as it is. */
static bool recovers(EVP_PKEY_CTX *ctx, struct tt_bytes expected, struct tt_bytes sig)
{
    uint8_t out[MODULUS_MAX];
    size_t len = sizeof out;
    return EVP_PKEY_verify_recover(ctx, out, &len, sig.data, sig.len) == 1 && len == expected.len &&
           memcmp(out, expected.data, len) == 0;
}

tt_rc apart_verify(const struct apart_key *k, const struct apart_signed *what, struct tt_bytes sig)
{
    if ((what->form == APART_ECDSA) != (EVP_PKEY_get_base_id(k->pkey) == EVP_PKEY_EC) ||
        EVP_PKEY_get_bits(k->pkey) > MODULUS_MAX * 8)
        return TT_ERR_VERIFY;
    (void)ERR_set_mark();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(k->apart->ctx, k->pkey, NULL);
    bool recover = what->form == APART_X509;
    bool ready = ctx != NULL &&
                 (recover ? EVP_PKEY_verify_recover_init(ctx) : EVP_PKEY_verify_init(ctx)) == 1 &&
                 setup(ctx, k, what);
    bool right =
        ready && (recover ? recovers(ctx, what->data, sig)
                          : EVP_PKEY_verify(ctx, sig.data, sig.len, what->data.data, what->data.len) == 1);
    EVP_PKEY_CTX_free(ctx);
    (void)ERR_pop_to_mark();
    return !ready ? TT_ERR_MEMORY : right ? TT_OK : TT_ERR_VERIFY;
}
