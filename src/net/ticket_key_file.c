/* net/ticket_key_file.c: ticket keys in a file. Layer: net. A file is hostile, and secret. */
#include <stdio.h>
#include <string.h>

#include "base/rc.h"
#include "net/file_write.h"
#include "net/files.h"
#include "net/ticket_keys.h"

#define LINE_WORD "tpmtls-ticket-key"

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Moves on behind the digits; false when there are fewer. */
static bool take_hex(uint8_t *ret, size_t len, const char **at)
{
    for (size_t i = 0; i < len; i++, *at += 2) {
        int high = digit_of((*at)[0]), low = high < 0 ? -1 : digit_of((*at)[1]);
        if (low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool take_line(struct tt_ticket_key *ret, const char *line)
{
    const char *at = line + sizeof LINE_WORD;
    return strncmp(line, LINE_WORD " ", sizeof LINE_WORD) == 0 &&
           take_hex(ret->name, sizeof ret->name, &at) && *at++ == ' ' &&
           take_hex(ret->key, sizeof ret->key, &at) && (*at == '\n' || *at == '\0');
}

tt_rc ticket_key_file_read(struct tt_ticket_key ret[TT_MAX_TICKET_KEYS], size_t *ret_n, const char *path,
                           struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    TT_AUTO(buf_free) struct buf b = {0};
    size_t len = 0, n = 0;
    TT_TRY(file_read_owned(&b, FILE_SECRET, path, err));
    TT_TRY(file_text_of(&text, &len, &b, path, err));
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (*line == '\0' || *line == '\n' || *line == '#')
            continue;
        if (n == TT_MAX_TICKET_KEYS)
            return error_set(err, TT_ERR_DECODE, "%s has more than %d ticket keys", path, TT_MAX_TICKET_KEYS);
        if (!take_line(&ret[n++], line))
            return error_set(err, TT_ERR_DECODE, "%s: key number %zu is damaged", path, n);
    }
    if (n == 0)
        return error_set(err, TT_ERR_DECODE, "%s has no ticket key", path);
    *ret_n = n;
    return TT_OK;
}

static size_t put_hex(char *to, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        (void)snprintf(to + 2 * i, 3, "%02x", data[i]);
    return 2 * len;
}

tt_rc ticket_key_file_write(const char *path, const struct tt_ticket_key *keys, size_t n, bool no_overwrite,
                            struct tt_error *err)
{
    char text[1024];
    size_t at =
        (size_t)snprintf(text, sizeof text,
                         "# the first key seals tickets, all open them; whoever has them reads and makes "
                         "sessions\n");
    for (size_t i = 0; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%s ", LINE_WORD);
        at += put_hex(text + at, keys[i].name, sizeof keys[i].name);
        text[at++] = ' ';
        at += put_hex(text + at, keys[i].key, sizeof keys[i].key);
        text[at++] = '\n';
    }
    tt_rc rc = file_write(NULL, path, (struct tt_bytes){(const uint8_t *)text, at},
                          (struct file_want){0600, no_overwrite ? FILE_NEW : FILE_OURS}, err);
    mem_wipe(text, sizeof text);
    return rc;
}
