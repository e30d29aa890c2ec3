/* tests/tls/test_rfc8448_client.c: our client takes the client's part in the traces of RFC 8448 sections 3,
 * 5, 6 and 7: it reads the server's records and must send the client's, byte for byte.
 *
 * Its own ClientHello is another one than NSS's, so the trace's is put into the transcript in its place; the
 * ephemeral keys and the signature are the trace's. What may differ is said where it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tls/trace.h"

/* What RFC 9846 demands here. Section 4.2.2: "it is REQUIRED to send the ClientHello as its first TLS
 * message." "the legacy_version field MUST be set to 0x0303" "this list MUST contain exactly one byte, set
 * to zero" Section 4.3.1: "MUST send this extension in the ClientHello containing all versions of TLS which
 * they are prepared to negotiate" Section 4.3.2: "the client MUST copy the contents of the extension
 * received in the HelloRetryRequest into a "cookie" extension" Section 4.3.3: "MUST send the
 * "signature_algorithms" extension." Section 4.3.8: "the client MUST replace the original "key_share"
 * extension with one containing only a new KeyShareEntry" Section 4.6: "the client MUST send an
 * EndOfEarlyData message after receiving the server Finished." Section 5.1: "and a record containing a
 * second ClientHello or a ServerHello MUST have version 0x0303" Section 9.2: ""supported_versions" is
 * REQUIRED for all ClientHello, ServerHello, and HelloRetryRequest messages." ""signature_algorithms" is
 * REQUIRED for certificate authentication." ""supported_groups" is REQUIRED for ClientHello messages using
 * DHE or ECDHE key exchange." ""key_share" is REQUIRED for DHE or ECDHE key exchange." ""pre_shared_key" is
 * REQUIRED for PSK key agreement." "All implementations MUST send and use these extensions when offering
 * applicable features" Appendix E.5: "Implementations MUST use 0x0303 for the ClientHello.legacy_version
 * and ServerHello.legacy_version." */

struct client {
    unsigned section;
    struct trace_random random;
    struct tt_config *cfg;
    struct tt_conn *conn;
    struct ks_secret client_hs;
};

static const uint8_t filler[32 + 32 + GREASE_RANDOM] = {1};

/* Certificate with one entry: its DER. */
static struct tt_bytes only_certificate(struct tt_bytes message)
{
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4);
    (void)rd_vec8(&r, 0);
    struct reader list = reader_of(rd_vec24(&r, 1));
    return rd_vec24(&list, 1);
}

static void set_up_config(struct client *t)
{
    struct tt_error err = {0};
    assert_int_equal(tt_config_new(&t->cfg, TT_CLIENT, &err), TT_OK);
    assert_int_equal(tt_config_set_random(t->cfg, trace_random_fn, &t->random), TT_OK);
    static const uint16_t groups[] = {TT_GROUP_X25519, TT_GROUP_SECP256R1, TT_GROUP_SECP384R1};
    assert_int_equal(tt_config_set_grease(t->cfg, false), TT_OK);
    assert_int_equal(tt_config_set_groups(t->cfg, groups, TT_COUNT(groups)), TT_OK);
    assert_int_equal(tt_config_insecure_accept_any_certificate(t->cfg), TT_OK); /* RSA-1024, of 2016 */
    assert_int_equal(tt_config_set_middlebox_compat(t->cfg, t->section == 7), TT_OK);
    if (t->section == 6) {
        const struct tt_bytes der = only_certificate(trace_message(6, "client", "Certificate", 0));
        const uint16_t scheme = TT_SCHEME_RSA_PSS_RSAE_SHA256;
        const struct tt_identity id = {&der, 1, NULL, &scheme, 1};
        assert_int_equal(tt_config_add_identity(t->cfg, &id, &err), TT_OK);
    }
    assert_int_equal(tt_config_freeze(t->cfg, &err), TT_OK);
}

/* After this the client has sent the trace's ClientHello, as far as it knows. */
static void install_client_hello(struct client *t)
{
    struct hs *hs = t->conn->hs;
    struct tt_bytes hello = trace_message(t->section, "client", "ClientHello", 0);
    trace_drop_output(t->conn);
    trace_replay(t->conn, &hello, 1, false);
    hs->session_id_len = hello.data[38];
    memcpy(hs->session_id, hello.data + 39, hs->session_id_len);
    hs->offered = ~(uint64_t)0; /* it offers more than ours: record_size_limit, session_ticket, ... */
    struct tt_bytes share = kx_offer_share(hs->offers[0]);
    trace_expect("x25519 share", trace_key(t->section, "client", "x25519", "public key"), share.data,
                 share.len);
}

