/* crypto/wrap.c: AES-CFB, RSAES-OAEP and private numbers, by libcrypto. Layer: crypto. */
#include "crypto/wrap.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/sig_internal.h"
#include "wire/der.h"
#include "wire/pem.h"

static tt_rc put_number(struct buf *to, const EVP_PKEY *pkey, const char *param, size_t len)
{
    BIGNUM *n = NULL;
    uint8_t *at = buf_reserve(to, len);
    bool ok = at != NULL && EVP_PKEY_get_bn_param(pkey, param, &n) == 1 &&
              BN_bn2binpad(n, at, (int)len) == (int)len;
    BN_clear_free(n);
    ERR_clear_error();
    if (!ok)
        return at == NULL ? TT_ERR_MEMORY : TT_ERR_UNSUPPORTED;
    buf_commit(to, len);
    return TT_OK;
}

tt_rc privkey_secret(struct buf *to, const struct privkey *k)
{
    const struct sig_key *key = (const struct sig_key *)k;
    BIGNUM *third = NULL;
    if (key->type == SIG_EC)
        return put_number(to, key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, (key->bits + 7) / 8);
    if (key->type != SIG_RSA_PSS && key->type != SIG_RSA_PSS_KEY)
        return TT_ERR_UNSUPPORTED;
    bool multi_prime = EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR3, &third) == 1;
    BN_clear_free(third);
    ERR_clear_error();
    return multi_prime ? TT_ERR_UNSUPPORTED
                       : put_number(to, key->pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, key->bits / 16);
}

tt_rc wrap_cfb(uint8_t *data, size_t len, struct tt_bytes key)
{
    static const uint8_t iv[16];
    const EVP_CIPHER *cipher = key.len == 16   ? EVP_aes_128_cfb128()
                               : key.len == 24 ? EVP_aes_192_cfb128()
                               : key.len == 32 ? EVP_aes_256_cfb128()
                                               : NULL;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int out = 0;
    bool ok = ctx != NULL && cipher != NULL && len < INT32_MAX &&
              EVP_EncryptInit_ex(ctx, cipher, NULL, key.data, iv) == 1 &&
              EVP_EncryptUpdate(ctx, data, &out, data, (int)len) == 1 && (size_t)out == len;
    EVP_CIPHER_CTX_free(ctx);
    ERR_clear_error();
    return ok ? TT_OK : TT_ERR_INTERNAL;
}

/* libcrypto takes over the label on success. */
static bool oaep_setup(EVP_PKEY_CTX *ctx, const struct wrap_oaep *key)
{
    const EVP_MD *md = key->hash == HASH_SHA384   ? EVP_sha384()
                       : key->hash == HASH_SHA512 ? EVP_sha512()
                                                  : EVP_sha256();
    if (EVP_PKEY_encrypt_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(ctx, md) != 1 || EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) != 1)
        return false;
    void *label = OPENSSL_memdup(key->label.data, key->label.len);
    if (label == NULL || EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, label, (int)key->label.len) != 1) {
        OPENSSL_free(label);
        return false;
    }
    return true;
}

/* RSAPublicKey in a SubjectPublicKeyInfo (RFC 8017 appendix A.1.1). Read here, since libcrypto's generic
 * decoder costs several times the encryption. */
static bool rsa_numbers(BIGNUM **ret_n, BIGNUM **ret_e, struct tt_bytes spki)
{
    static const uint8_t rsa_encryption[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1};
    struct reader outer = reader_of(spki), r = der_enter(&outer, DER_SEQUENCE);
    struct reader algorithm = der_enter(&r, DER_SEQUENCE);
    struct tt_bytes oid = der_get(&algorithm, DER_OID), bits = der_get(&r, DER_BIT_STRING);
    if (rd_left(&algorithm) > 0 && der_get(&algorithm, DER_NULL).len > 0)
        return false;
    if (rd_done(&algorithm) != TT_OK || rd_done(&r) != TT_OK || rd_done(&outer) != TT_OK ||
        oid.len != sizeof rsa_encryption || memcmp(oid.data, rsa_encryption, oid.len) != 0 || bits.len < 1 ||
        bits.data[0] != 0)
        return false;
    struct reader whole = reader_of((struct tt_bytes){bits.data + 1, bits.len - 1});
    struct reader key = der_enter(&whole, DER_SEQUENCE);
    struct tt_bytes n = der_get_uint(&key), e = der_get_uint(&key);
    if (rd_done(&key) != TT_OK || rd_done(&whole) != TT_OK || n.len > 2048 || e.len > 2048)
        return false;
    *ret_n = BN_bin2bn(n.data, (int)n.len, NULL);
    *ret_e = BN_bin2bn(e.data, (int)e.len, NULL);
    return true;
}

EVP_PKEY *spki_rsa(struct tt_bytes spki)
{
    BIGNUM *n = NULL, *e = NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (rsa_numbers(&n, &e, spki) && n != NULL && e != NULL && bld != NULL && ctx != NULL &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    BN_free(n);
    BN_free(e);
    return key;
}

tt_rc wrap_oaep(struct buf *to, const struct wrap_oaep *key, struct tt_bytes message)
{
    EVP_PKEY *pkey = spki_rsa(key->spki);
    EVP_PKEY_CTX *ctx = pkey == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    size_t len = pkey == NULL ? 0 : (size_t)EVP_PKEY_get_size(pkey);
    uint8_t *out = buf_reserve(to, len);
    bool ok = ctx != NULL && out != NULL && oaep_setup(ctx, key) &&
              EVP_PKEY_encrypt(ctx, out, &len, message.data, message.len) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    if (!ok)
        return TT_ERR_INTERNAL;
    buf_commit(to, len);
    return TT_OK;
}

struct tt_bytes wrap_spki_point(struct tt_bytes spki)
{
    enum curve_id curve;
    struct tt_bytes point = {NULL, 0};
    if (!spki_point(spki, &curve, &point))
        return (struct tt_bytes){NULL, 0};
    return point;
}

tt_rc wrap_spki_from_pem(struct buf *to, struct tt_bytes pem)
{
    struct pem_block block;
    TT_TRY(pem_find(&block, pem, "PUBLIC KEY"));
    tt_rc rc = buf_append(to, block.der, block.len);
    pem_block_free(&block);
    return rc;
}
