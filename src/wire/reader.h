/* wire/reader.h: a cursor over bytes with a sticky failure, so that parse code reads like the struct in the
 * standard (RFC 9846 section 3) and is checked once at the end. Layer: wire. Never allocates, never copies.
 *
 * After a failure every read gives zero or an empty view and the reader stays failed. */
#ifndef WIRE_READER_H
#define WIRE_READER_H

#include "base/rc.h"

struct reader {
    const uint8_t *at, *end;
    bool failed;
};

struct reader reader_of(struct tt_bytes b);
uint8_t rd_u8(struct reader *r);
uint16_t rd_u16(struct reader *r);
uint32_t rd_u24(struct reader *r);
uint32_t rd_u32(struct reader *r);
uint64_t rd_u64(struct reader *r);

/* rd_bytes: the next n bytes. */
struct tt_bytes rd_bytes(struct reader *r, size_t n);

/* rd_vec8/16/24: opaque<..> with a length of 1, 2 or 3 bytes; fails when shorter than min. */
struct tt_bytes rd_vec8(struct reader *r, size_t min);
struct tt_bytes rd_vec16(struct reader *r, size_t min);
struct tt_bytes rd_vec24(struct reader *r, size_t min);

/* rd_rest: everything that is left. */
struct tt_bytes rd_rest(struct reader *r);

static inline size_t rd_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}
void rd_fail(struct reader *r);

/* rd_status: TT_ERR_DECODE when anything failed. rd_done: the same, and also when bytes are left over. */
TT_MUST_USE tt_rc rd_status(const struct reader *r);
TT_MUST_USE tt_rc rd_done(const struct reader *r);

#endif
