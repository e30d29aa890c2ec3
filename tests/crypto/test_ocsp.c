/* tests/crypto/test_ocsp.c: stapled OCSP responses (RFC 6960) and must-staple (RFC 7633). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "crypto/judge.h"

#define DAY INT64_C(86400)
#define BAD TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE

static struct {
    struct crypto_lib *lib;
    struct node *root, *middle, *leaf, *sister, *staple, *responder, *plain_responder, *stranger;
    struct tt_trust *trust;
} w;

static struct node *make(const char *cn, const struct node *issuer, const char *eku)
{
    return node_new(&(struct node_options){
        .cn = cn, .issuer = issuer, .extensions = {{eku == NULL ? NULL : "extendedKeyUsage", eku}}});
}

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.middle = node_ca("middle", w.root);
    w.leaf = node_server(w.middle, "host.example");
    w.sister = node_server(w.middle, "host.example");
    w.staple = node_new(&(struct node_options){
        .cn = "staple",
        .issuer = w.middle,
        .extensions = {{"subjectAltName", "DNS:host.example"}, {"tlsfeature", "status_request"}}});
    w.responder = make("responder", w.middle, "OCSPSigning");
    w.plain_responder = make("plain", w.middle, NULL);
    w.stranger = make("stranger", w.root, "OCSPSigning");
    w.trust = trust_of(w.root, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct node *all[] = {w.root,      w.middle,          w.leaf,    w.sister, w.staple,
                          w.responder, w.plain_responder, w.stranger};
    for (size_t i = 0; i < TT_COUNT(all); i++)
        node_free(all[i]);
    tt_trust_free(w.trust);
    crypto_lib_free(w.lib);
    return 0;
}

static struct trial trial_with(struct tt_bytes ocsp)
{
    return (struct trial){
        .lib = w.lib, .trust = w.trust, .chain = {w.leaf, w.middle}, .asked_ocsp = true, .ocsp = ocsp};
}

static void good(const struct ocsp_options *o)
{
    struct trial t = trial_with(ocsp_new(o));
    assert_true(trial_accept(&t).ocsp_good);
    t.require_ocsp = true;
    assert_true(trial_accept(&t).ocsp_good);
    der_free(t.ocsp);
}

static void bad(const struct ocsp_options *o, unsigned alert, const char *text, const char *hint)
{
    struct trial t = trial_with(ocsp_new(o));
    trial_refuse(&t, alert, text, hint);
    t.asked_ocsp = false; /* what comes is checked in any case */
    trial_refuse(&t, alert, text, hint);
    der_free(t.ocsp);
}
#define GOOD(...)          good(&(struct ocsp_options){__VA_ARGS__})
#define OURS               .leaf = w.leaf, .issuer = w.middle
#define BAD_ONE(t, h, ...) bad(&(struct ocsp_options){__VA_ARGS__}, BAD, t, h)

static void good_ones(void **state)
{
    (void)state;
    GOOD(OURS);
    GOOD(OURS, .responder = w.responder);
    GOOD(OURS, .id_hash = EVP_sha256());
    GOOD(OURS, .until = -1, .from = TEST_NOW - 3600);
    GOOD(OURS, .from = TEST_NOW + 200); /* clocks differ a little */
    GOOD(OURS, .from = TEST_NOW - DAY, .until = TEST_NOW - 200);
}

static void revoked(void **state)
{
    (void)state;
    const char *const text =
        "the peer's certificate was revoked on 2026-05-31 23:00:00 UTC, its CA says by OCSP: "
        "keyCompromise";
    bad(&(struct ocsp_options){OURS, .status = V_OCSP_CERTSTATUS_REVOKED}, TT_ALERT_CERTIFICATE_REVOKED, text,
        "a new certificate");
    bad(&(struct ocsp_options){OURS, .status = V_OCSP_CERTSTATUS_REVOKED, .from = TEST_NOW - 9 * DAY,
                               .until = TEST_NOW - 8 * DAY},
        TT_ALERT_CERTIFICATE_REVOKED, text, "a new certificate");
}

static void bad_ones(void **state)
{
    (void)state;
    BAD_ONE("does not know the certificate", "fetch", OURS, .status = V_OCSP_CERTSTATUS_UNKNOWN);
    BAD_ONE("is about another certificate", "fetch", .leaf = w.sister, .issuer = w.middle);
    BAD_ONE("was not signed by the CA", "fetch", OURS, .responder = w.plain_responder);
    BAD_ONE("was not signed by the CA", "fetch", OURS, .responder = w.stranger);
    BAD_ONE("was not signed by the CA", "fetch", OURS, .responder = w.root);
    BAD_ONE("hash that is too weak", "fetch", OURS, .md = EVP_sha1());
    BAD_ONE("out of date: it was good until 2026-05-31", "clock", OURS, .from = TEST_NOW - 3 * DAY,
            .until = TEST_NOW - DAY);
    BAD_ONE("out of date: it is of 2026-05-30", "clock", OURS, .from = TEST_NOW - 2 * DAY, .until = -1);
    BAD_ONE("of the future: 2026-06-02", "clock", OURS, .from = TEST_NOW + DAY, .until = TEST_NOW + 2 * DAY);
    BAD_ONE("its CA answered \"trylater\"", "", OURS, .response_status = OCSP_RESPONSE_STATUS_TRYLATER);
}

