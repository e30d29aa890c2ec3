/* tpm/key.h: a signing key in the TPM: create, load, sign. Layer: tpm. The face the signer sees: no tss2 type
 * here.
 *
 * At most one key of a struct tt_tpm is in the chip at a time: using another one saves the first one's
 * context and swaps. Digests come from the caller; this layer hashes nothing and verifies nothing. */
#ifndef TPM_KEY_H
#define TPM_KEY_H

#include "base/buf.h"
#include "tpmtls/key.h"

/* Hash algorithms by TPM_ALG_ID (TPM 2.0 part 2, 6.3). */
enum tpm_hash {
    TPM_HASH_ANY = 0x0010, /* TPM_ALG_NULL */
    TPM_HASH_SHA256 = 0x000b,
    TPM_HASH_SHA384 = 0x000c,
    TPM_HASH_SHA512 = 0x000d
};

/* enum tpm_padding: how an RSA key may be asked to sign. */
enum tpm_padding {
    TPM_PADDING_ANY,
    TPM_PADDING_PKCS1,
    TPM_PADDING_PSS
};

/* struct tpm_key_info: what the public area says. */
struct tpm_key_info {
    enum tt_key_type type; /* TT_KEY_OTHER: RSA of another size */
    bool rsa;
    unsigned bits;            /* of the modulus or the field */
    bool raw;                 /* RSA: TPM2_RSA_Decrypt without padding is allowed */
    bool can_sign;            /* TPM2_Sign is allowed */
    enum tpm_padding padding; /* RSA: fixed by the key's scheme, or any */
    uint16_t hash;            /* enum tpm_hash, fixed by the key's scheme, or any */
    bool counts_failures;     /* wrong passwords count towards lockout (not noDA) */
    bool restricted;
};

struct tpm_key;

/* tpm_key_create: a new key of a type under the storage root key; *ret_pem as in tt_key_create. */
TT_MUST_USE tt_rc tpm_key_create(char **ret_pem, struct tt_tpm *tpm, enum tt_key_type type,
                                 struct tt_error *err);
TT_MUST_USE tt_rc tpm_key_load(struct tpm_key **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                               struct tt_error *err);
TT_MUST_USE tt_rc tpm_key_persistent(struct tpm_key **ret, struct tt_tpm *tpm, uint32_t handle,
                                     struct tt_error *err);
void tpm_key_free(struct tpm_key *k);
TT_DEFINE_AUTO(struct tpm_key, tpm_key_free)

const struct tpm_key_info *tpm_key_info(const struct tpm_key *k);
/* tpm_key_name: nameAlg || digest; valid until free. */
struct tt_bytes tpm_key_name(const struct tpm_key *k);
/* tpm_key_spki: to be freed with mem_free. */
TT_MUST_USE tt_rc tpm_key_spki(uint8_t **ret, size_t *ret_len, const struct tpm_key *k);

/* tpm_key_sign_ecdsa: *ret_der is a DER Ecdsa-Sig-Value. One command. */
TT_MUST_USE tt_rc tpm_key_sign_ecdsa(struct buf *ret_der, struct tpm_key *k, uint16_t hash,
                                     struct tt_bytes digest, struct tt_error *err);
/* tpm_key_sign_rsa: TPM2_Sign with RSASSA or RSAPSS (with whatever salt the chip likes); ret has bits/8
 * bytes. */
TT_MUST_USE tt_rc tpm_key_sign_rsa(uint8_t *ret, struct tpm_key *k, enum tpm_padding padding, uint16_t hash,
                                   struct tt_bytes digest, struct tt_error *err);
/* tpm_key_rsa_raw: the private operation on a padded number of bits/8 bytes (TPM2_RSA_Decrypt, TPM_ALG_NULL).
 */
TT_MUST_USE tt_rc tpm_key_rsa_raw(uint8_t *ret, struct tpm_key *k, struct tt_bytes padded,
                                  struct tt_error *err);

#endif
