/* tests/tls/test_raw_public_keys.c: RFC 7250, both roles: which of certificate and bare key is shown, who is
 * trusted, and what is refused. The malformed messages of it are rows in test_alerts_auth.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/pump.h"
#include "tpmtls/key.h"

/* struct end: what one end shows, and what it takes. */
struct end {
    bool certificate, raw; /* of its identity; none of both: it has no identity */
    uint16_t takes[2];     /* in this order */
    size_t takes_len;      /* 0: the default */
    enum {
        BY_CA,  /* trusts the CA, and with `takes` set any certificate at all */
        BY_PIN, /* the key of the other end */
        WRONG_PIN
    } trust;
};
static struct end ends[2];

#define X509 TT_CERTIFICATE_X509
#define RAW  TT_CERTIFICATE_RAW_PUBLIC_KEY

static void give_identity(struct tt_config *cfg, struct test_key *k, const struct end *e)
{
    const struct tt_bytes chain = {k->cert, k->cert_len};
    const struct tt_identity id = {.chain = &chain,
                                   .chain_len = e->certificate,
                                   .key = k,
                                   .schemes = &k->scheme,
                                   .schemes_len = 1,
                                   .raw_public_key = e->raw ? test_key_spki(k) : (struct tt_bytes){NULL, 0}};
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_OK);
}

static void give_pin(struct tt_config *cfg, struct test_key *peer, const struct end *e)
{
    struct tt_trust *trust = NULL;
    uint8_t pin[32];
    test_key_pin(peer, pin);
    pin[0] ^= e->trust == WRONG_PIN;
    assert_int_equal(tt_trust_new(&trust, NULL), TT_OK);
    assert_int_equal(tt_trust_add_pin(trust, pin, NULL), TT_OK);
    assert_int_equal(tt_config_set_trust(cfg, trust), TT_OK);
    tt_trust_free(trust);
}

static void configure(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    struct tt_config *cfg[] = {client, server};
    struct test_key *keys[] = {p->client_key, p->server_key};
    for (int i = 0; i < 2; i++) {
        if (ends[i].certificate || ends[i].raw)
            give_identity(cfg[i], keys[i], &ends[i]);
        if (ends[i].takes_len > 0)
            assert_int_equal(tt_config_set_peer_certificate_types(cfg[i], ends[i].takes, ends[i].takes_len),
                             TT_OK);
        if (ends[i].trust != BY_CA &&
            (i == 0 || p->client_auth != TT_CLIENT_AUTH_NONE || p->server_asks_later))
            give_pin(cfg[i], keys[1 - i], &ends[i]);
    }
}

static struct pump start(struct end client, struct end server, enum tt_client_auth auth)
{
    struct pump p = {.configure = configure, .no_server_identity = true, .client_auth = auth};
    ends[TT_CLIENT] = client;
    ends[TT_SERVER] = server;
    return p;
}

static void expect_connected(struct pump *p, uint16_t server_shows, uint16_t client_shows)
{
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server))
        fail_msg("client: %s; server: %s", tt_conn_error(p->client)->error.text,
                 tt_conn_error(p->server)->error.text);
    struct tt_conn_info c, s;
    tt_conn_info(p->client, &c);
    tt_conn_info(p->server, &s);
    assert_int_equal(s.local_certificate_type, server_shows);
    assert_int_equal(c.peer_certificate_type, server_shows);
    assert_int_equal(c.local_certificate_type, client_shows);
    assert_int_equal(s.peer_certificate_type, client_shows);
    if (server_shows == RAW) {
        struct tt_bytes spki = test_key_spki(p->server_key), is = tt_conn_peer_certificate(p->client, 0);
        assert_int_equal(is.len, spki.len);
        assert_memory_equal(is.data, spki.data, spki.len);
        assert_int_equal(c.peer_chain_len, 1);
    }
    pump_echo(p, p->client, p->server, 1000);
}

static const struct end raw_both = {.raw = true, .takes = {RAW}, .takes_len = 1, .trust = BY_PIN};
static const struct end ca_only = {.certificate = true};

static void both_ends(void **state)
{
    (void)state;
    static const char *const kinds[] = {"P-256", "ED25519", "RSA"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct pump p = start(raw_both, raw_both, TT_CLIENT_AUTH_REQUIRE);
        p.key_kind = kinds[i];
        pump_start(&p);
        pump_run(&p);
        expect_connected(&p, RAW, RAW);
        pump_free(&p);
    }
}

