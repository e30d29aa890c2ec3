/* attest/sealed.c: see sealed.h. Layer: attest. A nonce is a time, eight random bytes, and half of an
 * HMAC-SHA-256 over both; a token is AES-256-GCM of a time, the secret and what it is for (crypto/box.h). */
#include "attest/sealed.h"
#include "attest/policy.h"

#include <string.h>

#include "crypto/box.h"
#include "wire/reader.h"
#include "wire/writer.h"

#define NONCE_HEAD 16

static tt_rc derive(uint8_t ret[32], const struct crypto_lib *lib, const uint8_t *key, const char *what)
{
    return hkdf_expand(lib, HASH_SHA256, (struct tt_bytes){key, TT_ATTEST_KEY_SIZE},
                       (struct tt_bytes){(const uint8_t *)what, strlen(what)}, ret, 32);
}

static tt_rc nonce_mac(uint8_t ret[32], const struct crypto_lib *lib, const uint8_t *key, const uint8_t *head)
{
    uint8_t k[32];
    const struct tt_bytes data = {head, NONCE_HEAD};
    TT_TRY(derive(k, lib, key, "tpmtls attestation nonce"));
    tt_rc rc = hmac(lib, HASH_SHA256, (struct tt_bytes){k, sizeof k}, &data, 1, ret);
    mem_wipe(k, sizeof k);
    return rc;
}

static void put_u64(uint8_t *to, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get_u64(const uint8_t *at)
{
    struct reader r = reader_of((struct tt_bytes){at, 8});
    return rd_u64(&r);
}

/* Clocks of servers that share the key differ a little. */
static enum sealed_state age_of(uint64_t made, int64_t now)
{
    uint64_t t = now < 0 ? 0 : (uint64_t)now;
    return made > t + 60 || t > made + SEALED_LIFE ? SEALED_OLD : SEALED_GOOD;
}

tt_rc tt_attest_nonce(uint8_t ret[TT_ATTEST_NONCE], const struct tt_attest_policy *policy,
                      const uint8_t key[TT_ATTEST_KEY_SIZE], int64_t now, struct tt_error *err)
{
    uint8_t nonce[TT_ATTEST_NONCE], mac[32];
    put_u64(nonce, (uint64_t)now);
    if (!crypto_random(NULL, nonce + 8, 8) || nonce_mac(mac, policy->lib, key, nonce) != TT_OK)
        return error_set(err, TT_ERR_INTERNAL, "cannot make a nonce");
    memcpy(nonce + NONCE_HEAD, mac, sizeof nonce - NONCE_HEAD);
    memcpy(ret, nonce, sizeof nonce);
    return TT_OK;
}

tt_rc nonce_check(enum sealed_state *ret, const struct crypto_lib *lib, const uint8_t *key,
                  struct tt_bytes nonce, int64_t now)
{
    uint8_t mac[32];
    *ret = SEALED_WRONG;
    if (nonce.len != TT_ATTEST_NONCE)
        return TT_OK;
    TT_TRY(nonce_mac(mac, lib, key, nonce.data));
    if (mem_equal_ct(nonce.data + NONCE_HEAD, mac, TT_ATTEST_NONCE - NONCE_HEAD))
        *ret = age_of(get_u64(nonce.data), now);
    return TT_OK;
}

/* ---- tokens ---- */

static tt_rc token_bind(uint8_t ret[64], const struct token *t)
{
    TT_TRY(hash_digest(t->lib, HASH_SHA256, (struct tt_bytes){t->ak->data, t->ak->len}, ret));
    return hash_digest(t->lib, HASH_SHA256, t->ek, ret + 32);
}

static tt_rc box_key_of(struct box_key *ret, uint8_t keep[32], const struct token *t)
{
    static const char aad[] = "tpmtls attestation token 1";
    TT_TRY(derive(keep, t->lib, t->key, "tpmtls attestation token"));
    *ret = (struct box_key){.lib = t->lib, .key = keep, .aad = {(const uint8_t *)aad, sizeof aad - 1}};
    return TT_OK;
}

tt_rc token_seal(struct buf *to, const struct token *t)
{
    uint8_t plain[8 + CREDENTIAL_SECRET + 64], keep[32];
    struct box_key key;
    put_u64(plain, (uint64_t)t->now);
    memcpy(plain + 8, t->secret, CREDENTIAL_SECRET);
    TT_TRY(token_bind(plain + 8 + CREDENTIAL_SECRET, t));
    TT_TRY(box_key_of(&key, keep, t));
    tt_rc rc =
        box_seal(&key, (struct kx_random){crypto_random, NULL}, (struct tt_bytes){plain, sizeof plain}, to);
    mem_wipe(keep, sizeof keep);
    mem_wipe(plain, sizeof plain);
    return rc;
}

tt_rc token_open(enum sealed_state *ret, struct token *t, struct tt_bytes sealed)
{
    TT_AUTO(buf_free) struct buf plain = {0};
    uint8_t bind[64], keep[32];
    struct box_key key;
    *ret = SEALED_WRONG;
    TT_TRY(token_bind(bind, t));
    TT_TRY(box_key_of(&key, keep, t));
    tt_rc rc = box_open(&key, sealed, &plain);
    mem_wipe(keep, sizeof keep);
    if (rc == TT_ERR_NOT_FOUND)
        return TT_OK;
    TT_TRY(rc);
    const uint8_t *at = buf_front(&plain);
    if (buf_size(&plain) != 8 + CREDENTIAL_SECRET + sizeof bind ||
        !mem_equal_ct(bind, at + 8 + CREDENTIAL_SECRET, sizeof bind))
        return TT_OK;
    memcpy(t->secret, at + 8, CREDENTIAL_SECRET);
    *ret = age_of(get_u64(at), t->now);
    return TT_OK;
}
