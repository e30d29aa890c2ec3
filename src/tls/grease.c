/* tls/grease.c: reserved values, and a fresh order of extensions in each ClientHello. Layer: tls. RFC 8701.
 * Both keep servers from growing stiff: what never varies can never be varied. */
#include "tls/ext.h"

uint16_t grease_value(uint8_t random)
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
        hs->grease[i] = grease_value(random[64 + i]);
    if (c->cfg->browser_hello)
        hs->grease[GREASE_PROTOCOL] = 0;
    if (hs->grease[GREASE_LAST] == hs->grease[GREASE_FIRST]) /* no extension stands twice */
        hs->grease[GREASE_LAST] ^= 0x1010;
}

tt_rc grease_choose_request(struct tt_conn *c)
{
    uint8_t random[2];
    if (!c->cfg->grease)
        return TT_OK;
    if (!conn_random(c, random, sizeof random))
        return conn_broken(c, TT_ERR_INTERNAL);
    c->hs->grease[GREASE_FIRST] = grease_value(random[0]);
    c->hs->grease[GREASE_SCHEME] = grease_value(random[1]);
    return TT_OK;
}

void grease_extension_put(const struct tt_conn *c, enum grease_at which, size_t len, struct writer *w)
{
    if (c->hs->grease[which] == 0)
        return;
    wr_u16(w, c->hs->grease[which]);
    wr_vec16(w, (struct tt_bytes){(const uint8_t *)"", len});
}
