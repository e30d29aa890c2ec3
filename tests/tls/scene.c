/* tests/tls/scene.c: see scene.h. */
#include "tls/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/range.h"

static void must(tt_rc rc, const char *what, const struct tt_error *err)
{
    if (rc != TT_OK) {
        fprintf(stderr, "scene: %s: %s %s\n", what, tt_rc_name(rc), err != NULL ? err->text : "");
        abort();
    }
}

static void add_identity(struct tt_config *cfg, const struct test_key *k)
{
    const struct tt_bytes chain = {k->cert, k->cert_len};
    const struct tt_identity id = {&chain, 1, (void *)(uintptr_t)k, &k->scheme, 1};
    struct tt_error err = {0};
    must(tt_config_add_identity(cfg, &id, &err), "identity", &err);
}

/* The key alone (RFC 7250), and the other end's pinned. */
static void add_raw_key(struct tt_config *cfg, struct test_key *own, struct test_key *peer, bool trusts)
{
    static const uint16_t raw = TT_CERTIFICATE_RAW_PUBLIC_KEY;
    const struct tt_identity id = {
        .key = own, .schemes = &own->scheme, .schemes_len = 1, .raw_public_key = test_key_spki(own)};
    struct tt_trust *trust = NULL;
    struct tt_error err = {0};
    uint8_t pin[32];
    test_key_pin(peer, pin);
    must(tt_config_add_identity(cfg, &id, &err), "identity", &err);
    must(tt_trust_new(&trust, &err), "trust", &err);
    must(tt_trust_add_pin(trust, pin, &err), "pin", &err);
    if (trusts)
        must(tt_config_set_trust(cfg, trust), "trust", NULL);
    tt_trust_free(trust);
    must(tt_config_set_peer_certificate_types(cfg, &raw, 1), "types", NULL);
}

static void add_trust(struct tt_config *cfg, const struct test_key *ca)
{
    struct tt_trust *trust = NULL;
    struct tt_error err = {0};
    must(tt_trust_new(&trust, &err), "trust", &err);
    must(
        tt_trust_add_pem(trust, (struct tt_bytes){(const uint8_t *)ca->cert_pem, strlen(ca->cert_pem)}, &err),
        "trust", &err);
    must(tt_config_set_trust(cfg, trust), "trust", NULL);
    tt_trust_free(trust);
}

static struct test_key *make_key(const struct scene *s, const struct test_cert *wanted,
                                 const struct test_cert *standard)
{
    struct test_cert cert = wanted != NULL ? *wanted : *standard;
    if (cert.issuer == NULL)
        cert.issuer = s->ca;
    return test_key_new(s->options.key_kind != NULL ? s->options.key_kind : "P-256", &cert);
}

/* What newer libraries would offer besides is left out, so that the messages are the same everywhere. */
static void set_fixed_lists(struct tt_config *cfg)
{
    static const uint16_t groups[] = {TT_GROUP_X25519, TT_GROUP_SECP256R1, TT_GROUP_SECP384R1};
    static const uint16_t schemes[] = {
        TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_ECDSA_SECP384R1_SHA384, TT_SCHEME_ED25519,
        TT_SCHEME_RSA_PSS_RSAE_SHA256,    TT_SCHEME_RSA_PSS_RSAE_SHA384,    TT_SCHEME_RSA_PSS_RSAE_SHA512};
    must(tt_config_set_groups(cfg, groups, TT_COUNT(groups)), "groups", NULL);
    must(tt_config_set_verify_schemes(cfg, schemes, TT_COUNT(schemes)), "schemes", NULL);
}

static void set_lists(struct tt_config *cfg, uint16_t suite, uint16_t group, bool alpn, size_t max_message)
{
    static const struct tt_bytes mqtt = {(const uint8_t *)"mqtt", 4};
    if (suite != 0)
        must(tt_config_set_suites(cfg, &suite, 1), "suites", NULL);
    /* P-256 comes second, so that a server which asks for P-384 also has another group. */
    const uint16_t groups[] = {group, TT_GROUP_SECP256R1};
    if (group != 0)
        must(tt_config_set_groups(cfg, groups, group == TT_GROUP_SECP384R1 ? 2 : 1), "groups", NULL);
    if (alpn)
        must(tt_config_set_alpn(cfg, &mqtt, 1), "alpn", NULL);
    if (max_message != 0)
        must(tt_config_set_max_handshake_message(cfg, max_message), "max_message", NULL);
}

