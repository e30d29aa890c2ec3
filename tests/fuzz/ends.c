/* tests/fuzz/ends.c: the deterministic ends of engine.h: randomness, keys, configurations, signatures. Tests
 * only. */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD: the one way to make libcrypto deterministic */
#include "engine.h"

#include <openssl/ocsp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
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
static struct test_key *delegating[2], *delegated[2]; /* FZ_DELEGATE: of the certificate, of the credential */
static struct tt_delegation *delegations[2];
static struct tt_tickets *tickets;
static struct tt_session *external;
static struct tt_bytes staple; /* the CA says of the server's certificate: good */

static void must(tt_rc rc)
{
    FUZZ_CHECK(rc == TT_OK);
}

static X509 *read_certificate(const struct test_key *k)
{
    const uint8_t *at = k->cert;
    return d2i_X509(NULL, &at, (long)k->cert_len);
}

static void make_staple(void)
{
    X509 *issuer = read_certificate(ca), *server = read_certificate(keys[TT_SERVER]);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, TEST_NOW - 3600), *to = ASN1_TIME_set(NULL, TEST_NOW + 3600);
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, server, issuer);
    FUZZ_CHECK(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to) != NULL);
    FUZZ_CHECK(OCSP_basic_sign(basic, issuer, ca->pkey, EVP_sha256(), NULL, OCSP_NOTIME) == 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    uint8_t *der = NULL;
    int len = i2d_OCSP_RESPONSE(response, &der);
    FUZZ_CHECK(len > 0);
    staple = (struct tt_bytes){der, (size_t)len};
    OCSP_RESPONSE_free(response);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_free(issuer);
    X509_free(server);
}

