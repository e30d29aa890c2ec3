/* tpm/public.c: TPM2B_PUBLIC: templates, meaning, SubjectPublicKeyInfo. Layer: tpm. TPM 2.0 part 2,
 * section 12.2; RFC 5480 section 2 (EC), RFC 3279 section 2.3.1 (RSA). A public area from a TPM or a file is
 * hostile. */
#include "tpm/public.h"

#include <string.h>

#include "tpm/alg.h"
#include "wire/der.h"

#define STORAGE_ATTRIBUTES                                                                                   \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
#define SIGNING_ATTRIBUTES                                                                                   \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)

/* One row a curve of TLS 1.3 (RFC 9846 section 4.3.3 ties each to its hash). */
struct curve {
    TPMI_ECC_CURVE id;
    enum tt_key_type type;
    uint16_t hash;
    uint16_t bytes;
    uint16_t bits;
    struct tt_bytes oid; /* RFC 5480 section 2.1.1.1 */
};
static const uint8_t oid_p256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t oid_p384[] = {0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t oid_p521[] = {0x2b, 0x81, 0x04, 0x00, 0x23};
static const struct curve curves[] = {
    {TPM2_ECC_NIST_P256, TT_KEY_P256, TPM_HASH_SHA256, 32, 256, {oid_p256, sizeof oid_p256}},
    {TPM2_ECC_NIST_P384, TT_KEY_P384, TPM_HASH_SHA384, 48, 384, {oid_p384, sizeof oid_p384}},
    {TPM2_ECC_NIST_P521, TT_KEY_P521, TPM_HASH_SHA512, 66, 521, {oid_p521, sizeof oid_p521}},
};

static const uint8_t id_ec_public_key[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01};

static const uint8_t rsa_encryption[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01};

static const struct curve *curve_by_id(TPMI_ECC_CURVE id)
{
    for (size_t i = 0; i < TT_COUNT(curves); i++)
        if (curves[i].id == id)
            return &curves[i];
    return NULL;
}

static const struct curve *curve_by_type(enum tt_key_type type)
{
    for (size_t i = 0; i < TT_COUNT(curves); i++)
        if (curves[i].type == type)
            return &curves[i];
    return NULL;
}

static enum tt_key_type rsa_type(unsigned bits)
{
    return bits == 2048   ? TT_KEY_RSA2048
           : bits == 3072 ? TT_KEY_RSA3072
           : bits == 4096 ? TT_KEY_RSA4096
                          : TT_KEY_OTHER;
}

enum tt_key_type public_type(const TPM2B_PUBLIC *pub)
{
    const TPMT_PUBLIC *a = &pub->publicArea;
    const struct curve *curve = a->type == TPM2_ALG_ECC ? curve_by_id(a->parameters.eccDetail.curveID) : NULL;
    if (curve != NULL)
        return curve->type;
    return a->type == TPM2_ALG_RSA ? rsa_type(a->parameters.rsaDetail.keyBits) : TT_KEY_OTHER;
}

static uint16_t rsa_bits(enum tt_key_type type)
{
    return type == TT_KEY_RSA4096 ? 4096 : type == TT_KEY_RSA3072 ? 3072 : 2048;
}

TPM2B_PUBLIC public_srk(bool rsa)
{
    static const TPMT_SYM_DEF_OBJECT aes128cfb = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    TPM2B_PUBLIC pub = {.publicArea = {.type = rsa ? TPM2_ALG_RSA : TPM2_ALG_ECC,
                                       .nameAlg = TPM2_ALG_SHA256,
                                       .objectAttributes = STORAGE_ATTRIBUTES}};
    if (rsa)
        pub.publicArea.parameters.rsaDetail =
            (TPMS_RSA_PARMS){.symmetric = aes128cfb, .scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048};
    else
        pub.publicArea.parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric = aes128cfb,
                                                               .scheme.scheme = TPM2_ALG_NULL,
                                                               .curveID = TPM2_ECC_NIST_P256,
                                                               .kdf.scheme = TPM2_ALG_NULL};
    return pub;
}

bool public_is_storage(const TPM2B_PUBLIC *pub)
{
    const TPMA_OBJECT needed = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
    const TPMT_PUBLIC *a = &pub->publicArea;
    return (a->type == TPM2_ALG_ECC || a->type == TPM2_ALG_RSA) && (a->objectAttributes & needed) == needed;
}