void scene_configs(struct scene *s, struct scene_options options)
{
    static const struct test_cert server = {.cn = "server", .dns = "localhost", .eku = "serverAuth"};
    static const struct test_cert client = {.cn = "client", .eku = "clientAuth"};
    struct tt_error err = {0};
    *s = (struct scene){.options = options};
    s->ca = test_key_new("P-256", &(struct test_cert){.cn = "test CA"});
    s->key[TT_SERVER] = make_key(s, options.server_cert, &server);
    s->key[TT_CLIENT] = make_key(s, options.client_cert, &client);
    for (enum tt_role r = TT_CLIENT; r <= TT_SERVER; r++) {
        must(tt_config_new(&s->cfg[r], r, &err), "config", &err);
        if (r == TT_CLIENT || options.client_auth != TT_CLIENT_AUTH_NONE || options.post_auth)
            add_trust(s->cfg[r], s->ca);
        set_fixed_lists(s->cfg[r]);
        if (options.scheme != 0)
            must(tt_config_set_verify_schemes(s->cfg[r], &options.scheme, 1), "scheme", NULL);
        set_lists(s->cfg[r], options.suite, r == TT_CLIENT ? options.client_group : options.server_group,
                  options.alpn, options.max_message);
    }
    for (enum tt_role r = TT_CLIENT; options.raw_keys && r <= TT_SERVER; r++)
        add_raw_key(s->cfg[r], s->key[r], s->key[scene_other(r)],
                    r == TT_CLIENT || options.client_auth != TT_CLIENT_AUTH_NONE || options.post_auth);
    if (!options.raw_keys)
        add_identity(s->cfg[TT_SERVER], s->key[TT_SERVER]);
    if (options.client_identity && !options.raw_keys)
        add_identity(s->cfg[TT_CLIENT], s->key[TT_CLIENT]);
    must(tt_config_set_grease(s->cfg[TT_CLIENT], false), "grease",
         NULL); /* the tests know where things stand */
    must(tt_config_set_grease(s->cfg[TT_SERVER], options.grease), "grease", NULL);
    must(tt_config_set_middlebox_compat(s->cfg[TT_CLIENT], !options.no_compat), "compat", NULL);
    must(tt_config_set_force_retry(s->cfg[TT_SERVER], options.force_retry), "retry", NULL);
    must(tt_config_set_client_auth(s->cfg[TT_SERVER], options.client_auth), "client auth", NULL);
    must(tt_config_set_post_handshake_auth(s->cfg[TT_CLIENT], options.post_auth), "post", NULL);
    must(tt_config_set_post_handshake_auth(s->cfg[TT_SERVER], options.post_auth), "post", NULL);
    if (options.resume || options.early_data) {
        static const struct tt_ticket_key key = {.name = {1}, .key = {2}};
        must(tt_tickets_new(&s->tickets, TEST_NOW * 1000, &err), "tickets", &err);
        must(tt_tickets_set_keys(s->tickets, &key, 1), "ticket key", NULL);
        must(tt_config_set_tickets(s->cfg[TT_SERVER], s->tickets, 1, 7200, (struct tt_bytes){NULL, 0}),
             "tickets", NULL);
        must(tt_config_set_max_early_data(s->cfg[TT_SERVER], options.early_data ? 16384 : 0), "early data",
             NULL);
    }
    for (enum tt_role r = TT_CLIENT; r <= TT_SERVER; r++)
        must(tt_config_freeze(s->cfg[r], &err), "freeze", &err);
    if (options.resume) {
        scene_open(s);
        scene_finish(s);
        s->session = tt_conn_take_session(s->conn[TT_CLIENT]);
        assert_non_null(s->session);
    }
}

void scene_open(struct scene *s)
{
    struct tt_error err = {0};
    const struct tt_conn_options co = {.server_name = "localhost",
                                       .now = TEST_NOW,
                                       .sessions = &s->session,
                                       .sessions_len = s->session != NULL,
                                       .early_data = s->options.early_data};
    const struct tt_conn_options so = {.now = TEST_NOW};
    scene_close(s);
    must(tt_conn_new(&s->conn[TT_CLIENT], s->cfg[TT_CLIENT], &co, &err), "client", &err);
    must(tt_conn_new(&s->conn[TT_SERVER], s->cfg[TT_SERVER], &so, &err), "server", &err);
    scene_collect(s);
}

