/* crypto/cert_internal.h: reading DER certificates. Layer: crypto; included by this layer only. */
#ifndef CRYPTO_CERT_INTERNAL_H
#define CRYPTO_CERT_INTERNAL_H

#include <openssl/x509.h>

#include "crypto/sig.h"

/* x509_read: exactly one certificate, or NULL. A leaf's key is slow to verify with. */
enum x509_use {
    X509_LEAF,
    X509_ISSUER
};
X509 *x509_read(const struct crypto_lib *lib, struct tt_bytes der, enum x509_use use);
/* x509_key: its public key. TT_ERR_DECODE for one of an unknown kind. */
TT_MUST_USE tt_rc x509_key(struct pubkey **ret, const struct crypto_lib *lib, X509 *x);

#endif
