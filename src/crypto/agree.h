/* crypto/agree.h: one Diffie-Hellman with a P-256 key, for whoever sends a secret to its owner (a TPM's
 * salted session). Layer: crypto. Needs no struct crypto_lib: a guest in somebody else's process has only its
 * hashes (crypto/apart.h). */
#ifndef CRYPTO_AGREE_H
#define CRYPTO_AGREE_H

#include "crypto/kx.h"

#define AGREE_FIELD 32

/* struct agree_point: affine coordinates. */
struct agree_point {
    uint8_t x[AGREE_FIELD], y[AGREE_FIELD];
};
/* agree_p256: a fresh key pair and the x coordinate of its product with the peer's point; wipe ret_z.
 * TT_ERR_PROTOCOL: the point is not on the curve. */
TT_MUST_USE tt_rc agree_p256(struct agree_point *ret_own, uint8_t ret_z[AGREE_FIELD],
                             const struct agree_point *peer, struct kx_random random);

#endif