void scene_close(struct scene *s)
{
    for (enum tt_role r = TT_CLIENT; r <= TT_SERVER; r++) {
        tt_conn_free(s->conn[r]);
        s->conn[r] = NULL;
        buf_free(&s->inbox[r]);
        buf_free(&s->app[r]);
        rec_key_wipe(&s->tap[r]);
        s->tap_phase[r] = TAP_CLEAR;
        s->alert[r] = (struct scene_alert){0};
        s->ccs[r] = 0;
    }
    memset(&s->early_secret, 0, sizeof s->early_secret);
    memset(s->hs_secret, 0, sizeof s->hs_secret);
    memset(s->ap_secret, 0, sizeof s->ap_secret);
}

void scene_free(struct scene *s)
{
    scene_close(s);
    for (enum tt_role r = TT_CLIENT; r <= TT_SERVER; r++) {
        tt_config_free(s->cfg[r]);
        test_key_free(s->key[r]);
    }
    test_key_free(s->ca);
    tt_session_free(s->session);
    tt_tickets_free(s->tickets);
}

/* The secrets an end writes under, as far as it knows them by now. */
static void steal_secrets(struct scene *s, enum tt_role r)
{
    static const struct ks_secret none;
    const struct tt_conn *c = s->conn[r];
    if (c->hs != NULL)
        s->hs_secret[r] = r == TT_CLIENT ? c->hs->client_hs : c->hs->server_hs;
    if (c->hs != NULL && r == TT_CLIENT)
        s->early_secret = c->hs->early_traffic;
    if (memcmp(&s->ap_secret[r], &none, sizeof none) == 0)
        s->ap_secret[r] = c->write_secret;
}

/* The suite an end writes under; before it is chosen, that of the 0-RTT data. */
static const struct suite *suite_for(const struct scene *s, enum tt_role from)
{
    struct tt_session_info info = {0};
    if (s->conn[from]->suite == NULL && s->session != NULL)
        tt_session_info(s->session, &info);
    return s->conn[from]->suite != NULL ? s->conn[from]->suite : suite_of(info.suite);
}

/* The next key the end may have gone on to; false when there is none. */
static bool tap_next_key(struct scene *s, enum tt_role from)
{
    const struct tt_conn *c = s->conn[from];
    const struct suite *suite = suite_for(s, from);
    struct ks_secret *secret = &s->ap_secret[from];
    if (suite == NULL)
        return false;
    if (s->tap_phase[from] == TAP_CLEAR && from == TT_CLIENT) {
        s->tap_phase[from] = TAP_EARLY;
        secret = &s->early_secret;
    } else if (s->tap_phase[from] < TAP_HANDSHAKE) {
        s->tap_phase[from] = TAP_HANDSHAKE;
        secret = &s->hs_secret[from];
    } else if (s->tap_phase[from] == TAP_HANDSHAKE) {
        s->tap_phase[from] = TAP_APPLICATION;
    } else if (memcmp(secret, &c->write_secret, hash_size(suite->hash)) != 0) {
        must(ks_next_traffic(c->cfg->lib, suite->hash, secret), "KeyUpdate", NULL);
    } else {
        return false;
    }
    must(rec_key_set(&s->tap[from], c->cfg->lib, suite, secret, false), "tap", NULL);
    return true;
}

static bool tap_open(struct scene *s, enum tt_role from, struct tt_bytes record, uint8_t *to,
                     struct rec_opened *opened)
{
    do {
        if (s->tap_phase[from] != TAP_CLEAR && rec_open(&s->tap[from], record, to, opened) == TT_OK)
            return true;
    } while (tap_next_key(s, from));
    return false;
}

static void take_content(struct scene *s, enum tt_role from, uint8_t type, struct tt_bytes content)
{
    if (type == CT_HANDSHAKE)
        must(buf_append(&s->inbox[scene_other(from)], content.data, content.len), "inbox", NULL);
    else if (type == CT_APPLICATION_DATA)
        must(buf_append(&s->app[from], content.data, content.len), "app", NULL);
    else if (type == CT_CHANGE_CIPHER_SPEC)
        s->ccs[from]++;
    else if (type == CT_ALERT && content.len == 2)
        s->alert[from] = (struct scene_alert){s->alert[from].count + 1, content.data[0], content.data[1]};
    else
        fail_msg("an end sent a record of type %u with %zu bytes", type, content.len);
}

