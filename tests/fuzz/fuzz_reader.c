/* tests/fuzz/fuzz_reader.c: wire/reader.h and wire/writer.h are each other's inverse: what a reader took
 * apart, a writer given the same values puts together again. The input: a count, that many operations, and
 * the bytes. */
#include "fuzz.h"

#include <string.h>

#include "wire/reader.h"
#include "wire/writer.h"

static void copy_one(struct reader *r, struct writer *w, uint8_t operation)
{
    size_t min = operation >> 4;
    switch (operation & 15) {
    case 0:
        wr_u8(w, rd_u8(r));
        break;
    case 1:
        wr_u16(w, rd_u16(r));
        break;
    case 2:
        wr_u24(w, rd_u24(r));
        break;
    case 3:
        wr_u32(w, rd_u32(r));
        break;
    case 4:
        wr_u64(w, rd_u64(r));
        break;
    case 5:
        wr_vec8(w, rd_vec8(r, min));
        break;
    case 6:
        wr_vec16(w, rd_vec16(r, min));
        break;
    case 7:
        wr_vec24(w, rd_vec24(r, min));
        break;
    case 8:
        wr_bytes(w, rd_bytes(r, operation));
        break;
    case 9:
        wr_bytes(w, rd_rest(r));
        break;
    default:
        rd_fail(r);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_of((struct tt_bytes){data, size});
    struct tt_bytes operations = rd_vec8(&r, 0);
    const uint8_t *start = r.at;
    struct buf b = {0};
    struct writer w = writer_to(&b);
    for (size_t i = 0; i < operations.len && rd_status(&r) == TT_OK; i++)
        copy_one(&r, &w, operations.data[i]);
    if (rd_status(&r) == TT_OK) {
        size_t taken = (size_t)(r.at - start);
        FUZZ_CHECK(wr_status(&w) == TT_OK);
        FUZZ_CHECK(buf_size(&b) == taken);
        FUZZ_CHECK(taken == 0 || memcmp(buf_front(&b), start, taken) == 0);
    } else {
        FUZZ_CHECK(rd_left(&r) == 0 && rd_u8(&r) == 0 && rd_bytes(&r, 0).data == NULL);
    }
    buf_free(&b);
    return 0;
}
