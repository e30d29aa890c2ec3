/* est/basic.c: see basic.h. Layer: est. */
#include "est/basic.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "wire/base64.h"

#define PLAIN_MAX (EST_USER_MAX + 1 + EST_PASSWORD_MAX)
#define TEXT_MAX  ((PLAIN_MAX + 2) / 3 * 4)

static bool is_printable(const uint8_t *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x20 || s[i] == 0x7f)
            return false;
    return true;
}

static bool split(struct est_basic *ret, const uint8_t *plain, size_t len)
{
    const uint8_t *colon = len > 0 ? memchr(plain, ':', len) : NULL;
    if (colon == NULL)
        return false;
    size_t user = (size_t)(colon - plain), password = len - user - 1;
    if (user > EST_USER_MAX || password == 0 || password > EST_PASSWORD_MAX || !is_printable(plain, len))
        return false;
    memcpy(ret->user, plain, user);
    memcpy(ret->password, colon + 1, password);
    ret->user[user] = ret->password[password] = '\0';
    return true;
}

bool est_basic_read(struct est_basic *ret, const char *header)
{
    uint8_t plain[PLAIN_MAX + 8];
    size_t len = 0;
    if (header == NULL || strncasecmp(header, "Basic ", 6) != 0)
        return false;
    const char *text = header + 6 + strspn(header + 6, " ");
    size_t n = strlen(text);
    bool ok = n <= TEXT_MAX && base64_room(n) <= sizeof plain &&
              base64_decode(plain, &len, (struct tt_bytes){(const uint8_t *)text, n}) == TT_OK &&
              split(ret, plain, len);
    mem_wipe(plain, sizeof plain);
    return ok;
}

void est_basic_wipe(struct est_basic *b)
{
    mem_wipe(b, sizeof *b);
}
