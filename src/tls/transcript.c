/* tls/transcript.c: RFC 9846 section 4.1. Layer: tls. */
#include "tls/transcript.h"

#include "tpmtls/iana.h"

tt_rc transcript_add(struct transcript *t, struct tt_bytes message)
{
    return t->hash != NULL ? hash_update(t->hash, message) : buf_append(&t->early, message.data, message.len);
}

tt_rc transcript_choose(struct transcript *t, const struct crypto_lib *lib, enum hash_id id)
{
    if (t->hash != NULL)
        return t->id == id ? TT_OK : TT_ERR_INTERNAL;
    TT_TRY(hash_new(&t->hash, lib, id));
    t->id = id;
    tt_rc rc = hash_update(t->hash, buf_bytes(&t->early));
    buf_free(&t->early);
    return rc;
}

tt_rc transcript_retry(struct transcript *t)
{
    /* Handshake(message_hash, Hash(ClientHello1)) */
    uint8_t message[4 + HASH_MAX_SIZE] = {TT_HS_MESSAGE_HASH, 0, 0, (uint8_t)hash_size(t->id)};
    TT_TRY(transcript_hash(t, message + 4));
    TT_TRY(hash_restart(t->hash));
    return hash_update(t->hash, (struct tt_bytes){message, 4 + hash_size(t->id)});
}

tt_rc transcript_hash(struct transcript *t, uint8_t *ret)
{
    return t->hash == NULL ? TT_ERR_INTERNAL : hash_peek(t->hash, ret);
}

tt_rc transcript_hash_with(const struct transcript *t, const struct crypto_lib *lib, enum hash_id id,
                           struct tt_bytes more, uint8_t *ret)
{
    struct hash_ctx *h = NULL;
    if (t->hash != NULL && t->id != id)
        return TT_ERR_INTERNAL;
    TT_TRY(t->hash != NULL ? hash_copy(&h, t->hash) : hash_new(&h, lib, id));
    tt_rc rc = t->hash != NULL ? TT_OK : hash_update(h, buf_bytes(&t->early));
    if (rc == TT_OK)
        rc = hash_update(h, more);
    if (rc == TT_OK)
        rc = hash_peek(h, ret);
    hash_free(h);
    return rc;
}

void transcript_free(struct transcript *t)
{
    buf_free(&t->early);
    hash_free(t->hash);
    *t = (struct transcript){0};
}
