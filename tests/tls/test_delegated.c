/* tests/tls/test_delegated.c: delegated credentials (RFC 9345), both roles: what is used, what is refused and
 * with which alert. Credentials that our own end would never make are put into its messages by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "support/pump.h"
#include "support/range.h"
#include "tls/credential.h"
#include "tls/edit.h"

#define HOUR 3600
#define DAY  86400

/* ---- credentials that are used ---- */

/* The ends of a pump whose certificates permit delegation; filled in by `set_up` from these. */
static struct {
    bool server, client; /* that end has a credential */
    bool client_accepts, server_accepts;
    const char *kind;  /* of the credentials' keys; NULL: "P-256" */
    uint16_t accepted; /* the only scheme accepted for them; 0: all */
    struct test_key *key[2], *dc_key[2];
    struct tt_delegation *delegation[2];
    struct tt_credential *credential[2];
    unsigned released;
} d;

static void on_release(void *key)
{
    (void)key;
    d.released++;
}

static struct tt_bytes cert_of(const struct test_key *k)
{
    return (struct tt_bytes){k->cert, k->cert_len};
}

static struct tt_bytes spki_of(const struct test_key *k)
{
    static uint8_t buffers[4][600];
    static unsigned turn;
    uint8_t *at = buffers[turn++ % 4], *start = at;
    int len = i2d_PUBKEY(k->pkey, NULL);
    assert_between(len, 1, sizeof buffers[0]);
    (void)i2d_PUBKEY(k->pkey, &at);
    return (struct tt_bytes){start, (size_t)len};
}

/* A new credential of that end, in use. */
static void delegate(enum tt_role r, int64_t now, int64_t valid_until)
{
    struct tt_error err = {0};
    const struct tt_credential_params params = {.now = now,
                                                .valid_until = valid_until,
                                                .spki = spki_of(d.dc_key[r]),
                                                .key_scheme = d.dc_key[r]->scheme,
                                                .scheme = d.key[r]->scheme,
                                                .key = d.dc_key[r],
                                                .release = on_release};
    if (tt_credential_new(&d.credential[r], d.delegation[r], &params, &err) != TT_OK)
        fail_msg("%s", err.text);
    uint8_t sig[1024];
    size_t len =
        test_sign(d.key[r], d.key[r]->scheme, tt_credential_to_sign(d.credential[r]), sig, sizeof sig);
    assert_int_equal(tt_delegation_use(d.delegation[r], d.credential[r], (struct tt_bytes){sig, len}, &err),
                     TT_OK);
}

static void add_delegating(struct pump *p, struct tt_config *cfg, enum tt_role r)
{
    struct tt_error err = {0};
    d.key[r] = test_key_new("P-256", &(struct test_cert){.cn = r == TT_SERVER ? "server" : "client",
                                                         .dns = r == TT_SERVER ? "localhost" : NULL,
                                                         .eku = r == TT_SERVER ? "serverAuth" : "clientAuth",
                                                         .issuer = p->ca,
                                                         .delegation = true});
    d.dc_key[r] = test_key_new(d.kind != NULL ? d.kind : "P-256", &(struct test_cert){.cn = "only a key"});
    assert_int_equal(tt_delegation_new(&d.delegation[r], r, cert_of(d.key[r]), &err), TT_OK);
    const struct tt_bytes chain = cert_of(d.key[r]);
    const struct tt_identity id = {.chain = &chain,
                                   .chain_len = 1,
                                   .key = d.key[r],
                                   .schemes = &d.key[r]->scheme,
                                   .schemes_len = 1,
                                   .delegation = d.delegation[r]};
    assert_int_equal(tt_config_add_identity(cfg, &id, &err), TT_OK);
    if (r == TT_SERVER ? d.server : d.client)
        delegate(r, TEST_NOW, TEST_NOW + HOUR);
}

