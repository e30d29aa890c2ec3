/* crypto/kx.c: X25519, X448, the NIST curves, ML-KEM joined with one of them, and ML-KEM-1024 alone.
 * Layer: crypto. RFC 9846 section 7.4.2, RFC 7748, SP 800-56A, FIPS 203; the hybrids:
 * draft-ietf-tls-ecdhe-mlkem, ML-KEM alone (which CNSA 2.0 asks for): draft-ietf-tls-mlkem.
 *
 * A group is one or two parts; shares and secrets of the parts stand one behind the other, in the order of
 * the table. */
#include "crypto/kx.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/lib_internal.h"
#include "crypto/refusal.h"

enum part_kind {
    PART_NONE,
    PART_RAW,
    PART_EC,
    PART_KEM
};

/* struct kx_part: one key agreement and the sizes of what it sends. */
struct kx_part {
    enum part_kind kind;
    const char *name; /* libcrypto's, for PART_RAW and PART_KEM */
    enum curve_id curve;
    size_t offer_len, answer_len, private_len;
};

static const struct kx_part x25519 = {PART_RAW, "X25519", CURVE_COUNT, 32, 32, 32};
static const struct kx_part x448 = {PART_RAW, "X448", CURVE_COUNT, 56, 56, 56};
static const struct kx_part p256 = {PART_EC, NULL, CURVE_P256, 65, 65, 32};
static const struct kx_part p384 = {PART_EC, NULL, CURVE_P384, 97, 97, 48};
static const struct kx_part p521 = {PART_EC, NULL, CURVE_P521, 133, 133, 66};
static const struct kx_part mlkem768 = {PART_KEM, "ML-KEM-768", CURVE_COUNT, 1184, 1088, 64};
static const struct kx_part mlkem1024 = {PART_KEM, "ML-KEM-1024", CURVE_COUNT, 1568, 1568, 64};

#define KX_PARTS 2

struct kx_group {
    uint16_t group;
    const struct kx_part *parts[KX_PARTS];
};

static const struct kx_group groups[] = {
    {TT_GROUP_X25519, {&x25519, NULL}},
    {TT_GROUP_SECP256R1, {&p256, NULL}},
    {TT_GROUP_SECP384R1, {&p384, NULL}},
    {TT_GROUP_SECP521R1, {&p521, NULL}},
    {TT_GROUP_X448, {&x448, NULL}},
    {TT_GROUP_X25519MLKEM768, {&mlkem768, &x25519}},
    {TT_GROUP_SECP256R1MLKEM768, {&p256, &mlkem768}},
    {TT_GROUP_SECP384R1MLKEM1024, {&p384, &mlkem1024}},
    {TT_GROUP_MLKEM1024, {&mlkem1024, NULL}},
};

struct kx_offer {
    const struct kx_group *group;
    EVP_PKEY_CTX *owns[KX_PARTS]; /* private values: contexts ready to derive or decapsulate with them */
    size_t share_len;
    uint8_t share[KX_MAX_SHARE];
};

static bool part_available(const struct crypto_lib *lib, const struct kx_part *p)
{
    return p == NULL || p->kind == PART_EC || (p == &x25519 && lib->has_x25519) ||
           (p == &x448 && lib->has_x448) || (p->kind == PART_KEM && lib->has_mlkem);
}

static const struct kx_group *group_of(const struct crypto_lib *lib, uint16_t group)
{
    for (size_t i = 0; i < TT_COUNT(groups); i++)
        if (groups[i].group == group)
            return part_available(lib, groups[i].parts[0]) && part_available(lib, groups[i].parts[1])
                       ? &groups[i]
                       : NULL;
    return NULL;
}

bool kx_is_post_quantum(uint16_t group)
{
    return group == TT_GROUP_X25519MLKEM768 || group == TT_GROUP_SECP256R1MLKEM768 ||
           group == TT_GROUP_SECP384R1MLKEM1024 || group == TT_GROUP_MLKEM1024;
}

bool kx_available(const struct crypto_lib *lib, uint16_t group)
{
    return group_of(lib, group) != NULL;
}

/* ---- private values ---- */

/* A private scalar in [1, n-1] by rejection (FIPS 186-5 A.2.2). 521-bit scalars drop the surplus bits first,
 * so a try succeeds with probability of at least one half; 64 tries all fail only when the randomness is
 * broken. */
