/* tests/tls/test_resume.c: tickets, external PSKs, 0-RTT and exporters, our client against our server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/hmac.h>
#include <string.h>

#include "support/pump.h"
#include "tls/conn.h"
#include "tpmtls/key.h"

/* What RFC 9846 demands here. Section 4.3.9: "In this mode, the client and server MUST supply "key_share"
 * values" Section 4.3.10: "MUST validate that the ticket age for the selected PSK identity" "A server which
 * receives an "early_data" extension MUST behave in one of three ways" "In order to accept early data, the
 * server MUST have selected the first key offered" "A TLS implementation MUST NOT automatically resend
 * early data" "the server MUST NOT respond with the extension and must discard all the first-flight data"
 * Section 4.3.11: "be used, and servers MUST ignore the value." Section 4.3.11.1: "Clients MUST NOT attempt
 * to use tickets which have ages greater than the "ticket_lifetime" value" Section 8: "would accept 0-RTT
 * for the same 0-RTT handshake at most once" Appendix F.5: "TLS implementations MUST NOT enable 0-RTT
 * (either sending or accepting) unless specifically requested by the application" */

#define NOW_MS (TEST_NOW * 1000)

static const struct tt_ticket_key key_a = {.name = {1}, .key = {1, 2, 3}};
static const struct tt_ticket_key key_b = {.name = {2}, .key = {4, 5, 6}};

/* A pump whose server issues tickets; options may be set before. */
static struct tt_tickets *start_with_tickets(struct pump *p)
{
    struct tt_tickets *t = NULL;
    assert_int_equal(tt_tickets_new(&t, NOW_MS - 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(t, &key_a, 1), TT_OK);
    p->tickets = t;
    p->tickets_count = 2;
    pump_start(p);
    pump_run(p);
    assert_true(tt_conn_is_connected(p->client));
    assert_true(tt_conn_is_connected(p->server));
    return t;
}

struct again {
    struct tt_session *session;
    bool early;
    int64_t later_s;
    const char *server_name;
};

/* New connections of the same configurations; does not run them. */
static void again(struct pump *p, const struct again *a)
{
    tt_conn_free(p->client);
    tt_conn_free(p->server);
    const struct tt_conn_options co = {.server_name = a->server_name != NULL ? a->server_name : "localhost",
                                       .now = TEST_NOW + a->later_s,
                                       .sessions = &a->session,
                                       .sessions_len = a->session != NULL,
                                       .early_data = a->early};
    const struct tt_conn_options so = {.now = TEST_NOW + a->later_s};
    assert_int_equal(tt_conn_new(&p->client, p->client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&p->server, p->server_cfg, &so, NULL), TT_OK);
}

static void assert_resumed(struct pump *p, bool resumed)
{
    struct tt_conn_info c, s;
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server))
        fail_msg("client: %s; server: %s", tt_conn_error(p->client)->error.text,
                 tt_conn_error(p->server)->error.text);
    tt_conn_info(p->client, &c);
    tt_conn_info(p->server, &s);
    assert_int_equal(c.resumed, resumed);
    assert_int_equal(s.resumed, resumed);
    pump_echo(p, p->client, p->server, 1000);
    pump_echo(p, p->server, p->client, 50000);
}

/* The age a client tells is never more than the true one: times are cut to milliseconds, and GnuTLS refuses
 * the 0-RTT data of a ticket that is older than it knows. */
static void assert_age_is_no_more_than_true(const struct pump *p, int64_t skew_ms)
{
    struct tt_conn_info s;
    tt_conn_info(p->server, &s);
    assert_int_equal(s.ticket_age_skew_ms, skew_ms);
}

