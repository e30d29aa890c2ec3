/* pkcs11/mechanism.c: see mechanism.h. Layer: pkcs11. */
#include "pkcs11/mechanism.h"

#include <string.h>

#include "wire/der.h"

#define RSA_LEAST 2048
#define RSA_MOST  4096
#define EC_LEAST  256
#define EC_MOST   521

#define SIGNS  (CKF_SIGN | CKF_VERIFY)
#define CURVES (CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS)
#define EC(type, hash)                                                                                       \
    {                                                                                                        \
        type, MECHANISM_SIGN, APART_ECDSA, hash, SIGNS | CURVES, EC_LEAST, EC_MOST                           \
    }
#define RSA(type, form, hash)                                                                                \
    {                                                                                                        \
        type, MECHANISM_SIGN, form, hash, SIGNS, RSA_LEAST, RSA_MOST                                         \
    }
#define RSA_DECRYPT(type)                                                                                    \
    {                                                                                                        \
        type, MECHANISM_DECRYPT, APART_X509, APART_NO_HASH, CKF_DECRYPT, RSA_LEAST, RSA_MOST                 \
    }
#define DIGEST(type, hash)                                                                                   \
    {                                                                                                        \
        type, MECHANISM_DIGEST, 0, hash, CKF_DIGEST, 0, 0                                                    \
    }

const struct mechanism mechanisms[] = {
    EC(CKM_ECDSA, APART_NO_HASH),
    EC(CKM_ECDSA_SHA224, APART_SHA224),
    EC(CKM_ECDSA_SHA256, APART_SHA256),
    EC(CKM_ECDSA_SHA384, APART_SHA384),
    EC(CKM_ECDSA_SHA512, APART_SHA512),
    RSA(CKM_RSA_PKCS, APART_PKCS1, APART_NO_HASH),
    RSA(CKM_SHA224_RSA_PKCS, APART_PKCS1, APART_SHA224),
    RSA(CKM_SHA256_RSA_PKCS, APART_PKCS1, APART_SHA256),
    RSA(CKM_SHA384_RSA_PKCS, APART_PKCS1, APART_SHA384),
    RSA(CKM_SHA512_RSA_PKCS, APART_PKCS1, APART_SHA512),
    RSA(CKM_RSA_PKCS_PSS, APART_PSS, APART_NO_HASH),
    RSA(CKM_SHA256_RSA_PKCS_PSS, APART_PSS, APART_SHA256),
    RSA(CKM_SHA384_RSA_PKCS_PSS, APART_PSS, APART_SHA384),
    RSA(CKM_SHA512_RSA_PKCS_PSS, APART_PSS, APART_SHA512),
    RSA(CKM_RSA_X_509, APART_X509, APART_NO_HASH),
    RSA_DECRYPT(CKM_RSA_PKCS),
    RSA_DECRYPT(CKM_RSA_PKCS_OAEP),
    {CKM_ECDH1_DERIVE, MECHANISM_DERIVE, APART_ECDSA, APART_NO_HASH, CKF_DERIVE | CURVES, EC_LEAST, EC_MOST},
    DIGEST(CKM_SHA_1, APART_SHA1),
    DIGEST(CKM_SHA224, APART_SHA224),
    DIGEST(CKM_SHA256, APART_SHA256),
    DIGEST(CKM_SHA384, APART_SHA384),
    DIGEST(CKM_SHA512, APART_SHA512),
    {CKM_EC_KEY_PAIR_GEN, MECHANISM_KEY_PAIR, 0, 0, CKF_GENERATE_KEY_PAIR | CURVES, EC_LEAST, EC_MOST},
    {CKM_RSA_PKCS_KEY_PAIR_GEN, MECHANISM_KEY_PAIR, 0, 0, CKF_GENERATE_KEY_PAIR, RSA_LEAST, RSA_MOST},
};
const size_t mechanisms_len = TT_COUNT(mechanisms);

const struct mechanism *mechanism_find(CK_MECHANISM_TYPE type, enum mechanism_kind kind)
{
    for (size_t i = 0; i < mechanisms_len; i++)
        if (mechanisms[i].type == type && mechanisms[i].kind == kind)
            return &mechanisms[i];
    return NULL;
}

static bool has_hash(const struct tpm_key_info *key, enum apart_hash hash)
{
    static const uint16_t ids[APART_HASHES] = {
        [APART_SHA256] = TPM_HASH_SHA256, [APART_SHA384] = TPM_HASH_SHA384, [APART_SHA512] = TPM_HASH_SHA512};
    return hash == APART_NO_HASH || (ids[hash] != 0 && (key->hash == TPM_HASH_ANY || key->hash == ids[hash]));
}

bool mechanism_permitted(enum mechanism_kind kind, const struct raw_info *info)
{
    return info->key.decrypts == (kind == MECHANISM_DECRYPT || kind == MECHANISM_DERIVE);
}

