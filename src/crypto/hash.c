/* crypto/hash.c: hashes by libcrypto, with HMAC (RFC 2104) and HKDF (RFC 5869) over them. Layer: crypto. */
#include "crypto/hash.h"

#include <string.h>

#include "base/mem.h"
#include "crypto/lib_internal.h"

#define MAX_BLOCK 128 /* SHA-384 and SHA-512; SHA-256 has 64 */

struct hash_ctx {
    EVP_MD_CTX *ctx;
    EVP_MD_CTX *scratch; /* for hash_peek */
    struct spare *home;  /* where both go afterwards */
};

/* ---- contexts of libcrypto, kept between two uses: a handshake hashes some seventy times ---- */

static EVP_MD_CTX *md_take(const struct crypto_lib *lib, enum hash_id id)
{
    EVP_MD_CTX *ctx = spare_take(lib->hashes[id]);
    if (ctx == NULL && (ctx = EVP_MD_CTX_new()) != NULL && EVP_DigestInit_ex2(ctx, lib->md[id], NULL) != 1)
        EVP_MD_CTX_free(TT_TAKE(ctx));
    return ctx;
}

/* Initialised anew, which wipes what was in it, it is ready for the next. */
static void md_give(struct spare *home, EVP_MD_CTX *ctx)
{
    bool ready = ctx != NULL && EVP_MD_CTX_get0_md(ctx) != NULL && EVP_DigestInit_ex2(ctx, NULL, NULL) == 1;
    if (!ready || !spare_give(home, ctx))
        EVP_MD_CTX_free(ctx);
}

EVP_MD_CTX *hash_take(const struct crypto_lib *lib, enum hash_id id)
{
    return md_take(lib, id);
}

void hash_give(const struct crypto_lib *lib, enum hash_id id, EVP_MD_CTX *ctx)
{
    md_give(lib->hashes[id], ctx);
}

/* ---- hashes ---- */

size_t hash_size(enum hash_id id)
{
    static const size_t sizes[HASH_COUNT] = {[HASH_SHA256] = 32, [HASH_SHA384] = 48, [HASH_SHA512] = 64};
    return (size_t)id < HASH_COUNT ? sizes[id] : 0;
}

struct tt_bytes hash_empty(const struct crypto_lib *lib, enum hash_id id)
{
    return (struct tt_bytes){id < HASH_COUNT ? lib->empty_hash[id] : NULL, hash_size(id)};
}

