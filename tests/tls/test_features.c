/* tests/tls/test_features.c: the extensions that a handshake may carry: certificate compression, stapled OCSP
 * responses and timestamps, record_size_limit, padding, choice by name and by CA, GREASE, key logging, every
 * group. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "support/pump.h"

/* What RFC 9846 demands here. Section 4.5.1.1: "MUST be a CertificateStatus structure as defined in"
 * Section 7.5: "Implementations MUST use the exporter_secret unless explicitly specified by the
 * application." */

static void assert_connected(struct pump *p)
{
    if (!tt_conn_is_connected(p->client) || !tt_conn_is_connected(p->server))
        fail_msg("client: %s; server: %s", tt_conn_error(p->client)->error.text,
                 tt_conn_error(p->server)->error.text);
}

static void run(struct pump *p)
{
    pump_start(p);
    pump_run(p);
    assert_connected(p);
    pump_echo(p, p->client, p->server, 40000);
    pump_echo(p, p->server, p->client, 40000);
}

static uint16_t algorithm;

static void compression_on(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    assert_int_equal(tt_config_set_certificate_compression(client, &algorithm, 1), TT_OK);
    assert_int_equal(tt_config_set_certificate_compression(server, &algorithm, 1), TT_OK);
}

static void test_certificate_compression(void **state)
{
    (void)state;
    static const uint16_t all[] = {TT_COMPRESSION_ZLIB, TT_COMPRESSION_BROTLI, TT_COMPRESSION_ZSTD};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        algorithm = all[i];
        struct tt_config *probe = NULL;
        assert_int_equal(tt_config_new(&probe, TT_CLIENT, NULL), TT_OK);
        bool there = tt_config_set_certificate_compression(probe, &algorithm, 1) == TT_OK;
        tt_config_free(probe);
        if (!there)
            continue;
        struct pump plain = {.client_auth = TT_CLIENT_AUTH_REQUIRE, .client_has_identity = true};
        struct pump p = plain;
        p.configure = compression_on;
        run(&plain);
        run(&p);
        assert_int_equal(tt_conn_peer_certificate(p.client, 0).len, p.server_key->cert_len);
        assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, p.client_key->cert_len);
        struct tt_conn_info a, b;
        tt_conn_info(plain.server, &a);
        tt_conn_info(p.server, &b);
        assert_int_not_equal(a.handshake_bytes_out, b.handshake_bytes_out); /* it was another message */
        pump_free(&plain);
        pump_free(&p);
    }
}

static const uint8_t some_ocsp[] = "not an OCSP response", some_scts[] = {0, 4, 0, 2, 7, 7};

static void staple_on(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    const struct tt_bytes chain = {p->server_key->cert, p->server_key->cert_len};
    struct tt_identity id = {&chain,
                             1,
                             p->server_key,
                             &p->server_key->scheme,
                             1,
                             {some_ocsp, sizeof some_ocsp},
                             {some_scts, sizeof some_scts}};
    assert_int_equal(tt_config_add_identity(server, &id, NULL), TT_OK);
    assert_int_equal(tt_config_set_request_scts(client, true), TT_OK);
}

static void test_timestamps_are_passed_through(void **state)
{
    (void)state;
    struct pump p = {.configure = staple_on, .no_server_identity = true};
    run(&p);
    assert_int_equal(tt_conn_peer_scts(p.client).len, sizeof some_scts);
    assert_memory_equal(tt_conn_peer_scts(p.client).data, some_scts, sizeof some_scts);
    assert_int_equal(tt_conn_peer_ocsp(p.client).len, 0); /* it was not asked for */
    pump_free(&p);
}

/* RFC 6962 section 3.3: an ill-formed list would only be refused by the peer, so it is refused here. */
static void test_malformed_timestamps_are_refused(void **state)
{
    (void)state;
    static const uint8_t lists[][6] = {
        {0, 3, 0, 2, 7, 7}, {0, 4, 0, 3, 7, 7}, {0, 4, 0, 0, 0, 0}, {0, 0, 0, 2, 7, 7}};
    static const uint8_t der[] = {0x30, 0};
    static const uint16_t scheme = TT_SCHEME_ED25519;
    const struct tt_bytes chain = {der, sizeof der};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct tt_config *cfg = NULL;
        struct tt_error err = {0};
        assert_int_equal(tt_config_new(&cfg, TT_SERVER, NULL), TT_OK);
        const struct tt_identity id = {.chain = &chain,
                                       .chain_len = 1,
                                       .schemes = &scheme,
                                       .schemes_len = 1,
                                       .sct_list = {lists[i], sizeof lists[i]}};
        assert_int_equal(tt_config_add_identity(cfg, &id, &err), TT_ERR_USAGE);
        assert_non_null(strstr(err.text, "timestamps"));
        tt_config_free(cfg);
    }
}

