/* tpm/guard.h: may a password be tried? Layer: tpm; for the files of src/tpm only.
 *
 * A TPM counts wrong passwords and locks itself after a few. So this one place decides, for every object and
 * every way to it, before anything is sent: the empty password is never tried unasked where a wrong one may
 * count. */
#ifndef TPM_GUARD_H
#define TPM_GUARD_H

#include "tpm/object.h"
#include "tpm/srk.h"

/* guard_object: TT_ERR_AUTH when the object may not be used with what was given. One command, once an object,
 * where a file says that there is no password and wrong ones count; else none. */
TT_MUST_USE tt_rc guard_object(struct tpm_object *o, struct tt_error *err);
/* guard_policy_password: before a policy's PolicyAuthValue or PolicyPassword. */
TT_MUST_USE tt_rc guard_policy_password(const struct tpm_object *o, struct tt_error *err);
/* guard_policy_secret: before PolicySecret of the entity with this handle; counts: wrong passwords of it may
 * count. */
TT_MUST_USE tt_rc guard_policy_secret(const struct tpm_object *o, uint32_t handle, bool counts,
                                      struct tt_error *err);
/* guard_parent: before a storage key is used, with the empty password. One that counts (tss2_provision makes
 * its storage root key so) must not lock the TPM, start after start, should it have a password after all. */
TT_MUST_USE tt_rc guard_parent(struct tt_tpm *tpm, const struct tpm_parent *p, struct tt_error *err);
/* guard_nv: the empty password of an NV index may be tried: a wrong one does not count. */
bool guard_nv(TPMA_NV attributes);
/* guard_answer: after each use of a password: a wrong one that may have been counted is not tried again. */
void guard_answer(struct tpm_object *o, TSS2_RC rc, bool counts);
/* guard_counts: wrong passwords of the object itself count. */
bool guard_counts(const struct tpm_object *o);

#endif
