/* tests/bogo/compress.c: the algorithms of certificate compression that the runner invents: one that adds
 * four bytes, one that leaves out the two zeros a Certificate begins with, one that adds a random byte. */
#include <string.h>

#include "crypto/lib.h"
#include "shim.h"

#define SHRINKING 0xff01
#define EXPANDING 0xff02
#define RANDOM    0xff03

/* struct prefix: what stands in front of one form and not of the other. */
struct prefix {
    uint8_t bytes[4];
    size_t len;
};
static struct prefix expanding = {{1, 2, 3, 4}, 4}, shrinking = {{0, 0}, 2};

static bool prefix_add(const struct prefix *p, struct tt_bytes from, uint8_t *to)
{
    memcpy(to, p->bytes, p->len);
    memcpy(to + p->len, from.data, from.len);
    return true;
}

static bool prefix_remove(const struct prefix *p, struct tt_bytes from, uint8_t *to)
{
    if (from.len < p->len || memcmp(from.data, p->bytes, p->len) != 0)
        return false;
    memcpy(to, from.data + p->len, from.len - p->len);
    return true;
}

static bool expand(void *arg, struct tt_bytes plain, uint8_t *ret, size_t *ret_len)
{
    *ret_len = plain.len + expanding.len;
    return prefix_add(arg, plain, ret);
}

static bool expand_back(void *arg, struct tt_bytes packed, uint8_t *ret, size_t len)
{
    return packed.len == len + expanding.len && prefix_remove(arg, packed, ret);
}

static bool shrink(void *arg, struct tt_bytes plain, uint8_t *ret, size_t *ret_len)
{
    *ret_len = plain.len - shrinking.len;
    return prefix_remove(arg, plain, ret);
}

static bool shrink_back(void *arg, struct tt_bytes packed, uint8_t *ret, size_t len)
{
    return len == packed.len + shrinking.len && prefix_add(arg, packed, ret);
}

static bool randomise(void *arg, struct tt_bytes plain, uint8_t *ret, size_t *ret_len)
{
    *ret_len = plain.len + 1;
    memcpy(ret + 1, plain.data, plain.len);
    return crypto_random(arg, ret, 1);
}

static bool randomise_back(void *arg, struct tt_bytes packed, uint8_t *ret, size_t len)
{
    (void)arg;
    if (packed.len != len + 1)
        return false;
    memcpy(ret, packed.data + 1, len);
    return true;
}

tt_rc shim_add_compression(struct tt_config *cfg, const struct shim_options *o)
{
    /* in the order in which the runner wants them preferred */
    static const struct tt_compressor all[] = {{EXPANDING, &expanding, expand, expand_back},
                                               {SHRINKING, &shrinking, shrink, shrink_back},
                                               {RANDOM, NULL, randomise, randomise_back}};
    uint16_t used[TT_COUNT(all)];
    size_t n = 0;
    for (size_t i = 0; i < TT_COUNT(all); i++) {
        if (!o->compression && o->one_compression != all[i].algorithm)
            continue;
        TT_TRY(tt_config_add_compressor(cfg, &all[i]));
        used[n++] = all[i].algorithm;
    }
    return n == 0 ? TT_OK : tt_config_set_certificate_compression(cfg, used, n);
}
