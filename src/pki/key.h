/* pki/key.h: public keys in requests and certificates: which are good enough, and their names. Layer: pki. */
#ifndef PKI_KEY_H
#define PKI_KEY_H

#include "pki/flaw.h"
#include "pki/x509.h"

/* key_accept: TT_ERR_UNSUPPORTED, with the reason, for a key that gets no certificate here. whose: "the
 * request's". ret_flaw: the same for a program, on failure; or NULL. */
TT_MUST_USE tt_rc key_accept(EVP_PKEY *key, const char *whose, enum csr_flaw *ret_flaw, struct tt_error *err);

/* key_describe: "P-256", "RSA 2048", "ED25519"; "unknown" for one that libcrypto cannot read (NULL);
 * mem_free. */
TT_MUST_USE tt_rc key_describe(char **ret, const EVP_PKEY *key);

/* key_generate: a new P-256 key, and its PKCS #8 as DER (OPENSSL_clear_free). */
TT_MUST_USE tt_rc key_generate(EVP_PKEY **ret, uint8_t **ret_der, size_t *ret_len, struct tt_error *err);

#endif
