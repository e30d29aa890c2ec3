/* crypto/kdf.c: see kdf.h. Layer: crypto. */
#include "crypto/kdf.h"

#include <string.h>

#include "wire/writer.h"

static struct tt_bytes label_of(const struct kdf *k)
{
    return (struct tt_bytes){(const uint8_t *)k->label, strlen(k->label) + 1};
}

static void put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> (24 - 8 * i));
}

tt_rc kdf_a(uint8_t *ret, size_t len, const struct kdf *k)
{
    uint8_t counter[4], bits[4], block[HASH_MAX_SIZE];
    if (len > hash_size(k->hash))
        return TT_ERR_UNSUPPORTED;
    put_u32(counter, 1);
    put_u32(bits, (uint32_t)len * 8);
    const struct tt_bytes data[] = {{counter, 4}, label_of(k), k->u, k->v, {bits, 4}};
    TT_TRY(hmac(k->lib, k->hash, k->key, data, TT_COUNT(data), block));
    memcpy(ret, block, len);
    mem_wipe(block, sizeof block);
    return TT_OK;
}

tt_rc kdf_e(uint8_t *ret, const struct kdf *k)
{
    struct buf all = {0};
    struct writer to = writer_to(&all);
    wr_u32(&to, 1);
    wr_bytes(&to, k->key);
    wr_bytes(&to, label_of(k));
    wr_bytes(&to, k->u);
    wr_bytes(&to, k->v);
    tt_rc rc = wr_status(&to);
    if (rc == TT_OK)
        rc = hash_digest(k->lib, k->hash, buf_bytes(&all), ret);
    buf_free(&all);
    return rc;
}
