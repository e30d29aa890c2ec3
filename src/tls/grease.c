/* tls/grease.c: reserved values, and a fresh order of extensions in each ClientHello. Layer: tls. RFC 8701.
 * Both keep servers from growing stiff: what never varies can never be varied. */
#include "tls/ext.h"

/* 0x0a0a, 0x1a1a, ... 0xfafa */
static uint16_t reserved_value(uint8_t random)
{
    uint16_t byte = (uint16_t)((random & 0xf0) | 0x0a);
    return (uint16_t)(byte << 8 | byte);
}

/* A permutation of all but the last extension of the table (pre_shared_key stays last); Fisher-Yates with
 * bytes whose slight bias does not matter here: nothing secret depends on it. */
void grease_choose(struct tt_conn *c, const uint8_t random[GREASE_RANDOM])
{
    struct hs *hs = c->hs;
    size_t n = ext_count();
    for (size_t i = 0; i < n; i++)
        hs->extension_order[i] = (uint8_t)i;
    if (!c->cfg->grease || n < 3)
        return;
    for (size_t i = n - 2; i > 0; i--) {
        size_t j = random[i] % (i + 1);
        uint8_t swap = hs->extension_order[i];
        hs->extension_order[i] = hs->extension_order[j];
        hs->extension_order[j] = swap;
    }
    for (size_t i = 0; i < TT_COUNT(hs->grease); i++)
        hs->grease[i] = reserved_value(random[64 + i]);
}
