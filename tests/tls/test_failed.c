/* tests/tls/test_failed.c: what a connection that failed still says: nothing that an application could take
 * for a success. And a chain is shown to nobody before its key is proven. RFC 9846 section 6. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"
#include "support/pump.h"

static struct {
    struct node *root, *server, *victim, *thief;
} w;

static int set_up(void **state)
{
    (void)state;
    w.root = node_ca("root", NULL);
    w.server = node_server(w.root, "host.example");
    w.victim = node_new(&(struct node_options){
        .cn = "victim", .issuer = w.root, .extensions = {{"extendedKeyUsage", "clientAuth"}}});
    w.thief = node_ca("thief", NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct node *all[] = {w.root, w.server, w.victim, w.thief};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        node_free(all[i]);
    return 0;
}

static struct tt_config *server_config(enum tt_client_auth auth, struct tt_tickets *tickets)
{
    return pair_config_new(&(struct pair_config){.role = TT_SERVER,
                                                 .chain = {w.server},
                                                 .anchors = {w.root},
                                                 .client_auth = auth,
                                                 .post_auth = true,
                                                 .tickets = tickets});
}

static struct tt_config *client_config(const struct node *signer)
{
    return pair_config_new(&(struct pair_config){.role = TT_CLIENT,
                                                 .chain = {w.victim},
                                                 .signer = signer,
                                                 .anchors = {w.root},
                                                 .post_auth = true,
                                                 .record_size_limit = 16384});
}

static bool all_zero(const struct ks_secret *s)
{
    static const struct ks_secret none;
    return memcmp(s, &none, sizeof none) == 0;
}

static void assert_silent(struct tt_conn *c, bool after_handshake)
{
    struct tt_conn_info info;
    uint8_t out[32];
    const struct tt_bytes no_context = {NULL, 0};
    tt_rc rc = tt_conn_error(c)->error.rc;
    assert_int_not_equal(rc, TT_OK);
    assert_int_equal(tt_conn_error(c)->handshake_complete, after_handshake);
    assert_false(tt_conn_is_connected(c));
    assert_false(tt_conn_can_write(c));
    assert_false(tt_conn_certificate_requested(c));
    tt_conn_info(c, &info);
    assert_false(info.resumed || info.peer_ocsp_good || info.peer_delegated);
    assert_int_equal(info.peer_chain_len + info.peer_scheme + info.psk_identity.len, 0);
    assert_int_equal(tt_conn_peer_certificate(c, 0).len, 0);
    assert_int_equal(tt_conn_peer_ocsp(c).len + tt_conn_peer_scts(c).len, 0);
    assert_int_equal(tt_conn_export(c, "EXPORTER-x", no_context, out, sizeof out), rc);
    assert_int_equal(tt_conn_export_early(c, "EXPORTER-x", no_context, out, sizeof out), rc);
    assert_int_equal(tt_conn_channel_binding(c, out), rc);
    assert_null(tt_conn_take_session(c));
    assert_int_not_equal(tt_conn_send_ticket(c), TT_OK);
    const struct ks_secret *const secrets[] = {&c->read_secret, &c->write_secret, &c->exporter_secret,
                                               &c->early_exporter_secret, &c->resumption_secret};
    for (size_t i = 0; i < TT_COUNT(secrets); i++)
        assert_true(all_zero(secrets[i]));
    assert_null(c->post_hash);
}

/* The client does not have the key of the certificate that it shows. */
static void in_the_handshake(void **state)
{
    (void)state;
    struct tt_config *server = server_config(TT_CLIENT_AUTH_REQUIRE, NULL), *client = client_config(NULL),
                     *forging = client_config(w.thief);
    struct pair p = pair_start(&(struct pair_options){client, server}); /* the control */
    uint8_t out[32];
    pair_run(&p);
    assert_true(pair_connected(&p));
    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, w.victim->cert.len);
    assert_int_equal(tt_conn_export(p.server, "EXPORTER-x", (struct tt_bytes){NULL, 0}, out, 32), TT_OK);
    pair_free(&p);
    p = pair_start(&(struct pair_options){forging, server});
    pair_run(&p);
    assert_int_equal(tt_conn_error(p.server)->alert_sent, TT_ALERT_DECRYPT_ERROR);
    assert_silent(p.server, false);
    assert_silent(p.client, true); /* it had sent its Finished, and was refused after that */
    pair_free(&p);
    tt_config_free(server);
    tt_config_free(client);
    tt_config_free(forging);
}

