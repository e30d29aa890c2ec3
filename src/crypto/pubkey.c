/* crypto/pubkey.c: verification keys and signature verification. Layer: crypto. RFC 9846 section 4.3.3. */
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/ec_verify.h"
#include "crypto/refusal.h"
#include "crypto/sig_internal.h"

const struct scheme_info *scheme_info_of(uint16_t scheme)
{
    static const struct scheme_info infos[] = {
        {TT_SCHEME_ECDSA_SECP256R1_SHA256, SIG_EC, HASH_SHA256, CURVE_P256},
        {TT_SCHEME_ECDSA_SECP384R1_SHA384, SIG_EC, HASH_SHA384, CURVE_P384},
        {TT_SCHEME_ECDSA_SECP521R1_SHA512, SIG_EC, HASH_SHA512, CURVE_P521},
        {TT_SCHEME_RSA_PSS_RSAE_SHA256, SIG_RSA_PSS, HASH_SHA256, CURVE_COUNT},
        {TT_SCHEME_RSA_PSS_RSAE_SHA384, SIG_RSA_PSS, HASH_SHA384, CURVE_COUNT},
        {TT_SCHEME_RSA_PSS_RSAE_SHA512, SIG_RSA_PSS, HASH_SHA512, CURVE_COUNT},
        {TT_SCHEME_RSA_PSS_PSS_SHA256, SIG_RSA_PSS_KEY, HASH_SHA256, CURVE_COUNT},
        {TT_SCHEME_RSA_PSS_PSS_SHA384, SIG_RSA_PSS_KEY, HASH_SHA384, CURVE_COUNT},
        {TT_SCHEME_RSA_PSS_PSS_SHA512, SIG_RSA_PSS_KEY, HASH_SHA512, CURVE_COUNT},
        {TT_SCHEME_RSA_PKCS1_SHA256, SIG_RSA_PKCS1, HASH_SHA256, CURVE_COUNT},
        {TT_SCHEME_RSA_PKCS1_SHA384, SIG_RSA_PKCS1, HASH_SHA384, CURVE_COUNT},
        {TT_SCHEME_RSA_PKCS1_SHA512, SIG_RSA_PKCS1, HASH_SHA512, CURVE_COUNT},
        {TT_SCHEME_ED25519, SIG_ED25519, HASH_NONE, CURVE_COUNT},
        {TT_SCHEME_ED448, SIG_ED448, HASH_NONE, CURVE_COUNT},
        {TT_SCHEME_MLDSA44, SIG_MLDSA44, HASH_NONE, CURVE_COUNT},
        {TT_SCHEME_MLDSA65, SIG_MLDSA65, HASH_NONE, CURVE_COUNT},
        {TT_SCHEME_MLDSA87, SIG_MLDSA87, HASH_NONE, CURVE_COUNT},
    };
    for (size_t i = 0; i < TT_COUNT(infos); i++)
        if (infos[i].scheme == scheme)
            return &infos[i];
    return NULL;
}

enum hash_id scheme_hash(uint16_t scheme)
{
    const struct scheme_info *s = scheme_info_of(scheme);
    return s == NULL ? HASH_NONE : s->hash;
}

bool scheme_available(const struct crypto_lib *lib, uint16_t scheme)
{
    const struct scheme_info *s = scheme_info_of(scheme);
    if (s == NULL)
        return false;
    if (s->type >= SIG_MLDSA44)
        return lib->has_mldsa[s->type - SIG_MLDSA44];
    return s->type == SIG_ED25519 ? lib->has_ed25519 : s->type == SIG_ED448 ? lib->has_ed448 : true;
}

