/* tests/soak/hostile.c: see hostile.h. */
#include "hostile.h"

#include <string.h>

#include "tls/record.h"

static struct hostile *acting; /* whose records are being sealed; NULL: an end that is left alone */

uint64_t hostile_random(uint64_t *rng) /* splitmix64 */
{
    uint64_t z = (*rng += 0x9e3779b97f4a7c15U);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

static size_t below(struct hostile *h, size_t n)
{
    return (size_t)(hostile_random(&h->rng) % n);
}

static void fill(struct hostile *h, uint8_t *buf, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf[i] = (uint8_t)hostile_random(&h->rng);
}

/* A few changes: a bit flipped, a byte set to an extreme, some bytes removed, repeated or made up. */
static size_t change(struct hostile *h, uint8_t *buf, size_t len, size_t cap)
{
    for (size_t n = 1 + below(h, 4); n > 0 && len > 0; n--) {
        size_t at = below(h, len), part = 1 + below(h, 16);
        part = part < len - at ? part : len - at;
        switch (below(h, 5)) {
        case 0:
            buf[at] ^= (uint8_t)(1U << below(h, 8));
            break;
        case 1:
            buf[at] = below(h, 2) != 0 ? 0xff : 0;
            break;
        case 2:
            memmove(buf + at, buf + at + part, len - at - part);
            len -= part;
            break;
        case 3:
            fill(h, buf + at, part);
            break;
        default:
            part = part < cap - len ? part : cap - len;
            memmove(buf + at + part, buf + at, len - at);
            len += part;
            break;
        }
    }
    return len;
}

tt_rc __real_rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out);
tt_rc __wrap_rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out);

tt_rc __wrap_rec_seal(struct rec_key *k, const struct rec_content *content, struct buf *out)
{
    struct hostile *h = acting;
    if (h == NULL || h->kind != HOSTILE_SEALED || h->flights++ != h->when)
        return __real_rec_seal(k, content, out);
    uint8_t data[REC_MAX_PLAINTEXT];
    struct rec_content changed = *content;
    memcpy(data, content->data.data, content->data.len);
    changed.data = (struct tt_bytes){data, content->data.len};
    changed.padding = 0;
    switch (below(h, 8)) {
    case 0: /* twice */
        TT_TRY(__real_rec_seal(k, content, out));
        return __real_rec_seal(k, content, out);
    case 1: /* not at all */
        return TT_OK;
    case 2:
        changed.type = (enum content_type)below(h, 256);
        return __real_rec_seal(k, &changed, out);
    default:
        changed.data.len = change(h, data, content->data.len, sizeof data);
        return __real_rec_seal(k, &changed, out);
    }
}

struct hostile hostile_new(enum hostile_kind kind, struct tt_conn *c, uint64_t seed)
{
    struct hostile h = {.kind = kind, .c = c, .rng = seed};
    h.when = (unsigned)below(&h, kind == HOSTILE_SEALED ? 6 : 3);
    return h;
}

void hostile_free(struct hostile *h)
{
    tt_conn_free(h->c);
    h->c = NULL;
}

/* ---- noise ---- */

static size_t make_noise(struct hostile *h, uint8_t *buf, size_t cap)
{
    static const uint8_t types[] = {20, 21, 22, 23};
    size_t n = 1 + below(h, 1500);
    if (h->flights++ > h->when)
        return 0;
    fill(h, buf, n < cap ? n : cap);
    if (h->kind == HOSTILE_RECORDS && n > 9) { /* a header, and often the start of a handshake message */
        buf[0] = types[below(h, sizeof types)];
        buf[1] = 3;
        buf[2] = (uint8_t)below(h, 5);
        buf[3] = (uint8_t)((n - 5) >> 8);
        buf[4] = (uint8_t)(n - 5);
        buf[5] = (uint8_t)(below(h, 2) != 0 ? 1 + below(h, 2) : below(h, 256));
        buf[6] = 0;
        buf[7] = (uint8_t)((n - 9) >> 8);
        buf[8] = (uint8_t)(n - 9);
    }
    return n;
}

/* ---- an engine ---- */

bool hostile_sign(struct tt_conn *c)
{
    struct tt_sign_request req;
    uint8_t sig[256];
    if ((tt_conn_wants(c) & TT_WANT_SIGN) == 0 || tt_conn_sign_request(c, &req) != TT_OK)
        return false;
    size_t n = test_sign(req.key, req.scheme, req.to_sign, sig, sizeof sig);
    return tt_conn_sign_complete(c, req.id, (struct tt_bytes){sig, n}) != TT_ERR_USAGE;
}

static void act(struct hostile *h)
{
    static const uint8_t data[100] = {42};
    size_t n = 0;
    acting = h;
    while (hostile_sign(h->c))
        ;
    if (tt_conn_is_connected(h->c) && !h->has_written) {
        (void)!tt_conn_write(h->c, data, sizeof data, &n);
        if (h->kind != HOSTILE_NOT && below(h, 4) == 0)
            (void)!tt_conn_key_update(h->c, below(h, 2) != 0);
        h->has_written = true;
    }
    if (h->received >= sizeof data)
        (void)!tt_conn_close(h->c);
    acting = NULL;
}

size_t hostile_output(struct hostile *h, uint8_t *buf, size_t cap)
{
    if (h->is_over)
        return 0;
    if (h->c == NULL)
        return make_noise(h, buf, cap);
    act(h);
    struct tt_bytes out = tt_conn_output(h->c);
    size_t n = out.len < cap / 2 ? out.len : cap / 2, taken = n;
    if (n == 0)
        return 0;
    memcpy(buf, out.data, n);
    unsigned flight = h->kind == HOSTILE_SEALED ? 0 : h->flights++;
    if ((h->kind == HOSTILE_FIRST && flight == 0) || (h->kind == HOSTILE_WIRE && flight == h->when))
        n = change(h, buf, n, cap);
    if (h->kind == HOSTILE_CUT && flight == h->when) {
        n = below(h, n);
        h->is_over = true;
    }
    tt_conn_output_done(h->c, taken);
    return n;
}

void hostile_input(struct hostile *h, const uint8_t *data, size_t len)
{
    uint8_t plain[4096];
    size_t at = 0, used = 1, n = 0;
    if (h->c == NULL)
        return;
    while (at < len && used > 0) {
        acting = h;
        tt_rc rc = tt_conn_feed(h->c, data + at, len - at, &used);
        acting = NULL;
        if (rc != TT_OK)
            return;
        at += used;
        (void)!tt_conn_early_plaintext_done(h->c, tt_conn_early_plaintext(h->c).len);
        while (tt_conn_read(h->c, plain, sizeof plain, &n) == TT_OK && n > 0)
            h->received += n;
        act(h);
    }
}
