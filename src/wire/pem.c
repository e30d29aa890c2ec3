/* wire/pem.c: RFC 7468 textual encodings over RFC 4648 section 4 base64. Layer: wire. */
#include "wire/pem.h"

#include <string.h>

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

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes into out, which holds 3/4 of the text at least. */
static tt_rc base64_decode(uint8_t *out, size_t *ret_len, struct tt_bytes text)
{
    uint32_t bits = 0;
    size_t n = 0, digits = 0, pads = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        int v = base64_value(c);
        if (c == '=')
            pads++;
        else if (v < 0 || pads > 0)
            return TT_ERR_DECODE;
        else
            digits++;
        bits = bits << 6 | (uint32_t)(v < 0 ? 0 : v);
        if ((digits + pads) % 4 != 0)
            continue;
        for (size_t k = 0; k < 3 && k < 3 - pads; k++)
            out[n++] = (uint8_t)(bits >> (16 - 8 * k));
        /* RFC 4648 section 3.5: bits that the padding leaves over must be zero. */
        if (pads > 2 || (bits & ((1U << 8 * pads) - 1)) != 0)
            return TT_ERR_DECODE;
    }
    if ((digits + pads) % 4 != 0)
        return TT_ERR_DECODE;
    *ret_len = n;
    return TT_OK;
}

static tt_rc span_decode(struct pem_block *ret, const struct pem_span *s)
{
    TT_AUTO(mem_free_auto) uint8_t *der = mem_alloc(s->body.len / 4 * 3 + 3);
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

static tt_rc base64_line(struct buf *to, struct tt_bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char line[65];
    size_t n = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t v = (uint32_t)bytes.data[i] << 16;
        v |= have > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        v |= have > 2 ? bytes.data[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            line[n++] = k <= have ? digits[v >> (18 - 6 * k) & 63] : '=';
    }
    line[n++] = '\n';
    return buf_append(to, line, n);
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
    for (size_t i = 0; i < der.len; i += 48)
        TT_TRY(base64_line(to, (struct tt_bytes){der.data + i, der.len - i < 48 ? der.len - i : 48}));
    return boundary(to, END, label);
}
