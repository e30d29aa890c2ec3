/* tests/tls/test_alerts_certificates.c: certificates that are not to be trusted, lists of them that are too
 * long, and signatures in CertificateVerify that are right in every way but one. RFC 9846 sections 4.5.1,
 * 4.5.2, 6.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/rsa.h>
#include <string.h>

#include "tls/edit.h"

/* What RFC 9846 demands here. Section 4.3.3: "The length of the Salt MUST be equal to the length of the
 * digest algorithm." Section 4.5.1.2: "then it MUST abort the handshake with an appropriate
 * certificate-related alert" */

static const struct test_cert good_server = {.cn = "server", .dns = "localhost", .eku = "serverAuth"};

/* A handshake in which one end's certificate is this one, up to the other end's judgement. */
static void judge(enum tt_role of, struct test_cert cert, unsigned alert)
{
    struct scene s;
    bool client = of == TT_CLIENT;
    scene_configs(&s,
                  (struct scene_options){.client_auth = client ? TT_CLIENT_AUTH_REQUIRE : TT_CLIENT_AUTH_NONE,
                                         .client_identity = client,
                                         .server_cert = client ? NULL : &cert,
                                         .client_cert = client ? &cert : NULL});
    scene_open(&s);
    while (scene_tick(&s))
        ;
    scene_expect_alert(&s, scene_other(of), cert.cn, alert);
    assert_int_equal(tt_conn_error(s.conn[scene_other(of)])->error.rc, TT_ERR_VERIFY);
    scene_free(&s);
}

static void certificates_of_a_server(void **state)
{
    (void)state;
    const int64_t day = 86400;
    struct test_cert c = good_server;
    c.not_before = TEST_NOW - 10 * day, c.not_after = TEST_NOW - day;
    judge(TT_SERVER, c, TT_ALERT_CERTIFICATE_EXPIRED);
    c.not_before = TEST_NOW + day, c.not_after = TEST_NOW + 10 * day;
    judge(TT_SERVER, c, TT_ALERT_CERTIFICATE_EXPIRED);
    c = good_server;
    c.dns = "example.com";
    judge(TT_SERVER, c, TT_ALERT_BAD_CERTIFICATE);
    c.dns = NULL; /* a common name is no name (RFC 9525) */
    c.cn = "localhost";
    judge(TT_SERVER, c, TT_ALERT_BAD_CERTIFICATE);
    c = good_server;
    c.eku = "clientAuth";
    judge(TT_SERVER, c, TT_ALERT_UNSUPPORTED_CERTIFICATE);
    struct test_key *other = test_key_new("P-256", &(struct test_cert){.cn = "another CA"});
    c = good_server;
    c.issuer = other;
    judge(TT_SERVER, c, TT_ALERT_UNKNOWN_CA);
    test_key_free(other);
    other = test_key_new("P-256", &(struct test_cert){.cn = "test CA"}); /* the same name, another key */
    c.issuer = other;
    judge(TT_SERVER, c, TT_ALERT_UNKNOWN_CA);
    test_key_free(other);
}

static void certificates_of_a_client(void **state)
{
    (void)state;
    const int64_t day = 86400;
    struct test_cert c = {.cn = "client", .eku = "clientAuth"};
    c.not_before = TEST_NOW - 10 * day, c.not_after = TEST_NOW - day;
    judge(TT_CLIENT, c, TT_ALERT_CERTIFICATE_EXPIRED);
    judge(TT_CLIENT, (struct test_cert){.cn = "client", .eku = "serverAuth"},
          TT_ALERT_UNSUPPORTED_CERTIFICATE);
    struct test_key *other = test_key_new("P-256", &(struct test_cert){.cn = "another CA"});
    judge(TT_CLIENT, (struct test_cert){.cn = "client", .issuer = other}, TT_ALERT_UNKNOWN_CA);
    test_key_free(other);
}

/* The end-entity certificate and n - 1 copies of it behind. */
static void certificates(enum scene_kind kind, enum conn_state at, size_t n, unsigned alert)
{
    static struct msg m;
    struct scene *s = scene_of(kind);
    enum tt_role end = row_role(at);
    scene_open(s);
    scene_reach(s, end, at);
    msg_set(&m, scene_next(s, end));
    static uint8_t entry[4096];
    size_t len = m.len - 8;
    assert_true(len <= sizeof entry);
    memcpy(entry, m.data + 8, len);
    for (size_t i = 1; i < n; i++)
        msg_splice(&m, m.len, 0, (struct tt_bytes){entry, len});
    size_t list = m.len - 8;
    m.data[5] = (uint8_t)(list >> 16), m.data[6] = (uint8_t)(list >> 8), m.data[7] = (uint8_t)list;
    (void)!row_deliver(s, end, (struct tt_bytes){m.data, m.len});
    if (alert == TT_ALERT_NONE)
        scene_expect_well(s, end, "certificates");
    else
        scene_expect_alert(s, end, "certificates", alert);
}