static tt_rc ec_private(BIGNUM *d, const struct kx_part *p, const EC_GROUP *group, struct kx_random random)
{
    uint8_t bytes[66];
    const BIGNUM *order = EC_GROUP_get0_order(group);
    unsigned surplus = (unsigned)(p->private_len * 8) - (unsigned)BN_num_bits(order);
    tt_rc rc = TT_ERR_INTERNAL;
    for (int tries = 0; tries < 64 && rc != TT_OK; tries++) {
        if (!random.fn(random.arg, bytes, p->private_len))
            break;
        bytes[0] = (uint8_t)(bytes[0] & 0xff >> surplus);
        if (BN_bin2bn(bytes, (int)p->private_len, d) == NULL)
            break;
        if (!BN_is_zero(d) && BN_cmp(d, order) < 0)
            rc = TT_OK;
    }
    mem_wipe(bytes, sizeof bytes);
    return rc;
}

/* A private value's context, in which its operation is initialised. Takes the key over, which may be NULL. */
static EVP_PKEY_CTX *own_context(EVP_PKEY *key, enum part_kind kind)
{
    EVP_PKEY_CTX *own = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_free(key); /* own has a reference */
    if (own != NULL &&
        (kind == PART_KEM ? EVP_PKEY_decapsulate_init(own, NULL) : EVP_PKEY_derive_init(own)) == 1)
        return own;
    EVP_PKEY_CTX_free(own);
    return NULL;
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

static EVP_PKEY_CTX *ec_make(const struct crypto_lib *lib, const struct kx_part *p, struct kx_random random,
                             uint8_t *share)
{
    const struct curve *curve = &lib->curves[p->curve];
    BIGNUM *d = BN_secure_new();
    EC_POINT *point = EC_POINT_new(curve->group);
    EVP_PKEY *key = NULL;
    if (d != NULL && point != NULL && ec_private(d, p, curve->group, random) == TT_OK) {
        BN_set_flags(d, BN_FLG_CONSTTIME);
        bool ok = EC_POINT_mul(curve->group, point, d, NULL, NULL, NULL) == 1 &&
                  EC_POINT_point2oct(curve->group, point, POINT_CONVERSION_UNCOMPRESSED, share, p->offer_len,
                                     NULL) == p->offer_len;
        key = ok ? ec_key_of(curve, d, (struct tt_bytes){share, p->offer_len}) : NULL;
    }
    BN_clear_free(d);
    EC_POINT_free(point);
    return own_context(key, p->kind);
}

/* What EVP_PKEY_new_raw_private_key and _public_key do, without making a context each time. secret may be
 * NULL. */
static EVP_PKEY *x25519_key(const struct crypto_lib *lib, const uint8_t *secret, const uint8_t *value)
{
    OSSL_PARAM params[3] = {OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)value, 32),
                            OSSL_PARAM_END, OSSL_PARAM_END};
    if (secret != NULL)
        params[1] =
            OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)(uintptr_t)secret, 32);
    EVP_PKEY_CTX *ctx = spare_take(lib->x25519_makers);
    EVP_PKEY *key = NULL;
    if (ctx == NULL)
        ctx = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, secret == NULL ? EVP_PKEY_PUBLIC_KEY : EVP_PKEY_KEYPAIR, params) != 1) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    if (!spare_give(lib->x25519_makers, ctx))
        EVP_PKEY_CTX_free(ctx);
    return key;
}

/* The public value is X25519(a, 9) (RFC 7748 section 6.1). For a private value alone libcrypto computes it by
 * the Edwards curve, which takes longer than the ladder that it has in assembly language. So the value is
 * given the base point for its public one, which nothing else asks for, and agrees with itself; the context
 * for that is the one the agreement with the peer needs anyway. Both ways are constant in time. */
static EVP_PKEY_CTX *x25519_make(const struct crypto_lib *lib, const uint8_t *secret, uint8_t *share)
{
    static const uint8_t base_point[32] = {9};
    size_t len = sizeof base_point;
    EVP_PKEY_CTX *own = own_context(x25519_key(lib, secret, base_point), PART_RAW);
    if (own != NULL && EVP_PKEY_derive_set_peer_ex(own, EVP_PKEY_CTX_get0_pkey(own), 0) == 1 &&
        EVP_PKEY_derive(own, share, &len) == 1)
        return own;
    EVP_PKEY_CTX_free(own);
    return NULL;
}

/* The context of a key whose public value is its share. Takes the key over, which may be NULL. */
static EVP_PKEY_CTX *shared_context(EVP_PKEY *key, const struct kx_part *p, uint8_t *share)
{
    size_t len = p->offer_len;
    bool ok = key != NULL && EVP_PKEY_get_raw_public_key(key, share, &len) == 1 && len == p->offer_len;
    if (ok)
        return own_context(key, p->kind);
    EVP_PKEY_free(key);
    return NULL;
}

