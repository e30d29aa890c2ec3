/* tls/transcript.h: the transcript hash (RFC 9846 section 4.1). Layer: tls.
 * Until the hash is known the messages themselves are kept: the client's ClientHello, for which the server
 * chooses. */
#ifndef TLS_TRANSCRIPT_H
#define TLS_TRANSCRIPT_H

#include "base/buf.h"
#include "crypto/hash.h"

struct transcript {
    struct buf early; /* messages before the hash was chosen */
    struct hash_ctx *hash;
    enum hash_id id;
};

/* transcript_add: one whole handshake message with its header, or a part of one. */
TT_MUST_USE tt_rc transcript_add(struct transcript *t, struct tt_bytes message);
/* transcript_choose: from now on it is this hash; choosing the same again is fine. */
TT_MUST_USE tt_rc transcript_choose(struct transcript *t, const struct crypto_lib *lib, enum hash_id id);
/* transcript_retry: replace ClientHello1 by message_hash (section 4.1); the HelloRetryRequest is added after
 * it. */
TT_MUST_USE tt_rc transcript_retry(struct transcript *t);
/* transcript_hash_with: Transcript-Hash(everything so far, more) under `id`, which must be the chosen hash
 * once there is one; the transcript stays as it is. For binders, which cover a part of ClientHello. */
TT_MUST_USE tt_rc transcript_hash_with(const struct transcript *t, const struct crypto_lib *lib,
                                       enum hash_id id, struct tt_bytes more, uint8_t *ret);
/* transcript_hash: Transcript-Hash(everything so far); ret has HASH_MAX_SIZE bytes. */
TT_MUST_USE tt_rc transcript_hash(struct transcript *t, uint8_t *ret);
void transcript_free(struct transcript *t);

#endif
