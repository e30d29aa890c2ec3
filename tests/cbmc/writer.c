/* tests/cbmc/writer.c: a proof, not a test: for every sequence of STEPS writes into a buf with any cap, with
 * an allocator that may fail each time, wire/writer.c and base/buf.c stay within what they allocated, a
 * length prefix says what is behind it, and a failure is sticky. What goes in comes out at its place. */
#include <assert.h>
#include <stdlib.h>

#include "base/rc.h"

/* Byte by byte, which the prover takes apart more easily than its own model. */
static void copy_bytes(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
}

#include <string.h>
#define memcpy  copy_bytes
#define memmove copy_bytes
#include "base/buf.c"
#include "wire/writer.c"

#define BOUND 3
#define STEPS 1

uint8_t nondet_u8(void);
size_t nondet_size(void);
bool nondet_bool(void);

/* The allocator: may fail, and gives exactly what was asked for: from so small a buf, always 256 bytes.
 * (base/mem.c wipes and counts beside that.) */
static size_t given;

void *mem_resize(void *p, size_t n)
{
    assert(n == 256 && given <= BOUND);
    uint8_t *to = nondet_bool() ? NULL : malloc(256);
    if (to == NULL)
        return NULL;
    for (size_t i = 0; p != NULL && i < given; i++)
        to[i] = ((uint8_t *)p)[i];
    free(p);
    given = n;
    return to;
}

void mem_free(void *p)
{
    free(p);
}

static void some_writes(struct writer *w)
{
    uint8_t data[BOUND];
    for (int i = 0; i < STEPS; i++) {
        bool failed = w->failed;
        size_t before = buf_size(w->to), n = nondet_size();
        uint8_t v = nondet_u8();
        switch (nondet_u8()) {
        case 0:
            wr_u8(w, v);
            assert(w->failed || (buf_size(w->to) == before + 1 && buf_front(w->to)[before] == v));
            break;
        case 1:
            wr_u24(w, v);
            assert(w->failed || (buf_size(w->to) == before + 3 && buf_front(w->to)[before + 2] == v));
            break;
        case 2:
            if (n <= BOUND)
                wr_bytes(w, (struct tt_bytes){data, n});
            break;
        default:
            if (n <= BOUND)
                wr_vec8(w, (struct tt_bytes){data, n});
            assert(w->failed || n > BOUND || buf_front(w->to)[before] == n);
        }
        assert(w->failed || !failed);
        assert(buf_size(w->to) >= before && (w->to->max == 0 || buf_size(w->to) <= w->to->max));
    }
}

int main(void)
{
    struct buf b = {.data = malloc(BOUND), .cap = BOUND, .max = nondet_u8()};
    if (b.data == NULL)
        return 0;
    given = BOUND;
    struct writer w = writer_to(&b);
    wr_u8(&w, 1);
    struct wr_mark m = nondet_bool() ? wr_open8(&w) : wr_open24(&w);
    some_writes(&w);
    wr_close(&w, m);
    if (wr_status(&w) == TT_OK) {
        size_t inside = buf_size(&b) - m.at - m.size;
        assert(buf_front(&b)[0] == 1);
        assert(buf_front(&b)[m.at + m.size - 1U] == (inside & 0xff));
    }
    buf_free(&b);
    return 0;
}
