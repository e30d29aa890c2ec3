/* crypto/aead.c: record protection by libcrypto. Layer: crypto. RFC 9846 section 5.2. No allocation per
 * record. */
#include "crypto/aead.h"

#include "base/mem.h"
#include "crypto/lib_internal.h"

struct aead {
    EVP_CIPHER_CTX *ctx;
    bool encrypt;
};

size_t aead_key_size(enum aead_id id)
{
    return id == AEAD_AES_128_GCM ? 16 : 32;
}

bool aead_available(const struct crypto_lib *lib, enum aead_id id)
{
    return id < AEAD_COUNT && lib->aead[id] != NULL;
}

tt_rc aead_new(struct aead **ret, const struct crypto_lib *lib, enum aead_id id, bool encrypt,
               struct tt_bytes key)
{
    if (!aead_available(lib, id) || key.len != aead_key_size(id))
        return TT_ERR_UNSUPPORTED;
    struct aead *a = mem_alloc(sizeof *a);
    if (a == NULL)
        return TT_ERR_MEMORY;
    a->encrypt = encrypt;
    a->ctx = EVP_CIPHER_CTX_new();
    if (a->ctx == NULL || EVP_CipherInit_ex2(a->ctx, lib->aead[id], key.data, NULL, encrypt, NULL) != 1) {
        aead_free(a);
        return TT_ERR_INTERNAL;
    }
    *ret = a;
    return TT_OK;
}

void aead_free(struct aead *a)
{
    if (a == NULL)
        return;
    EVP_CIPHER_CTX_free(a->ctx); /* wipes the key schedule */
    mem_free(a);
}

static bool aead_update(EVP_CIPHER_CTX *ctx, uint8_t *to, const uint8_t *from, size_t n)
{
    int done = 0;
    return n == 0 ||
           (EVP_CipherUpdate(ctx, to, &done, from, (int)n) == 1 && (to == NULL || (size_t)done == n));
}

static bool aead_start(struct aead *a, const uint8_t *nonce, struct tt_bytes aad)
{
    return EVP_CipherInit_ex2(a->ctx, NULL, NULL, nonce, a->encrypt, NULL) == 1 &&
           aead_update(a->ctx, NULL, aad.data, aad.len);
}

static bool aead_zeros(EVP_CIPHER_CTX *ctx, uint8_t *to, size_t n)
{
    static const uint8_t zeros[256];
    for (size_t part; n > 0; n -= part, to += part) {
        part = n < sizeof zeros ? n : sizeof zeros;
        if (!aead_update(ctx, to, zeros, part))
            return false;
    }
    return true;
}

tt_rc aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct tt_bytes aad,
                const struct aead_plain *plain, uint8_t *ret)
{
    uint8_t *type_at = ret + plain->content.len;
    uint8_t *tag_at = type_at + 1 + plain->padding;
    int none = 0;
    bool ok =
        aead_start(a, nonce, aad) && aead_update(a->ctx, ret, plain->content.data, plain->content.len) &&
        aead_update(a->ctx, type_at, &plain->type, 1) && aead_zeros(a->ctx, type_at + 1, plain->padding) &&
        EVP_CipherFinal_ex(a->ctx, tag_at, &none) == 1 &&
        EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, tag_at) == 1;
    return ok ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct tt_bytes aad,
                struct tt_bytes sealed, uint8_t *ret)
{
    if (sealed.len < AEAD_TAG_SIZE)
        return TT_ERR_DECODE;
    size_t n = sealed.len - AEAD_TAG_SIZE;
    uint8_t tag[AEAD_TAG_SIZE];
    for (size_t i = 0; i < sizeof tag; i++) /* libcrypto wants it writable */
        tag[i] = sealed.data[n + i];
    int none = 0;
    bool ok = aead_start(a, nonce, aad) && aead_update(a->ctx, ret, sealed.data, n) &&
              EVP_CIPHER_CTX_ctrl(a->ctx, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, tag) == 1 &&
              EVP_CipherFinal_ex(a->ctx, ret + n, &none) == 1;
    return ok ? TT_OK : TT_ERR_DECODE;
}
