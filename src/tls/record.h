/* tls/record.h: protecting and unprotecting one record (RFC 9846 section 5). Layer: tls. Knows no connection.
 */
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include "base/buf.h"
#include "tls/key_schedule.h"
#include "wire/iana.h"

#define REC_HEADER_SIZE    5
#define REC_MAX_PLAINTEXT  16384
#define REC_MAX_CIPHERTEXT (REC_MAX_PLAINTEXT + 256)

/* struct rec_key: traffic key, IV and sequence number of one direction (sections 5.3 and 7.3). */
struct rec_key {
    struct aead aead;
    uint8_t iv[AEAD_NONCE_SIZE];
    uint64_t seq;
};

/* rec_key_set: new keys from a traffic secret; seq starts at 0. The old key is wiped only on success. */
TT_MUST_USE tt_rc rec_key_set(struct rec_key *k, const struct crypto_lib *lib, const struct suite *suite,
                              const struct ks_secret *secret, bool encrypt);
void rec_key_wipe(struct rec_key *k);
/* rec_key_is_set: false while records are in the clear. */
static inline bool rec_key_is_set(const struct rec_key *k)
{
    return k->aead.lib != NULL;
}
/* rec_key_rest: give back what the next record can make anew. */
static inline void rec_key_rest(struct rec_key *k)
{
    aead_rest(&k->aead);
}

/* struct rec_content: what goes into one record. */
struct rec_content {
    /* "Implementations MUST NOT send record types not defined in this document unless negotiated by some
     * extension." (section 5) */
    enum content_type type;
    struct tt_bytes data;    /* at most REC_MAX_PLAINTEXT */
    size_t padding;          /* zeros behind it; data and padding together at most REC_MAX_PLAINTEXT */
    uint16_t legacy_version; /* of a record in the clear; 0x0303 on protected ones */
};
/* rec_seal: append one record to out. */
TT_MUST_USE tt_rc rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out);
/* rec_sealed_size: bytes that rec_seal will append for n bytes of content without padding, protected. */
#define REC_SEALED_SIZE(n) (REC_HEADER_SIZE + (n) + 1 + AEAD_TAG_SIZE)

/* rec_open: unprotect one whole record (header included) into ret_to, which has room for record.len bytes.
 * *ret_type and *ret_len are those of the content without its padding. TT_ERR_PROTOCOL: ret->alert says why;
 * any other failure is our own. */
struct rec_opened {
    uint8_t type;
    size_t len;
    unsigned alert;
};
TT_MUST_USE tt_rc rec_open(struct rec_key *k, struct tt_bytes record, uint8_t *ret_to,
                           struct rec_opened *ret);

#endif