static void collect_from(struct scene *s, enum tt_role from)
{
    static uint8_t to[REC_MAX_CIPHERTEXT + REC_HEADER_SIZE];
    struct tt_conn *c = s->conn[from];
    steal_secrets(s, from);
    for (struct tt_bytes out = tt_conn_output(c); out.len > 0; out = tt_conn_output(c)) {
        assert_true(out.len >= REC_HEADER_SIZE);
        struct tt_bytes record = {out.data, REC_HEADER_SIZE + ((size_t)out.data[3] << 8 | out.data[4])};
        assert_true(out.len >= record.len);
        struct rec_opened opened = {0};
        if (record.data[0] != CT_APPLICATION_DATA)
            take_content(s, from, record.data[0],
                         (struct tt_bytes){record.data + REC_HEADER_SIZE, record.len - REC_HEADER_SIZE});
        else if (tap_open(s, from, record, to, &opened))
            take_content(s, from, opened.type, (struct tt_bytes){to, opened.len});
        else
            fail_msg("the test cannot read what the %s sends", from == TT_CLIENT ? "client" : "server");
        tt_conn_output_done(c, record.len);
    }
}

void scene_collect(struct scene *s)
{
    collect_from(s, TT_CLIENT);
    collect_from(s, TT_SERVER);
}

struct tt_bytes scene_next(const struct scene *s, enum tt_role to)
{
    struct tt_bytes all = buf_bytes(&s->inbox[to]);
    if (all.len < 4)
        return (struct tt_bytes){NULL, 0};
    return (struct tt_bytes){all.data,
                             4 + ((size_t)all.data[1] << 16 | (size_t)all.data[2] << 8 | all.data[3])};
}

tt_rc scene_deliver(struct scene *s, enum tt_role to)
{
    uint8_t copy[8192];
    struct tt_bytes message = scene_next(s, to);
    assert_between(message.len, 4, sizeof copy);
    memcpy(copy, message.data, message.len);
    buf_consume(&s->inbox[to], message.len);
    return scene_put(s, to, CT_HANDSHAKE, (struct tt_bytes){copy, message.len});
}

bool scene_sign(struct scene *s, enum tt_role of)
{
    struct tt_sign_request req;
    if (tt_conn_sign_request(s->conn[of], &req) != TT_OK)
        return false;
    uint8_t sig[1024];
    size_t len = test_sign(req.key, req.scheme, req.to_sign, sig, sizeof sig);
    (void)!tt_conn_sign_complete(s->conn[of], req.id, (struct tt_bytes){sig, len});
    scene_collect(s);
    return true;
}

static bool tick_of(struct scene *s, enum tt_role r)
{
    if (scene_sign(s, r))
        return true;
    if (scene_next(s, r).len == 0 || tt_conn_error(s->conn[r])->error.rc != TT_OK)
        return false;
    (void)!scene_deliver(s, r);
    return true;
}

bool scene_tick(struct scene *s)
{
    return tick_of(s, TT_SERVER) || tick_of(s, TT_CLIENT);
}

/* A first handshake for its ticket, then a second one whose ClientHello offers 0-RTT. */
void scene_reach_early(struct scene *s)
{
    if (s->session == NULL) {
        scene_finish(s);
        s->session = tt_conn_take_session(s->conn[TT_CLIENT]);
        assert_non_null(s->session);
    }
    scene_open(s);
    assert_true(tick_of(s, TT_SERVER));
    assert_int_equal(s->conn[TT_SERVER]->state, SERVER_WAIT_EOED);
}

void scene_reach_post(struct scene *s, enum conn_state state)
{
    scene_finish(s);
    assert_int_equal(tt_conn_request_certificate(s->conn[TT_SERVER]), TT_OK);
    scene_collect(s);
    enum tt_role end = state == CLIENT_POST_WAIT_SIGN ? TT_CLIENT : TT_SERVER;
    while (s->conn[end]->state != state)
        assert_true(end == TT_CLIENT ? scene_deliver(s, TT_CLIENT) == TT_OK : scene_tick(s));
}

void scene_reach(struct scene *s, enum tt_role end, enum conn_state state)
{
    while (s->conn[end]->state != state)
        if (!scene_tick(s) || tt_conn_error(s->conn[end])->error.rc != TT_OK)
            fail_msg("the %s never comes to %s: %s", end == TT_CLIENT ? "client" : "server",
                     conn_state_name(state), tt_conn_error(s->conn[end])->error.text);
    while (scene_next(s, end).len == 0 && tick_of(s, scene_other(end)))
        ;
}

void scene_finish(struct scene *s)
{
    while (scene_tick(s))
        ;
    scene_expect_well(s, TT_CLIENT, "the handshake");
    scene_expect_well(s, TT_SERVER, "the handshake");
    assert_true(tt_conn_is_connected(s->conn[TT_CLIENT]) && tt_conn_is_connected(s->conn[TT_SERVER]));
}

