/* tests/tls/test_auth.c: what a session or ticket is worth is what the peer would be worth now: CRLs that
 * came since, the first end of all that the authentication rested on, the PSK that it came from, other rules.
 * Each refusal has its control: the same but for the one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "pair.h"
#include "support/pump.h"
#include "tpmtls/key.h"
#include "tls/ticket.h"

#define CLIENT_USAGE                                                                                         \
    {                                                                                                        \
        {                                                                                                    \
            "extendedKeyUsage", "clientAuth"                                                                 \
        }                                                                                                    \
    }

static struct {
    struct node *root, *other, *server, *client;
    struct tt_tickets *tickets;
    char error[256];
} w;

static int set_up(void **state)
{
    (void)state;
    w.root = node_ca("root", NULL);
    w.other = node_ca("other", NULL);
    w.server = node_server(w.root, "host.example");
    w.client = node_new(&(struct node_options){.cn = "client", .issuer = w.root, .extensions = CLIENT_USAGE});
    w.tickets = pair_tickets();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct node *all[] = {w.root, w.other, w.server, w.client};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        node_free(all[i]);
    tt_tickets_free(w.tickets);
    return 0;
}

#define CLIENT(...) pair_config_new(&(struct pair_config){.role = TT_CLIENT, __VA_ARGS__})
#define SERVER(...)                                                                                          \
    pair_config_new(&(struct pair_config){.role = TT_SERVER, .tickets = w.tickets, __VA_ARGS__})

/* ---- revoked since ---- */

static void the_client_looks_at_new_crls(void **state)
{
    (void)state;
    struct tt_bytes clean = crl_new(&(struct crl_options){.issuer = w.root}),
                    listed = crl_new(&(struct crl_options){.issuer = w.root, .revoked = w.server});
    struct tt_config *server = SERVER(.chain = {w.server}, .max_early_data = 100),
                     *before = CLIENT(.anchors = {w.root}, .crl = clean),
                     *after = CLIENT(.anchors = {w.root}, .crl = listed);
    struct tt_session *s = pair_session(&(struct pair_options){before, server});
    assert_true(pair_resumes(&(struct pair_options){before, server, {s}, 2000}, w.error));
    assert_false(pair_resumes(&(struct pair_options){after, server, {s}, 2000}, w.error));
    assert_non_null(strstr(w.error, "was revoked"));
    /* Nothing goes out before the server has proven who it is now. */
    struct pair p = pair_start(&(struct pair_options){before, server, {s}, 2000, true});
    assert_int_equal(p.early_len, 10);
    pair_free(&p);
    p = pair_start(&(struct pair_options){after, server, {s}, 2000, true});
    assert_int_equal(p.early_len, 0);
    assert_int_equal(tt_conn_early_status(p.client), TT_EARLY_NONE);
    pair_free(&p);
    tt_session_free(s);
    tt_config_free(server);
    tt_config_free(before);
    tt_config_free(after);
    der_free(clean);
    der_free(listed);
}

static void the_server_looks_at_new_crls(void **state)
{
    (void)state;
    struct tt_bytes listed = crl_new(&(struct crl_options){.issuer = w.root, .revoked = w.client}),
                    clean = crl_new(&(struct crl_options){.issuer = w.root});
    const struct pair_config base = {.role = TT_SERVER,
                                     .tickets = w.tickets,
                                     .chain = {w.server},
                                     .anchors = {w.root},
                                     .client_auth = TT_CLIENT_AUTH_REQUIRE};
    struct pair_config with_clean = base, with_listed = base;
    with_clean.crl = clean, with_listed.crl = listed;
    struct tt_config *before = pair_config_new(&base), *same = pair_config_new(&with_clean),
                     *after = pair_config_new(&with_listed),
                     *client = CLIENT(.chain = {w.client}, .anchors = {w.root});
    struct tt_session *s = pair_session(&(struct pair_options){client, before});
    assert_true(pair_resumes(&(struct pair_options){client, same, {s}, 2000}, w.error));
    assert_false(pair_resumes(&(struct pair_options){client, after, {s}, 2000}, w.error));
    assert_non_null(strstr(w.error, "certificate_revoked"));
    struct tt_config *const all[] = {before, same, after, client};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        tt_config_free(all[i]);
    tt_session_free(s);
    der_free(listed);
    der_free(clean);
}

