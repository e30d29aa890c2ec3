/* tls/key_schedule.c: RFC 9846 section 7, written like its diagram. Layer: tls. */
#include "tls/key_schedule.h"

#include <string.h>

#include "base/mem.h"
#include "tpmtls/iana.h"

const struct suite *suite_of(uint16_t id)
{
    /* Section 5.5: AES-GCM up to 2^24.5 full-size records; we change keys at 2^23. ChaCha20 has no limit
     * below the sequence number's own. */
    static const struct suite suites[] = {
        {TT_SUITE_AES_128_GCM_SHA256, HASH_SHA256, AEAD_AES_128_GCM, (uint64_t)1 << 23},
        {TT_SUITE_AES_256_GCM_SHA384, HASH_SHA384, AEAD_AES_256_GCM, (uint64_t)1 << 23},
        {TT_SUITE_CHACHA20_POLY1305_SHA256, HASH_SHA256, AEAD_CHACHA20_POLY1305, (uint64_t)1 << 48},
    };
    for (size_t i = 0; i < TT_COUNT(suites); i++)
        if (suites[i].id == id)
            return &suites[i];
    return NULL;
}

void ks_init(struct key_schedule *ks, const struct crypto_lib *lib, enum hash_id hash)
{
    *ks = (struct key_schedule){.lib = lib, .hash = hash, .phase = KS_START};
}

void ks_wipe(struct key_schedule *ks)
{
    mem_wipe(ks, sizeof *ks);
}

tt_rc ks_expand_label(const struct crypto_lib *lib, enum hash_id hash, const uint8_t *secret,
                      struct ks_label label, uint8_t *ret, size_t len)
{
    /* struct { uint16 length; opaque label<7..255> = "tls13 " + Label; opaque context<0..255>; } HkdfLabel;
     */
    uint8_t info[2 + 1 + 255 + 1 + 255];
    size_t label_len = 6 + strlen(label.label), at = 0;
    if (label_len > 255 || label.context.len > 255 || len > UINT16_MAX)
        return TT_ERR_USAGE;
    info[at++] = (uint8_t)(len >> 8);
    info[at++] = (uint8_t)len;
    info[at++] = (uint8_t)label_len;
    memcpy(info + at, "tls13 ", 6);
    memcpy(info + at + 6, label.label, label_len - 6);
    at += label_len;
    info[at++] = (uint8_t)label.context.len;
    if (label.context.len > 0)
        memcpy(info + at, label.context.data, label.context.len);
    at += label.context.len;
    return hkdf_expand(lib, hash, (struct tt_bytes){secret, hash_size(hash)}, (struct tt_bytes){info, at},
                       ret, len);
}

tt_rc ks_derive(const struct key_schedule *ks, enum ks_phase phase, const char *label,
                const uint8_t *transcript_hash, struct ks_secret *ret)
{
    if (ks->phase != phase)
        return TT_ERR_INTERNAL;
    size_t n = hash_size(ks->hash);
    struct ks_label l = {label, {transcript_hash, n}};
    return ks_expand_label(ks->lib, ks->hash, ks->secret, l, ret->data, n);
}

/* Without a PSK, what comes before the key exchange is the same in every handshake: RFC 8448 section 3 shows
 * both of SHA-256 (the tests compute them). */
struct without_psk {
    uint8_t early_secret[48], derived[48];
};
static const struct without_psk *without_psk(enum hash_id hash)
{
    static const struct without_psk
        sha256 = {{0x33, 0xad, 0x0a, 0x1c, 0x60, 0x7e, 0xc0, 0x3b, 0x09, 0xe6, 0xcd,
                   0x98, 0x93, 0x68, 0x0c, 0xe2, 0x10, 0xad, 0xf3, 0x00, 0xaa, 0x1f,
                   0x26, 0x60, 0xe1, 0xb2, 0x2e, 0x10, 0xf1, 0x70, 0xf9, 0x2a},
                  {0x6f, 0x26, 0x15, 0xa1, 0x08, 0xc7, 0x02, 0xc5, 0x67, 0x8f, 0x54,
                   0xfc, 0x9d, 0xba, 0xb6, 0x97, 0x16, 0xc0, 0x76, 0x18, 0x9c, 0x48,
                   0x25, 0x0c, 0xeb, 0xea, 0xc3, 0x57, 0x6c, 0x36, 0x11, 0xba}},
        sha384 = {
            {0x7e, 0xe8, 0x20, 0x6f, 0x55, 0x70, 0x02, 0x3e, 0x6d, 0xc7, 0x51, 0x9e, 0xb1, 0x07, 0x3b, 0xc4,
             0xe7, 0x91, 0xad, 0x37, 0xb5, 0xc3, 0x82, 0xaa, 0x10, 0xba, 0x18, 0xe2, 0x35, 0x7e, 0x71, 0x69,
             0x71, 0xf9, 0x36, 0x2f, 0x2c, 0x2f, 0xe2, 0xa7, 0x6b, 0xfd, 0x78, 0xdf, 0xec, 0x4e, 0xa9, 0xb5},
            {0x15, 0x91, 0xda, 0xc5, 0xcb, 0xbf, 0x03, 0x30, 0xa4, 0xa8, 0x4d, 0xe9, 0xc7, 0x53, 0x33, 0x0e,
             0x92, 0xd0, 0x1f, 0x0a, 0x88, 0x21, 0x4b, 0x44, 0x64, 0x97, 0x2f, 0xd6, 0x68, 0x04, 0x9e, 0x93,
             0xe5, 0x2f, 0x2b, 0x16, 0xfa, 0xd9, 0x22, 0xfd, 0xc0, 0x58, 0x44, 0x78, 0x42, 0x8f, 0x28, 0x2b}};
    return hash == HASH_SHA256 ? &sha256 : hash == HASH_SHA384 ? &sha384 : NULL;
}