static bool key_is_mldsa(struct sig_key *k)
{
    static const char *const names[] = {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
    for (size_t i = 0; i < TT_COUNT(names); i++)
        if (EVP_PKEY_is_a(k->pkey, names[i]) == 1) {
            k->type = (enum sig_type)(SIG_MLDSA44 + i);
            return true;
        }
    return false;
}

/* What kind of key this is; fills key->type and key->curve. */
static bool key_classify(struct sig_key *k)
{
    k->curve = CURVE_COUNT;
    k->bits = (unsigned)EVP_PKEY_get_bits(k->pkey);
    switch (EVP_PKEY_get_base_id(k->pkey)) {
    case EVP_PKEY_RSA:
        k->type = SIG_RSA_PSS;
        return true;
    case EVP_PKEY_RSA_PSS:
        k->type = SIG_RSA_PSS_KEY;
        return true;
    case EVP_PKEY_ED25519:
        k->type = SIG_ED25519;
        return true;
    case EVP_PKEY_ED448:
        k->type = SIG_ED448;
        return true;
    case EVP_PKEY_EC: {
        static const char *const names[CURVE_COUNT] = {"prime256v1", "secp384r1", "secp521r1"};
        char name[32];
        k->type = SIG_EC;
        if (EVP_PKEY_get_group_name(k->pkey, name, sizeof name, NULL) != 1)
            return false;
        for (enum curve_id c = CURVE_P256; c < CURVE_COUNT; c++)
            if (strcmp(name, names[c]) == 0)
                k->curve = c;
        return true;
    }
    default: /* keys of newer libcrypto have no number, only a name */
        return key_is_mldsa(k);
    }
}

tt_rc sig_key_new(struct sig_key **ret, EVP_PKEY *pkey)
{
    if (pkey == NULL)
        return TT_ERR_DECODE;
    struct sig_key *k = mem_alloc(sizeof *k);
    if (k == NULL) {
        EVP_PKEY_free(pkey);
        return TT_ERR_MEMORY;
    }
    atomic_init(&k->refs, 1);
    k->pkey = pkey;
    bool known = key_classify(k);
    if (!known || k->bits == 0) { /* libcrypto had no memory to ask the key for its size */
        sig_key_free(k);
        return known ? TT_ERR_MEMORY : TT_ERR_DECODE;
    }
    *ret = k;
    return TT_OK;
}

void sig_key_free(struct sig_key *k)
{
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (EVP_PKEY_CTX *ctx; k->signers != NULL && (ctx = spare_take(k->signers)) != NULL;)
        EVP_PKEY_CTX_free(ctx);
    mem_free(k->signers);
    EVP_PKEY_free(k->pkey);
    mem_free(k);
}

/* For an RSA key, rsa_pss_rsae and PKCS#1 are told apart by allow_pkcs1: TLS 1.3 refuses PKCS#1 in
 * CertificateVerify. EMSA-PSS needs 2 * hash + 2 bytes (RFC 8017 section 9.1.1, salt = hash length). */
bool sig_key_fits(const struct sig_key *k, uint16_t scheme, bool allow_pkcs1)
{
    const struct scheme_info *s = scheme_info_of(scheme);
    if (s == NULL)
        return false;
    switch (s->type) {
    case SIG_EC:
        return k->type == SIG_EC && k->curve == s->curve;
    case SIG_RSA_PKCS1:
        return allow_pkcs1 && k->type == SIG_RSA_PSS;
    case SIG_RSA_PSS:
    case SIG_RSA_PSS_KEY:
        return k->type == s->type && (k->bits + 6) / 8 >= 2 * hash_size(s->hash) + 2;
    default:
        return k->type == s->type;
    }
}

tt_rc sig_pss_setup(EVP_PKEY_CTX *ctx, const struct crypto_lib *lib, const struct scheme_info *s)
{
    if (s->type == SIG_EC) /* signs the digest as it is, whatever made it */
        return TT_OK;
    if (s->hash != HASH_NONE && EVP_PKEY_CTX_set_signature_md(ctx, lib->md[s->hash]) != 1)
        return TT_ERR_INTERNAL;
    if (s->type == SIG_RSA_PKCS1)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 ? TT_OK : TT_ERR_INTERNAL;
    if (s->type != SIG_RSA_PSS && s->type != SIG_RSA_PSS_KEY)
        return TT_OK;
    /* "The length of the Salt MUST be equal to the length of the output of the digest algorithm" (4.3.3). */
    bool ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
              EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, lib->md[s->hash]) == 1 &&
              EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    return ok ? TT_OK : TT_ERR_INTERNAL;
}