/* With the bare private operation everything can be done; a key for signing only does what its scheme says.
 */
bool mechanism_fits(const struct mechanism *m, const struct raw_info *info)
{
    const struct tpm_key_info *key = &info->key;
    if ((m->form == APART_ECDSA) == key->rsa || !mechanism_permitted(m->kind, info))
        return false;
    if (m->kind == MECHANISM_DECRYPT || m->kind == MECHANISM_DERIVE)
        return true;
    if (m->kind != MECHANISM_SIGN)
        return false;
    if (!key->rsa || key->raw)
        return true;
    return (m->form == APART_PKCS1 && key->padding != TPM_PADDING_PSS && has_hash(key, m->hash)) ||
           (m->form == APART_PSS && key->padding != TPM_PADDING_PKCS1 && has_hash(key, m->hash));
}

static const struct {
    CK_MECHANISM_TYPE type;
    CK_ULONG mgf;
    enum apart_hash hash;
} pss_hashes[] = {{CKM_SHA256, CKG_MGF1_SHA256, APART_SHA256},
                  {CKM_SHA384, CKG_MGF1_SHA384, APART_SHA384},
                  {CKM_SHA512, CKG_MGF1_SHA512, APART_SHA512}};

static CK_RV read_pss(struct request *r, const CK_MECHANISM *m)
{
    CK_RSA_PKCS_PSS_PARAMS params;
    if (m->pParameter == NULL || m->ulParameterLen != sizeof params)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&params, m->pParameter, sizeof params);
    for (size_t i = 0; i < TT_COUNT(pss_hashes); i++)
        if (pss_hashes[i].type == params.hashAlg && pss_hashes[i].mgf == params.mgf)
            r->hash = pss_hashes[i].hash;
    bool right = r->hash != APART_NO_HASH && params.sLen <= RAW_SIGNATURE_MAX &&
                 (r->mechanism->hash == APART_NO_HASH || r->mechanism->hash == r->hash);
    r->salt_len = params.sLen;
    return right ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static CK_RV read_oaep(struct request *r, const CK_MECHANISM *m)
{
    static const struct {
        CK_MECHANISM_TYPE type;
        CK_ULONG mgf;
        enum apart_hash hash;
    } hashes[] = {{CKM_SHA_1, CKG_MGF1_SHA1, APART_SHA1},
                  {CKM_SHA256, CKG_MGF1_SHA256, APART_SHA256},
                  {CKM_SHA384, CKG_MGF1_SHA384, APART_SHA384},
                  {CKM_SHA512, CKG_MGF1_SHA512, APART_SHA512}};
    CK_RSA_PKCS_OAEP_PARAMS params;
    if (m->pParameter == NULL || m->ulParameterLen != sizeof params)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&params, m->pParameter, sizeof params);
    for (size_t i = 0; i < TT_COUNT(hashes); i++)
        if (hashes[i].type == params.hashAlg && hashes[i].mgf == params.mgf)
            r->hash = hashes[i].hash;
    /* A TPM has one hash for both, and its labels end in a zero byte. */
    return r->hash != APART_NO_HASH && params.ulSourceDataLen == 0 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

/* The point is given as it is, or as an OCTET STRING (2.40, Current Mechanisms section 2.3.8: tokens take
 * both). */
static CK_RV read_ecdh(struct request *r, const CK_MECHANISM *m)
{
    CK_ECDH1_DERIVE_PARAMS params;
    if (m->pParameter == NULL || m->ulParameterLen != sizeof params)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&params, m->pParameter, sizeof params);
    if (params.kdf != CKD_NULL || params.ulSharedDataLen != 0 || params.pPublicData == NULL)
        return CKR_MECHANISM_PARAM_INVALID;
    r->point = (struct tt_bytes){params.pPublicData, params.ulPublicDataLen};
    struct reader in = reader_of(r->point);
    struct tt_bytes inner = der_get(&in, DER_OCTET_STRING);
    if (rd_done(&in) == TT_OK)
        r->point = inner;
    return r->point.len > 0 && r->point.data[0] == 4 ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

CK_RV request_read(struct request *ret, const CK_MECHANISM *m, enum mechanism_kind kind)
{
    struct request r = {.mechanism = mechanism_find(m->mechanism, kind)};
    if (r.mechanism == NULL)
        return CKR_MECHANISM_INVALID;
    CK_RV rv = CKR_OK;
    if (r.mechanism->kind == MECHANISM_SIGN && r.mechanism->form == APART_PSS)
        rv = read_pss(&r, m);
    else if (r.mechanism->type == CKM_RSA_PKCS_OAEP)
        rv = read_oaep(&r, m);
    else if (r.mechanism->kind == MECHANISM_DERIVE)
        rv = read_ecdh(&r, m);
    else if (m->pParameter != NULL && m->ulParameterLen > 0)
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK)
        *ret = r;
    return rv;
}
