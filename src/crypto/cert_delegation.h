/* crypto/cert_delegation.h: what a certificate says about delegated credentials (RFC 9345 section 4.2).
 * Layer: crypto. */
#ifndef CRYPTO_CERT_DELEGATION_H
#define CRYPTO_CERT_DELEGATION_H

#include "crypto/sig.h"

struct cert_delegation {
    int64_t not_before, not_after; /* seconds since 1970 */
    bool has_delegation_usage;     /* the extension id-pe-delegationUsage, 1.3.6.1.4.1.44363.44 */
    bool has_digital_signature;    /* a KeyUsage extension with that bit */
};

/* cert_delegation_read: TT_ERR_DECODE for what is no certificate; TT_ERR_INTERNAL when libcrypto cannot take
 * note of the extensions, which for a certificate that it has judged is our own fault. */
TT_MUST_USE tt_rc cert_delegation_read(struct cert_delegation *ret, const struct crypto_lib *lib,
                                       struct tt_bytes der);

#endif
