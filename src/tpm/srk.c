/* tpm/srk.c: the storage root key: at 0x81000001 when the key there has the right name, else derived from the
 * owner hierarchy. Layer: tpm. TCG TPM v2.0 Provisioning Guidance 7.5.1; draft-bottomley-tpm2-keys, "parent".
 */
#include "tpm/srk.h"

#include <string.h>

#include "tpm/keyfile.h"
#include "tpm/persistent.h"
#include "tpm/public.h"
#include "tpm/trust.h"

#define EK_HANDLE_RSA 0x81010001U /* TCG registry of reserved handles */
#define EK_HANDLE_ECC 0x81010002U

static tt_rc srk_context_load(ESYS_TR *ret, struct tt_tpm *tpm)
{
    struct tpm_op op = tpm_op_start(tpm, "load the storage root key's context");
    do
        op.rc = Esys_ContextLoad(tpm->esys, tpm->srk, ret);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, NULL);
}

/* Keeps the primary's context when it is likely to be wanted again; failing to is no failure. */
static void srk_context_keep(struct tt_tpm *tpm, ESYS_TR primary)
{
    struct tpm_op op = tpm_op_start(tpm, "save the storage root key's context");
    do
        op.rc = Esys_ContextSave(tpm->esys, primary, &tpm->srk);
    while (tpm_op_again(&op));
    if (op.rc != TSS2_RC_SUCCESS)
        tpm->srk = NULL;
}

/* struct primary: what is derived, and from which seed. */
struct primary {
    ESYS_TR hierarchy;
    TPM2B_PUBLIC template;
};

/* A session would be salted to this very public area. */
static tt_rc parent_name(TPM2B_NAME *ret, struct tt_tpm *tpm, ESYS_TR parent, struct tt_error *err)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_TR_GetName(tpm->esys, parent, &name);
    if (rc != TSS2_RC_SUCCESS || name->size > sizeof name->name || name->size < 2) {
        Esys_Free(name);
        return error_set(err, TT_ERR_TPM, "cannot get the name of the key's parent (0x%x)", rc);
    }
    *ret = *name;
    Esys_Free(name);
    return TT_OK;
}

static tt_rc parent_verify(struct tt_tpm *tpm, ESYS_TR parent, const TPM2B_PUBLIC *pub, struct tt_error *err)
{
    TPM2B_NAME name;
    TT_TRY(parent_name(&name, tpm, parent, err));
    return name_check(tpm, pub, &name, err);
}

static tt_rc primary_end(ESYS_TR *primary, const struct tpm_op *op, TPM2B_PUBLIC *pub, struct tt_error *err)
{
    TT_TRY(tpm_op_end(op, err));
    tt_rc rc = parent_verify(op->tpm, *primary, pub, err);
    Esys_Free(pub);
    if (rc != TT_OK)
        tpm_flush(op->tpm, primary);
    return rc;
}

static tt_rc primary_create(ESYS_TR *ret, struct tt_tpm *tpm, const struct primary *p, struct tt_error *err)
{
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC *pub = NULL;
    struct tpm_op op = tpm_op_start(tpm, "derive the storage root key");
    do
        op.rc = Esys_CreatePrimary(tpm->esys, p->hierarchy, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                   &sensitive, &p->template, &outside, &pcrs, ret, &pub, NULL, NULL, NULL);
    while (tpm_op_again(&op));
    if (!tpm_rc_is(op.rc, TPM2_RC_BAD_AUTH) && !tpm_rc_is(op.rc, TPM2_RC_AUTH_FAIL))
        return primary_end(ret, &op, pub, err);
    tt_rc rc = error_set(err, TT_ERR_AUTH,
                         "cannot derive the storage root key: the TPM's %s hierarchy has a password (0x%x)",
                         p->hierarchy == ESYS_TR_RH_OWNER ? "owner" : "endorsement or platform", op.rc);
    error_hint(err, "put the storage root key at 0x81000001 once, as the owner, and make keys whose file "
                    "names it as their parent");
    return rc;
}

/* Deriving takes 50 to 300 ms on a chip. The first time the primary is just flushed, since most processes
 * load one key, and keeping it would cost a command; from the second time on its saved context is used. */
