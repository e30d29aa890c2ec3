/* crypto/kdf.h: the TPM's key derivation functions (TPM 2.0 part 1, section 11.4.10), for what is made for a
 * TPM without one: wrapped keys, credentials. Layer: crypto. */
#ifndef CRYPTO_KDF_H
#define CRYPTO_KDF_H

#include "crypto/hash.h"

/* struct kdf: label: text whose NUL counts. contextU and contextV; of KDFe partyUInfo and partyVInfo. */
struct kdf {
    const struct crypto_lib *lib;
    enum hash_id hash;
    struct tt_bytes key; /* or Z */
    const char *label;
    struct tt_bytes u, v;
};
/* kdf_a: KDFa, SP 800-108 in counter mode, of one block at most. TT_ERR_UNSUPPORTED: more is wanted. */
TT_MUST_USE tt_rc kdf_a(uint8_t *ret, size_t len, const struct kdf *k);
/* kdf_e: KDFe, SP 800-56A's hash, of exactly one block. */
TT_MUST_USE tt_rc kdf_e(uint8_t *ret, const struct kdf *k);

#endif