static void set_up(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    add_delegating(p, server, TT_SERVER);
    add_delegating(p, client, TT_CLIENT);
    if (d.client_accepts)
        assert_int_equal(tt_config_accept_delegated(client, &d.accepted, d.accepted != 0), TT_OK);
    if (d.server_accepts)
        assert_int_equal(tt_config_accept_delegated(server, &d.accepted, d.accepted != 0), TT_OK);
}

static void tear_down(struct pump *p)
{
    pump_free(p);
    for (enum tt_role r = TT_CLIENT; r <= TT_SERVER; r++) {
        tt_delegation_free(d.delegation[r]);
        test_key_free(d.key[r]);
        test_key_free(d.dc_key[r]);
    }
    memset(&d, 0, sizeof d);
}

static void assert_delegated(struct pump *p, bool server, bool client)
{
    struct tt_conn_info at_client, at_server;
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server))
        fail_msg("client: %s; server: %s", tt_conn_error(p->client)->error.text,
                 tt_conn_error(p->server)->error.text);
    tt_conn_info(p->client, &at_client);
    tt_conn_info(p->server, &at_server);
    assert_int_equal(at_client.peer_delegated, server);
    assert_int_equal(at_server.local_delegated, server);
    assert_int_equal(at_server.peer_delegated, client);
    assert_int_equal(at_client.local_delegated, client);
    assert_int_equal(at_client.peer_scheme, server ? d.dc_key[TT_SERVER]->scheme : d.key[TT_SERVER]->scheme);
    pump_echo(p, p->client, p->server, 1000);
    pump_echo(p, p->server, p->client, 1000);
}

#define PUMP                                                                                                 \
    {                                                                                                        \
        .configure = set_up, .no_server_identity = true, .client_auth = TT_CLIENT_AUTH_REQUIRE               \
    }

static void run(struct pump *p)
{
    pump_start(p);
    pump_run(p);
}

static void test_each_end_may_delegate(void **state)
{
    (void)state;
    static const char *const kinds[] = {"P-256", "P-384", "ED25519", "RSA-PSS"};
    for (unsigned i = 0; i < 4 * TT_COUNT(kinds); i++) {
        d.server = (i & 1) != 0;
        d.client = (i & 2) != 0;
        d.client_accepts = d.server_accepts = true;
        d.kind = kinds[i / 4];
        struct pump p = PUMP;
        run(&p);
        assert_delegated(&p, d.server, d.client);
        tear_down(&p);
    }
}

/* "if the extension is not present, the server MUST NOT send a delegated credential" */
static void test_not_asked_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        d.server = d.client = true;
        d.client_accepts = (i & 1) != 0;
        d.server_accepts = (i & 2) != 0;
        struct pump p = PUMP;
        run(&p);
        assert_delegated(&p, d.client_accepts, d.server_accepts);
        tear_down(&p);
    }
}

/* "An example of when a server could choose not to send a delegated credential is when the SignatureSchemes
 * listed only contain signature schemes for which a corresponding delegated credential does not exist" */
static void test_scheme_not_accepted(void **state)
{
    (void)state;
    d.server = d.client = d.client_accepts = d.server_accepts = true;
    d.kind = "P-384";
    d.accepted = TT_SCHEME_ED25519;
    struct pump p = PUMP;
    run(&p);
    assert_delegated(&p, false, false);
    tear_down(&p);
}

static void test_after_a_retry_in_small_pieces(void **state)
{
    (void)state;
    d.server = d.client = d.client_accepts = d.server_accepts = true;
    struct pump p = PUMP;
    p.force_retry = true;
    p.sign = SIGN_LATE;
    p.split = 100;
    run(&p);
    assert_delegated(&p, true, true);
    tear_down(&p);
}

static void reconnect(struct pump *p, int64_t now, struct tt_session *session)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
    const struct tt_conn_options co = {
        .server_name = "localhost", .now = now, .sessions = &session, .sessions_len = session != NULL};
    const struct tt_conn_options so = {.now = now};
    assert_int_equal(tt_conn_new(&p->client, p->client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&p->server, p->server_cfg, &so, NULL), TT_OK);
}

