/* tpm/caps.h: what the chip is and what it can do. Layer: tpm; for the files of src/tpm only. Each function
 * sends commands, so none is on the way of a signature or of opening a key. */
#ifndef TPM_CAPS_H
#define TPM_CAPS_H

#include "tpm/context.h"

/* caps_identify: fill in description and vendor_is_software; one command. Never fails: what is unknown is
 * left out. */
void caps_identify(struct tt_tpm *tpm);

/* caps_lockout_counter: wrong passwords that the TPM has counted and not yet forgotten; one command. */
TT_MUST_USE tt_rc caps_lockout_counter(uint32_t *ret, struct tt_tpm *tpm, struct tt_error *err);

/* caps_require: TT_ERR_UNSUPPORTED, naming the types the chip has, unless it can make this type of key and
 * the hash that TLS 1.3 signs with under it. */
TT_MUST_USE tt_rc caps_require(struct tt_tpm *tpm, enum tt_key_type type, struct tt_error *err);

#endif
