/* tpm/session.c: start, keep and drop the salted sessions. Layer: tpm. TPM 2.0 part 3, section 11.1
 * (StartAuthSession). The name of the key that salts is the caller's to check, before. */
#include "tpm/session.h"

#include <string.h>

#include "tpm/session_own.h"
#include "tpm/session_start.h"

bool session_fits(const struct tt_tpm *tpm, const struct session_want *want, const TPM2B_NAME *salt)
{
    const struct tpm_session *s = &tpm->sessions[want->kind];
    return s->open && s->hash == want->hash &&
           (salt->size == 0 ||
            (salt->size == s->salt.size && memcmp(salt->name, s->salt.name, salt->size) == 0));
}

tt_rc session_open(struct tt_tpm *tpm, const struct session_want *want, const struct tpm_parent *salt,
                   struct tt_error *err)
{
    static const TPMT_SYM_DEF cipher = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    struct tpm_session *s = &tpm->sessions[want->kind];
    if (session_fits(tpm, want, &salt->name))
        return TT_OK;
    session_close(tpm, want->kind);
    bool may_own = want->kind == TPM_SESSION_HMAC && want->hash == TPM2_ALG_SHA256;
    struct tpm_session started = {.open = true, .hash = want->hash, .salt = salt->name};
    struct tpm_op op = tpm_op_start(tpm, "start an encrypted session");
    do {
        op.rc = may_own && session_start_possible(tpm, salt) ? session_start(&started, tpm, salt)
                                                             : TSS2_ESYS_RC_NOT_IMPLEMENTED;
        if (op.rc == TSS2_ESYS_RC_NOT_IMPLEMENTED)
            op.rc = Esys_StartAuthSession(tpm->esys, salt->object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                          ESYS_TR_NONE, NULL,
                                          want->kind == TPM_SESSION_POLICY ? TPM2_SE_POLICY : TPM2_SE_HMAC,
                                          &cipher, want->hash, &started.handle);
    } while (tpm_op_again(&op));
    TT_TRY(tpm_op_end(&op, err));
    *s = started;
    mem_wipe(&started.own, sizeof started.own);
    if (may_own && !s->own.known)
        session_own_learn(tpm);
    return TT_OK;
}

ESYS_TR session_use(struct tt_tpm *tpm, enum tpm_session_kind kind, TPMA_SESSION attributes)
{
    struct tpm_session *s = &tpm->sessions[kind];
    if (kind == TPM_SESSION_HMAC && !session_own_give_back(tpm))
        return ESYS_TR_NONE;
    (void)Esys_TRSess_SetAttributes(tpm->esys, s->handle, attributes | TPMA_SESSION_CONTINUESESSION, 0xff);
    return s->handle;
}

/* Is what is at its handle the session that we started, and in step with us? Only the two ends of a session
 * can compute its HMAC, and nothing else is asked of this command: it has no password that could be wrong, so
 * that no failure counts. */
static bool session_is_ours(struct tt_tpm *tpm, enum tpm_session_kind kind)
{
    TPM2B_DIGEST *unused = NULL;
    ESYS_TR session = session_use(tpm, kind, TPMA_SESSION_ENCRYPT);
    struct tpm_op op = tpm_op_start(tpm, "prove a session");
    do
        op.rc = Esys_GetRandom(tpm->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, 1, &unused);
    while (tpm_op_again(&op));
    Esys_Free(unused);
    return op.rc == TSS2_RC_SUCCESS;
}

bool sessions_prove(struct tt_tpm *tpm)
{
    bool all = true;
    for (enum tpm_session_kind kind = 0; kind < TPM_SESSIONS; kind++) {
        struct tpm_session *s = &tpm->sessions[kind];
        if (!s->open || session_is_ours(tpm, kind))
            continue;
        (void)Esys_TR_Close(tpm->esys, &s->handle);
        *s = (struct tpm_session){.open = false};
        all = false;
    }
    return all;
}

void session_close(struct tt_tpm *tpm, enum tpm_session_kind kind)
{
    struct tpm_session *s = &tpm->sessions[kind];
    if (s->open)
        tpm_flush(tpm, &s->handle);
    *s = (struct tpm_session){.open = false};
}

bool session_is_lost(TSS2_RC rc)
{
    for (TPM2_RC code = TPM2_RC_REFERENCE_S0; code <= TPM2_RC_REFERENCE_S6; code++)
        if (tpm_rc_is(rc, code))
            return true;
    return false;
}

bool session_is_spoilt(TSS2_RC rc)
{
    return session_is_lost(rc) || tpm_rc_is(rc, TPM2_RC_BAD_AUTH) || tpm_rc_is(rc, TPM2_RC_AUTH_FAIL);
}