static const struct ks_secret *read_secret_of(const struct tt_conn *c)
{
    if (tt_conn_is_connected(c))
        return &c->read_secret;
    if (c->state == SERVER_WAIT_EOED)
        return &c->hs->early_traffic;
    if (c->cfg->role == TT_SERVER)
        return c->state == SERVER_CONNECTED ? &c->read_secret : &c->hs->client_hs;
    return c->state == CLIENT_CONNECTED || c->state == CLIENT_WAIT_SIGN ? &c->read_secret : &c->hs->server_hs;
}

void scene_seal(struct scene *s, enum tt_role to, struct scene_record record, size_t ahead, struct buf *out)
{
    const struct tt_conn *c = s->conn[to];
    struct rec_key key = {0};
    const struct rec_content content = {record.type, record.content, record.padding, TLS_VERSION_1_2};
    if (rec_key_is_set(&c->read_key)) {
        must(rec_key_set(&key, c->cfg->lib, c->suite, read_secret_of(c), true), "key", NULL);
        key.seq = c->read_key.seq + ahead;
    }
    must(rec_seal(&key, &content, out), "seal", NULL);
    rec_key_wipe(&key);
}

tt_rc scene_feed(struct scene *s, enum tt_role to, struct tt_bytes bytes)
{
    uint8_t *copy = malloc(bytes.len + (bytes.len == 0));
    assert_non_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    tt_rc rc = TT_OK;
    for (size_t done = 0, n = 1; rc == TT_OK && done < bytes.len && n > 0; done += n) {
        n = 0;
        rc = tt_conn_feed(s->conn[to], copy + done, bytes.len - done, &n);
    }
    free(copy);
    scene_collect(s);
    return rc;
}

tt_rc scene_put(struct scene *s, enum tt_role to, uint8_t type, struct tt_bytes content)
{
    struct buf out = {0};
    scene_seal(s, to, (struct scene_record){type, content, 0}, 0, &out);
    tt_rc rc = scene_feed(s, to, buf_bytes(&out));
    buf_free(&out);
    return rc;
}

tt_rc scene_put_clear(struct scene *s, enum tt_role to, uint8_t type, struct tt_bytes content)
{
    struct buf out = {0};
    struct rec_key none = {0};
    const struct rec_content c = {type, content, 0, TLS_VERSION_1_2};
    must(rec_seal(&none, &c, &out), "record", NULL);
    tt_rc rc = scene_feed(s, to, buf_bytes(&out));
    buf_free(&out);
    return rc;
}

void scene_expect_alert(struct scene *s, enum tt_role end, const char *what, unsigned alert)
{
    const struct tt_conn_status *st = tt_conn_error(s->conn[end]);
    if (st->error.rc == TT_OK)
        fail_msg("%s: no error (state %s), expected %s", what, conn_state_name(s->conn[end]->state),
                 tt_alert_name(alert));
    if (st->alert_sent != alert)
        fail_msg("%s: alert %s (%s), expected %s", what, tt_alert_name(st->alert_sent), st->error.text,
                 tt_alert_name(alert));
    if (s->alert[end].count != 1 || s->alert[end].level != 2 || s->alert[end].description != alert)
        fail_msg("%s: %zu alerts on the wire, the last of level %u and number %u, expected one of %u", what,
                 s->alert[end].count, s->alert[end].level, s->alert[end].description, alert);
    tt_rc rc = st->error.rc;
    size_t n = 0;
    const uint8_t more[] = {CT_HANDSHAKE, 3, 3, 0, 1, 0};
    assert_int_equal(tt_conn_feed(s->conn[end], more, sizeof more, &n), rc);
    assert_int_equal(tt_conn_write(s->conn[end], more, 1, &n), rc);
    assert_int_equal(tt_conn_output(s->conn[end]).len, 0);
    assert_int_equal(tt_conn_wants(s->conn[end]) & ~(unsigned)TT_WANT_PLAINTEXT, TT_WANT_CLOSED);
    assert_true(st->error.text[0] != '\0');
}

void scene_expect_well(const struct scene *s, enum tt_role end, const char *what)
{
    const struct tt_conn_status *st = tt_conn_error(s->conn[end]);
    if (st->error.rc != TT_OK)
        fail_msg("%s: the %s failed: %s (%s)", what, end == TT_CLIENT ? "client" : "server", st->error.text,
                 tt_alert_name(st->alert_sent));
}
