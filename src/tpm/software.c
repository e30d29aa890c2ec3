/* tpm/software.c: marshalling without a TPM. Layer: tpm. TPM 2.0 part 2, sections 11.3 (signatures), 12.2
 * (public areas), 12.3 (private areas). */
#include "tpm/software.h"

#include <stdio.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/ek.h"
#include "tpm/mldsa.h"
#include "tpm/public.h"
#include "wire/der.h"

#define IMPORTED_ATTRIBUTES (TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT)

static tt_rc unmarshal(TPM2B_PUBLIC *ret, struct tt_bytes tpm2b)
{
    size_t at = 0;
    if (tpm2b.len < 3 || Tss2_MU_TPM2B_PUBLIC_Unmarshal(tpm2b.data, tpm2b.len, &at, ret) != TSS2_RC_SUCCESS ||
        at != tpm2b.len)
        return TT_ERR_DECODE;
    return TT_OK;
}

static uint16_t storage_bits(const TPMT_PUBLIC *a)
{
    const TPMT_SYM_DEF_OBJECT *s = a->type == TPM2_ALG_ECC   ? &a->parameters.eccDetail.symmetric
                                   : a->type == TPM2_ALG_RSA ? &a->parameters.rsaDetail.symmetric
                                                             : NULL;
    return s != NULL && s->algorithm == TPM2_ALG_AES && s->mode.aes == TPM2_ALG_CFB ? s->keyBits.aes : 0;
}

tt_rc soft_public_read(struct soft_public *ret, struct tt_bytes tpm2b, struct tt_error *err)
{
    TPM2B_PUBLIC pub = {0};
    if (tpm_mldsa_public_read(ret, tpm2b))
        return TT_OK;
    if (unmarshal(&pub, tpm2b) != TT_OK || pub.publicArea.authPolicy.size > sizeof ret->auth_policy)
        return public_refuse(tpm2b, err);
    const TPMT_PUBLIC *a = &pub.publicArea;
    struct soft_public p = {.area = {tpm2b.data + 2, tpm2b.len - 2},
                            .alg = a->type,
                            .type = public_type(&pub),
                            .name_alg = a->nameAlg,
                            .attributes = a->objectAttributes,
                            .auth_policy_len = a->authPolicy.size,
                            .ek = ek_wants_policy(&pub),
                            .sym_bits = storage_bits(a)};
    memcpy(p.auth_policy, a->authPolicy.buffer, p.auth_policy_len);
    p.storage = (a->objectAttributes & TPMA_OBJECT_RESTRICTED) != 0 &&
                (a->objectAttributes & TPMA_OBJECT_DECRYPT) != 0;
    *ret = p;
    return TT_OK;
}

tt_rc soft_public_describe(struct tpm_key_info *ret, struct tt_bytes tpm2b, struct tt_error *err)
{
    TPM2B_PUBLIC pub = {0};
    tt_rc rc = unmarshal(&pub, tpm2b);
    return rc == TT_OK ? public_describe(ret, &pub, err) : public_refuse(tpm2b, err);
}

tt_rc soft_public_describe_any(struct tpm_key_info *ret, struct tt_bytes tpm2b, struct tt_error *err)
{
    TPM2B_PUBLIC pub = {0};
    tt_rc rc = unmarshal(&pub, tpm2b);
    return rc == TT_OK ? public_describe_any(ret, &pub, err) : public_refuse(tpm2b, err);
}

tt_rc soft_public_spki(struct buf *to, struct tt_bytes tpm2b)
{
    TPM2B_PUBLIC pub = {0};
    TT_TRY(unmarshal(&pub, tpm2b));
    return public_spki(to, &pub);
}

static tt_rc put_public(struct buf *to, const TPM2B_PUBLIC *pub)
{
    uint8_t bytes[sizeof *pub];
    size_t len = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(pub, bytes, sizeof bytes, &len) != TSS2_RC_SUCCESS)
        return TT_ERR_INTERNAL;
    return buf_append(to, bytes, len);
}

tt_rc soft_public_verifier(struct buf *to, struct tt_bytes spki, uint16_t name_alg)
{
    TPM2B_PUBLIC pub;
    TT_TRY(
        public_from_spki(&pub, spki, TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT));
    pub.publicArea.nameAlg = name_alg;
    return put_public(to, &pub);
}

