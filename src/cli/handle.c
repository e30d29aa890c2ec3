/* cli/handle.c: handles of a TPM as people write them. Layer: cli. */
#include <string.h>

#include "base/rc.h"
#include "cli/cli.h"

static const char prefix[] = "handle:";

static bool hex_value(uint32_t *ret, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t value = 0;
    if (strlen(text) != 8)
        return false;
    for (; *text != '\0'; text++) {
        char lower = *text >= 'A' && *text <= 'F' ? (char)(*text - 'A' + 'a') : *text;
        const char *digit = strchr(digits, lower);
        if (digit == NULL)
            return false;
        value = value << 4 | (uint32_t)(digit - digits);
    }
    *ret = value;
    return true;
}

bool cli_is_handle(const char *text)
{
    uint32_t handle;
    if (strncmp(text, prefix, sizeof prefix - 1) == 0)
        return true;
    return strncmp(text, "0x", 2) == 0 && hex_value(&handle, text + 2);
}

tt_rc cli_parse_persistent(uint32_t *ret, const char *text, struct tt_error *err)
{
    TT_TRY(cli_parse_handle(ret, text, err));
    if (*ret >= 0x81000000U && *ret <= 0x817fffffU)
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "0x%08x is not a persistent handle of the owner", *ret);
    error_hint(err, "they go from 0x81000000 to 0x817fffff; 0x81000001 is the storage root key's");
    return TT_ERR_USAGE;
}

tt_rc cli_parse_handle(uint32_t *ret, const char *text, struct tt_error *err)
{
    bool said = strncmp(text, prefix, sizeof prefix - 1) == 0;
    const char *number = said ? text + sizeof prefix - 1 : text;
    bool hex = strncmp(number, "0x", 2) == 0;
    if ((said || hex) && hex_value(ret, number + (hex ? 2 : 0)))
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "'%s' is not a TPM handle", text);
    error_hint(err,
               "it has eight hexadecimal digits: a persistent key is, for instance, at handle:0x81000010");
    return TT_ERR_USAGE;
}
