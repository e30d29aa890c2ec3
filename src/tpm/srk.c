/* tpm/srk.c: the storage root key: at 0x81000001 when the key there has the right name, else derived from the
 * owner hierarchy. Layer: tpm. TCG TPM v2.0 Provisioning Guidance 7.5.1; draft-bottomley-tpm2-keys, "parent".
 */
#include "tpm/srk.h"

#include <string.h>

#include "tpm/keyfile.h"
#include "tpm/public.h"

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

static tt_rc primary_create(ESYS_TR *ret, struct tt_tpm *tpm, bool rsa, struct tt_error *err)
{
    TPM2B_PUBLIC template = public_srk(rsa);
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    struct tpm_op op = tpm_op_start(tpm, "derive the storage root key");
    do
        op.rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
                                   &sensitive, &template, &outside, &pcrs, ret, NULL, NULL, NULL, NULL);
    while (tpm_op_again(&op));
    if (!tpm_rc_is(op.rc, TPM2_RC_BAD_AUTH) && !tpm_rc_is(op.rc, TPM2_RC_AUTH_FAIL))
        return tpm_op_end(&op, err);
    tt_rc rc = error_set(
        err, TT_ERR_AUTH,
        "cannot derive the storage root key: the TPM's owner hierarchy has a password (0x%x)", op.rc);
    error_hint(
        err,
        "put the storage root key at 0x81000001 once, as the owner, and make keys whose file names it as "
        "their parent");
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
    TT_TRY(primary_create(ret, tpm, false, err));
    if (keep || tpm->srk_derivations++ > 0)
        srk_context_keep(tpm, *ret);
    return TT_OK;
}

static TSS2_RC persistent_find(ESYS_TR *ret, struct tt_tpm *tpm, uint32_t handle)
{
    struct tpm_op op = tpm_op_start(tpm, "");
    do
        op.rc = Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ret);
    while (tpm_op_again(&op));
    return op.rc;
}

static tt_rc persistent_parent(struct tpm_parent *ret, struct tt_tpm *tpm, uint32_t handle,
                               struct tt_error *err)
{
    struct tpm_op op = tpm_op_start(tpm, "read the key's parent");
    ESYS_TR object = ESYS_TR_NONE;
    op.rc = persistent_find(&object, tpm, handle);
    if (tpm_rc_is(op.rc, TPM2_RC_HANDLE)) {
        tt_rc rc = error_set(err, TT_ERR_NOT_FOUND,
                             "the key's parent, persistent handle 0x%08x, is not in this TPM", handle);
        error_hint(err, "the key belongs to another TPM, or the parent was removed from this one");
        return rc;
    }
    TT_TRY(tpm_op_end(&op, err));
    *ret = (struct tpm_parent){.object = object};
    return TT_OK;
}

tt_rc parent_acquire(struct tpm_parent *ret, struct tt_tpm *tpm, uint32_t handle, bool rsa,
                     struct tt_error *err)
{
    if (handle >> 24 == TPM2_HT_PERSISTENT && handle != KEYFILE_PARENT_SRK)
        return persistent_parent(ret, tpm, handle, err);
    if (handle != KEYFILE_PARENT_OWNER && handle != KEYFILE_PARENT_SRK)
        return error_set(err, TT_ERR_UNSUPPORTED,
                         "the key's parent 0x%08x is neither TPM_RH_OWNER nor a persistent handle", handle);
    /* Where the storage root key was removed since, the same one can be derived; under a wrong one TPM2_Load
     * fails. */
    if (handle == KEYFILE_PARENT_SRK && persistent_parent(ret, tpm, handle, NULL) == TT_OK)
        return TT_OK;
    ESYS_TR object = ESYS_TR_NONE;
    if (rsa)
        TT_TRY(primary_create(&object, tpm, true, err));
    else
        TT_TRY(srk_derive(&object, tpm, false, err));
    *ret = (struct tpm_parent){.object = object, .transient = true};
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

static bool same_name(struct tt_tpm *tpm, ESYS_TR a, ESYS_TR b)
{
    TPM2B_NAME *x = NULL, *y = NULL;
    bool same = Esys_TR_GetName(tpm->esys, a, &x) == TSS2_RC_SUCCESS &&
                Esys_TR_GetName(tpm->esys, b, &y) == TSS2_RC_SUCCESS && x->size > 2 && x->size == y->size &&
                memcmp(x->name, y->name, x->size) == 0;
    Esys_Free(x);
    Esys_Free(y);
    return same;
}

tt_rc parent_for_new_key(struct tpm_parent *ret, uint32_t *ret_handle, struct tt_tpm *tpm,
                         struct tt_error *err)
{
    ESYS_TR derived = ESYS_TR_NONE;
    TT_TRY(srk_derive(&derived, tpm, true, err));
    *ret = (struct tpm_parent){.object = derived, .transient = true};
    *ret_handle = KEYFILE_PARENT_OWNER;
    struct tpm_parent at_handle;
    if (persistent_parent(&at_handle, tpm, KEYFILE_PARENT_SRK, NULL) == TT_OK) {
        if (same_name(tpm, derived, at_handle.object))
            *ret_handle = KEYFILE_PARENT_SRK;
        parent_release(tpm, &at_handle);
    }
    return TT_OK;
}
