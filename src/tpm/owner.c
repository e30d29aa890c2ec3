/* tpm/owner.c: see owner.h. Layer: tpm. The password never crosses the bus, and what does cannot be used to
 * guess it: it goes into the HMAC of a session that is salted. The salt is for a key of the null hierarchy,
 * which every TPM derives for everybody: it keeps out who listens. */
#include "tpm/owner.h"

#include <string.h>

#include "tpm/key.h"
#include "tpm/session.h"

static tt_rc password_set(struct hierarchy *h, const char *whose, const struct tt_bytes *password,
                          struct tt_error *err)
{
    mem_wipe(h, sizeof *h);
    if (password == NULL)
        return TT_OK;
    if (password->len > sizeof h->auth.buffer)
        return error_set(err, TT_ERR_AUTH, "%s password is too long: a TPM takes at most %zu bytes", whose,
                         sizeof h->auth.buffer);
    h->is_known = true;
    h->auth.size = (UINT16)password->len;
    if (password->len > 0)
        memcpy(h->auth.buffer, password->data, password->len);
    return TT_OK;
}

tt_rc tt_tpm_set_owner_password(struct tt_tpm *tpm, const struct tt_bytes *password, struct tt_error *err)
{
    return password_set(&tpm->owner, "the owner's", password, err);
}

tt_rc tt_tpm_set_endorsement_password(struct tt_tpm *tpm, const struct tt_bytes *password,
                                      struct tt_error *err)
{
    return password_set(&tpm->endorsement, "the endorsement hierarchy's", password, err);
}

static const struct hierarchy *hierarchy_of(const struct tt_tpm *tpm, ESYS_TR hierarchy)
{
    return hierarchy == ESYS_TR_RH_OWNER         ? &tpm->owner
           : hierarchy == ESYS_TR_RH_ENDORSEMENT ? &tpm->endorsement
                                                 : NULL;
}

const TPM2B_AUTH *hierarchy_password(const struct tt_tpm *tpm, ESYS_TR hierarchy)
{
    const struct hierarchy *h = hierarchy_of(tpm, hierarchy);
    return h != NULL && h->is_known && h->auth.size > 0 ? &h->auth : NULL;
}

static tt_rc session_ready(struct tt_tpm *tpm, struct tt_error *err)
{
    static const struct session_want want = {TPM_SESSION_HMAC, TPM2_ALG_SHA256};
    static const TPM2B_NAME any = {.size = 0};
    struct tpm_parent salt;
    if (session_fits(tpm, &want, &any))
        return TT_OK;
    TT_TRY(parent_acquire(&salt, tpm, &(struct parent_want){.handle = TPM2_RH_NULL}, err));
    tt_rc rc = session_open(tpm, &want, &salt, err);
    parent_release(tpm, &salt);
    return rc;
}

tt_rc hierarchy_authorize(ESYS_TR *ret, struct tt_tpm *tpm, ESYS_TR hierarchy, struct tt_error *err)
{
    const TPM2B_AUTH *password = hierarchy_password(tpm, hierarchy);
    *ret = ESYS_TR_PASSWORD;
    if (password == NULL)
        return TT_OK;
    TT_TRY(session_ready(tpm, err));
    if (Esys_TR_SetAuth(tpm->esys, hierarchy, password) != TSS2_RC_SUCCESS)
        return error_set(err, TT_ERR_INTERNAL, "cannot set a hierarchy's password");
    *ret = session_use(tpm, TPM_SESSION_HMAC, 0);
    return TT_OK;
}

void hierarchy_authorize_end(struct tt_tpm *tpm, ESYS_TR hierarchy)
{
    if (hierarchy_password(tpm, hierarchy) != NULL)
        (void)Esys_TR_SetAuth(tpm->esys, hierarchy, NULL); /* ESAPI's copy */
}

bool hierarchy_refused(const struct tpm_op *op)
{
    return tpm_rc_is(op->rc, TPM2_RC_BAD_AUTH) || tpm_rc_is(op->rc, TPM2_RC_AUTH_FAIL);
}

tt_rc owner_explain(const struct tpm_op *op, const char *otherwise, struct tt_error *err)
{
    op->tpm->last_failure = op->rc;
    if (op->tpm->owner.is_known)
        return error_set(err, TT_ERR_AUTH, "cannot %s: the owner's password is wrong (0x%x)", op->what,
                         op->rc);
    (void)error_set(err, TT_ERR_AUTH, "cannot %s: the TPM's owner hierarchy has a password (0x%x)", op->what,
                    op->rc);
    error_hint(err,
               "give it with --owner-auth-file FILE, --owner-auth-fd N or --owner-auth-credential NAME%s%s",
               otherwise[0] != '\0' ? "; or " : "", otherwise);
    return TT_ERR_AUTH;
}

tt_rc endorsement_explain(const struct tpm_op *op, struct tt_error *err)
{
    op->tpm->last_failure = op->rc;
    if (op->tpm->endorsement.is_known)
        return error_set(err, TT_ERR_AUTH, "cannot %s: the endorsement hierarchy's password is wrong (0x%x)",
                         op->what, op->rc);
    (void)error_set(err, TT_ERR_AUTH, "cannot %s: the TPM's endorsement hierarchy has a password (0x%x)",
                    op->what, op->rc);
    error_hint(err, "give it with --endorsement-auth-file FILE, --endorsement-auth-fd N or "
                    "--endorsement-auth-credential NAME; the owner's password does not help here");
    return TT_ERR_AUTH;
}
