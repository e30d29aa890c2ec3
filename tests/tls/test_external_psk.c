/* tests/tls/test_external_psk.c: external PSKs: the importer of RFC 9258, held ones at either end, and beside
 * certificates (RFC 8773), with the alerts of what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/hmac.h>
#include <string.h>

#include "support/pump.h"
#include "tls/edit.h"
#include "tls/session.h"
#include "tpmtls/key.h"

static struct tt_bytes text(const char *s)
{
    return (struct tt_bytes){(const uint8_t *)s, strlen(s)};
}

static struct tt_bytes epsk(void)
{
    static uint8_t key[32];
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    return (struct tt_bytes){key, sizeof key};
}

static struct tt_session *import_psk(const char *context, bool sha384)
{
    struct tt_session *s = NULL;
    const struct tt_psk_import what = {text("device-1"), text(context), epsk(), sha384};
    assert_int_equal(tt_session_new_imported(&s, &what, NULL), TT_OK);
    return s;
}

static struct tt_session *plain_psk(const char *identity, bool sha384)
{
    struct tt_session *s = NULL;
    assert_int_equal(tt_session_new_external(&s, text(identity), epsk(), sha384, NULL), TT_OK);
    return s;
}

/* ---- the importer ---- */

/* Computed by scripts/gen-psk-import, with Python's hmac. */
static void test_import_against_a_second_implementation(void **state)
{
    (void)state;
    static const struct {
        bool sha384;
        const char *identity, *ipsk, *finished_key;
    } known[] = {
        {false, "00086465766963652d31000a746573742062656e636803040001",
         "92648f3aa4a66aa7547dd85dc9a90ba629620c9a0096e4fee7a7ac60c7e08fea",
         "b2f1b1deddb42ab2e88a239aae65095f8b02ed2c933c85ab0a3a572316c7e3d2"},
        {true, "00086465766963652d31000a746573742062656e636803040002",
         "98c5b38a52fc53a93ef97487a8c3353a8c7a333499f7e96b3dfdbea392c04135af6598e05847036e9af287644e778dcb",
         "92418f4697194b09a3bac778304a11a0583a0efffead492e555fd18b5ed3590f9bdd7090f81540b4dcdabbf2acd1e74e"}};
    for (size_t i = 0; i < TT_COUNT(known); i++) {
        uint8_t bytes[100];
        struct ks_secret k1, k2;
        struct crypto_lib *lib = NULL;
        struct tt_session *s = import_psk("test bench", known[i].sha384);
        size_t n = hex_bytes(bytes, sizeof bytes, known[i].identity);
        assert_int_equal(buf_size(&s->identity), n);
        assert_memory_equal(buf_front(&s->identity), bytes, n);
        n = hex_bytes(bytes, sizeof bytes, known[i].ipsk);
        assert_int_equal(s->psk.len, n);
        assert_memory_equal(s->psk.key, bytes, n);
        assert_int_equal(crypto_lib_new(&lib, NULL), TT_OK);
        assert_int_equal(psk_split(lib, &s->psk, &k1, &k2), TT_OK);
        (void)hex_bytes(bytes, sizeof bytes, known[i].finished_key);
        assert_memory_equal(k1.data, bytes, n);
        crypto_lib_free(lib);
        tt_session_free(s);
    }
}

/* The same for a key whose own hash is SHA-384. */
static void test_import_with_another_hash(void **state)
{
    (void)state;
    static const char *const known[] = {
        "b81c0e53d046a80580e91f3881954e3f79d9cb48fca0131bc1dfc502ddb8fc5f",
        "4a580d661e2a10673878ef0b6eaa6aa70c67fb38953eef5f7009f5e552ef02a80eefca27e1cb3e8bd2b899510fbb2ce6"};
    for (size_t i = 0; i < TT_COUNT(known); i++) {
        uint8_t psk[48];
        struct tt_session *s = NULL;
        const struct tt_psk_import what = {text("device-1"), text("client->server"), epsk(), .sha384 = i == 1,
                                           .key_sha384 = true};
        assert_int_equal(tt_session_new_imported(&s, &what, NULL), TT_OK);
        size_t n = hex_bytes(psk, sizeof psk, known[i]);
        assert_int_equal(s->psk.len, n);
        assert_memory_equal(s->psk.key, psk, n);
        tt_session_free(s);
    }
}

