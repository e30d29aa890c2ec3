/* signer/vault.h: a key that only this TPM gives back, and what is encrypted under it. Layer: signer. The TPM
 * is asked once: when the vault is made or opened. */
#ifndef SIGNER_VAULT_H
#define SIGNER_VAULT_H

#include "base/buf.h"
#include "tpmtls/key.h"

struct vault;
/* vault_new: a new random key; *ret_pem is the sealed data file (NUL-terminated, to be freed with mem_free).
 * pcrs as in tt_key_params, or NULL. */
TT_MUST_USE tt_rc vault_new(struct vault **ret, char **ret_pem, struct tt_tpm *tpm, const char *pcrs,
                            struct tt_error *err);
/* vault_open: from its file. */
TT_MUST_USE tt_rc vault_open(struct vault **ret, struct tt_tpm *tpm, struct tt_bytes pem,
                             struct tt_error *err);
void vault_free(struct vault *v); /* wipes; NULL is fine */

/* vault_seal, vault_unseal: append to out; aad says what it belongs to. vault_unseal: TT_ERR_NOT_FOUND for
 * what was not made by this vault with the same aad. */
TT_MUST_USE tt_rc vault_seal(const struct vault *v, struct tt_bytes aad, struct tt_bytes plain,
                             struct buf *out);
TT_MUST_USE tt_rc vault_unseal(const struct vault *v, struct tt_bytes aad, struct tt_bytes box,
                               struct buf *out);

#endif