static EVP_PKEY_CTX *raw_make(const struct crypto_lib *lib, const struct kx_part *p, struct kx_random random,
                              uint8_t *share)
{
    uint8_t secret[64];
    EVP_PKEY_CTX *own = NULL;
    if (random.fn(random.arg, secret, p->private_len))
        own =
            p == &x25519
                ? x25519_make(lib, secret, share)
                : shared_context(EVP_PKEY_new_raw_private_key_ex(NULL, p->name, NULL, secret, p->private_len),
                                 p, share);
    mem_wipe(secret, sizeof secret);
    return own;
}

/* ML-KEM.KeyGen from the seed d || z (FIPS 203 section 7.1). */
static EVP_PKEY_CTX *kem_make(const struct kx_part *p, struct kx_random random, uint8_t *share)
{
    uint8_t seed[64];
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, p->name, NULL);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string("seed", seed, sizeof seed),
                           OSSL_PARAM_construct_end()};
    bool ok = ctx != NULL && random.fn(random.arg, seed, sizeof seed) && EVP_PKEY_keygen_init(ctx) == 1 &&
              EVP_PKEY_CTX_set_params(ctx, params) == 1 && EVP_PKEY_generate(ctx, &key) == 1;
    mem_wipe(seed, sizeof seed);
    EVP_PKEY_CTX_free(ctx);
    return shared_context(ok ? key : NULL, p, share);
}

static EVP_PKEY_CTX *part_make(const struct crypto_lib *lib, const struct kx_part *p, struct kx_random random,
                               uint8_t *share)
{
    return p->kind == PART_EC    ? ec_make(lib, p, random, share)
           : p->kind == PART_RAW ? raw_make(lib, p, random, share)
                                 : kem_make(p, random, share);
}

/* ---- the peer ---- */

/* Keys for peers' values are kept and given another value each time. */
static EVP_PKEY *x25519_peer(const struct crypto_lib *lib, struct tt_bytes share)
{
    EVP_PKEY *peer = spare_take(lib->x25519_peers);
    if (peer == NULL)
        return x25519_key(lib, NULL, share.data);
    if (EVP_PKEY_set1_encoded_public_key(peer, share.data, share.len) == 1)
        return peer;
    EVP_PKEY_free(peer);
    return NULL;
}

/* An offer's context may still have a reference to a peer that is kept here. It does not look at it again:
 * part_derive gives it another one first. */
static void part_peer_free(const struct crypto_lib *lib, const struct kx_part *p, EVP_PKEY *peer)
{
    if (p != &x25519 || !spare_give(lib->x25519_peers, peer))
        EVP_PKEY_free(peer);
}

/* "peers MUST validate each other's public value Q by ensuring that the point is a valid point on the
 * elliptic curve" (RFC 9846 section 4.3.8.2): libcrypto decodes the point and refuses one that is not on the
 * curve; it checks the encapsulation key of ML-KEM likewise (FIPS 203 section 7.2). */
static tt_rc ec_peer(EVP_PKEY **ret, const struct curve *curve, struct tt_bytes share)
{
    /* "legacy_form = 4": only the uncompressed form is allowed (RFC 9846 section 4.3.8.2). */
    if (share.data[0] != 4)
        return TT_ERR_PROTOCOL;
    EVP_PKEY *peer = EVP_PKEY_new();
    tt_rc rc = TT_ERR_MEMORY;
    if (peer != NULL && EVP_PKEY_copy_parameters(peer, curve->template) == 1)
        rc = EVP_PKEY_set1_encoded_public_key(peer, share.data, share.len) == 1 ? TT_OK : TT_ERR_PROTOCOL;
    if (rc == TT_OK)
        *ret = peer;
    else
        EVP_PKEY_free(peer);
    return rc;
}

static tt_rc part_peer(EVP_PKEY **ret, const struct crypto_lib *lib, const struct kx_part *p,
                       struct tt_bytes share)
{
    if (p->kind == PART_EC)
        return ec_peer(ret, &lib->curves[p->curve], share);
    *ret = p == &x25519 ? x25519_peer(lib, share)
                        : EVP_PKEY_new_raw_public_key_ex(NULL, p->name, NULL, share.data, share.len);
    if (*ret != NULL)
        return TT_OK;
    return p->kind == PART_KEM ? TT_ERR_PROTOCOL : TT_ERR_MEMORY; /* X25519, X448: all bytes are a value */
}

