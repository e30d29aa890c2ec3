/* tests/tls/test_resume_scope.c: where a ticket does not count: another listener, another set of CAs, another
 * name or protocol, a revoked or expired client, too long after the full handshake, a clock that is wrong,
 * 0-RTT with somebody else's ticket; and each bit of a binder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/x509.h>
#include <string.h>

#include "support/pump.h"
#include "pair.h"
#include "support/range.h"
#include "support/testca.h"
#include "tls/conn.h"
#include "tls/session.h"
#include "tpmtls/key.h"

#define DAY_S   86400
#define LISTEN  ((struct tt_bytes){(const uint8_t *)"listener 1", 10})
#define LISTEN2 ((struct tt_bytes){(const uint8_t *)"listener 2", 10})

static const struct tt_ticket_key ticket_key = {.name = {1}, .key = {1, 2, 3}};

/* struct setting: the server of the second connection, where it differs from that of the first. */
struct setting {
    struct tt_bytes scope;
    uint16_t suite;
    const char *alpn, *name; /* "mqtt", "localhost" */
    bool other_ca_too, revoked;
    int64_t later_s; /* of both ends */
    int64_t server_off_s;
    enum tt_client_auth auth;
    bool early;
    struct tt_tickets *tickets; /* NULL: the same */
};

static struct tt_tickets *tickets_new(void)
{
    struct tt_tickets *t = NULL;
    assert_int_equal(tt_tickets_new(&t, NOW_MS - 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(t, &ticket_key, 1), TT_OK);
    return t;
}

static void scope_one(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)client;
    if (p->tickets != NULL)
        assert_int_equal(tt_config_set_tickets(server, p->tickets, 2, 604800, LISTEN), TT_OK);
}

static void scope_one_and_any_server(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    scope_one(p, client, server);
    assert_int_equal(tt_config_insecure_accept_any_certificate(client), TT_OK);
}

static struct tt_session *first_connection(struct pump *p, struct tt_tickets *t)
{
    p->tickets = t;
    p->tickets_count = 2;
    p->client_auth = TT_CLIENT_AUTH_REQUIRE;
    p->client_has_identity = true;
    p->alpn_client = p->alpn_server = "mqtt";
    if (p->configure == NULL)
        p->configure = scope_one;
    pump_start(p);
    pump_run(p);
    struct tt_session *s = tt_conn_take_session(p->client);
    assert_non_null(s);
    return s;
}

static struct tt_trust *trust_of(struct pump *p, const struct setting *set)
{
    struct tt_trust *trust = NULL;
    assert_int_equal(tt_trust_new(&trust, NULL), TT_OK);
    struct test_key *other =
        set->other_ca_too ? test_key_new("P-256", &(struct test_cert){.cn = "Other CA"}) : NULL;
    if (other != NULL)
        assert_int_equal(tt_trust_add_der(trust, (struct tt_bytes){other->cert, other->cert_len}, NULL),
                         TT_OK);
    assert_int_equal(tt_trust_add_der(trust, (struct tt_bytes){p->ca->cert, p->ca->cert_len}, NULL), TT_OK);
    test_key_free(other);
    if (set->revoked) {
        const uint8_t *ca_der = p->ca->cert, *client_der = p->client_key->cert;
        struct node ca = {.pkey = p->ca->pkey, .x509 = d2i_X509(NULL, &ca_der, (long)p->ca->cert_len)};
        struct node client = {.x509 = d2i_X509(NULL, &client_der, (long)p->client_key->cert_len)};
        struct tt_bytes crl = crl_new(&(struct crl_options){.issuer = &ca, .revoked = &client});
        assert_int_equal(tt_trust_add_crl(trust, crl, NULL), TT_OK);
        der_free(crl);
        X509_free(ca.x509);
        X509_free(client.x509);
    }
    return trust;
}