static bool same_symmetric(const TPMT_SYM_DEF_OBJECT *a, const TPMT_SYM_DEF_OBJECT *b)
{
    return a->algorithm == b->algorithm && a->keyBits.aes == b->keyBits.aes && a->mode.aes == b->mode.aes;
}

bool public_is_srk(const TPM2B_PUBLIC *pub)
{
    const TPMT_PUBLIC *a = &pub->publicArea;
    const TPM2B_PUBLIC standard = public_srk(a->type == TPM2_ALG_RSA);
    const TPMT_PUBLIC *s = &standard.publicArea;
    const TPMS_RSA_PARMS *rsa = &a->parameters.rsaDetail;
    const TPMS_ECC_PARMS *ecc = &a->parameters.eccDetail;
    if (a->type != s->type || a->nameAlg != s->nameAlg || a->authPolicy.size != 0 ||
        (a->objectAttributes | TPMA_OBJECT_NODA) != s->objectAttributes)
        return false;
    if (a->type == TPM2_ALG_RSA)
        return rsa->keyBits == 2048 && rsa->exponent == 0 && rsa->scheme.scheme == TPM2_ALG_NULL &&
               same_symmetric(&rsa->symmetric, &s->parameters.rsaDetail.symmetric);
    return ecc->curveID == TPM2_ECC_NIST_P256 && ecc->scheme.scheme == TPM2_ALG_NULL &&
           same_symmetric(&ecc->symmetric, &s->parameters.eccDetail.symmetric);
}

TPM2B_PUBLIC public_sealed(void)
{
    return (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_KEYEDHASH,
                                         .nameAlg = TPM2_ALG_SHA256,
                                         .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                                             TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
                                         .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
}

TPM2B_PUBLIC public_hmac(bool own)
{
    TPM2B_PUBLIC pub = public_sealed();
    pub.publicArea.objectAttributes |=
        TPMA_OBJECT_SIGN_ENCRYPT | (own ? (TPMA_OBJECT)TPMA_OBJECT_SENSITIVEDATAORIGIN : 0);
    pub.publicArea.parameters.keyedHashDetail.scheme =
        (TPMT_KEYEDHASH_SCHEME){.scheme = TPM2_ALG_HMAC, .details.hmac.hashAlg = TPM2_ALG_SHA256};
    return pub;
}

TPM2B_PUBLIC public_signing_key(enum tt_key_type type)
{
    const struct curve *curve = curve_by_type(type);
    TPM2B_PUBLIC pub = {.publicArea = {.type = curve != NULL ? TPM2_ALG_ECC : TPM2_ALG_RSA,
                                       .nameAlg = TPM2_ALG_SHA256,
                                       .objectAttributes = SIGNING_ATTRIBUTES}};
    if (curve != NULL) {
        /* No fixed scheme: other programs may sign with other hashes; TLS 1.3 fixes it by the curve. */
        pub.publicArea.parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric.algorithm = TPM2_ALG_NULL,
                                                               .scheme.scheme = TPM2_ALG_NULL,
                                                               .curveID = curve->id,
                                                               .kdf.scheme = TPM2_ALG_NULL};
        return pub;
    }
    pub.publicArea.objectAttributes |= TPMA_OBJECT_DECRYPT;
    pub.publicArea.parameters.rsaDetail = (TPMS_RSA_PARMS){
        .symmetric.algorithm = TPM2_ALG_NULL, .scheme.scheme = TPM2_ALG_NULL, .keyBits = rsa_bits(type)};
    return pub;
}

TPM2B_PUBLIC public_decryption_key(enum tt_key_type type)
{
    TPM2B_PUBLIC pub = public_signing_key(type);
    pub.publicArea.objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_SIGN_ENCRYPT;
    pub.publicArea.objectAttributes |= TPMA_OBJECT_DECRYPT;
    return pub;
}

TPM2B_PUBLIC public_ecdh(void)
{
    return public_decryption_key(TT_KEY_P256);
}

TPMT_PUBLIC_PARMS public_test_parms(enum tt_key_type type)
{
    TPM2B_PUBLIC pub = public_signing_key(type);
    TPMT_PUBLIC_PARMS parms = {.type = pub.publicArea.type, .parameters = pub.publicArea.parameters};
    const struct curve *curve = curve_by_type(type);
    if (curve != NULL)
        parms.parameters.eccDetail.scheme =
            (TPMT_ECC_SCHEME){.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = curve->hash};
    return parms;
}

