/* tests/fuzz/engine.c: driving connections; see engine.h. Tests only. */
#include "engine.h"

#include <string.h>

static fz_tap_fn tap;

uint8_t fz_u8(struct fz_input *in)
{
    struct tt_bytes b = fz_bytes(in, 1);
    return b.len == 1 ? b.data[0] : 0;
}

uint16_t fz_u16(struct fz_input *in)
{
    uint8_t high = fz_u8(in);
    return (uint16_t)(high << 8 | fz_u8(in));
}

struct tt_bytes fz_bytes(struct fz_input *in, size_t n)
{
    struct tt_bytes b = {in->at, n < in->left ? n : in->left};
    in->at += b.len;
    in->left -= b.len;
    return b;
}

void fz_check_sane(struct tt_conn *c)
{
    const struct tt_conn_status *s = tt_conn_error(c);
    unsigned wants = tt_conn_wants(c);
    bool failed = s->error.rc != TT_OK;
    FUZZ_CHECK(failed == (s->error.text[0] != '\0'));
    FUZZ_CHECK(s->error.rc != TT_ERR_INTERNAL && s->error.rc != TT_ERR_MEMORY && s->error.rc != TT_ERR_USAGE);
    FUZZ_CHECK(!failed || (wants & TT_WANT_CLOSED) != 0);
    FUZZ_CHECK(!failed || s->error.rc == TT_ERR_PEER_ALERT || s->error.rc == TT_ERR_CLOSED ||
               s->alert_sent != TT_ALERT_NONE);
    FUZZ_CHECK((wants & (TT_WANT_INPUT | TT_WANT_CLOSED | TT_WANT_PLAINTEXT | TT_WANT_EARLY_PLAINTEXT |
                         TT_WANT_SIGN)) != 0);
    FUZZ_CHECK(!tt_conn_is_connected(c) || c->hs == NULL || c->cfg->post_handshake_auth);
    /* Nobody gets in without what the configuration demands. */
    bool needs_certificate = c->cfg->role == TT_CLIENT || c->cfg->client_auth == TT_CLIENT_AUTH_REQUIRE;
    FUZZ_CHECK(failed || !tt_conn_is_connected(c) || !needs_certificate || c->resumed ||
               (c->peer_chain_len > 0 && c->peer_scheme != 0));
}

static void drain_early(struct tt_conn *c)
{
    size_t n = tt_conn_early_plaintext(c).len;
    FUZZ_CHECK(n == 0 || tt_conn_early_plaintext_done(c, n) == TT_OK);
}

/* Take what was decrypted, and drop what is to be sent. */
static void drain(struct tt_conn *c)
{
    uint8_t plain[512];
    size_t n = 0;
    drain_early(c);
    while (tt_conn_read(c, plain, sizeof plain, &n) == TT_OK && n > 0)
        ;
    tt_conn_output_done(c, tt_conn_output(c).len);
}

void fz_feed_all(struct tt_conn *c, struct tt_bytes bytes, size_t split)
{
    size_t at = 0;
    for (size_t stalls = 0; at < bytes.len && stalls < 4; stalls++) {
        size_t n = split != 0 && split < bytes.len - at ? split : bytes.len - at, used = 0;
        uint8_t *piece = malloc(n);
        FUZZ_CHECK(piece != NULL);
        memcpy(piece, bytes.data + at, n);
        tt_rc rc = tt_conn_feed(c, piece, n, &used);
        free(piece);
        fz_check_sane(c);
        FUZZ_CHECK(used <= n);
        FUZZ_CHECK(buf_size(&c->out) < 100000);
        if (rc != TT_OK)
            return;
        at += used;
        if (used > 0)
            stalls = 0;
        drain(c);
        (void)fz_sign(c);
        fz_check_sane(c);
    }
    FUZZ_CHECK(at == bytes.len || tt_conn_error(c)->error.rc != TT_OK); /* back-pressure always ends */
}

/* ---- a pair ---- */

fz_tap_fn fz_tap(fz_tap_fn fn)
{
    fz_tap_fn before = tap;
    tap = fn;
    return before;
}

void fz_pair_new(struct fz_pair *p, unsigned client_options, unsigned server_options)
{
    p->client = fz_conn(TT_CLIENT, client_options);
    p->server = fz_conn(TT_SERVER, server_options);
}