/* The server's configuration for the second connection. */
static struct tt_config *second_config(struct pump *p, const struct setting *set)
{
    struct tt_config *cfg = NULL;
    struct tt_error err = {0};
    struct tt_trust *trust = trust_of(p, set);
    const struct tt_bytes chain = {p->server_key->cert, p->server_key->cert_len},
                          alpn[] = {{(const uint8_t *)"mqtt", 4}, {(const uint8_t *)"h2", 2}};
    const struct tt_identity id = {&chain, 1, p->server_key, &p->server_key->scheme, 1};
    const struct tt_bytes scope = set->scope.len > 0 ? set->scope : LISTEN;
    assert_int_equal(tt_config_new(&cfg, TT_SERVER, &err), TT_OK);
    assert_int_equal(tt_config_add_identity(cfg, &id, &err), TT_OK);
    assert_int_equal(tt_config_set_trust(cfg, trust), TT_OK);
    assert_int_equal(tt_config_set_client_auth(cfg, set->auth != 0 ? set->auth : TT_CLIENT_AUTH_REQUIRE),
                     TT_OK);
    assert_int_equal(tt_config_set_alpn(cfg, alpn, 2), TT_OK);
    if (set->suite != 0)
        assert_int_equal(tt_config_set_suites(cfg, &set->suite, 1), TT_OK);
    assert_int_equal(
        tt_config_set_tickets(cfg, set->tickets != NULL ? set->tickets : p->tickets, 2, 604800, scope),
        TT_OK);
    assert_int_equal(tt_config_set_max_early_data(cfg, p->max_early_data), TT_OK);
    assert_int_equal(tt_config_freeze(cfg, &err), TT_OK);
    tt_trust_free(trust);
    return cfg;
}

static struct tt_config *client_with_alpn(struct pump *p, const char *alpn)
{
    struct tt_config *cfg = NULL;
    struct tt_trust *trust = trust_of(p, &(struct setting){0});
    const struct tt_bytes chain = {p->client_key->cert, p->client_key->cert_len},
                          name = {(const uint8_t *)alpn, strlen(alpn)};
    const struct tt_identity id = {&chain, 1, p->client_key, &p->client_key->scheme, 1};
    assert_int_equal(tt_config_new(&cfg, TT_CLIENT, NULL), TT_OK);
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_OK);
    assert_int_equal(tt_config_set_trust(cfg, trust), TT_OK);
    static const uint16_t groups[] = {TT_GROUP_X25519, TT_GROUP_SECP256R1, TT_GROUP_SECP384R1}; /* pump's */
    assert_int_equal(tt_config_set_alpn(cfg, &name, 1), TT_OK);
    assert_int_equal(tt_config_set_groups(cfg, groups, 3), TT_OK);
    assert_int_equal(tt_config_freeze(cfg, NULL), TT_OK);
    tt_trust_free(trust);
    return cfg;
}

/* New connections with the session; not run. */
static void second_start(struct pump *p, struct tt_session *s, const struct setting *set)
{
    struct tt_config *server = second_config(p, set);
    struct tt_config *client =
        set->alpn != NULL ? client_with_alpn(p, set->alpn) : tt_config_ref(p->client_cfg);
    tt_conn_free(p->client);
    tt_conn_free(p->server);
    const struct tt_conn_options co = {.server_name = set->name != NULL ? set->name : "localhost",
                                       .now = TEST_NOW + set->later_s,
                                       .sessions = &s,
                                       .sessions_len = 1,
                                       .early_data = set->early};
    assert_int_equal(tt_conn_new(&p->client, client, &co, NULL), TT_OK);
    assert_int_equal(
        tt_conn_new(&p->server, server,
                    &(struct tt_conn_options){.now = TEST_NOW + set->later_s + set->server_off_s}, NULL),
        TT_OK);
    tt_config_free(server);
    tt_config_free(client);
}

static bool second(struct pump *p, struct tt_session *s, const struct setting *set)
{
    struct tt_conn_info at_client, at_server;
    second_start(p, s, set);
    pump_run(p);
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server))
        fail_msg("client: %s; server: %s", tt_conn_error(p->client)->error.text,
                 tt_conn_error(p->server)->error.text);
    tt_conn_info(p->client, &at_client);
    tt_conn_info(p->server, &at_server);
    assert_int_equal(at_client.resumed, at_server.resumed);
    assert_int_equal(at_server.peer_chain_len, 1); /* known, either way */
    return at_server.resumed;
}