tt_rc hash_digest(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes data, uint8_t *ret)
{
    if (id == HASH_NONE || id >= HASH_COUNT)
        return TT_ERR_UNSUPPORTED;
    EVP_MD_CTX *ctx = md_take(lib, id);
    bool ok = ctx != NULL && EVP_DigestUpdate(ctx, data.data, data.len) == 1 &&
              EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
    md_give(lib->hashes[id], ctx);
    return ok ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc hash_new(struct hash_ctx **ret, const struct crypto_lib *lib, enum hash_id id)
{
    if (id == HASH_NONE || id >= HASH_COUNT)
        return TT_ERR_UNSUPPORTED;
    struct hash_ctx *h = mem_alloc(sizeof *h);
    if (h == NULL)
        return TT_ERR_MEMORY;
    *h = (struct hash_ctx){md_take(lib, id), md_take(lib, id), lib->hashes[id]};
    if (h->ctx == NULL || h->scratch == NULL) {
        hash_free(h);
        return TT_ERR_MEMORY;
    }
    *ret = h;
    return TT_OK;
}

tt_rc hash_update(struct hash_ctx *h, struct tt_bytes data)
{
    return EVP_DigestUpdate(h->ctx, data.data, data.len) == 1 ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc hash_peek(struct hash_ctx *h, uint8_t *ret)
{
    bool ok = EVP_MD_CTX_copy_ex(h->scratch, h->ctx) == 1 && EVP_DigestFinal_ex(h->scratch, ret, NULL) == 1;
    return ok ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc hash_restart(struct hash_ctx *h)
{
    return EVP_DigestInit_ex2(h->ctx, NULL, NULL) == 1 ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc hash_copy(struct hash_ctx **ret, const struct hash_ctx *from)
{
    struct hash_ctx *h = mem_alloc(sizeof *h);
    if (h == NULL)
        return TT_ERR_MEMORY;
    *h = (struct hash_ctx){EVP_MD_CTX_new(), EVP_MD_CTX_new(), from->home};
    if (h->ctx == NULL || h->scratch == NULL || EVP_MD_CTX_copy_ex(h->ctx, from->ctx) != 1) {
        hash_free(h);
        return TT_ERR_MEMORY;
    }
    *ret = h;
    return TT_OK;
}

void hash_free(struct hash_ctx *h)
{
    if (h == NULL)
        return;
    md_give(h->home, h->ctx);
    md_give(h->home, h->scratch);
    mem_free(h);
}

/* One of the two hashes of RFC 2104, H((key XOR pad), data), in a context that was just initialised. */
static bool hmac_half(EVP_MD_CTX *ctx, struct tt_bytes padded_key, const struct tt_bytes *data, size_t n,
                      uint8_t *ret)
{
    bool ok = EVP_DigestUpdate(ctx, padded_key.data, padded_key.len) == 1;
    for (size_t i = 0; ok && i < n; i++)
        ok = data[i].len == 0 || EVP_DigestUpdate(ctx, data[i].data, data[i].len) == 1;
    return ok && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
}

/* RFC 2104 over the hash that was fetched: a context of EVP_MAC costs three times the HMAC itself, and a
 * handshake makes some forty. */
tt_rc hmac(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes key, const struct tt_bytes *data,
           size_t n, uint8_t *ret)
{
    if (id == HASH_NONE || id >= HASH_COUNT)
        return TT_ERR_UNSUPPORTED;
    uint8_t padded[MAX_BLOCK] = {0}, inner[HASH_MAX_SIZE];
    const struct tt_bytes padded_key = {padded, id == HASH_SHA256 ? 64 : 128}, outer = {inner, hash_size(id)};
    EVP_MD_CTX *ctx = md_take(lib, id);
    bool ok = ctx != NULL;
    if (key.len > padded_key.len)
        ok = ok && hash_digest(lib, id, key, padded) == TT_OK;
    else if (key.len > 0)
        memcpy(padded, key.data, key.len);
    for (size_t i = 0; i < padded_key.len; i++)
        padded[i] ^= 0x36;
    ok = ok && hmac_half(ctx, padded_key, data, n, inner);
    for (size_t i = 0; i < padded_key.len; i++)
        padded[i] ^= 0x36 ^ 0x5c;
    ok = ok && EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 && hmac_half(ctx, padded_key, &outer, 1, ret);
    md_give(lib->hashes[id], ctx);
    mem_wipe(padded, sizeof padded);
    mem_wipe(inner, sizeof inner);
    return ok ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc hkdf_extract(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes salt, struct tt_bytes ikm,
                   uint8_t *ret)
{
    return hmac(lib, id, salt, &ikm, 1, ret);
}

tt_rc hkdf_expand(const struct crypto_lib *lib, enum hash_id id, struct tt_bytes prk, struct tt_bytes info,
                  uint8_t *ret, size_t len)
{
    size_t size = hash_size(id), done = 0;
    if (size == 0 || len > 255 * size)
        return TT_ERR_USAGE;
    uint8_t block[HASH_MAX_SIZE];
    tt_rc rc = TT_OK;
    for (uint8_t counter = 1; rc == TT_OK && done < len; counter++) {
        const struct tt_bytes in[] = {{block, counter == 1 ? 0 : size}, info, {&counter, 1}};
        rc = hmac(lib, id, prk, in, TT_COUNT(in), block);
        size_t part = len - done < size ? len - done : size;
        if (rc == TT_OK)
            memcpy(ret + done, block, part);
        done += part;
    }
    mem_wipe(block, sizeof block);
    return rc;
}