static bool pair_move(struct tt_conn *from, struct tt_conn *to)
{
    struct tt_bytes out = tt_conn_output(from);
    size_t used = 0;
    if (out.len == 0)
        return false;
    if (tap != NULL)
        tap(from->cfg->role, out);
    if (tt_conn_feed(to, out.data, out.len, &used) != TT_OK)
        used = out.len;
    tt_conn_output_done(from, used);
    drain_early(to);
    return used > 0;
}

void fz_pair_run(struct fz_pair *p)
{
    for (int rounds = 0;; rounds++) {
        FUZZ_CHECK(rounds < 64); /* else they never come to rest */
        bool moved = pair_move(p->client, p->server);
        moved |= pair_move(p->server, p->client);
        moved |= fz_sign(p->client);
        moved |= fz_sign(p->server);
        fz_check_sane(p->client);
        fz_check_sane(p->server);
        if (!moved)
            return;
    }
}

bool fz_pair_connected(const struct fz_pair *p)
{
    return tt_conn_is_connected(p->client) && tt_conn_is_connected(p->server) &&
           tt_conn_error(p->client)->error.rc == TT_OK && tt_conn_error(p->server)->error.rc == TT_OK;
}

static bool bytes_equal(struct tt_bytes a, struct tt_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void pair_check_data(struct tt_conn *from, struct tt_conn *to, const char *text)
{
    size_t n = 0;
    uint8_t got[64];
    FUZZ_CHECK(tt_conn_write(from, (const uint8_t *)text, strlen(text), &n) == TT_OK);
    FUZZ_CHECK(n == strlen(text));
    while (pair_move(from, to))
        ;
    FUZZ_CHECK(tt_conn_read(to, got, sizeof got, &n) == TT_OK);
    FUZZ_CHECK(n == strlen(text) && memcmp(got, text, n) == 0);
}

static void pair_check_certificates(const struct fz_pair *p)
{
    const struct tt_conn *c = p->client, *s = p->server;
    struct tt_bytes of_client = {fz_key(TT_CLIENT)->cert, fz_key(TT_CLIENT)->cert_len};
    struct tt_bytes of_server = {fz_key(TT_SERVER)->cert, fz_key(TT_SERVER)->cert_len};
    FUZZ_CHECK(c->local_scheme == s->peer_scheme && c->peer_scheme == s->local_scheme);
    struct tt_bytes delegating_client = {fz_delegating_key(TT_CLIENT)->cert,
                                         fz_delegating_key(TT_CLIENT)->cert_len};
    struct tt_bytes delegating_server = {fz_delegating_key(TT_SERVER)->cert,
                                         fz_delegating_key(TT_SERVER)->cert_len};
    struct tt_bytes at_client = tt_conn_peer_certificate(c, 0), at_server = tt_conn_peer_certificate(s, 0);
    FUZZ_CHECK(bytes_equal(at_client, of_server) || bytes_equal(at_client, delegating_server));
    FUZZ_CHECK(s->peer_chain_len == 0 || bytes_equal(at_server, of_client) ||
               bytes_equal(at_server, delegating_client));
    FUZZ_CHECK(c->local_delegated == s->peer_delegated && c->peer_delegated == s->local_delegated);
    FUZZ_CHECK(c->certificate_with_psk == s->certificate_with_psk);
}

void fz_pair_check(struct fz_pair *p)
{
    struct tt_conn *c = p->client, *s = p->server;
    size_t n = hash_size(c->suite->hash);
    FUZZ_CHECK(c->suite == s->suite && c->group == s->group);
    FUZZ_CHECK(memcmp(&c->exporter_secret, &s->exporter_secret, n) == 0);
    FUZZ_CHECK(memcmp(&c->read_secret, &s->write_secret, n) == 0);
    FUZZ_CHECK(memcmp(&c->write_secret, &s->read_secret, n) == 0);
    FUZZ_CHECK(c->resumed == s->resumed && c->hello_retry_request == s->hello_retry_request);
    FUZZ_CHECK(bytes_equal(kept_get(&c->kept, KEPT_ALPN), kept_get(&s->kept, KEPT_ALPN)));
    FUZZ_CHECK(bytes_equal(kept_get(&c->kept, KEPT_SERVER_NAME), kept_get(&s->kept, KEPT_SERVER_NAME)));
    if (!c->resumed)
        pair_check_certificates(p);
    pair_check_data(c, s, "from the client");
    pair_check_data(s, c, "from the server");
}

void fz_pair_free(struct fz_pair *p)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
}