static void after_the_handshake(void **state)
{
    (void)state;
    struct tt_tickets *tickets = pair_tickets();
    struct tt_config *server = server_config(TT_CLIENT_AUTH_NONE, tickets), *client = client_config(NULL),
                     *forging = client_config(w.thief);
    for (int forged = 0; forged < 2; forged++) {
        struct pair p = pair_start(&(struct pair_options){forged ? forging : client, server});
        pair_run(&p);
        assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
        pair_run(&p);
        if (forged) {
            assert_silent(p.server, true);
            assert_silent(p.client, true); /* which had two tickets */
        } else {
            assert_true(tt_conn_is_connected(p.server) && !tt_conn_certificate_requested(p.server));
            assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, w.victim->cert.len);
            struct tt_session *s = tt_conn_take_session(p.client);
            assert_non_null(s);
            tt_session_free(s);
        }
        pair_free(&p);
    }
    tt_config_free(server);
    tt_config_free(client);
    tt_config_free(forging);
    tt_tickets_free(tickets);
}

/* The end of the transport takes no session away: nobody has done anything wrong with it. */
static void when_the_transport_ends(void **state)
{
    (void)state;
    struct tt_tickets *tickets = pair_tickets();
    struct tt_config *server = server_config(TT_CLIENT_AUTH_NONE, tickets), *client = client_config(NULL);
    struct pair p = pair_start(&(struct pair_options){client, server});
    uint8_t out[32];
    pair_run(&p);
    assert_int_equal(tt_conn_feed_eof(p.client), TT_ERR_CLOSED);
    assert_false(tt_conn_is_connected(p.client));
    assert_true(tt_conn_error(p.client)->handshake_complete);
    assert_int_equal(tt_conn_export(p.client, "EXPORTER-x", (struct tt_bytes){NULL, 0}, out, 32),
                     TT_ERR_CLOSED);
    struct tt_session *s = tt_conn_take_session(p.client);
    assert_non_null(s);
    tt_session_free(s);
    pair_free(&p);
    tt_config_free(server);
    tt_config_free(client);
    tt_tickets_free(tickets);
}

static void sign_one(struct tt_conn *c)
{
    struct tt_sign_request q;
    uint8_t sig[256];
    if (tt_conn_sign_request(c, &q) != TT_OK)
        return;
    size_t n = test_sign(q.key, q.scheme, q.to_sign, sig, sizeof sig);
    assert_int_equal(tt_conn_sign_complete(c, q.id, (struct tt_bytes){sig, n}), TT_OK);
}

/* The client's answer octet by octet, in small records; what it shows is shown when its signature was
 * checked. */
static void nothing_is_shown_before_the_proof(void **state)
{
    (void)state;
    struct tt_config *client = client_config(NULL);
    for (int post = 0; post < 2; post++) {
        struct tt_config *server = pair_config_new(
            &(struct pair_config){.role = TT_SERVER,
                                  .chain = {w.server},
                                  .anchors = {w.root},
                                  .client_auth = post ? TT_CLIENT_AUTH_NONE : TT_CLIENT_AUTH_REQUIRE,
                                  .post_auth = true,
                                  .record_size_limit = 64});
        struct pair p = pair_start(&(struct pair_options){client, server});
        struct pump pump = {.client = p.client, .server = p.server, .split = 1};
        if (post) {
            pair_run(&p);
            assert_int_equal(tt_conn_request_certificate(p.server), TT_OK);
        }
        const enum conn_state unproven = post ? SERVER_POST_WAIT_CV : SERVER_WAIT_CV;
        size_t seen = 0;
        for (int rounds = 0; rounds < 10; rounds++) {
            while (pump_move(&pump, p.client, p.server))
                if (p.server->state == unproven) {
                    assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, 0);
                    seen++;
                }
            while (pump_move(&pump, p.server, p.client))
                ;
            sign_one(p.client);
            sign_one(p.server);
        }
        if (!pair_connected(&p) || seen == 0)
            fail_msg("post %d, seen %zu, client: %s; server: %s", post, seen,
                     tt_conn_error(p.client)->error.text, tt_conn_error(p.server)->error.text);
        assert_int_equal(tt_conn_peer_certificate(p.server, 0).len, w.victim->cert.len);
        pair_free(&p);
        tt_config_free(server);
    }
    tt_config_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_handshake),
        cmocka_unit_test(after_the_handshake),
        cmocka_unit_test(when_the_transport_ends),
        cmocka_unit_test(nothing_is_shown_before_the_proof),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
