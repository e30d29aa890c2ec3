/* tpm/attest.c: see attest.h. Layer: tpm. TPM 2.0 part 3, sections 12.5 (ActivateCredential), 18.2
 * (Certify), 18.4 (Quote), 23.4 (PolicySecret); part 1, section 24 (credentials). What the TPM answers is
 * hostile. */
#include "tpm/attest.h"

#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/attest_internal.h"
#include "tpm/key_internal.h"
#include "tpm/public.h"
#include "tpm/reopen.h"
#include "tpm/srk.h"

#define AK_ATTRIBUTES                                                                                        \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |                      \
     TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT)

/* ---- the two keys ---- */

/* "unique" makes it another key than those that other programs derive. */
static TPM2B_PUBLIC ak_template(void)
{
    static const char label[] = "tpmtls attestation key 1";
    TPM2B_PUBLIC pub = {
        .publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256, .objectAttributes = AK_ATTRIBUTES}};
    pub.publicArea.parameters.eccDetail =
        (TPMS_ECC_PARMS){.symmetric.algorithm = TPM2_ALG_NULL,
                         .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                         .curveID = TPM2_ECC_NIST_P256,
                         .kdf.scheme = TPM2_ALG_NULL};
    pub.publicArea.unique.ecc.x.size = sizeof label - 1;
    memcpy(pub.publicArea.unique.ecc.x.buffer, label, sizeof label - 1);
    return pub;
}

/* After the TPM was opened again our handles mean nothing, or something else. */
static void attester_sync(struct tpm_attester *a)
{
    if (a->opening != a->tpm->meter.openings)
        a->ak = a->ek = ESYS_TR_NONE;
    a->opening = a->tpm->meter.openings;
}

static void attester_unload(struct tpm_attester *a)
{
    attester_sync(a);
    tpm_flush(a->tpm, &a->ak);
    if (a->ek_persistent && a->ek != ESYS_TR_NONE)
        (void)Esys_TR_Close(a->tpm->esys, &a->ek);
    else
        tpm_flush(a->tpm, &a->ek);
    a->ek = ESYS_TR_NONE;
}

void tpm_attester_free(struct tpm_attester *a)
{
    if (a == NULL)
        return;
    attester_unload(a);
    buf_free(&a->certificate);
    buf_free(&a->chain);
    buf_free(&a->ak_public);
    buf_free(&a->ek_public);
    mem_free(a);
}

static tt_rc open_once(struct tpm_attester *a, const struct tpm_attest_want *want, struct tt_error *err)
{
    buf_consume(&a->certificate, buf_size(&a->certificate)); /* of a try that failed */
    buf_consume(&a->chain, buf_size(&a->chain));
    return attest_ek_find(a, want, err);
}

tt_rc tpm_attester_open(struct tpm_attester **ret, struct tt_tpm *tpm, const struct tpm_attest_want *want,
                        struct tt_error *err)
{
    TT_AUTO(tpm_attester_free_auto) struct tpm_attester *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    a->tpm = tpm;
    a->ak = a->ek = ESYS_TR_NONE;
    a->opening = tpm->meter.openings;
    TT_TRY(TPM_TWICE(tpm, err, open_once(a, want, err)));
    *ret = TT_TAKE(a);
    return TT_OK;
}

struct tt_bytes tpm_attester_certificate(const struct tpm_attester *a)
{
    return buf_bytes(&a->certificate);
}

struct tt_bytes tpm_attester_chain(const struct tpm_attester *a)
{
    return buf_bytes(&a->chain);
}

const char *tpm_attester_kind(const struct tpm_attester *a)
{
    return a->kind->name;
}

struct tt_bytes tpm_attester_ak_public(const struct tpm_attester *a)
{
    return buf_bytes(&a->ak_public);
}

struct tt_bytes tpm_attester_ek_public(const struct tpm_attester *a)
{
    return buf_bytes(&a->ek_public);
}

static tt_rc ak_ready(struct tpm_attester *a, struct tt_error *err)
{
    attester_sync(a);
    if (a->ak != ESYS_TR_NONE)
        return TT_OK;
    const TPM2B_PUBLIC template = ak_template();
    return attest_primary(&a->ak, &a->ak_public, a->tpm, &template, "derive the attestation key", err);
}

static tt_rc ek_ready(struct tpm_attester *a, struct tt_error *err)
{
    attester_sync(a);
    return a->ek != ESYS_TR_NONE ? TT_OK : attest_ek_open(a, err);
}

static tt_rc load_once(struct tpm_attester *a, struct tt_error *err)
{
    TT_TRY(ak_ready(a, err));
    return ek_ready(a, err);
}

tt_rc tpm_attester_load(struct tpm_attester *a, struct tt_error *err)
{
    return TPM_TWICE(a->tpm, err, load_once(a, err));
}