/* ---- the first end ---- */

/* Until TEST_NOW + 100 and not longer, at the client: the session says so itself, and is not offered. */
static void ends_at_the_client(const struct pair_config *server_is, const struct pair_config *client_is,
                               int64_t after_s)
{
    struct tt_config *server = pair_config_new(server_is), *client = pair_config_new(client_is);
    struct tt_session *s = pair_session(&(struct pair_options){client, server});
    struct tt_session_info info;
    tt_session_info(s, &info);
    assert_int_equal(info.lifetime, after_s);
    assert_int_equal(session_auth(s).until, TEST_NOW + after_s);
    assert_true(pair_resumes(&(struct pair_options){client, server, {s}, (after_s - 1) * 1000}, w.error));
    s->lifetime = PAIR_LIFETIME; /* as if the ticket lasted longer */
    assert_true(pair_resumes(&(struct pair_options){client, server, {s}, after_s * 1000}, w.error));
    assert_false(pair_resumes(&(struct pair_options){client, server, {s}, (after_s + 1) * 1000}, w.error));
    tt_session_free(s);
    tt_config_free(server);
    tt_config_free(client);
}

static struct node *short_lived(const struct node *issuer, const char *usage)
{
    const struct node_options ca = {
        .cn = "short", .issuer = issuer, .until = TEST_NOW + 100, .extensions = CA_EXTENSIONS};
    const struct node_options responder = {.cn = "responder",
                                           .issuer = issuer,
                                           .until = TEST_NOW + 100,
                                           .extensions = {{"extendedKeyUsage", usage}}};
    return node_new(usage == NULL ? &ca : &responder);
}

static void ends_with_the_first_at_the_client(void **state)
{
    (void)state;
    struct node *between = short_lived(w.root, NULL), *anchor = short_lived(NULL, NULL),
                *responder = short_lived(w.root, "OCSPSigning"),
                *below_between = node_server(between, "host.example"),
                *below_anchor = node_server(anchor, "host.example");
    struct tt_bytes crl = crl_new(&(struct crl_options){.issuer = w.root, .until = TEST_NOW + 100}),
                    soon = ocsp_new(&(struct ocsp_options){
                        .leaf = w.server, .issuer = w.root, .from = TEST_NOW - 100, .until = TEST_NOW + 100}),
                    by_other = ocsp_new(&(struct ocsp_options){.leaf = w.server,
                                                               .issuer = w.root,
                                                               .responder = responder,
                                                               .until = TEST_NOW + 86400});
#define SERVING(...) &(struct pair_config){.role = TT_SERVER, .tickets = w.tickets, __VA_ARGS__}
#define TRUSTING(...)                                                                                        \
    &(struct pair_config)                                                                                    \
    {                                                                                                        \
        .role = TT_CLIENT, __VA_ARGS__                                                                       \
    }
    ends_at_the_client(SERVING(.chain = {below_between, between}), TRUSTING(.anchors = {w.root}), 100);
    ends_at_the_client(SERVING(.chain = {below_anchor}), TRUSTING(.anchors = {anchor}), 100);
    ends_at_the_client(SERVING(.chain = {w.server}), TRUSTING(.anchors = {w.root}, .crl = crl), 100);
    /* 300 seconds by which the responder's clock may differ */
    ends_at_the_client(SERVING(.chain = {w.server}, .ocsp = soon),
                       TRUSTING(.anchors = {w.root}, .require_ocsp = true), 400);
    ends_at_the_client(SERVING(.chain = {w.server}, .ocsp = by_other),
                       TRUSTING(.anchors = {w.root}, .require_ocsp = true), 100);
    der_free(crl);
    der_free(soon);
    der_free(by_other);
    struct node *all[] = {between, anchor, responder, below_between, below_anchor};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        node_free(all[i]);
}

