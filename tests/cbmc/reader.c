/* tests/cbmc/reader.c: a proof, not a test: for every content and length of the input up to BOUND and every
 * sequence of STEPS reads, wire/reader.c stays within the input, the views it gives lie in it one behind the
 * other, and a failure is sticky. CBMC itself adds: no pointer leaves its object, no arithmetic overflows. */
#include <assert.h>

#include "wire/reader.c"

#define BOUND 8
#define STEPS 3

uint8_t nondet_u8(void);
size_t nondet_size(void);

static uint8_t input[BOUND];

/* The view is empty after a failure; else it begins at or behind `from` and ends where the reader stands. */
static void check_view(const struct reader *r, const uint8_t *from, struct tt_bytes view)
{
    if (r->failed) {
        assert(view.len == 0);
        return;
    }
    assert(view.data >= from && view.data + view.len == r->at);
}

static void step(struct reader *r)
{
    const uint8_t *from = r->at;
    bool failed = r->failed;
    switch (nondet_u8()) {
    case 0:
        assert(rd_u8(r) == (r->failed ? 0 : from[0]));
        break;
    case 1:
        assert(rd_u16(r) == (r->failed ? 0 : from[0] << 8 | from[1]));
        break;
    case 2:
        assert(rd_u24(r) <= 0xffffff);
        break;
    case 3:
        (void)rd_u32(r);
        break;
    case 4:
        (void)rd_u64(r);
        break;
    case 5:
        check_view(r, from, rd_bytes(r, nondet_size()));
        break;
    case 6:
        check_view(r, from, rd_vec8(r, nondet_size()));
        break;
    case 7:
        check_view(r, from, rd_vec16(r, nondet_size()));
        break;
    case 8:
        check_view(r, from, rd_vec24(r, nondet_size()));
        break;
    case 9:
        check_view(r, from, rd_rest(r));
        break;
    default:
        rd_fail(r);
    }
    assert(r->at >= from && r->at <= r->end);
    assert(r->failed || !failed);
    assert(!r->failed || (rd_left(r) == 0 && rd_status(r) == TT_ERR_DECODE && rd_done(r) == TT_ERR_DECODE));
    assert(r->failed || (rd_done(r) == TT_OK) == (rd_left(r) == 0));
}

int main(void)
{
    size_t len = nondet_size();
    if (len > BOUND)
        return 0;
    for (size_t i = 0; i < BOUND; i++)
        input[i] = nondet_u8();
    struct reader r = reader_of((struct tt_bytes){len > 0 ? input : NULL, len});
    for (int i = 0; i < STEPS; i++)
        step(&r);
    assert(r.end - r.at <= BOUND);
    return 0;
}
