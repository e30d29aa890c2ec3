/* net/pin.c: a pin's two forms. Layer: net. */
#include "net/pin.h"

#include <string.h>

static int digit_value(char c, bool hex)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char base16[] = "0123456789abcdef";
    const char *all = hex ? base16 : base64;
    const char *at = c == '\0' ? NULL : strchr(all, hex && c >= 'A' && c <= 'F' ? c + 32 : c);
    return at == NULL ? -1 : (int)(at - all);
}

static bool pin_decode(uint8_t ret[32], const char *text)
{
    size_t len = strlen(text), at = 0;
    bool hex = len == 64;
    unsigned bits = 0, held = 0;
    if (!hex && len != 43 && !(len == 44 && text[43] == '='))
        return false;
    for (size_t i = 0; i < (hex ? 64 : 43); i++) {
        int value = digit_value(text[i], hex);
        if (value < 0)
            return false;
        bits = bits << (hex ? 4 : 6) | (unsigned)value;
        held += hex ? 4 : 6;
        if (held >= 8) {
            held -= 8;
            ret[at++] = (uint8_t)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    return at == 32 && bits == 0;
}

tt_rc pin_parse(uint8_t ret[32], const char *text, struct tt_error *err)
{
    uint8_t pin[32];
    if (strncmp(text, "sha256:", 7) != 0 || !pin_decode(pin, text + 7)) {
        error_hint(err, "openssl x509 -in CERT -pubkey -noout | openssl pkey -pubin -outform DER | "
                        "openssl dgst -sha256");
        return error_set(err, TT_ERR_USAGE, "'%.100s' is not sha256: and 64 hex digits, or base64", text);
    }
    memcpy(ret, pin, sizeof pin);
    return TT_OK;
}
