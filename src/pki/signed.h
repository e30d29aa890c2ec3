/* pki/signed.h: the form requests and certificates share: SEQUENCE { what is signed, AlgorithmIdentifier,
 * signature } (RFC 5280 section 4.1, RFC 2986 section 4.2), the signature coming from somebody else. Layer:
 * pki. */
#ifndef PKI_SIGNED_H
#define PKI_SIGNED_H

#include "pki/x509.h"
#include "wire/der.h"

/* signed_algorithm: the DER AlgorithmIdentifier of a scheme; TT_ERR_USAGE for one that X.509 has none for. */
TT_MUST_USE tt_rc signed_algorithm(struct tt_bytes *ret, uint16_t scheme, struct tt_error *err);

/* signed_build: have tbs signed and append the whole to `to`. Does not verify: the caller parses the result
 * anyway. */
TT_MUST_USE tt_rc signed_build(struct buf *to, struct tt_bytes tbs, const struct tt_pki_signer *signer,
                               struct tt_error *err);

/* signed_accepted: a signature algorithm (the OID of ecdsa-with-SHA256, ...) that is good enough for a
 * request. By its OID, since a libcrypto that has no NID for it may still have a provider that verifies it.
 */
bool signed_accepted(const ASN1_OBJECT *algorithm);

#endif
