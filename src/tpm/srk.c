/* tpm/srk.c: the storage root key: at 0x81000001 when the key there has the right name, else derived from the
 * owner hierarchy. Layer: tpm. TCG TPM v2.0 Provisioning Guidance 7.5.1; draft-bottomley-tpm2-keys, "parent".
 */
#include "tpm/srk.h"

#include <string.h>

#include "tpm/alg.h"
#include "tpm/ek.h"
#include "tpm/guard.h"
#include "tpm/key.h"
#include "tpm/keyfile.h"
#include "tpm/owner.h"
#include "tpm/persistent.h"
#include "tpm/public.h"
#include "tpm/trust.h"

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

static tt_rc primary_create(ESYS_TR *ret, TPM2B_PUBLIC *ret_pub, struct tt_tpm *tpm, const struct primary *p,
                            struct tt_error *err)
{
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PUBLIC *pub = NULL;
    ESYS_TR session = ESYS_TR_PASSWORD;
    TT_TRY(hierarchy_authorize(&session, tpm, p->hierarchy, err));
    struct tpm_op op = tpm_op_start(tpm, "derive the storage root key");
    do
        op.rc = Esys_CreatePrimary(tpm->esys, p->hierarchy, session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                                   &p->template, &outside, &pcrs, ret, &pub, NULL, NULL, NULL);
    while (tpm_op_again(&op));
    hierarchy_authorize_end(tpm, p->hierarchy);
    if (!hierarchy_refused(&op)) {
        TT_TRY(tpm_op_end(&op, err));
        *ret_pub = *pub;
        Esys_Free(pub);
        return TT_OK;
    }
    if (p->hierarchy == ESYS_TR_RH_OWNER)
        return owner_explain(&op, "have the owner put it at 0x81000001, where no password is needed", err);
    if (p->hierarchy == ESYS_TR_RH_ENDORSEMENT)
        return endorsement_explain(&op, err);
    return error_set(err, TT_ERR_AUTH,
                     "cannot derive the key's parent: the TPM's platform hierarchy has a password (0x%x)",
                     op.rc);
}

tt_rc srk_derive_ek(TPM2B_PUBLIC *ret, struct tt_tpm *tpm, const TPM2B_PUBLIC *template, struct tt_error *err)
{
    const struct primary p = {ESYS_TR_RH_ENDORSEMENT, *template};
    ESYS_TR object = ESYS_TR_NONE;
    TT_TRY(primary_create(&object, ret, tpm, &p, err));
    tpm_flush(tpm, &object);
    return TT_OK;
}

/* Deriving takes 50 to 300 ms on a chip. The first time the primary is just flushed, since most processes
 * load one key, and keeping it would cost a command; from the second time on its saved context is used. */
static tt_rc srk_derive(ESYS_TR *ret, TPM2B_PUBLIC *ret_pub, struct tt_tpm *tpm, bool keep,
                        struct tt_error *err)
{
    if (tpm->srk != NULL) {
        *ret_pub = tpm->srk_pub;
        if (srk_context_load(ret, tpm) == TT_OK)
            return TT_OK;
        Esys_Free(tpm->srk); /* a restarted TPM forgets contexts */
        tpm->srk = NULL;
    }
    const struct primary srk = {ESYS_TR_RH_OWNER, public_srk(false)};
    TT_TRY(primary_create(ret, ret_pub, tpm, &srk, err));
    tpm->srk_pub = *ret_pub;
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
    *ret = (struct tpm_parent){
        .object = object,
        .pub = pub,
        .rsa = pub.publicArea.type == TPM2_ALG_RSA,
        .ek = ek_wants_policy(&pub),
        .storage = public_is_storage(&pub),
        .srk = public_is_srk(&pub),
        .counts = (pub.publicArea.objectAttributes & TPMA_OBJECT_NODA) == 0,
    };
    return TT_OK;
}

/* The storage root key that cannot be derived without the owner's password, where the owner has put it. */
static tt_rc persistent_srk(struct tpm_parent *ret, struct tt_tpm *tpm)
{
    struct tpm_parent p;
    TT_TRY(persistent_parent(&p, tpm, KEYFILE_PARENT_SRK, NULL));
    if (!p.srk) {
        parent_release(tpm, &p);
        return TT_ERR_NOT_FOUND;
    }
    *ret = p;
    return TT_OK;
}

/* An endorsement key that is not kept at its handle: as the chip's NV memory says, else as the profile does.
 */
static tt_rc ek_primary(struct primary *ret, struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    ret->hierarchy = ESYS_TR_RH_ENDORSEMENT;
    return ek_template(&ret->template, NULL, tpm, ek_kind_at(handle), err);
}