static tt_rc srk_derive(ESYS_TR *ret, struct tt_tpm *tpm, bool keep, struct tt_error *err)
{
    if (tpm->srk != NULL) {
        if (srk_context_load(ret, tpm) == TT_OK)
            return TT_OK;
        Esys_Free(tpm->srk); /* a restarted TPM forgets contexts */
        tpm->srk = NULL;
    }
    const struct primary srk = {ESYS_TR_RH_OWNER, public_srk(false)};
    TT_TRY(primary_create(ret, tpm, &srk, err));
    if (keep || tpm->srk_derivations++ > 0)
        srk_context_keep(tpm, *ret);
    return TT_OK;
}

static tt_rc persistent_parent(struct tpm_parent *ret, struct tt_tpm *tpm, uint32_t handle,
                               struct tt_error *err)
{
    TPM2B_PUBLIC pub;
    ESYS_TR object = ESYS_TR_NONE;
    struct tt_error why = {0};
    tt_rc rc = persistent_open(&object, &pub, tpm, handle, &why);
    if (rc == TT_ERR_NOT_FOUND) {
        (void)error_set(err, TT_ERR_NOT_FOUND,
                        "the key's parent, persistent handle 0x%08x, is not in this TPM", handle);
        error_hint(err, "the key belongs to another TPM, or the parent was removed from this one");
        return rc;
    }
    if (rc != TT_OK) {
        if (err != NULL)
            *err = why;
        return rc;
    }
    rc = parent_verify(tpm, object, &pub, err);
    if (rc != TT_OK) {
        (void)Esys_TR_Close(tpm->esys, &object);
        return rc;
    }
    *ret = (struct tpm_parent){
        .object = object, .rsa = pub.publicArea.type == TPM2_ALG_RSA, .ek = public_is_ek_policy(&pub)};
    return TT_OK;
}

static bool parent_primary(struct primary *ret, const struct parent_want *want)
{
    switch (want->handle) {
    case EK_HANDLE_RSA:
    case EK_HANDLE_ECC:
        *ret = (struct primary){ESYS_TR_RH_ENDORSEMENT, public_ek(want->handle == EK_HANDLE_RSA, false)};
        return true;
    case TPM2_RH_ENDORSEMENT:
        *ret = (struct primary){ESYS_TR_RH_ENDORSEMENT,
                                want->ek_template ? public_ek(want->rsa, true) : public_srk(want->rsa)};
        return true;
    case TPM2_RH_PLATFORM:
        *ret = (struct primary){ESYS_TR_RH_PLATFORM, public_srk(want->rsa)};
        return true;
    case TPM2_RH_NULL:
        *ret = (struct primary){ESYS_TR_RH_NULL, public_srk(want->rsa)};
        return true;
    default:
        *ret = (struct primary){ESYS_TR_RH_OWNER, public_srk(want->rsa)};
        return want->handle == KEYFILE_PARENT_OWNER || want->handle == KEYFILE_PARENT_SRK;
    }
}

/* Where the storage root key was removed since, the same one can be derived; under a wrong one TPM2_Load
 * fails. The same goes for the endorsement keys. */
static bool is_derivable(uint32_t handle)
{
    return handle >> 24 != TPM2_HT_PERSISTENT || handle == KEYFILE_PARENT_SRK || handle == EK_HANDLE_RSA ||
           handle == EK_HANDLE_ECC;
}

static tt_rc parent_find(struct tpm_parent *ret, struct tt_tpm *tpm, const struct parent_want *want,
                         struct tt_error *err)
{
    struct primary primary;
    if (!is_derivable(want->handle))
        return persistent_parent(ret, tpm, want->handle, err);
    if (!parent_primary(&primary, want))
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key's parent 0x%08x is neither a hierarchy nor a persistent handle",
                         want->handle);
    if (want->handle >> 24 == TPM2_HT_PERSISTENT && persistent_parent(ret, tpm, want->handle, NULL) == TT_OK)
        return TT_OK;
    ESYS_TR object = ESYS_TR_NONE;
    if (primary.hierarchy == ESYS_TR_RH_OWNER && !want->rsa)
        TT_TRY(srk_derive(&object, tpm, false, err));
    else
        TT_TRY(primary_create(&object, tpm, &primary, err));
    *ret = (struct tpm_parent){
        .object = object, .transient = true, .rsa = want->rsa, .ek = public_is_ek_policy(&primary.template)};
    return TT_OK;
}

