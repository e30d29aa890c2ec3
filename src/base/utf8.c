/* base/utf8.c: see utf8.h. Layer: base. */
#include "base/utf8.h"

size_t utf8_next(uint32_t *ret, struct tt_bytes b)
{
    uint8_t first = b.data[0];
    size_t n = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (n == 0 || n > b.len)
        return 0;
    uint32_t c = n == 1 ? first : first & (0x7fU >> n);
    for (size_t i = 1; i < n; i++) {
        if (b.data[i] >> 6 != 2)
            return 0;
        c = c << 6 | (b.data[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret = c;
    return n;
}
