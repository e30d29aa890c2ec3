/* base/buf.h: a byte queue with a cap: append at the end, consume at the front. Layer: base. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/mem.h"

struct buf {
    uint8_t *data; /* owned; the live bytes are data[off .. len) */
    size_t off, len, cap;
    size_t max; /* live bytes never exceed this; 0 = no cap of its own */
};

/* buf_reserve: make room for n more bytes behind the live ones and return where they go, or NULL (no memory,
 * or over the cap). Nothing becomes live until buf_commit. Pointers into the buffer are void afterwards. */
TT_MUST_USE uint8_t *buf_reserve(struct buf *b, size_t n);
/* buf_reserve_lined: buf_reserve for head + n bytes. In an empty buffer the n bytes, when they are many,
 * start at a cache line: a cipher's wide stores cost a twentieth more when they straddle two. */
TT_MUST_USE uint8_t *buf_reserve_lined(struct buf *b, size_t head, size_t n);
void buf_commit(struct buf *b, size_t n);

/* buf_append: copy bytes in; TT_ERR_MEMORY when there is no room. */
TT_MUST_USE tt_rc buf_append(struct buf *b, const void *data, size_t n);

/* buf_consume: drop n bytes from the front; n is at most buf_size. The block is kept. */
void buf_consume(struct buf *b, size_t n);

/* buf_fit: cut the block to the live bytes, if there is memory for the smaller one. */
void buf_fit(struct buf *b);

/* buf_free: wipe and free; the struct is empty and usable again, its cap kept. */
void buf_free(struct buf *b);

static inline size_t buf_size(const struct buf *b)
{
    return b->len - b->off;
}
static inline uint8_t *buf_front(const struct buf *b)
{
    return b->data == NULL ? NULL : b->data + b->off;
}
static inline struct tt_bytes buf_bytes(const struct buf *b)
{
    return b->data == NULL ? (struct tt_bytes){NULL, 0}
                           : (struct tt_bytes){b->data + b->off, b->len - b->off};
}

#endif
