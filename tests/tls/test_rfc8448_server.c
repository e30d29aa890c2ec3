/* tests/tls/test_rfc8448_server.c: our server takes the server's part in the traces of RFC 8448 sections 3,
 * 5, 6 and 7. It must accept NSS's ClientHello and answer with the trace's group and share. Our ServerHello
 * has its extensions in another order and our EncryptedExtensions are others, so the trace's messages are
 * then put in their place; the records, the Finished and the keys must be the trace's, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tls/trace.h"

/* What RFC 9846 demands here. Section 4.2.3: "the legacy_version field MUST be set to 0x0303" "A single
 * byte which MUST have the value 0." "The ServerHello MUST only include extensions which are required to
 * establish the cryptographic context" Section 4.2.4: "The server's extensions MUST contain
 * "supported_versions"." Section 4.3.1: "MUST respond by sending a "supported_versions" extension
 * containing the selected version value (0x0304)." "It MUST set the ServerHello.legacy_version field to
 * 0x0303" Section 4.5.1: "The server MUST send a Certificate message whenever the agreed-upon key exchange
 * method uses certificates" "The sender's certificate MUST come in the first CertificateEntry in the list."
 * Section 4.5.2: "Servers MUST send this message when authenticating via a certificate." Section 4.5.3:
 * "Any records following a Finished message MUST be encrypted under the appropriate application traffic
 * key" Section 5.3: "the first record transmitted under a particular traffic key MUST use sequence number
 * 0." */

struct server {
    unsigned section;
    struct trace_random random;
    struct tt_config *cfg;
    struct tt_conn *conn;
    struct tt_bytes messages[10]; /* the transcript of the trace */
    size_t n;
};

static const uint8_t filler[32] = {1};

static void set_up_config(struct server *t)
{
    struct tt_error err = {0};
    struct tt_bytes message = trace_message(t->section, "server", "Certificate", 0);
    struct tt_bytes verify = trace_message(t->section, "server", "CertificateVerify", 0);
    const uint16_t scheme = (uint16_t)(verify.data[4] << 8 | verify.data[5]);
    const uint16_t p256 = TT_GROUP_SECP256R1;
    struct reader r = reader_of(message);
    (void)rd_bytes(&r, 4 + 1 + 3);
    const struct tt_bytes der = rd_vec24(&r, 1);
    const struct tt_identity id = {&der, 1, NULL, &scheme, 1};
    assert_int_equal(tt_config_new(&t->cfg, TT_SERVER, &err), TT_OK);
    assert_int_equal(tt_config_set_random(t->cfg, trace_random_fn, &t->random), TT_OK);
    assert_int_equal(tt_config_add_identity(t->cfg, &id, &err), TT_OK);
    if (t->section == 5)
        assert_int_equal(tt_config_set_groups(t->cfg, &p256, 1), TT_OK);
    assert_int_equal(tt_config_set_force_retry(t->cfg, t->section == 5), TT_OK); /* for the cookie */
    if (t->section == 6) {
        assert_int_equal(tt_config_set_client_auth(t->cfg, TT_CLIENT_AUTH_REQUEST), TT_OK);
        assert_int_equal(tt_config_insecure_accept_any_certificate(t->cfg), TT_OK);
    }
    assert_int_equal(tt_config_freeze(t->cfg, &err), TT_OK);
}

static const char *group_of(unsigned section)
{
    return section == 5 ? "P-256" : "x25519";
}

static void start(struct server *t, unsigned section)
{
    *t = (struct server){.section = section};
    struct tt_bytes hello = trace_message(section, "server", "ServerHello", section == 5 ? 1 : 0);
    if (section == 5)
        t->random.items[t->random.n++] = (struct tt_bytes){filler, sizeof filler}; /* our cookie */
    t->random.items[t->random.n++] = trace_key(section, "server", group_of(section), "private key");
    t->random.items[t->random.n++] = (struct tt_bytes){hello.data + 6, HS_RANDOM_SIZE};
    set_up_config(t);
    struct tt_error err = {0};
    const struct tt_conn_options options = {0};
    assert_int_equal(tt_conn_new(&t->conn, t->cfg, &options, &err), TT_OK);
    trace_feed(t->conn, trace_record(section, "client", "handshake", 0));
    t->messages[t->n++] = trace_message(section, "client", "ClientHello", 0);
}

/* Our HelloRetryRequest asks for the same group; its cookie is ours, so the trace's message takes its place.
 */
