/* base/buf.c: the byte queue. Layer: base. */
#include "base/buf.h"

#include <string.h>

#define CACHE_LINE 64
#define LINED_FROM 4096 /* shorter ones are not worth it */

static tt_rc buf_grow(struct buf *b, size_t need)
{
    /* Double while small steps come; a large step gets what it asks for. */
    size_t cap = b->cap < 128 ? 256 : b->cap <= SIZE_MAX / 2 ? b->cap * 2 : SIZE_MAX;
    if (cap < need)
        cap = need;
    uint8_t *data = mem_resize(b->data, cap);
    if (data == NULL)
        return TT_ERR_MEMORY;
    b->data = data;
    b->cap = cap;
    return TT_OK;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    size_t live = buf_size(b);
    if (n > SIZE_MAX - b->len || (b->max > 0 && (live > b->max || n > b->max - live)))
        return NULL;
    if (b->len + n > b->cap && b->off > 0) {
        memmove(b->data, b->data + b->off, live);
        b->off = 0;
        b->len = live;
    }
    if ((b->len + n > b->cap || b->data == NULL) && buf_grow(b, b->len + n) != TT_OK)
        return NULL;
    return b->data + b->len;
}

uint8_t *buf_reserve_lined(struct buf *b, size_t head, size_t n)
{
    uint8_t *to = n < LINED_FROM || buf_size(b) > 0 ? NULL : buf_reserve(b, head + n + CACHE_LINE);
    if (to == NULL)
        return buf_reserve(b, head + n);
    b->off = b->len += (CACHE_LINE - ((uintptr_t)to + head) % CACHE_LINE) % CACHE_LINE;
    return buf_front(b);
}

void buf_commit(struct buf *b, size_t n)
{
    b->len += n;
}

tt_rc buf_append(struct buf *b, const void *data, size_t n)
{
    uint8_t *to = buf_reserve(b, n);
    if (to == NULL)
        return TT_ERR_MEMORY;
    if (n > 0)
        memcpy(to, data, n);
    buf_commit(b, n);
    return TT_OK;
}

void buf_consume(struct buf *b, size_t n)
{
    b->off += n;
    if (b->off == b->len)
        b->off = b->len = 0;
}

void buf_fit(struct buf *b)
{
    size_t live = buf_size(b);
    if (b->cap == live)
        return;
    struct buf fit = {.data = live == 0 ? NULL : mem_dup(buf_front(b), live), .max = b->max};
    if (live > 0 && fit.data == NULL)
        return;
    fit.len = fit.cap = live;
    buf_free(b);
    *b = fit;
}

void buf_free(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){.max = b->max};
}