static tt_rc describe_ecc(struct tpm_key_info *info, const TPMT_PUBLIC *a, struct tt_error *err)
{
    const TPMS_ECC_PARMS *ecc = &a->parameters.eccDetail;
    const struct curve *curve = curve_by_id(ecc->curveID);
    if (curve == NULL)
        return error_set(err, TT_ERR_UNSUPPORTED, "the key's curve (%s) is not one of TLS 1.3",
                         alg_curve_text(ecc->curveID).text);
    bool may_be_ecdh = (a->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT) == 0;
    if (ecc->scheme.scheme != TPM2_ALG_NULL && ecc->scheme.scheme != TPM2_ALG_ECDSA &&
        !(may_be_ecdh && ecc->scheme.scheme == TPM2_ALG_ECDH))
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key can only be used with the scheme %s, not with ECDSA",
                         alg_text(ecc->scheme.scheme).text);
    info->type = curve->type;
    info->bits = curve->bits;
    info->hash = curve->hash;
    if (ecc->scheme.scheme == TPM2_ALG_ECDSA && ecc->scheme.details.ecdsa.hashAlg != curve->hash)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key can only sign with the hash %s, which TLS 1.3 does not allow for its curve",
                         alg_text(ecc->scheme.details.ecdsa.hashAlg).text);
    return TT_OK;
}

static tt_rc describe_rsa(struct tpm_key_info *info, const TPMT_PUBLIC *a, struct tt_error *err)
{
    const TPMS_RSA_PARMS *rsa = &a->parameters.rsaDetail;
    info->rsa = true;
    info->bits = rsa->keyBits;
    info->type = rsa_type(rsa->keyBits);
    if (rsa->keyBits < 2048 || rsa->keyBits % 8 != 0 || rsa->keyBits / 8 > TPM2_MAX_RSA_KEY_BYTES)
        return error_set(err, TT_ERR_UNSUPPORTED, "the key's size of %u bits cannot be used for TLS 1.3",
                         rsa->keyBits);
    info->raw = (a->objectAttributes & TPMA_OBJECT_DECRYPT) != 0 && rsa->scheme.scheme == TPM2_ALG_NULL;
    info->hash = TPM_HASH_ANY;
    switch (rsa->scheme.scheme) {
    case TPM2_ALG_NULL:
        info->padding = TPM_PADDING_ANY;
        return TT_OK;
    case TPM2_ALG_RSASSA:
        info->padding = TPM_PADDING_PKCS1;
        info->hash = rsa->scheme.details.rsassa.hashAlg;
        return TT_OK;
    case TPM2_ALG_RSAPSS:
        info->padding = TPM_PADDING_PSS;
        info->hash = rsa->scheme.details.rsapss.hashAlg;
        return TT_OK;
    default:
        return error_set(err, TT_ERR_UNSUPPORTED, "the key can only be used with the scheme %s, not to sign",
                         alg_text(rsa->scheme.scheme).text);
    }
}

static tt_rc describe_all(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub, struct tt_error *err)
{
    const TPMT_PUBLIC *a = &pub->publicArea;
    struct tpm_key_info info = {.can_sign = (a->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT) != 0,
                                .counts_failures = (a->objectAttributes & TPMA_OBJECT_NODA) == 0,
                                .restricted = (a->objectAttributes & TPMA_OBJECT_RESTRICTED) != 0};
    if (a->type == TPM2_ALG_ECC)
        TT_TRY(describe_ecc(&info, a, err));
    else if (a->type == TPM2_ALG_RSA)
        TT_TRY(describe_rsa(&info, a, err));
    else
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key is neither RSA nor elliptic-curve but of the type %s",
                         alg_text(a->type).text);
    info.decrypts = !info.can_sign && (a->objectAttributes & TPMA_OBJECT_DECRYPT) != 0;
    *ret = info;
    return TT_OK;
}

tt_rc public_describe_any(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub, struct tt_error *err)
{
    struct tpm_key_info info = {0};
    TT_TRY(describe_all(&info, pub, err));
    if (info.restricted)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key is restricted: it signs or decrypts only what the TPM itself made");
    *ret = info;
    return TT_OK;
}

static tt_rc refuse_decryption(struct tt_error *err)
{
    return error_set(err, TT_ERR_UNSUPPORTED, "the key is for decryption only; it cannot sign");
}

tt_rc public_describe_signing(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub, struct tt_error *err)
{
    struct tpm_key_info info = {0};
    TT_TRY(describe_all(&info, pub, err));
    if (!info.can_sign && info.restricted)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key is a storage key (restricted, decrypt); it cannot sign");
    if (!info.can_sign)
        return refuse_decryption(err);
    *ret = info;
    return TT_OK;
}

