/* tpm/ek.c: see ek.h. Layer: tpm. TCG EK Credential Profile for TPM 2.0, version 2.6: 2.2.1.4 and 2.2.1.5 (NV
 * indexes), B.3 (templates L-1, L-2), B.4 (H-1 to H-7), B.6 (policies). What lies in NV memory is hostile. */
#include "tpm/ek.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/nv.h"
#include "tpm/public.h"

#define EK_ATTRIBUTES                                                                                        \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)
#define SM2_BITS 256

/* The template of the high range is beside the certificate; nonces are of the low range only. */
const struct ek_kind ek_kinds[EK_KINDS] = {
    {"RSA-2048", "L-1", 0x01c00002, 0x01c00003, 0x01c00004, 0x81010001, 0, 2048, TPM2_ALG_SHA256, 128, false},
    {"P-256", "L-2", 0x01c0000a, 0x01c0000b, 0x01c0000c, 0x81010002, TPM2_ECC_NIST_P256, 256, TPM2_ALG_SHA256,
     128, false},
    {"RSA-2048", "H-1", 0x01c00012, 0, 0x01c00013, 0x81010012, 0, 2048, TPM2_ALG_SHA256, 128, true},
    {"P-256", "H-2", 0x01c00014, 0, 0x01c00015, 0x81010014, TPM2_ECC_NIST_P256, 256, TPM2_ALG_SHA256, 128,
     true},
    {"P-384", "H-3", 0x01c00016, 0, 0x01c00017, 0x81010016, TPM2_ECC_NIST_P384, 384, TPM2_ALG_SHA384, 256,
     true},
    {"P-521", "H-4", 0x01c00018, 0, 0x01c00019, 0x81010018, TPM2_ECC_NIST_P521, 521, TPM2_ALG_SHA512, 256,
     true},
    {"SM2", "H-5", 0x01c0001a, 0, 0x01c0001b, 0x8101001a, TPM2_ECC_SM2_P256, SM2_BITS, TPM2_ALG_SM3_256, 128,
     true},
    {"RSA-3072", "H-6", 0x01c0001c, 0, 0x01c0001d, 0x8101001c, 0, 3072, TPM2_ALG_SHA384, 256, true},
    {"RSA-4096", "H-7", 0x01c0001e, 0, 0x01c0001f, 0x8101001e, 0, 4096, TPM2_ALG_SHA384, 256, true},
};

const struct ek_kind *ek_kind_at(uint32_t handle)
{
    for (size_t i = 0; i < EK_KINDS; i++)
        if (ek_kinds[i].handle == handle)
            return &ek_kinds[i];
    return NULL;
}

const struct ek_kind *ek_kind_of(const char *template_name)
{
    for (size_t i = 0; i < EK_KINDS; i++)
        if (strcmp(ek_kinds[i].template_name, template_name) == 0)
            return &ek_kinds[i];
    return NULL;
}

/* ---- the profile's templates ---- */

/* PolicyA: PolicySecret(TPM_RH_ENDORSEMENT). PolicyB: that, or what the policy index of the same hash allows
 * (PolicyAuthorizeNV). */
static const uint8_t policy_a_sha256[] = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc,
                                          0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52,
                                          0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa};
static const uint8_t policy_b_sha256[] = {0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34,
                                          0x24, 0x14, 0xef, 0xcf, 0xb3, 0xa3, 0x85, 0xd4, 0x4c, 0xd1, 0xfd,
                                          0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0};
static const uint8_t policy_b_sha384[] = {
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
    0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
    0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12};
static const uint8_t policy_b_sha512[] = {
    0xb8, 0x22, 0x1c, 0xa6, 0x9e, 0x85, 0x50, 0xa4, 0x91, 0x4d, 0xe3, 0xfa, 0xa6, 0xa1, 0x8c, 0x07,
    0x2c, 0xc0, 0x12, 0x08, 0x07, 0x3a, 0x92, 0x8d, 0x5d, 0x66, 0xd5, 0x9e, 0xf7, 0x9e, 0x49, 0xa4,
    0x29, 0xc4, 0x1a, 0x6b, 0x26, 0x95, 0x71, 0xd5, 0x7e, 0xdb, 0x25, 0xfb, 0xdb, 0x18, 0x38, 0x42,
    0x56, 0x08, 0xb4, 0x13, 0xcd, 0x61, 0x6a, 0x5f, 0x6d, 0xb5, 0xb6, 0x07, 0x1a, 0xf9, 0x9b, 0xea};

static void policy_put(TPM2B_DIGEST *to, const struct ek_kind *kind)
{
    static const struct {
        uint16_t hash;
        bool high;
        struct tt_bytes digest;
    } policies[] = {
        {TPM2_ALG_SHA256, false, {policy_a_sha256, sizeof policy_a_sha256}},
        {TPM2_ALG_SHA256, true, {policy_b_sha256, sizeof policy_b_sha256}},
        {TPM2_ALG_SHA384, true, {policy_b_sha384, sizeof policy_b_sha384}},
        {TPM2_ALG_SHA512, true, {policy_b_sha512, sizeof policy_b_sha512}},
    };
    for (size_t i = 0; i < TT_COUNT(policies); i++)
        if (policies[i].hash == kind->hash && policies[i].high == kind->high) {
            to->size = (UINT16)policies[i].digest.len;
            memcpy(to->buffer, policies[i].digest.data, policies[i].digest.len);
        }
}