tt_rc kx_share_check(const struct crypto_lib *lib, uint16_t group, struct tt_bytes share)
{
    const struct kx_group *g = group_of(lib, group);
    EVP_PKEY *peer = NULL;
    if (g == NULL || share.len != g->parts[0]->offer_len)
        return TT_ERR_PROTOCOL;
    refusal_forget();
    tt_rc rc = part_peer(&peer, lib, g->parts[0], share);
    EVP_PKEY_free(peer);
    return rc == TT_OK ? TT_OK : refusal_end(rc);
}

/* ---- the secret: each part appends its own ---- */

static tt_rc part_derive(EVP_PKEY_CTX *own, EVP_PKEY *peer, struct kx_secret *secret)
{
    size_t len = sizeof secret->data - secret->len;
    if (EVP_PKEY_derive_set_peer_ex(own, peer, 0) != 1)
        return TT_ERR_INTERNAL;
    /* For X25519 and X448 libcrypto fails on an all-zero result (RFC 7748 section 6.1). */
    if (EVP_PKEY_derive(own, secret->data + secret->len, &len) != 1)
        return TT_ERR_PROTOCOL;
    secret->len += len;
    return TT_OK;
}

/* A ciphertext of the right length is never refused (FIPS 203 section 7.3). */
static tt_rc part_decapsulate(EVP_PKEY_CTX *own, struct tt_bytes ciphertext, struct kx_secret *secret)
{
    size_t len = sizeof secret->data - secret->len;
    if (EVP_PKEY_decapsulate(own, secret->data + secret->len, &len, ciphertext.data, ciphertext.len) != 1)
        return TT_ERR_INTERNAL;
    secret->len += len;
    return TT_OK;
}

static tt_rc part_encapsulate(EVP_PKEY *peer, const struct kx_part *p, struct kx_random random,
                              uint8_t *answer, struct kx_secret *secret)
{
    uint8_t entropy[32];
    size_t len = sizeof secret->data - secret->len, answer_len = p->answer_len;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, peer, NULL);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string("ikme", entropy, sizeof entropy),
                           OSSL_PARAM_construct_end()};
    bool ok = ctx != NULL && random.fn(random.arg, entropy, sizeof entropy) &&
              EVP_PKEY_encapsulate_init(ctx, params) == 1 &&
              EVP_PKEY_encapsulate(ctx, answer, &answer_len, secret->data + secret->len, &len) == 1;
    mem_wipe(entropy, sizeof entropy);
    EVP_PKEY_CTX_free(ctx);
    if (!ok || answer_len != p->answer_len)
        return TT_ERR_INTERNAL;
    secret->len += len;
    return TT_OK;
}

/* ---- offers ---- */

tt_rc kx_offer_new(struct kx_offer **ret, const struct crypto_lib *lib, uint16_t group,
                   struct kx_random random)
{
    const struct kx_group *g = group_of(lib, group);
    if (g == NULL)
        return TT_ERR_UNSUPPORTED;
    struct kx_offer *o = mem_alloc(sizeof *o);
    if (o == NULL)
        return TT_ERR_MEMORY;
    o->group = g;
    for (size_t i = 0; i < KX_PARTS && g->parts[i] != NULL; i++) {
        o->owns[i] = part_make(lib, g->parts[i], random, o->share + o->share_len);
        if (o->owns[i] == NULL) {
            kx_offer_free(o);
            return refusal_end(TT_ERR_INTERNAL);
        }
        o->share_len += g->parts[i]->offer_len;
    }
    *ret = o;
    return TT_OK;
}

tt_rc kx_x25519(const struct crypto_lib *lib, const uint8_t secret[32], const uint8_t value[32],
                uint8_t ret[32])
{
    static const uint8_t unasked[32] = {9};
    struct kx_secret shared = {.len = 0};
    refusal_forget();
    EVP_PKEY_CTX *own = own_context(x25519_key(lib, secret, unasked), PART_RAW);
    EVP_PKEY *peer = own == NULL ? NULL : x25519_peer(lib, (struct tt_bytes){value, 32});
    tt_rc rc = peer == NULL ? TT_ERR_MEMORY : part_derive(own, peer, &shared);
    EVP_PKEY_CTX_free(own);
    if (peer != NULL)
        part_peer_free(lib, &x25519, peer);
    if (rc == TT_OK)
        memcpy(ret, shared.data, 32);
    mem_wipe(&shared, sizeof shared);
    return rc == TT_OK ? TT_OK : refusal_end(rc);
}

