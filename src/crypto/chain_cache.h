/* crypto/chain_cache.h: chains that were found good, so that they are not judged again. Layer: crypto.
 *
 * The key is a SHA-256 over everything a verdict depends on: the certificates, the name, the purpose, the
 * stapled OCSP response and what was demanded of it. Each trust set has a cache of its own and drops it when
 * the set changes. Only good verdicts are kept, each with the time in which it stays true; outside of it
 * there is no answer. The size is fixed, so that no peer can make it grow. May be used by several threads. */
#ifndef CRYPTO_CHAIN_CACHE_H
#define CRYPTO_CHAIN_CACHE_H

#include "crypto/hash.h"

#define CHAIN_KEY_SIZE 32

/* struct validity: seconds since 1970, both ends included. */
struct validity {
    int64_t from, until;
};

struct trust_verdict;
struct trust_request;
struct chain_cache;

TT_MUST_USE tt_rc chain_cache_new(struct chain_cache **ret);
void chain_cache_free(struct chain_cache *c);
/* chain_cache_clear: forget all. */
void chain_cache_clear(struct chain_cache *c);

TT_MUST_USE tt_rc chain_cache_key(uint8_t ret[CHAIN_KEY_SIZE], const struct crypto_lib *lib,
                                  const struct trust_request *req);
/* chain_cache_get: the verdict, with a reference to the leaf's key, when there is one that is true now. */
bool chain_cache_get(struct chain_cache *c, struct trust_verdict *ret, const uint8_t key[CHAIN_KEY_SIZE],
                     int64_t now);
/* chain_cache_put: keep a good verdict (takes a reference of its own to the key). What was used least
 * recently among a few makes room. */
void chain_cache_put(struct chain_cache *c, const uint8_t key[CHAIN_KEY_SIZE],
                     const struct trust_verdict *verdict, struct validity when);

#endif
