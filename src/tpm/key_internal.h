/* tpm/key_internal.h: struct tpm_key, for key.c and sign.c. Layer: tpm. */
#ifndef TPM_KEY_INTERNAL_H
#define TPM_KEY_INTERNAL_H

#include "tpm/context.h"
#include "tpm/key.h"

struct tpm_key {
    struct tt_tpm *tpm; /* not owned */
    ESYS_TR object;     /* ESYS_TR_NONE while it is not in the chip */
    bool persistent;
    TPMS_CONTEXT *saved; /* or NULL */
    uint32_t parent;
    bool rsa_parent;
    TPM2B_PUBLIC pub;
    TPM2B_PRIVATE priv; /* encrypted by the TPM for its parent */
    TPM2B_NAME name;
    struct tpm_key_info info;
};

/* tpm_key_use: make sure that the key is in the chip, at the expense of another one of ours. */
TT_MUST_USE tt_rc tpm_key_use(struct tpm_key *k, struct tt_error *err);

/* tpm_key_lost: the command failed because the chip no longer has the key (it was restarted, or somebody
 * flushed it); the key is then marked as not loaded and the command may be tried once more. */
bool tpm_key_lost(struct tpm_key *k, const struct tpm_op *op);

#endif