/* What is shown where there is a choice: as the one who takes it prefers. */
static void who_chooses(void **state)
{
    (void)state;
    static const struct {
        struct end client, server;
        uint16_t server_shows, client_shows;
    } cases[] = {
        /* the server has both */
        {{.takes = {RAW, X509}, .takes_len = 2, .trust = BY_PIN},
         {.certificate = true, .raw = true},
         RAW,
         X509},
        {{.takes = {X509, RAW}, .takes_len = 2, .trust = BY_PIN},
         {.certificate = true, .raw = true},
         X509,
         X509},
        /* a client that knows nothing of raw keys */
        {{.trust = BY_CA}, {.certificate = true, .raw = true}, X509, X509},
        /* a server that knows nothing of them */
        {{.takes = {RAW, X509}, .takes_len = 2, .trust = BY_PIN}, {.certificate = true}, X509, X509},
        /* the client has both, and the server takes either */
        {{.certificate = true, .raw = true},
         {.certificate = true, .takes = {X509, RAW}, .takes_len = 2, .trust = BY_PIN},
         X509,
         X509},
        {{.certificate = true, .raw = true},
         {.certificate = true, .takes = {RAW, X509}, .takes_len = 2, .trust = BY_PIN},
         X509,
         RAW},
        {{.raw = true},
         {.certificate = true, .takes = {X509, RAW}, .takes_len = 2, .trust = BY_PIN},
         X509,
         RAW},
        {{.certificate = true, .raw = true},
         {.certificate = true, .takes = {RAW}, .takes_len = 1, .trust = BY_PIN},
         X509,
         RAW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool asks = cases[i].client.certificate || cases[i].client.raw;
        struct pump p =
            start(cases[i].client, cases[i].server, asks ? TT_CLIENT_AUTH_REQUIRE : TT_CLIENT_AUTH_NONE);
        pump_start(&p);
        pump_run(&p);
        expect_connected(&p, cases[i].server_shows, cases[i].client_shows);
        pump_free(&p);
    }
}

static void refused(struct end client, struct end server, enum tt_role by, unsigned alert)
{
    struct pump p = start(client, server,
                          client.certificate || client.raw ? TT_CLIENT_AUTH_REQUIRE : TT_CLIENT_AUTH_NONE);
    pump_start(&p);
    pump_run(&p);
    const struct tt_conn *judge = by == TT_CLIENT ? p.client : p.server;
    const struct tt_conn *other = by == TT_CLIENT ? p.server : p.client;
    assert_int_equal(tt_conn_error(judge)->alert_sent, alert);
    assert_int_equal(tt_conn_error(other)->alert_received, alert);
    pump_free(&p);
}

static void whom_not(void **state)
{
    (void)state;
    const struct end raw_wrong = {.takes = {RAW}, .takes_len = 1, .trust = WRONG_PIN};
    const struct end raw_wanted = {.takes = {RAW}, .takes_len = 1, .trust = BY_PIN};
    refused(raw_wrong, raw_both, TT_CLIENT, TT_ALERT_CERTIFICATE_UNKNOWN);
    refused(
        raw_both,
        (struct end){.certificate = true, .raw = true, .takes = {RAW}, .takes_len = 1, .trust = WRONG_PIN},
        TT_SERVER, TT_ALERT_CERTIFICATE_UNKNOWN);
    /* RFC 7250 section 4.2: nothing in common */
    refused(raw_wanted, ca_only, TT_SERVER, TT_ALERT_UNSUPPORTED_CERTIFICATE);
    refused((struct end){.raw = true}, (struct end){.certificate = true}, TT_SERVER,
            TT_ALERT_UNSUPPORTED_CERTIFICATE);
    /* a server with a bare key alone, and a client that asks for nothing */
    refused((struct end){.trust = BY_CA}, (struct end){.raw = true}, TT_SERVER,
            TT_ALERT_UNSUPPORTED_CERTIFICATE);
    /* a client that shows a certificate to one who takes bare keys alone */
    refused(ca_only, (struct end){.certificate = true, .takes = {RAW}, .takes_len = 1, .trust = BY_PIN},
            TT_SERVER, TT_ALERT_UNSUPPORTED_CERTIFICATE);
}

static void resumed_and_compressed(void **state)
{
    (void)state;
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    struct pump p = start(raw_both, raw_both, TT_CLIENT_AUTH_REQUIRE);
    assert_int_equal(tt_tickets_new(&p.tickets, TEST_NOW * 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(p.tickets, &key, 1), TT_OK);
    p.tickets_count = 1;
    pump_start(&p);
    pump_run(&p);
    expect_connected(&p, RAW, RAW);
    struct tt_session *ticket = tt_conn_take_session(p.client);
    assert_non_null(ticket);
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct tt_session *s = NULL;
    assert_int_equal(tt_session_export(ticket, &bytes, &len), TT_OK);
    assert_int_equal(tt_session_import(&s, (struct tt_bytes){bytes, len}), TT_OK);
    tt_free(bytes);
    tt_session_free(ticket);
    tt_conn_free(p.client);
    tt_conn_free(p.server);
    const struct tt_conn_options co = {
        .server_name = "localhost", .now = TEST_NOW, .sessions = &s, .sessions_len = 1};
    assert_int_equal(tt_conn_new(&p.client, p.client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&p.server, p.server_cfg, &(struct tt_conn_options){.now = TEST_NOW}, NULL),
                     TT_OK);
    pump_run(&p);
    struct tt_conn_info c, sv;
    tt_conn_info(p.client, &c);
    tt_conn_info(p.server, &sv);
    assert_true(c.resumed && sv.resumed);
    assert_int_equal(c.peer_certificate_type, RAW);   /* who it was is still known */
    assert_int_equal(sv.local_certificate_type, RAW); /* named beside the PSK */
    assert_int_equal(sv.peer_certificate_type, RAW);
    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, test_key_spki(p.client_key).len);
    tt_session_free(s);
    tt_tickets_free(p.tickets);
    pump_free(&p);
}

static void post_auth_on(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    configure(p, client, server);
    assert_int_equal(tt_config_set_post_handshake_auth(client, true), TT_OK);
    assert_int_equal(tt_config_set_post_handshake_auth(server, true), TT_OK);
}

static void after_the_handshake(void **state)
{
    (void)state;
    struct pump p = start(raw_both, raw_both, TT_CLIENT_AUTH_NONE);
    p.server_asks_later = true;
    p.configure = post_auth_on;
    pump_start(&p);
    pump_run(&p);
    assert_true(tt_conn_is_connected(p.client));
    assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
    pump_run(&p);
    assert_false(tt_conn_certificate_requested(p.server));
    expect_connected(&p, RAW, RAW);
    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, test_key_spki(p.client_key).len);
    pump_free(&p);
}