static tt_rc parent_check(struct tt_tpm *tpm, struct tpm_parent *p, const struct parent_want *want,
                          struct tt_error *err)
{
    TT_TRY(parent_name(&p->name, tpm, p->object, err));
    return trust_parent(tpm, want, p, err);
}

tt_rc parent_acquire(struct tpm_parent *ret, struct tt_tpm *tpm, const struct parent_want *want,
                     struct tt_error *err)
{
    struct tpm_parent p = {.object = ESYS_TR_NONE};
    TT_TRY(parent_find(&p, tpm, want, err));
    tt_rc rc = parent_check(tpm, &p, want, err);
    if (rc != TT_OK) {
        parent_release(tpm, &p);
        return rc;
    }
    *ret = p;
    return TT_OK;
}

void parent_release(struct tt_tpm *tpm, struct tpm_parent *p)
{
    if (p->object == ESYS_TR_NONE)
        return;
    if (p->transient)
        tpm_flush(tpm, &p->object);
    else
        (void)Esys_TR_Close(tpm->esys, &p->object);
    p->object = ESYS_TR_NONE;
}

tt_rc parent_for_new_key(struct tpm_parent *ret, uint32_t *ret_handle, struct tt_tpm *tpm,
                         struct tt_error *err)
{
    const struct parent_want want = {.handle = KEYFILE_PARENT_OWNER, .creates = true};
    ESYS_TR derived = ESYS_TR_NONE;
    TT_TRY(srk_derive(&derived, tpm, true, err));
    struct tpm_parent p = {.object = derived, .transient = true}, at_handle;
    tt_rc rc = parent_check(tpm, &p, &want, err);
    if (rc != TT_OK) {
        parent_release(tpm, &p);
        return rc;
    }
    *ret = p;
    *ret_handle = KEYFILE_PARENT_OWNER;
    if (persistent_parent(&at_handle, tpm, KEYFILE_PARENT_SRK, NULL) == TT_OK) {
        const struct parent_want same = {.handle = KEYFILE_PARENT_SRK, .name = &p.name};
        if (parent_check(tpm, &at_handle, &same, NULL) == TT_OK)
            *ret_handle = KEYFILE_PARENT_SRK;
        parent_release(tpm, &at_handle);
    }
    return TT_OK;
}

/* ---- using an endorsement key ---- */

static tt_rc ek_policy(ESYS_TR session, struct tt_tpm *tpm, struct tt_error *err)
{
    struct tpm_op op = tpm_op_start(tpm, "use the endorsement key");
    do
        op.rc = Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, session, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                  ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
    while (tpm_op_again(&op));
    return tpm_op_end(&op, err);
}

tt_rc parent_authorize(ESYS_TR *ret, struct tt_tpm *tpm, const struct tpm_parent *p, struct tt_error *err)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    *ret = ESYS_TR_PASSWORD;
    if (!p->ek)
        return TT_OK;
    ESYS_TR session = ESYS_TR_NONE;
    struct tpm_op op = tpm_op_start(tpm, "start a session for the endorsement key");
    do
        op.rc = Esys_StartAuthSession(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                      ESYS_TR_NONE, NULL, TPM2_SE_POLICY, &none, TPM2_ALG_SHA256, &session);
    while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    (void)Esys_TRSess_SetAttributes(tpm->esys, session, 0, 0xff); /* it ends with the command */
    tt_rc rc = ek_policy(session, tpm, err);
    if (rc != TT_OK) {
        tpm_flush(tpm, &session);
        return rc;
    }
    *ret = session;
    return TT_OK;
}

void parent_authorize_end(struct tt_tpm *tpm, ESYS_TR session, TSS2_RC rc)
{
    if (session != ESYS_TR_PASSWORD && rc != TSS2_RC_SUCCESS)
        tpm_flush(tpm, &session);
}