void kx_offer_free(struct kx_offer *o)
{
    if (o == NULL)
        return;
    for (size_t i = 0; i < KX_PARTS; i++)
        EVP_PKEY_CTX_free(o->owns[i]);
    mem_free(o);
}

uint16_t kx_offer_group(const struct kx_offer *o)
{
    return o->group->group;
}

struct tt_bytes kx_offer_share(const struct kx_offer *o)
{
    return (struct tt_bytes){o->share, o->share_len};
}

/* Cut the next n bytes off a share; false when it is too short. */
static bool share_cut(struct tt_bytes *share, size_t n, struct tt_bytes *ret)
{
    if (share->len < n)
        return false;
    *ret = (struct tt_bytes){share->data, n};
    *share = (struct tt_bytes){share->data + n, share->len - n};
    return true;
}

static tt_rc offer_finish_part(const struct kx_offer *o, size_t i, const struct crypto_lib *lib,
                               struct tt_bytes share, struct kx_secret *secret)
{
    const struct kx_part *p = o->group->parts[i];
    if (p->kind == PART_KEM)
        return part_decapsulate(o->owns[i], share, secret);
    EVP_PKEY *peer = NULL;
    TT_TRY(part_peer(&peer, lib, p, share));
    tt_rc rc = part_derive(o->owns[i], peer, secret);
    part_peer_free(lib, p, peer);
    return rc;
}

/* RFC 9846 section 7.4.2: "leading zeros found in this octet string MUST NOT be truncated";
 * "Implementations MUST check whether the computed Diffie-Hellman shared secret is the all-zero value and
 * abort if so". */
tt_rc kx_offer_finish(const struct kx_offer *o, const struct crypto_lib *lib, struct tt_bytes peer_share,
                      struct kx_secret *ret)
{
    refusal_forget();
    struct kx_secret secret = {.len = 0};
    struct tt_bytes share;
    tt_rc rc = TT_OK;
    for (size_t i = 0; rc == TT_OK && i < KX_PARTS && o->group->parts[i] != NULL; i++)
        rc = share_cut(&peer_share, o->group->parts[i]->answer_len, &share)
                 ? offer_finish_part(o, i, lib, share, &secret)
                 : TT_ERR_PROTOCOL;
    if (rc == TT_OK && peer_share.len > 0)
        rc = TT_ERR_PROTOCOL;
    if (rc == TT_OK)
        *ret = secret;
    else
        rc = refusal_end(rc);
    mem_wipe(&secret, sizeof secret);
    return rc;
}

/* ---- responses ---- */

static tt_rc respond_part(struct kx_response *r, const struct crypto_lib *lib, const struct kx_part *p,
                          struct kx_random random, struct tt_bytes share)
{
    uint8_t *answer = r->share + r->share_len;
    EVP_PKEY *peer = NULL;
    EVP_PKEY_CTX *own = NULL;
    TT_TRY(part_peer(&peer, lib, p, share));
    tt_rc rc;
    if (p->kind == PART_KEM) {
        rc = part_encapsulate(peer, p, random, answer, &r->secret);
    } else {
        own = part_make(lib, p, random, answer);
        rc = own == NULL ? TT_ERR_INTERNAL : part_derive(own, peer, &r->secret);
    }
    EVP_PKEY_CTX_free(own);
    part_peer_free(lib, p, peer);
    r->share_len += p->answer_len;
    return rc;
}

tt_rc kx_respond(struct kx_response *ret, const struct crypto_lib *lib, uint16_t group,
                 struct kx_random random, struct tt_bytes peer_share)
{
    const struct kx_group *g = group_of(lib, group);
    if (g == NULL)
        return TT_ERR_UNSUPPORTED;
    refusal_forget();
    struct kx_response r = {.share_len = 0};
    struct tt_bytes share;
    tt_rc rc = TT_OK;
    for (size_t i = 0; rc == TT_OK && i < KX_PARTS && g->parts[i] != NULL; i++)
        rc = share_cut(&peer_share, g->parts[i]->offer_len, &share)
                 ? respond_part(&r, lib, g->parts[i], random, share)
                 : TT_ERR_PROTOCOL;
    if (rc == TT_OK && peer_share.len > 0)
        rc = TT_ERR_PROTOCOL;
    if (rc == TT_OK)
        *ret = r;
    else
        rc = refusal_end(rc);
    mem_wipe(&r, sizeof r);
    return rc;
}
