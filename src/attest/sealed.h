/* attest/sealed.h: what the one who judges gives out and knows again without keeping it: nonces, tokens of
 * challenges. Layer: attest. A crash loses nothing; servers that share the key share it all. */
#ifndef ATTEST_SEALED_H
#define ATTEST_SEALED_H

#include "attest/evidence.h"

#define SEALED_LIFE 600 /* seconds: a slow TPM derives an RSA key for a minute */
#define TOKEN_SIZE  (12 + 8 + 32 + 32 + 32 + 16)

enum sealed_state {
    SEALED_GOOD,
    SEALED_WRONG,
    SEALED_OLD
};
/* nonce_check: was this nonce made with the key, not too long ago? */
TT_MUST_USE tt_rc nonce_check(enum sealed_state *ret, const struct crypto_lib *lib, const uint8_t *key,
                              struct tt_bytes nonce, int64_t now);

/* struct token: what a challenge was made for. */
struct token {
    const struct crypto_lib *lib;
    const uint8_t *key;
    const struct at_name *ak;
    struct tt_bytes ek; /* its SubjectPublicKeyInfo */
    int64_t now;
    uint8_t secret[CREDENTIAL_SECRET];
};
/* token_seal: append it. token_open: SEALED_GOOD: made with this key for these two keys; the secret is filled
 * in. */
TT_MUST_USE tt_rc token_seal(struct buf *to, const struct token *t);
TT_MUST_USE tt_rc token_open(enum sealed_state *ret, struct token *t, struct tt_bytes sealed);

#endif