/* "unique" of the low range: zeros, which the nonce is written over (2.2.1.4). */
static void unique_put(TPMT_PUBLIC *a, struct tt_bytes nonce)
{
    if (a->type == TPM2_ALG_RSA) {
        a->unique.rsa = (TPM2B_PUBLIC_KEY_RSA){.size = 256};
        if (nonce.len > 0)
            memcpy(a->unique.rsa.buffer, nonce.data, nonce.len);
        return;
    }
    a->unique.ecc = (TPMS_ECC_POINT){.x.size = 32, .y.size = 32};
    if (nonce.len > 0)
        memcpy(a->unique.ecc.x.buffer, nonce.data, nonce.len);
}

TPM2B_PUBLIC ek_profile(const struct ek_kind *kind)
{
    const TPMT_SYM_DEF_OBJECT aes = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = kind->aes, .mode.aes = TPM2_ALG_CFB};
    TPM2B_PUBLIC pub = {
        .publicArea = {.type = kind->curve == 0 ? TPM2_ALG_RSA : TPM2_ALG_ECC,
                       .nameAlg = kind->hash,
                       .objectAttributes =
                           EK_ATTRIBUTES | (kind->high ? (TPMA_OBJECT)TPMA_OBJECT_USERWITHAUTH : 0)}};
    TPMT_PUBLIC *a = &pub.publicArea;
    policy_put(&a->authPolicy, kind);
    if (kind->curve == 0)
        a->parameters.rsaDetail =
            (TPMS_RSA_PARMS){.symmetric = aes, .scheme.scheme = TPM2_ALG_NULL, .keyBits = kind->bits};
    else
        a->parameters.eccDetail = (TPMS_ECC_PARMS){.symmetric = aes,
                                                   .scheme.scheme = TPM2_ALG_NULL,
                                                   .curveID = kind->curve,
                                                   .kdf.scheme = TPM2_ALG_NULL};
    if (!kind->high)
        unique_put(a, (struct tt_bytes){NULL, 0});
    return pub;
}

bool ek_wants_policy(const TPM2B_PUBLIC *pub)
{
    const TPMT_PUBLIC *a = &pub->publicArea;
    return (a->objectAttributes & TPMA_OBJECT_USERWITHAUTH) == 0 &&
           a->authPolicy.size == sizeof policy_a_sha256 &&
           memcmp(a->authPolicy.buffer, policy_a_sha256, sizeof policy_a_sha256) == 0;
}

/* ---- the chip's own ---- */

/* One that makes anything else than an endorsement key is not followed. */
static bool template_fits(const TPM2B_PUBLIC *pub, const struct ek_kind *kind)
{
    const TPMT_PUBLIC *a = &pub->publicArea;
    const TPMA_OBJECT needed =
        TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT;
    if ((a->objectAttributes & needed) != needed || (a->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT) != 0)
        return false;
    return kind->curve == 0 ? a->type == TPM2_ALG_RSA && a->parameters.rsaDetail.keyBits == kind->bits
                            : a->type == TPM2_ALG_ECC && a->parameters.eccDetail.curveID == kind->curve;
}

static tt_rc template_parse(TPM2B_PUBLIC *ret, struct tt_bytes data, const struct ek_kind *kind,
                            struct tt_error *err)
{
    TPM2B_PUBLIC pub = {0};
    size_t at = 0; /* padding may follow */
    if (Tss2_MU_TPMT_PUBLIC_Unmarshal(data.data, data.len, &at, &pub.publicArea) != TSS2_RC_SUCCESS ||
        !template_fits(&pub, kind))
        return error_set(err, TT_ERR_TPM, "NV index 0x%08x holds no template of an %s endorsement key",
                         kind->template, kind->name);
    *ret = pub;
    return TT_OK;
}

/* TT_ERR_NOT_FOUND: the index is not there, or 0. */
static tt_rc nv_maybe(struct buf *ret, struct tt_tpm *tpm, uint32_t index, size_t max, struct tt_error *err)
{
    return index == 0 ? TT_ERR_NOT_FOUND : nv_read(ret, tpm, index, max, err);
}

static tt_rc template_find(TPM2B_PUBLIC *ret, bool *ret_has, struct tt_tpm *tpm, const struct ek_kind *kind,
                           struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf data = {0};
    struct tt_error why = {0};
    tt_rc rc = nv_maybe(&data, tpm, kind->template, sizeof(TPMT_PUBLIC), &why);
    *ret_has = rc == TT_OK;
    if (rc == TT_OK)
        return template_parse(ret, buf_bytes(&data), kind, err);
    if (rc != TT_ERR_NOT_FOUND) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    if (kind->hash == TPM2_ALG_SM3_256)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "SM2 endorsement keys are not derived, for want of a template in the TPM");
    *ret = ek_profile(kind);
    return TT_OK;
}

static tt_rc nonce_find(TPM2B_PUBLIC *to, bool *ret_has, struct tt_tpm *tpm, const struct ek_kind *kind,
                        struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf nonce = {0};
    struct tt_error why = {0};
    tt_rc rc = nv_maybe(&nonce, tpm, kind->nonce, kind->curve == 0 ? 256 : 32, &why);
    *ret_has = rc == TT_OK;
    if (rc == TT_OK)
        unique_put(&to->publicArea, buf_bytes(&nonce));
    else if (rc != TT_ERR_NOT_FOUND && err != NULL)
        *err = why;
    return rc == TT_ERR_NOT_FOUND ? TT_OK : rc;
}

tt_rc ek_template(TPM2B_PUBLIC *ret, struct ek_source *ret_source, struct tt_tpm *tpm,
                  const struct ek_kind *kind, struct tt_error *err)
{
    TPM2B_PUBLIC pub = {0};
    struct ek_source source;
    TT_TRY(template_find(&pub, &source.has_template, tpm, kind, err));
    TT_TRY(nonce_find(&pub, &source.has_nonce, tpm, kind, err));
    *ret = pub;
    if (ret_source != NULL)
        *ret_source = source;
    return TT_OK;
}
