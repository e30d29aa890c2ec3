/* tests/fuzz/fuzz_auth.c: what an authentication rested on, as sessions and tickets carry it: the record is
 * read, is written as the same bytes again, and is judged anew. The first byte says by whom. */
#include "engine.h"

#include <string.h>

#include "tls/auth.h"

enum {
    BY_SERVER = 1,
    SAME_RULES = 2, /* as if our own configuration had made it: else nearly nothing would pass that check */
    SAME_PSK = 4,   /* and rest on a PSK that is at hand */
    ANYTHING = 8,   /* insecure_accept_any_certificate */
    ANOTHER_TIME = 16
};

static bool inside(struct tt_bytes part, struct tt_bytes whole)
{
    return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

static void check_written(const struct auth *a, struct tt_bytes read)
{
    struct buf again = {.max = 1 << 24};
    struct writer w = writer_to(&again);
    auth_put(&w, a);
    FUZZ_CHECK(wr_status(&w) == TT_OK && buf_size(&again) == read.len &&
               memcmp(buf_front(&again), read.data, read.len) == 0);
    buf_free(&again);
}

/* What is accepted is within its time, made under these rules, and rests on what is at hand. */
static void check_judged(const struct auth *a, const struct auth_asked *q)
{
    struct auth_found found, same;
    bool holds = auth_holds(a, q, &found);
    FUZZ_CHECK(auth_holds(a, q, &same) == holds && same.psk == found.psk &&
               same.ocsp_good == found.ocsp_good);
    if (!holds)
        return;
    FUZZ_CHECK(a->authenticated_ms <= q->now_ms && q->now_ms / 1000 <= a->until);
    FUZZ_CHECK(memcmp(a->rules, q->cfg->fingerprint, sizeof a->rules) == 0);
    FUZZ_CHECK(a->chain.len > 0 || found.psk != NULL || q->cfg->role == TT_SERVER || q->psks_len == 0);
    FUZZ_CHECK(memcmp(a->psk, auth_no_psk, sizeof a->psk) == 0 || found.psk != NULL || q->psks_len == 0);
}

static void judge(struct auth a, unsigned kind, int64_t now_ms)
{
    const enum tt_role role = (kind & BY_SERVER) != 0 ? TT_SERVER : TT_CLIENT;
    struct tt_conn *server = fz_conn(TT_SERVER, FZ_EXTERNAL | ((kind & ANYTHING) != 0 ? FZ_ANY : 0));
    struct tt_conn *c = role == TT_SERVER ? server : fz_conn(role, (kind & ANYTHING) != 0 ? FZ_ANY : 0);
    static const char name[] = "localhost";
    const struct auth_asked q = {
        .cfg = c->cfg,
        .now_ms = now_ms,
        .server_name = {(const uint8_t *)name, role == TT_CLIENT ? sizeof name - 1 : 0},
        .psks = server->cfg->psks,
        .psks_len = server->cfg->psks_len};
    if ((kind & SAME_RULES) != 0)
        memcpy(a.rules, c->cfg->fingerprint, sizeof a.rules);
    if ((kind & SAME_PSK) != 0 && q.psks_len > 0)
        memcpy(a.psk, q.psks[0]->psk_digest, sizeof a.psk);
    check_judged(&a, &q);
    if (c != server)
        tt_conn_free(c);
    tt_conn_free(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    fz_begin();
    const unsigned kind = fz_u8(&in);
    int64_t now_ms = TEST_NOW * 1000;
    if ((kind & ANOTHER_TIME) != 0)
        now_ms += ((int64_t)fz_u16(&in) - 32768) * 60000;
    const struct tt_bytes all = fz_bytes(&in, in.left);
    struct reader r = reader_of(all);
    struct auth a = auth_read(&r);
    if (rd_done(&r) != TT_OK)
        return 0;
    FUZZ_CHECK(inside(a.chain, all) && inside(a.ocsp, all));
    check_written(&a, all);
    judge(a, kind, now_ms);
    return 0;
}
