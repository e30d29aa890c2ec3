/* tests/bogo/names.c: names of CAs out of the runner's flags. */
#include "shim.h"

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool shim_names_read(struct shim_names *ret, const char *text)
{
    size_t at = 0, start = 0;
    for (;; text++) {
        if (*text == ',' || *text == '\0') {
            if (ret->n == SHIM_MAX_NAMES)
                return false;
            ret->names[ret->n++] = (struct tt_bytes){ret->bytes + start, at - start};
            start = at;
            if (*text == '\0')
                return true;
            continue;
        }
        int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);
        if (low < 0 || at == sizeof ret->bytes)
            return false;
        ret->bytes[at++] = (uint8_t)(high << 4 | low);
        text++;
    }
}