static void start(struct client *t, unsigned section)
{
    const struct tt_bytes any = {filler, sizeof filler};
    struct tt_bytes x25519 = trace_key(section, "client", "x25519", "private key");
    *t = (struct client){.section = section};
    t->random.items[t->random.n++] = any; /* random, legacy_session_id, GREASE */
    t->random.items[t->random.n++] = x25519;
    if (section == 5)
        t->random.items[t->random.n++] = trace_key(5, "client", "P-256", "private key");
    set_up_config(t);
    struct tt_error err = {0};
    const struct tt_conn_options options = {0};
    assert_int_equal(tt_conn_new(&t->conn, t->cfg, &options, &err), TT_OK);
    install_client_hello(t);
}

/* HelloRetryRequest: our second ClientHello must carry the cookie and the new share; the trace's takes its
 * place. */
static void retry(struct client *t)
{
    trace_feed(t->conn, trace_record(5, "server", "handshake", 0));
    const struct tt_bytes messages[] = {trace_message(5, "client", "ClientHello", 0),
                                        trace_message(5, "server", "ServerHello", 0),
                                        trace_message(5, "client", "ClientHello", 1)};
    struct tt_bytes cookie = trace_server_hello_ext(messages[1], EXT_COOKIE);
    struct tt_bytes share = trace_key(5, "client", "P-256", "public key");
    struct tt_bytes ours = tt_conn_output(t->conn);
    assert_true(cookie.len > 2);
    assert_non_null(memmem(ours.data, ours.len, cookie.data, cookie.len));
    assert_non_null(memmem(ours.data, ours.len, share.data, share.len));
    trace_drop_output(t->conn);
    trace_replay(t->conn, messages, TT_COUNT(messages), true);
    t->conn->hs->offered = ~(uint64_t)0;
}

static void server_hello(struct client *t)
{
    trace_feed(t->conn, trace_record(t->section, "server", "handshake", t->section == 5 ? 1 : 0));
    t->client_hs = t->conn->hs->client_hs;
    trace_expect("c hs traffic", trace_secret(t->section, "c hs traffic"), t->client_hs.data, 32);
    trace_expect("s hs traffic", trace_secret(t->section, "s hs traffic"), t->conn->hs->server_hs.data, 32);
    if (t->section == 7)
        trace_feed(t->conn, trace_record(7, "server", "change_cipher_spec", 0));
}

static void sign(struct client *t)
{
    struct tt_sign_request req;
    struct tt_bytes verify = trace_message(6, "client", "CertificateVerify", 0);
    assert_int_equal(tt_conn_sign_request(t->conn, &req), TT_OK);
    assert_int_equal(req.scheme, verify.data[4] << 8 | verify.data[5]);
    struct tt_bytes signature = {verify.data + 8, verify.len - 8};
    assert_int_equal(tt_conn_sign_complete(t->conn, req.id, signature), TT_OK);
}

/* We flush Certificate before the signature is there, so that section 6's one record is two of ours. The
 * messages must be the trace's, and sealed as one they must make its record. */
static void expect_flight_in_other_records(struct client *t)
{
    struct tt_bytes payload = trace_payload(6, "client", "handshake", 1), out = tt_conn_output(t->conn);
    uint8_t plain[2048];
    size_t at = 0;
    struct rec_key key = {0};
    assert_int_equal(rec_key_set(&key, t->cfg->lib, t->conn->suite, &t->client_hs, false), TT_OK);
    while (out.len > 0) {
        struct rec_opened opened = {0};
        struct tt_bytes record = {out.data, 5 + ((size_t)out.data[3] << 8 | out.data[4])};
        assert_true(record.len <= out.len && at + record.len < sizeof plain);
        assert_int_equal(rec_open(&key, record, plain + at, &opened), TT_OK);
        assert_int_equal(opened.type, CT_HANDSHAKE);
        at += opened.len;
        tt_conn_output_done(t->conn, record.len);
        out = tt_conn_output(t->conn);
    }
    trace_expect("Certificate, CertificateVerify, Finished", payload, plain, at);
    struct buf one = {0};
    const struct rec_content content = {CT_HANDSHAKE, {plain, at}, 0, TLS_VERSION_1_2};
    assert_int_equal(rec_key_set(&key, t->cfg->lib, t->conn->suite, &t->client_hs, true), TT_OK);
    assert_int_equal(rec_seal(&key, &content, &one), TT_OK);
    trace_expect("the client's flight as one record", trace_record(6, "client", "handshake", 1),
                 buf_front(&one), buf_size(&one));
    rec_key_wipe(&key);
    buf_free(&one);
}