/* ---- keys made outside ---- */

static bool fill(uint16_t *ret_size, uint8_t *to, size_t cap, struct tt_bytes v)
{
    if (v.len > cap)
        return false;
    if (v.len > 0)
        memcpy(to, v.data, v.len);
    *ret_size = (uint16_t)v.len;
    return true;
}

static tt_rc put_sensitive(struct buf *to, const TPM2B_PUBLIC *pub, const struct soft_private *what,
                           struct tt_error *err)
{
    TPM2B_SENSITIVE s = {.sensitiveArea = {.sensitiveType = pub->publicArea.type}};
    TPMT_SENSITIVE *a = &s.sensitiveArea;
    uint8_t bytes[sizeof s];
    size_t len = 0;
    TPM2B_ECC_PARAMETER *d = &a->sensitive.ecc;
    TPM2B_PRIVATE_KEY_RSA *p = &a->sensitive.rsa;
    bool right = pub->publicArea.type == TPM2_ALG_ECC
                     ? fill(&d->size, d->buffer, sizeof d->buffer, what->secret)
                     : fill(&p->size, p->buffer, sizeof p->buffer, what->secret);
    right = right && what->password.len <= 32 &&
            fill(&a->authValue.size, a->authValue.buffer, sizeof a->authValue.buffer, what->password) &&
            Tss2_MU_TPM2B_SENSITIVE_Marshal(&s, bytes, sizeof bytes, &len) == TSS2_RC_SUCCESS;
    tt_rc rc = right ? buf_append(to, bytes, len)
                     : error_set(err, TT_ERR_USAGE, "the key or its password is too long for a TPM");
    mem_wipe(&s, sizeof s);
    mem_wipe(bytes, sizeof bytes);
    return rc;
}

tt_rc soft_private_marshal(struct buf *ret_public, struct buf *ret_sensitive, const struct soft_private *what,
                           struct tt_error *err)
{
    TPM2B_PUBLIC pub;
    if (public_from_spki(&pub, what->spki, IMPORTED_ATTRIBUTES) != TT_OK)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key is neither RSA nor on P-256, P-384 or P-521: no TPM takes it for TLS 1.3");
    TPMT_PUBLIC *a = &pub.publicArea;
    if (a->type == TPM2_ALG_RSA)
        a->objectAttributes |= TPMA_OBJECT_DECRYPT; /* for PSS padded in software */
    if (what->counts_failures)
        a->objectAttributes &= ~(TPMA_OBJECT)TPMA_OBJECT_NODA;
    struct tpm_key_info info;
    TT_TRY(public_describe(&info, &pub, err));
    TT_TRY(put_public(ret_public, &pub));
    return put_sensitive(ret_sensitive, &pub, what, err);
}

/* ---- signatures ---- */

tt_rc soft_signature(struct buf *to, bool rsa, uint16_t hash, struct tt_bytes signature)
{
    TPMT_SIGNATURE s = {.sigAlg = TPM2_ALG_NULL};
    uint8_t bytes[sizeof s];
    size_t len = 0;
    bool right = true;
    if (signature.len > 0 && rsa) {
        s.sigAlg = TPM2_ALG_RSASSA;
        TPMS_SIGNATURE_RSASSA *v = &s.signature.rsassa;
        v->hash = hash;
        right = fill(&v->sig.size, v->sig.buffer, sizeof v->sig.buffer, signature);
    } else if (signature.len > 0) {
        struct reader outer = reader_of(signature);
        struct reader r = der_enter(&outer, DER_SEQUENCE);
        TPMS_SIGNATURE_ECDSA *v = &s.signature.ecdsa;
        s.sigAlg = TPM2_ALG_ECDSA;
        v->hash = hash;
        right =
            fill(&v->signatureR.size, v->signatureR.buffer, sizeof v->signatureR.buffer, der_get_uint(&r)) &&
            fill(&v->signatureS.size, v->signatureS.buffer, sizeof v->signatureS.buffer, der_get_uint(&r)) &&
            rd_done(&r) == TT_OK;
    }
    if (!right || Tss2_MU_TPMT_SIGNATURE_Marshal(&s, bytes, sizeof bytes, &len) != TSS2_RC_SUCCESS)
        return TT_ERR_DECODE;
    return buf_append(to, bytes, len);
}