static void make_credential(enum tt_role r)
{
    struct tt_credential *c = NULL;
    uint8_t sig[256], *spki = NULL;
    const struct test_cert cert = {.cn = "delegates",
                                   .dns = r == TT_SERVER ? "localhost" : NULL,
                                   .eku = r == TT_SERVER ? "serverAuth" : "clientAuth",
                                   .issuer = ca,
                                   .delegation = true};
    delegating[r] = test_key_new("P-256", &cert);
    delegated[r] = test_key_new("P-256", &(struct test_cert){.cn = "only a key"});
    int len = i2d_PUBKEY(delegated[r]->pkey, &spki);
    FUZZ_CHECK(len > 0);
    const struct tt_credential_params params = {.now = TEST_NOW,
                                                .valid_until = TEST_NOW + 3600,
                                                .spki = {spki, (size_t)len},
                                                .key_scheme = delegated[r]->scheme,
                                                .scheme = delegating[r]->scheme,
                                                .key = delegated[r]};
    must(tt_delegation_new(&delegations[r], r,
                           (struct tt_bytes){delegating[r]->cert, delegating[r]->cert_len}, NULL));
    must(tt_credential_new(&c, delegations[r], &params, NULL));
    size_t n = test_sign(delegating[r], delegating[r]->scheme, tt_credential_to_sign(c), sig, sizeof sig);
    must(tt_delegation_use(delegations[r], c, (struct tt_bytes){sig, n}, NULL));
    OPENSSL_free(spki);
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
    make_staple();
    must(tt_tickets_new(&tickets, TEST_NOW * 1000 - 60000, NULL));
    must(tt_tickets_set_keys(tickets, &key, 1));
    must(tt_session_new_external(&external, identity, secret, false, NULL));
    make_credential(TT_CLIENT); /* last, so that what was there before stays the same */
    make_credential(TT_SERVER);
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

const struct test_key *fz_delegating_key(enum tt_role role)
{
    return delegating[role];
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

static void config_identity(struct tt_config *cfg, enum tt_role role, unsigned options)
{
    bool delegate = (options & FZ_DELEGATE) != 0;
    struct test_key *k = delegate ? delegating[role] : keys[role];
    static const uint8_t scts[] = {0, 5, 0, 3, 1, 2, 3};
    const struct tt_bytes chain = {k->cert, k->cert_len};
    struct tt_identity id = {
        .chain = &chain, .chain_len = 1, .key = k, .schemes = &k->scheme, .schemes_len = 1};
    if (delegate)
        id.delegation = delegations[role];
    if (role == TT_SERVER && (options & FZ_FEATURES) != 0) {
        id.ocsp_response = staple;
        id.sct_list = (struct tt_bytes){scts, sizeof scts};
    }
    must(tt_config_add_identity(cfg, &id, NULL));
}

/* What either end may have on top. */
static void config_features(struct tt_config *cfg, bool client, bool compressed)
{
    static const uint16_t compression = TT_COMPRESSION_ZLIB;
    must(tt_config_set_record_size_limit(cfg, client ? 300 : 2000));
    must(tt_config_set_padding(cfg, 64));
    if (compressed) {
        tt_rc rc = tt_config_set_certificate_compression(cfg, &compression, 1);
        FUZZ_CHECK(rc == TT_OK || rc == TT_ERR_UNSUPPORTED); /* it is not there in every build */
    }
    must(tt_config_set_send_authorities(cfg, true));
    if (client) {
        must(tt_config_set_ocsp(cfg, TT_OCSP_REQUEST));
        must(tt_config_set_request_scts(cfg, true));
    }
}

static void config_options(struct tt_config *cfg, unsigned options, bool client)
{
    static const uint16_t suites[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384,
                                      TT_SUITE_CHACHA20_POLY1305_SHA256};
    static const struct tt_bytes protocols[] = {{(const uint8_t *)"h2", 2}, {(const uint8_t *)"mqtt", 4}};
    if ((options & FZ_SUITE(3)) != 0)
        must(tt_config_set_suites(cfg, &suites[(options >> 6 & 3) - 1], 1));
    if ((options & FZ_ALPN) != 0)
        must(tt_config_set_alpn(cfg, protocols, TT_COUNT(protocols)));
    if ((options & FZ_ANY) != 0)
        must(tt_config_insecure_accept_any_certificate(cfg));
    if (client || (options & FZ_BARE) == 0 || (options & FZ_POST) != 0)
        config_trust(cfg);
    must(tt_config_set_post_handshake_auth(cfg, (options & FZ_POST) != 0));
    if ((options & FZ_DELEGATE) != 0)
        must(tt_config_accept_delegated(cfg, NULL, 0));
    if ((options & FZ_FEATURES) != 0)
        config_features(cfg, client, (options & FZ_BARE) == 0);
}

static void config_client(struct tt_config *cfg, unsigned options)
{
    static const uint16_t shares[] = {TT_GROUP_X25519, TT_GROUP_SECP256R1};
    must(tt_config_set_middlebox_compat(cfg, (options & FZ_BARE) == 0));
    if ((options & FZ_GROUP) != 0)
        must(tt_config_set_key_shares(cfg, shares, TT_COUNT(shares)));
    if ((options & FZ_SOLO) == 0)
        config_identity(cfg, TT_CLIENT, options);
    if ((options & FZ_BOTH) != 0 && (options & FZ_SUITE(3)) != FZ_SUITE(2))
        must(tt_config_set_psk_policy(cfg, TT_PSK_WITH_CERTIFICATE));
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
    config_identity(cfg, TT_SERVER, options);
    config_resumption(cfg, options);
}

static struct tt_config *config_of(enum tt_role role, unsigned options)
{
    static struct tt_config *made[2][32768];
    options &= role == TT_CLIENT ? 0xff | FZ_FEATURES | FZ_DELEGATE | FZ_BOTH | FZ_POST
                                 : 0xfff | FZ_DELEGATE | FZ_POST;
    struct tt_config **cfg = &made[role][options];
    if (*cfg == NULL) {
        must(tt_config_new(cfg, role, NULL));
        must(tt_config_set_random(*cfg, stream_random,
                                  &streams[role == TT_CLIENT ? STREAM_CLIENT : STREAM_SERVER]));
        config_options(*cfg, options, role == TT_CLIENT);
        role == TT_CLIENT ? config_client(*cfg, options) : config_server(*cfg, options);
        must(tt_config_freeze(*cfg, NULL));
    }
    return *cfg;
}

/* The ticket that a client with these options once got, from a server that demands as much of it as the one
 * that shall take it (else it is out of scope). */
static struct tt_session *session_of(unsigned options)
{
    static struct tt_session *made[256];
    struct tt_session **session = &made[options & 0xff];
    if (*session == NULL) {
        struct fz_pair p;
        fz_tap_fn kept = fz_tap(NULL);
        fz_pair_new(&p, options & 0xff,
                    FZ_RESUME | FZ_EARLY | (options & (FZ_ALPN | FZ_SUITE(3) | FZ_SOLO | FZ_ANY)));
        fz_pair_run(&p);
        *session = tt_conn_take_session(p.client);
        FUZZ_CHECK(*session != NULL);
        fz_pair_free(&p);
        (void)fz_tap(kept);
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
    if (role == TT_CLIENT && (options & (FZ_EXTERNAL | FZ_BOTH)) != 0)
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
    FUZZ_CHECK(tt_conn_sign_complete(c, req.id, (struct tt_bytes){sig, len}) != TT_ERR_USAGE);
    return true;
}