/* An application that does not like its peer says so with an alert of its own. */
static void test_an_application_refuses_its_peer(void **state)
{
    (void)state;
    struct pump p = {.configure = NULL};
    run(&p);
    assert_int_equal(tt_conn_abort(p.client, TT_ALERT_CLOSE_NOTIFY, "no"), TT_ERR_USAGE);
    assert_int_equal(tt_conn_abort(p.client, 256, "no"), TT_ERR_USAGE);
    assert_int_equal(tt_conn_abort(p.client, TT_ALERT_ACCESS_DENIED, "not on the list"), TT_OK);
    assert_int_equal(tt_conn_error(p.client)->error.rc, TT_ERR_VERIFY);
    assert_string_equal(tt_conn_error(p.client)->error.text, "not on the list");
    assert_int_equal(tt_conn_abort(p.client, TT_ALERT_ACCESS_DENIED, "again"), TT_ERR_VERIFY);
    struct tt_bytes out = tt_conn_output(p.client);
    size_t taken = 0;
    assert_int_equal(tt_conn_feed(p.server, out.data, out.len, &taken), TT_ERR_PEER_ALERT);
    assert_int_equal(tt_conn_error(p.server)->alert_received, TT_ALERT_ACCESS_DENIED);
    pump_free(&p);
}

static void limits_on(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    assert_int_equal(tt_config_set_record_size_limit(client, 500), TT_OK);
    assert_int_equal(tt_config_set_record_size_limit(server, 100), TT_OK);
    assert_int_equal(tt_config_set_record_size_limit(server, 63), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_padding(client, 64), TT_OK);
}

/* The largest record in the output, header included. */
static size_t largest_record(struct tt_bytes out)
{
    size_t largest = 0;
    for (size_t at = 0; at + 5 <= out.len;) {
        size_t len = 5 + ((size_t)out.data[at + 3] << 8 | out.data[at + 4]);
        largest = len > largest ? len : largest;
        at += len;
    }
    return largest;
}

static void test_record_size_limit_and_padding(void **state)
{
    (void)state;
    struct pump p = {
        .configure = limits_on, .client_auth = TT_CLIENT_AUTH_REQUIRE, .client_has_identity = true};
    run(&p);
    uint8_t data[3000] = {0};
    size_t n = 0;
    assert_int_equal(tt_conn_write(p.client, data, sizeof data, &n), TT_OK);
    assert_int_equal(largest_record(tt_conn_output(p.client)), 5 + 100 + 16);
    pump_run(&p);
    assert_int_equal(tt_conn_plaintext_done(p.server, 99), TT_OK);
    assert_int_equal(tt_conn_write(p.server, data, sizeof data, &n), TT_OK);
    assert_int_equal(largest_record(tt_conn_output(p.server)), 5 + 500 + 16);
    pump_free(&p);

    struct pump q = {.configure = limits_on};
    run(&q);
    assert_int_equal(tt_conn_write(q.client, data, 1, &n), TT_OK);
    assert_int_equal(tt_conn_output(q.client).len, 5 + 64 + 1 + 16); /* padded to 64 */
    pump_free(&q);
}

static struct test_key *other_ca, *second;

static void two_identities(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)client;
    second = test_key_new(
        "P-256",
        &(struct test_cert){.cn = "second", .dns = "*.example.org", .eku = "serverAuth", .issuer = p->ca});
    const struct tt_bytes chain = {second->cert, second->cert_len};
    const struct tt_identity id = {&chain, 1, second, &second->scheme, 1, {0}, {0}};
    assert_int_equal(tt_config_add_identity(server, &id, NULL), TT_OK);
}

static void test_identity_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"localhost", "a.example.org"};
    for (size_t i = 0; i < 2; i++) {
        struct pump p = {.configure = two_identities, .server_name = names[i]};
        run(&p);
        pump_free(&p);
        test_key_free(second);
    }
}

static void make_of_other_ca(void)
{
    other_ca = test_key_new("P-256", &(struct test_cert){.cn = "other CA"});
    second = test_key_new("P-256",
                          &(struct test_cert){.cn = "of the other", .eku = "clientAuth", .issuer = other_ca});
}

