/* tpm/attest.h: what a TPM says about its keys and itself: an attestation key beside the endorsement key,
 * TPM2_Certify, TPM2_Quote, TPM2_ActivateCredential. Layer: tpm; marshalled bytes at its face, no tss2 type.
 * Judges nothing: that is src/attest's.
 *
 * The attestation key is a primary key of the endorsement hierarchy: the TPM derives the same one each time,
 * so that nothing has to be kept anywhere, and what it attests has the TPM's true counters and firmware
 * version (one of the owner's hierarchy has them obfuscated; TPM 2.0 part 1, section 36.7). It is derived
 * with the first use and taken out of the TPM by tpm_attester_free. */
#ifndef TPM_ATTEST_H
#define TPM_ATTEST_H

#include "base/buf.h"
#include "tpm/key.h"

struct tpm_attester;

/* struct tpm_attest_want: which endorsement key, and where its certificate is. */
struct tpm_attest_want {
    const char
        *ek; /* its template, "L-1" to "H-7"; NULL: the one that has a certificate, elliptic curves first */
    bool no_certificate; /* do not look for one in NV memory; with ek NULL: L-2 */
};
/* tpm_attester_open: find the endorsement key and its certificate; the TPM is kept until free.
 * TT_ERR_NOT_FOUND: there is no certificate in this TPM. */
TT_MUST_USE tt_rc tpm_attester_open(struct tpm_attester **ret, struct tt_tpm *tpm,
                                    const struct tpm_attest_want *want, struct tt_error *err);
void tpm_attester_free(struct tpm_attester *a);
TT_DEFINE_AUTO(struct tpm_attester, tpm_attester_free)

/* What it found; valid until free. The certificate is as it lies in NV memory, without padding; the chain is
 * the content of 0x01c00100 and on, one behind the other. Both may be empty. */
struct tt_bytes tpm_attester_certificate(const struct tpm_attester *a);
struct tt_bytes tpm_attester_chain(const struct tpm_attester *a);
const char *tpm_attester_kind(const struct tpm_attester *a); /* "P-384" */

/* tpm_attester_load: derive the attestation key, and open or derive the endorsement key. The two public areas
 * (TPMT_PUBLIC) are valid until free. */
TT_MUST_USE tt_rc tpm_attester_load(struct tpm_attester *a, struct tt_error *err);
struct tt_bytes tpm_attester_ak_public(const struct tpm_attester *a);
struct tt_bytes tpm_attester_ek_public(const struct tpm_attester *a);

/* tpm_attester_endorsement: open or derive the endorsement key alone; append its SubjectPublicKeyInfo. */
TT_MUST_USE tt_rc tpm_attester_endorsement(struct buf *ret_spki, struct tpm_attester *a,
                                           struct tt_error *err);

/* struct tpm_statement: TPMS_ATTEST and TPMT_SIGNATURE. */
#define TPM_STATEMENT_MAX 1024
struct tpm_statement {
    uint8_t attest[TPM_STATEMENT_MAX], signature[TPM_STATEMENT_MAX];
    size_t attest_len, signature_len;
};
/* tpm_attester_certify: that this key is in the TPM. extra: at most 32 bytes. The key's password is needed,
 * and goes to the TPM as for a signature; its policy is not. */
TT_MUST_USE tt_rc tpm_attester_certify(struct tpm_statement *ret, struct tpm_attester *a, struct tpm_key *key,
                                       struct tt_bytes extra, struct tt_error *err);
/* tpm_attester_quote: the digest of these PCRs. */
TT_MUST_USE tt_rc tpm_attester_quote(struct tpm_statement *ret, struct tpm_attester *a,
                                     const struct tpm_pcrs *pcrs, struct tt_bytes extra,
                                     struct tt_error *err);
/* tpm_attester_activate: the secret of a credential that was made for both keys. blob: TPM2B_ID_OBJECT,
 * secret: TPM2B_ENCRYPTED_SECRET. ret has room for 64 bytes. TT_ERR_VERIFY: it was made for others. */
TT_MUST_USE tt_rc tpm_attester_activate(uint8_t *ret, size_t *ret_len, struct tpm_attester *a,
                                        struct tt_bytes blob, struct tt_bytes secret, struct tt_error *err);

/* tpm_key_area: append the key's TPMT_PUBLIC. */
TT_MUST_USE tt_rc tpm_key_area(struct buf *to, const struct tpm_key *k);

#endif
