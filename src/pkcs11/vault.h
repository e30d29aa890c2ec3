/* pkcs11/vault.h: the TPM behind the tokens: opened with the first use, given back when nothing is left to
 * do. Layer: pkcs11. All of these may wait for other threads' TPM commands; none may be called with
 * module.mutex held. */
#ifndef PKCS11_VAULT_H
#define PKCS11_VAULT_H

#include "pkcs11/mechanism.h"
#include "pkcs11/module.h"

/* vault_sign: with the PIN that the token was logged in with. */
CK_RV vault_sign(struct token *t, struct contents *c, const struct apart_signed *what,
                 uint8_t sig[RAW_SIGNATURE_MAX], size_t *ret_len);
/* struct vault_job, vault_do: the same for anything that a key does. */
struct vault_job {
    enum mechanism_kind kind;        /* to sign, to decrypt or to derive */
    const struct apart_signed *what; /* to sign */
    enum apart_hash hash;            /* to decrypt: of OAEP */
    struct tt_bytes data;            /* to decrypt; to derive: the point */
    uint8_t *out;                    /* RAW_SIGNATURE_MAX */
    size_t out_len;
};
CK_RV vault_do(struct token *t, struct contents *c, struct vault_job *job);
/* vault_login: is this the key's password? The TPM is asked once, or, when it has refused this very PIN
 * before, not at all. */
CK_RV vault_login(struct token *t, struct contents *c, struct tt_bytes pin);
/* vault_logout: the key with its password leaves the TPM. */
void vault_logout(struct token *t);
/* vault_pin_flags: CKF_USER_PIN_COUNT_LOW and its likes, from the TPM's counter. may_open: the TPM may be
 * opened for it; else, while it is closed, it is what was last seen. */
CK_FLAGS vault_pin_flags(struct token *t, const struct contents *c, bool may_open);
/* vault_create: a key without a password, for signing or for decryption. *ret_pem: mem_free. */
CK_RV vault_create(char **ret_pem, enum tt_key_type type, bool decryption, const char *name);
/* vault_close: give the TPM back. vault_check_idle: if nobody has used it for a while. */
void vault_close(void);
void vault_check_idle(void);

#endif
