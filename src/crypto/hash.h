/* crypto/hash.h: hash, HMAC, HKDF (RFC 5869). Layer: crypto. */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include "crypto/lib.h"

enum hash_id {
    HASH_NONE,
    HASH_SHA256,
    HASH_SHA384,
    HASH_SHA512,
    HASH_COUNT
};
#define HASH_MAX_SIZE 64

size_t hash_size(enum hash_id id); /* bytes; 0 for HASH_NONE */

/* hash_empty: Hash(""), which the key schedule wants again and again; of HASH_NONE nothing. */
struct tt_bytes hash_empty(const struct crypto_lib *lib, enum hash_id id);
/* hash_digest: one-shot; ret has hash_size bytes. */
TT_MUST_USE tt_rc hash_digest(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes data,
                              uint8_t *ret);

/* struct hash_ctx: a running hash. */
struct hash_ctx;
TT_MUST_USE tt_rc hash_new(struct hash_ctx **ret, const struct crypto_lib *lib, enum hash_id id);
TT_MUST_USE tt_rc hash_update(struct hash_ctx *h, struct tt_bytes data);
/* hash_peek: the digest of what went in so far; the hash goes on. */
TT_MUST_USE tt_rc hash_peek(struct hash_ctx *h, uint8_t *ret);
/* hash_restart: forget what went in. */
TT_MUST_USE tt_rc hash_restart(struct hash_ctx *h);
TT_MUST_USE tt_rc hash_copy(struct hash_ctx **ret, const struct hash_ctx *h);
void hash_free(struct hash_ctx *h);

/* hmac: ret has hash_size bytes. data is given in n pieces. */
TT_MUST_USE tt_rc hmac(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes key,
                       const struct tt_bytes *data, size_t n, uint8_t *ret);
/* hkdf_extract: HKDF-Extract(salt, ikm); ret has hash_size bytes. */
TT_MUST_USE tt_rc hkdf_extract(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes salt,
                               struct tt_bytes ikm, uint8_t *ret);
/* hkdf_expand: HKDF-Expand(prk, info, len); len at most 255 * hash_size; TT_ERR_USAGE above. */
TT_MUST_USE tt_rc hkdf_expand(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes prk,
                              struct tt_bytes info, uint8_t *ret, size_t len);

#endif
