/* crypto/cert_cache.h: certificates of peers as they were read, so that the same ones need not be read again
 * where their chain is judged again. Layer: crypto; included by this layer only. Says nothing about trust.
 *
 * Reading costs libcrypto some eighty objects a certificate. One that comes for the second time is kept, as
 * its very bytes, once it was part of a good chain: then libcrypto has looked at all of its extensions, and
 * nothing in it says that there was no memory. The size is fixed, so that no peer can make it grow. May be
 * used by several threads. */
#ifndef CRYPTO_CERT_CACHE_H
#define CRYPTO_CERT_CACHE_H

#include <openssl/x509.h>

#include "base/rc.h"

struct cert_cache;

TT_MUST_USE tt_rc cert_cache_new(struct cert_cache **ret);
void cert_cache_free(struct cert_cache *c); /* NULL is fine */
/* cert_cache_get: a reference to the certificate of these bytes, or NULL. *ret_again: there is none, but they
 * came before. */
X509 *cert_cache_get(struct cert_cache *c, bool *ret_again, struct tt_bytes der);
/* cert_cache_put: x was read from der and shares its key with nobody. */
void cert_cache_put(struct cert_cache *c, struct tt_bytes der, X509 *x);

#endif