/* The client looks at nothing, and offers whatever the time. */
static void ends_with_the_first_at_the_server(void **state)
{
    (void)state;
    struct node *between = short_lived(w.root, NULL),
                *below = node_new(
                    &(struct node_options){.cn = "client", .issuer = between, .extensions = CLIENT_USAGE});
    struct tt_bytes crl = crl_new(&(struct crl_options){.issuer = w.root, .until = TEST_NOW + 100});
    for (int with_crl = 0; with_crl < 2; with_crl++) {
        struct pair_config serving = {.role = TT_SERVER,
                                      .tickets = w.tickets,
                                      .chain = {w.server},
                                      .anchors = {w.root},
                                      .client_auth = TT_CLIENT_AUTH_REQUIRE};
        struct pair_config showing = {.role = TT_CLIENT, .chain = {below, between}, .accept_any = true};
        if (with_crl)
            serving.crl = crl, showing.chain[0] = w.client, showing.chain[1] = NULL;
        struct tt_config *server = pair_config_new(&serving), *client = pair_config_new(&showing);
        struct tt_session *s = pair_session(&(struct pair_options){client, server});
        assert_int_equal(s->lifetime, PAIR_LIFETIME);
        assert_true(pair_resumes(&(struct pair_options){client, server, {s}, 100 * 1000}, w.error));
        assert_false(pair_resumes(&(struct pair_options){client, server, {s}, 101 * 1000}, w.error));
        tt_session_free(s);
        tt_config_free(server);
        tt_config_free(client);
    }
    der_free(crl);
    node_free(between);
    node_free(below);
}

/* What the OCSP response said is known in the resumed connection, too, and its tickets carry it on. */
static void ocsp_goes_along(void **state)
{
    (void)state;
    struct tt_bytes response = ocsp_new(&(struct ocsp_options){.leaf = w.server, .issuer = w.root});
    struct tt_config *server = SERVER(.chain = {w.server}, .ocsp = response),
                     *client = CLIENT(.anchors = {w.root}, .require_ocsp = true);
    struct tt_session *s = pair_session(&(struct pair_options){client, server});
    for (int round = 1; round <= 2; round++) {
        struct pair p = pair_start(&(struct pair_options){client, server, {s}, round * 1000});
        struct tt_conn_info info;
        pair_run(&p);
        tt_conn_info(p.client, &info);
        assert_true(info.resumed && info.peer_ocsp_good);
        assert_int_equal(tt_conn_peer_ocsp(p.client).len, response.len);
        tt_session_free(s);
        s = tt_conn_take_session(p.client);
        assert_non_null(s);
        pair_free(&p);
    }
    tt_session_free(s);
    tt_config_free(server);
    tt_config_free(client);
    der_free(response);
}

/* ---- PSKs ---- */

static void another_key_is_another_psk(void **state)
{
    (void)state;
    struct tt_session *old = pair_psk(1), *new = pair_psk(2);
    struct tt_config *before = SERVER(.psk = old), *after = SERVER(.psk = new), *same = SERVER(.psk = old),
                     *client = CLIENT(.policy = TT_PSK_REQUIRE);
    struct tt_session *s = pair_session(&(struct pair_options){client, before, {old}});
    assert_true(pair_resumes(&(struct pair_options){client, same, {s}, 1000}, w.error));
    assert_false(pair_resumes(&(struct pair_options){client, after, {s}, 1000}, w.error));
    assert_non_null(strstr(w.error, "unknown_psk_identity"));
    /* A client that has the new key offers nothing of the old one, and connects. */
    struct pair p = pair_start(&(struct pair_options){client, after, {s, new}, 1000});
    pair_run(&p);
    assert_true(pair_connected(&p));
    struct tt_session *of_new = tt_conn_take_session(p.client);
    assert_memory_equal(session_auth(of_new).psk, new->psk_digest, 32);
    pair_free(&p);
    tt_session_free(of_new);
    tt_session_free(s);
    tt_session_free(old);
    tt_session_free(new);
    struct tt_config *const all[] = {before, after, same, client};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        tt_config_free(all[i]);
}

