/* tests/tls/test_pump.c: whole handshakes of our client against our server: every path x every suite x every
 * way in which a signature can come, in any split of the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/pump.h"

/* What RFC 9846 demands here. Section 4.3.8: "Clients and Servers MUST NOT reuse a key share for multiple
 * connections." Section 4.5.1: "The client MUST send a Certificate message if and only if the server has
 * requested certificate-based client authentication" "the client MUST send a Certificate message containing
 * no certificates" "A Finished message MUST be sent regardless of whether the Certificate message is
 * empty." Section 4.5.2: "Clients MUST send this message whenever authenticating via a certificate" Section
 * 6.1: "This alert MUST be sent with AlertLevel=warning." "Each party MUST send a "close_notify" alert
 * before closing its write side of the connection" "the TLS implementation MUST receive a "close_notify"
 * alert before indicating end-of-data to the application layer." Section 9.2: "all implementations MUST
 * support the use of the "server_name" extension" */

static void assert_connected(struct pump *p)
{
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server))
        fail_msg("client: %s (%s); server: %s (%s)", tt_conn_error(p->client)->error.text,
                 tt_alert_name(tt_conn_error(p->client)->alert_sent), tt_conn_error(p->server)->error.text,
                 tt_alert_name(tt_conn_error(p->server)->alert_sent));
}

static void check_matrix(uint16_t suite, bool retry, bool client_auth, enum pump_sign sign, const char *kind)
{
    struct pump p = {.suite = suite,
                     .server_group = retry ? TT_GROUP_SECP384R1 : 0,
                     .client_auth = client_auth ? TT_CLIENT_AUTH_REQUIRE : TT_CLIENT_AUTH_NONE,
                     .client_has_identity = client_auth,
                     .sign = sign,
                     .key_kind = kind};
    pump_start(&p);
    pump_run(&p);
    if (sign == SIGN_AT_ONCE || sign == SIGN_LATE) {
        assert_connected(&p);
        struct tt_conn_info client, server;
        tt_conn_info(p.client, &client);
        tt_conn_info(p.server, &server);
        assert_int_equal(client.suite, suite);
        assert_int_equal(server.suite, suite);
        assert_int_equal(client.hello_retry_request, retry);
        assert_int_equal(client.group, retry ? TT_GROUP_SECP384R1 : TT_GROUP_X25519);
        assert_int_equal(client.peer_scheme, server.local_scheme);
        assert_int_equal(server.peer_scheme, client.local_scheme);
        assert_int_equal(server.peer_chain_len, client_auth ? 1 : 0);
        pump_echo(&p, p.client, p.server, 100000);
        pump_echo(&p, p.server, p.client, 1);
    } else if (sign == SIGN_FAILS) {
        assert_int_equal(tt_conn_error(p.server)->error.rc, TT_ERR_TPM);
        assert_string_equal(tt_conn_error(p.server)->error.text, "the test double refuses");
        assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_INTERNAL_ERROR);
        assert_int_equal(tt_conn_error(p.client)->error.rc, TT_ERR_PEER_ALERT);
        assert_int_equal(tt_conn_error(p.client)->alert_received, TT_ALERT_INTERNAL_ERROR);
    } else { /* freed while pending */
        assert_int_equal(tt_conn_wants(p.server) & TT_WANT_SIGN, TT_WANT_SIGN);
    }
    pump_free(&p);
}

static void test_matrix(void **state)
{
    (void)state;
    static const uint16_t suites[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384,
                                      TT_SUITE_CHACHA20_POLY1305_SHA256};
    for (size_t s = 0; s < 3; s++)
        for (int retry = 0; retry < 2; retry++)
            for (int auth = 0; auth < 2; auth++)
                for (enum pump_sign sign = SIGN_AT_ONCE; sign <= SIGN_NEVER; sign++)
                    check_matrix(suites[s], retry, auth, sign, NULL);
}