static tt_rc endorsement_once(struct buf *ret_spki, struct tpm_attester *a, struct tt_error *err)
{
    TPM2B_PUBLIC pub = {0};
    size_t at = 0;
    TT_TRY(ek_ready(a, err));
    if (Tss2_MU_TPMT_PUBLIC_Unmarshal(buf_front(&a->ek_public), buf_size(&a->ek_public), &at,
                                      &pub.publicArea) != TSS2_RC_SUCCESS ||
        public_spki(ret_spki, &pub) != TT_OK)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed endorsement key");
    return TT_OK;
}

tt_rc tpm_attester_endorsement(struct buf *ret_spki, struct tpm_attester *a, struct tt_error *err)
{
    return TPM_TWICE(a->tpm, err, endorsement_once(ret_spki, a, err));
}

/* ---- statements ---- */

static tt_rc statement_take(struct tpm_statement *ret, const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *sig,
                            struct tt_error *err)
{
    struct tpm_statement s = {.attest_len = 0};
    if (attest == NULL || sig == NULL || attest->size > sizeof s.attest ||
        Tss2_MU_TPMT_SIGNATURE_Marshal(sig, s.signature, sizeof s.signature, &s.signature_len) !=
            TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_TPM, "the TPM returned a malformed attestation");
    s.attest_len = attest->size;
    memcpy(s.attest, attest->attestationData, attest->size);
    *ret = s;
    return TT_OK;
}

static tt_rc extra_take(TPM2B_DATA *ret, struct tt_bytes extra, struct tt_error *err)
{
    if (extra.len > 32) /* what every TPM takes: its largest digest may be SHA-256's */
        return error_set(err, TT_ERR_USAGE, "a TPM attests at most 32 bytes of somebody else's");
    ret->size = (UINT16)extra.len;
    if (extra.len > 0)
        memcpy(ret->buffer, extra.data, extra.len);
    return TT_OK;
}

static const TPMT_SIG_SCHEME keys_own_scheme = {.scheme = TPM2_ALG_NULL};

/* "Auth Role: ADMIN" of the object: a key whose policy guards its use is certified with its password alone,
 * as long as adminWithPolicy is clear (part 1, section 19.2). */
static tt_rc certify_once(struct tpm_statement *ret, struct tpm_attester *a, struct tpm_object *o,
                          const TPM2B_DATA *extra, struct tt_error *err)
{
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *sig = NULL;
    TT_TRY(ak_ready(a, err));
    struct object_use use = object_use_start(o, "certify the key", 0);
    do {
        TT_TRY(object_use_begin(&use, err));
        do
            use.op.rc = Esys_Certify(a->tpm->esys, o->handle, a->ak, use.session, ESYS_TR_PASSWORD,
                                     ESYS_TR_NONE, extra, &keys_own_scheme, &attest, &sig);
        while (tpm_op_again(&use.op));
    } while (object_use_again(&use));
    TT_TRY(object_use_end(&use, err));
    tt_rc rc = statement_take(ret, attest, sig, err);
    Esys_Free(attest);
    Esys_Free(sig);
    return rc;
}

tt_rc tpm_attester_certify(struct tpm_statement *ret, struct tpm_attester *a, struct tpm_key *key,
                           struct tt_bytes extra, struct tt_error *err)
{
    TPM2B_DATA data = {0};
    struct tpm_object *o = key->object;
    if (o->tpm != a->tpm)
        return error_set(err, TT_ERR_USAGE, "the key is in another TPM");
    if ((o->pub.publicArea.objectAttributes & TPMA_OBJECT_ADMINWITHPOLICY) != 0)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key cannot be certified: its attributes demand a policy for that "
                         "(adminWithPolicy)");
    TT_TRY(extra_take(&data, extra, err));
    o->as_admin = true;
    tt_rc rc = TPM_TWICE(a->tpm, err, certify_once(ret, a, o, &data, err));
    o->as_admin = false;
    return rc;
}

static tt_rc quote_once(struct tpm_statement *ret, struct tpm_attester *a, const TPML_PCR_SELECTION *pcrs,
                        const TPM2B_DATA *extra, struct tt_error *err)
{
    TPM2B_ATTEST *attest = NULL;
    TPMT_SIGNATURE *sig = NULL;
    TT_TRY(ak_ready(a, err));
    struct tpm_op op = tpm_op_start(a->tpm, "quote the PCRs");
    do
        op.rc = Esys_Quote(a->tpm->esys, a->ak, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, extra,
                           &keys_own_scheme, pcrs, &attest, &sig);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    tt_rc rc = statement_take(ret, attest, sig, err);
    Esys_Free(attest);
    Esys_Free(sig);
    return rc;
}