static void test_what_is_not_imported(void **state)
{
    (void)state;
    static const uint8_t long_bytes[1025];
    struct tt_session *s = NULL;
    const struct tt_psk_import good = {text("device-1"), text(""), epsk(), false};
    struct tt_psk_import bad[5] = {good, good, good, good, good};
    bad[0].identity.len = 0;
    bad[1].identity = (struct tt_bytes){long_bytes, sizeof long_bytes};
    bad[2].context = bad[1].identity;
    bad[3].key.len = 15; /* RFC 9257: "MUST be at least 128 bits long" */
    bad[4].key = (struct tt_bytes){long_bytes, 257};
    for (size_t i = 0; i < TT_COUNT(bad); i++)
        assert_int_equal(tt_session_new_imported(&s, &bad[i], NULL), TT_ERR_USAGE);
    assert_int_equal(tt_session_new_external(&s, text("x"), (struct tt_bytes){long_bytes, 15}, false, NULL),
                     TT_ERR_USAGE);
    assert_null(s);
    /* stored and read again it stays what it is */
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct tt_session_info info;
    struct tt_session *stored = NULL;
    s = import_psk("x", false);
    assert_int_equal(tt_session_export(s, &bytes, &len), TT_OK);
    assert_int_equal(tt_session_import(&stored, (struct tt_bytes){bytes, len}), TT_OK);
    tt_session_info(stored, &info);
    assert_true(info.imported && info.external && !info.held);
    tt_free(bytes);
    tt_session_free(stored);
    char *pem = NULL;
    enum tt_role role = TT_CLIENT;
    assert_int_equal(tt_psk_to_pem(&pem, s, TT_SERVER), TT_OK);
    assert_int_equal(tt_psk_from_pem(&stored, &role, text(pem)), TT_OK);
    assert_int_equal(role, TT_SERVER);
    tt_session_info(stored, &info);
    struct tt_bytes external, context;
    assert_int_equal(tt_psk_identity_read(info.identity, &external, &context), TT_OK);
    assert_memory_equal(external.data, "device-1", 8);
    assert_true(context.len == 1 && context.data[0] == 'x');
    assert_int_equal(tt_psk_identity_read(external, &external, &context), TT_ERR_DECODE);
    tt_session_free(stored);
    assert_int_equal(tt_psk_from_pem(&stored, &role, text("no block")), TT_ERR_DECODE);
    pem[40] = '!';
    assert_int_equal(tt_psk_from_pem(&stored, &role, text(pem)), TT_ERR_DECODE);
    tt_free(pem);
    tt_session_free(s);
}

/* ---- handshakes ---- */

/* struct holder: a stand-in for the TPM of one end, and a record of what it was asked. */
struct holder {
    uint8_t k1[32], k2[32];
    uint8_t asked[16][96];
    size_t asked_len[16], n;
    bool fails;
};

/* struct ends: what each end has; an end whose holder is not NULL holds it there. */
struct ends {
    struct tt_session *client[2], *server[2];
    struct holder *client_holder, *server_holder;
    bool client_demands, server_demands;   /* TT_PSK_WITH_CERTIFICATE */
    bool client_requires, server_requires; /* TT_PSK_REQUIRE */
};
static struct ends *ends;
static struct tt_session *in_use[4];

static struct tt_session *use(struct tt_session *s, struct holder *h)
{
    struct tt_session *held = NULL;
    if (s == NULL || h == NULL)
        return s == NULL ? NULL : session_ref(s);
    assert_int_equal(tt_session_hold(&held, s, h, h->k1, h->k2, NULL), TT_OK);
    return held;
}