/* What has expired is not sent, and a new one takes its place without a gap; a handshake under way keeps the
 * one it began with. */
static void test_rotation(void **state)
{
    (void)state;
    d.server = d.client_accepts = true;
    struct pump p = PUMP;
    p.sign = SIGN_NEVER;
    pump_start(&p);
    pump_run(&p); /* the server waits for the first credential's signature */
    delegate(TT_SERVER, TEST_NOW, TEST_NOW + 2 * HOUR);
    assert_int_equal(d.released, 0);
    p.sign = SIGN_AT_ONCE;
    pump_run(&p);
    assert_delegated(&p, true, false);
    assert_int_equal(d.released, 1);
    reconnect(&p, TEST_NOW + 2 * HOUR - 1, NULL);
    pump_run(&p);
    assert_delegated(&p, true, false);
    reconnect(&p, TEST_NOW + 2 * HOUR, NULL);
    pump_run(&p);
    assert_delegated(&p, false, false);
    delegate(TT_SERVER, TEST_NOW + 2 * HOUR, TEST_NOW + 3 * HOUR);
    assert_int_equal(d.released, 2);
    reconnect(&p, TEST_NOW + 2 * HOUR, NULL);
    pump_run(&p);
    assert_delegated(&p, true, false);
    tear_down(&p);
}

/* "Failing to do so may result in resuming connections for which the DC has expired." (section 7.4) */
static void test_no_resumption_past_its_end(void **state)
{
    (void)state;
    static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
    static const int64_t later[] = {HOUR, HOUR + 1};
    for (size_t i = 0; i < 2; i++) {
        d.client = d.server_accepts = true;
        struct pump p = PUMP;
        p.tickets_count = 1;
        assert_int_equal(tt_tickets_new(&p.tickets, TEST_NOW * 1000, NULL), TT_OK);
        assert_int_equal(tt_tickets_set_keys(p.tickets, &key, 1), TT_OK);
        struct tt_tickets *tickets = p.tickets;
        run(&p);
        assert_delegated(&p, false, true);
        struct tt_session *s = tt_conn_take_session(p.client);
        assert_non_null(s);
        reconnect(&p, TEST_NOW + later[i], s);
        pump_run(&p);
        struct tt_conn_info info;
        tt_conn_info(p.server, &info);
        assert_true(tt_conn_is_connected(p.server));
        assert_int_equal(info.resumed, i == 0);
        tt_session_free(s);
        tt_tickets_free(tickets);
        tear_down(&p);
    }
}

static void post_auth_set_up(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    set_up(p, client, server);
    assert_int_equal(tt_config_set_post_handshake_auth(client, true), TT_OK);
    assert_int_equal(tt_config_set_post_handshake_auth(server, true), TT_OK);
}

static void test_after_the_handshake(void **state)
{
    (void)state;
    d.client = d.server_accepts = true;
    struct pump p = {.configure = post_auth_set_up, .no_server_identity = true, .server_asks_later = true};
    run(&p);
    assert_delegated(&p, false, false);
    assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
    pump_run(&p);
    assert_delegated(&p, false, true);
    tear_down(&p);
}

/* ---- CertificateVerify that does not belong to the credential ---- */

static void test_wrong_certificate_verify(void **state)
{
    (void)state;
    static const unsigned alerts[] = {TT_ALERT_DECRYPT_ERROR, TT_ALERT_ILLEGAL_PARAMETER};
    for (unsigned i = 0; i < 4; i++) {
        enum tt_role cheat = i < 2 ? TT_SERVER : TT_CLIENT;
        d.server = d.client = d.client_accepts = d.server_accepts = true;
        struct pump p = PUMP;
        pump_start(&p);
        if (i % 2 == 0)
            d.credential[cheat]->key = d.key[cheat]; /* the certificate's own key signs */
        else
            d.credential[cheat]->key_scheme = TT_SCHEME_ECDSA_SECP384R1_SHA384;
        pump_run(&p);
        const struct tt_conn_status *st = tt_conn_error(cheat == TT_SERVER ? p.client : p.server);
        assert_int_equal(st->alert_sent, alerts[i % 2]);
        tear_down(&p);
    }
}

