/* wire/writer.h: append numbers and vectors to a buf, with a sticky failure. Layer: wire.
 *
 * A length prefix is a scope: m = wr_open16(w); ...; wr_close(w, m). Scopes nest. Check wr_status once at the
 * end; after a failure every call is a no-op. */
#ifndef WIRE_WRITER_H
#define WIRE_WRITER_H

#include "base/buf.h"

struct writer {
    struct buf *to;
    bool failed;
};

/* struct wr_mark: where an open length prefix stands, relative to the front of the buf. */
struct wr_mark {
    size_t at;
    uint8_t size;
};

struct writer writer_to(struct buf *to);
void wr_u8(struct writer *w, uint8_t v);
void wr_u16(struct writer *w, uint16_t v);
void wr_u24(struct writer *w, uint32_t v);
void wr_u32(struct writer *w, uint32_t v);
void wr_u64(struct writer *w, uint64_t v);
void wr_bytes(struct writer *w, struct tt_bytes b);
void wr_vec8(struct writer *w, struct tt_bytes b);
void wr_vec16(struct writer *w, struct tt_bytes b);
void wr_vec24(struct writer *w, struct tt_bytes b);
struct wr_mark wr_open8(struct writer *w);
struct wr_mark wr_open16(struct writer *w);
struct wr_mark wr_open24(struct writer *w);
void wr_close(struct writer *w, struct wr_mark m);

/* wr_status: TT_ERR_MEMORY when something did not fit (no memory, over the buf's cap, or over a length
 * prefix). */
TT_MUST_USE tt_rc wr_status(const struct writer *w);

#endif