static void test_resume(void **state)
{
    (void)state;
    static const uint16_t suites[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384,
                                      TT_SUITE_CHACHA20_POLY1305_SHA256};
    for (size_t i = 0; i < 3; i++)
        for (int retry = 0; retry < 2; retry++) {
            struct pump p = {.suite = suites[i],
                             .client_auth = TT_CLIENT_AUTH_REQUIRE,
                             .client_has_identity = true,
                             .force_retry = retry,
                             .alpn_client = "mqtt",
                             .alpn_server = "mqtt"};
            struct tt_tickets *t = start_with_tickets(&p);
            struct tt_session *s = tt_conn_take_session(p.client), *s2 = tt_conn_take_session(p.client);
            assert_non_null(s);
            assert_non_null(s2);
            assert_null(tt_conn_take_session(p.client));
            p.sign = SIGN_NEVER; /* a resumed handshake needs none */
            again(&p, &(struct again){.session = s});
            pump_run(&p);
            assert_resumed(&p, true);
            assert_age_is_no_more_than_true(&p, 0);
            /* the peer's certificates are known on both sides, and the resumed handshake gave new tickets */
            assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, p.client_key->cert_len);
            assert_int_equal(tt_conn_peer_certificate(p.client, 0).len, p.server_key->cert_len);
            struct tt_session *s3 = tt_conn_take_session(p.client);
            assert_non_null(s3);
            again(&p, &(struct again){.session = s3, .later_s = 100});
            pump_run(&p);
            assert_resumed(&p, true);
            assert_age_is_no_more_than_true(&p, -1);
            tt_session_free(s);
            tt_session_free(s2);
            tt_session_free(s3);
            tt_tickets_free(t);
            pump_free(&p);
        }
}

/* "Clients MUST only resume if the new SNI value is valid for the server certificate presented in the
 * original session, and SHOULD only resume if the SNI value matches the one used in the original session."
 * (section 4.7.1): a ticket for one name is not offered under another. */
static void test_only_for_the_same_name(void **state)
{
    (void)state;
    struct pump p = {0};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client);
    size_t sizes[2];
    for (int i = 0; i < 2; i++) {
        again(&p, &(struct again){.session = i == 0 ? s : NULL, .server_name = "localhosu"});
        sizes[i] = tt_conn_output(p.client).len;
    }
    assert_int_equal(sizes[0], sizes[1]); /* no identity, no binder */
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

/* "it is not possible to perform a KeyUpdate for early data; therefore, implementations MUST NOT exceed the
 * limits when sending early data" (section 5.5) */
static void test_early_data_ends_at_the_limit(void **state)
{
    (void)state;
    struct pump p = {.max_early_data = 100000};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client);
    again(&p, &(struct again){.session = s, .early = true});
    size_t n = 0;
    p.client->write_key.seq = suite_of(TT_SUITE_AES_128_GCM_SHA256)->record_limit - 1;
    assert_int_equal(tt_conn_write_early(p.client, (const uint8_t *)"a", 1, &n), TT_OK);
    assert_int_equal(n, 1);
    assert_int_equal(tt_conn_write_early(p.client, (const uint8_t *)"b", 1, &n), TT_OK);
    assert_int_equal(n, 0);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_falls_back(void **state)
{
    (void)state;
    struct pump p = {0};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client);
    /* another name */
    again(&p, &(struct again){.session = s, .server_name = "LOCALHOST"});
    (void)p;
    /* expired at the client: not offered; at the server: see the second pump below */
    again(&p, &(struct again){.session = s, .later_s = 8000});
    pump_run(&p);
    assert_resumed(&p, false);
    /* keys rotated away: a full handshake, no error */
    assert_int_equal(tt_tickets_set_keys(t, &key_b, 1), TT_OK);
    again(&p, &(struct again){.session = s});
    pump_run(&p);
    assert_resumed(&p, false);
    /* rotated, the previous one still known */
    const struct tt_ticket_key both[] = {key_b, key_a};
    assert_int_equal(tt_tickets_set_keys(t, both, 2), TT_OK);
    again(&p, &(struct again){.session = s});
    pump_run(&p);
    assert_resumed(&p, true);
    /* garbled */
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(tt_session_export(s, &bytes, &len), TT_OK);
    struct tt_session_info info;
    tt_session_info(s, &info);
    uint8_t *in = memmem(bytes, len, info.identity.data, info.identity.len);
    in[info.identity.len / 2] ^= 1;
    struct tt_session *garbled = NULL;
    assert_int_equal(tt_session_import(&garbled, (struct tt_bytes){bytes, len}), TT_OK);
    again(&p, &(struct again){.session = garbled});
    pump_run(&p);
    assert_resumed(&p, false);
    for (size_t cut = 0; cut < len; cut++) {
        struct tt_session *none = NULL;
        assert_int_equal(tt_session_import(&none, (struct tt_bytes){bytes, cut}), TT_ERR_DECODE);
    }
    tt_free(bytes);
    tt_session_free(garbled);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_wrong_psk_is_refused(void **state)
{
    (void)state;
    struct pump p = {0};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client), *wrong = NULL;
    uint8_t *bytes = NULL;
    size_t len = 0;
    assert_int_equal(tt_session_export(s, &bytes, &len), TT_OK);
    bytes[9] ^= 1; /* format, external, suite (2), group (2), certificate type, hash, length, key */
    assert_int_equal(tt_session_import(&wrong, (struct tt_bytes){bytes, len}), TT_OK);
    again(&p, &(struct again){.session = wrong});
    pump_run(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_DECRYPT_ERROR);
    tt_free(bytes);
    tt_session_free(wrong);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static size_t read_early(struct pump *p, uint8_t *to, size_t cap)
{
    size_t n = 0;
    for (;;) {
        (void)pump_move(p, p->client, p->server);
        struct tt_bytes b = tt_conn_early_plaintext(p->server);
        if (b.len == 0)
            return n;
        assert_true(n + b.len <= cap);
        assert_int_equal(tt_conn_plaintext(p->server).len, 0);
        assert_true(tt_conn_wants(p->server) & TT_WANT_EARLY_PLAINTEXT);
        memcpy(to + n, b.data, b.len);
        n += b.len;
        assert_int_equal(tt_conn_early_plaintext_done(p->server, b.len), TT_OK);
    }
}

