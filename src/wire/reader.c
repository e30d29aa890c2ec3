/* wire/reader.c: the cursor. Layer: wire. RFC 9846 section 3.3 (numbers), 3.4 (vectors). */
#include "wire/reader.h"

struct reader reader_of(struct tt_bytes b)
{
    static const uint8_t none[1];
    const uint8_t *at = b.data == NULL ? none : b.data;
    return (struct reader){.at = at, .end = at + b.len};
}

void rd_fail(struct reader *r)
{
    r->failed = true;
    r->at = r->end;
}

struct tt_bytes rd_bytes(struct reader *r, size_t n)
{
    if (r->failed || n > rd_left(r)) {
        rd_fail(r);
        return (struct tt_bytes){NULL, 0};
    }
    struct tt_bytes view = {r->at, n};
    r->at += n;
    return view;
}

static uint64_t rd_number(struct reader *r, size_t size)
{
    struct tt_bytes b = rd_bytes(r, size);
    uint64_t v = 0;
    for (size_t i = 0; i < b.len; i++)
        v = v << 8 | b.data[i];
    return v;
}

uint8_t rd_u8(struct reader *r)
{
    return (uint8_t)rd_number(r, 1);
}

uint16_t rd_u16(struct reader *r)
{
    return (uint16_t)rd_number(r, 2);
}

uint32_t rd_u24(struct reader *r)
{
    return (uint32_t)rd_number(r, 3);
}

uint32_t rd_u32(struct reader *r)
{
    return (uint32_t)rd_number(r, 4);
}

uint64_t rd_u64(struct reader *r)
{
    return rd_number(r, 8);
}

static struct tt_bytes rd_vec(struct reader *r, size_t prefix, size_t min)
{
    size_t len = (size_t)rd_number(r, prefix);
    if (len < min)
        rd_fail(r);
    return rd_bytes(r, len);
}

struct tt_bytes rd_vec8(struct reader *r, size_t min)
{
    return rd_vec(r, 1, min);
}

struct tt_bytes rd_vec16(struct reader *r, size_t min)
{
    return rd_vec(r, 2, min);
}

struct tt_bytes rd_vec24(struct reader *r, size_t min)
{
    return rd_vec(r, 3, min);
}

struct tt_bytes rd_rest(struct reader *r)
{
    return rd_bytes(r, rd_left(r));
}

tt_rc rd_status(const struct reader *r)
{
    return r->failed ? TT_ERR_DECODE : TT_OK;
}

tt_rc rd_done(const struct reader *r)
{
    return r->failed || r->at != r->end ? TT_ERR_DECODE : TT_OK;
}