tt_rc tpm_attester_quote(struct tpm_statement *ret, struct tpm_attester *a, const struct tpm_pcrs *pcrs,
                         struct tt_bytes extra, struct tt_error *err)
{
    TPML_PCR_SELECTION selection = {0};
    TPM2B_DATA data = {0};
    size_t at = 0;
    if (Tss2_MU_TPML_PCR_SELECTION_Unmarshal(pcrs->selection, pcrs->selection_len, &at, &selection) !=
        TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_USAGE, "no PCRs were named");
    TT_TRY(extra_take(&data, extra, err));
    return TPM_TWICE(a->tpm, err, quote_once(ret, a, &selection, &data, err));
}

/* ---- the credential ---- */

/* A wrong credential has many codes (docs/attestation.md): INTEGRITY for another attestation key; VALUE or
 * FAILURE, after which the TPM works on, for another endorsement key; SIZE for one of another type. */
static tt_rc activate_end(const struct tpm_op *op, struct tt_error *err)
{
    const TPM2_RC wrong[] = {TPM2_RC_INTEGRITY, TPM2_RC_VALUE,     TPM2_RC_SIZE,
                             TPM2_RC_FAILURE,   TPM2_RC_ECC_POINT, TPM2_RC_INSUFFICIENT};
    for (size_t i = 0; i < TT_COUNT(wrong); i++)
        if (tpm_rc_is(op->rc, wrong[i])) {
            op->tpm->last_failure = op->rc;
            (void)error_set(err, TT_ERR_VERIFY,
                            "the credential was not made for this TPM's endorsement key and attestation key "
                            "(0x%x)",
                            op->rc);
            error_hint(
                err, "it answers other evidence than this TPM's: make new evidence, and a credential for it");
            return TT_ERR_VERIFY;
        }
    return tpm_op_end(op, err);
}

/* The low range wants PolicySecret of the endorsement hierarchy; the high range takes its password, which is
 * empty for what we have derived. Of a kept one nobody says so, and wrong ones count. */
static tt_rc ek_authorize(ESYS_TR *ret, const struct tpm_attester *a, struct tt_error *err)
{
    const struct tpm_parent ek = {.object = a->ek, .ek = a->ek_policy, .counts = a->ek_persistent};
    return parent_authorize(ret, a->tpm, &ek, err);
}

struct credential {
    TPM2B_ID_OBJECT blob;
    TPM2B_ENCRYPTED_SECRET secret;
};

static tt_rc activate_once(TPM2B_DIGEST *ret, struct tpm_attester *a, const struct credential *c,
                           struct tt_error *err)
{
    TPM2B_DIGEST *info = NULL;
    ESYS_TR session;
    TT_TRY(load_once(a, err));
    TT_TRY(ek_authorize(&session, a, err));
    struct tpm_op op = tpm_op_start(a->tpm, "activate the credential");
    do
        op.rc = Esys_ActivateCredential(a->tpm->esys, a->ak, a->ek, ESYS_TR_PASSWORD, session, ESYS_TR_NONE,
                                        &c->blob, &c->secret, &info);
    while (tpm_op_again(&op));
    parent_authorize_end(a->tpm, session, op.rc);
    TT_TRY(activate_end(&op, err));
    bool right = info != NULL && info->size <= sizeof info->buffer;
    if (right)
        *ret = *info;
    if (info != NULL)
        mem_wipe(info, sizeof *info);
    Esys_Free(info);
    return right ? TT_OK : error_set(err, TT_ERR_TPM, "the TPM returned a malformed credential");
}

tt_rc tpm_attester_activate(uint8_t *ret, size_t *ret_len, struct tpm_attester *a, struct tt_bytes blob,
                            struct tt_bytes secret, struct tt_error *err)
{
    struct credential c = {.blob.size = 0};
    TPM2B_DIGEST info = {0};
    size_t blob_end = 0, secret_end = 0;
    if (Tss2_MU_TPM2B_ID_OBJECT_Unmarshal(blob.data, blob.len, &blob_end, &c.blob) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_ENCRYPTED_SECRET_Unmarshal(secret.data, secret.len, &secret_end, &c.secret) !=
            TSS2_RC_SUCCESS ||
        blob_end != blob.len || secret_end != secret.len)
        return error_set(err, TT_ERR_DECODE, "the credential is damaged");
    TT_TRY(TPM_TWICE(a->tpm, err, activate_once(&info, a, &c, err)));
    memcpy(ret, info.buffer, info.size);
    *ret_len = info.size;
    mem_wipe(&info, sizeof info);
    return TT_OK;
}

tt_rc tpm_key_area(struct buf *to, const struct tpm_key *k)
{
    return attest_area(to, &k->object->pub);
}
