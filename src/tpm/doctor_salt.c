/* tpm/doctor_salt.c: how long is the salt of the chip's RSASSA-PSS. Layer: tpm. RFC 8017 section 9.1.2. No
 * bit of the TPM tells, so a signature is made and opened: with TPM2_RSA_Encrypt without padding, and
 * TPM2_Hash, since this layer has no libcrypto. The chip cannot fool us to its favour: what it gains is a
 * wrong diagnosis of itself. */
#include <stdio.h>
#include <string.h>

#include "tpm/context.h"
#include "tpm/doctor.h"
#include "tpm/public.h"

#define EM   256
#define HASH 32
#define DB   (EM - HASH - 1)

static bool digest_of(struct tt_tpm *tpm, const uint8_t *data, size_t len, uint8_t *ret)
{
    TPM2B_MAX_BUFFER in = {.size = (UINT16)len};
    TPM2B_DIGEST *out = NULL;
    TPMT_TK_HASHCHECK *ticket = NULL;
    if (len > sizeof in.buffer)
        return false;
    memcpy(in.buffer, data, len);
    struct tpm_op op = tpm_op_start(tpm, "hash");
    do
        op.rc = Esys_Hash(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &in, TPM2_ALG_SHA256,
                          ESYS_TR_RH_NULL, &out, &ticket);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return false;
    bool right = out->size == HASH;
    if (right)
        memcpy(ret, out->buffer, HASH);
    Esys_Free(out);
    Esys_Free(ticket);
    return right;
}

/* em[0 .. DB) ^= MGF1(H); then DB = 0 ... 0 || 0x01 || salt. */
static bool open_em(struct tt_doctor *d, struct tt_tpm *tpm, uint8_t *em, const TPM2B_DIGEST *digest)
{
    uint8_t seed[HASH + 4] = {0}, block[HASH], m[8 + HASH + EM] = {0}, h[HASH];
    const uint8_t *their_h = em + DB;
    if (em[EM - 1] != 0xbc)
        return false;
    memcpy(seed, their_h, HASH);
    for (size_t at = 0; at < DB; at++) {
        seed[HASH + 3] = (uint8_t)(at / HASH);
        if (at % HASH == 0 && !digest_of(tpm, seed, sizeof seed, block))
            return false;
        em[at] ^= block[at % HASH];
    }
    em[0] &= 0x7f;
    size_t one = 0;
    while (one < DB && em[one] == 0)
        one++;
    if (one == DB || em[one] != 0x01)
        return false;
    d->salt = (unsigned)(DB - one - 1);
    memcpy(m + 8, digest->buffer, HASH);
    memcpy(m + 8 + HASH, em + one + 1, d->salt);
    d->salt_valid = digest_of(tpm, m, 8 + HASH + d->salt, h) && memcmp(h, their_h, HASH) == 0;
    return true;
}

static TSS2_RC make_key(struct tt_tpm *tpm, ESYS_TR *ret)
{
    TPM2B_PUBLIC template = public_signing_key(TT_KEY_RSA2048);
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    struct tpm_op op = tpm_op_start(tpm, "make an RSA key");
    do
        op.rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_NULL, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                   &sensitive, &template, &outside, &pcrs, ret, NULL, NULL, NULL, NULL);
    while (tpm_op_again(&op));
    return op.rc;
}

static TSS2_RC sign(struct tt_tpm *tpm, ESYS_TR key, const TPM2B_DIGEST *digest, TPM2B_PUBLIC_KEY_RSA *ret)
{
    static const TPMT_TK_HASHCHECK no_ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    static const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_RSAPSS,
                                           .details.rsapss.hashAlg = TPM2_ALG_SHA256};
    TPMT_SIGNATURE *sig = NULL;
    struct tpm_op op = tpm_op_start(tpm, "sign");
    do
        op.rc = Esys_Sign(tpm->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, digest, &scheme,
                          &no_ticket, &sig);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return op.rc;
    if (sig->sigAlg == TPM2_ALG_RSAPSS)
        *ret = sig->signature.rsapss.sig;
    Esys_Free(sig);
    return op.rc;
}

static TSS2_RC public_operation(struct tt_tpm *tpm, ESYS_TR key, const TPM2B_PUBLIC_KEY_RSA *sig, uint8_t *em)
{
    static const TPMT_RSA_DECRYPT no_padding = {.scheme = TPM2_ALG_NULL};
    static const TPM2B_DATA no_label = {0};
    TPM2B_PUBLIC_KEY_RSA *out = NULL;
    struct tpm_op op = tpm_op_start(tpm, "open the signature");
    do
        op.rc = Esys_RSA_Encrypt(tpm->esys, key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, sig, &no_padding,
                                 &no_label, &out);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        return op.rc;
    memset(em, 0, EM);
    if (out->size == EM)
        memcpy(em, out->buffer, EM);
    Esys_Free(out);
    return op.rc;
}

void doctor_salt(struct tt_doctor *d, struct tt_tpm *tpm)
{
    TPM2B_DIGEST digest = {.size = HASH, .buffer = "any thirty-two bytes will do"};
    TPM2B_PUBLIC_KEY_RSA sig = {0};
    uint8_t em[EM] = {0};
    ESYS_TR key = ESYS_TR_NONE;
    TSS2_RC rc = make_key(tpm, &key);
    if (rc == TSS2_RC_SUCCESS)
        rc = sign(tpm, key, &digest, &sig);
    if (rc == TSS2_RC_SUCCESS)
        rc = public_operation(tpm, key, &sig, em);
    if (rc != TSS2_RC_SUCCESS)
        (void)snprintf(d->salt_why, sizeof d->salt_why, "the TPM refused the test signature (0x%x)", rc);
    else if (!open_em(d, tpm, em, &digest))
        (void)snprintf(d->salt_why, sizeof d->salt_why, "the TPM's signature is not an RSASSA-PSS one");
    else
        d->salt_measured = true;
    tpm_flush(tpm, &key);
}
