/* wire/pem.c: RFC 7468 textual encodings over base64. Layer: wire. */
#include "wire/pem.h"

#include <string.h>

#include "wire/base64.h"

#define BEGIN  "-----BEGIN "
#define END    "-----END "
#define DASHES "-----"

/* struct pem_span: a block as found in the text, not decoded. */
struct pem_span {
    struct tt_bytes label, body;
    const uint8_t *after;
};

static const uint8_t *find(struct tt_bytes in, const char *what, size_t n)
{
    return in.len == 0 || in.data == NULL ? NULL : memmem(in.data, in.len, what, n);
}

static struct tt_bytes from(const uint8_t *at, struct tt_bytes text)
{
    return (struct tt_bytes){at, (size_t)(text.data + text.len - at)};
}

/* The label behind a boundary's fixed part: up to the closing dashes, on the same line. */
static bool label_at(struct tt_bytes *ret, struct tt_bytes rest)
{
    const uint8_t *end = find(rest, DASHES, 5);
    if (end == NULL || memchr(rest.data, '\n', (size_t)(end - rest.data)) != NULL)
        return false;
    *ret = (struct tt_bytes){rest.data, (size_t)(end - rest.data)};
    return true;
}

static tt_rc span_next(struct pem_span *ret, struct tt_bytes text)
{
    const uint8_t *begin = find(text, BEGIN, sizeof BEGIN - 1);
    if (begin == NULL)
        return TT_ERR_NOT_FOUND;
    struct pem_span s;
    if (!label_at(&s.label, from(begin + sizeof BEGIN - 1, text)))
        return TT_ERR_DECODE;
    struct tt_bytes rest = from(s.label.data + s.label.len + 5, text);
    const uint8_t *end = find(rest, END, sizeof END - 1);
    if (end == NULL)
        return TT_ERR_DECODE;
    struct tt_bytes label;
    if (!label_at(&label, from(end + sizeof END - 1, text)) || label.len != s.label.len ||
        memcmp(label.data, s.label.data, label.len) != 0)
        return TT_ERR_DECODE;
    s.body = (struct tt_bytes){rest.data, (size_t)(end - rest.data)};
    s.after = label.data + label.len + 5;
    *ret = s;
    return TT_OK;
}

static tt_rc span_decode(struct pem_block *ret, const struct pem_span *s)
{
    TT_AUTO(mem_free_auto) uint8_t *der = mem_alloc(base64_room(s->body.len));
    if (der == NULL)
        return TT_ERR_MEMORY;
    size_t len = 0;
    TT_TRY(base64_decode(der, &len, s->body));
    *ret = (struct pem_block){.label = s->label, .der = TT_TAKE(der), .len = len};
    return TT_OK;
}

tt_rc pem_next(struct pem_block *ret, struct tt_bytes *text)
{
    struct pem_span s;
    TT_TRY(span_next(&s, *text));
    TT_TRY(span_decode(ret, &s));
    *text = from(s.after, *text);
    return TT_OK;
}

tt_rc pem_find(struct pem_block *ret, struct tt_bytes text, const char *label)
{
    for (;;) {
        struct pem_span s;
        TT_TRY(span_next(&s, text));
        if (s.label.len == strlen(label) && memcmp(s.label.data, label, s.label.len) == 0)
            return span_decode(ret, &s);
        text = from(s.after, text);
    }
}

void pem_block_free(struct pem_block *b)
{
    mem_free(b->der);
    *b = (struct pem_block){0};
}

static tt_rc boundary(struct buf *to, const char *start, const char *label)
{
    TT_TRY(buf_append(to, start, strlen(start)));
    TT_TRY(buf_append(to, label, strlen(label)));
    return buf_append(to, "-----\n", 6);
}

tt_rc pem_write(struct buf *to, const char *label, struct tt_bytes der)
{
    TT_TRY(boundary(to, BEGIN, label));
    TT_TRY(base64_put_lines(to, der));
    return boundary(to, END, label);
}