static tt_rc parent_primary(struct primary *ret, struct tt_tpm *tpm, const struct parent_want *want,
                            struct tt_error *err)
{
    if (ek_kind_at(want->handle) != NULL)
        return ek_primary(ret, tpm, want->handle, err);
    switch (want->handle) {
    case TPM2_RH_ENDORSEMENT:
        *ret = (struct primary){ESYS_TR_RH_ENDORSEMENT,
                                want->ek_template ? ek_profile(ek_kind_of(want->rsa ? "H-1" : "H-2"))
                                                  : public_srk(want->rsa)};
        return TT_OK;
    case TPM2_RH_PLATFORM:
        *ret = (struct primary){ESYS_TR_RH_PLATFORM, public_srk(want->rsa)};
        return TT_OK;
    case TPM2_RH_NULL:
        *ret = (struct primary){ESYS_TR_RH_NULL, public_srk(want->rsa)};
        return TT_OK;
    default:
        *ret = (struct primary){ESYS_TR_RH_OWNER, public_srk(want->rsa)};
        return want->handle == KEYFILE_PARENT_OWNER || want->handle == KEYFILE_PARENT_SRK
                   ? TT_OK
                   : error_set(
                         err, TT_ERR_UNSUPPORTED,
                         "the key file names a parent that can be none (%s): it must be a hierarchy or a "
                         "persistent handle",
                         alg_handle_text(want->handle).text);
    }
}

/* Where the storage root key was removed since, the same one can be derived; under a wrong one TPM2_Load
 * fails. The same goes for the endorsement keys. */
static bool is_derivable(uint32_t handle)
{
    return handle >> 24 != TPM2_HT_PERSISTENT || handle == KEYFILE_PARENT_SRK || ek_kind_at(handle) != NULL;
}

static tt_rc parent_find(struct tpm_parent *ret, struct tt_tpm *tpm, const struct parent_want *want,
                         struct tt_error *err)
{
    struct primary primary;
    if (!is_derivable(want->handle))
        return persistent_parent(ret, tpm, want->handle, err);
    struct tt_error why = {0};
    tt_rc rc = want->handle >> 24 == TPM2_HT_PERSISTENT ? persistent_parent(ret, tpm, want->handle, &why)
                                                        : TT_ERR_NOT_FOUND;
    if (rc != TT_ERR_NOT_FOUND) { /* an answer that contradicts itself is no reason to go on */
        if (err != NULL)
            *err = why;
        return rc;
    }
    why = (struct tt_error){0};
    TT_TRY(parent_primary(&primary, tpm, want, err));
    ESYS_TR object = ESYS_TR_NONE;
    bool owner = primary.hierarchy == ESYS_TR_RH_OWNER;
    TPM2B_PUBLIC pub;
    rc = owner && !want->rsa ? srk_derive(&object, &pub, tpm, false, &why)
                             : primary_create(&object, &pub, tpm, &primary, &why);
    if (rc == TT_ERR_AUTH && owner && !tpm->owner.is_known && persistent_srk(ret, tpm) == TT_OK)
        return TT_OK; /* not the key's parent: then TPM2_Load says so */
    if (rc != TT_OK && err != NULL)
        *err = why;
    TT_TRY(rc);
    *ret = (struct tpm_parent){.object = object,
                               .pub = pub,
                               .transient = true,
                               .rsa = want->rsa,
                               .ek = ek_wants_policy(&primary.template)};
    return TT_OK;
}

static tt_rc parent_check(struct tt_tpm *tpm, struct tpm_parent *p, const struct parent_want *want,
                          struct tt_error *err)
{
    TT_TRY(name_of(&p->name, tpm, &p->pub, err));
    return trust_parent(tpm, want, p, err);
}

/* Takes it over. */
static tt_rc parent_checked(struct tpm_parent *ret, struct tt_tpm *tpm, struct tpm_parent *p,
                            const struct parent_want *want, struct tt_error *err)
{
    tt_rc rc = parent_check(tpm, p, want, err);
    if (rc == TT_OK)
        *ret = *p;
    else
        parent_release(tpm, p);
    return rc;
}

tt_rc parent_acquire(struct tpm_parent *ret, struct tt_tpm *tpm, const struct parent_want *want,
                     struct tt_error *err)
{
    struct tpm_parent p = {.object = ESYS_TR_NONE};
    TT_TRY(parent_find(&p, tpm, want, err));
    return parent_checked(ret, tpm, &p, want, err);
}

