/* crypto/ec_verify.h: ECDSA verification for keys that are nothing but a point. Layer: crypto; included by
 * this layer only. */
#ifndef CRYPTO_EC_VERIFY_H
#define CRYPTO_EC_VERIFY_H

#include "crypto/lib_internal.h"

/* ec_point_valid: is this the uncompressed encoding of a point on the curve? TT_ERR_DECODE when it is not. */
TT_MUST_USE tt_rc ec_point_valid(const struct crypto_lib *lib, enum curve_id curve, struct tt_bytes point);

/* ec_verifiers_free: those of a curve, and where they are kept. NULL is fine. */
void ec_verifiers_free(struct spare *s);

/* ec_verify: of a digest. TT_ERR_VERIFY when the signature (DER) is not that of the point's owner. */
TT_MUST_USE tt_rc ec_verify(const struct crypto_lib *lib, enum curve_id curve, struct tt_bytes point,
                            struct tt_bytes digest, struct tt_bytes signature);

#endif
