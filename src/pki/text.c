/* pki/text.c: what is shown of certificates. Layer: pki. RFC 4514 (names as strings).
 *
 * Attack: a subject with escape sequences or direction overrides that make a terminal show another name. */
#include "pki/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

static bool is_printable(uint32_t c)
{
    bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    bool line_end = c == 0x2028 || c == 0x2029;
    bool direction = c == 0x61c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) ||
                     (c >= 0x2066 && c <= 0x2069);
    return !control && !line_end && !direction;
}

/* The length of the printable character at the front, or 0. */
static size_t printable_next(struct tt_bytes b)
{
    uint32_t c = 0;
    size_t n = utf8_next(&c, b);
    return n > 0 && is_printable(c) ? n : 0;
}

bool text_is_printable(struct tt_bytes b)
{
    while (b.len > 0) {
        size_t n = printable_next(b);
        if (n == 0)
            return false;
        b = (struct tt_bytes){b.data + n, b.len - n};
    }
    return true;
}

bool text_contains(struct tt_bytes text, const char *word)
{
    return text.data != NULL && memmem(text.data, text.len, word, strlen(word)) != NULL;
}

tt_rc text_escape(struct buf *to, struct tt_bytes b)
{
    while (b.len > 0) {
        size_t n = printable_next(b);
        if (n > 0) {
            TT_TRY(buf_append(to, b.data, n));
        } else {
            char hex[4];
            (void)snprintf(hex, sizeof hex, "\\%02X", b.data[0]);
            TT_TRY(buf_append(to, hex, 3));
            n = 1;
        }
        b = (struct tt_bytes){b.data + n, b.len - n};
    }
    return TT_OK;
}

tt_rc text_take(char **ret, struct buf *from)
{
    char *text = mem_dup(buf_front(from), buf_size(from));
    if (text == NULL)
        return TT_ERR_MEMORY;
    buf_free(from);
    *ret = text;
    return TT_OK;
}

tt_rc text_name(char **ret, const X509_NAME *name)
{
    static const char unreadable[] = "(unreadable name)";
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio == NULL)
        return TT_ERR_MEMORY;
    /* RFC 4514 lets UTF-8 stand as it is; text_escape deals with what should not. */
    unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
    char *text = NULL;
    long len = X509_NAME_print_ex(bio, name, 0, flags) < 0 ? -1 : BIO_get_mem_data(bio, &text);
    struct tt_bytes shown = {(const uint8_t *)text, len > 0 ? (size_t)len : 0};
    if (len < 0)
        shown = (struct tt_bytes){(const uint8_t *)unreadable, sizeof unreadable - 1};
    TT_AUTO(buf_free) struct buf b = {0};
    tt_rc rc = text_escape(&b, shown);
    BIO_free(bio);
    ERR_clear_error();
    return rc == TT_OK ? text_take(ret, &b) : rc;
}

void text_hex(char *ret, struct tt_bytes b)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < b.len; i++) {
        *ret++ = digits[b.data[i] >> 4];
        *ret++ = digits[b.data[i] & 15];
    }
    *ret = '\0';
}

void text_time(char ret[24], int64_t seconds)
{
    struct tm tm;
    time_t t = (time_t)seconds;
    if (gmtime_r(&t, &tm) == NULL || tm.tm_year < -900 || tm.tm_year > 8099 ||
        strftime(ret, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        memcpy(ret, "?", 2);
}
