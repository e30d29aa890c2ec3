/* tests/tls/test_post_auth.c: client authentication after the handshake (RFC 9846 section 4.7.2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/pump.h"

/* What RFC 9846 demands here. Section 4.4.2: "The certificate_request_context MUST be unique within the
 * scope of this connection" Section 4.3.6: "Servers MUST NOT send a post-handshake CertificateRequest to
 * clients which do not offer this extension." Section 4.7.2: "The client MUST respond with the appropriate
 * Authentication messages" "If the client chooses to authenticate, it MUST send Certificate,
 * CertificateVerify, and Finished." "it MUST send a Certificate message containing no certificates followed
 * by Finished." "servers MUST be prepared for some delay, including receiving an arbitrary number of other
 * messages" */

static bool client_offers;

static void post_auth_on(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    assert_int_equal(tt_config_set_post_handshake_auth(client, client_offers), TT_OK);
    assert_int_equal(tt_config_set_post_handshake_auth(server, true), TT_OK);
}

static void start(struct pump *p)
{
    p->server_asks_later = true;
    p->configure = post_auth_on;
    pump_start(p);
    pump_run(p);
    assert_true(tt_conn_is_connected(p->client) && tt_conn_is_connected(p->server));
    assert_int_equal(tt_conn_peer_certificate(p->server, 0).len, 0);
}

static void assert_well(struct pump *p)
{
    assert_int_equal(tt_conn_error(p->client)->error.rc, TT_OK);
    assert_int_equal(tt_conn_error(p->server)->error.rc, TT_OK);
    pump_echo(p, p->client, p->server, 1000);
    pump_echo(p, p->server, p->client, 1000);
}

static void test_asked_twice_with_key_updates(void **state)
{
    (void)state;
    client_offers = true;
    static const enum pump_sign ways[] = {SIGN_AT_ONCE, SIGN_LATE};
    for (size_t i = 0; i < 2; i++) {
        struct pump p = {.client_has_identity = true, .sign = ways[i]};
        start(&p);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
            assert_true(tt_conn_certificate_requested(p.server));
            assert_int_equal(tt_conn_request_certificate(p.server), TT_ERR_BUSY);
            assert_int_equal(tt_conn_key_update(p.client, true), TT_OK); /* crosses the request */
            pump_run(&p);
            assert_false(tt_conn_certificate_requested(p.server));
            assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, p.client_key->cert_len);
            assert_well(&p);
        }
        pump_free(&p);
    }
}

static void test_client_declines(void **state)
{
    (void)state;
    client_offers = true;
    struct pump p = {0};
    start(&p);
    assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
    pump_run(&p);
    assert_false(tt_conn_certificate_requested(p.server));
    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, 0);
    assert_well(&p);
    pump_free(&p);
}

static void test_data_may_come_before_the_answer(void **state)
{
    (void)state;
    client_offers = true;
    struct pump p = {.client_has_identity = true, .sign = SIGN_NEVER};
    p.configure = post_auth_on;
    p.server_asks_later = true;
    pump_start(&p);
    p.sign = SIGN_AT_ONCE;
    pump_run(&p);
    p.sign = SIGN_NEVER;
    assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
    pump_run(&p);
    assert_true(tt_conn_wants(p.client) & TT_WANT_SIGN);
    pump_echo(&p, p.client, p.server, 5000); /* while the signer thinks */
    p.sign = SIGN_AT_ONCE;
    pump_run(&p);
    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, p.client_key->cert_len);
    assert_well(&p);
    pump_free(&p);
}

static void test_not_offered(void **state)
{
    (void)state;
    client_offers = false;
    struct pump p = {.client_has_identity = true};
    start(&p);
    assert_int_equal(tt_conn_request_certificate(p.server), TT_ERR_UNSUPPORTED);
    assert_int_equal(tt_conn_request_certificate(p.client), TT_ERR_USAGE);
    assert_well(&p);
    pump_free(&p);
}

/* "servers which are authenticating with an external PSK MUST NOT send the CertificateRequest message in the
 * main handshake or request post-handshake authentication" (section 4.4.2) */
static void test_not_beside_an_external_psk(void **state)
{
    (void)state;
    static const uint8_t key[32] = {1};
    struct tt_session *psk = NULL;
    assert_int_equal(tt_session_new_external(&psk, (struct tt_bytes){(const uint8_t *)"device", 6},
                                             (struct tt_bytes){key, sizeof key}, false, NULL),
                     TT_OK);
    client_offers = true;
    struct pump p = {.client_has_identity = true, .external_psk = psk, .client_auth = TT_CLIENT_AUTH_REQUEST};
    p.configure = post_auth_on;
    pump_configs(&p);
    const struct tt_conn_options co = {
        .server_name = "localhost", .now = TEST_NOW, .sessions = &psk, .sessions_len = 1};
    assert_int_equal(tt_conn_new(&p.client, p.client_cfg, &co, NULL), TT_OK);
    assert_int_equal(tt_conn_new(&p.server, p.server_cfg, &(struct tt_conn_options){.now = TEST_NOW}, NULL),
                     TT_OK);
    pump_run(&p);
    struct tt_conn_info info;
    tt_conn_info(p.server, &info);
    assert_true(tt_conn_is_connected(p.server) && info.resumed && info.peer_chain_len == 0);
    assert_int_equal(tt_conn_request_certificate(p.server), TT_ERR_UNSUPPORTED);
    assert_well(&p);
    tt_session_free(psk);
    pump_free(&p);
}

static void test_signature_fails(void **state)
{
    (void)state;
    client_offers = true;
    struct pump p = {.client_has_identity = true};
    start(&p);
    p.sign = SIGN_FAILS;
    assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
    pump_run(&p);
    assert_int_equal(tt_conn_error(p.client)->error.rc, TT_ERR_TPM);
    assert_int_equal(tt_conn_error(p.server)->alert_received, TT_ALERT_INTERNAL_ERROR);
    pump_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asked_twice_with_key_updates),    cmocka_unit_test(test_client_declines),
        cmocka_unit_test(test_data_may_come_before_the_answer), cmocka_unit_test(test_not_offered),
        cmocka_unit_test(test_not_beside_an_external_psk),      cmocka_unit_test(test_signature_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
