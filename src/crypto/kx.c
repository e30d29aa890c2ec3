/* crypto/kx.c: X25519, X448, P-256, P-384, P-521. Layer: crypto. RFC 9846 section 7.4.2, RFC 7748, SP
 * 800-56A. */
#include "crypto/kx.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "base/mem.h"
#include "crypto/lib_internal.h"

struct kx_offer {
    uint16_t group;
    EVP_PKEY *key;
    uint8_t share[KX_MAX_SHARE];
    size_t share_len;
};

/* struct kx_method: how the keys of a group are made and read. */
struct kx_method {
    uint16_t group;
    const char *raw_name; /* X25519, X448; NULL for the NIST curves */
    enum curve_id curve;
    size_t share_len, private_len;
};

static const struct kx_method methods[] = {
    {TT_GROUP_X25519, "X25519", CURVE_COUNT, 32, 32}, {TT_GROUP_SECP256R1, NULL, CURVE_P256, 65, 32},
    {TT_GROUP_SECP384R1, NULL, CURVE_P384, 97, 48},   {TT_GROUP_SECP521R1, NULL, CURVE_P521, 133, 66},
    {TT_GROUP_X448, "X448", CURVE_COUNT, 56, 56},
};

static const struct kx_method *kx_method_of(const struct crypto_lib *lib, uint16_t group)
{
    for (size_t i = 0; i < TT_COUNT(methods); i++)
        if (methods[i].group == group) {
            bool there = group == TT_GROUP_X25519 ? lib->has_x25519
                         : group == TT_GROUP_X448 ? lib->has_x448
                                                  : true;
            return there ? &methods[i] : NULL;
        }
    return NULL;
}

bool kx_available(const struct crypto_lib *lib, uint16_t group)
{
    return kx_method_of(lib, group) != NULL;
}

/* A private scalar in [1, n-1] by rejection (FIPS 186-5 A.2.2). 521-bit scalars drop the surplus bits first,
 * so a try succeeds with probability of at least one half; 64 tries all fail only when the randomness is
 * broken. */
static tt_rc ec_private(BIGNUM *d, const struct kx_method *m, const EC_GROUP *group, struct kx_random random)
{
    uint8_t bytes[66];
    const BIGNUM *order = EC_GROUP_get0_order(group);
    unsigned surplus = (unsigned)(m->private_len * 8) - (unsigned)BN_num_bits(order);
    tt_rc rc = TT_ERR_INTERNAL;
    for (int tries = 0; tries < 64 && rc != TT_OK; tries++) {
        if (!random.fn(random.arg, bytes, m->private_len))
            break;
        bytes[0] = (uint8_t)(bytes[0] & 0xff >> surplus);
        if (BN_bin2bn(bytes, (int)m->private_len, d) == NULL)
            break;
        if (!BN_is_zero(d) && BN_cmp(d, order) < 0)
            rc = TT_OK;
    }
    mem_wipe(bytes, sizeof bytes);
    return rc;
}

static EVP_PKEY *ec_key_of(const struct curve *curve, const BIGNUM *d, struct tt_bytes point)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = NULL;
    bool ok = bld != NULL && ctx != NULL &&
              OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->name, 0) == 1 &&
              OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) == 1 &&
              OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1 &&
              (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) == 1;
    OSSL_PARAM_free(params); /* wipes: the BN is a secure one */
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    return ok ? key : NULL;
}

static tt_rc ec_offer(struct kx_offer *o, const struct crypto_lib *lib, const struct kx_method *m,
                      struct kx_random random)
{
    const struct curve *curve = &lib->curves[m->curve];
    BIGNUM *d = BN_secure_new();
    EC_POINT *point = EC_POINT_new(curve->group);
    tt_rc rc = d == NULL || point == NULL ? TT_ERR_MEMORY : ec_private(d, m, curve->group, random);
    if (rc == TT_OK) {
        BN_set_flags(d, BN_FLG_CONSTTIME);
        o->share_len = m->share_len;
        bool ok = EC_POINT_mul(curve->group, point, d, NULL, NULL, NULL) == 1 &&
                  EC_POINT_point2oct(curve->group, point, POINT_CONVERSION_UNCOMPRESSED, o->share,
                                     m->share_len, NULL) == m->share_len;
        o->key = ok ? ec_key_of(curve, d, (struct tt_bytes){o->share, o->share_len}) : NULL;
        rc = o->key != NULL ? TT_OK : TT_ERR_INTERNAL;
    }
    BN_clear_free(d);
    EC_POINT_free(point);
    return rc;
}

