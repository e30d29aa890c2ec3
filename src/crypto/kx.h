/* crypto/kx.h: ephemeral key agreement for one handshake (RFC 9846 sections 4.3.8 and 7.4.2). Layer: crypto.
 *
 * The client makes an offer and finishes it with the server's share; the server responds to the client's
 * share in one step. That shape fits Diffie-Hellman and KEM groups alike. Private values come from the
 * caller's randomness. */
#ifndef CRYPTO_KX_H
#define CRYPTO_KX_H

#include "crypto/lib.h"
#include "tpmtls/tls.h"

#define KX_MAX_SHARE  1665 /* SecP384r1MLKEM1024 */
#define KX_MAX_SECRET 96

struct kx_random {
    tt_random_fn fn;
    void *arg;
};

bool kx_available(const struct crypto_lib *lib, uint16_t group);
bool kx_is_post_quantum(uint16_t group); /* has ML-KEM in it, alone or beside a classical part */

/* struct kx_offer: a private value and the share made from it. Freed (wiped) by kx_offer_free. */
struct kx_offer;
TT_MUST_USE tt_rc kx_offer_new(struct kx_offer **ret, const struct crypto_lib *lib, uint16_t group,
                               struct kx_random random);
void kx_offer_free(struct kx_offer *o);
uint16_t kx_offer_group(const struct kx_offer *o);
struct tt_bytes kx_offer_share(const struct kx_offer *o);

/* struct kx_secret: the shared secret; wipe with mem_wipe when done. */
struct kx_secret {
    uint8_t data[KX_MAX_SECRET];
    size_t len;
};

/* kx_x25519: X25519(secret, value) (RFC 7748) for a private value that is used again and again: its public
 * one is not computed. Errors are those of kx_offer_finish. */
TT_MUST_USE tt_rc kx_x25519(const struct crypto_lib *lib, const uint8_t secret[32], const uint8_t value[32],
                            uint8_t ret[32]);
/* kx_offer_finish: TT_ERR_PROTOCOL when the peer's share is not valid: wrong length, not on the curve, or an
 * all-zero result (RFC 9846 section 7.4.2; the alert is illegal_parameter). Our own fault is TT_ERR_MEMORY or
 * TT_ERR_INTERNAL. */
TT_MUST_USE tt_rc kx_offer_finish(const struct kx_offer *o, const struct crypto_lib *lib,
                                  struct tt_bytes peer_share, struct kx_secret *ret);

/* kx_share_check: TT_ERR_PROTOCOL when it is no share of this group (one part only, not ML-KEM). */
TT_MUST_USE tt_rc kx_share_check(const struct crypto_lib *lib, uint16_t group, struct tt_bytes share);

/* kx_respond: the server's side in one step; ret_share has KX_MAX_SHARE bytes. Same errors. */
struct kx_response {
    uint8_t share[KX_MAX_SHARE];
    size_t share_len;
    struct kx_secret secret;
};
TT_MUST_USE tt_rc kx_respond(struct kx_response *ret, const struct crypto_lib *lib, uint16_t group,
                             struct kx_random random, struct tt_bytes peer_share);

#endif
