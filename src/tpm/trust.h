/* tpm/trust.h: which storage key is the right one. Layer: tpm; for the files of src/tpm only.
 *
 * What is secret goes to a TPM encrypted to a storage key, so it is as safe as our knowledge of that key's
 * name. Three say it: whoever opened the TPM (tt_tpm_expect_storage, --srk-name), for every key that is made;
 * a key file, for its own parent; and what was seen first, for the rest of the process. Whoever gets between
 * us and the TPM later has a key of another name, and gets nothing. */
#ifndef TPM_TRUST_H
#define TPM_TRUST_H

#include "tpm/srk.h"

/* trust_parent: is this the wanted one? From now on it has to be the same. TT_ERR_TPM with both names in the
 * sentence. */
TT_MUST_USE tt_rc trust_parent(struct tt_tpm *tpm, const struct parent_want *want, const struct tpm_parent *p,
                               struct tt_error *err);
/* trust_believe: the file of a key that is used, but not loaded yet, says so; what is known already stays. */
void trust_believe(struct tt_tpm *tpm, const struct parent_want *want);

/* name_of: the name of this public area, by our own arithmetic: ESAPI's takes longer than a signature
 * (tpm/session_own.h). TT_ERR_UNSUPPORTED: its hash is one that we lack. */
TT_MUST_USE tt_rc name_of(TPM2B_NAME *ret, struct tt_tpm *tpm, const TPM2B_PUBLIC *pub, struct tt_error *err);
/* name_check: this is the name of this public area: not every version of ESAPI looks whether what
 * TPM2_ReadPublic says is right. TT_ERR_TPM. */
TT_MUST_USE tt_rc name_check(struct tt_tpm *tpm, const TPM2B_PUBLIC *pub, const TPM2B_NAME *name,
                             struct tt_error *err);

#endif
