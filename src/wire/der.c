/* wire/der.c: reading and writing DER. Layer: wire. X.690 sections 8.1 (tag, length), 8.3 (INTEGER), 10.1
 * (minimal lengths), 11.1 (BOOLEAN). Must not allocate except through the writer's buf. */
#include "wire/der.h"

#include <string.h>

int der_next_tag(const struct reader *r)
{
    return r->failed || rd_left(r) == 0 ? -1 : r->at[0];
}

static size_t der_length(struct reader *r)
{
    uint8_t first = rd_u8(r);
    if (first < 0x80)
        return first;
    size_t len = 0;
    switch (first) {
    case 0x81:
        len = rd_u8(r);
        break;
    case 0x82:
        len = rd_u16(r);
        break;
    case 0x83:
        len = rd_u24(r);
        break;
    default: /* indefinite (0x80), or more than anything of ours is long */
        rd_fail(r);
        return 0;
    }
    /* X.690 section 10.1: the length is encoded in the minimum number of octets. */
    if (len < 0x80 || (first > 0x81 && len >> (8 * (first - 0x81)) == 0))
        rd_fail(r);
    return len;
}

struct tt_bytes der_get(struct reader *r, unsigned tag)
{
    if (rd_u8(r) != tag)
        rd_fail(r);
    size_t len = der_length(r);
    return rd_bytes(r, len);
}

struct reader der_enter(struct reader *r, unsigned tag)
{
    struct reader inner = reader_of(der_get(r, tag));
    if (r->failed)
        rd_fail(&inner);
    return inner;
}

/* The content of an INTEGER: not empty, and its first nine bits neither all zero nor all one (X.690 8.3.2).
 */
static struct tt_bytes der_integer(struct reader *r)
{
    struct tt_bytes b = der_get(r, DER_INTEGER);
    if (b.len == 0 || (b.len > 1 && b.data[0] == 0 && b.data[1] < 0x80) ||
        (b.len > 1 && b.data[0] == 0xff && b.data[1] >= 0x80)) {
        rd_fail(r);
        return (struct tt_bytes){NULL, 0};
    }
    return b;
}

struct tt_bytes der_get_uint(struct reader *r)
{
    struct tt_bytes b = der_integer(r);
    if (b.len == 0)
        return b;
    if (b.data[0] >= 0x80) {
        rd_fail(r);
        return (struct tt_bytes){NULL, 0};
    }
    return b.data[0] == 0 ? (struct tt_bytes){b.data + 1, b.len - 1} : b;
}

uint32_t der_get_u32(struct reader *r)
{
    struct tt_bytes b = der_integer(r);
    if (b.len == 5 && b.data[0] == 0)
        b = (struct tt_bytes){b.data + 1, 4};
    else if (b.len > 4 || (b.len > 0 && b.len < 4 && b.data[0] >= 0x80))
        rd_fail(r);
    uint32_t v = 0;
    for (size_t i = 0; i < b.len && !r->failed; i++)
        v = v << 8 | b.data[i];
    return v;
}

bool der_get_bool(struct reader *r)
{
    struct tt_bytes b = der_get(r, DER_BOOLEAN);
    if (b.len != 1) {
        rd_fail(r);
        return false;
    }
    return b.data[0] != 0;
}

struct der_mark der_open(struct writer *w, unsigned tag)
{
    wr_u8(w, (uint8_t)tag);
    return (struct der_mark){.at = buf_size(w->to)};
}

void der_close(struct writer *w, struct der_mark m)
{
    if (w->failed)
        return;
    size_t len = buf_size(w->to) - m.at;
    uint8_t head[5];
    size_t extra = len < 0x80 ? 0 : len < 0x100 ? 1 : len < 0x10000 ? 2 : len >> 24 == 0 ? 3 : 4;
    if (len >> 31 != 0) {
        w->failed = true;
        return;
    }
    head[0] = (uint8_t)(extra == 0 ? len : 0x80 | extra);
    for (size_t i = 0; i < extra; i++)
        head[1 + i] = (uint8_t)(len >> 8 * (extra - 1 - i));
    /* The length goes in front of what was written: make room behind, then move the content up. */
    wr_bytes(w, (struct tt_bytes){head, 1 + extra});
    if (w->failed)
        return;
    uint8_t *content = buf_front(w->to) + m.at;
    memmove(content + 1 + extra, content, len);
    memcpy(content, head, 1 + extra);
}

void der_put(struct writer *w, unsigned tag, struct tt_bytes content)
{
    struct der_mark m = der_open(w, tag);
    wr_bytes(w, content);
    der_close(w, m);
}

void der_put_uint(struct writer *w, struct tt_bytes magnitude)
{
    while (magnitude.len > 0 && magnitude.data[0] == 0)
        magnitude = (struct tt_bytes){magnitude.data + 1, magnitude.len - 1};
    struct der_mark m = der_open(w, DER_INTEGER);
    if (magnitude.len == 0 || magnitude.data[0] >= 0x80)
        wr_u8(w, 0);
    wr_bytes(w, magnitude);
    der_close(w, m);
}

void der_put_u32(struct writer *w, uint32_t v)
{
    uint8_t be[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    der_put_uint(w, (struct tt_bytes){be, sizeof be});
}

void der_put_true(struct writer *w)
{
    der_put(w, DER_BOOLEAN, (struct tt_bytes){(const uint8_t *)"\xff", 1});
}

int der_order(struct tt_bytes a, struct tt_bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int d = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return d != 0 ? d : (a.len > b.len) - (a.len < b.len);
}

void der_sort(struct tt_bytes *values, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct tt_bytes one = values[i];
        size_t at = i;
        for (; at > 0 && der_order(values[at - 1], one) > 0; at--)
            values[at] = values[at - 1];
        values[at] = one;
    }
}
