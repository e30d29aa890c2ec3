/* crypto/sig.h: public keys and signature verification; private software keys. Layer: crypto.
 * Schemes are TLS SignatureScheme numbers (RFC 9846 section 4.3.3), the PKCS#1 ones included. */
#ifndef CRYPTO_SIG_H
#define CRYPTO_SIG_H

#include "crypto/hash.h"
#include "tpmtls/iana.h"

/* scheme_hash: the hash of a scheme; HASH_NONE for Ed25519, Ed448, ML-DSA and unknown ones. */
enum hash_id scheme_hash(uint16_t scheme);

/* scheme_available: libcrypto can verify this scheme. */
bool scheme_available(const struct crypto_lib *lib, uint16_t scheme);

struct pubkey;
/* pubkey_from_spki: DER SubjectPublicKeyInfo. TT_ERR_DECODE when malformed or of an unknown type,
 * TT_ERR_MEMORY when it cannot be read for our own fault. */
TT_MUST_USE tt_rc pubkey_from_spki(struct pubkey **ret, const struct crypto_lib *lib, struct tt_bytes spki);
/* Immutable and reference counted: pubkey_ref takes one more, pubkey_free drops one. */
void pubkey_ref(struct pubkey *k);
void pubkey_free(struct pubkey *k);
TT_DEFINE_AUTO(struct pubkey, pubkey_free)
/* pubkey_fits: may this key make signatures under this scheme in TLS 1.3 (curve, type, size; RFC 9846 4.3.3).
 */
bool pubkey_fits(const struct pubkey *k, uint16_t scheme);
/* pubkey_bits: e.g. 256, 2048. */
unsigned pubkey_bits(const struct pubkey *k);
/* pubkey_verify: TT_ERR_VERIFY when the signature is wrong or does not fit the key; TT_ERR_MEMORY or
 * TT_ERR_INTERNAL when it cannot be checked. RSA-PSS: salt = digest length. */
TT_MUST_USE tt_rc pubkey_verify(const struct crypto_lib *lib, const struct pubkey *k, uint16_t scheme,
                                struct tt_bytes message, struct tt_bytes signature);

struct privkey;
/* privkey_from_pem: PKCS#8 (plain or encrypted) or traditional PEM. TT_ERR_AUTH: encrypted and the password
 * is missing or wrong; TT_ERR_DECODE: no readable key. password may be NULL. */
TT_MUST_USE tt_rc privkey_from_pem(struct privkey **ret, const struct crypto_lib *lib, struct tt_bytes pem,
                                   const struct tt_bytes *password, struct tt_error *err);
/* privkey_generate: a new EC key for this scheme (ecdsa_*); TT_ERR_UNSUPPORTED for others. It lives in memory
 * only, and is wiped when freed. */
TT_MUST_USE tt_rc privkey_generate(struct privkey **ret, const struct crypto_lib *lib, uint16_t scheme);
void privkey_free(struct privkey *k);
TT_DEFINE_AUTO(struct privkey, privkey_free)
/* privkey_spki: DER SubjectPublicKeyInfo, to be freed with mem_free. */
TT_MUST_USE tt_rc privkey_spki(const struct privkey *k, uint8_t **ret, size_t *ret_len);
/* privkey_fits: like pubkey_fits; also true for the PKCS#1 scheme of an RSA key. */
bool privkey_fits(const struct privkey *k, uint16_t scheme);
unsigned privkey_bits(const struct privkey *k);
TT_MUST_USE tt_rc privkey_sign(const struct crypto_lib *lib, struct privkey *k, uint16_t scheme,
                               struct tt_bytes message, uint8_t *ret_sig, size_t cap, size_t *ret_len);

#endif