static void test_early_data(void **state)
{
    (void)state;
    struct pump p = {.max_early_data = 20000};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client);
    uint8_t data[30000], got[40000];
    size_t n = 0;
    memset(data, 7, sizeof data);
    again(&p, &(struct again){.session = s, .early = true});
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_OFFERED);
    assert_int_equal(tt_conn_write_early(p.client, data, sizeof data, &n), TT_OK);
    assert_int_equal(n, 20000); /* what the ticket allows */
    assert_int_equal(read_early(&p, got, sizeof got), 20000);
    assert_memory_equal(got, data, 20000);
    /* Section 2.3: the server answers before the client's Finished; it cannot change keys there. */
    assert_false(tt_conn_is_connected(p.server));
    assert_int_equal(tt_conn_key_update(p.server, false), TT_ERR_USAGE);
    assert_int_equal(tt_conn_write(p.server, data, 100, &n), TT_OK);
    assert_int_equal(n, 100);
    uint8_t early_c[32], early_s[32];
    assert_int_equal(tt_conn_export_early(p.client, "l", (struct tt_bytes){0}, early_c, 32), TT_OK);
    assert_int_equal(tt_conn_export_early(p.server, "l", (struct tt_bytes){0}, early_s, 32), TT_OK);
    assert_memory_equal(early_c, early_s, 32);
    pump_run(&p);
    assert_int_equal(tt_conn_read(p.client, got, sizeof got, &n), TT_OK);
    assert_int_equal(n, 100);
    assert_memory_equal(got, data, 100);
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_ACCEPTED);
    assert_int_equal(tt_conn_early_status(p.server), TT_EARLY_ACCEPTED);
    assert_resumed(&p, true);

    /* The same ticket with fresh shares is a different ClientHello, accepted; a replay of the bytes is not.
     */
    again(&p, &(struct again){.session = s, .early = true});
    assert_int_equal(tt_conn_write_early(p.client, data, 100, &n), TT_OK);
    struct tt_bytes flight = tt_conn_output(p.client);
    uint8_t copy[4096];
    memcpy(copy, flight.data, flight.len);
    size_t flight_len = flight.len;
    assert_int_equal(read_early(&p, got, sizeof got), 100);
    struct tt_conn *replay = NULL;
    assert_int_equal(tt_conn_new(&replay, p.server_cfg, &(struct tt_conn_options){.now = TEST_NOW}, NULL),
                     TT_OK);
    assert_int_equal(tt_conn_feed(replay, copy, flight_len, &n), TT_OK);
    assert_int_equal(tt_conn_early_plaintext(replay).len, 0);
    assert_int_equal(tt_conn_early_status(replay), TT_EARLY_REJECTED);
    tt_conn_free(replay);

    /* Too old in the server's eyes: 1-RTT goes on. The skipped data is not delivered. */
    again(&p, &(struct again){.session = s, .early = true, .later_s = 30});
    tt_conn_set_now(p.server, NOW_MS + 100000);
    assert_int_equal(tt_conn_write_early(p.client, data, 15000, &n), TT_OK);
    pump_run(&p);
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_REJECTED);
    assert_resumed(&p, true);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