/* ---- credentials that are not valid ---- */

/* struct bad: a credential made by hand; zero is a valid one. */
struct bad {
    const char *what;
    unsigned alert;
    bool no_usage, no_key_usage; /* of the certificate */
    int64_t lasts;               /* seconds from now; 0: an hour */
    uint16_t verify_algorithm, algorithm;
    const char *key_kind; /* of the credential's key; "": bytes that are none */
    bool other_role, other_key, flip, cut, longer;
};

static const struct bad bads[] = {
    {"valid", TT_ALERT_NONE},
    {"expires this second", TT_ALERT_NONE, .lasts = -DAY * 1000},
    {"expired a second ago", TT_ALERT_ILLEGAL_PARAMETER, .lasts = -1},
    {"7 days are left", TT_ALERT_NONE, .lasts = 7 * DAY},
    {"7 days and a second are left", TT_ALERT_ILLEGAL_PARAMETER, .lasts = 7 * DAY + 1},
    {"no DelegationUsage", TT_ALERT_ILLEGAL_PARAMETER, .no_usage = true},
    {"no KeyUsage", TT_ALERT_ILLEGAL_PARAMETER, .no_key_usage = true},
    {"dc_cert_verify_algorithm not offered", TT_ALERT_ILLEGAL_PARAMETER,
     .verify_algorithm = TT_SCHEME_ECDSA_SECP521R1_SHA512, .key_kind = "P-521"},
    {"dc_cert_verify_algorithm rsa_pss_rsae_sha256", TT_ALERT_ILLEGAL_PARAMETER,
     .verify_algorithm = TT_SCHEME_RSA_PSS_RSAE_SHA256, .key_kind = "RSA"},
    {"dc_cert_verify_algorithm of another curve", TT_ALERT_ILLEGAL_PARAMETER,
     .verify_algorithm = TT_SCHEME_ECDSA_SECP384R1_SHA384},
    {"dc_cert_verify_algorithm unknown", TT_ALERT_ILLEGAL_PARAMETER, .verify_algorithm = 0xfefe},
    {"algorithm not offered", TT_ALERT_ILLEGAL_PARAMETER, .algorithm = TT_SCHEME_ECDSA_SECP521R1_SHA512},
    {"algorithm of another curve", TT_ALERT_ILLEGAL_PARAMETER, .algorithm = TT_SCHEME_ECDSA_SECP384R1_SHA384},
    {"a key that is none", TT_ALERT_ILLEGAL_PARAMETER, .key_kind = ""},
    {"signed for the other role", TT_ALERT_ILLEGAL_PARAMETER, .other_role = true},
    {"signed by another key", TT_ALERT_ILLEGAL_PARAMETER, .other_key = true},
    {"a bit of its signature flipped", TT_ALERT_ILLEGAL_PARAMETER, .flip = true},
    {"cut off", TT_ALERT_DECODE_ERROR, .cut = true},
    {"a byte behind it", TT_ALERT_DECODE_ERROR, .longer = true},
};

