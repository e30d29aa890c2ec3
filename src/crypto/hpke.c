/* crypto/hpke.c: RFC 9180 over the key agreement, the HKDF and the AEADs that are here. Layer: crypto.
 * libcrypto has HPKE from 3.2 on; this works with 3.0, and its private operation can be elsewhere. */
#include "crypto/hpke.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/hash.h"
#include "crypto/lib_internal.h"
#include "tpmtls/iana.h"

#define NH 32 /* of HKDF-SHA256, the only KDF here */

static uint16_t kem_group(uint16_t kem)
{
    return kem == HPKE_DHKEM_X25519 ? TT_GROUP_X25519 : kem == HPKE_DHKEM_P256 ? TT_GROUP_SECP256R1 : 0;
}

size_t hpke_enc_size(uint16_t kem)
{
    return kem == HPKE_DHKEM_X25519 ? 32 : kem == HPKE_DHKEM_P256 ? 65 : 0;
}

static bool aead_of(uint16_t id, enum aead_id *ret)
{
    static const enum aead_id ids[] = {[HPKE_AES_128_GCM] = AEAD_AES_128_GCM,
                                       [HPKE_AES_256_GCM] = AEAD_AES_256_GCM,
                                       [HPKE_CHACHA20_POLY1305] = AEAD_CHACHA20_POLY1305};
    if (id == 0 || id >= TT_COUNT(ids))
        return false;
    *ret = ids[id];
    return true;
}

bool hpke_kem_available(const struct crypto_lib *lib, uint16_t kem)
{
    return kem_group(kem) != 0 && kx_available(lib, kem_group(kem));
}

bool hpke_suite_available(const struct crypto_lib *lib, struct hpke_suite suite)
{
    enum aead_id id;
    return hpke_kem_available(lib, suite.kem) && suite.kdf == HPKE_HKDF_SHA256 && aead_of(suite.aead, &id) &&
           aead_available(lib, id);
}

/* ---- keys ---- */

/* Hands out a given private value, once: kx makes a key of it as it would of random bytes. */
struct fixed {
    struct tt_bytes value;
    bool used;
};

static bool fixed_random(void *arg, uint8_t *buf, size_t n)
{
    struct fixed *f = arg;
    if (f->used || f->value.len != n)
        return false;
    memcpy(buf, f->value.data, n);
    f->used = true;
    return true;
}

static tt_rc own_offer(struct kx_offer **ret, const struct crypto_lib *lib, uint16_t kem,
                       struct tt_bytes secret)
{
    struct fixed fixed = {.value = secret};
    return kx_offer_new(ret, lib, kem_group(kem), (struct kx_random){fixed_random, &fixed});
}

tt_rc hpke_keypair_of_secret(struct hpke_keypair *ret, const struct crypto_lib *lib, uint16_t kem,
                             struct tt_bytes secret)
{
    struct kx_offer *offer = NULL;
    if (!hpke_kem_available(lib, kem))
        return TT_ERR_UNSUPPORTED;
    if (secret.len != HPKE_SECRET || own_offer(&offer, lib, kem, secret) != TT_OK)
        return TT_ERR_DECODE;
    struct tt_bytes share = kx_offer_share(offer);
    *ret = (struct hpke_keypair){.kem = kem, .public_len = share.len};
    memcpy(ret->secret, secret.data, secret.len);
    memcpy(ret->public_key, share.data, share.len);
    kx_offer_free(offer);
    return TT_OK;
}

/* "generate" of section 4: any 32 random bytes are a key of X25519; of P-256 all but a few. */
tt_rc hpke_generate(struct hpke_keypair *ret, const struct crypto_lib *lib, uint16_t kem,
                    struct kx_random random)
{
    uint8_t secret[HPKE_SECRET];
    tt_rc rc = TT_ERR_INTERNAL;
    for (int tries = 0; tries < 8 && rc != TT_OK && rc != TT_ERR_UNSUPPORTED; tries++)
        rc = random.fn(random.arg, secret, sizeof secret)
                 ? hpke_keypair_of_secret(ret, lib, kem, (struct tt_bytes){secret, sizeof secret})
                 : TT_ERR_INTERNAL;
    mem_wipe(secret, sizeof secret);
    return rc;
}

