/* signer/made.h: a key that is made and opened at once. Layer: signer; not of the library's face. */
#ifndef SIGNER_MADE_H
#define SIGNER_MADE_H

#include "signer/signer.h"

struct tpm_key;

/* signer_from_tpm: takes the key over, also on failure. */
TT_MUST_USE tt_rc signer_from_tpm(struct tt_key **ret, struct tpm_key *tpm, struct tt_error *err);

/* signer_make: tt_key_create_with and tt_key_open_pem_with in one, which takes the TPM three commands fewer.
 */
TT_MUST_USE tt_rc signer_make(struct tt_key **ret, char **ret_pem, struct tt_tpm *tpm,
                              const struct tt_key_params *params, struct tt_error *err);

#endif
