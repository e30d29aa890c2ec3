/* tests/tls/pair.c: see pair.h. */
#include "pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/pump.h"

static const uint16_t p256 = TT_SCHEME_ECDSA_SECP256R1_SHA256;
static struct test_key signers[16]; /* of those who show a certificate */
static size_t signers_len;

static void add_identity(struct tt_config *cfg, const struct pair_config *o)
{
    struct tt_bytes chain[4];
    size_t n = 0;
    while (n < 4 && o->chain[n] != NULL) {
        chain[n] = o->chain[n]->cert;
        n++;
    }
    struct test_key *key = &signers[signers_len++ % TT_COUNT(signers)];
    *key = (struct test_key){.pkey = (o->signer != NULL ? o->signer : o->chain[0])->pkey, .scheme = p256};
    const struct tt_identity id = {.chain = chain,
                                   .chain_len = n,
                                   .key = key,
                                   .schemes = &p256,
                                   .schemes_len = 1,
                                   .ocsp_response = o->ocsp};
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_OK);
}

static void add_trust(struct tt_config *cfg, const struct pair_config *o)
{
    struct tt_trust *trust = NULL;
    assert_int_equal(tt_trust_new(&trust, NULL), TT_OK);
    for (size_t i = 0; i < TT_COUNT(o->anchors) && o->anchors[i] != NULL; i++)
        node_anchor(trust, o->anchors[i]);
    if (o->crl.len > 0)
        assert_int_equal(tt_trust_add_crl(trust, o->crl, NULL), TT_OK);
    assert_int_equal(tt_config_set_trust(cfg, trust), TT_OK);
    tt_trust_free(trust);
}

struct tt_config *pair_config_new(const struct pair_config *o)
{
    struct tt_config *cfg = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_config_new(&cfg, o->role, NULL), TT_OK);
    if (o->chain[0] != NULL)
        add_identity(cfg, o);
    if (o->anchors[0] != NULL &&
        (o->role == TT_CLIENT || o->client_auth != TT_CLIENT_AUTH_NONE || o->post_auth))
        add_trust(cfg, o);
    if (o->accept_any)
        assert_int_equal(tt_config_insecure_accept_any_certificate(cfg), TT_OK);
    if (o->require_ocsp)
        assert_int_equal(tt_config_set_ocsp(cfg, TT_OCSP_REQUIRE), TT_OK);
    if (o->client_auth != TT_CLIENT_AUTH_NONE)
        assert_int_equal(tt_config_set_client_auth(cfg, o->client_auth), TT_OK);
    if (o->verify_scheme != 0)
        assert_int_equal(tt_config_set_verify_schemes(cfg, &o->verify_scheme, 1), TT_OK);
    if (o->record_size_limit != 0)
        assert_int_equal(tt_config_set_record_size_limit(cfg, o->record_size_limit), TT_OK);
    if (o->tickets != NULL)
        assert_int_equal(tt_config_set_tickets(cfg, o->tickets, 2, PAIR_LIFETIME, BYTES_OF("here")), TT_OK);
    if (o->psk != NULL)
        assert_int_equal(tt_config_add_psk(cfg, o->psk), TT_OK);
    if (o->max_early_data != 0)
        assert_int_equal(tt_config_set_max_early_data(cfg, o->max_early_data), TT_OK);
    assert_int_equal(tt_config_set_psk_policy(cfg, o->policy), TT_OK);
    assert_int_equal(tt_config_set_post_handshake_auth(cfg, o->post_auth), TT_OK);
    if (tt_config_freeze(cfg, &err) != TT_OK)
        fail_msg("freeze: %s", err.text);
    return cfg;
}

struct tt_tickets *pair_tickets(void)
{
    static const struct tt_ticket_key key = {.name = {1}, .key = {1, 2, 3}};
    struct tt_tickets *t = NULL;
    assert_int_equal(tt_tickets_new(&t, NOW_MS - 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(t, &key, 1), TT_OK);
    return t;
}

struct pair pair_start(const struct pair_options *o)
{
    struct pair p = {0};
    struct tt_error err = {0};
    size_t n = 0;
    while (n < TT_COUNT(o->sessions) && o->sessions[n] != NULL)
        n++;
    const struct tt_conn_options client = {.server_name = "host.example",
                                           .now_ms = NOW_MS + o->later_ms,
                                           .sessions = o->sessions,
                                           .sessions_len = n,
                                           .early_data = o->early},
                                 server = {.now_ms = NOW_MS + o->later_ms};
    if (tt_conn_new(&p.client, o->client, &client, &err) != TT_OK ||
        tt_conn_new(&p.server, o->server, &server, &err) != TT_OK)
        fail_msg("connection: %s", err.text);
    if (o->early && tt_conn_write_early(p.client, (const uint8_t *)"early data", 10, &p.early_len) != TT_OK)
        p.early_len = 0; /* what the connection does then is for the test to judge */
    return p;
}

void pair_run(struct pair *p)
{
    struct pump pump = {.client = p->client, .server = p->server};
    pump_run(&pump);
}

void pair_free(struct pair *p)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
}

bool pair_connected(const struct pair *p)
{
    return tt_conn_is_connected(p->client) && tt_conn_is_connected(p->server);
}

struct tt_session *pair_session(const struct pair_options *o)
{
    struct pair p = pair_start(o);
    pair_run(&p);
    if (!pair_connected(&p))
        fail_msg("client: %s; server: %s", tt_conn_error(p.client)->error.text,
                 tt_conn_error(p.server)->error.text);
    struct tt_session *s = tt_conn_take_session(p.client);
    assert_non_null(s);
    pair_free(&p);
    return s;
}

bool pair_resumes(const struct pair_options *o, char ret_error[256])
{
    struct pair p = pair_start(o);
    struct tt_conn_info client, server;
    pair_run(&p);
    (void)snprintf(ret_error, 256, "%.255s", tt_conn_error(p.client)->error.text);
    tt_conn_info(p.client, &client);
    tt_conn_info(p.server, &server);
    assert_int_equal(client.resumed, server.resumed);
    bool resumed = pair_connected(&p) && client.resumed;
    pair_free(&p);
    return resumed;
}

struct tt_session *pair_psk(uint8_t key)
{
    const uint8_t bytes[32] = {key};
    struct tt_session *s = NULL;
    assert_int_equal(tt_session_new_external(&s, BYTES_OF("device-1"), (struct tt_bytes){bytes, sizeof bytes},
                                             false, NULL),
                     TT_OK);
    return s;
}

struct auth session_auth(const struct tt_session *s)
{
    struct reader r = reader_of(buf_bytes(&s->auth));
    struct auth a = auth_read(&r);
    assert_int_equal(rd_done(&r), TT_OK);
    return a;
}

void session_set_auth(struct tt_session *s, const struct auth *a)
{
    struct buf other = {0};
    struct writer w = writer_to(&other);
    auth_put(&w, a);
    assert_int_equal(wr_status(&w), TT_OK);
    buf_free(&s->auth);
    s->auth = other;
}