static void broken_ones(void **state)
{
    (void)state;
    struct tt_bytes der = ocsp_new(&(struct ocsp_options){OURS});
    struct trial t = trial_with((struct tt_bytes){der.data, der.len - 1});
    trial_refuse(&t, BAD, "cannot be read", "fetch");
    uint8_t *spoilt = OPENSSL_malloc(der.len);
    for (size_t at = 0; at < der.len; at++) { /* every octet: none makes it better, none crashes */
        memcpy(spoilt, der.data, der.len);
        spoilt[at] ^= 0x55;
        t.ocsp = (struct tt_bytes){spoilt, der.len};
        struct trust_verdict v = {0};
        const struct tt_bytes chain[] = {w.leaf->cert, w.middle->cert};
        const struct trust_request req = {
            .chain = chain, .chain_len = 2, .peer_is_server = true, .now = TEST_NOW, .ocsp = t.ocsp};
        if (trust_verify(&v, w.lib, w.trust, &req, NULL) == TT_OK) {
            /* what is not signed: the responder's certificates, not needed here */
            assert_true(v.ocsp_good);
            pubkey_free(v.leaf_key);
        }
    }
    OPENSSL_free(spoilt);
    der_free(der);
}

static void must_staple(void **state)
{
    (void)state;
    assert_true(cert_wants_staple(w.staple->cert));
    assert_false(cert_wants_staple(w.leaf->cert));
    assert_false(cert_wants_staple((struct tt_bytes){w.staple->cert.data, w.staple->cert.len - 1}));
    struct trial t = {.lib = w.lib, .trust = w.trust, .chain = {w.staple, w.middle}};
    trial_accept(&t); /* RFC 7633: for what was asked for only */
    t.asked_ocsp = true;
    trial_refuse(&t, BAD, "its certificate demands (must-staple)", "fetch");
    t.ocsp = ocsp_new(&(struct ocsp_options){.leaf = w.staple, .issuer = w.middle});
    trial_accept(&t);
    der_free(t.ocsp);
}

static void required(void **state)
{
    (void)state;
    struct trial t = trial_with((struct tt_bytes){NULL, 0});
    trial_accept(&t);
    t.require_ocsp = true;
    trial_refuse(&t, BAD, "one is required", "fetch");
}

/* The responder's certificate is of the past. */
static void expired_responder(void **state)
{
    (void)state;
    struct node *old = node_new(&(struct node_options){.cn = "old",
                                                       .issuer = w.middle,
                                                       .until = TEST_NOW - DAY,
                                                       .extensions = {{"extendedKeyUsage", "OCSPSigning"}}});
    BAD_ONE("was not signed by the CA", "fetch", OURS, .responder = old);
    node_free(old);
}

/* A verdict ends with the responder's certificate, and where a CRL lists that. */
static void ends_with_the_responder(void **state)
{
    (void)state;
    struct node *brief =
        node_new(&(struct node_options){.cn = "brief",
                                        .issuer = w.middle,
                                        .until = TEST_NOW + 100,
                                        .extensions = {{"extendedKeyUsage", "OCSPSigning"}}});
    struct trial t = trial_with(ocsp_new(&(struct ocsp_options){OURS, .responder = brief}));
    assert_int_equal(trial_accept(&t).not_after, TEST_NOW + 100);
    t.now = TEST_NOW + 100;
    assert_true(trial_accept(&t).cached);
    t.now = TEST_NOW + 101;
    trial_refuse(&t, BAD, "was not signed by the CA", "fetch");
    der_free(t.ocsp);
    node_free(brief);
}

static void revoked_responder(void **state)
{
    (void)state;
    struct node *exempt = node_new(
        &(struct node_options){.cn = "exempt",
                               .issuer = w.middle,
                               .extensions = {{"extendedKeyUsage", "OCSPSigning"}, {"noCheck", "ignored"}}});
    const struct node *const responders[] = {w.responder, exempt, w.sister};
    for (size_t i = 0; i < TT_COUNT(responders); i++) { /* the last: another certificate is listed, no harm */
        struct tt_trust *trust = trust_of(w.root, w.middle);
        struct tt_bytes crl = crl_new(&(struct crl_options){.issuer = w.middle, .revoked = responders[i]});
        assert_int_equal(tt_trust_add_crl(trust, crl, NULL), TT_OK);
        const struct node *signer = i < 2 ? responders[i] : w.responder;
        struct trial t = trial_with(ocsp_new(&(struct ocsp_options){OURS, .responder = signer}));
        t.trust = trust;
        if (i < 2)
            trial_refuse(&t, BAD, "of a responder whose certificate was revoked", "fetch");
        else
            assert_true(trial_accept(&t).ocsp_good);
        der_free(t.ocsp);
        der_free(crl);
        tt_trust_free(trust);
    }
    node_free(exempt);
}

static void memory_ends_with_the_response(void **state)
{
    (void)state;
    struct trial t = trial_with(ocsp_new(&(struct ocsp_options){OURS, .until = TEST_NOW + DAY}));
    trial_accept(&t);
    t.now = TEST_NOW + DAY;
    struct trust_verdict v = trial_accept(&t);
    assert_true(v.cached && v.ocsp_good);
    t.now = TEST_NOW + DAY + 301;
    trial_refuse(&t, BAD, "out of date", "");
    der_free(t.ocsp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),         cmocka_unit_test(revoked),
        cmocka_unit_test(bad_ones),          cmocka_unit_test(broken_ones),
        cmocka_unit_test(must_staple),       cmocka_unit_test(required),
        cmocka_unit_test(expired_responder), cmocka_unit_test(ends_with_the_responder),
        cmocka_unit_test(revoked_responder), cmocka_unit_test(memory_ends_with_the_response),
    };
    return cmocka_run_group_tests_name("crypto/ocsp", tests, set_up, tear_down);
}
