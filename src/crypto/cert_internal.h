/* crypto/cert_internal.h: reading DER certificates. Layer: crypto; included by this layer only. */
#ifndef CRYPTO_CERT_INTERNAL_H
#define CRYPTO_CERT_INTERNAL_H

#include <openssl/x509.h>

#include "crypto/sig.h"

/* struct leaf_key: the key within a leaf that x509_read has made: one of a few that are kept and given
 * another point each time, since a new one copies the curve. Slow to verify with. */
struct leaf_key {
    EVP_PKEY *key; /* may be NULL */
    struct spare *home;
};
void leaf_key_give(struct leaf_key *k); /* after the certificate is gone */

/* x509_read: exactly one certificate; TT_ERR_DECODE when it is not. *leaf (empty before) says that its key
 * verifies nothing; NULL: it may. */
TT_MUST_USE tt_rc x509_read(X509 **ret, const struct crypto_lib *lib, struct tt_bytes der,
                            struct leaf_key *leaf);
/* x509_key: its public key. TT_ERR_DECODE for one of an unknown kind. */
TT_MUST_USE tt_rc x509_key(struct pubkey **ret, const struct crypto_lib *lib, X509 *x);

#endif
