/* tpm/mldsa.h: ML-DSA keys (FIPS 204) of a TPM 2.0 of version 1.85 or later: made, loaded, signed with.
 * Layer: tpm. No tss2 type at its face.
 *
 * tpm2-tss knows neither these structures nor these commands, so both are marshalled here, and sent past
 * ESAPI. A key has no password and no policy, and signs messages (pure ML-DSA, no context) as TLS and X.509
 * want it. */
#ifndef TPM_MLDSA_H
#define TPM_MLDSA_H

#include "base/buf.h"
#include "tpm/software.h"
#include "tpmtls/key.h"

/* TPMI_MLDSA_PARMS, part 2, section 11.2.7. */
enum tpm_mldsa_set {
    TPM_MLDSA_44 = 1,
    TPM_MLDSA_65,
    TPM_MLDSA_87
};
#define TPM_MLDSA_SIGNATURE_MAX 4627

/* tpm_mldsa_create: under the storage root key; *ret_pem is a NUL-terminated key file. TT_ERR_UNSUPPORTED:
 * the TPM has no ML-DSA, or not this set. */
TT_MUST_USE tt_rc tpm_mldsa_create(char **ret_pem, struct tt_tpm *tpm, enum tpm_mldsa_set set,
                                   struct tt_bytes description, struct tt_error *err);

/* tpm_mldsa_is: does this key file hold one? What is wrong with it tpm_mldsa_load says. */
bool tpm_mldsa_is(struct tt_bytes pem);

/* tpm_mldsa_public_read: false: the TPM2B_PUBLIC is not that of such a key. */
bool tpm_mldsa_public_read(struct soft_public *ret, struct tt_bytes tpm2b);

struct tpm_mldsa;
/* tpm_mldsa_load: the TPM must outlive it. */
TT_MUST_USE tt_rc tpm_mldsa_load(struct tpm_mldsa **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                                 struct tt_error *err);
void tpm_mldsa_free(struct tpm_mldsa *k);
TT_DEFINE_AUTO(struct tpm_mldsa, tpm_mldsa_free)

enum tpm_mldsa_set tpm_mldsa_set(const struct tpm_mldsa *k);
struct tt_bytes tpm_mldsa_public(const struct tpm_mldsa *k); /* as FIPS 204 encodes it */
struct tt_bytes tpm_mldsa_name(const struct tpm_mldsa *k);

/* tpm_mldsa_sign: two commands, and one more for each 1,024 bytes of the message beyond the first. Whether
 * the signature is right is for the caller to verify. */
TT_MUST_USE tt_rc tpm_mldsa_sign(uint8_t ret[TPM_MLDSA_SIGNATURE_MAX], size_t *ret_len, struct tpm_mldsa *k,
                                 struct tt_bytes message, struct tt_error *err);

#endif