tt_rc srk_at_handle(struct tpm_parent *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    struct tpm_parent p;
    TT_TRY(persistent_parent(&p, tpm, KEYFILE_PARENT_SRK, err));
    tt_rc rc = name_of(&p.name, tpm, &p.pub, err);
    if (rc == TT_OK)
        *ret = p;
    else
        parent_release(tpm, &p);
    return rc;
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

static bool same_name(const TPM2B_NAME *a, const TPM2B_NAME *b)
{
    return a->size == b->size && memcmp(a->name, b->name, a->size) == 0;
}

/* By its name where that is known and it is at its place; else derived; else by its place and public area. */
static tt_rc srk_find(struct tpm_parent *ret, struct tt_tpm *tpm, bool again, struct tt_error *err)
{
    struct tpm_parent p = {.object = ESYS_TR_NONE, .transient = true}, there;
    if (tpm->storage.size > 0 && srk_at_handle(&there, tpm, NULL) == TT_OK) {
        if (there.storage && same_name(&there.name, &tpm->storage)) {
            *ret = there;
            return TT_OK;
        }
        parent_release(tpm, &there);
    }
    struct tt_error why = {0};
    tt_rc rc = srk_derive(&p.object, &p.pub, tpm, again, &why);
    if (rc == TT_ERR_AUTH && !tpm->owner.is_known && persistent_srk(ret, tpm) == TT_OK)
        return TT_OK;
    if (rc != TT_OK && err != NULL)
        *err = why;
    TT_TRY(rc);
    *ret = p;
    return TT_OK;
}

tt_rc tt_tpm_set_parent(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    if (handle != 0 && handle >> 24 != TPM2_HT_PERSISTENT)
        return error_set(err, TT_ERR_USAGE, "0x%08x is not a persistent handle (0x81000000 to 0x81ffffff)",
                         handle);
    tpm->parent = handle;
    return TT_OK;
}

static tt_rc parent_named(struct tpm_parent *ret, struct tt_tpm *tpm, struct tt_error *err)
{
    struct tpm_parent p;
    struct tt_error why = {0};
    tt_rc rc = persistent_parent(&p, tpm, tpm->parent, &why);
    if (rc == TT_ERR_NOT_FOUND) {
        (void)error_set(err, TT_ERR_TPM, "there is no key at 0x%08x in this TPM", tpm->parent);
        error_hint(err, "`tpmtls key list` shows what is where");
        return TT_ERR_TPM;
    }
    if (rc != TT_OK && err != NULL)
        *err = why;
    TT_TRY(rc);
    if (p.storage)
        return parent_checked(ret, tpm, &p, &(struct parent_want){.handle = tpm->parent, .creates = true},
                              err);
    parent_release(tpm, &p);
    (void)error_set(err, TT_ERR_UNSUPPORTED, "nothing can be made under 0x%08x: %s", tpm->parent,
                    p.ek ? "it is an endorsement key, which needs a policy"
                         : "it is not a storage key (restricted, decrypt)");
    error_hint(err, "`tpmtls key list` shows which keys are storage keys");
    return TT_ERR_UNSUPPORTED;
}

tt_rc parent_for_new_key(struct tpm_parent *ret, uint32_t *ret_handle, struct tt_tpm *tpm, bool again,
                         struct tt_error *err)
{
    const struct parent_want want = {.handle = KEYFILE_PARENT_OWNER, .creates = true};
    struct tpm_parent p, there;
    *ret_handle = tpm->parent;
    if (tpm->parent != 0)
        return parent_named(ret, tpm, err);
    TT_TRY(srk_find(&p, tpm, again, err));
    TT_TRY(parent_checked(ret, tpm, &p, &want, err));
    *ret_handle = ret->transient ? KEYFILE_PARENT_OWNER : KEYFILE_PARENT_SRK;
    if (ret->transient && srk_at_handle(&there, tpm, NULL) == TT_OK) {
        if (same_name(&there.name, &ret->name))
            *ret_handle = KEYFILE_PARENT_SRK;
        parent_release(tpm, &there);
    }
    return TT_OK;
}

/* ---- using an endorsement key ---- */

static tt_rc ek_policy(ESYS_TR session, struct tt_tpm *tpm, struct tt_error *err)
{
    struct tpm_op op = tpm_op_start(tpm, "use the endorsement key");
    ESYS_TR password;
    TT_TRY(hierarchy_authorize(&password, tpm, ESYS_TR_RH_ENDORSEMENT, err));
    do
        op.rc = Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, session, password, ESYS_TR_NONE,
                                  ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
    while (tpm_op_again(&op));
    hierarchy_authorize_end(tpm, ESYS_TR_RH_ENDORSEMENT);
    return hierarchy_refused(&op) ? endorsement_explain(&op, err) : tpm_op_end(&op, err);
}

tt_rc parent_authorize(ESYS_TR *ret, struct tt_tpm *tpm, const struct tpm_parent *p, struct tt_error *err)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    *ret = ESYS_TR_PASSWORD;
    if (!p->ek)
        return guard_parent(tpm, p, err);
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
    TPM2_HANDLE handle;
    if (Esys_TR_GetTpmHandle(tpm->esys, session, &handle) == TSS2_RC_SUCCESS)
        loaded_ended(&tpm->meter.loaded, handle);
    *ret = session;
    return TT_OK;
}

void parent_authorize_end(struct tt_tpm *tpm, ESYS_TR session, TSS2_RC rc)
{
    if (session != ESYS_TR_PASSWORD && rc != TSS2_RC_SUCCESS)
        tpm_flush(tpm, &session);
}