static void too_many_certificates(void **state)
{
    (void)state;
    certificates(KIND_PLAIN, CLIENT_WAIT_CERT_CR, 64, TT_ALERT_NONE);
    certificates(KIND_PLAIN, CLIENT_WAIT_CERT_CR, 65, TT_ALERT_BAD_CERTIFICATE);
    certificates(KIND_AUTH, SERVER_WAIT_CERT, 64, TT_ALERT_NONE);
    certificates(KIND_AUTH, SERVER_WAIT_CERT, 65, TT_ALERT_BAD_CERTIFICATE);
}

/* ---- signatures ---- */

struct signing {
    struct scene *s;
    enum tt_role end; /* who verifies */
    uint8_t content[256];
    size_t len;
};

/* Where CertificateVerify is due: what its signature must cover. */
static void begin(struct signing *g, enum scene_kind kind, enum conn_state at)
{
    g->s = scene_of(kind);
    g->end = row_role(at);
    scene_open(g->s);
    scene_reach(g->s, g->end, at);
    assert_int_equal(certificate_verify_content(g->s->conn[g->end], scene_other(g->end), g->content, &g->len),
                     TT_OK);
}

static const struct test_key *signer_of(const struct signing *g)
{
    return g->s->key[scene_other(g->end)];
}

static void send(struct signing *g, uint16_t scheme, struct tt_bytes signature, unsigned alert,
                 const char *what)
{
    static struct msg m;
    uint8_t head[] = {TT_HS_CERTIFICATE_VERIFY,
                      0,
                      0,
                      0,
                      (uint8_t)(scheme >> 8),
                      (uint8_t)scheme,
                      (uint8_t)(signature.len >> 8),
                      (uint8_t)signature.len};
    msg_set(&m, (struct tt_bytes){head, sizeof head});
    msg_splice(&m, m.len, 0, signature);
    (void)!row_deliver(g->s, g->end, (struct tt_bytes){m.data, m.len});
    if (alert == TT_ALERT_NONE)
        scene_expect_well(g->s, g->end, what);
    else
        scene_expect_alert(g->s, g->end, what, alert);
}

static void sign_and_send(struct signing *g, size_t len, unsigned alert, const char *what)
{
    uint8_t sig[512];
    const struct test_key *k = signer_of(g);
    size_t n = test_sign(k, k->scheme, (struct tt_bytes){g->content, len}, sig, sizeof sig);
    send(g, k->scheme, (struct tt_bytes){sig, n}, alert, what);
}

static void what_is_signed(void **state)
{
    (void)state;
    static const enum conn_state ends[] = {CLIENT_WAIT_CV, SERVER_WAIT_CV};
    for (size_t i = 0; i < TT_COUNT(ends); i++) {
        struct signing g;
        begin(&g, KIND_AUTH, ends[i]);
        sign_and_send(&g, g.len, TT_ALERT_NONE, "the right content");
        begin(&g, KIND_AUTH, ends[i]);
        memcpy(g.content + 64 + 9, i == 0 ? "client" : "server", 6);
        sign_and_send(&g, g.len, TT_ALERT_DECRYPT_ERROR, "the other end's context string");
        begin(&g, KIND_AUTH, ends[i]);
        g.content[0] = 0;
        sign_and_send(&g, g.len, TT_ALERT_DECRYPT_ERROR, "another octet before the context");
        begin(&g, KIND_AUTH, ends[i]);
        g.content[97] = 1;
        sign_and_send(&g, g.len, TT_ALERT_DECRYPT_ERROR, "another separator");
        begin(&g, KIND_AUTH, ends[i]);
        g.content[g.len - 1] ^= 1;
        sign_and_send(&g, g.len, TT_ALERT_DECRYPT_ERROR, "another transcript");
        begin(&g, KIND_AUTH, ends[i]);
        sign_and_send(&g, g.len - 1, TT_ALERT_DECRYPT_ERROR, "a shorter transcript hash");
        begin(&g, KIND_AUTH, ends[i]);
        memmove(g.content, g.content + 64, g.len - 64);
        sign_and_send(&g, g.len - 64, TT_ALERT_DECRYPT_ERROR, "no padding");
    }
}

/* A scheme that fits the key, and signs rightly, and yet was not offered. */
static void a_scheme_that_was_not_offered(void **state)
{
    (void)state;
    static const enum conn_state ends[] = {CLIENT_WAIT_CV, SERVER_WAIT_CV};
    static const uint16_t schemes[] = {TT_SCHEME_RSA_PSS_RSAE_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA384};
    uint8_t sig[512];
    for (size_t i = 0; i < TT_COUNT(ends); i++)
        for (size_t j = 0; j < TT_COUNT(schemes); j++) {
            struct signing g;
            begin(&g, KIND_ONE_SCHEME, ends[i]);
            size_t n =
                test_sign(signer_of(&g), schemes[j], (struct tt_bytes){g.content, g.len}, sig, sizeof sig);
            send(&g, schemes[j], (struct tt_bytes){sig, n},
                 j == 0 ? TT_ALERT_NONE : TT_ALERT_ILLEGAL_PARAMETER, "not offered");
        }
}