static struct tt_bytes bad_credential(const struct bad *b, const struct scene *s, enum tt_role holder,
                                      struct buf *to)
{
    static const uint8_t no_key[] = {0x30, 3, 1, 2, 3};
    const struct test_key *leaf = s->key[holder];
    const char *kind = b->key_kind != NULL && b->key_kind[0] != '\0' ? b->key_kind : "P-256";
    struct test_key *key = test_key_new(kind, &(struct test_cert){.cn = "only a key"});
    int64_t lasts = b->lasts == 0 ? HOUR : b->lasts == -DAY * 1000 ? 0 : b->lasts;
    struct writer w = writer_to(to);
    wr_u32(&w, (uint32_t)(30 * DAY + lasts));
    wr_u16(&w, b->verify_algorithm != 0 ? b->verify_algorithm : TT_SCHEME_ECDSA_SECP256R1_SHA256);
    wr_vec24(&w, b->key_kind != NULL && b->key_kind[0] == '\0' ? (struct tt_bytes){no_key, sizeof no_key}
                                                               : spki_of(key));
    struct buf content = {0};
    struct writer cw = writer_to(&content);
    const struct credential_signed what = {
        b->other_role ? scene_other(holder) : holder, cert_of(leaf), buf_bytes(to),
        b->algorithm != 0 ? b->algorithm : TT_SCHEME_ECDSA_SECP256R1_SHA256};
    credential_content_put(&cw, &what);
    uint8_t sig[200];
    size_t len = test_sign(b->other_key ? s->ca : leaf, TT_SCHEME_ECDSA_SECP256R1_SHA256, buf_bytes(&content),
                           sig, sizeof sig);
    sig[len - 1] ^= b->flip;
    wr_u16(&w, what.algorithm);
    wr_vec16(&w, (struct tt_bytes){sig, len});
    if (b->longer)
        wr_u8(&w, 0);
    buf_free(&content);
    test_key_free(key);
    assert_int_equal(wr_status(&w), TT_OK);
    return (struct tt_bytes){buf_front(to), buf_size(to) - b->cut};
}

static const uint16_t fixed[] = {TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_ECDSA_SECP384R1_SHA384};

/* The scene's configurations are frozen: these are set as if they had been accepted before. */
static void accept_delegated(struct scene *s)
{
    for (enum tt_role r = TT_CLIENT; r <= TT_SERVER; r++) {
        s->cfg[r]->delegated_schemes.n = TT_COUNT(fixed);
        memcpy(s->cfg[r]->delegated_schemes.items, fixed, sizeof fixed);
    }
}

static void put_extension(struct msg *m, uint16_t type, struct tt_bytes data)
{
    static char hex[4000];
    assert_between(data.len, 0, sizeof hex / 2 - 1);
    hex[0] = '\0';
    for (size_t i = 0; i < data.len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", data.data[i]);
    const struct edit e = {.op = OP_PUT, .at = type, .hex = hex};
    msg_edit(m, &e);
}

static void try_bad(const struct bad *b, enum tt_role holder, bool asked)
{
    const struct test_cert cert = {.cn = "delegates",
                                   .dns = holder == TT_SERVER ? "localhost" : NULL,
                                   .eku = holder == TT_SERVER ? "serverAuth" : "clientAuth",
                                   .delegation = !b->no_usage,
                                   .no_key_usage = b->no_key_usage};
    struct scene s;
    enum tt_role judge = scene_other(holder);
    struct buf dc = {0};
    static struct msg m;
    scene_configs(&s, (struct scene_options){.client_auth = TT_CLIENT_AUTH_REQUIRE,
                                             .client_identity = true,
                                             .server_cert = holder == TT_SERVER ? &cert : NULL,
                                             .client_cert = holder == TT_CLIENT ? &cert : NULL});
    if (asked)
        accept_delegated(&s);
    scene_open(&s);
    scene_reach(&s, judge, judge == TT_CLIENT ? CLIENT_WAIT_CERT : SERVER_WAIT_CERT);
    msg_set(&m, scene_next(&s, judge));
    buf_consume(&s.inbox[judge], m.len);
    put_extension(&m, EXT_DELEGATED_CREDENTIAL, bad_credential(b, &s, holder, &dc));
    (void)!row_deliver(&s, judge, (struct tt_bytes){m.data, m.len});
    if (!asked)
        scene_expect_alert(&s, judge, b->what, TT_ALERT_UNEXPECTED_MESSAGE);
    else if (b->alert != TT_ALERT_NONE)
        scene_expect_alert(&s, judge, b->what, b->alert);
    else
        scene_expect_well(&s, judge, b->what);
    buf_free(&dc);
    scene_free(&s);
}

static void test_not_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < TT_COUNT(bads); i++) {
        try_bad(&bads[i], TT_SERVER, true);
        try_bad(&bads[i], TT_CLIENT, true);
    }
}

