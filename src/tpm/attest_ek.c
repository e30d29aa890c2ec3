/* tpm/attest_ek.c: the endorsement key that a TPM attests with: which one has a certificate, where it is, how
 * it is derived. Layer: tpm. TCG EK Credential Profile for TPM 2.0, sections 2.2.1.4 and 2.2.1.5. What lies
 * in NV memory is hostile. */
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/attest_internal.h"
#include "tpm/key.h"
#include "tpm/nv.h"
#include "tpm/owner.h"
#include "tpm/persistent.h"
#include "tpm/public.h"
#include "wire/der_chain.h"

#define NV_FIRST    0x01c00000U
#define NV_LAST     0x01c001ffU
#define CHAIN_FIRST 0x01c00100U
#define LIST_MAX    254

/* Elliptic curves first: where the key is not kept, RSA takes seconds to derive. */
static const char *const preferred[] = {"L-2", "H-2", "H-3", "H-4", "L-1", "H-1", "H-6", "H-7"};

/* struct nv_list: the endorsement hierarchy's NV indexes that are there; one command. */
struct nv_list {
    uint32_t at[LIST_MAX];
    size_t len;
};

static bool listed(const struct nv_list *l, uint32_t index)
{
    for (size_t i = 0; index != 0 && i < l->len; i++)
        if (l->at[i] == index)
            return true;
    return false;
}

/* Vendors pad the index: only what is at its front counts. */
static tt_rc certificate_read(struct tpm_attester *a, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf data = {0};
    TT_TRY(nv_read(&data, a->tpm, a->kind->certificate, ATTEST_MAX_CERT, err));
    struct tt_bytes rest = buf_bytes(&data), first = {NULL, 0};
    if (!der_chain_next(&first, &rest))
        return error_set(
            err, TT_ERR_DECODE,
            "NV index 0x%08x, where the endorsement key's certificate should be, holds something "
            "else",
            a->kind->certificate);
    return buf_append(&a->certificate, first.data, first.len) == TT_OK
               ? TT_OK
               : error_set(err, TT_ERR_MEMORY, "out of memory");
}

/* What cannot be read of the chain is for the verifier to have. */
static void chain_read(struct tpm_attester *a, const struct nv_list *l)
{
    for (size_t i = 0; i < l->len; i++)
        if (l->at[i] >= CHAIN_FIRST &&
            nv_read(&a->chain, a->tpm, l->at[i], ATTEST_MAX_CHAIN - buf_size(&a->chain), NULL) != TT_OK)
            return;
}

static tt_rc no_certificate(struct tt_error *err)
{
    (void)error_set(err, TT_ERR_NOT_FOUND, "this TPM has no certificate of its endorsement key");
    error_hint(err, "its vendor may offer it for download: give it with --ek-cert FILE; `tpmtls attest ek` "
                    "writes the key, for a "
                    "certificate of your own; an emulated TPM gets one from `swtpm_setup --create-ek-cert`");
    return TT_ERR_NOT_FOUND;
}

static const struct ek_kind *kind_choose(const struct nv_list *l)
{
    for (size_t i = 0; i < TT_COUNT(preferred); i++) {
        const struct ek_kind *kind = ek_kind_of(preferred[i]);
        if (listed(l, kind->certificate))
            return kind;
    }
    return NULL;
}

tt_rc attest_ek_find(struct tpm_attester *a, const struct tpm_attest_want *want, struct tt_error *err)
{
    struct nv_list l = {.len = 0};
    TT_TRY(nv_indexes(l.at, &l.len, LIST_MAX, a->tpm, NV_FIRST, NV_LAST, err));
    a->kind = want->ek != NULL       ? ek_kind_of(want->ek)
              : want->no_certificate ? ek_kind_of("L-2")
                                     : kind_choose(&l);
    if (a->kind == NULL && want->ek != NULL)
        return error_set(err, TT_ERR_USAGE, "'%s' is no template of an endorsement key: L-1, L-2, H-1 to H-7",
                         want->ek);
    if (a->kind == NULL || (!want->no_certificate && !listed(&l, a->kind->certificate)))
        return no_certificate(err);
    a->own_template = listed(&l, a->kind->template) || listed(&l, a->kind->nonce);
    if (want->no_certificate)
        return TT_OK;
    TT_TRY(certificate_read(a, err));
    chain_read(a, &l);
    return TT_OK;
}

tt_rc attest_area(struct buf *to, const TPM2B_PUBLIC *pub)
{
    uint8_t bytes[sizeof *pub];
    size_t len = 0;
    buf_consume(to, buf_size(to));
    if (Tss2_MU_TPMT_PUBLIC_Marshal(&pub->publicArea, bytes, sizeof bytes, &len) != TSS2_RC_SUCCESS)
        return TT_ERR_TPM;
    return buf_append(to, bytes, len);
}

tt_rc attest_primary(ESYS_TR *ret, struct buf *area, struct tt_tpm *tpm, const TPM2B_PUBLIC *template,
                     const char *what, struct tt_error *err)
{
    static const TPM2B_SENSITIVE_CREATE sensitive;
    static const TPM2B_DATA outside;
    static const TPML_PCR_SELECTION pcrs;
    TPM2B_PUBLIC *pub = NULL;
    ESYS_TR object = ESYS_TR_NONE, session;
    TT_TRY(hierarchy_authorize(&session, tpm, ESYS_TR_RH_ENDORSEMENT, err));
    struct tpm_op op = tpm_op_start(tpm, what);
    do
        op.rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, session, ESYS_TR_NONE, ESYS_TR_NONE,
                                   &sensitive, template, &outside, &pcrs, &object, &pub, NULL, NULL, NULL);
    while (tpm_op_again(&op));
    hierarchy_authorize_end(tpm, ESYS_TR_RH_ENDORSEMENT);
    if (hierarchy_refused(&op))
        return endorsement_explain(&op, err);
    TT_TRY(tpm_op_end(&op, err));
    tt_rc rc = attest_area(area, pub);
    Esys_Free(pub);
    if (rc != TT_OK) {
        tpm_flush(tpm, &object);
        return error_set(err, rc, "the TPM returned a malformed public area");
    }
    *ret = object;
    return TT_OK;
}

static tt_rc ek_derive(struct tpm_attester *a, struct tt_error *err)
{
    TPM2B_PUBLIC template = ek_profile(a->kind);
    if (a->own_template)
        TT_TRY(ek_template(&template, NULL, a->tpm, a->kind, err));
    a->ek_persistent = false;
    a->ek_policy = ek_wants_policy(&template);
    return attest_primary(&a->ek, &a->ek_public, a->tpm, &template, "derive the endorsement key", err);
}

tt_rc attest_ek_open(struct tpm_attester *a, struct tt_error *err)
{
    TPM2B_PUBLIC pub;
    struct tt_error why = {0};
    tt_rc rc = persistent_open(&a->ek, &pub, a->tpm, a->kind->handle, &why);
    if (rc == TT_ERR_NOT_FOUND)
        return ek_derive(a, err);
    if (rc != TT_OK) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    a->ek_persistent = true;
    a->ek_policy = ek_wants_policy(&pub);
    return attest_area(&a->ek_public, &pub) == TT_OK ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}
