/* base/rc.c: result names and error text. Layer: base. Must not print. */
#include "base/rc.h"

#include <stdio.h>
#include <string.h>

const char *tt_rc_name(tt_rc rc)
{
    static const char *const names[] = {
        [TT_OK] = "TT_OK",
        [TT_ERR_USAGE] = "TT_ERR_USAGE",
        [TT_ERR_MEMORY] = "TT_ERR_MEMORY",
        [TT_ERR_INTERNAL] = "TT_ERR_INTERNAL",
        [TT_ERR_DECODE] = "TT_ERR_DECODE",
        [TT_ERR_PROTOCOL] = "TT_ERR_PROTOCOL",
        [TT_ERR_PEER_ALERT] = "TT_ERR_PEER_ALERT",
        [TT_ERR_VERIFY] = "TT_ERR_VERIFY",
        [TT_ERR_CLOSED] = "TT_ERR_CLOSED",
        [TT_ERR_IO] = "TT_ERR_IO",
        [TT_ERR_NOT_FOUND] = "TT_ERR_NOT_FOUND",
        [TT_ERR_EXISTS] = "TT_ERR_EXISTS",
        [TT_ERR_UNSUPPORTED] = "TT_ERR_UNSUPPORTED",
        [TT_ERR_AUTH] = "TT_ERR_AUTH",
        [TT_ERR_TPM] = "TT_ERR_TPM",
        [TT_ERR_DEADLINE] = "TT_ERR_DEADLINE",
        [TT_ERR_BUSY] = "TT_ERR_BUSY",
        [TT_ERR_ECH_REJECTED] = "TT_ERR_ECH_REJECTED",
    };
    return (size_t)rc < TT_COUNT(names) ? names[rc] : "TT_ERR_?";
}

const char *tt_version(void)
{
    return TT_VERSION;
}

void error_cut(char *text)
{
    size_t n = strlen(text), at = n;
    while (at > 0 && n - at < 3 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
        at--;
    if (at == 0)
        return;
    unsigned char first = (unsigned char)text[at - 1];
    size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (len > n - at + 1)
        text[at - 1] = '\0';
}

tt_rc error_set(struct tt_error *err, tt_rc rc, const char *fmt, ...)
{
    if (err == NULL || err->rc != TT_OK)
        return rc;
    err->rc = rc;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    error_cut(err->text);
    return rc;
}

void error_hint(struct tt_error *err, const char *fmt, ...)
{
    if (err == NULL || err->hint[0] != '\0')
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->hint, sizeof err->hint, fmt, args);
    va_end(args);
    error_cut(err->hint);
}

void error_clear(struct tt_error *err)
{
    if (err != NULL)
        *err = (struct tt_error){0};
}
