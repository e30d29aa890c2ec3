/* cli/key_signer.h: a key of the signer layer as pki wants it; pki itself knows no keys. Layer: cli. */
#ifndef CLI_KEY_SIGNER_H
#define CLI_KEY_SIGNER_H

#include "tpmtls/key.h"
#include "tpmtls/pki.h"

static inline tt_rc key_signer_sign(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig,
                                    size_t cap, size_t *ret_len, struct tt_error *err)
{
    return tt_key_sign(arg, scheme, message, ret_sig, cap, ret_len, err);
}

/* key_signer: valid as long as the key. */
static inline struct tt_pki_signer key_signer(struct tt_key *key)
{
    return (struct tt_pki_signer){.sign = key_signer_sign,
                                  .arg = key,
                                  .spki = tt_key_spki(key),
                                  .scheme = tt_key_x509_scheme(key),
                                  .checks_itself = true};
}

#endif
