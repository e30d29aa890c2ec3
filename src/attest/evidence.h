/* attest/evidence.h: what the files of src/attest share about evidence. Layer: attest. */
#ifndef ATTEST_EVIDENCE_H
#define ATTEST_EVIDENCE_H

#include "attest/structures.h"
#include "tpmtls/attest.h"

/* evidence_extra: what a statement's extraData must be. */
TT_MUST_USE tt_rc evidence_extra(uint8_t ret[32], const struct crypto_lib *lib, const struct tt_evidence *e,
                                 bool quote);

/* struct credential: what TPM2_ActivateCredential takes: TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET. */
#define CREDENTIAL_SECRET 32
struct credential {
    struct buf blob, encrypted;
};
void credential_free(struct credential *c);
/* credential_make: TPM2_MakeCredential in software, for an endorsement key and the name of an attestation
 * key. TT_ERR_UNSUPPORTED: the key's algorithms. */
TT_MUST_USE tt_rc credential_make(struct credential *ret, const struct crypto_lib *lib,
                                  const struct at_public *ek, const struct at_name *ak,
                                  const uint8_t secret[CREDENTIAL_SECRET]);

#endif
