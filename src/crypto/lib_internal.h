/* crypto/lib_internal.h: what crypto_lib holds. Layer: crypto; included by this layer only. */
#ifndef CRYPTO_LIB_INTERNAL_H
#define CRYPTO_LIB_INTERNAL_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/kx.h"
#include "crypto/lib.h"
#include "crypto/spare.h"

/* The NIST curves with what their keys are made from. */
enum curve_id {
    CURVE_P256,
    CURVE_P384,
    CURVE_P521,
    CURVE_COUNT
};

struct curve {
    const char *name;        /* libcrypto's group name */
    EC_GROUP *group;         /* immutable, shared */
    EC_GROUP *plain;         /* the same without the curve\'s own arithmetic (cert.c) */
    EVP_PKEY *template;      /* domain parameters only; public keys are set on copies of it */
    size_t field_size;       /* bytes of a coordinate */
    struct spare *verifiers; /* see ec_verify.c */
    struct spare *leaf_keys; /* see cert.c */
};

struct crypto_lib {
    EVP_MD *md[HASH_COUNT];
    struct spare *hashes[HASH_COUNT];              /* contexts; see hash.c */
    uint8_t empty_hash[HASH_COUNT][HASH_MAX_SIZE]; /* the hash of nothing */
    EVP_CIPHER *aead[AEAD_COUNT];                  /* NULL where libcrypto lacks it */
    struct curve curves[CURVE_COUNT];
    struct spare *x25519_makers, *x25519_peers; /* contexts, public keys; see kx.c */
    bool has_x25519, has_x448, has_ed25519, has_ed448, has_mlkem;
    bool has_mldsa[3]; /* ML-DSA-44, -65, -87 */
    OSSL_LIB_CTX
    *bare; /* without any algorithm: what is decoded in it stays undecoded (cert.c); may be NULL */
    OSSL_PROVIDER *bare_null; /* keeps the default provider out of it */
};

/* hash_take: a context of libcrypto's that was just initialised; hash_give: back, and wiped. NULL is fine. */
EVP_MD_CTX *hash_take(const struct crypto_lib *lib, enum hash_id id);
void hash_give(const struct crypto_lib *lib, enum hash_id id, EVP_MD_CTX *ctx);

#endif