static void retry(struct server *t)
{
    struct tt_bytes theirs = trace_message(5, "server", "ServerHello", 0), out = tt_conn_output(t->conn);
    struct tt_bytes ours = {out.data + 5, (size_t)out.data[3] << 8 | out.data[4]};
    assert_int_equal(t->conn->state, SERVER_WAIT_CH2);
    assert_true(is_hello_retry_request(theirs) && is_hello_retry_request(ours));
    trace_expect("selected_group", trace_server_hello_ext(theirs, EXT_KEY_SHARE),
                 trace_server_hello_ext(ours, EXT_KEY_SHARE).data, 2);
    struct tt_bytes cookie = trace_server_hello_ext(theirs, EXT_COOKIE);
    struct buf *kept = &t->conn->hs->cookie;
    buf_consume(kept, buf_size(kept));
    assert_int_equal(buf_append(kept, cookie.data + 2, cookie.len - 2), TT_OK);
    t->messages[t->n++] = theirs;
    trace_replay(t->conn, t->messages, t->n, true);
    trace_drop_output(t->conn);
    trace_feed(t->conn, trace_record(5, "client", "handshake", 1));
    t->messages[t->n++] = trace_message(5, "client", "ClientHello", 1);
}

/* Our ServerHello says what the trace's says, in another order. */
static void server_hello(struct server *t)
{
    struct tt_bytes out = tt_conn_output(t->conn);
    struct tt_bytes theirs = trace_message(t->section, "server", "ServerHello", t->section == 5 ? 1 : 0);
    struct tt_bytes ours = {out.data + 5, (size_t)out.data[3] << 8 | out.data[4]};
    assert_int_equal(t->conn->state, SERVER_WAIT_SIGN);
    assert_int_equal(ours.len, theirs.len);
    size_t fixed = 4 + 2 + 32 + 1 + (size_t)theirs.data[38] + 2 + 1 + 2;
    assert_memory_equal(ours.data, theirs.data, fixed);
    static const uint16_t types[] = {EXT_KEY_SHARE, EXT_SUPPORTED_VERSIONS};
    for (size_t i = 0; i < TT_COUNT(types); i++) {
        struct tt_bytes e = trace_server_hello_ext(ours, types[i]);
        trace_expect("an extension of ServerHello", trace_server_hello_ext(theirs, types[i]), e.data, e.len);
    }
    struct tt_bytes secret = rfc8448_find(
        (struct rfc8448_query){t->section, "server", "extract secret \"handshake\"", 0, "secret"});
    trace_expect("Handshake Secret", secret, t->conn->hs->ks.secret, 32);
    if (t->section == 7) {
        struct tt_bytes ccs = trace_record(7, "server", "change_cipher_spec", 0);
        assert_memory_equal(out.data + 5 + ours.len, ccs.data, ccs.len);
    }
    t->messages[t->n++] = theirs;
}

/* Put the trace's transcript in the place of ours and derive everything from there. */
static void install(struct server *t)
{
    struct tt_conn *c = t->conn;
    struct tt_bytes ikm =
        rfc8448_find((struct rfc8448_query){t->section, "server", "extract secret \"handshake\"", 0, "IKM"});
    trace_drop_output(c);
    buf_consume(&c->hs->flight, buf_size(&c->hs->flight));
    trace_replay(c, t->messages, t->n, t->section == 5);
    assert_int_equal(hs_agree(c, ikm), TT_OK);
    trace_expect("c hs traffic", trace_secret(t->section, "c hs traffic"), c->hs->client_hs.data, 32);
    trace_expect("s hs traffic", trace_secret(t->section, "s hs traffic"), c->hs->server_hs.data, 32);
    assert_int_equal(conn_set_read_secret(c, &c->hs->client_hs), TT_OK);
    assert_int_equal(conn_set_write_secret(c, &c->hs->server_hs), TT_OK);
}