/* ---- policies ---- */

tt_rc soft_authorize_read(struct soft_authorize *ret, struct tt_bytes body)
{
    struct reader r = reader_of(body);
    struct tt_bytes area = rd_vec16(&r, 1);
    struct tt_bytes ref = rd_vec16(&r, 0);
    TT_TRY(rd_status(&r));
    *ret = (struct soft_authorize){
        .signer = {area.data - 2, area.len + 2}, .ref = ref, .signature = rd_rest(&r)};
    return TT_OK;
}

static void pcr_text(char *ret, size_t cap, struct tt_bytes body)
{
    struct reader r = reader_of(body);
    (void)rd_vec16(&r, 0);
    size_t n = (size_t)snprintf(ret, cap, "PCRs");
    uint32_t banks = rd_u32(&r);
    for (uint32_t i = 0; i < banks && i < 16 && !r.failed; i++) {
        uint16_t alg = rd_u16(&r);
        struct tt_bytes bits = rd_vec8(&r, 0);
        const char *name = alg == TPM2_ALG_SHA1     ? "sha1"
                           : alg == TPM2_ALG_SHA256 ? "sha256"
                           : alg == TPM2_ALG_SHA384 ? "sha384"
                           : alg == TPM2_ALG_SHA512 ? "sha512"
                                                    : "another bank";
        char mark = ':';
        if (n < cap)
            n += (size_t)snprintf(ret + n, cap - n, " %s", name);
        for (unsigned b = 0; b < bits.len * 8 && b < 32 && n < cap; b++)
            if ((bits.data[b / 8] >> b % 8 & 1) != 0) {
                n += (size_t)snprintf(ret + n, cap - n, "%c%u", mark, b);
                mark = ',';
            }
    }
}

static void secret_text(char *ret, size_t cap, struct tt_bytes body)
{
    struct reader r = reader_of(body);
    uint32_t hint = rd_u32(&r);
    struct tt_bytes name = rd_vec16(&r, 0);
    if (name.len == 4)
        hint = (uint32_t)name.data[0] << 24 | (uint32_t)name.data[1] << 16 | (uint32_t)name.data[2] << 8 |
               name.data[3];
    const char *who = hint == TPM2_RH_OWNER         ? "the owner"
                      : hint == TPM2_RH_ENDORSEMENT ? "the endorsement hierarchy"
                      : hint == TPM2_RH_LOCKOUT     ? "the lockout hierarchy"
                      : hint == TPM2_RH_PLATFORM    ? "the platform"
                                                    : NULL;
    if (who != NULL)
        (void)snprintf(ret, cap, "the password of %s", who);
    else
        (void)snprintf(ret, cap, "the password of object 0x%08x", hint);
}

void soft_policy_text(char *ret, size_t cap, const struct keyfile_policy *p)
{
    struct soft_authorize a;
    switch (p->command) {
    case SOFT_POLICY_PCR:
        pcr_text(ret, cap, p->body);
        break;
    case SOFT_POLICY_SECRET:
        secret_text(ret, cap, p->body);
        break;
    case SOFT_POLICY_AUTH_VALUE:
    case SOFT_POLICY_PASSWORD:
        (void)snprintf(ret, cap, "the key's password");
        break;
    case SOFT_POLICY_AUTHORIZE:
        (void)snprintf(ret, cap, "a policy signed by the policy key%s",
                       soft_authorize_read(&a, p->body) != TT_OK ? " (damaged)"
                       : a.signature.len > 2                     ? ""
                                                                 : " (any of the signed policies)");
        break;
    case SOFT_POLICY_COMMAND_CODE:
        (void)snprintf(ret, cap, "one command only");
        break;
    case SOFT_POLICY_LOCALITY:
        (void)snprintf(ret, cap, "a locality");
        break;
    case SOFT_POLICY_COUNTER_TIMER:
        (void)snprintf(ret, cap, "a time, reset or restart count");
        break;
    default:
        (void)snprintf(ret, cap, "a statement that this version cannot satisfy (TPM_CC 0x%x)", p->command);
    }
}
