/* crypto/compress.h: certificate compression (RFC 8879), by the libraries that were there at build time.
 * Layer: crypto. Both directions work into a buffer of a size known beforehand, so that a bomb cannot grow.
 */
#ifndef CRYPTO_COMPRESS_H
#define CRYPTO_COMPRESS_H

#include "base/buf.h"
#include "tpmtls/iana.h"

bool compress_available(uint16_t algorithm);

/* compress_bytes: append the compressed form; TT_ERR_UNSUPPORTED without the library, TT_ERR_INTERNAL when it
 * fails. */
TT_MUST_USE tt_rc compress_bytes(uint16_t algorithm, struct tt_bytes plain, struct buf *out);

/* decompress_bytes: exactly `len` bytes come out into ret, or TT_ERR_DECODE: more, fewer, or bytes left over.
 */
TT_MUST_USE tt_rc decompress_bytes(uint16_t algorithm, struct tt_bytes compressed, uint8_t *ret, size_t len);

#endif
