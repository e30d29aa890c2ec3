/* crypto/lib.h: the libcrypto algorithms we use, fetched once. Layer: crypto. Immutable after creation; may
 * be shared between threads; passed to every function of this layer that needs an algorithm. */
#ifndef CRYPTO_LIB_H
#define CRYPTO_LIB_H

#include "base/rc.h"

struct crypto_lib;

/* crypto_lib_new: fetch from the default library context. TT_ERR_INTERNAL when a mandatory algorithm is
 * missing (SHA-256/384, AES-GCM); optional ones (ChaCha20-Poly1305, X25519, ...) are looked up with
 * *_available. */
TT_MUST_USE tt_rc crypto_lib_new(struct crypto_lib **ret, struct tt_error *err);
/* crypto_lib_new_apart: the hashes only, from a library context of its own. For a guest in somebody else's
 * process (the PKCS#11 module): the default context may be set up to lead back into the guest. ctx is an
 * OSSL_LIB_CTX and outlives it; NULL: the default context after all. */
TT_MUST_USE tt_rc crypto_lib_new_apart(struct crypto_lib **ret, void *ctx, struct tt_error *err);
void crypto_lib_free(struct crypto_lib *lib);
TT_DEFINE_AUTO(struct crypto_lib, crypto_lib_free)

/* crypto_random: libcrypto's random generator; the default of a configuration. Fits tt_random_fn. */
bool crypto_random(void *unused, uint8_t *buf, size_t n);

#endif