static void set_up(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    for (size_t i = 0; i < 2; i++) {
        in_use[i] = use(ends->client[i], ends->client_holder);
        in_use[2 + i] = use(ends->server[i], ends->server_holder);
        if (in_use[2 + i] != NULL)
            assert_int_equal(tt_config_add_psk(server, in_use[2 + i]), TT_OK);
    }
    assert_int_equal(tt_config_set_psk_policy(client, ends->client_demands    ? TT_PSK_WITH_CERTIFICATE
                                                      : ends->client_requires ? TT_PSK_REQUIRE
                                                                              : TT_PSK_OPTIONAL),
                     TT_OK);
    assert_int_equal(tt_config_set_psk_policy(server, ends->server_demands    ? TT_PSK_WITH_CERTIFICATE
                                                      : ends->server_requires ? TT_PSK_REQUIRE
                                                                              : TT_PSK_OPTIONAL),
                     TT_OK);
}

static void answer(struct tt_conn *c)
{
    struct tt_psk_request req;
    assert_int_equal(tt_conn_wants(c) & TT_WANT_INPUT, 0);
    assert_int_equal(tt_conn_psk_request(c, &req), TT_OK);
    struct holder *h = req.key;
    assert_true(h->n < TT_COUNT(h->asked));
    memcpy(h->asked[h->n], req.input.data, req.input.len);
    h->asked_len[h->n++] = req.input.len;
    if (h->fails) {
        const struct tt_error why = {.rc = TT_ERR_TPM, .text = "no such key"};
        assert_int_equal(tt_conn_psk_fail(c, req.id, &why), TT_ERR_TPM);
        return;
    }
    uint8_t out[32];
    const uint8_t *key = req.operation == TT_PSK_BINDER ? h->k1 : h->k2;
    assert_non_null(HMAC(EVP_sha256(), key, 32, req.input.data, req.input.len, out, NULL));
    assert_int_equal(tt_conn_psk_complete(c, req.id + 100, (struct tt_bytes){out, 32}), TT_ERR_USAGE);
    tt_rc rc = tt_conn_psk_complete(c, req.id, (struct tt_bytes){out, 32});
    assert_int_equal(rc, tt_conn_error(c)->error.rc);
}

static void finish(struct pump *p)
{
    pump_run(p);
    for (int i = 0; i < 8; i++) {
        struct tt_conn *both[] = {p->client, p->server};
        for (size_t j = 0; j < 2; j++)
            if ((tt_conn_wants(both[j]) & TT_WANT_PSK) != 0) {
                answer(both[j]);
                pump_run(p);
            }
    }
}

static void open_again(struct pump *p)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
    p->client = p->server = NULL;
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now = TEST_NOW,
                                       .sessions = in_use,
                                       .sessions_len = in_use[1] != NULL ? 2 : in_use[0] != NULL};
    const struct tt_conn_options so = {.now = TEST_NOW};
    assert_int_equal(tt_conn_new(&p->client, p->client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&p->server, p->server_cfg, &so, NULL), TT_OK);
}

static void run(struct pump *p, struct ends *e)
{
    ends = e;
    p->configure = set_up;
    pump_configs(p);
    open_again(p);
    finish(p);
}