/* A key that is not the certificate's. */
static void another_key(void **state)
{
    (void)state;
    struct signing g;
    uint8_t sig[512];
    begin(&g, KIND_AUTH, CLIENT_WAIT_CV);
    const struct test_key *k = g.s->key[TT_CLIENT];
    size_t n = test_sign(k, k->scheme, (struct tt_bytes){g.content, g.len}, sig, sizeof sig);
    send(&g, k->scheme, (struct tt_bytes){sig, n}, TT_ALERT_DECRYPT_ERROR, "another key");
}

/* ECDSA signatures are DER (RFC 9846 section 4.3.3): the one valid encoding, nothing else. */
static void ecdsa_in_another_encoding(void **state)
{
    (void)state;
    uint8_t sig[512], bad[512];
    for (int form = 0; form < 4; form++) {
        struct signing g;
        begin(&g, KIND_AUTH, CLIENT_WAIT_CV);
        const struct test_key *k = signer_of(&g);
        size_t n = test_sign(k, k->scheme, (struct tt_bytes){g.content, g.len}, sig, sizeof sig), at = 0;
        if (form == 0) { /* a byte behind */
            memcpy(bad, sig, n);
            bad[n] = 0;
            at = n + 1;
        } else if (form == 1) { /* the length in long form */
            const uint8_t head[] = {0x30, 0x81, sig[1]};
            memcpy(bad, head, 3);
            memcpy(bad + 3, sig + 2, n - 2);
            at = n + 1;
        } else if (form == 2) { /* r with a zero before it */
            const uint8_t head[] = {0x30, (uint8_t)(sig[1] + 1), 2, (uint8_t)(sig[3] + 1), 0};
            memcpy(bad, head, 5);
            memcpy(bad + 5, sig + 4, n - 4);
            at = n + 1;
        } else { /* a byte short, with the lengths right */
            memcpy(bad, sig, n - 1);
            bad[1]--;
            bad[5 + sig[3]]--;
            at = n - 1;
        }
        send(&g, k->scheme, (struct tt_bytes){bad, at}, TT_ALERT_DECRYPT_ERROR, "another encoding");
    }
}

static size_t rsa_sign(const struct signing *g, int padding, int salt, uint8_t *sig, size_t cap)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    size_t len = cap;
    assert_int_equal(EVP_DigestSignInit_ex(ctx, &pctx, "SHA256", NULL, NULL, signer_of(g)->pkey, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pctx, padding), 1);
    if (padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &len, g->content, g->len), 1);
    EVP_MD_CTX_free(ctx);
    return len;
}

/* "The length of the Salt MUST be equal to the length of the output of the digest algorithm": TPMs that salt
 * with the maximum are what makes this matter, and the sentence says so. */
static void rsa_pss_with_another_salt(void **state)
{
    (void)state;
    static const int salts[] = {32, 222, 0, 20, 48};
    uint8_t sig[512];
    for (size_t i = 0; i < TT_COUNT(salts); i++) {
        struct signing g;
        begin(&g, KIND_RSA, CLIENT_WAIT_CV);
        size_t n = rsa_sign(&g, RSA_PKCS1_PSS_PADDING, salts[i], sig, sizeof sig);
        send(&g, TT_SCHEME_RSA_PSS_RSAE_SHA256, (struct tt_bytes){sig, n},
             salts[i] == 32 ? TT_ALERT_NONE : TT_ALERT_DECRYPT_ERROR, "another salt");
        if (salts[i] != 32)
            assert_non_null(strstr(tt_conn_error(g.s->conn[TT_CLIENT])->error.hint, "maximum"));
    }
    struct signing g;
    begin(&g, KIND_RSA, CLIENT_WAIT_CV);
    size_t n = rsa_sign(&g, RSA_PKCS1_PADDING, 0, sig, sizeof sig);
    send(&g, TT_SCHEME_RSA_PSS_RSAE_SHA256, (struct tt_bytes){sig, n}, TT_ALERT_DECRYPT_ERROR,
         "PKCS#1 that calls itself PSS");
}

static int tear_down(void **state)
{
    (void)state;
    scenes_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_of_a_server),      cmocka_unit_test(certificates_of_a_client),
        cmocka_unit_test(too_many_certificates),         cmocka_unit_test(what_is_signed),
        cmocka_unit_test(a_scheme_that_was_not_offered), cmocka_unit_test(another_key),
        cmocka_unit_test(ecdsa_in_another_encoding),     cmocka_unit_test(rsa_pss_with_another_salt),
    };
    return cmocka_run_group_tests_name("tls/alerts_certificates", tests, NULL, tear_down);
}
