/* tpm/owner.h: the owner hierarchy's password (--owner-auth-*): for deriving the storage root key, and for
 * persistent handles. Layer: tpm; for the files of src/tpm only. TPM 2.0 part 1, section 13.6. */
#ifndef TPM_OWNER_H
#define TPM_OWNER_H

#include "tpm/context.h"

/* owner_authorize: the session for one command that needs the owner; owner_authorize_end behind it. Without a
 * password that is ESYS_TR_PASSWORD, the empty one; a wrong one of a hierarchy's does not count. */
TT_MUST_USE tt_rc owner_authorize(ESYS_TR *ret, struct tt_tpm *tpm, struct tt_error *err);
void owner_authorize_end(struct tt_tpm *tpm);
/* owner_refused: the command failed because of the owner's password. */
bool owner_refused(const struct tpm_op *op);
/* owner_explain: says so: TT_ERR_AUTH; what else the caller can do is its hint, where none was given. */
tt_rc owner_explain(const struct tpm_op *op, const char *otherwise, struct tt_error *err);

#endif
