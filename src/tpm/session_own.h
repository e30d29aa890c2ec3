/* tpm/session_own.h: commands with a password in the kept HMAC session, without ESAPI: its arithmetic makes a
 * new library context of OpenSSL for each hash (tss2 before 4.0), which costs ten times what the TPM takes.
 * Layer: tpm; for the files of src/tpm only.
 *
 * ESAPI knows the session; its key and nonces are read from what Esys_TR_Serialize writes, and believed only
 * when that has exactly the form and the nonceTPM which it must have (the same in tss2 3.2 and 4.1). Where
 * they do not, and for everything else (parameters that are encrypted, policies), ESAPI does it, with the
 * nonces given back first. TPM 2.0 part 1, sections 18 (structure of commands), 19.6
 * (authorizations), 11.4.10.2 (KDFa). */
#ifndef TPM_SESSION_OWN_H
#define TPM_SESSION_OWN_H

#include "tpm/object.h"

/* session_own_learn: after the HMAC session was started. Failing is none: then ESAPI is used. */
void session_own_learn(struct tt_tpm *tpm);
/* session_own_ready: can the next command go this way? */
bool session_own_ready(struct tt_tpm *tpm);
/* session_own_give_back: ESAPI is about to use the session. False: it cannot, and must not try. */
bool session_own_give_back(struct tt_tpm *tpm);

#define SESSION_OWN_RESPONSE 8192 /* ML-DSA-87's signature has 4,627 bytes */
/* session_own_exchange: a whole command and its whole answer, repeated as often as ESAPI would; what the TPM
 * says. */
TSS2_RC session_own_exchange(uint8_t response[SESSION_OWN_RESPONSE], size_t *len, struct tt_tpm *tpm,
                             struct tt_bytes command);

/* struct own_command: a command on one object with its password, and its parameters, marshalled. */
struct own_command {
    uint32_t code; /* TPM_CC */
    const struct tpm_object *object;
    struct tt_bytes parameters;
};
/* session_own_run: the response code as ESAPI would give it. ret: the answer's parameters, which are checked:
 * they are the TPM's. */
TSS2_RC session_own_run(uint8_t *ret, size_t cap, size_t *ret_len, struct tt_tpm *tpm,
                        const struct own_command *c);

#endif