/* One step of the diagram: salt = Derive-Secret(., "derived", ""), then Extract with the new input. */
static tt_rc ks_step(struct key_schedule *ks, enum ks_phase from, struct tt_bytes input)
{
    if (ks->phase != from)
        return TT_ERR_INTERNAL;
    static const uint8_t zeros[HASH_MAX_SIZE];
    size_t n = hash_size(ks->hash);
    struct ks_secret salt;
    struct tt_bytes salt_bytes = {NULL, 0};
    if (from == KS_EARLY && ks->without_psk) {
        salt_bytes = (struct tt_bytes){without_psk(ks->hash)->derived, n};
    } else if (from != KS_START) {
        TT_TRY(ks_derive(ks, from, "derived", hash_empty(ks->lib, ks->hash).data, &salt));
        salt_bytes = (struct tt_bytes){salt.data, n};
    }
    if (input.len == 0)
        input = (struct tt_bytes){zeros, n};
    tt_rc rc = hkdf_extract(ks->lib, ks->hash, salt_bytes, input, ks->secret);
    mem_wipe(&salt, sizeof salt);
    if (rc == TT_OK)
        ks->phase = from + 1;
    return rc;
}

tt_rc ks_early(struct key_schedule *ks, struct tt_bytes psk)
{
    const struct without_psk *known = psk.len == 0 ? without_psk(ks->hash) : NULL;
    if (known == NULL)
        return ks_step(ks, KS_START, psk);
    if (ks->phase != KS_START)
        return TT_ERR_INTERNAL;
    memcpy(ks->secret, known->early_secret, hash_size(ks->hash));
    ks->without_psk = true;
    ks->phase = KS_EARLY;
    return TT_OK;
}

tt_rc ks_handshake(struct key_schedule *ks, struct tt_bytes shared_secret)
{
    return ks_step(ks, KS_EARLY, shared_secret);
}

tt_rc ks_handshake_given(struct key_schedule *ks, struct tt_bytes secret)
{
    if (ks->phase != KS_START || secret.len != hash_size(ks->hash))
        return TT_ERR_INTERNAL;
    memcpy(ks->secret, secret.data, secret.len);
    ks->phase = KS_HANDSHAKE;
    return TT_OK;
}

tt_rc ks_main(struct key_schedule *ks)
{
    return ks_step(ks, KS_HANDSHAKE, (struct tt_bytes){NULL, 0});
}

tt_rc ks_finished(const struct crypto_lib *lib, enum hash_id hash, const uint8_t *base_key,
                  const uint8_t *transcript_hash, uint8_t *ret)
{
    struct ks_secret key;
    size_t n = hash_size(hash);
    TT_TRY(ks_expand_label(lib, hash, base_key, (struct ks_label){"finished", {NULL, 0}}, key.data, n));
    const struct tt_bytes data = {transcript_hash, n};
    tt_rc rc = hmac(lib, hash, (struct tt_bytes){key.data, n}, &data, 1, ret);
    mem_wipe(&key, sizeof key);
    return rc;
}

tt_rc ks_next_traffic(const struct crypto_lib *lib, enum hash_id hash, struct ks_secret *secret)
{
    struct ks_secret next;
    TT_TRY(ks_expand_label(lib, hash, secret->data, (struct ks_label){"traffic upd", {NULL, 0}}, next.data,
                           hash_size(hash)));
    *secret = next;
    mem_wipe(&next, sizeof next);
    return TT_OK;
}
