/* tpm/srk.h: the parent a key is created or loaded under. Layer: tpm; for the files of src/tpm only. */
#ifndef TPM_SRK_H
#define TPM_SRK_H

#include "tpm/context.h"

/* struct tpm_parent: a parent for one or two commands; give it back with parent_release. */
struct tpm_parent {
    ESYS_TR object;
    bool transient; /* must be flushed, since it takes one of three slots */
};

/* parent_acquire: the parent that a key file names: a persistent handle (one command), or TPM_RH_OWNER, for
 * which the primary is derived, with the RSA template when rsa is set. */
TT_MUST_USE tt_rc parent_acquire(struct tpm_parent *ret, struct tt_tpm *tpm, uint32_t handle, bool rsa,
                                 struct tt_error *err);
void parent_release(struct tt_tpm *tpm, struct tpm_parent *p);

/* parent_for_new_key: the storage root key, derived, and in *ret_handle what a key file should say:
 * 0x81000001 when the key there has the same name (later starts then save the derivation), else TPM_RH_OWNER.
 */
TT_MUST_USE tt_rc parent_for_new_key(struct tpm_parent *ret, uint32_t *ret_handle, struct tt_tpm *tpm,
                                     struct tt_error *err);

#endif