/* The client's whole first flight to that server, its 0-RTT data in records of `part` bytes. */
static const struct tt_conn_status *flight_to(struct pump *p, struct tt_session *s, struct tt_conn *server,
                                              size_t len, size_t part)
{
    static uint8_t data[100000];
    size_t n = 0, used = 0;
    again(p, &(struct again){.session = s, .early = true});
    for (size_t at = 0; at < len; at += n) {
        assert_int_equal(tt_conn_write_early(p->client, data, len - at < part ? len - at : part, &n), TT_OK);
        assert_int_not_equal(n, 0);
    }
    struct tt_bytes out = tt_conn_output(p->client);
    struct tt_sign_request q;
    tt_rc rc = tt_conn_feed(server, out.data, out.len, &used);
    if (tt_conn_sign_request(server, &q) == TT_OK) {
        uint8_t signature[256];
        size_t signed_len = test_sign(q.key, q.scheme, q.to_sign, signature, sizeof signature);
        assert_int_equal(tt_conn_sign_complete(server, q.id, (struct tt_bytes){signature, signed_len}),
                         TT_OK);
        rc = tt_conn_feed(server, out.data + used, out.len - used, &n);
        used += n;
    }
    if (rc == TT_OK)
        assert_int_equal(used, out.len);
    return tt_conn_error(server);
}

/* Refused 0-RTT data is counted by its payload: a server that takes none skips what another one of its fleet
 * allowed in the ticket; of a ticket that it cannot open, one record's worth. */
static void test_refused_early_data_is_skipped(void **state)
{
    (void)state;
    struct pump p = {.max_early_data = 100000}, fleet = {0}, stranger = {0};
    struct tt_tickets *t = start_with_tickets(&p), *of_stranger = NULL;
    assert_int_equal(tt_tickets_new(&of_stranger, NOW_MS - 1000, NULL), TT_OK);
    assert_int_equal(tt_tickets_set_keys(of_stranger, &(struct tt_ticket_key){.name = {9}}, 1), TT_OK);
    fleet.tickets = t;
    stranger.tickets = of_stranger;
    fleet.tickets_count = stranger.tickets_count = 1;
    pump_configs(&fleet);
    pump_configs(&stranger);
    const struct {
        struct pump *to;
        size_t len, part;
        unsigned alert;
    } rows[] = {{&fleet, 100000, 16384, TT_ALERT_NONE},
                {&fleet, 100000, 50, TT_ALERT_NONE},
                {&stranger, 16384, 16384, TT_ALERT_NONE},
                {&stranger, 16384, 64, TT_ALERT_NONE},
                {&stranger, 16385, 16384, TT_ALERT_BAD_RECORD_MAC},
                {&stranger, 20000, 10000, TT_ALERT_UNEXPECTED_MESSAGE}};
    struct tt_session *s = tt_conn_take_session(p.client);
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        struct tt_conn *server = NULL;
        assert_int_equal(
            tt_conn_new(&server, rows[i].to->server_cfg, &(struct tt_conn_options){.now = TEST_NOW}, NULL),
            TT_OK);
        const struct tt_conn_status *end = flight_to(&p, s, server, rows[i].len, rows[i].part);
        assert_int_equal(end->alert_sent, rows[i].alert);
        tt_conn_free(server);
    }
    tt_session_free(s);
    tt_tickets_free(t);
    tt_tickets_free(of_stranger);
    pump_free(&p);
    pump_free(&fleet);
    pump_free(&stranger);
}

/* After a HelloRetryRequest the skipping ends with the second ClientHello (section 4.3.10). */
static void test_skipping_ends_with_the_second_hello(void **state)
{
    (void)state;
    struct pump p = {.max_early_data = 20000, .force_retry = true};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client);
    static const uint8_t late[5 + 40] = {CT_APPLICATION_DATA, 3, 3, 0, 40};
    size_t n = 0;
    again(&p, &(struct again){.session = s, .early = true});
    assert_int_equal(tt_conn_write_early(p.client, late, sizeof late, &n), TT_OK);
    (void)pump_move(&p, p.client, p.server);
    assert_int_equal(tt_conn_feed(p.server, late, sizeof late, &n), TT_OK);
    (void)pump_move(&p, p.server, p.client);
    (void)pump_move(&p, p.client, p.server);
    assert_int_equal(tt_conn_error(p.server)->error.rc, TT_OK);
    assert_int_equal(tt_conn_feed(p.server, late, sizeof late, &n), TT_ERR_PROTOCOL);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_BAD_RECORD_MAC);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_early_data_after_retry(void **state)
{
    (void)state;
    struct pump p = {.max_early_data = 20000, .force_retry = true};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client);
    uint8_t data[5000] = {0};
    size_t n = 0;
    again(&p, &(struct again){.session = s, .early = true});
    assert_int_equal(tt_conn_write_early(p.client, data, sizeof data, &n), TT_OK);
    pump_run(&p);
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_REJECTED);
    assert_resumed(&p, true);
    tt_session_free(s);
    tt_tickets_free(t);
    pump_free(&p);
}

