/* crypto/box.c: see box.h. Layer: crypto. */
#include "crypto/box.h"

#include "crypto/aead.h"

#define CONTENT_TYPE 1 /* aead_seal wants one; it is a constant here */

static struct tt_bytes key_of(const struct box_key *k)
{
    return (struct tt_bytes){k->key, BOX_KEY_SIZE};
}

tt_rc box_seal(const struct box_key *k, struct kx_random random, struct tt_bytes plain, struct buf *out)
{
    size_t size = AEAD_NONCE_SIZE + plain.len + 1 + AEAD_TAG_SIZE;
    const struct aead_plain content = {plain, CONTENT_TYPE, 0};
    struct aead aead;
    uint8_t *nonce = buf_reserve(out, size);
    if (nonce == NULL)
        return TT_ERR_MEMORY;
    if (!random.fn(random.arg, nonce, AEAD_NONCE_SIZE))
        return TT_ERR_INTERNAL;
    TT_TRY(aead_init(&aead, k->lib, AEAD_AES_256_GCM, true, key_of(k)));
    tt_rc rc = aead_seal(&aead, nonce, k->aad, &content, nonce + AEAD_NONCE_SIZE);
    aead_wipe(&aead);
    if (rc == TT_OK)
        buf_commit(out, size);
    return rc;
}

tt_rc box_open(const struct box_key *k, struct tt_bytes box, struct buf *out)
{
    struct aead aead;
    if (box.len < AEAD_NONCE_SIZE + 1 + AEAD_TAG_SIZE)
        return TT_ERR_NOT_FOUND;
    struct tt_bytes sealed = {box.data + AEAD_NONCE_SIZE, box.len - AEAD_NONCE_SIZE};
    uint8_t *to = buf_reserve(out, sealed.len);
    if (to == NULL)
        return TT_ERR_MEMORY;
    TT_TRY(aead_init(&aead, k->lib, AEAD_AES_256_GCM, false, key_of(k)));
    tt_rc rc = aead_open(&aead, box.data, k->aad, sealed, to);
    aead_wipe(&aead);
    if (rc == TT_ERR_MEMORY || rc == TT_ERR_INTERNAL) /* libcrypto's, before it looked at the box */
        return TT_ERR_MEMORY;
    size_t len = sealed.len - AEAD_TAG_SIZE - 1; /* without the type */
    if (rc != TT_OK || to[len] != CONTENT_TYPE)
        return TT_ERR_NOT_FOUND;
    buf_commit(out, len);
    return TT_OK;
}