/* A server that has the PSK, and a certificate that nobody believes. */
static void a_psk_does_not_make_a_certificate(void **state)
{
    (void)state;
    struct node *rogue = node_server(w.other, "other.example");
    struct tt_session *psk = pair_psk(7);
    struct tt_config *server = SERVER(.chain = {rogue}, .psk = psk), *client = CLIENT(.anchors = {w.root});
    struct tt_session *s = pair_session(&(struct pair_options){client, server, {psk}});
    struct pair p = pair_start(&(struct pair_options){client, server, {s, psk}, 1000});
    struct tt_conn_info at_client, at_server;
    pair_run(&p);
    tt_conn_info(p.client, &at_client);
    tt_conn_info(p.server, &at_server);
    assert_true(at_client.resumed && at_server.resumed);
    assert_memory_equal(at_client.psk_identity.data, "device-1", 8);
    assert_memory_equal(at_server.psk_identity.data, "device-1", 8);
    pair_free(&p);
    assert_false(pair_resumes(&(struct pair_options){client, server, {s}, 1000}, w.error));
    assert_non_null(strstr(w.error, "not trusted"));
    tt_session_free(s);
    tt_session_free(psk);
    tt_config_free(server);
    tt_config_free(client);
    node_free(rogue);
}

/* Its digest stays with a PSK when its key goes; in the files of before, the key tells it. */
static void a_psk_is_known_by_its_digest(void **state)
{
    (void)state;
    struct tt_session *psk = pair_psk(1), *other = pair_psk(2), *held = NULL, *again = NULL, *ticket = NULL;
    uint8_t k1[32], k2[32], *bytes = NULL;
    size_t len = 0;
    assert_memory_not_equal(psk->psk_digest, other->psk_digest, 32);
    assert_int_equal(tt_session_hold(&held, psk, NULL, k1, k2, NULL), TT_OK);
    assert_memory_equal(held->psk_digest, psk->psk_digest, 32);
    assert_int_equal(tt_session_export(held, &bytes, &len), TT_OK);
    assert_int_equal(tt_session_import(&again, (struct tt_bytes){bytes, len}), TT_OK);
    assert_memory_equal(again->psk_digest, psk->psk_digest, 32);
    tt_free(bytes);
    tt_session_free(again);
    /* format 3, as it was written until this one: identity "d", key of 16 bytes */
    static const uint8_t head[] = {3, 1, 0x13, 0x01, 0, 0, 0, 1, 16, 'k', 'e', 'y'};
    uint8_t old[12 + 13 + 12 + 24 + 3 + 1 + 1 + 3] = {0};
    memcpy(old, head, sizeof head);
    memcpy(old + 12 + 13 + 12 + 24, "\0\1d", 3);
    old[7] = (uint8_t)psk->psk.hash;
    assert_int_equal(tt_session_import(&again, (struct tt_bytes){old, sizeof old}), TT_OK);
    struct tt_session *same = NULL;
    assert_int_equal(
        tt_session_new_external(&same, BYTES_OF("d"), BYTES_OF("key\0\0\0\0\0\0\0\0\0\0\0\0\0"), false, NULL),
        TT_OK);
    assert_memory_equal(again->psk_digest, same->psk_digest, 32);
    old[1] = 0; /* of a ticket: it says too little to be judged */
    assert_int_equal(tt_session_import(&ticket, (struct tt_bytes){old, sizeof old}), TT_ERR_DECODE);
    struct tt_session *const all[] = {psk, other, held, again, same};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        tt_session_free(all[i]);
}

/* ---- rules ---- */

static void a_session_is_for_its_configuration(void **state)
{
    (void)state;
    struct node *rogue = node_server(w.other, "host.example");
    struct tt_config *server = SERVER(.chain = {rogue}), *any = CLIENT(.accept_any = true),
                     *any_again = CLIENT(.accept_any = true), *strict = CLIENT(.anchors = {w.root}),
                     *believing = CLIENT(.anchors = {w.other});
    struct tt_session *s = pair_session(&(struct pair_options){any, server});
    assert_true(pair_resumes(&(struct pair_options){any_again, server, {s}, 1000}, w.error));
    assert_false(pair_resumes(&(struct pair_options){strict, server, {s}, 1000}, w.error));
    assert_non_null(strstr(w.error, "not trusted"));
    /* Also where a full handshake succeeds. */
    assert_false(pair_resumes(&(struct pair_options){believing, server, {s}, 1000}, w.error));
    assert_string_equal(w.error, "");
    /* A session that only says that it is of the other configuration is judged again. */
    struct auth a = session_auth(s);
    assert_int_equal(tt_config_fingerprint(strict, a.rules), TT_OK);
    session_set_auth(s, &a);
    assert_false(pair_resumes(&(struct pair_options){strict, server, {s}, 1000}, w.error));
    assert_non_null(strstr(w.error, "not trusted"));
    tt_session_free(s);
    struct tt_config *const all[] = {server, any, any_again, strict, believing};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        tt_config_free(all[i]);
    node_free(rogue);
}

