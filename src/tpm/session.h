/* tpm/session.h: the two authorisation sessions of one TPM: HMAC (passwords) and policy. Layer: tpm; for the
 * files of src/tpm only.
 *
 * Both are salted to a storage key, so that what travels under them cannot be read or guessed on the bus, use
 * AES-128-CFB parameter encryption, and are kept: starting one costs more than a signature. TPM 2.0 part 1,
 * section 19. */
#ifndef TPM_SESSION_H
#define TPM_SESSION_H

#include "tpm/srk.h"

/* struct session_want: a policy session's hash is the name algorithm of the object it is for; an empty name:
 * salted to any key. */
struct session_want {
    enum tpm_session_kind kind;
    TPMI_ALG_HASH hash;
};
/* session_open: make sure that the session is there and salted to this key. */
TT_MUST_USE tt_rc session_open(struct tt_tpm *tpm, const struct session_want *want,
                               const struct tpm_parent *salt, struct tt_error *err);
bool session_fits(const struct tt_tpm *tpm, const struct session_want *want, const TPM2B_NAME *salt);
/* session_use: the handle, with these attributes (TPMA_SESSION_DECRYPT, _ENCRYPT) and continued use. */
ESYS_TR session_use(struct tt_tpm *tpm, enum tpm_session_kind kind, TPMA_SESSION attributes);
/* session_close: flush it. */
void session_close(struct tt_tpm *tpm, enum tpm_session_kind kind);
/* sessions_prove: each session has to show, by a command without consequences, that it is the one we started,
 * and in step with us; forget, without flushing, those that do not: since a restart of the TPM they may be
 * somebody else's. True: nothing had to be forgotten. */
bool sessions_prove(struct tt_tpm *tpm);
/* session_is_lost: a command failed because the TPM does not have (one of) its sessions. */
bool session_is_lost(TSS2_RC rc);
/* session_is_spoilt: or did not accept what was sent in one, which may be the session's fault: both ends must
 * know the same nonces. */
bool session_is_spoilt(TSS2_RC rc);

#endif