tt_rc public_describe(struct tpm_key_info *ret, const TPM2B_PUBLIC *pub, struct tt_error *err)
{
    struct tpm_key_info info = {0};
    TT_TRY(public_describe_any(&info, pub, err));
    if (!info.can_sign)
        return refuse_decryption(err);
    *ret = info;
    return TT_OK;
}

/* The type is in front; some programs write a bare TPMT_PUBLIC there (go-tpm's early ones). */
tt_rc public_refuse(struct tt_bytes tpm2b, struct tt_error *err)
{
    struct reader r = reader_of(tpm2b);
    uint16_t size = rd_u16(&r), type = rd_u16(&r);
    if (rd_status(&r) != TT_OK)
        return error_set(err, TT_ERR_DECODE, "the key's public area is cut off");
    if (size != tpm2b.len - 2 && (size == TPM2_ALG_RSA || size == TPM2_ALG_ECC || size == TPM2_ALG_KEYEDHASH))
        return error_set(
            err, TT_ERR_DECODE,
            "the key's public area (of type %s) lacks the two bytes of its size: it is a TPMT_PUBLIC "
            "where a TPM2B_PUBLIC belongs",
            alg_text(size).text);
    if (size != tpm2b.len - 2)
        return error_set(err, TT_ERR_DECODE, "the key's public area says that it has %u bytes, and has %zu",
                         size, tpm2b.len - 2);
    if (type != TPM2_ALG_RSA && type != TPM2_ALG_ECC && type != TPM2_ALG_KEYEDHASH &&
        type != TPM2_ALG_SYMCIPHER)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key is neither RSA nor elliptic-curve but of the type %s", alg_text(type).text);
    return error_set(err, TT_ERR_DECODE, "the key's public area (of type %s) is damaged",
                     alg_text(type).text);
}

/* A coordinate padded to the field's size: a TPM may leave leading zeros out. */
static bool put_coordinate(struct writer *w, const TPM2B_ECC_PARAMETER *v, size_t size)
{
    static const uint8_t zeros[TPM2_MAX_ECC_KEY_BYTES];
    if (v->size == 0 || v->size > size || size > sizeof zeros)
        return false;
    wr_bytes(w, (struct tt_bytes){zeros, size - v->size});
    wr_bytes(w, (struct tt_bytes){v->buffer, v->size});
    return true;
}

static bool put_ecc(struct writer *w, const TPMT_PUBLIC *a)
{
    const struct curve *curve = curve_by_id(a->parameters.eccDetail.curveID);
    if (curve == NULL)
        return false;
    struct der_mark algorithm = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OID, (struct tt_bytes){id_ec_public_key, sizeof id_ec_public_key});
    der_put(w, DER_OID, curve->oid);
    der_close(w, algorithm);
    struct der_mark key = der_open(w, DER_BIT_STRING);
    wr_u8(w, 0); /* unused bits */
    wr_u8(w, 4); /* uncompressed point, SEC 1 section 2.3.3 */
    bool right = put_coordinate(w, &a->unique.ecc.x, curve->bytes) &&
                 put_coordinate(w, &a->unique.ecc.y, curve->bytes);
    der_close(w, key);
    return right;
}

static bool put_rsa(struct writer *w, const TPMT_PUBLIC *a)
{
    const TPM2B_PUBLIC_KEY_RSA *n = &a->unique.rsa;
    uint32_t e = a->parameters.rsaDetail.exponent;
    if (n->size == 0 || n->size > sizeof n->buffer || n->size * 8 != a->parameters.rsaDetail.keyBits ||
        n->buffer[0] < 0x80)
        return false;
    struct der_mark algorithm = der_open(w, DER_SEQUENCE);
    der_put(w, DER_OID, (struct tt_bytes){rsa_encryption, sizeof rsa_encryption});
    der_put(w, DER_NULL, (struct tt_bytes){NULL, 0});
    der_close(w, algorithm);
    struct der_mark key = der_open(w, DER_BIT_STRING);
    wr_u8(w, 0); /* unused bits */
    struct der_mark rsa = der_open(w, DER_SEQUENCE);
    der_put_uint(w, (struct tt_bytes){n->buffer, n->size});
    der_put_u32(w, e == 0 ? 65537 : e); /* TPM 2.0 part 2, 12.2.3.5: 0 means 2^16+1 */
    der_close(w, rsa);
    der_close(w, key);
    return true;
}