/* The client signed with what the server takes no more. */
static void schemes_count(void **state)
{
    (void)state;
    const struct pair_config base = {.role = TT_SERVER,
                                     .tickets = w.tickets,
                                     .chain = {w.server},
                                     .anchors = {w.root},
                                     .client_auth = TT_CLIENT_AUTH_REQUIRE};
    struct pair_config ed25519 = base;
    ed25519.verify_scheme = TT_SCHEME_ED25519;
    struct tt_config *before = pair_config_new(&base), *after = pair_config_new(&ed25519),
                     *client = CLIENT(.chain = {w.client}, .anchors = {w.root});
    struct tt_session *s = pair_session(&(struct pair_options){client, before});
    assert_true(pair_resumes(&(struct pair_options){client, before, {s}, 1000}, w.error));
    assert_false(pair_resumes(&(struct pair_options){client, after, {s}, 1000}, w.error));
    tt_session_free(s);
    tt_config_free(before);
    tt_config_free(after);
    tt_config_free(client);
}

/* ---- more than one held PSK ---- */

/* Every binder is its holder's: two held PSKs around a ticket whose key is here. */
static void each_holder_is_asked(void **state)
{
    (void)state;
    struct tt_session *psk = pair_psk(1), *held = NULL;
    uint8_t k1[32], k2[32];
    struct tt_config *server = SERVER(.psk = psk), *client = CLIENT(.policy = TT_PSK_REQUIRE);
    struct tt_session *s = pair_session(&(struct pair_options){client, server, {psk}});
    assert_int_equal(tt_session_hold(&held, psk, k1, k1, k2, NULL), TT_OK);
    struct pair p = pair_start(&(struct pair_options){client, server, {held, s, held}, 1000});
    const struct tt_bytes key = {k1, sizeof k1};
    for (int asked = 0; asked < 2; asked++) {
        struct tt_psk_request q;
        uint8_t binder[32];
        assert_int_equal(tt_conn_psk_request(p.client, &q), TT_OK);
        assert_int_equal(q.operation, TT_PSK_BINDER);
        assert_int_equal(hmac(client->lib, HASH_SHA256, key, &q.input, 1, binder), TT_OK);
        assert_int_equal(tt_conn_output(p.client).len, 0);
        assert_int_equal(tt_conn_psk_complete(p.client, q.id, (struct tt_bytes){binder, 32}), TT_OK);
    }
    assert_int_equal(tt_conn_wants(p.client) & TT_WANT_PSK, 0);
    struct pump pump = {.client = p.client, .server = p.server};
    assert_true(pump_move(&pump, p.client, p.server));
    assert_int_equal(tt_conn_error(p.server)->error.rc, TT_OK); /* the first binder is right */
    pair_free(&p);
    tt_session_free(held);
    tt_session_free(psk);
    tt_session_free(s);
    tt_config_free(server);
    tt_config_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_client_looks_at_new_crls),
        cmocka_unit_test(the_server_looks_at_new_crls),
        cmocka_unit_test(ends_with_the_first_at_the_client),
        cmocka_unit_test(ends_with_the_first_at_the_server),
        cmocka_unit_test(ocsp_goes_along),
        cmocka_unit_test(another_key_is_another_psk),
        cmocka_unit_test(a_psk_does_not_make_a_certificate),
        cmocka_unit_test(a_psk_is_known_by_its_digest),
        cmocka_unit_test(a_session_is_for_its_configuration),
        cmocka_unit_test(schemes_count),
        cmocka_unit_test(each_holder_is_asked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