/* The SPKI of a P-256 or P-384 key is a fixed prefix and the uncompressed point. RFC 5480. */
bool spki_point(struct tt_bytes spki, enum curve_id *ret_curve, struct tt_bytes *ret_point)
{
    static const uint8_t p256[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                   0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    static const uint8_t p384[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                                   0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00};
    static const struct {
        struct tt_bytes prefix;
        size_t point_len;
        enum curve_id curve;
    } forms[] = {{{p256, sizeof p256}, 65, CURVE_P256}, {{p384, sizeof p384}, 97, CURVE_P384}};
    for (size_t i = 0; i < TT_COUNT(forms); i++) {
        size_t n = forms[i].prefix.len;
        if (spki.len != n + forms[i].point_len || memcmp(spki.data, forms[i].prefix.data, n) != 0)
            continue;
        *ret_curve = forms[i].curve;
        *ret_point = (struct tt_bytes){spki.data + n, forms[i].point_len};
        return true;
    }
    return false;
}

tt_rc point_key_new(struct sig_key **ret, const struct crypto_lib *lib, enum curve_id curve,
                    struct tt_bytes point)
{
    struct sig_key *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return TT_ERR_MEMORY;
    atomic_init(&k->refs, 1);
    k->type = SIG_EC;
    k->curve = curve;
    k->bits = (unsigned)(8 * lib->curves[curve].field_size);
    memcpy(k->point, point.data, point.len);
    k->point_len = point.len;
    *ret = k;
    return TT_OK;
}

static EVP_PKEY *spki_decode(struct tt_bytes spki)
{
    const uint8_t *at = spki.data;
    EVP_PKEY *pkey = spki.len <= INT32_MAX ? d2i_PUBKEY(NULL, &at, (long)spki.len) : NULL;
    if (pkey == NULL || at == spki.data + spki.len)
        return pkey;
    EVP_PKEY_free(pkey);
    return NULL;
}

/* libcrypto's generic decoder costs as much as a signature: what can be read directly is. */
static tt_rc spki_read(struct sig_key **ret, const struct crypto_lib *lib, struct tt_bytes spki)
{
    enum curve_id curve;
    struct tt_bytes point;
    refusal_forget();
    tt_rc rc;
    if (!spki_point(spki, &curve, &point))
        rc = sig_key_new(ret, spki_decode(spki));
    else if ((rc = ec_point_valid(lib, curve, point)) == TT_OK)
        rc = point_key_new(ret, lib, curve, point);
    return rc == TT_OK ? TT_OK : refusal_end(rc);
}

/* What is refused is refused twice, see refusal.h: in libcrypto 3.0 it is the generic decoder. */
tt_rc pubkey_from_spki(struct pubkey **ret, const struct crypto_lib *lib, struct tt_bytes spki)
{
    struct sig_key *k = NULL;
    tt_rc rc = spki_read(&k, lib, spki);
    if (rc == TT_ERR_DECODE)
        rc = spki_read(&k, lib, spki);
    if (rc == TT_OK)
        *ret = (struct pubkey *)k;
    return rc;
}

static const struct sig_key *key_of(const struct pubkey *k)
{
    return (const struct sig_key *)k;
}

void pubkey_ref(struct pubkey *k)
{
    atomic_fetch_add_explicit(&((struct sig_key *)k)->refs, 1, memory_order_relaxed);
}

void pubkey_free(struct pubkey *k)
{
    sig_key_free((struct sig_key *)k);
}

bool pubkey_fits(const struct pubkey *k, uint16_t scheme)
{
    return sig_key_fits(key_of(k), scheme, false);
}

unsigned pubkey_bits(const struct pubkey *k)
{
    return key_of(k)->bits;
}

/* Ed25519 and Ed448 take the message itself. */
static tt_rc verify_message(const struct sig_key *k, struct tt_bytes message, struct tt_bytes sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    tt_rc rc = TT_ERR_MEMORY;
    if (ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->pkey) == 1)
        rc = EVP_DigestVerify(ctx, sig.data, sig.len, message.data, message.len) == 1 ? TT_OK : TT_ERR_VERIFY;
    EVP_MD_CTX_free(ctx);
    return rc;
}

static tt_rc verify_digest(const struct crypto_lib *lib, const struct sig_key *k, const struct scheme_info *s,
                           struct tt_bytes digest, struct tt_bytes sig)
{
    if (k->pkey == NULL)
        return ec_verify(lib, k->curve, (struct tt_bytes){k->point, k->point_len}, digest, sig);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    tt_rc rc = TT_ERR_MEMORY;
    if (ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 && sig_pss_setup(ctx, lib, s) == TT_OK)
        rc = EVP_PKEY_verify(ctx, sig.data, sig.len, digest.data, digest.len) == 1 ? TT_OK : TT_ERR_VERIFY;
    EVP_PKEY_CTX_free(ctx);
    return rc;
}

static tt_rc verify(const struct crypto_lib *lib, const struct sig_key *k, const struct scheme_info *s,
                    struct tt_bytes message, struct tt_bytes signature)
{
    tt_rc rc;
    refusal_forget();
    if (s->hash == HASH_NONE) {
        rc = verify_message(k, message, signature);
    } else {
        uint8_t digest[HASH_MAX_SIZE];
        TT_TRY(hash_digest(lib, s->hash, message, digest));
        rc = verify_digest(lib, k, s, (struct tt_bytes){digest, hash_size(s->hash)}, signature);
    }
    return rc == TT_OK ? TT_OK : refusal_end(rc);
}

/* What is refused is refused twice, see refusal.h (in libcrypto 3.5 it is ossl_ecdsa_verify). */
tt_rc pubkey_verify(const struct crypto_lib *lib, const struct pubkey *pk, uint16_t scheme,
                    struct tt_bytes message, struct tt_bytes signature)
{
    const struct sig_key *k = key_of(pk);
    const struct scheme_info *s = scheme_info_of(scheme);
    if (s == NULL || !sig_key_fits(k, scheme, true))
        return TT_ERR_VERIFY;
    tt_rc rc = verify(lib, k, s, message, signature);
    return rc == TT_ERR_VERIFY ? verify(lib, k, s, message, signature) : rc;
}
