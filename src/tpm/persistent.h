/* tpm/persistent.h: objects at persistent handles: open, put there, remove, list. Layer: tpm; for the files
 * of src/tpm only. TPM 2.0 part 3, section 28.5 (EvictControl); handles: TCG registry of reserved TPM 2.0
 * handles. */
#ifndef TPM_PERSISTENT_H
#define TPM_PERSISTENT_H

#include "tpm/context.h"

/* persistent_open: one command; TT_ERR_NOT_FOUND: nothing is there. Close with Esys_TR_Close. */
TT_MUST_USE tt_rc persistent_open(ESYS_TR *ret, TPM2B_PUBLIC *ret_pub, struct tt_tpm *tpm, uint32_t handle,
                                  struct tt_error *err);
/* persistent_check: TT_ERR_USAGE unless the owner may put something at this handle. */
TT_MUST_USE tt_rc persistent_check(uint32_t handle, struct tt_error *err);
/* persistent_put: keep a loaded object at a handle, where nothing may be yet (TT_ERR_EXISTS). */
TT_MUST_USE tt_rc persistent_put(struct tt_tpm *tpm, ESYS_TR object, uint32_t handle, struct tt_error *err);

#endif
