/* wire/base64.h: base64 (RFC 4648 section 4). Layer: wire.
 *
 * Reading passes over spaces, tabs and line ends wherever they are (RFC 7468 section 2, RFC 8951
 * section 3.1); padding is demanded, and the bits it leaves over must be zero. */
#ifndef WIRE_BASE64_H
#define WIRE_BASE64_H

#include "base/buf.h"

/* base64_decode: into out, which has room for base64_room(text.len) bytes. TT_ERR_DECODE. */
TT_MUST_USE tt_rc base64_decode(uint8_t *out, size_t *ret_len, struct tt_bytes text);
static inline size_t base64_room(size_t text_len)
{
    return text_len / 4 * 3 + 3;
}

/* base64_put: append one unbroken line without an end. base64_put_lines: lines of 64 characters, each ended
 * by a line feed. */
TT_MUST_USE tt_rc base64_put(struct buf *to, struct tt_bytes bytes);
TT_MUST_USE tt_rc base64_put_lines(struct buf *to, struct tt_bytes bytes);

#endif