/* The private value of a key of libcrypto's, as many bytes as the KEM has them. */
static bool secret_of(EVP_PKEY *pkey, uint16_t *ret_kem, uint8_t ret[HPKE_SECRET])
{
    size_t len = HPKE_SECRET;
    char curve[32] = "";
    if (EVP_PKEY_is_a(pkey, "X25519")) {
        *ret_kem = HPKE_DHKEM_X25519;
        return EVP_PKEY_get_raw_private_key(pkey, ret, &len) == 1 && len == HPKE_SECRET;
    }
    if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, curve, sizeof curve, NULL) != 1 ||
        strcmp(curve, "prime256v1") != 0)
        return false;
    BIGNUM *d = NULL;
    *ret_kem = HPKE_DHKEM_P256;
    bool ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d) == 1 &&
              BN_bn2binpad(d, ret, HPKE_SECRET) == HPKE_SECRET;
    BN_clear_free(d);
    return ok;
}

tt_rc hpke_keypair_of_der(struct hpke_keypair *ret, const struct crypto_lib *lib, struct tt_bytes der)
{
    const uint8_t *at = der.data;
    uint8_t secret[HPKE_SECRET];
    uint16_t kem = 0;
    EVP_PKEY *pkey = der.len > INT32_MAX ? NULL : d2i_AutoPrivateKey(NULL, &at, (long)der.len);
    ERR_clear_error();
    if (pkey == NULL)
        return TT_ERR_DECODE;
    tt_rc rc = secret_of(pkey, &kem, secret)
                   ? hpke_keypair_of_secret(ret, lib, kem, (struct tt_bytes){secret, sizeof secret})
                   : TT_ERR_UNSUPPORTED;
    EVP_PKEY_free(pkey);
    mem_wipe(secret, sizeof secret);
    return rc;
}

/* PrivateKeyInfo (RFC 5208): of X25519 by RFC 8410 section 7; of P-256 an ECPrivateKey (RFC 5915) with its
 * public key, as others write it. All lengths are fixed. */
tt_rc hpke_keypair_der(const struct hpke_keypair *k, uint8_t **ret, size_t *ret_len)
{
    static const uint8_t x25519_head[] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                          0x03, 0x2b, 0x65, 0x6e, 0x04, 0x22, 0x04, 0x20};
    static const uint8_t p256_head[] = {0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06,
                                        0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                        0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
                                        0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20};
    static const uint8_t p256_middle[] = {0xa1, 0x44, 0x03, 0x42, 0x00};
    const bool ec = k->kem == HPKE_DHKEM_P256;
    const struct tt_bytes parts[] = {
        {ec ? p256_head : x25519_head, ec ? sizeof p256_head : sizeof x25519_head},
        {k->secret, sizeof k->secret},
        {p256_middle, ec ? sizeof p256_middle : 0},
        {k->public_key, ec ? k->public_len : 0},
    };
    uint8_t *der = mem_alloc(sizeof p256_head + HPKE_SECRET + sizeof p256_middle + HPKE_MAX_ENC);
    if (der == NULL)
        return TT_ERR_MEMORY;
    *ret_len = 0;
    for (size_t i = 0; i < TT_COUNT(parts); i++) {
        memcpy(der + *ret_len, parts[i].data, parts[i].len);
        *ret_len += parts[i].len;
    }
    *ret = der;
    return TT_OK;
}

/* ---- the KEM (section 4.1) ---- */

tt_rc hpke_enc_check(const struct crypto_lib *lib, uint16_t kem, struct tt_bytes enc)
{
    if (hpke_enc_size(kem) == 0 || enc.len != hpke_enc_size(kem))
        return TT_ERR_PROTOCOL;
    return kem == HPKE_DHKEM_X25519 ? TT_OK : kx_share_check(lib, kem_group(kem), enc);
}

tt_rc hpke_dh(const struct crypto_lib *lib, const struct hpke_keypair *own, struct tt_bytes enc,
              uint8_t ret[HPKE_SECRET])
{
    struct kx_offer *offer = NULL;
    struct kx_secret dh = {.len = 0};
    if (own->kem == HPKE_DHKEM_X25519)
        return enc.len == 32 ? kx_x25519(lib, own->secret, enc.data, ret) : TT_ERR_PROTOCOL;
    TT_TRY(own_offer(&offer, lib, own->kem, (struct tt_bytes){own->secret, sizeof own->secret}));
    tt_rc rc = kx_offer_finish(offer, lib, enc, &dh);
    kx_offer_free(offer);
    if (rc == TT_OK)
        memcpy(ret, dh.data, HPKE_SECRET);
    mem_wipe(&dh, sizeof dh);
    return rc;
}

