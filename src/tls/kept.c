/* tls/kept.c: see kept.h. Layer: tls. */
#include "tls/kept.h"

#include <string.h>

#define ROOM 512

tt_rc kept_init(struct kept *k)
{
    return buf_reserve(&k->all, ROOM) == NULL ? TT_ERR_MEMORY : TT_OK;
}

void kept_free(struct kept *k)
{
    buf_free(&k->all);
    *k = (struct kept){0};
}

void kept_fit(struct kept *k)
{
    if (k->all.cap > ROOM)
        buf_fit(&k->all);
}

static size_t start_of(const struct kept *k, enum kept_item item)
{
    size_t at = 0;
    for (unsigned i = 0; i < item; i++)
        at += k->len[i];
    return at;
}

struct tt_bytes kept_get(const struct kept *k, enum kept_item item)
{
    struct tt_bytes all = buf_bytes(&k->all);
    return k->len[item] == 0 ? (struct tt_bytes){NULL, 0}
                             : (struct tt_bytes){all.data + start_of(k, item), k->len[item]};
}

tt_rc kept_add(struct kept *k, enum kept_item item, struct tt_bytes bytes)
{
    size_t end = start_of(k, item) + k->len[item], behind = buf_size(&k->all) - end;
    if (bytes.len == 0)
        return TT_OK;
    if (buf_reserve(&k->all, bytes.len) == NULL)
        return TT_ERR_MEMORY;
    uint8_t *to = buf_front(&k->all) + end;
    memmove(to + bytes.len, to, behind);
    memcpy(to, bytes.data, bytes.len);
    buf_commit(&k->all, bytes.len);
    k->len[item] += bytes.len;
    return TT_OK;
}

void kept_drop(struct kept *k, enum kept_item item)
{
    size_t start = start_of(k, item), n = k->len[item], behind = buf_size(&k->all) - start - n;
    if (n == 0)
        return;
    uint8_t *at = buf_front(&k->all) + start;
    memmove(at, at + n, behind);
    k->all.len -= n;
    k->len[item] = 0;
}