tt_rc public_spki(struct buf *to, const TPM2B_PUBLIC *pub)
{
    const TPMT_PUBLIC *a = &pub->publicArea;
    struct writer w = writer_to(to);
    struct der_mark spki = der_open(&w, DER_SEQUENCE);
    bool right = a->type == TPM2_ALG_ECC ? put_ecc(&w, a) : a->type == TPM2_ALG_RSA && put_rsa(&w, a);
    der_close(&w, spki);
    if (!right)
        return TT_ERR_DECODE;
    return wr_status(&w);
}

/* ---- the other way: from SubjectPublicKeyInfo ---- */

static bool take(uint16_t *ret_size, uint8_t *to, size_t cap, struct tt_bytes v)
{
    if (v.len == 0 || v.len > cap)
        return false;
    memcpy(to, v.data, v.len);
    *ret_size = (uint16_t)v.len;
    return true;
}

static tt_rc take_ecc(TPMT_PUBLIC *a, struct tt_bytes oid, struct tt_bytes point)
{
    for (size_t i = 0; i < TT_COUNT(curves); i++) {
        const struct curve *c = &curves[i];
        if (oid.len != c->oid.len || memcmp(oid.data, c->oid.data, oid.len) != 0)
            continue;
        if (point.len != 1U + 2U * c->bytes || point.data[0] != 4)
            return TT_ERR_DECODE;
        a->type = TPM2_ALG_ECC;
        a->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric.algorithm = TPM2_ALG_NULL,
                                                   .scheme.scheme = TPM2_ALG_NULL,
                                                   .curveID = c->id,
                                                   .kdf.scheme = TPM2_ALG_NULL};
        TPMS_ECC_POINT *q = &a->unique.ecc;
        (void)take(&q->x.size, q->x.buffer, sizeof q->x.buffer, (struct tt_bytes){point.data + 1, c->bytes});
        (void)take(&q->y.size, q->y.buffer, sizeof q->y.buffer,
                   (struct tt_bytes){point.data + 1 + c->bytes, c->bytes});
        return TT_OK;
    }
    return TT_ERR_UNSUPPORTED;
}

static tt_rc take_rsa(TPMT_PUBLIC *a, struct tt_bytes key)
{
    struct reader outer = reader_of(key);
    struct reader r = der_enter(&outer, DER_SEQUENCE);
    struct tt_bytes n = der_get_uint(&r);
    uint32_t e = der_get_u32(&r);
    TT_TRY(rd_done(&r));
    a->type = TPM2_ALG_RSA;
    a->parameters.rsaDetail = (TPMS_RSA_PARMS){.symmetric.algorithm = TPM2_ALG_NULL,
                                               .scheme.scheme = TPM2_ALG_NULL,
                                               .keyBits = (uint16_t)(n.len * 8),
                                               .exponent = e == 65537 ? 0 : e};
    return take(&a->unique.rsa.size, a->unique.rsa.buffer, sizeof a->unique.rsa.buffer, n)
               ? TT_OK
               : TT_ERR_UNSUPPORTED;
}

tt_rc public_from_spki(TPM2B_PUBLIC *ret, struct tt_bytes spki, TPMA_OBJECT attributes)
{
    TPM2B_PUBLIC pub = {.publicArea = {.nameAlg = TPM2_ALG_SHA256, .objectAttributes = attributes}};
    struct reader outer = reader_of(spki);
    struct reader r = der_enter(&outer, DER_SEQUENCE);
    struct reader algorithm = der_enter(&r, DER_SEQUENCE);
    struct tt_bytes oid = der_get(&algorithm, DER_OID);
    struct tt_bytes bits = der_get(&r, DER_BIT_STRING);
    TT_TRY(rd_done(&r));
    if (bits.len < 2 || bits.data[0] != 0)
        return TT_ERR_DECODE;
    struct tt_bytes key = {bits.data + 1, bits.len - 1};
    bool ecc = oid.len == sizeof id_ec_public_key && memcmp(oid.data, id_ec_public_key, oid.len) == 0;
    bool rsa = oid.len == sizeof rsa_encryption && memcmp(oid.data, rsa_encryption, oid.len) == 0;
    if (!ecc && !rsa)
        return TT_ERR_UNSUPPORTED;
    TT_TRY(ecc ? take_ecc(&pub.publicArea, der_get(&algorithm, DER_OID), key)
               : take_rsa(&pub.publicArea, key));
    *ret = pub;
    return TT_OK;
}
