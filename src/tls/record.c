/* tls/record.c: RFC 9846 sections 5.2 (protection), 5.3 (nonce), 5.4 (padding), 7.3 (keys). Layer: tls. */
#include "tls/record.h"

#include <string.h>

tt_rc rec_key_set(struct rec_key *k, const struct crypto_lib *lib, const struct suite *suite,
                  const struct ks_secret *secret, bool encrypt)
{
    uint8_t key[AEAD_MAX_KEY_SIZE];
    struct rec_key fresh = {0};
    size_t key_len = aead_key_size(suite->aead);
    TT_TRY(
        ks_expand_label(lib, suite->hash, secret->data, (struct ks_label){"key", {NULL, 0}}, key, key_len));
    tt_rc rc = ks_expand_label(lib, suite->hash, secret->data, (struct ks_label){"iv", {NULL, 0}}, fresh.iv,
                               sizeof fresh.iv);
    if (rc == TT_OK)
        rc = aead_init(&fresh.aead, lib, suite->aead, encrypt, (struct tt_bytes){key, key_len});
    mem_wipe(key, sizeof key);
    TT_TRY(rc);
    rec_key_wipe(k);
    *k = fresh;
    mem_wipe(&fresh, sizeof fresh);
    return TT_OK;
}

void rec_key_wipe(struct rec_key *k)
{
    aead_rest(&k->aead);
    mem_wipe(k, sizeof *k);
}

/* Section 5.3: the sequence number, in network byte order and padded to the left, XORed with the IV. */
static void rec_nonce(const struct rec_key *k, uint8_t nonce[AEAD_NONCE_SIZE])
{
    memcpy(nonce, k->iv, AEAD_NONCE_SIZE);
    for (size_t i = 0; i < 8; i++)
        nonce[AEAD_NONCE_SIZE - 1 - i] = (uint8_t)(nonce[AEAD_NONCE_SIZE - 1 - i] ^ (k->seq >> 8 * i));
}

static void rec_header(uint8_t *to, enum content_type type, uint16_t version, size_t len)
{
    to[0] = (uint8_t)type;
    to[1] = (uint8_t)(version >> 8);
    to[2] = (uint8_t)version;
    to[3] = (uint8_t)(len >> 8);
    to[4] = (uint8_t)len;
}

static tt_rc rec_put_plain(const struct rec_content *content, struct buf *out)
{
    uint8_t *to = buf_reserve(out, REC_HEADER_SIZE + content->data.len);
    if (to == NULL)
        return TT_ERR_MEMORY;
    rec_header(to, content->type, content->legacy_version, content->data.len);
    memcpy(to + REC_HEADER_SIZE, content->data.data, content->data.len);
    buf_commit(out, REC_HEADER_SIZE + content->data.len);
    return TT_OK;
}

tt_rc rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out)
{
    if (!rec_key_is_set(k))
        return rec_put_plain(content, out);
    /* "If a TLS implementation would need to wrap a sequence number, it MUST either rekey ... or terminate
     * the connection." (section 5.3) */
    if (k->seq == UINT64_MAX)
        return TT_ERR_INTERNAL;
    size_t sealed = content->data.len + 1 + content->padding + AEAD_TAG_SIZE;
    uint8_t *to = buf_reserve_lined(out, REC_HEADER_SIZE, sealed);
    if (to == NULL)
        return TT_ERR_MEMORY;
    uint8_t nonce[AEAD_NONCE_SIZE];
    rec_nonce(k, nonce);
    rec_header(to, CT_APPLICATION_DATA, TLS_VERSION_1_2, sealed);
    const struct aead_plain plain = {content->data, (uint8_t)content->type, content->padding};
    TT_TRY(aead_seal(&k->aead, nonce, (struct tt_bytes){to, REC_HEADER_SIZE}, &plain, to + REC_HEADER_SIZE));
    k->seq++;
    buf_commit(out, REC_HEADER_SIZE + sealed);
    return TT_OK;
}

tt_rc rec_open(struct rec_key *k, struct tt_bytes record, uint8_t *ret_to, struct rec_opened *ret)
{
    struct tt_bytes aad = {record.data, REC_HEADER_SIZE};
    struct tt_bytes sealed = {record.data + REC_HEADER_SIZE, record.len - REC_HEADER_SIZE};
    uint8_t nonce[AEAD_NONCE_SIZE];
    rec_nonce(k, nonce);
    tt_rc rc = k->seq == UINT64_MAX ? TT_ERR_DECODE : aead_open(&k->aead, nonce, aad, sealed, ret_to);
    if (rc == TT_ERR_DECODE) {
        ret->alert = TT_ALERT_BAD_RECORD_MAC;
        return TT_ERR_PROTOCOL;
    }
    TT_TRY(rc);
    k->seq++;
    /* Section 5.4: scan back over the zeros to the type. The whole inner plaintext may be one byte over the
     * limit. */
    size_t n = sealed.len - AEAD_TAG_SIZE;
    if (n > REC_MAX_PLAINTEXT + 1) {
        ret->alert = TT_ALERT_RECORD_OVERFLOW;
        return TT_ERR_PROTOCOL;
    }
    while (n > 0 && ret_to[n - 1] == 0)
        n--;
    if (n == 0) {
        /* "If a receiving implementation does not find a non-zero octet in the cleartext, it MUST terminate
         * the connection with an "unexpected_message" alert" (section 5.4). */
        ret->alert = TT_ALERT_UNEXPECTED_MESSAGE;
        return TT_ERR_PROTOCOL;
    }
    *ret = (struct rec_opened){.type = ret_to[n - 1], .len = n - 1, .alert = TT_ALERT_NONE};
    return TT_OK;
}
