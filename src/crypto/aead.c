/* crypto/aead.c: record protection by libcrypto. Layer: crypto. RFC 9846 section 5.2. No allocation per
 * record. */
#include "crypto/aead.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#include "base/mem.h"
#include "crypto/lib_internal.h"

/* Up to here it is quicker to copy the content to where it goes than to hand it to libcrypto by itself. */
#define COPIED_CONTENT 2048

size_t aead_key_size(enum aead_id id)
{
    return id == AEAD_AES_128_GCM ? 16 : 32;
}

bool aead_available(const struct crypto_lib *lib, enum aead_id id)
{
    return id < AEAD_COUNT && lib->aead[id] != NULL;
}

tt_rc aead_init(struct aead *a, const struct crypto_lib *lib, enum aead_id id, bool encrypt,
                struct tt_bytes key)
{
    if (!aead_available(lib, id) || key.len != aead_key_size(id))
        return TT_ERR_UNSUPPORTED;
    *a = (struct aead){.lib = lib, .id = id, .encrypt = encrypt};
    memcpy(a->key, key.data, key.len);
    return TT_OK;
}

void aead_rest(struct aead *a)
{
    EVP_CIPHER_CTX_free(a->ctx); /* wipes the key schedule */
    a->ctx = NULL;
}

void aead_wipe(struct aead *a)
{
    aead_rest(a);
    mem_wipe(a, sizeof *a);
}

static tt_rc aead_wake(struct aead *a)
{
    if (a->ctx != NULL)
        return TT_OK;
    a->ctx = EVP_CIPHER_CTX_new();
    if (a->ctx == NULL)
        return TT_ERR_MEMORY;
    if (EVP_CipherInit_ex2(a->ctx, a->lib->aead[a->id], a->key, NULL, a->encrypt, NULL) == 1)
        return TT_OK;
    aead_rest(a);
    return TT_ERR_INTERNAL;
}

static bool aead_update(EVP_CIPHER_CTX *ctx, uint8_t *to, const uint8_t *from, size_t n)
{
    int done = 0;
    return EVP_CipherUpdate(ctx, to, &done, from, (int)n) == 1 && (to == NULL || (size_t)done == n);
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

/* The content, its type and the padding, as one piece where that is cheap. */
static bool aead_inner_plaintext(EVP_CIPHER_CTX *ctx, const struct aead_plain *plain, uint8_t *to)
{
    size_t n = plain->content.len;
    if (n > COPIED_CONTENT)
        return aead_update(ctx, to, plain->content.data, n) && aead_update(ctx, to + n, &plain->type, 1) &&
               aead_zeros(ctx, to + n + 1, plain->padding);
    if (n > 0)
        memcpy(to, plain->content.data, n);
    to[n] = plain->type;
    return aead_update(ctx, to, to, n + 1) && aead_zeros(ctx, to + n + 1, plain->padding);
}

tt_rc aead_seal(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct tt_bytes aad,
                const struct aead_plain *plain, uint8_t *ret)
{
    TT_TRY(aead_wake(a));
    uint8_t *tag_at = ret + plain->content.len + 1 + plain->padding;
    OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag_at, AEAD_TAG_SIZE),
                        OSSL_PARAM_END};
    int none = 0;
    bool ok = EVP_EncryptInit_ex2(a->ctx, NULL, NULL, nonce, NULL) == 1 &&
              aead_update(a->ctx, NULL, aad.data, aad.len) && aead_inner_plaintext(a->ctx, plain, ret) &&
              EVP_EncryptFinal_ex(a->ctx, tag_at, &none) == 1 && EVP_CIPHER_CTX_get_params(a->ctx, tag) == 1;
    return ok ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc aead_open(struct aead *a, const uint8_t nonce[AEAD_NONCE_SIZE], struct tt_bytes aad,
                struct tt_bytes sealed, uint8_t *ret)
{
    if (sealed.len < AEAD_TAG_SIZE)
        return TT_ERR_DECODE;
    TT_TRY(aead_wake(a));
    size_t n = sealed.len - AEAD_TAG_SIZE;
    uint8_t received[AEAD_TAG_SIZE]; /* libcrypto wants it writable */
    memcpy(received, sealed.data + n, sizeof received);
    const OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, received, sizeof received),
                              OSSL_PARAM_END};
    int none = 0;
    if (EVP_DecryptInit_ex2(a->ctx, NULL, NULL, nonce, tag) != 1)
        return TT_ERR_INTERNAL;
    bool ok = aead_update(a->ctx, NULL, aad.data, aad.len) &&
              (n == 0 || aead_update(a->ctx, ret, sealed.data, n)) &&
              EVP_DecryptFinal_ex(a->ctx, ret + n, &none) == 1;
    return ok ? TT_OK : TT_ERR_DECODE;
}
