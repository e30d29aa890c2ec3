/* crypto/aead.h: authenticated encryption of records (RFC 9846 section 5.2, RFC 5116). Layer: crypto. */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include "crypto/lib.h"

enum aead_id {
    AEAD_AES_128_GCM,
    AEAD_AES_256_GCM,
    AEAD_CHACHA20_POLY1305,
    AEAD_COUNT
};
#define AEAD_NONCE_SIZE   12
#define AEAD_TAG_SIZE     16
#define AEAD_MAX_KEY_SIZE 32

size_t aead_key_size(enum aead_id id);
bool aead_available(const struct crypto_lib *lib, enum aead_id id);

/* struct aead: one key in one direction; all zeros: none. It stands in what it protects, since a key that
 * outlives a handshake would leave holes in the heap where it was made (docs/performance.md). */
struct aead {
    const struct crypto_lib *lib; /* NULL: no key */
    void *ctx;                    /* libcrypto's context (1.2 KB), made by the first record */
    enum aead_id id;
    bool encrypt;
    uint8_t key[AEAD_MAX_KEY_SIZE];
};
TT_MUST_USE tt_rc aead_init(struct aead *a, const struct crypto_lib *lib, enum aead_id id, bool encrypt,
                            struct tt_bytes key);
void aead_wipe(struct aead *a);
/* aead_rest: give libcrypto's context back; the next record makes it anew (0.3 us). */
void aead_rest(struct aead *a);

/* struct aead_plain: TLSInnerPlaintext: content, its type, then zeros (RFC 9846 section 5.2). */
struct aead_plain {
    struct tt_bytes content;
    uint8_t type;
    size_t padding; /* zero bytes behind the type */
};

/* aead_seal: writes content.len + 1 + padding + AEAD_TAG_SIZE bytes to ret, which must not overlap the
 * content.
 */
TT_MUST_USE tt_rc aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct tt_bytes aad,
                            const struct aead_plain *plain, uint8_t *ret);
/* aead_open: sealed includes the tag; writes sealed.len - AEAD_TAG_SIZE bytes to ret, which may be
 * sealed.data. TT_ERR_DECODE when it does not authenticate (ret then holds nothing of use), TT_ERR_MEMORY and
 * TT_ERR_INTERNAL when that could not be found out. */
TT_MUST_USE tt_rc aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct tt_bytes aad,
                            struct tt_bytes sealed, uint8_t *ret);

#endif