static void flights(struct client *t)
{
    trace_feed(t->conn, trace_record(t->section, "server", "handshake", t->section == 5 ? 2 : 1));
    if (t->section == 7) {
        struct tt_bytes ccs = trace_record(7, "client", "change_cipher_spec", 0);
        assert_true(tt_conn_output(t->conn).len > ccs.len);
        assert_memory_equal(tt_conn_output(t->conn).data, ccs.data, ccs.len);
        tt_conn_output_done(t->conn, ccs.len);
    }
    if (t->section == 6) {
        sign(t);
        expect_flight_in_other_records(t);
    } else {
        trace_expect_output(t->conn, "the client's Finished",
                            trace_record(t->section, "client", "handshake", t->section == 5 ? 2 : 1));
    }
    assert_true(tt_conn_is_connected(t->conn));
    trace_expect("c ap traffic", trace_secret(t->section, "c ap traffic"), t->conn->write_secret.data, 32);
    trace_expect("s ap traffic", trace_secret(t->section, "s ap traffic"), t->conn->read_secret.data, 32);
    trace_expect("exp master", trace_secret(t->section, "exp master"), t->conn->exporter_secret.data, 32);
}

static void application_data(struct client *t)
{
    struct tt_bytes ours = trace_payload(3, "client", "application_data", 0);
    struct tt_bytes theirs = trace_payload(3, "server", "application_data", 0);
    size_t n = 0;
    trace_feed(t->conn, trace_record(3, "server", "handshake", 2)); /* NewSessionTicket */
    assert_int_equal(tt_conn_write(t->conn, ours.data, ours.len, &n), TT_OK);
    trace_expect_output(t->conn, "application data", trace_record(3, "client", "application_data", 0));
    trace_feed(t->conn, trace_record(3, "server", "application_data", 0));
    struct tt_bytes got = tt_conn_plaintext(t->conn);
    trace_expect("plaintext", theirs, got.data, got.len);
    assert_int_equal(tt_conn_plaintext_done(t->conn, got.len), TT_OK);
}

static void finish(struct client *t)
{
    assert_int_equal(tt_conn_close(t->conn), TT_OK);
    trace_expect_output(t->conn, "close_notify", trace_record(t->section, "client", "alert", 0));
    trace_feed(t->conn, trace_record(t->section, "server", "alert", 0));
    assert_true(tt_conn_received_close_notify(t->conn));
    tt_conn_free(t->conn);
    tt_config_free(t->cfg);
}

static void simple_1_rtt(void **state)
{
    (void)state;
    struct client t;
    start(&t, 3);
    server_hello(&t);
    flights(&t);
    application_data(&t);
    finish(&t);
}

static void hello_retry_request(void **state)
{
    (void)state;
    struct client t;
    start(&t, 5);
    retry(&t);
    server_hello(&t);
    flights(&t);
    finish(&t);
}

static void client_authentication(void **state)
{
    (void)state;
    struct client t;
    start(&t, 6);
    server_hello(&t);
    flights(&t);
    finish(&t);
}

static void compatibility_mode(void **state)
{
    (void)state;
    struct client t;
    start(&t, 7);
    server_hello(&t);
    flights(&t);
    finish(&t);
}

/* One bit of the server's flight changed: the record does not open. */
static void a_changed_record_is_refused(void **state)
{
    (void)state;
    struct client t;
    uint8_t record[1024];
    start(&t, 3);
    server_hello(&t);
    struct tt_bytes flight = trace_record(3, "server", "handshake", 1);
    assert_true(flight.len <= sizeof record);
    memcpy(record, flight.data, flight.len);
    record[flight.len / 2] ^= 1;
    size_t n = 0;
    assert_int_equal(tt_conn_feed(t.conn, record, flight.len, &n), TT_ERR_PROTOCOL);
    assert_int_equal(tt_conn_error(t.conn)->alert_sent, TT_ALERT_BAD_RECORD_MAC);
    tt_conn_free(t.conn);
    tt_config_free(t.cfg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simple_1_rtt),
        cmocka_unit_test(hello_retry_request),
        cmocka_unit_test(client_authentication),
        cmocka_unit_test(compatibility_mode),
        cmocka_unit_test(a_changed_record_is_refused),
    };
    return cmocka_run_group_tests_name("tls/rfc8448_client", tests, NULL, NULL);
}