static void test_scope(void **state)
{
    (void)state;
    struct pump p = {0};
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t);
    assert_true(second(&p, s, &(struct setting){0}));
    assert_true(second(&p, s, &(struct setting){.suite = TT_SUITE_CHACHA20_POLY1305_SHA256}));
    assert_false(second(&p, s, &(struct setting){.suite = TT_SUITE_AES_256_GCM_SHA384})); /* the wrong hash */
    assert_false(second(&p, s, &(struct setting){.scope = LISTEN2}));
    assert_false(second(&p, s, &(struct setting){.other_ca_too = true}));
    assert_false(second(&p, s, &(struct setting){.auth = TT_CLIENT_AUTH_REQUEST}));
    assert_false(second(&p, s, &(struct setting){.alpn = "h2"}));
    assert_true(second(&p, s, &(struct setting){.alpn = "mqtt"})); /* a configuration that is the same */
    /* a server whose clock is behind, or far ahead */
    assert_false(second(&p, s, &(struct setting){.server_off_s = -100}));
    assert_false(second(&p, s, &(struct setting){.server_off_s = 8 * DAY_S}));
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

/* Another name than the ticket's, of the same server: the certificate has it as well. */
static void test_another_name(void **state)
{
    (void)state;
    struct pump p = {0};
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t);
    second_start(&p, s, &(struct setting){.name = "elsewhere.example"});
    pump_run(&p);
    struct tt_conn_info info;
    tt_conn_info(p.server, &info);
    assert_false(info.resumed);
    assert_int_equal(tt_conn_error(p.client)->error.rc, TT_ERR_VERIFY);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_revoked_and_expired(void **state)
{
    (void)state;
    struct pump p = {.configure = scope_one_and_any_server}; /* a client that looks at nothing */
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t);
    second_start(&p, s, &(struct setting){.revoked = true});
    pump_run(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_CERTIFICATE_REVOKED);
    /* The client's certificate ends in 30 days. */
    struct tt_session_info info;
    tt_session_info(s, &info);
    assert_int_equal(info.lifetime, 604800);
    s->lifetime = 604800;
    s->received_ms += 30 * (int64_t)DAY_S * 1000;
    struct auth a = session_auth(s);
    a.authenticated_ms = s->received_ms;
    a.until = INT64_MAX;
    session_set_auth(s, &a);
    second_start(&p, s, &(struct setting){.later_s = 30 * DAY_S + 10});
    pump_run(&p);
    struct tt_conn_info at_server;
    tt_conn_info(p.server, &at_server);
    assert_false(at_server.resumed);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_seven_days_in_all(void **state)
{
    (void)state;
    struct pump p = {0};
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t), *later;
    assert_true(second(&p, s, &(struct setting){.later_s = 6 * DAY_S}));
    later = tt_conn_take_session(p.client); /* six days old at birth */
    assert_non_null(later);
    assert_true(second(&p, later, &(struct setting){.later_s = 7 * DAY_S - 10}));
    /* The client does not offer it any more, and a server does not take it. */
    assert_false(second(&p, later, &(struct setting){.later_s = 7 * DAY_S + 10}));
    struct auth a = session_auth(later);
    a.authenticated_ms = later->received_ms;
    session_set_auth(later, &a);
    assert_false(second(&p, later, &(struct setting){.later_s = 7 * DAY_S + 10}));
    tt_session_free(later);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

