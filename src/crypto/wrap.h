/* crypto/wrap.h: what is needed to encrypt a software key for a TPM: the numbers of a private key, AES-CFB,
 * RSAES-OAEP. Layer: crypto. Knows nothing of a TPM's structures. */
#ifndef CRYPTO_WRAP_H
#define CRYPTO_WRAP_H

#include "base/buf.h"
#include "crypto/sig.h"

/* privkey_secret: append the one number that makes the key: EC: the scalar, as long as the field; RSA: the
 * first prime, half as long as the modulus. TT_ERR_UNSUPPORTED: another kind of key, or more than two primes.
 */
TT_MUST_USE tt_rc privkey_secret(struct buf *to, const struct privkey *k);

/* wrap_cfb: AES-CFB with a zero initialisation vector, in place; the key has 16, 24 or 32 bytes. The key must
 * not be used for anything else. */
TT_MUST_USE tt_rc wrap_cfb(uint8_t *data, size_t len, struct tt_bytes key);

/* wrap_oaep: RSAES-OAEP with this hash and MGF1 over it (RFC 8017 section 7.1); the label includes its NUL
 * where the standard at hand wants one. Appends as many bytes as the modulus has. */
struct wrap_oaep {
    struct tt_bytes spki;
    enum hash_id hash;
    struct tt_bytes label;
};
TT_MUST_USE tt_rc wrap_oaep(struct buf *to, const struct wrap_oaep *key, struct tt_bytes message);

/* wrap_spki_point: the uncompressed point of a P-256 or P-384 key's SubjectPublicKeyInfo; empty for another.
 */
struct tt_bytes wrap_spki_point(struct tt_bytes spki);

/* wrap_spki_from_pem: append the DER of the first PUBLIC KEY block. */
TT_MUST_USE tt_rc wrap_spki_from_pem(struct buf *to, struct tt_bytes pem);

#endif
