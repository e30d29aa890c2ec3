/* tpm/key_internal.h: struct tpm_key, for key.c and sign.c. Layer: tpm. */
#ifndef TPM_KEY_INTERNAL_H
#define TPM_KEY_INTERNAL_H

#include "tpm/object.h"

struct tpm_key {
    struct tpm_object *object;
    struct tpm_key_info info;
    TPMT_TK_HASHCHECK ticket; /* of the digest that tpm_key_hash made last */
};

/* tpm_key_of_file: parsed and judged; it is not loaded. */
TT_MUST_USE tt_rc tpm_key_of_file(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                  const struct tt_bytes *password, bool decryption, struct tt_error *err);

#endif