/* "If the client receives a delegated credential without having indicated support in its ClientHello, then
 * the client MUST abort the handshake with an "unexpected_message" alert." */
static void test_not_offered(void **state)
{
    (void)state;
    try_bad(&bads[0], TT_SERVER, false);
    try_bad(&bads[0], TT_CLIENT, false);
}

/* "the client SHOULD ignore delegated credentials sent as extensions to any other certificate." */
static void test_not_at_the_leaf(void **state)
{
    (void)state;
    struct scene s;
    static struct msg m;
    scene_configs(&s, (struct scene_options){0});
    accept_delegated(&s);
    scene_open(&s);
    scene_reach(&s, TT_CLIENT, CLIENT_WAIT_CERT_CR);
    msg_set(&m, scene_next(&s, TT_CLIENT));
    buf_consume(&s.inbox[TT_CLIENT], m.len);
    uint8_t entry[2000], *at = entry;
    *at++ = 0;
    *at++ = (uint8_t)(s.ca->cert_len >> 8);
    *at++ = (uint8_t)s.ca->cert_len;
    memcpy(at, s.ca->cert, s.ca->cert_len);
    at += s.ca->cert_len;
    static const uint8_t extensions[] = {0, 7, 0, EXT_DELEGATED_CREDENTIAL, 0, 3, 'n', 'o', '!'};
    memcpy(at, extensions, sizeof extensions);
    at += sizeof extensions;
    size_t list = m.len - 8 + (size_t)(at - entry);
    msg_splice(&m, m.len, 0, (struct tt_bytes){entry, (size_t)(at - entry)});
    m.data[6] = (uint8_t)(list >> 8);
    m.data[7] = (uint8_t)list;
    (void)!row_deliver(&s, TT_CLIENT, (struct tt_bytes){m.data, m.len});
    scene_expect_well(&s, TT_CLIENT, "a credential at the CA's certificate");
    assert_int_equal(s.conn[TT_CLIENT]->state, CLIENT_WAIT_CV);
    scene_free(&s);
}

/* The lists in ClientHello and CertificateRequest. */
static void test_malformed_lists(void **state)
{
    (void)state;
    static const uint8_t forms[][6] = {{0, 0}, {0, 3, 4, 3, 5}, {0, 4, 4, 3}, {0, 2, 4, 3, 0}};
    static const size_t sizes[] = {2, 5, 4, 5};
    for (size_t i = 0; i < 2 * TT_COUNT(forms); i++) {
        struct scene s;
        static struct msg m;
        enum tt_role to = i % 2 == 0 ? TT_SERVER : TT_CLIENT;
        scene_configs(&s,
                      (struct scene_options){.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_identity = true});
        scene_open(&s);
        scene_reach(&s, to, to == TT_SERVER ? SERVER_START : CLIENT_WAIT_CERT_CR);
        msg_set(&m, scene_next(&s, to));
        buf_consume(&s.inbox[to], m.len);
        put_extension(&m, EXT_DELEGATED_CREDENTIAL, (struct tt_bytes){forms[i / 2], sizes[i / 2]});
        (void)!row_deliver(&s, to, (struct tt_bytes){m.data, m.len});
        scene_expect_alert(&s, to, "delegated_credential", TT_ALERT_DECODE_ERROR);
        scene_free(&s);
    }
}

/* ---- the public face ---- */