static void end_run(struct pump *p, struct ends *e)
{
    pump_free(p);
    for (size_t i = 0; i < 2; i++) {
        tt_session_free(e->client[i]);
        tt_session_free(e->server[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        tt_session_free(in_use[i]);
        in_use[i] = NULL;
    }
}

static void assert_psk(struct pump *p, const struct tt_session *psk, bool with_certificate)
{
    struct tt_conn *both[] = {p->client, p->server};
    struct tt_session_info want = {0};
    if (psk != NULL)
        tt_session_info(psk, &want);
    for (size_t i = 0; i < 2; i++) {
        struct tt_conn_info info;
        if (!tt_conn_is_connected(both[i]))
            fail_msg("client: %s; server: %s", tt_conn_error(p->client)->error.text,
                     tt_conn_error(p->server)->error.text);
        tt_conn_info(both[i], &info);
        assert_int_equal(info.certificate_with_psk, with_certificate);
        assert_int_equal(info.resumed, psk != NULL && !with_certificate);
        assert_int_equal(info.psk_identity.len, want.identity.len);
        if (want.identity.len > 0)
            assert_memory_equal(info.psk_identity.data, want.identity.data, want.identity.len);
    }
    assert_int_equal(tt_conn_peer_certificate(p->client, 0).len > 0, psk == NULL || with_certificate);
    pump_echo(p, p->client, p->server, 1000);
    pump_echo(p, p->server, p->client, 1000);
}

static void test_imported_handshakes(void **state)
{
    (void)state;
    for (int sha384 = 0; sha384 < 2; sha384++) {
        struct ends e = {.client = {import_psk("a", sha384)}, .server = {import_psk("a", sha384)}};
        struct pump p = {.sign = SIGN_NEVER}; /* default suites: the server takes one that fits the PSK */
        run(&p, &e);
        assert_psk(&p, e.client[0], false);
        end_run(&p, &e);
    }
    /* one for each hash on both ends: the server's most wanted suite decides */
    struct ends e = {.client = {import_psk("a", true), import_psk("a", false)},
                     .server = {import_psk("a", true), import_psk("a", false)}};
    struct pump p = {.sign = SIGN_NEVER};
    run(&p, &e);
    assert_psk(&p, e.client[1], false);
    end_run(&p, &e);
}

/* "Imported keys do not require negotiation for use since a client and server will not agree upon identities
 * if imported incorrectly." */
static void test_another_context_is_another_psk(void **state)
{
    (void)state;
    struct ends e = {.client = {import_psk("a", false)}, .server = {import_psk("b", false)}};
    struct pump p = {0};
    run(&p, &e);
    assert_psk(&p, NULL, false); /* the certificate does it */
    end_run(&p, &e);
}

/* "This new label ensures a client and server will negotiate use of an external PSK if and only if (a) both
 * endpoints import the PSK or (b) neither endpoint imports the PSK." */
static void test_imported_and_plain_do_not_mix(void **state)
{
    (void)state;
    struct tt_session *imported = import_psk("a", false), *plain = NULL;
    assert_int_equal(tt_session_new_external(&plain, buf_bytes(&imported->identity),
                                             (struct tt_bytes){imported->psk.key, imported->psk.len}, false,
                                             NULL),
                     TT_OK);
    struct ends e = {.client = {imported}, .server = {plain}};
    struct pump p = {0};
    run(&p, &e);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_DECRYPT_ERROR);
    end_run(&p, &e);
}

static void assert_never_the_same(const struct holder *h)
{
    for (size_t i = 0; i < h->n; i++)
        for (size_t j = 0; j < i; j++)
            assert_false(h->asked_len[i] == h->asked_len[j] &&
                         memcmp(h->asked[i], h->asked[j], h->asked_len[i]) == 0);
}

/* Held by the client, by the server, by both; with and without a retry, plain and imported, with
 * certificates. */
static void test_held_at_either_end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        struct holder c = {.n = 0}, s = {.n = 0};
        bool retry = (i & 4) != 0, both = (i & 16) != 0;
        struct ends e = {.client = {(i & 8) != 0 ? plain_psk("d", false) : import_psk("a", false)},
                         .server = {(i & 8) != 0 ? plain_psk("d", false) : import_psk("a", false)},
                         .client_holder = (i & 1) != 0 ? &c : NULL,
                         .server_holder = (i & 2) != 0 ? &s : NULL,
                         .client_demands = both};
        struct pump p = {
            .sign = both ? SIGN_AT_ONCE : SIGN_NEVER, .force_retry = retry, .split = retry ? 50 : 0};
        run(&p, &e);
        assert_psk(&p, e.client[0], both);
        open_again(&p);
        finish(&p);
        assert_psk(&p, e.client[0], both);
        assert_int_equal(c.n, (i & 1) == 0 ? 0 : retry ? 6 : 4);
        assert_int_equal(s.n, (i & 2) == 0 ? 0 : 4); /* also after a retry: one binder is looked at */
        assert_never_the_same(&c);
        assert_never_the_same(&s);
        end_run(&p, &e);
    }
}

