/* crypto/ec_verify.c: ECDSA verification for keys that are nothing but a point. Layer: crypto.
 *
 * To make a public key of libcrypto and a context to verify with it costs a tenth of the verification itself,
 * most of it for a copy of the curve. So both are kept: a verifier is a key with its context, and is given
 * another point each time; after that the context is initialised anew, so that nothing of the last point is
 * left in it. */
#include "crypto/ec_verify.h"

static EVP_PKEY_CTX *verifier_new(const struct curve *curve)
{
    EVP_PKEY *key = EVP_PKEY_new();
    EVP_PKEY_CTX *v = NULL;
    if (key != NULL && EVP_PKEY_copy_parameters(key, curve->template) == 1)
        v = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_free(key); /* v has a reference */
    return v;
}

/* One with this point. TT_ERR_DECODE when the curve has no such point. */
static tt_rc verifier_take(EVP_PKEY_CTX **ret, const struct curve *curve, struct tt_bytes point)
{
    EVP_PKEY_CTX *v = spare_take(curve->verifiers);
    if (v == NULL)
        v = verifier_new(curve);
    if (v == NULL)
        return TT_ERR_MEMORY;
    if (EVP_PKEY_set1_encoded_public_key(EVP_PKEY_CTX_get0_pkey(v), point.data, point.len) == 1) {
        *ret = v;
        return TT_OK;
    }
    EVP_PKEY_CTX_free(v);
    return TT_ERR_DECODE;
}

static void verifier_give(const struct curve *curve, EVP_PKEY_CTX *v)
{
    if (!spare_give(curve->verifiers, v))
        EVP_PKEY_CTX_free(v);
}

tt_rc ec_point_valid(const struct crypto_lib *lib, enum curve_id curve, struct tt_bytes point)
{
    EVP_PKEY_CTX *v = NULL;
    TT_TRY(verifier_take(&v, &lib->curves[curve], point));
    verifier_give(&lib->curves[curve], v);
    return TT_OK;
}

tt_rc ec_verify(const struct crypto_lib *lib, enum curve_id curve, struct tt_bytes point,
                struct tt_bytes digest, struct tt_bytes signature)
{
    EVP_PKEY_CTX *v = NULL;
    if (verifier_take(&v, &lib->curves[curve], point) != TT_OK)
        return TT_ERR_MEMORY; /* the point was found valid before */
    tt_rc rc = TT_ERR_MEMORY;
    if (EVP_PKEY_verify_init(v) == 1)
        rc = EVP_PKEY_verify(v, signature.data, signature.len, digest.data, digest.len) == 1 ? TT_OK
                                                                                             : TT_ERR_VERIFY;
    verifier_give(&lib->curves[curve], v);
    return rc;
}