/* The server's flight with NSS's messages and our Finished, in one record. */
static void flight(struct server *t)
{
    struct tt_conn *c = t->conn;
    static const char *const names[] = {"EncryptedExtensions", "CertificateRequest", "Certificate",
                                        "CertificateVerify"};
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        if (i == 1 && t->section != 6)
            continue;
        struct tt_bytes message = trace_message(t->section, "server", names[i], 0);
        assert_int_equal(buf_append(&c->hs->flight, message.data, message.len), TT_OK);
        assert_int_equal(transcript_add(&c->hs->transcript, message), TT_OK);
    }
    c->hs->sign.open = false;
    assert_int_equal(server_finish(c), TT_OK);
    trace_expect_output(c, "the server's flight",
                        trace_record(t->section, "server", "handshake", t->section == 5 ? 2 : 1));
    if (t->section == 7)
        trace_feed(c, trace_record(7, "client", "change_cipher_spec", 0));
    trace_feed(c, trace_record(t->section, "client", "handshake", t->section == 5 ? 2 : 1));
    assert_true(tt_conn_is_connected(c));
    assert_int_equal(c->peer_chain_len, t->section == 6 ? 1 : 0);
    trace_expect("c ap traffic", trace_secret(t->section, "c ap traffic"), c->read_secret.data, 32);
    trace_expect("s ap traffic", trace_secret(t->section, "s ap traffic"), c->write_secret.data, 32);
    trace_expect("exp master", trace_secret(t->section, "exp master"), c->exporter_secret.data, 32);
}

static void application_data(struct server *t)
{
    struct tt_bytes ours = trace_payload(3, "server", "application_data", 0);
    struct tt_bytes theirs = trace_payload(3, "client", "application_data", 0);
    const struct rec_content ticket = {CT_HANDSHAKE, trace_payload(3, "server", "handshake", 2), 0,
                                       TLS_VERSION_1_2};
    size_t n = 0;
    assert_int_equal(rec_seal(&t->conn->write_key, &ticket, &t->conn->out), TT_OK);
    trace_expect_output(t->conn, "NewSessionTicket", trace_record(3, "server", "handshake", 2));
    trace_feed(t->conn, trace_record(3, "client", "application_data", 0));
    struct tt_bytes got = tt_conn_plaintext(t->conn);
    trace_expect("plaintext", theirs, got.data, got.len);
    assert_int_equal(tt_conn_plaintext_done(t->conn, got.len), TT_OK);
    assert_int_equal(tt_conn_write(t->conn, ours.data, ours.len, &n), TT_OK);
    trace_expect_output(t->conn, "application data", trace_record(3, "server", "application_data", 0));
}

static void finish(struct server *t)
{
    trace_feed(t->conn, trace_record(t->section, "client", "alert", 0));
    assert_true(tt_conn_received_close_notify(t->conn));
    assert_int_equal(tt_conn_close(t->conn), TT_OK);
    trace_expect_output(t->conn, "close_notify", trace_record(t->section, "server", "alert", 0));
    tt_conn_free(t->conn);
    tt_config_free(t->cfg);
}

static void run(unsigned section)
{
    struct server t;
    start(&t, section);
    if (section == 5)
        retry(&t);
    server_hello(&t);
    install(&t);
    flight(&t);
    if (section == 3)
        application_data(&t);
    finish(&t);
}

static void simple_1_rtt(void **state)
{
    (void)state;
    run(3);
}

static void hello_retry_request(void **state)
{
    (void)state;
    run(5);
}

static void client_authentication(void **state)
{
    (void)state;
    run(6);
}

static void compatibility_mode(void **state)
{
    (void)state;
    run(7);
}

/* Section 4's ClientHello wants to resume; a server that does not know its PSK does a full handshake: "If no
 * acceptable PSKs are found, the server SHOULD perform a non-PSK handshake if possible." (section 4.3.11) */
static void a_resuming_client_gets_a_full_handshake(void **state)
{
    (void)state;
    struct server t = {.section = 3};
    struct tt_error err = {0};
    const struct tt_conn_options options = {0};
    set_up_config(&t);
    assert_int_equal(tt_conn_new(&t.conn, t.cfg, &options, &err), TT_OK);
    trace_feed(t.conn, trace_record(4, "client", "handshake", 0));
    assert_int_equal(t.conn->state, SERVER_WAIT_SIGN);
    assert_int_equal(t.conn->group, TT_GROUP_X25519);
    struct tt_bytes out = tt_conn_output(t.conn);
    struct tt_bytes hello = {out.data + 5, (size_t)out.data[3] << 8 | out.data[4]};
    assert_int_equal(trace_server_hello_ext(hello, EXT_PRE_SHARED_KEY).len, 0);
    assert_int_equal(trace_server_hello_ext(hello, EXT_KEY_SHARE).len, 36);
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
        cmocka_unit_test(a_resuming_client_gets_a_full_handshake),
    };
    return cmocka_run_group_tests_name("tls/rfc8448_server", tests, NULL, NULL);
}
