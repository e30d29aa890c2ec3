/* signer/pss.h: RSASSA-PSS padding in software, for chips that can only do the private operation rightly. */
#ifndef SIGNER_PSS_H
#define SIGNER_PSS_H

#include "crypto/hash.h"

#define PSS_MAX_BYTES 512 /* RSA-4096 */

/* struct pss_request: what is padded. The salt is handed in; TLS 1.3 wants it as long as the digest (RFC 9846
 * section 4.3.3), PKCS#11 lets the caller say. */
struct pss_request {
    enum hash_id hash;
    unsigned modulus_bits;
    const uint8_t *digest;
    struct tt_bytes salt;
};

/* pss_encode: EMSA-PSS-ENCODE with MGF1 over the same hash; ret has modulus_bits/8 bytes (rounded up),
 * leading zero included where the encoding is a byte shorter than the modulus. TT_ERR_USAGE: the modulus is
 * too small. */
TT_MUST_USE tt_rc pss_encode(uint8_t *ret, const struct crypto_lib *lib, const struct pss_request *req);

#endif
