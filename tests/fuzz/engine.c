/* tests/fuzz/engine.c: see engine.h. Tests only. */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD: the one way to make libcrypto deterministic */
#include "engine.h"

#include <openssl/rand.h>
#include <string.h>

/* ---- randomness: splitmix64, one stream for each user of it ---- */

enum {
    STREAM_CLIENT,
    STREAM_SERVER,
    STREAM_LIBCRYPTO,
    STREAM_COUNT
};
static uint64_t streams[STREAM_COUNT];

static void stream_fill(uint64_t *stream, uint8_t *buf, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t z = (*stream += 0x9e3779b97f4a7c15U);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
        z = (z ^ z >> 27) * 0x94d049bb133111ebU;
        buf[i] = (uint8_t)(z ^ z >> 31);
    }
}

static bool stream_random(void *stream, uint8_t *buf, size_t n)
{
    stream_fill(stream, buf, n);
    return true;
}

static int libcrypto_bytes(unsigned char *buf, int n)
{
    stream_fill(&streams[STREAM_LIBCRYPTO], buf, (size_t)n);
    return 1;
}

static int libcrypto_status(void)
{
    return 1;
}

static void streams_begin(void)
{
    for (size_t i = 0; i < STREAM_COUNT; i++)
        streams[i] = 0x746c73 * (i + 1);
}

/* ---- keys and configurations ---- */

static struct test_key *ca, *keys[2];
static struct tt_tickets *tickets;
static struct tt_session *external;
static fz_tap_fn tap;

static void must(tt_rc rc)
{
    FUZZ_CHECK(rc == TT_OK);
}

static void setup(void)
{
    static const RAND_METHOD method = {
        .bytes = libcrypto_bytes, .pseudorand = libcrypto_bytes, .status = libcrypto_status};
    RAND_set_rand_method(&method);
    streams_begin();
    ca = test_key_new("P-256", &(struct test_cert){.cn = "CA"});
    keys[TT_SERVER] = test_key_new(
        "P-256", &(struct test_cert){.cn = "server", .dns = "localhost", .eku = "serverAuth", .issuer = ca});
    keys[TT_CLIENT] =
        test_key_new("P-256", &(struct test_cert){.cn = "client", .eku = "clientAuth", .issuer = ca});
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    static const uint8_t psk[32] = {3};
    const struct tt_bytes identity = {(const uint8_t *)"fuzz", 4}, secret = {psk, sizeof psk};
    must(tt_tickets_new(&tickets, TEST_NOW * 1000 - 60000, NULL));
    must(tt_tickets_set_keys(tickets, &key, 1));
    must(tt_session_new_external(&external, identity, secret, false, NULL));
}

void fz_begin(void)
{
    if (ca == NULL)
        setup();
    streams_begin();
}

const struct test_key *fz_key(enum tt_role role)
{
    return keys[role];
}

const struct test_key *fz_ca(void)
{
    return ca;
}

static void config_trust(struct tt_config *cfg)
{
    struct tt_trust *trust = NULL;
    must(tt_trust_new(&trust, NULL));
    must(tt_trust_add_pem(trust, (struct tt_bytes){(const uint8_t *)ca->cert_pem, strlen(ca->cert_pem)},
                          NULL));
    must(tt_config_set_trust(cfg, trust));
    tt_trust_free(trust);
}

static void config_identity(struct tt_config *cfg, struct test_key *k)
{
    const struct tt_bytes chain = {k->cert, k->cert_len};
    must(tt_config_add_identity(cfg, &(struct tt_identity){&chain, 1, k, &k->scheme, 1}, NULL));
}

static void config_options(struct tt_config *cfg, unsigned options)
{
    static const uint16_t suites[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384,
                                      TT_SUITE_CHACHA20_POLY1305_SHA256};
    static const struct tt_bytes protocols[] = {{(const uint8_t *)"h2", 2}, {(const uint8_t *)"mqtt", 4}};
    if (options >> 6 != 0)
        must(tt_config_set_suites(cfg, &suites[(options >> 6) - 1], 1));
    if ((options & FZ_ALPN) != 0)
        must(tt_config_set_alpn(cfg, protocols, TT_COUNT(protocols)));
    if ((options & FZ_ANY) != 0)
        must(tt_config_insecure_accept_any_certificate(cfg));
    config_trust(cfg);
}

static void config_client(struct tt_config *cfg, unsigned options)
{
    static const uint16_t shares[] = {TT_GROUP_X25519, TT_GROUP_SECP256R1};
    must(tt_config_set_middlebox_compat(cfg, (options & FZ_BARE) == 0));
    if ((options & FZ_GROUP) != 0)
        must(tt_config_set_key_shares(cfg, shares, TT_COUNT(shares)));
    if ((options & FZ_SOLO) == 0)
        config_identity(cfg, keys[TT_CLIENT]);
}

static void config_resumption(struct tt_config *cfg, unsigned options)
{
    if ((options & FZ_RESUME) != 0)
        must(tt_config_set_tickets(cfg, tickets, 1, 3600, (struct tt_bytes){NULL, 0}));
    if ((options & FZ_EARLY) != 0)
        must(tt_config_set_max_early_data(cfg, 1000));
    if ((options & FZ_EXTERNAL) != 0)
        must(tt_config_add_psk(cfg, external));
}