/* ---- configurations that could never work ---- */

static void expect_unfreezable(struct tt_config *cfg, const char *word)
{
    struct tt_error err = {0};
    assert_int_equal(tt_config_freeze(cfg, &err), TT_ERR_USAGE);
    assert_non_null(strstr(err.text, word));
    tt_config_free(cfg);
}

static void configurations(void **state)
{
    (void)state;
    static const uint16_t raw = RAW, openpgp = 1;
    struct test_key *ca = test_key_new("P-256", &(struct test_cert){.cn = "CA"});
    struct test_key *a = test_key_new("P-256", &(struct test_cert){.cn = "a", .issuer = ca});
    struct tt_config *cfg = NULL;
    struct tt_trust *trust = NULL;
    assert_int_equal(tt_trust_new(&trust, NULL), TT_OK);
    assert_int_equal(tt_trust_add_der(trust, (struct tt_bytes){ca->cert, ca->cert_len}, NULL), TT_OK);

    /* "The OpenPGP certificate type MUST NOT be used with TLS 1.3." (section 4.5.1) */
    assert_int_equal(tt_config_new(&cfg, TT_CLIENT, NULL), TT_OK);
    assert_int_equal(tt_config_set_peer_certificate_types(cfg, &openpgp, 1), TT_ERR_UNSUPPORTED);
    assert_int_equal(tt_config_set_peer_certificate_types(cfg, &raw, 1), TT_OK);
    assert_int_equal(tt_config_set_trust(cfg, trust), TT_OK);
    expect_unfreezable(cfg, "pins");

    assert_int_equal(tt_config_new(&cfg, TT_CLIENT, NULL), TT_OK);
    assert_int_equal(tt_config_set_peer_certificate_types(cfg, &raw, 1), TT_OK);
    assert_int_equal(tt_config_insecure_accept_any_certificate(cfg), TT_OK);
    assert_int_equal(tt_config_set_ocsp(cfg, TT_OCSP_REQUIRE), TT_OK);
    expect_unfreezable(cfg, "OCSP");

    const struct tt_bytes chain = {a->cert, a->cert_len};
    struct tt_identity id = {.chain = &chain,
                             .chain_len = 1,
                             .key = a,
                             .schemes = &a->scheme,
                             .schemes_len = 1,
                             .raw_public_key = test_key_spki(ca)};
    assert_int_equal(tt_config_new(&cfg, TT_SERVER, NULL), TT_OK);
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_OK);
    expect_unfreezable(cfg, "not the one in its certificate");

    id.chain_len = 0;
    id.raw_public_key = (struct tt_bytes){a->cert, a->cert_len};
    assert_int_equal(tt_config_new(&cfg, TT_SERVER, NULL), TT_OK);
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_OK);
    expect_unfreezable(cfg, "cannot be read");

    static const uint16_t rsa = TT_SCHEME_RSA_PSS_RSAE_SHA256;
    id.raw_public_key = test_key_spki(a);
    id.schemes = &rsa;
    assert_int_equal(tt_config_new(&cfg, TT_SERVER, NULL), TT_OK);
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_OK);
    expect_unfreezable(cfg, "cannot sign");

    id.raw_public_key.len = 0;
    assert_int_equal(tt_config_new(&cfg, TT_SERVER, NULL), TT_OK);
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_ERR_USAGE);
    tt_config_free(cfg);
    tt_trust_free(trust);
    test_key_free(a);
    test_key_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends),
        cmocka_unit_test(who_chooses),
        cmocka_unit_test(whom_not),
        cmocka_unit_test(resumed_and_compressed),
        cmocka_unit_test(after_the_handshake),
        cmocka_unit_test(configurations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