static void test_a_holder_that_fails(void **state)
{
    (void)state;
    struct holder s = {.fails = true};
    struct ends e = {
        .client = {plain_psk("d", false)}, .server = {plain_psk("d", false)}, .server_holder = &s};
    struct pump p = {0};
    run(&p, &e);
    assert_int_equal(tt_conn_error(p.server)->error.rc, TT_ERR_TPM);
    assert_string_equal(tt_conn_error(p.server)->error.text, "no such key");
    assert_int_equal(tt_conn_error(p.client)->alert_received, TT_ALERT_INTERNAL_ERROR);
    /* another key: the binder does not fit, and nothing more is asked */
    s.fails = false;
    s.k1[0] ^= 1;
    s.n = 0;
    open_again(&p);
    finish(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_DECRYPT_ERROR);
    assert_int_equal(s.n, 1);
    /* another key for the second question: the ends do not understand each other */
    s.k1[0] ^= 1;
    s.k2[0] ^= 1;
    open_again(&p);
    finish(&p);
    assert_int_equal(tt_conn_error(p.client)->alert_sent, TT_ALERT_BAD_RECORD_MAC);
    /* freed while it waits, for either answer */
    s.k2[0] ^= 1;
    for (int rounds = 0; rounds < 2; rounds++) {
        open_again(&p);
        pump_run(&p);
        if (rounds == 1)
            answer(p.server);
        assert_true((tt_conn_wants(p.server) & TT_WANT_PSK) != 0);
    }
    end_run(&p, &e);
}

/* A ticket tells which PSK it came from, and is worth nothing where that is no longer known. */
static void test_tickets(void **state)
{
    (void)state;
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    struct ends e = {.client = {plain_psk("d", false)}, .server = {plain_psk("d", false)}};
    struct pump p = {.tickets_count = 2, .client_auth = TT_CLIENT_AUTH_REQUIRE};
    struct tt_tickets *tickets = NULL;
    assert_int_equal(tt_tickets_new(&tickets, TEST_NOW * 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(tickets, &key, 1), TT_OK);
    p.tickets = tickets;
    run(&p, &e);
    assert_psk(&p, e.client[0], false);
    struct tt_session *ticket = tt_conn_take_session(p.client), *psk = in_use[0];
    assert_non_null(ticket);
    in_use[0] = ticket;
    in_use[1] = psk;
    open_again(&p);
    finish(&p);
    struct tt_conn *const both[] = {p.client, p.server};
    for (size_t i = 0; i < 2; i++) {
        struct tt_conn_info info;
        tt_conn_info(both[i], &info);
        assert_true(tt_conn_is_connected(both[i]) && info.resumed);
        assert_int_equal(info.psk_identity.len, 1);
        assert_int_equal(info.psk_identity.data[0], 'd');
    }
    in_use[1] = NULL; /* without the PSK the ticket is not offered: the CA alone is trusted then */
    open_again(&p);
    finish(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_CERTIFICATE_REQUIRED);
    in_use[1] = psk;
    p.server_cfg->psks_len = 0; /* as in a configuration without it */
    open_again(&p);
    finish(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_CERTIFICATE_REQUIRED);
    p.server_cfg->psks_len = 1;
    in_use[0] = psk;
    in_use[1] = NULL;
    end_run(&p, &e);
    tt_session_free(ticket);
    tt_tickets_free(tickets);
}

/* ---- certificate and PSK (RFC 8773) ---- */

static void test_certificate_with_psk(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct ends e = {.client = {plain_psk("d", i & 1)},
                         .server = {plain_psk("d", i & 1)},
                         .client_demands = true,
                         .server_demands = (i & 2) != 0};
        struct pump p = {.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_has_identity = true};
        run(&p, &e);
        assert_psk(&p, e.client[0], true);
        assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, p.client_key->cert_len);
        assert_null(tt_conn_take_session(p.client)); /* a ticket could not stand for both */
        end_run(&p, &e);
    }
}