/* Section 4: LabeledExtract and LabeledExpand. suite_id tells KEM and HPKE apart. */
struct labels {
    const struct crypto_lib *lib;
    struct tt_bytes suite_id;
};

static struct tt_bytes text(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

/* HKDF-Extract(salt, "HPKE-v1" || suite_id || label || ikm): an HMAC under the salt. */
static tt_rc labeled_extract(const struct labels *l, struct tt_bytes salt, const char *label,
                             struct tt_bytes ikm, uint8_t ret[NH])
{
    const struct tt_bytes in[] = {text("HPKE-v1"), l->suite_id, text(label), ikm};
    return hmac(l->lib, HASH_SHA256, salt, in, TT_COUNT(in), ret);
}

/* info here is a KEM's context or that of the key schedule: two public keys of P-256 at most. */
static tt_rc labeled_expand(const struct labels *l, const uint8_t prk[NH], const char *label,
                            struct tt_bytes info, uint8_t *ret, size_t len)
{
    uint8_t all[2 + 7 + 10 + 16 + 2 * HPKE_MAX_ENC] = {(uint8_t)(len >> 8), (uint8_t)len};
    const struct tt_bytes in[] = {text("HPKE-v1"), l->suite_id, text(label), info};
    size_t n = 2;
    for (size_t i = 0; i < TT_COUNT(in); i++) {
        if (in[i].len > sizeof all - n)
            return TT_ERR_INTERNAL;
        if (in[i].len > 0)
            memcpy(all + n, in[i].data, in[i].len);
        n += in[i].len;
    }
    return hkdf_expand(l->lib, HASH_SHA256, (struct tt_bytes){prk, NH}, (struct tt_bytes){all, n}, ret, len);
}

/* ExtractAndExpand(dh, enc || pkRm) */
static tt_rc kem_secret(const struct crypto_lib *lib, uint16_t kem, const struct hpke_decap *d,
                        uint8_t ret[NH])
{
    const uint8_t suite_id[] = {'K', 'E', 'M', (uint8_t)(kem >> 8), (uint8_t)kem};
    const struct labels l = {lib, {suite_id, sizeof suite_id}};
    uint8_t prk[NH], context[2 * HPKE_MAX_ENC];
    size_t size = hpke_enc_size(kem);
    if (size == 0 || d->enc.len != size || d->public_key.len != size || d->dh.len != HPKE_SECRET)
        return TT_ERR_PROTOCOL;
    memcpy(context, d->enc.data, size);
    memcpy(context + size, d->public_key.data, size);
    tt_rc rc = labeled_extract(&l, (struct tt_bytes){NULL, 0}, "eae_prk", d->dh, prk);
    if (rc == TT_OK)
        rc = labeled_expand(&l, prk, "shared_secret", (struct tt_bytes){context, 2 * size}, ret, NH);
    mem_wipe(prk, sizeof prk);
    return rc;
}

/* ---- the key schedule (section 5.1), mode_base ---- */

static tt_rc context_keys(struct hpke *ret, const struct labels *l, enum aead_id aead, bool encrypt,
                          const uint8_t secret[NH], struct tt_bytes context)
{
    uint8_t key[AEAD_MAX_KEY_SIZE];
    size_t key_len = aead_key_size(aead);
    *ret = (struct hpke){.seq = 0};
    tt_rc rc = labeled_expand(l, secret, "key", context, key, key_len);
    if (rc == TT_OK)
        rc = labeled_expand(l, secret, "base_nonce", context, ret->base_nonce, sizeof ret->base_nonce);
    if (rc == TT_OK)
        rc = aead_init(&ret->aead, l->lib, aead, encrypt, (struct tt_bytes){key, key_len});
    mem_wipe(key, sizeof key);
    return rc;
}

static tt_rc schedule(struct hpke *ret, const struct crypto_lib *lib, struct hpke_suite suite, bool encrypt,
                      const uint8_t shared[NH], struct tt_bytes info)
{
    const uint8_t suite_id[] = {'H',
                                'P',
                                'K',
                                'E',
                                (uint8_t)(suite.kem >> 8),
                                (uint8_t)suite.kem,
                                (uint8_t)(suite.kdf >> 8),
                                (uint8_t)suite.kdf,
                                (uint8_t)(suite.aead >> 8),
                                (uint8_t)suite.aead};
    const struct labels l = {lib, {suite_id, sizeof suite_id}};
    const struct tt_bytes none = {NULL, 0};
    uint8_t context[1 + 2 * NH] = {0}; /* mode_base || psk_id_hash || info_hash */
    uint8_t secret[NH];
    enum aead_id aead;
    if (!hpke_suite_available(lib, suite) || !aead_of(suite.aead, &aead))
        return TT_ERR_UNSUPPORTED;
    TT_TRY(labeled_extract(&l, none, "psk_id_hash", none, context + 1));
    TT_TRY(labeled_extract(&l, none, "info_hash", info, context + 1 + NH));
    tt_rc rc = labeled_extract(&l, (struct tt_bytes){shared, NH}, "secret", none, secret);
    if (rc == TT_OK)
        rc = context_keys(ret, &l, aead, encrypt, secret, (struct tt_bytes){context, sizeof context});
    mem_wipe(secret, sizeof secret);
    return rc;
}

tt_rc hpke_setup_sender(struct hpke *ret, struct hpke_encapsulated *ret_enc, const struct crypto_lib *lib,
                        struct hpke_suite suite, struct tt_bytes public_key, struct tt_bytes info,
                        struct kx_random random)
{
    if (!hpke_suite_available(lib, suite))
        return TT_ERR_UNSUPPORTED;
    struct kx_response *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return TT_ERR_MEMORY;
    uint8_t shared[NH];
    tt_rc rc = kx_respond(r, lib, kem_group(suite.kem), random, public_key);
    const struct hpke_decap kem = {
        .dh = {r->secret.data, r->secret.len}, .enc = {r->share, r->share_len}, .public_key = public_key};
    if (rc == TT_OK)
        rc = kem_secret(lib, suite.kem, &kem, shared);
    if (rc == TT_OK)
        rc = schedule(ret, lib, suite, true, shared, info);
    if (rc == TT_OK) {
        memcpy(ret_enc->data, r->share, r->share_len);
        ret_enc->len = r->share_len;
    }
    mem_wipe(shared, sizeof shared);
    mem_free(r);
    return rc;
}

tt_rc hpke_setup_receiver(struct hpke *ret, const struct crypto_lib *lib, struct hpke_suite suite,
                          const struct hpke_decap *decap, struct tt_bytes info)
{
    uint8_t shared[NH];
    TT_TRY(kem_secret(lib, suite.kem, decap, shared));
    tt_rc rc = schedule(ret, lib, suite, false, shared, info);
    mem_wipe(shared, sizeof shared);
    return rc;
}

void hpke_wipe(struct hpke *h)
{
    aead_wipe(&h->aead);
    mem_wipe(h, sizeof *h);
}

/* ---- encryption (section 5.2) ---- */

static void nonce_of(const struct hpke *h, uint8_t ret[AEAD_NONCE_SIZE])
{
    memcpy(ret, h->base_nonce, AEAD_NONCE_SIZE);
    for (size_t i = 0; i < 8; i++)
        ret[AEAD_NONCE_SIZE - 1 - i] ^= (uint8_t)(h->seq >> (8 * i));
}

/* The AEAD writes the type of a record behind its content: here that is the last byte of the text. */
tt_rc hpke_seal(struct hpke *h, struct tt_bytes aad, struct tt_bytes plain, uint8_t *ret)
{
    if (plain.len == 0)
        return TT_ERR_USAGE;
    uint8_t nonce[AEAD_NONCE_SIZE];
    nonce_of(h, nonce);
    const struct aead_plain inner = {.content = {plain.data, plain.len - 1},
                                     .type = plain.data[plain.len - 1]};
    TT_TRY(aead_seal(&h->aead, nonce, aad, &inner, ret));
    h->seq++;
    return TT_OK;
}

tt_rc hpke_open(struct hpke *h, struct tt_bytes aad, struct tt_bytes sealed, uint8_t *ret)
{
    uint8_t nonce[AEAD_NONCE_SIZE];
    nonce_of(h, nonce);
    TT_TRY(aead_open(&h->aead, nonce, aad, sealed, ret));
    h->seq++;
    return TT_OK;
}