static void test_what_is_not_made(void **state)
{
    (void)state;
    struct tt_error err = {0};
    struct test_key *ca = test_key_new("P-256", &(struct test_cert){.cn = "test CA"});
    const struct test_cert with = {
        .cn = "leaf", .issuer = ca, .delegation = true, .not_after = TEST_NOW + DAY};
    const struct test_cert without[] = {
        {.cn = "leaf", .issuer = ca}, {.cn = "leaf", .issuer = ca, .delegation = true, .no_key_usage = true}};
    struct tt_delegation *del = NULL;
    for (size_t i = 0; i < 2; i++) {
        struct test_key *k = test_key_new("P-256", &without[i]);
        err = (struct tt_error){0};
        assert_int_equal(tt_delegation_new(&del, TT_SERVER, cert_of(k), &err), TT_ERR_USAGE);
        assert_non_null(strstr(err.hint, "--delegation"));
        test_key_free(k);
    }
    assert_int_equal(tt_delegation_new(&del, TT_SERVER, (struct tt_bytes){(const uint8_t *)"no", 2}, NULL),
                     TT_ERR_USAGE);
    struct test_key *k = test_key_new("P-256", &with), *rsa = test_key_new("RSA", &with);
    assert_int_equal(tt_delegation_new(&del, TT_SERVER, cert_of(k), &err), TT_OK);
    const struct tt_credential_params good = {.now = TEST_NOW,
                                              .valid_until = TEST_NOW + HOUR,
                                              .spki = spki_of(ca),
                                              .key_scheme = ca->scheme,
                                              .scheme = k->scheme};
    struct tt_credential_params bad[7] = {good, good, good, good, good, good, good};
    bad[0].valid_until = TEST_NOW;
    bad[1].valid_until = TEST_NOW + 8 * DAY;
    bad[2].valid_until = TEST_NOW + DAY + 1; /* the certificate ends before */
    bad[3].key_scheme = TT_SCHEME_RSA_PSS_RSAE_SHA256;
    bad[3].spki = spki_of(rsa);
    bad[4].key_scheme = TT_SCHEME_ED25519;
    bad[5].scheme = TT_SCHEME_ED25519;
    bad[6].spki.len--;
    struct tt_credential *c = NULL;
    for (size_t i = 0; i < TT_COUNT(bad); i++)
        assert_int_equal(tt_credential_new(&c, del, &bad[i], NULL), TT_ERR_USAGE);
    assert_int_equal(tt_credential_new(&c, del, &good, NULL), TT_OK);
    uint8_t sig[200];
    size_t len = test_sign(ca, ca->scheme, tt_credential_to_sign(c), sig, sizeof sig);
    assert_int_equal(tt_delegation_use(del, c, (struct tt_bytes){sig, len}, &err), TT_ERR_VERIFY);
    tt_credential_free(c);
    /* of another certificate, and of the other role */
    struct tt_config *cfg = NULL;
    assert_int_equal(tt_config_new(&cfg, TT_CLIENT, NULL), TT_OK);
    const struct tt_bytes chain = cert_of(k);
    const struct tt_identity id = {.chain = &chain,
                                   .chain_len = 1,
                                   .key = k,
                                   .schemes = &k->scheme,
                                   .schemes_len = 1,
                                   .delegation = del};
    assert_int_equal(tt_config_add_identity(cfg, &id, NULL), TT_ERR_USAGE);
    static const uint16_t rsae = TT_SCHEME_RSA_PSS_RSAE_SHA256;
    assert_int_equal(tt_config_accept_delegated(cfg, &rsae, 1), TT_ERR_UNSUPPORTED);
    tt_config_free(cfg);
    tt_delegation_free(del);
    test_key_free(k);
    test_key_free(rsa);
    test_key_free(ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_end_may_delegate),
        cmocka_unit_test(test_not_asked_for),
        cmocka_unit_test(test_scheme_not_accepted),
        cmocka_unit_test(test_after_a_retry_in_small_pieces),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_no_resumption_past_its_end),
        cmocka_unit_test(test_after_the_handshake),
        cmocka_unit_test(test_wrong_certificate_verify),
        cmocka_unit_test(test_not_valid),
        cmocka_unit_test(test_not_offered),
        cmocka_unit_test(test_not_at_the_leaf),
        cmocka_unit_test(test_malformed_lists),
        cmocka_unit_test(test_what_is_not_made),
    };
    return cmocka_run_group_tests_name("tls/delegated", tests, NULL, NULL);
}