static void client_of_two_cas(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    (void)server;
    make_of_other_ca();
    const struct tt_bytes chain = {second->cert, second->cert_len};
    const struct tt_bytes right = {p->client_key->cert, p->client_key->cert_len};
    const struct tt_identity wrong_id = {&chain, 1, second, &second->scheme, 1, {0}, {0}};
    const struct tt_identity right_id = {&right, 1, p->client_key, &p->client_key->scheme, 1, {0}, {0}};
    assert_int_equal(tt_config_add_identity(client, &wrong_id, NULL), TT_OK);
    assert_int_equal(tt_config_add_identity(client, &right_id, NULL), TT_OK);
}

static bool never_anonymous;

/* Its only identity is of another CA, and only for those who say that they know that one. */
static void client_of_the_wrong_ca(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    (void)server;
    make_of_other_ca();
    const struct tt_bytes chain = {second->cert, second->cert_len};
    const struct tt_identity id = {.chain = &chain,
                                   .chain_len = 1,
                                   .key = second,
                                   .schemes = &second->scheme,
                                   .schemes_len = 1,
                                   .only_for_its_issuer = true};
    assert_int_equal(tt_config_add_identity(client, &id, NULL), TT_OK);
    assert_int_equal(tt_config_set_never_anonymous(server, true), TT_ERR_USAGE);
    assert_int_equal(tt_config_set_never_anonymous(client, never_anonymous), TT_OK);
}

static void test_identity_only_for_its_issuer(void **state)
{
    (void)state;
    never_anonymous = false;
    struct pump p = {.configure = client_of_the_wrong_ca, .client_auth = TT_CLIENT_AUTH_REQUEST};
    run(&p); /* on without one */
    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, 0);
    pump_free(&p);
    test_key_free(second);
    test_key_free(other_ca);

    never_anonymous = true;
    struct pump q = {.configure = client_of_the_wrong_ca, .client_auth = TT_CLIENT_AUTH_REQUEST};
    pump_start(&q);
    pump_run(&q);
    assert_int_equal(tt_conn_error(q.client)->alert_sent, TT_ALERT_HANDSHAKE_FAILURE);
    pump_free(&q);
    test_key_free(second);
    test_key_free(other_ca);
}

static void test_identity_by_ca(void **state)
{
    (void)state;
    struct pump p = {.configure = client_of_two_cas, .client_auth = TT_CLIENT_AUTH_REQUIRE};
    run(&p);
    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, p.client_key->cert_len);
    assert_memory_equal(tt_conn_peer_certificate(p.server, 0).data, p.client_key->cert,
                        p.client_key->cert_len);
    pump_free(&p);
    test_key_free(second);
    test_key_free(other_ca);
}

static void test_grease_varies(void **state)
{
    (void)state;
    struct pump p = {0};
    pump_start(&p);
    struct tt_conn *again = NULL;
    const struct tt_conn_options opt = {.server_name = "localhost", .now = TEST_NOW};
    assert_int_equal(tt_conn_new(&again, p.client_cfg, &opt, NULL), TT_OK);
    struct tt_bytes a = tt_conn_output(p.client), b = tt_conn_output(again);
    /* Behind record header, message header, version, random, session id (33), the list of suites begins. */
    size_t at = 5 + 4 + 2 + 32 + 33 + 2;
    assert_int_equal(a.data[at] & 0x0f, 0x0a);
    assert_int_equal(a.data[at], a.data[at + 1]);
    assert_int_equal(a.len, b.len);
    assert_memory_not_equal(a.data + at + 10, b.data + at + 10, a.len - at - 10);
    tt_conn_free(again);
    pump_free(&p);
}

struct keylog {
    size_t lines;
    bool handshake, application;
};

static void keylog_line(void *arg, const char *line)
{
    struct keylog *k = arg;
    k->lines++;
    k->handshake = k->handshake || strncmp(line, "SERVER_HANDSHAKE_TRAFFIC_SECRET ", 32) == 0;
    k->application = k->application || strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
    assert_int_equal(strlen(strchr(line, ' ') + 1), 64 + 1 + 64);
}

static void test_keylog(void **state)
{
    (void)state;
    struct keylog k = {0};
    struct pump p = {.suite = TT_SUITE_AES_128_GCM_SHA256};
    pump_start(&p);
    tt_conn_free(p.client);
    const struct tt_conn_options opt = {
        .server_name = "localhost", .now = TEST_NOW, .insecure_keylog = keylog_line, .keylog_arg = &k};
    assert_int_equal(tt_conn_new(&p.client, p.client_cfg, &opt, NULL), TT_OK);
    pump_run(&p);
    assert_connected(&p);
    assert_int_equal(k.lines, 5);
    assert_true(k.handshake && k.application);
    pump_free(&p);
}

