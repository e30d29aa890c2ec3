/* signer/signer.h: who can sign: a TPM key, a software key, a test double; one interface behind tt_key_*.
 * Layer: signer. Implementations: tpm_signer.c, soft_signer.c, and doubles in tests. */
#ifndef SIGNER_SIGNER_H
#define SIGNER_SIGNER_H

#include "base/mem.h"
#include "tpmtls/key.h"

#define SIGNER_MAX_SCHEMES 12

/* struct signer_ops: what an implementation provides. sign gets the message, not the digest. */
struct signer_ops {
    tt_rc (*sign)(struct tt_key *key, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                  size_t *ret_len, struct tt_error *err);
    void (*free)(struct tt_key *key); /* frees what the implementation added, not the struct */
};

/* struct tt_key: embed it first in the implementation's own struct. */
struct tt_key {
    const struct signer_ops *ops;
    enum tt_key_type type;
    bool is_tpm;
    uint16_t schemes[SIGNER_MAX_SCHEMES];
    size_t schemes_len;
    uint16_t x509_scheme;
    uint8_t *spki; /* owned DER */
    size_t spki_len;
    uint8_t name[66]; /* TPM name */
    size_t name_len;
};

/* signer_tpm_key: the TPM's key behind it, which it owns; NULL for another kind. */
struct tpm_key;
struct tpm_key *signer_tpm_key(struct tt_key *key);

/* password_check: of a new object, not empty: a TPM takes it as it is. */
TT_MUST_USE tt_rc password_check(const struct tt_bytes *password, struct tt_error *err);

#endif
