/* tests/support/ech_craft.c: see ech_craft.h. */
#include "support/ech_craft.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 4

static void must(bool right)
{
    if (!right)
        abort();
}

void ech_craft_begin(struct ech_craft *c)
{
    const struct tt_ech_config_params params = {
        .public_name = "public.example", .config_id = 7, .kem = TT_KEM_X25519};
    *c = (struct ech_craft){.config_id = 7};
    must(crypto_lib_new(&c->lib, NULL) == TT_OK);
    must(tt_ech_config_make(&c->pem, &c->pem_len, &params, NULL) == TT_OK);
    must(pem_find(&c->list, (struct tt_bytes){c->pem, c->pem_len}, "ECHCONFIG") == TT_OK);
    struct reader r = reader_of((struct tt_bytes){c->list.der + 2, c->list.len - 2});
    must(ech_config_read(&c->config, &r) == TT_OK);
}

void ech_craft_end(struct ech_craft *c)
{
    pem_block_free(&c->list);
    mem_free(c->pem);
    crypto_lib_free(c->lib);
}

/* Where the length of the extensions stands. */
static size_t extensions_at(struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, HEADER + 2 + HS_RANDOM_SIZE);
    (void)rd_vec8(&r, 0);
    (void)rd_vec16(&r, 0);
    (void)rd_vec8(&r, 0);
    must(rd_status(&r) == TT_OK);
    return (size_t)(r.at - message.data);
}

static void put_number(uint8_t *at, size_t n, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(n >> 8 * (bytes - 1 - i));
}

void ech_craft_seal(const struct ech_craft *c, struct buf *ret, struct tt_bytes outer,
                    struct tt_bytes encoded)
{
    TT_AUTO(buf_free) struct buf info = {0};
    struct hpke hpke;
    struct hpke_encapsulated enc;
    const struct hpke_suite suite = {c->config.kem, HPKE_HKDF_SHA256, HPKE_AES_128_GCM};
    const size_t at = extensions_at(outer), payload = encoded.len + HPKE_TAG_SIZE;
    must(ech_info(&info, c->config.raw) == TT_OK);
    must(hpke_setup_sender(&hpke, &enc, c->lib, suite, c->config.public_key, buf_bytes(&info),
                           (struct kx_random){crypto_random, NULL}) == TT_OK);
    const size_t extension = 1 + 2 + 2 + 1 + 2 + enc.len + 2 + payload;
    const size_t whole = outer.len + 4 + extension;
    must(whole <= 16384);
    uint8_t *record = buf_reserve(ret, 5 + whole), *message = record + 5;
    must(record != NULL);
    buf_commit(ret, 5 + whole);
    memcpy(record, "\x16\x03\x01", 3);
    put_number(record + 3, whole, 2);
    memcpy(message, outer.data, outer.len);
    put_number(message + 1, whole - HEADER, 3);
    put_number(message + at, outer.len - at - 2 + 4 + extension, 2);
    uint8_t *to = message + outer.len;
    put_number(to, 0xfe0d, 2);
    put_number(to + 2, extension, 2);
    to[4] = ECH_OUTER;
    put_number(to + 5, suite.kdf, 2);
    put_number(to + 7, suite.aead, 2);
    to[9] = c->config_id;
    put_number(to + 10, enc.len, 2);
    memcpy(to + 12, enc.data, enc.len);
    put_number(to + 12 + enc.len, payload, 2);
    memset(to + 14 + enc.len, 0, payload);
    uint8_t *sealed = mem_alloc(payload);
    must(sealed != NULL);
    must(hpke_seal(&hpke, (struct tt_bytes){message + HEADER, whole - HEADER}, encoded, sealed) == TT_OK);
    memcpy(to + 14 + enc.len, sealed, payload);
    mem_free(sealed);
    hpke_wipe(&hpke);
}

void ech_craft_encode(struct buf *ret, struct tt_bytes inner)
{
    const size_t session_id = HEADER + 2 + HS_RANDOM_SIZE, rest = session_id + 1 + inner.data[session_id];
    must(buf_append(ret, inner.data + HEADER, session_id - HEADER) == TT_OK);
    must(buf_append(ret, "", 1) == TT_OK);
    must(buf_append(ret, inner.data + rest, inner.len - rest) == TT_OK);
}
