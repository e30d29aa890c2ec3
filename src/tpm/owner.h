/* tpm/owner.h: the passwords of hierarchies (--owner-auth-*, --endorsement-auth-*): the owner's, for deriving
 * the storage root key and for persistent handles; the endorsement hierarchy's, for its keys and their use.
 * Layer: tpm; for the files of src/tpm only. TPM 2.0 part 1, section 13.6. */
#ifndef TPM_OWNER_H
#define TPM_OWNER_H

#include "tpm/context.h"

/* hierarchy_authorize: the session for one command that needs the hierarchy's password;
 * hierarchy_authorize_end behind it. Without a password that is ESYS_TR_PASSWORD, the empty one; a wrong one
 * of a hierarchy's does not count. Others than the owner's and the endorsement hierarchy have none here. */
TT_MUST_USE tt_rc hierarchy_authorize(ESYS_TR *ret, struct tt_tpm *tpm, ESYS_TR hierarchy,
                                      struct tt_error *err);
void hierarchy_authorize_end(struct tt_tpm *tpm, ESYS_TR hierarchy);
/* hierarchy_password: it, where it is known and not empty; else NULL. */
const TPM2B_AUTH *hierarchy_password(const struct tt_tpm *tpm, ESYS_TR hierarchy);
/* hierarchy_refused: the command failed because of the password. */
bool hierarchy_refused(const struct tpm_op *op);

/* owner_explain, endorsement_explain: say so: TT_ERR_AUTH; what else the caller can do is its hint, where no
 * password was given. */
tt_rc owner_explain(const struct tpm_op *op, const char *otherwise, struct tt_error *err);
tt_rc endorsement_explain(const struct tpm_op *op, struct tt_error *err);

#endif