static void test_external_psk(void **state)
{
    (void)state;
    for (int sha384 = 0; sha384 < 2; sha384++) {
        static const uint8_t key[32] = {9, 9, 9};
        struct tt_session *psk = NULL;
        struct pump p = {.suite = sha384 ? TT_SUITE_AES_256_GCM_SHA384 : TT_SUITE_AES_128_GCM_SHA256,
                         .sign = SIGN_NEVER};
        assert_int_equal(tt_session_new_external(&psk, (struct tt_bytes){(const uint8_t *)"device-1", 8},
                                                 (struct tt_bytes){key, sizeof key}, sha384, NULL),
                         TT_OK);
        p.external_psk = psk;
        pump_start(&p);
        again(&p, &(struct again){.session = psk, .later_s = 1000000});
        pump_run(&p);
        assert_resumed(&p, true);
        tt_session_free(psk);
        pump_free(&p);
    }
}

static void test_exporters_agree(void **state)
{
    (void)state;
    struct pump p = {0};
    pump_start(&p);
    pump_run(&p);
    uint8_t c[100], s[100], other[100];
    struct tt_bytes context = {(const uint8_t *)"ctx", 3};
    assert_int_equal(tt_conn_export(p.client, "EXPERIMENTAL x", context, c, sizeof c), TT_OK);
    assert_int_equal(tt_conn_export(p.server, "EXPERIMENTAL x", context, s, sizeof s), TT_OK);
    assert_memory_equal(c, s, sizeof c);
    assert_int_equal(tt_conn_export(p.server, "EXPERIMENTAL y", context, other, sizeof other), TT_OK);
    assert_memory_not_equal(c, other, sizeof c);
    assert_int_equal(tt_conn_channel_binding(p.client, c), TT_OK);
    assert_int_equal(tt_conn_channel_binding(p.server, s), TT_OK);
    assert_memory_equal(c, s, 32);
    assert_int_equal(tt_conn_export_early(p.client, "x", context, c, 32), TT_ERR_USAGE);
    assert_int_equal(tt_conn_send_ticket(p.server), TT_ERR_USAGE);
    pump_free(&p);
}

/* A stand-in for the TPM: two HMAC keys, and a record of what it was asked. */
struct holder {
    uint8_t k1[32], k2[32];
    uint8_t asked[8][96];
    size_t asked_len[8], n;
};

static void answer_psk(struct pump *p)
{
    struct tt_psk_request req;
    while ((tt_conn_wants(p->client) & TT_WANT_PSK) != 0) {
        assert_int_equal(tt_conn_wants(p->client) & TT_WANT_INPUT, 0);
        assert_int_equal(tt_conn_psk_request(p->client, &req), TT_OK);
        struct holder *h = req.key;
        assert_true(h->n < 8);
        memcpy(h->asked[h->n], req.input.data, req.input.len);
        h->asked_len[h->n++] = req.input.len;
        uint8_t out[32];
        const uint8_t *key = req.operation == TT_PSK_BINDER ? h->k1 : h->k2;
        assert_non_null(HMAC(EVP_sha256(), key, 32, req.input.data, req.input.len, out, NULL));
        assert_int_equal(tt_conn_psk_complete(p->client, req.id + 100, (struct tt_bytes){out, 32}),
                         TT_ERR_USAGE);
        assert_int_equal(tt_conn_psk_complete(p->client, req.id, (struct tt_bytes){out, 32}), TT_OK);
        pump_run(p);
    }
}