static tt_rc raw_offer(struct kx_offer *o, const struct kx_method *m, struct kx_random random)
{
    uint8_t secret[56];
    if (!random.fn(random.arg, secret, m->private_len))
        return TT_ERR_INTERNAL;
    o->key = EVP_PKEY_new_raw_private_key_ex(NULL, m->raw_name, NULL, secret, m->private_len);
    mem_wipe(secret, sizeof secret);
    o->share_len = m->share_len;
    bool ok = o->key != NULL && EVP_PKEY_get_raw_public_key(o->key, o->share, &o->share_len) == 1;
    return ok && o->share_len == m->share_len ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc kx_offer_new(struct kx_offer **ret, const struct crypto_lib *lib, uint16_t group,
                   struct kx_random random)
{
    const struct kx_method *m = kx_method_of(lib, group);
    if (m == NULL)
        return TT_ERR_UNSUPPORTED;
    struct kx_offer *o = mem_alloc(sizeof *o);
    if (o == NULL)
        return TT_ERR_MEMORY;
    o->group = group;
    tt_rc rc = m->raw_name != NULL ? raw_offer(o, m, random) : ec_offer(o, lib, m, random);
    if (rc != TT_OK) {
        kx_offer_free(o);
        return rc;
    }
    *ret = o;
    return TT_OK;
}

void kx_offer_free(struct kx_offer *o)
{
    if (o == NULL)
        return;
    EVP_PKEY_free(o->key);
    mem_free(o);
}

uint16_t kx_offer_group(const struct kx_offer *o)
{
    return o->group;
}

struct tt_bytes kx_offer_share(const struct kx_offer *o)
{
    return (struct tt_bytes){o->share, o->share_len};
}

/* "peers MUST validate each other's public value Q by ensuring that the point is a valid point on the
 * elliptic curve" (RFC 9846 section 4.3.8.2): libcrypto decodes the point and refuses one that is not on the
 * curve. */
static EVP_PKEY *kx_peer(const struct crypto_lib *lib, const struct kx_method *m, struct tt_bytes share)
{
    if (share.len != m->share_len)
        return NULL;
    if (m->raw_name != NULL)
        return EVP_PKEY_new_raw_public_key_ex(NULL, m->raw_name, NULL, share.data, share.len);
    /* "legacy_form = 4": only the uncompressed form is allowed (RFC 9846 section 4.3.8.2). */
    EVP_PKEY *peer = share.data[0] == 4 ? EVP_PKEY_new() : NULL;
    if (peer != NULL && EVP_PKEY_copy_parameters(peer, lib->curves[m->curve].template) == 1 &&
        EVP_PKEY_set1_encoded_public_key(peer, share.data, share.len) == 1)
        return peer;
    EVP_PKEY_free(peer);
    return NULL;
}

static tt_rc kx_derive(EVP_PKEY *own, EVP_PKEY *peer, struct kx_secret *ret)
{
    struct kx_secret secret = {.len = sizeof secret.data};
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    tt_rc rc = TT_ERR_INTERNAL;
    if (ctx != NULL && EVP_PKEY_derive_init(ctx) == 1) {
        /* For X25519 and X448 libcrypto fails on an all-zero result (RFC 7748 section 6.1). */
        bool ok = EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1 &&
                  EVP_PKEY_derive(ctx, secret.data, &secret.len) == 1;
        rc = ok ? TT_OK : TT_ERR_PROTOCOL;
    }
    EVP_PKEY_CTX_free(ctx);
    if (rc == TT_OK)
        *ret = secret;
    mem_wipe(&secret, sizeof secret);
    return rc;
}

tt_rc kx_offer_finish(const struct kx_offer *o, const struct crypto_lib *lib, struct tt_bytes peer_share,
                      struct kx_secret *ret)
{
    const struct kx_method *m = kx_method_of(lib, o->group);
    EVP_PKEY *peer = m == NULL ? NULL : kx_peer(lib, m, peer_share);
    tt_rc rc = peer == NULL ? TT_ERR_PROTOCOL : kx_derive(o->key, peer, ret);
    EVP_PKEY_free(peer);
    if (rc != TT_OK)
        ERR_clear_error();
    return rc;
}

tt_rc kx_respond(struct kx_response *ret, const struct crypto_lib *lib, uint16_t group,
                 struct kx_random random, struct tt_bytes peer_share)
{
    struct kx_offer *own = NULL;
    TT_TRY(kx_offer_new(&own, lib, group, random));
    struct kx_secret secret;
    tt_rc rc = kx_offer_finish(own, lib, peer_share, &secret);
    if (rc == TT_OK) {
        ret->secret = secret;
        ret->share_len = own->share_len;
        for (size_t i = 0; i < own->share_len; i++)
            ret->share[i] = own->share[i];
        mem_wipe(&secret, sizeof secret);
    }
    kx_offer_free(own);
    return rc;
}
