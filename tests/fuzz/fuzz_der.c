/* tests/fuzz/fuzz_der.c: wire/der.h: walk a DER value of any shape, and write what was read again: DER has
 * one encoding, so the bytes must be the same. */
#include "fuzz.h"

#include <string.h>

#include "wire/der.h"

enum {
    MAX_DEPTH = 12
};

static void same_bytes(struct buf *b, struct tt_bytes expected)
{
    FUZZ_CHECK(buf_size(b) == expected.len);
    FUZZ_CHECK(expected.len == 0 || memcmp(buf_front(b), expected.data, expected.len) == 0);
    buf_free(b);
}

/* The number at the front of r, by each of its readers; r is not moved. */
static void try_numbers(struct reader r)
{
    struct reader as_bool = r, as_u32 = r;
    (void)der_get_bool(&as_bool);
    uint32_t small = der_get_u32(&as_u32);
    const uint8_t *start = r.at;
    struct tt_bytes magnitude = der_get_uint(&r);
    if (rd_status(&r) != TT_OK)
        return;
    struct buf b = {0};
    struct writer w = writer_to(&b);
    der_put_uint(&w, magnitude);
    FUZZ_CHECK(wr_status(&w) == TT_OK);
    same_bytes(&b, (struct tt_bytes){start, (size_t)(r.at - start)});
    if (magnitude.len <= 4) {
        FUZZ_CHECK(rd_status(&as_u32) == TT_OK);
        w = writer_to(&b);
        der_put_u32(&w, small);
        same_bytes(&b, (struct tt_bytes){start, (size_t)(r.at - start)});
    }
}

static void walk(struct reader *r, unsigned depth)
{
    for (int tag; (tag = der_next_tag(r)) >= 0 && rd_status(r) == TT_OK;) {
        try_numbers(*r);
        const uint8_t *start = r->at;
        struct reader inner = *r;
        struct tt_bytes content = der_get(r, (unsigned)tag);
        if (rd_status(r) != TT_OK)
            return;
        struct buf b = {0};
        struct writer w = writer_to(&b);
        der_put(&w, (unsigned)tag, content);
        FUZZ_CHECK(wr_status(&w) == TT_OK);
        same_bytes(&b, (struct tt_bytes){start, (size_t)(r->at - start)});
        if ((tag & 0x20) != 0 && depth < MAX_DEPTH) {
            struct reader entered = der_enter(&inner, (unsigned)tag);
            FUZZ_CHECK(rd_left(&entered) == content.len);
            walk(&entered, depth + 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of((struct tt_bytes){data, size});
    walk(&r, 0);
    return 0;
}
