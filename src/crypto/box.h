/* crypto/box.h: a text encrypted for whoever has the same key later: AES-256-GCM under a random nonce, which
 * stands in front (NIST SP 800-38D section 8.2.2). Layer: crypto. At most 2^32 boxes a key. */
#ifndef CRYPTO_BOX_H
#define CRYPTO_BOX_H

#include "base/buf.h"
#include "crypto/kx.h"

#define BOX_KEY_SIZE 32

/* struct box_key: the key, and what a box belongs to: it opens under the same only. */
struct box_key {
    const struct crypto_lib *lib;
    const uint8_t *key; /* BOX_KEY_SIZE */
    struct tt_bytes aad;
};
/* box_seal: append the box to out. */
TT_MUST_USE tt_rc box_seal(const struct box_key *k, struct kx_random random, struct tt_bytes plain,
                           struct buf *out);
/* box_open: append the text to out. TT_ERR_NOT_FOUND for whatever does not open. */
TT_MUST_USE tt_rc box_open(const struct box_key *k, struct tt_bytes box, struct buf *out);

#endif
