/* wire/base64.c: RFC 4648 section 4. Layer: wire. */
#include "wire/base64.h"

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

tt_rc base64_decode(uint8_t *out, size_t *ret_len, struct tt_bytes text)
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

/* n bytes of `bytes` as digits: 4 for every 3 begun. */
static void encode(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t have = n - i < 3 ? n - i : 3;
        uint32_t v = (uint32_t)bytes[i] << 16;
        v |= have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        v |= have > 2 ? bytes[i + 2] : 0;
        for (size_t k = 0; k < 4; k++)
            *out++ = k <= have ? digits[v >> (18 - 6 * k) & 63] : '=';
    }
}

#define LINE 48 /* bytes in a line of 64 digits */

static tt_rc put(struct buf *to, struct tt_bytes bytes, bool lines)
{
    for (size_t i = 0; i < bytes.len; i += LINE) {
        char text[LINE / 3 * 4 + 1];
        size_t n = bytes.len - i < LINE ? bytes.len - i : LINE;
        size_t digits = (n + 2) / 3 * 4;
        encode(text, bytes.data + i, n);
        text[digits] = '\n';
        TT_TRY(buf_append(to, text, digits + (lines ? 1 : 0)));
    }
    return TT_OK;
}

tt_rc base64_put(struct buf *to, struct tt_bytes bytes)
{
    return put(to, bytes, false);
}

tt_rc base64_put_lines(struct buf *to, struct tt_bytes bytes)
{
    return put(to, bytes, true);
}