static bool server_has_a_list;

static void chacha20_first(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    static const uint16_t wanted[] = {TT_SUITE_CHACHA20_POLY1305_SHA256, TT_SUITE_AES_128_GCM_SHA256},
                          list[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_CHACHA20_POLY1305_SHA256};
    assert_int_equal(tt_config_set_suites(client, wanted, 2), TT_OK);
    if (server_has_a_list)
        assert_int_equal(tt_config_set_suites(server, list, 2), TT_OK);
}

static void test_a_client_without_aes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        server_has_a_list = i == 1;
        struct pump p = {.configure = chacha20_first};
        run(&p);
        struct tt_conn_info info;
        tt_conn_info(p.server, &info);
        assert_int_equal(info.suite,
                         i == 0 ? TT_SUITE_CHACHA20_POLY1305_SHA256 : TT_SUITE_AES_128_GCM_SHA256);
        pump_free(&p);
    }
}

static uint16_t group;

static void one_group(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    assert_int_equal(tt_config_set_groups(client, &group, 1), TT_OK);
    assert_int_equal(tt_config_set_groups(server, &group, 1), TT_OK);
}

static void test_every_group(void **state)
{
    (void)state;
    static const uint16_t all[] = {
        TT_GROUP_X25519,   TT_GROUP_SECP256R1,      TT_GROUP_SECP384R1,         TT_GROUP_SECP521R1,
        TT_GROUP_X448,     TT_GROUP_X25519MLKEM768, TT_GROUP_SECP256R1MLKEM768, TT_GROUP_SECP384R1MLKEM1024,
        TT_GROUP_MLKEM1024};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct tt_config *probe = NULL;
        assert_int_equal(tt_config_new(&probe, TT_CLIENT, NULL), TT_OK);
        bool there = tt_config_set_groups(probe, &all[i], 1) == TT_OK;
        tt_config_free(probe);
        if (!there) { /* only the post-quantum ones may be missing (libcrypto < 3.5) */
            assert_true(i >= 5);
            continue;
        }
        group = all[i];
        struct pump p = {.configure = one_group};
        run(&p);
        struct tt_conn_info info;
        tt_conn_info(p.server, &info);
        assert_int_equal(info.group, group);
        pump_free(&p);
    }
}

static const uint16_t *offered_groups;
static size_t offered_len;

static void only_these_groups(struct pump *p, struct tt_config *client, struct tt_config *server)
{
    (void)p;
    (void)server;
    assert_int_equal(tt_config_set_groups(client, offered_groups, offered_len), TT_OK);
}

/* By default a share for the first classical group and one for the first post-quantum group: no retry from a
 * server that has either. */
static void test_default_key_shares(void **state)
{
    (void)state;
    static const uint16_t mixed[] = {TT_GROUP_SECP256R1, TT_GROUP_SECP384R1, TT_GROUP_MLKEM1024,
                                     TT_GROUP_X25519MLKEM768};
    struct tt_config *probe = NULL;
    assert_int_equal(tt_config_new(&probe, TT_CLIENT, NULL), TT_OK);
    bool mlkem = tt_config_set_groups(probe, mixed, 4) == TT_OK;
    tt_config_free(probe);
    offered_groups = mixed;
    offered_len = mlkem ? 4 : 2;
    for (size_t i = 0; i < offered_len; i++) {
        struct pump p = {.configure = only_these_groups, .server_group = mixed[i]};
        run(&p);
        struct tt_conn_info info;
        tt_conn_info(p.client, &info);
        assert_int_equal(info.group, mixed[i]);
        assert_int_equal(info.hello_retry_request, i % 2);
        pump_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate_compression),
        cmocka_unit_test(test_timestamps_are_passed_through),
        cmocka_unit_test(test_malformed_timestamps_are_refused),
        cmocka_unit_test(test_an_application_refuses_its_peer),
        cmocka_unit_test(test_record_size_limit_and_padding),
        cmocka_unit_test(test_identity_by_name),
        cmocka_unit_test(test_identity_by_ca),
        cmocka_unit_test(test_identity_only_for_its_issuer),
        cmocka_unit_test(test_grease_varies),
        cmocka_unit_test(test_keylog),
        cmocka_unit_test(test_a_client_without_aes),
        cmocka_unit_test(test_every_group),
        cmocka_unit_test(test_default_key_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
