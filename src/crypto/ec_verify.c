/* crypto/ec_verify.c: ECDSA verification for keys that are nothing but a point. Layer: crypto.
 *
 * To make a public key of libcrypto and a context to verify with it costs a tenth of the verification itself,
 * most of it for a copy of the curve. So both are kept: a verifier is a key with its context. The one that
 * has the point already, since the same peer came before, is used as it is; else one is given another point,
 * and its context is initialised anew, so that nothing of the last point is left in it. */
#include "crypto/ec_verify.h"

#include <string.h>

#include "base/mem.h"
#include "crypto/sig_internal.h"

struct verifier {
    EVP_PKEY_CTX *ctx;
    bool is_ready; /* initialised for this point */
    size_t len;
    uint8_t point[MAX_POINT];
};

static void verifier_free(struct verifier *v)
{
    if (v == NULL)
        return;
    EVP_PKEY_CTX_free(v->ctx);
    mem_free(v);
}

void ec_verifiers_free(struct spare *s)
{
    for (struct verifier *v; s != NULL && (v = spare_take(s)) != NULL;)
        verifier_free(v);
    mem_free(s);
}

static struct verifier *verifier_new(const struct curve *curve)
{
    struct verifier *v = mem_alloc(sizeof *v);
    EVP_PKEY *key = v != NULL ? EVP_PKEY_new() : NULL;
    if (key != NULL && EVP_PKEY_copy_parameters(key, curve->template) == 1)
        v->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_free(key); /* v has a reference */
    if (v != NULL && v->ctx != NULL)
        return v;
    verifier_free(v);
    return NULL;
}

static bool has_point(const void *item, const void *arg)
{
    const struct verifier *v = item;
    const struct tt_bytes *point = arg;
    return v->len == point->len && memcmp(v->point, point->data, point->len) == 0;
}

static bool verifier_set(struct verifier *v, struct tt_bytes point)
{
    v->is_ready = false;
    v->len = 0;
    if (point.len > sizeof v->point ||
        EVP_PKEY_set1_encoded_public_key(EVP_PKEY_CTX_get0_pkey(v->ctx), point.data, point.len) != 1)
        return false;
    memcpy(v->point, point.data, point.len);
    v->len = point.len;
    return true;
}

static void verifier_give(const struct curve *curve, struct verifier *v)
{
    if (!spare_give(curve->verifiers, v))
        verifier_free(v);
}

/* One with this point. TT_ERR_DECODE when the curve has no such point. */
static tt_rc verifier_take(struct verifier **ret, const struct curve *curve, struct tt_bytes point)
{
    struct verifier *v = spare_take_like(curve->verifiers, has_point, &point);
    if (v == NULL)
        v = verifier_new(curve);
    if (v == NULL)
        return TT_ERR_MEMORY;
    if (has_point(v, &point) || verifier_set(v, point)) {
        *ret = v;
        return TT_OK;
    }
    verifier_give(curve, v); /* for another point */
    return TT_ERR_DECODE;
}

tt_rc ec_point_valid(const struct crypto_lib *lib, enum curve_id curve, struct tt_bytes point)
{
    struct verifier *v = NULL;
    TT_TRY(verifier_take(&v, &lib->curves[curve], point));
    verifier_give(&lib->curves[curve], v);
    return TT_OK;
}

tt_rc ec_verify(const struct crypto_lib *lib, enum curve_id curve, struct tt_bytes point,
                struct tt_bytes digest, struct tt_bytes signature)
{
    struct verifier *v = NULL;
    if (verifier_take(&v, &lib->curves[curve], point) != TT_OK)
        return TT_ERR_MEMORY; /* the point was found valid before */
    tt_rc rc = TT_ERR_MEMORY;
    if (v->is_ready || EVP_PKEY_verify_init(v->ctx) == 1)
        rc = EVP_PKEY_verify(v->ctx, signature.data, signature.len, digest.data, digest.len) == 1
                 ? TT_OK
                 : TT_ERR_VERIFY;
    v->is_ready = rc == TT_OK;
    verifier_give(&lib->curves[curve], v);
    return rc;
}