static void test_key_kinds(void **state)
{
    (void)state;
    static const char *const kinds[] = {"P-256", "P-384", "ED25519", "RSA"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        check_matrix(TT_SUITE_AES_128_GCM_SHA256, false, true, SIGN_AT_ONCE, kinds[i]);
}

static void test_client_signature_fails(void **state)
{
    (void)state;
    struct pump p = {.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_has_identity = true};
    pump_start(&p);
    /* the server signs, the client's signer then breaks */
    for (int i = 0; i < 10 && (tt_conn_wants(p.client) & TT_WANT_SIGN) == 0; i++) {
        p.sign = SIGN_AT_ONCE;
        (void)pump_move(&p, p.client, p.server);
        if (tt_conn_wants(p.server) & TT_WANT_SIGN) {
            struct tt_sign_request req;
            uint8_t sig[256];
            assert_int_equal(tt_conn_sign_request(p.server, &req), TT_OK);
            size_t n = test_sign(req.key, req.scheme, req.to_sign, sig, sizeof sig);
            assert_int_equal(tt_conn_sign_complete(p.server, req.id + 1, (struct tt_bytes){sig, n}),
                             TT_ERR_USAGE);
            assert_int_equal(tt_conn_sign_complete(p.server, req.id, (struct tt_bytes){sig, n}), TT_OK);
        }
        (void)pump_move(&p, p.server, p.client);
    }
    assert_int_equal(tt_conn_wants(p.client) & TT_WANT_SIGN, TT_WANT_SIGN);
    p.sign = SIGN_FAILS;
    pump_run(&p);
    assert_int_equal(tt_conn_error(p.client)->error.rc, TT_ERR_TPM);
    assert_int_equal(tt_conn_error(p.server)->alert_received, TT_ALERT_INTERNAL_ERROR);
    pump_free(&p);
}

static void test_one_byte_at_a_time(void **state)
{
    (void)state;
    for (size_t split = 1; split < 8; split += 3) {
        struct pump p = {.split = split,
                         .client_auth = TT_CLIENT_AUTH_REQUIRE,
                         .client_has_identity = true,
                         .force_retry = split == 4};
        pump_start(&p);
        pump_run(&p);
        assert_connected(&p);
        pump_echo(&p, p.client, p.server, 40000);
        pump_free(&p);
    }
}

static void test_cookie_retry(void **state)
{
    (void)state;
    struct pump p = {.force_retry = true};
    pump_start(&p);
    pump_run(&p);
    assert_connected(&p);
    struct tt_conn_info info;
    tt_conn_info(p.server, &info);
    assert_true(info.hello_retry_request);
    assert_int_equal(info.group, TT_GROUP_X25519);
    pump_free(&p);
}

static void test_alpn(void **state)
{
    (void)state;
    struct pump p = {.alpn_client = "mqtt", .alpn_server = "mqtt"};
    pump_start(&p);
    pump_run(&p);
    assert_connected(&p);
    struct tt_conn_info info;
    tt_conn_info(p.client, &info);
    assert_int_equal(info.alpn.len, 4);
    assert_memory_equal(info.alpn.data, "mqtt", 4);
    pump_free(&p);

    struct pump q = {.alpn_client = "mqtt", .alpn_server = "h2"};
    pump_start(&q);
    pump_run(&q);
    assert_int_equal(tt_conn_error(q.server)->alert_sent, TT_ALERT_NO_APPLICATION_PROTOCOL);
    assert_int_equal(tt_conn_error(q.client)->error.rc, TT_ERR_PEER_ALERT);
    pump_free(&q);
}

static void test_server_name_reaches_the_server(void **state)
{
    (void)state;
    static const char *const names[] = {"localhost", "localhost."}; /* the dot is for resolvers alone */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct pump p = {.server_name = names[i]};
        pump_start(&p);
        pump_run(&p);
        assert_connected(&p);
        struct tt_conn_info info;
        tt_conn_info(p.server, &info);
        assert_int_equal(info.server_name.len, strlen("localhost"));
        assert_memory_equal(info.server_name.data, "localhost", info.server_name.len);
        pump_free(&p);
    }
}

