/* crypto/compress.c: zlib, brotli, zstd; each optional. Layer: crypto. RFC 8879 section 3. */
#include "crypto/compress.h"

#ifdef TT_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef TT_HAVE_BROTLI
#include <brotli/decode.h>
#include <brotli/encode.h>
#endif
#ifdef TT_HAVE_ZSTD
#include <zstd.h>
#endif

/* struct codec: bound says how much room compressing n bytes may take (0: cannot); pack returns the size, 0
 * on failure; unpack returns whether exactly `len` bytes came out of all of the input. */
struct codec {
    uint16_t algorithm;
    size_t (*bound)(size_t n);
    size_t (*pack)(struct tt_bytes plain, uint8_t *to, size_t cap);
    bool (*unpack)(struct tt_bytes packed, uint8_t *to, size_t len);
};

#ifdef TT_HAVE_ZLIB
static size_t zlib_bound(size_t n)
{
    return compressBound(n);
}

static size_t zlib_pack(struct tt_bytes plain, uint8_t *to, size_t cap)
{
    uLongf len = cap;
    return compress2(to, &len, plain.data, plain.len, Z_BEST_COMPRESSION) == Z_OK ? len : 0;
}

static bool zlib_unpack(struct tt_bytes packed, uint8_t *to, size_t len)
{
    uLongf got = len;
    uLong used = packed.len;
    return uncompress2(to, &got, packed.data, &used) == Z_OK && got == len && used == packed.len;
}
#endif

#ifdef TT_HAVE_BROTLI
static size_t brotli_bound(size_t n)
{
    return BrotliEncoderMaxCompressedSize(n);
}

static size_t brotli_pack(struct tt_bytes plain, uint8_t *to, size_t cap)
{
    size_t len = cap;
    BROTLI_BOOL ok = BrotliEncoderCompress(BROTLI_DEFAULT_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_GENERIC,
                                           plain.len, plain.data, &len, to);
    return ok == BROTLI_TRUE ? len : 0;
}

static bool brotli_unpack(struct tt_bytes packed, uint8_t *to, size_t len)
{
    size_t got = len;
    return BrotliDecoderDecompress(packed.len, packed.data, &got, to) == BROTLI_DECODER_RESULT_SUCCESS &&
           got == len;
}
#endif

#ifdef TT_HAVE_ZSTD
static size_t zstd_bound(size_t n)
{
    return ZSTD_compressBound(n);
}

static size_t zstd_pack(struct tt_bytes plain, uint8_t *to, size_t cap)
{
    size_t len = ZSTD_compress(to, cap, plain.data, plain.len, ZSTD_CLEVEL_DEFAULT);
    return ZSTD_isError(len) ? 0 : len;
}

static bool zstd_unpack(struct tt_bytes packed, uint8_t *to, size_t len)
{
    /* One frame and nothing behind it. */
    size_t frame = ZSTD_findFrameCompressedSize(packed.data, packed.len);
    return !ZSTD_isError(frame) && frame == packed.len &&
           ZSTD_decompress(to, len, packed.data, packed.len) == len;
}
#endif

static const struct codec codecs[] = {
#ifdef TT_HAVE_ZLIB
    {TT_COMPRESSION_ZLIB, zlib_bound, zlib_pack, zlib_unpack},
#endif
#ifdef TT_HAVE_BROTLI
    {TT_COMPRESSION_BROTLI, brotli_bound, brotli_pack, brotli_unpack},
#endif
#ifdef TT_HAVE_ZSTD
    {TT_COMPRESSION_ZSTD, zstd_bound, zstd_pack, zstd_unpack},
#endif
    {0, NULL, NULL, NULL},
};

static const struct codec *codec_of(uint16_t algorithm)
{
    for (const struct codec *c = codecs; c->bound != NULL; c++)
        if (c->algorithm == algorithm)
            return c;
    return NULL;
}

bool compress_available(uint16_t algorithm)
{
    return codec_of(algorithm) != NULL;
}

tt_rc compress_bytes(uint16_t algorithm, struct tt_bytes plain, struct buf *out)
{
    const struct codec *c = codec_of(algorithm);
    size_t cap = c == NULL ? 0 : c->bound(plain.len);
    if (cap == 0)
        return TT_ERR_UNSUPPORTED;
    uint8_t *to = buf_reserve(out, cap);
    if (to == NULL)
        return TT_ERR_MEMORY;
    size_t len = c->pack(plain, to, cap);
    buf_commit(out, len);
    return len > 0 ? TT_OK : TT_ERR_INTERNAL;
}

tt_rc decompress_bytes(uint16_t algorithm, struct tt_bytes compressed, uint8_t *ret, size_t len)
{
    const struct codec *c = codec_of(algorithm);
    if (c == NULL)
        return TT_ERR_UNSUPPORTED;
    return c->unpack(compressed, ret, len) ? TT_OK : TT_ERR_DECODE;
}