/* Nobody gets in with half of it. */
static void test_both_or_nothing(void **state)
{
    (void)state;
    static const struct {
        bool client_psk, server_psk, client_demands, server_demands, certificate;
        bool client_refuses; /* else the server does */
    } cases[] = {
        {true, false, true, false, true, true},  /* the server has no such PSK */
        {true, true, true, false, false, true},  /* and no certificate */
        {true, true, false, true, true, false},  /* the client wants the PSK alone */
        {false, true, false, true, true, false}, /* and has none */
    };
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct ends e = {.client = {cases[i].client_psk ? plain_psk("d", false) : NULL},
                         .server = {cases[i].server_psk ? plain_psk("d", false) : plain_psk("other", false)},
                         .client_demands = cases[i].client_demands,
                         .server_demands = cases[i].server_demands};
        struct pump p = {.no_server_identity = !cases[i].certificate};
        run(&p, &e);
        const struct tt_conn *refuses = cases[i].client_refuses ? p.client : p.server;
        assert_int_equal(tt_conn_error(refuses)->alert_sent, TT_ALERT_HANDSHAKE_FAILURE);
        end_run(&p, &e);
    }
    /* with nothing to offer, not even a ClientHello */
    struct tt_config *cfg = NULL;
    struct tt_conn *c = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_config_new(&cfg, TT_CLIENT, NULL), TT_OK);
    assert_int_equal(tt_config_insecure_accept_any_certificate(cfg), TT_OK);
    assert_int_equal(tt_config_set_psk_policy(cfg, TT_PSK_WITH_CERTIFICATE), TT_OK);
    assert_int_equal(tt_config_freeze(cfg, NULL), TT_OK);
    const struct tt_conn_options opt = {.now = TEST_NOW};
    assert_int_equal(tt_conn_new(&c, cfg, &opt, &err), TT_ERR_USAGE);
    assert_non_null(strstr(err.text, "PSK"));
    tt_config_free(cfg);
    assert_int_equal(tt_config_new(&cfg, TT_SERVER, NULL), TT_OK);
    assert_int_equal(tt_config_set_psk_policy(cfg, TT_PSK_WITH_CERTIFICATE), TT_OK);
    assert_int_equal(tt_config_freeze(cfg, NULL), TT_ERR_USAGE);
    tt_config_free(cfg);
}

/* A PSK or no connection, at either end. */
static void test_psk_required(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        bool same = i >= 4;
        struct ends e = {.client = {i == 3 ? NULL : plain_psk("d", false)},
                         .server = {plain_psk(same ? "d" : "other", false)},
                         .client_requires = i == 0 || i == 4,
                         .server_requires = i == 1 || i == 3 || i == 5};
        struct pump p = {.no_server_identity = i == 2};
        run(&p, &e);
        if (same)
            assert_psk(&p, e.client[0], false);
        else if (i == 0)
            assert_int_equal(tt_conn_error(p.client)->alert_sent, TT_ALERT_HANDSHAKE_FAILURE);
        else
            assert_int_equal(tt_conn_error(p.server)->alert_sent,
                             i == 3 ? TT_ALERT_HANDSHAKE_FAILURE : TT_ALERT_UNKNOWN_PSK_IDENTITY);
        end_run(&p, &e);
    }
    /* such a client needs neither trust nor a name */
    struct tt_config *cfg = NULL;
    struct tt_conn *c = NULL;
    struct tt_session *psk = plain_psk("d", false);
    assert_int_equal(tt_config_new(&cfg, TT_CLIENT, NULL), TT_OK);
    assert_int_equal(tt_config_set_psk_policy(cfg, TT_PSK_REQUIRE), TT_OK);
    assert_int_equal(tt_config_freeze(cfg, NULL), TT_OK);
    struct tt_conn_options opt = {.now = TEST_NOW};
    assert_int_equal(tt_conn_new(&c, cfg, &opt, NULL), TT_ERR_USAGE);
    opt.sessions = &psk;
    opt.sessions_len = 1;
    assert_int_equal(tt_conn_new(&c, cfg, &opt, NULL), TT_OK);
    tt_conn_free(c);
    tt_config_free(cfg);
    tt_session_free(psk);
}

/* "if the binder does not validate, the server MUST abort the handshake with an "illegal_parameter" alert" */
static void test_a_wrong_binder_beside_certificates(void **state)
{
    (void)state;
    struct ends e = {.client = {plain_psk("d", false)}, .client_demands = true};
    static const uint8_t other[32] = {1};
    assert_int_equal(
        tt_session_new_external(&e.server[0], text("d"), (struct tt_bytes){other, 32}, false, NULL), TT_OK);
    struct pump p = {0};
    run(&p, &e);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_ILLEGAL_PARAMETER);
    end_run(&p, &e);
}