static void test_wrong_name(void **state)
{
    (void)state;
    struct pump p = {.server_name = "example.org"};
    pump_start(&p);
    pump_run(&p);
    assert_int_equal(tt_conn_error(p.client)->error.rc, TT_ERR_VERIFY);
    assert_int_equal(tt_conn_error(p.client)->alert_sent, TT_ALERT_BAD_CERTIFICATE);
    assert_non_null(strstr(tt_conn_error(p.client)->error.text, "is not for \"example.org\""));
    assert_int_equal(tt_conn_error(p.server)->error.rc, TT_ERR_PEER_ALERT);
    pump_free(&p);
}

static void test_client_without_certificate(void **state)
{
    (void)state;
    struct pump p = {.client_auth = TT_CLIENT_AUTH_REQUIRE};
    pump_start(&p);
    pump_run(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_CERTIFICATE_REQUIRED);
    assert_int_equal(tt_conn_error(p.client)->alert_received, TT_ALERT_CERTIFICATE_REQUIRED);
    pump_free(&p);

    struct pump q = {.client_auth = TT_CLIENT_AUTH_REQUEST};
    pump_start(&q);
    pump_run(&q);
    assert_connected(&q);
    pump_free(&q);
}

static void test_key_update(void **state)
{
    (void)state;
    struct pump p = {0};
    pump_start(&p);
    pump_run(&p);
    assert_connected(&p);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(tt_conn_key_update(p.client, i % 2 == 0), TT_OK);
        pump_echo(&p, p.client, p.server, 1000);
        pump_run(&p);
        pump_echo(&p, p.server, p.client, 1000);
        pump_run(&p);
    }
    pump_free(&p);
}

static void test_half_close(void **state)
{
    (void)state;
    struct pump p = {0};
    pump_start(&p);
    pump_run(&p);
    assert_connected(&p);
    assert_int_equal(tt_conn_close(p.client), TT_OK);
    pump_run(&p);
    assert_true(tt_conn_received_close_notify(p.server));
    assert_true(tt_conn_wants(p.server) & TT_WANT_CLOSED);
    size_t n = 0;
    assert_int_equal(tt_conn_write(p.client, (const uint8_t *)"x", 1, &n), TT_ERR_USAGE);
    pump_echo(&p, p.server, p.client, 70000); /* the other direction goes on */
    assert_int_equal(tt_conn_feed_eof(p.server), TT_OK);
    assert_int_equal(tt_conn_feed_eof(p.client), TT_ERR_CLOSED); /* no close_notify came from the server */
    pump_free(&p);
}

static void test_unread_plaintext_survives_eof(void **state)
{
    (void)state;
    struct pump p = {0};
    pump_start(&p);
    pump_run(&p);
    size_t n = 0;
    assert_int_equal(tt_conn_write(p.server, (const uint8_t *)"last words", 10, &n), TT_OK);
    (void)pump_move(&p, p.server, p.client);
    assert_int_equal(tt_conn_feed_eof(p.client), TT_ERR_CLOSED);
    uint8_t got[32];
    assert_int_equal(tt_conn_read(p.client, got, sizeof got, &n), TT_OK);
    assert_int_equal(n, 10);
    assert_memory_equal(got, "last words", 10);
    assert_int_equal(tt_conn_read(p.client, got, sizeof got, &n), TT_ERR_CLOSED);
    pump_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_key_kinds),
        cmocka_unit_test(test_client_signature_fails),
        cmocka_unit_test(test_one_byte_at_a_time),
        cmocka_unit_test(test_cookie_retry),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_server_name_reaches_the_server),
        cmocka_unit_test(test_wrong_name),
        cmocka_unit_test(test_client_without_certificate),
        cmocka_unit_test(test_key_update),
        cmocka_unit_test(test_half_close),
        cmocka_unit_test(test_unread_plaintext_survives_eof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
