/* tpm/name.h: names of objects, and the hashes in them. Layer: tpm. Asks no TPM. */
#ifndef TPM_NAME_H
#define TPM_NAME_H

#include "crypto/hash.h"
#include "tpm/software.h"

/* hash_of_alg: from a TPM_ALG_ID; HASH_NONE for one we lack. */
enum hash_id hash_of_alg(uint16_t alg);
/* name_of_public: nameAlg || digest(TPMT_PUBLIC), TPM 2.0 part 1, section 16. ret has 66 bytes.
 * TT_ERR_UNSUPPORTED: a hash we lack. */
TT_MUST_USE tt_rc name_of_public(uint8_t *ret, size_t *ret_len, const struct crypto_lib *lib,
                                 const struct soft_public *pub);

#endif
