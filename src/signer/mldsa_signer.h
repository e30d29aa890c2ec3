/* signer/mldsa_signer.h: an ML-DSA key in a TPM of version 1.85. Layer: signer. */
#ifndef SIGNER_MLDSA_SIGNER_H
#define SIGNER_MLDSA_SIGNER_H

#include "tpmtls/key.h"

/* mldsa_signer_open: of a key file for which tpm_mldsa_is. TT_ERR_UNSUPPORTED: libcrypto cannot verify it. */
TT_MUST_USE tt_rc mldsa_signer_open(struct tt_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                    const struct tt_bytes *password, struct tt_error *err);

#endif