/* A session that would outlive the server's certificate ends with it. */
static void test_ends_with_the_servers_certificate(void **state)
{
    (void)state;
    struct pump p = {0};
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t);
    assert_true(second(&p, s, &(struct setting){.later_s = 0}));
    struct tt_session *later = tt_conn_take_session(p.client);
    struct auth a = session_auth(later);
    assert_int_equal(a.until, session_auth(s).until);
    assert_int_equal(a.until, TEST_NOW + 30 * DAY_S);
    a.until = TEST_NOW + 100;
    session_set_auth(later, &a);
    assert_true(second(&p, later, &(struct setting){.later_s = 50}));
    struct tt_session *last = tt_conn_take_session(p.client);
    assert_int_equal(last->lifetime, 50);
    assert_false(second(&p, later, &(struct setting){.later_s = 101}));
    tt_session_free(last);
    tt_session_free(later);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_each_binder_bit(void **state)
{
    (void)state;
    struct pump p = {.suite = TT_SUITE_AES_128_GCM_SHA256};
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t);
    second_start(&p, s, &(struct setting){0});
    struct tt_bytes hello = tt_conn_output(p.client);
    uint8_t copy[4096];
    assert_between(hello.len, 100, sizeof copy);
    for (size_t bit = 0; bit <= 256; bit++) { /* 256: none is flipped */
        struct tt_config *cfg = second_config(&p, &(struct setting){0});
        struct tt_conn *server = NULL;
        size_t n = 0;
        memcpy(copy, hello.data, hello.len);
        if (bit < 256)
            copy[hello.len - 1 - bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(tt_conn_new(&server, cfg, &(struct tt_conn_options){.now = TEST_NOW}, NULL), TT_OK);
        assert_int_equal(tt_conn_feed(server, copy, hello.len, &n), bit < 256 ? TT_ERR_PROTOCOL : TT_OK);
        assert_int_equal(tt_conn_error(server)->alert_sent,
                         bit < 256 ? TT_ALERT_DECRYPT_ERROR : TT_ALERT_NONE);
        tt_conn_free(server);
        tt_config_free(cfg);
    }
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static enum tt_early early_with(struct pump *p, struct tt_session *s, const struct setting *set)
{
    struct setting early = *set;
    size_t n = 0;
    early.early = true;
    second_start(p, s, &early);
    assert_int_equal(tt_conn_write_early(p->client, (const uint8_t *)"early", 5, &n), TT_OK);
    assert_int_equal(n, 5);
    pump_run(p);
    struct tt_bytes got = tt_conn_early_plaintext(p->server);
    enum tt_early at_server = tt_conn_early_status(p->server);
    assert_int_equal(got.len, at_server == TT_EARLY_ACCEPTED ? 5 : 0);
    assert_int_equal(tt_conn_early_plaintext_done(p->server, got.len), got.len > 0 ? TT_OK : TT_ERR_USAGE);
    pump_run(p);
    assert_true(tt_conn_is_connected(p->client));
    assert_true(tt_conn_is_connected(p->server));
    assert_int_equal(tt_conn_early_status(p->client), at_server);
    return at_server;
}

/* The register of what was used is in the memory of one server: after a restart, or elsewhere in a fleet that
 * shares the keys, nobody knows. Such tickets resume, without 0-RTT. */
static void test_early_data_only_where_the_ticket_was_issued(void **state)
{
    (void)state;
    struct pump p = {.max_early_data = 1000};
    struct tt_tickets *t = tickets_new(), *restarted = tickets_new();
    struct tt_session *s = first_connection(&p, t), *s2 = tt_conn_take_session(p.client);
    assert_int_equal(early_with(&p, s, &(struct setting){0}), TT_EARLY_ACCEPTED);
    assert_int_equal(early_with(&p, s2, &(struct setting){.tickets = restarted}), TT_EARLY_REJECTED);
    struct tt_conn_info info;
    tt_conn_info(p.server, &info);
    assert_true(info.resumed);
    /* The client's word about the ticket's age is off by more than clocks and networks are. */
    s2->received_ms += 11000;
    assert_int_equal(early_with(&p, s2, &(struct setting){.later_s = 20}), TT_EARLY_REJECTED);
    s2->received_ms -= 11000;
    assert_int_equal(early_with(&p, s2, &(struct setting){.later_s = 20}), TT_EARLY_ACCEPTED);
    assert_int_equal(tt_tickets_sealed(restarted), 2);
    tt_session_free(s);
    tt_session_free(s2);
    tt_tickets_free(t);
    tt_tickets_free(restarted);
    pump_free(&p);
}

static void test_refuse_tickets(void **state)
{
    (void)state;
    static const uint8_t zeros[sizeof(struct ks_secret)];
    struct pump p = {0};
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t);
    assert_int_equal(tt_conn_refuse_tickets(p.server), TT_ERR_USAGE);
    assert_int_equal(tt_conn_refuse_tickets(p.client), TT_OK);
    assert_memory_equal(&p.client->resumption_secret, zeros, sizeof zeros);
    tt_session_free(tt_conn_take_session(p.client)); /* the second one of the handshake */
    assert_int_equal(tt_conn_send_ticket(p.server), TT_OK);
    pump_run(&p);
    assert_null(tt_conn_take_session(p.client));
    pump_echo(&p, p.client, p.server, 100);
    second_start(&p, s, &(struct setting){0});
    assert_int_equal(tt_conn_refuse_tickets(p.client), TT_ERR_USAGE);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

/* A ticket that follows from an external PSK counts from that handshake on. */
static void test_ticket_after_external_psk(void **state)
{
    (void)state;
    static const uint8_t key[32] = {9};
    struct pump p = {.suite = TT_SUITE_AES_128_GCM_SHA256, .tickets_count = 1};
    struct tt_session *psk = NULL, *s;
    p.tickets = tickets_new();
    assert_int_equal(tt_session_new_external(&psk, (struct tt_bytes){(const uint8_t *)"device-1", 8},
                                             (struct tt_bytes){key, sizeof key}, false, NULL),
                     TT_OK);
    p.external_psk = psk;
    struct tt_tickets *t = p.tickets;
    pump_configs(&p);
    for (int round = 0; round < 3; round++) {
        s = round == 0 ? NULL : tt_conn_take_session(p.client);
        assert_true(round == 0 || s != NULL);
        struct tt_session *const offered[] = {s != NULL ? s : psk, psk};
        tt_conn_free(p.client);
        tt_conn_free(p.server);
        const struct tt_conn_options co = {
            .server_name = "localhost", .now = TEST_NOW + round, .sessions = offered, .sessions_len = 2};
        assert_int_equal(tt_conn_new(&p.client, p.client_cfg, &co, NULL), TT_OK);
        assert_int_equal(
            tt_conn_new(&p.server, p.server_cfg, &(struct tt_conn_options){.now = TEST_NOW + round}, NULL),
            TT_OK);
        p.sign = SIGN_NEVER;
        pump_run(&p);
        assert_true(tt_conn_is_connected(p.client));
        tt_session_free(s);
    }
    tt_session_free(psk);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_fingerprint(void **state)
{
    (void)state;
    struct pump p = {0};
    uint8_t a[32], b[32];
    struct tt_tickets *t = tickets_new();
    struct tt_session *s = first_connection(&p, t);
    struct tt_config *same = client_with_alpn(&p, "mqtt"), *again = client_with_alpn(&p, "mqtt"),
                     *other = client_with_alpn(&p, "h2"), *unfrozen = NULL;
    assert_int_equal(tt_config_fingerprint(same, a), TT_OK);
    assert_int_equal(tt_config_fingerprint(again, b), TT_OK);
    assert_memory_equal(a, b, 32);
    assert_int_equal(tt_config_fingerprint(other, b), TT_OK);
    assert_memory_not_equal(a, b, 32);
    assert_int_equal(tt_config_new(&unfrozen, TT_CLIENT, NULL), TT_OK);
    assert_int_equal(tt_config_fingerprint(unfrozen, b), TT_ERR_USAGE);
    struct tt_config *const all[] = {same, again, other, unfrozen};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        tt_config_free(all[i]);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scope),
        cmocka_unit_test(test_another_name),
        cmocka_unit_test(test_revoked_and_expired),
        cmocka_unit_test(test_seven_days_in_all),
        cmocka_unit_test(test_ends_with_the_servers_certificate),
        cmocka_unit_test(test_each_binder_bit),
        cmocka_unit_test(test_early_data_only_where_the_ticket_was_issued),
        cmocka_unit_test(test_refuse_tickets),
        cmocka_unit_test(test_ticket_after_external_psk),
        cmocka_unit_test(test_fingerprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