static void test_held_psk(void **state)
{
    (void)state;
    for (int retry = 0; retry < 2; retry++) {
        struct pump p = {.suite = TT_SUITE_AES_128_GCM_SHA256, .force_retry = retry};
        struct tt_tickets *t = start_with_tickets(&p);
        struct tt_session *s = tt_conn_take_session(p.client), *held = NULL, *stored = NULL;
        struct holder h = {.n = 0};
        assert_int_equal(tt_session_hold(&held, s, &h, h.k1, h.k2, NULL), TT_OK);
        /* What is stored has no secret in it: not the PSK, not k1, not k2. */
        uint8_t *bytes = NULL, *with_psk = NULL;
        size_t len = 0, with_psk_len = 0;
        assert_int_equal(tt_session_export(held, &bytes, &len), TT_OK);
        assert_int_equal(tt_session_export(s, &with_psk, &with_psk_len), TT_OK);
        assert_null(memmem(bytes, len, with_psk + 6, 32));
        assert_null(memmem(bytes, len, h.k1, 32));
        assert_null(memmem(bytes, len, h.k2, 32));
        assert_int_equal(tt_session_import_held(&stored, (struct tt_bytes){with_psk, with_psk_len}, &h),
                         TT_ERR_DECODE);
        assert_int_equal(tt_session_import_held(&stored, (struct tt_bytes){bytes, len}, &h), TT_OK);
        p.sign = SIGN_NEVER;
        for (int round = 0; round < 2; round++) {
            again(&p, &(struct again){.session = stored});
            pump_run(&p);
            answer_psk(&p);
            assert_resumed(&p, true);
        }
        /* two requests a handshake (three after a retry: two binders), and never the same twice */
        assert_int_equal(h.n, retry ? 6 : 4);
        for (size_t i = 0; i < h.n; i++)
            for (size_t j = 0; j < i; j++)
                assert_false(h.asked_len[i] == h.asked_len[j] &&
                             memcmp(h.asked[i], h.asked[j], h.asked_len[i]) == 0);
        tt_free(bytes);
        tt_free(with_psk);
        tt_session_free(s);
        tt_session_free(held);
        tt_session_free(stored);
        tt_tickets_free(t);
        pump_free(&p);
    }
}

static void test_held_psk_fails(void **state)
{
    (void)state;
    struct pump p = {.suite = TT_SUITE_AES_128_GCM_SHA256};
    struct tt_tickets *t = start_with_tickets(&p);
    struct tt_session *s = tt_conn_take_session(p.client), *held = NULL;
    struct holder h = {.n = 0};
    assert_int_equal(tt_session_hold(&held, s, &h, h.k1, h.k2, NULL), TT_OK);
    struct tt_session *twice = NULL;
    assert_int_equal(tt_session_hold(&twice, held, &h, h.k1, h.k2, NULL), TT_ERR_USAGE);
    /* the holder has no answer */
    again(&p, &(struct again){.session = held, .early = true});
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_NONE);
    struct tt_psk_request req;
    const struct tt_error why = {.rc = TT_ERR_TPM, .text = "no such key"};
    assert_int_equal(tt_conn_psk_request(p.client, &req), TT_OK);
    assert_int_equal(tt_conn_psk_fail(p.client, req.id, &why), TT_ERR_TPM);
    assert_string_equal(tt_conn_error(p.client)->error.text, "no such key");
    /* the holder has another key: the server sees a wrong binder */
    again(&p, &(struct again){.session = held});
    memset(h.k1, 1, sizeof h.k1);
    answer_psk(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_DECRYPT_ERROR);
    /* freed while it waits */
    again(&p, &(struct again){.session = held});
    assert_true(tt_conn_wants(p.client) & TT_WANT_PSK);
    tt_session_free(s);
    tt_session_free(held);
    tt_tickets_free(t);
    pump_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_falls_back),
        cmocka_unit_test(test_only_for_the_same_name),
        cmocka_unit_test(test_early_data_ends_at_the_limit),
        cmocka_unit_test(test_wrong_psk_is_refused),
        cmocka_unit_test(test_early_data),
        cmocka_unit_test(test_early_data_after_retry),
        cmocka_unit_test(test_refused_early_data_is_skipped),
        cmocka_unit_test(test_skipping_ends_with_the_second_hello),
        cmocka_unit_test(test_external_psk),
        cmocka_unit_test(test_exporters_agree),
        cmocka_unit_test(test_held_psk),
        cmocka_unit_test(test_held_psk_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
