/* tls/keylog.c: secrets in the SSLKEYLOGFILE format, for an application that insists. Layer: tls. RFC 9850
 * (format). */
#include <string.h>

#include "tls/hs.h"

static char *put_hex(char *at, const uint8_t *data, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *at++ = digits[data[i] >> 4];
        *at++ = digits[data[i] & 15];
    }
    return at;
}

void keylog_secret(const struct tt_conn *c, const char *label, enum hash_id hash,
                   const struct ks_secret *secret)
{
    char line[48 + 1 + 2 * HS_RANDOM_SIZE + 1 + 2 * HASH_MAX_SIZE + 1];
    size_t label_len = strlen(label);
    if (c->insecure_keylog == NULL || label_len > 48)
        return;
    memcpy(line, label, label_len);
    line[label_len] = ' ';
    char *at = put_hex(line + label_len + 1, c->hs->client_random, HS_RANDOM_SIZE);
    *at++ = ' ';
    *put_hex(at, secret->data, hash_size(hash)) = '\0';
    c->insecure_keylog(c->keylog_arg, line);
    mem_wipe(line, sizeof line);
}
