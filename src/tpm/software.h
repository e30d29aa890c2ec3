/* tpm/software.h: the TPM's structures, made and read without a TPM: public areas, private areas to be
 * wrapped, signatures, policy statements. Layer: tpm; marshalled bytes at its face, no tss2 type. Computes no
 * digest and encrypts nothing: that is the signer layer's. */
#ifndef TPM_SOFTWARE_H
#define TPM_SOFTWARE_H

#include "base/buf.h"
#include "tpm/key.h"
#include "tpm/keyfile.h"

/* struct soft_public: what a marshalled TPM2B_PUBLIC says. Views point into the bytes it was read from. */
struct soft_public {
    struct tt_bytes area; /* TPMT_PUBLIC: what the name is the digest of */
    uint16_t alg;         /* TPM_ALG_ID: RSA 0x0001, KEYEDHASH 0x0008, ECC 0x0023 */
    enum tt_key_type type;
    uint16_t name_alg;
    uint32_t attributes;
    uint8_t auth_policy[64];
    size_t auth_policy_len;
    bool storage;      /* restricted decryption: can be a parent */
    bool ek;           /* used under the endorsement key's policy A */
    uint16_t sym_bits; /* of a storage key: AES-CFB with this many bits, else 0 */
};
/* soft_public_read: TT_ERR_DECODE when it is no TPM2B_PUBLIC. */
TT_MUST_USE tt_rc soft_public_read(struct soft_public *ret, struct tt_bytes tpm2b, struct tt_error *err);
/* soft_public_describe: what it means for signing; refuses like tpm_key_load. */
TT_MUST_USE tt_rc soft_public_describe(struct tpm_key_info *ret, struct tt_bytes tpm2b, struct tt_error *err);
/* soft_public_describe_any: of one that decrypts as well. */
TT_MUST_USE tt_rc soft_public_describe_any(struct tpm_key_info *ret, struct tt_bytes tpm2b,
                                           struct tt_error *err);
/* soft_public_spki: append its DER SubjectPublicKeyInfo. */
TT_MUST_USE tt_rc soft_public_spki(struct buf *to, struct tt_bytes tpm2b);
/* soft_public_verifier: append the TPM2B_PUBLIC by which a TPM verifies signatures of this key. */
TT_MUST_USE tt_rc soft_public_verifier(struct buf *to, struct tt_bytes spki, uint16_t name_alg);

/* struct soft_private: a software key on its way into a TPM. */
struct soft_private {
    struct tt_bytes spki;
    struct tt_bytes secret; /* ECC: the scalar, as long as the field; RSA: the first prime */
    struct tt_bytes password;
    bool counts_failures;
};
/* soft_private_marshal: TPM2B_PUBLIC and TPM2B_SENSITIVE of a signing key that was made outside of a TPM. */
TT_MUST_USE tt_rc soft_private_marshal(struct buf *ret_public, struct buf *ret_sensitive,
                                       const struct soft_private *what, struct tt_error *err);

/* soft_signature: append TPMT_SIGNATURE: RSASSA from the bare number, ECDSA from its DER; empty:
 * TPM_ALG_NULL. */
TT_MUST_USE tt_rc soft_signature(struct buf *to, bool rsa, uint16_t hash, struct tt_bytes signature);

/* Policy statements' command codes, TPM 2.0 part 2, section 6.5.2. */
enum soft_policy {
    SOFT_POLICY_SECRET = 0x151,
    SOFT_POLICY_AUTHORIZE = 0x16a,
    SOFT_POLICY_AUTH_VALUE = 0x16b,
    SOFT_POLICY_COMMAND_CODE = 0x16c,
    SOFT_POLICY_COUNTER_TIMER = 0x16d,
    SOFT_POLICY_LOCALITY = 0x16f,
    SOFT_POLICY_PCR = 0x17f,
    SOFT_POLICY_PASSWORD = 0x18c
};
/* struct soft_authorize: the body of PolicyAuthorize as the draft has it; views. */
struct soft_authorize {
    struct tt_bytes signer; /* TPM2B_PUBLIC */
    struct tt_bytes ref;    /* the content of TPM2B_DIGEST policyRef */
    struct tt_bytes signature;
};
TT_MUST_USE tt_rc soft_authorize_read(struct soft_authorize *ret, struct tt_bytes body);
/* soft_policy_text: one statement in words; ret is always a string. */
void soft_policy_text(char *ret, size_t cap, const struct keyfile_policy *statement);

#endif
