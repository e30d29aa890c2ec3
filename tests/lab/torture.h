/* tests/lab/torture.h: an operation on a TPM, repeated so often that each of its commands fails in each way
 * the lab knows. */
#ifndef LAB_TORTURE_H
#define LAB_TORTURE_H

#include "lab_test.h"

extern struct temp_tpm torture_chip; /* started and stopped by the test program */

/* torture_fn: does it once, on a fresh connection or one that went through a fault, and checks what it got.
 */
typedef tt_rc torture_fn(struct tt_tpm *tpm, struct tt_error *err);

/* torture: each time: a sentence, nothing leaked, and the next attempt works. What is only lost is asked for
 * again at once, and nobody notices. */
void torture(torture_fn *run);

/* torture_sign: open the key and sign (for a request or a handshake); a wrong signature fails the test. */
tt_rc torture_sign(struct tt_tpm *tpm, const char *pem, const struct tt_bytes *password, bool for_request,
                   struct tt_error *err);
/* torture_create: a key that was made must work: it is used on a chip that does not misbehave. */
tt_rc torture_create(const struct tt_key_params *params, struct tt_tpm *tpm, struct tt_error *err);

#endif