/* Messages that are changed on their way. The client of KIND_RESUME offers a ticket. */
static const struct row rows[] = {
    ROW("without pre_shared_key", PLAIN, SERVER_START, MISSING_EXTENSION,
        {OP_FIRST, EXT_CERT_WITH_EXTERN_PSK, "", 0}),
    ROW("without key_share", RESUME, SERVER_START, MISSING_EXTENSION,
        {OP_FIRST, EXT_CERT_WITH_EXTERN_PSK, "", 0}, DROP(EXT_KEY_SHARE)),
    ROW("with early_data", RESUME, SERVER_START, ILLEGAL_PARAMETER,
        {OP_FIRST, EXT_CERT_WITH_EXTERN_PSK, "", 0}, {OP_FIRST, EXT_EARLY_DATA, "", 0}),
    ROW("with a ticket", RESUME, SERVER_START, ILLEGAL_PARAMETER,
        {OP_FIRST, EXT_CERT_WITH_EXTERN_PSK, "", 0}),
    ROW("with bytes in it", RESUME, SERVER_START, DECODE_ERROR,
        {OP_FIRST, EXT_CERT_WITH_EXTERN_PSK, "00", 0}),
    ROW("in ServerHello, not asked for", PLAIN, CLIENT_WAIT_SH, UNSUPPORTED_EXTENSION,
        ADD(EXT_CERT_WITH_EXTERN_PSK, "")),
    ROW("in EncryptedExtensions", PLAIN, CLIENT_WAIT_EE, ILLEGAL_PARAMETER,
        ADD(EXT_CERT_WITH_EXTERN_PSK, "")),
    ROW("in Certificate", PLAIN, CLIENT_WAIT_CERT_CR, ILLEGAL_PARAMETER, ADD(EXT_CERT_WITH_EXTERN_PSK, "")),
};

static void test_changed_messages(void **state)
{
    (void)state;
    static struct msg m;
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        struct scene *s = scene_of(rows[i].kind);
        enum tt_role to = row_role(rows[i].at);
        scene_open(s);
        scene_reach(s, to, rows[i].at);
        msg_set(&m, scene_next(s, to));
        buf_consume(&s->inbox[to], m.len);
        for (size_t j = 0; j < TT_COUNT(rows[i].edits); j++)
            msg_edit(&m, &rows[i].edits[j]);
        (void)!row_deliver(s, to, (struct tt_bytes){m.data, m.len});
        scene_expect_alert(s, to, rows[i].what, rows[i].alert);
    }
    scenes_free();
}

/* ServerHello with the flag but without a PSK. */
static void test_the_flag_without_a_psk(void **state)
{
    (void)state;
    static struct msg m;
    struct scene s;
    scene_configs(&s, (struct scene_options){0});
    s.session = plain_psk("d", false);
    s.cfg[TT_CLIENT]->psk_policy = TT_PSK_WITH_CERTIFICATE; /* as if it had been set before it was frozen */
    scene_open(&s);
    scene_reach(&s, TT_CLIENT, CLIENT_WAIT_SH);
    msg_set(&m, scene_next(&s, TT_CLIENT));
    buf_consume(&s.inbox[TT_CLIENT], m.len);
    const struct edit flag = ADD(EXT_CERT_WITH_EXTERN_PSK, "");
    msg_edit(&m, &flag);
    (void)!row_deliver(&s, TT_CLIENT, (struct tt_bytes){m.data, m.len});
    scene_expect_alert(&s, TT_CLIENT, "the flag without a PSK", TT_ALERT_ILLEGAL_PARAMETER);
    scene_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_import_against_a_second_implementation),
        cmocka_unit_test(test_import_with_another_hash),
        cmocka_unit_test(test_what_is_not_imported),
        cmocka_unit_test(test_imported_handshakes),
        cmocka_unit_test(test_another_context_is_another_psk),
        cmocka_unit_test(test_imported_and_plain_do_not_mix),
        cmocka_unit_test(test_held_at_either_end),
        cmocka_unit_test(test_a_holder_that_fails),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_certificate_with_psk),
        cmocka_unit_test(test_both_or_nothing),
        cmocka_unit_test(test_psk_required),
        cmocka_unit_test(test_a_wrong_binder_beside_certificates),
        cmocka_unit_test(test_changed_messages),
        cmocka_unit_test(test_the_flag_without_a_psk),
    };
    return cmocka_run_group_tests_name("tls/external_psk", tests, NULL, NULL);
}
