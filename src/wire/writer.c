/* wire/writer.c: building bytes. Layer: wire. RFC 9846 section 3.3 (numbers), 3.4 (vectors). */
#include "wire/writer.h"

struct writer writer_to(struct buf *to)
{
    return (struct writer){.to = to};
}

void wr_bytes(struct writer *w, struct tt_bytes b)
{
    if (!w->failed && buf_append(w->to, b.data, b.len) != TT_OK)
        w->failed = true;
}

static void wr_number(struct writer *w, uint64_t v, size_t size)
{
    uint8_t be[8];
    for (size_t i = 0; i < size; i++)
        be[i] = (uint8_t)(v >> 8 * (size - 1 - i));
    wr_bytes(w, (struct tt_bytes){be, size});
}

void wr_u8(struct writer *w, uint8_t v)
{
    wr_number(w, v, 1);
}

void wr_u16(struct writer *w, uint16_t v)
{
    wr_number(w, v, 2);
}

void wr_u24(struct writer *w, uint32_t v)
{
    wr_number(w, v, 3);
}

void wr_u32(struct writer *w, uint32_t v)
{
    wr_number(w, v, 4);
}

void wr_u64(struct writer *w, uint64_t v)
{
    wr_number(w, v, 8);
}

static struct wr_mark wr_open(struct writer *w, uint8_t size)
{
    struct wr_mark m = {.at = buf_size(w->to), .size = size};
    wr_number(w, 0, size);
    return m;
}

struct wr_mark wr_open8(struct writer *w)
{
    return wr_open(w, 1);
}

struct wr_mark wr_open16(struct writer *w)
{
    return wr_open(w, 2);
}

struct wr_mark wr_open24(struct writer *w)
{
    return wr_open(w, 3);
}

void wr_close(struct writer *w, struct wr_mark m)
{
    if (w->failed)
        return;
    size_t len = buf_size(w->to) - m.at - m.size;
    if (len >> 8 * m.size != 0) {
        w->failed = true;
        return;
    }
    uint8_t *prefix = buf_front(w->to) + m.at;
    for (size_t i = 0; i < m.size; i++)
        prefix[i] = (uint8_t)(len >> 8 * (m.size - 1U - i));
}

static void wr_vec(struct writer *w, uint8_t size, struct tt_bytes b)
{
    struct wr_mark m = wr_open(w, size);
    wr_bytes(w, b);
    wr_close(w, m);
}

void wr_vec8(struct writer *w, struct tt_bytes b)
{
    wr_vec(w, 1, b);
}

void wr_vec16(struct writer *w, struct tt_bytes b)
{
    wr_vec(w, 2, b);
}

void wr_vec24(struct writer *w, struct tt_bytes b)
{
    wr_vec(w, 3, b);
}

tt_rc wr_status(const struct writer *w)
{
    return w->failed ? TT_ERR_MEMORY : TT_OK;
}