static void config_server(struct tt_config *cfg, unsigned options)
{
    static const uint16_t group = TT_GROUP_SECP384R1;
    must(tt_config_set_client_auth(cfg, (options & FZ_BARE) != 0   ? TT_CLIENT_AUTH_NONE
                                        : (options & FZ_SOLO) != 0 ? TT_CLIENT_AUTH_REQUEST
                                                                   : TT_CLIENT_AUTH_REQUIRE));
    must(tt_config_set_force_retry(cfg, (options & FZ_RETRY) != 0));
    if ((options & FZ_GROUP) != 0)
        must(tt_config_set_groups(cfg, &group, 1));
    config_identity(cfg, keys[TT_SERVER]);
    config_resumption(cfg, options);
}

static struct tt_config *config_of(enum tt_role role, unsigned options)
{
    static struct tt_config *made[2][2048];
    options &= role == TT_CLIENT ? 0xff : 0x7ff;
    struct tt_config **cfg = &made[role][options];
    if (*cfg == NULL) {
        must(tt_config_new(cfg, role, NULL));
        must(tt_config_set_random(*cfg, stream_random,
                                  &streams[role == TT_CLIENT ? STREAM_CLIENT : STREAM_SERVER]));
        config_options(*cfg, options & 0xff);
        role == TT_CLIENT ? config_client(*cfg, options) : config_server(*cfg, options);
        must(tt_config_freeze(*cfg, NULL));
    }
    return *cfg;
}

/* The ticket that a client with these options once got. */
static struct tt_session *session_of(unsigned options)
{
    static struct tt_session *made[256];
    struct tt_session **session = &made[options & 0xff];
    if (*session == NULL) {
        fz_tap_fn kept = tap;
        struct fz_pair p;
        tap = NULL;
        fz_pair_new(&p, options & 0xff, FZ_RESUME | FZ_EARLY | FZ_SOLO | (options & (FZ_ALPN | FZ_SUITE(3))));
        fz_pair_run(&p);
        *session = tt_conn_take_session(p.client);
        FUZZ_CHECK(*session != NULL);
        fz_pair_free(&p);
        tap = kept;
    }
    return *session;
}

void fz_prepare(enum tt_role role, unsigned options)
{
    uint64_t kept[STREAM_COUNT];
    memcpy(kept, streams, sizeof kept);
    (void)config_of(role, options);
    if (role == TT_CLIENT && (options & FZ_RESUME) != 0)
        (void)session_of(options);
    memcpy(streams, kept, sizeof kept);
}

struct tt_conn *fz_conn(enum tt_role role, unsigned options)
{
    fz_prepare(role, options);
    struct tt_session *sessions[2];
    size_t n = 0;
    if (role == TT_CLIENT && (options & FZ_RESUME) != 0)
        sessions[n++] = session_of(options);
    if (role == TT_CLIENT && (options & FZ_EXTERNAL) != 0)
        sessions[n++] = external;
    const struct tt_conn_options opt = {.server_name = role == TT_CLIENT ? "localhost" : NULL,
                                        .now = TEST_NOW,
                                        .sessions = sessions,
                                        .sessions_len = n,
                                        .early_data = role == TT_CLIENT && (options & FZ_EARLY) != 0};
    struct tt_conn *c = NULL;
    must(tt_conn_new(&c, config_of(role, options), &opt, NULL));
    if (tt_conn_early_status(c) == TT_EARLY_OFFERED)
        must(tt_conn_write_early(c, (const uint8_t *)"early", 5, &n));
    return c;
}

/* ---- driving ---- */

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

bool fz_sign(struct tt_conn *c)
{
    struct tt_sign_request req;
    if ((tt_conn_wants(c) & TT_WANT_SIGN) == 0)
        return false;
    must(tt_conn_sign_request(c, &req));
    /* The same signature here and in the process that made the corpus. */
    streams[STREAM_LIBCRYPTO] = 1;
    uint8_t sig[256];
    size_t len = test_sign(req.key, req.scheme, req.to_sign, sig, sizeof sig);
    (void)tt_conn_sign_complete(c, req.id, (struct tt_bytes){sig, len});
    return true;
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
    FUZZ_CHECK(!tt_conn_is_connected(c) || c->hs == NULL);
    /* Nobody gets in without what the configuration demands. */
    bool needs_certificate = c->cfg->role == TT_CLIENT || c->cfg->client_auth == TT_CLIENT_AUTH_REQUIRE;
    FUZZ_CHECK(!tt_conn_is_connected(c) || !needs_certificate || c->resumed ||
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

void fz_tap(fz_tap_fn fn)
{
    tap = fn;
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
    must(tt_conn_write(from, (const uint8_t *)text, strlen(text), &n));
    FUZZ_CHECK(n == strlen(text));
    while (pair_move(from, to))
        ;
    must(tt_conn_read(to, got, sizeof got, &n));
    FUZZ_CHECK(n == strlen(text) && memcmp(got, text, n) == 0);
}

static void pair_check_certificates(const struct fz_pair *p)
{
    const struct tt_conn *c = p->client, *s = p->server;
    struct tt_bytes of_client = {keys[TT_CLIENT]->cert, keys[TT_CLIENT]->cert_len};
    struct tt_bytes of_server = {keys[TT_SERVER]->cert, keys[TT_SERVER]->cert_len};
    FUZZ_CHECK(c->local_scheme == s->peer_scheme && c->peer_scheme == s->local_scheme);
    FUZZ_CHECK(bytes_equal(tt_conn_peer_certificate(c, 0), of_server));
    FUZZ_CHECK(s->peer_chain_len == 0 || bytes_equal(tt_conn_peer_certificate(s, 0), of_client));
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
    FUZZ_CHECK(bytes_equal(buf_bytes(&c->alpn), buf_bytes(&s->alpn)));
    FUZZ_CHECK(bytes_equal(buf_bytes(&c->server_name), buf_bytes(&s->server_name)));
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
