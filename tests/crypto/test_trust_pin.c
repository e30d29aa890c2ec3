/* tests/crypto/test_trust_pin.c: pinned keys, alone and beside anchors, in certificates and bare (RFC 7250).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "crypto/judge.h"

static struct {
    struct crypto_lib *lib;
    struct node *root, *middle, *leaf, *other_middle, *other_leaf;
} w;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.middle = node_ca("middle", w.root);
    w.leaf = node_server(w.middle, "host.example");
    w.other_middle = node_ca("other middle", w.root);
    w.other_leaf = node_server(w.other_middle, "host.example");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_free(w.root);
    node_free(w.middle);
    node_free(w.leaf);
    node_free(w.other_middle);
    node_free(w.other_leaf);
    crypto_lib_free(w.lib);
    return 0;
}

static struct tt_trust *pinned(const struct node *anchor, const struct node *pin)
{
    struct tt_trust *t = trust_of(anchor, NULL);
    assert_int_equal(tt_trust_add_pin(t, pin->pin, NULL), TT_OK);
    assert_int_equal(tt_trust_count(t), anchor == NULL ? 1 : 2);
    return t;
}

#define TRIAL(t, ...) (&(struct trial){.lib = w.lib, .trust = t, .chain = {__VA_ARGS__}})

static void beside_anchors(void **state)
{
    (void)state;
    const struct node *pins[] = {w.leaf, w.middle};
    for (size_t i = 0; i < TT_COUNT(pins); i++) {
        struct tt_trust *t = pinned(w.root, pins[i]);
        assert_int_equal(trial_accept(TRIAL(t, w.leaf, w.middle)).basis, TRUST_BY_ANCHOR);
        trial_refuse(TRIAL(t, w.other_leaf, w.other_middle), TT_ALERT_BAD_CERTIFICATE,
                     "no key in its chain is a pinned one", "pin that");
        /* sent, but not in the path */
        trial_refuse(TRIAL(t, w.other_leaf, w.other_middle, w.middle, w.leaf), TT_ALERT_BAD_CERTIFICATE,
                     "no key in its chain is a pinned one", "pin that");
        /* a pinned key does not replace the path */
        struct trial late = *TRIAL(t, w.leaf, w.middle);
        late.now = TEST_NOW + 40 * 86400;
        trial_refuse(&late, TT_ALERT_CERTIFICATE_EXPIRED, "expired", "");
        tt_trust_free(t);
    }
    struct tt_trust *t = pinned(w.root, w.root);
    trial_accept(TRIAL(t, w.leaf, w.middle));
    tt_trust_free(t);
}

static void leaf_alone(void **state)
{
    (void)state;
    struct tt_trust *t = pinned(NULL, w.leaf);
    struct trust_verdict v = trial_accept(TRIAL(t, w.leaf, w.middle));
    assert_int_equal(v.basis, TRUST_BY_PIN);
    assert_int_equal(v.not_after, INT64_MAX);
    trial_accept(TRIAL(t, w.leaf));
    struct trial any = *TRIAL(t, w.leaf);
    any.host = "elsewhere.example";
    any.now = TEST_NOW + 4000 * 86400ll;
    trial_accept(&any);
    any.require_ocsp = true;
    trial_refuse(&any, TT_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE, "trusted by its key", "");
    trial_refuse(TRIAL(t, w.other_leaf, w.other_middle), TT_ALERT_UNKNOWN_CA,
                 "none of the keys in the peer's chain is a pinned one", "pin that");
    /* the pinned key somewhere else in the chain vouches for nobody */
    trial_refuse(TRIAL(t, w.other_leaf, w.leaf, w.other_middle), TT_ALERT_UNKNOWN_CA, "", "");
    tt_trust_free(t);
}

static void ca_alone(void **state)
{
    (void)state;
    struct tt_trust *t = pinned(NULL, w.middle);
    assert_int_equal(trial_accept(TRIAL(t, w.leaf, w.middle)).basis, TRUST_BY_ANCHOR);
    trial_refuse(TRIAL(t, w.leaf), TT_ALERT_UNKNOWN_CA, "none of the keys", "");
    trial_refuse(TRIAL(t, w.other_leaf, w.middle), TT_ALERT_UNKNOWN_CA, "who is not trusted", "");
    struct trial wrong = *TRIAL(t, w.leaf, w.middle);
    wrong.host = "elsewhere.example";
    trial_refuse(&wrong, TT_ALERT_BAD_CERTIFICATE, "is not for \"elsewhere.example\"", "");
    wrong.host = NULL;
    wrong.now = TEST_NOW + 40 * 86400;
    trial_refuse(&wrong, TT_ALERT_CERTIFICATE_EXPIRED, "expired", "");
    tt_trust_free(t);
    t = pinned(NULL, w.root);
    trial_accept(TRIAL(t, w.leaf, w.middle, w.root));
    tt_trust_free(t);
}

/* Anybody can put the pinned key into a certificate; nobody else can sign with it. */
static void ca_key_in_a_forged_certificate(void **state)
{
    (void)state;
    struct node *forged = node_new(&(struct node_options){
        .cn = "other middle", .same_key = w.middle, .issuer = w.other_middle, .extensions = CA_EXTENSIONS});
    struct node *silent =
        node_new(&(struct node_options){.cn = "silent",
                                        .issuer = w.other_middle,
                                        .no_ski = true,
                                        .no_aki = true,
                                        .extensions = {{"subjectAltName", "DNS:host.example"}}});
    struct tt_trust *t = pinned(NULL, w.middle);
    trial_refuse(TRIAL(t, w.other_leaf, forged), TT_ALERT_UNKNOWN_CA, "who is not trusted", "");
    trial_refuse(TRIAL(t, silent, forged), TT_ALERT_BAD_CERTIFICATE, "carries a signature", "");
    tt_trust_free(t);
    node_free(forged);
    node_free(silent);
}

/* By its key, a CA has the rules that the peer shows for that key; by its certificate, its own. */
static void ca_by_its_certificate(void **state)
{
    (void)state;
    struct node *ca = node_new(
        &(struct node_options){.cn = "bound",
                               .issuer = w.root,
                               .extensions = {{"basicConstraints", "critical,CA:TRUE"},
                                              {"keyUsage", "critical,keyCertSign"},
                                              {"nameConstraints", "critical,permitted;DNS:good.example"}}});
    struct node *unbound =
        node_new(&(struct node_options){.cn = "bound", .same_key = ca, .extensions = CA_EXTENSIONS});
    struct node *good = node_server(ca, "good.example"), *bad = node_server(ca, "host.example");
    uint8_t digest[EVP_MAX_MD_SIZE];
    assert_int_equal(X509_digest(ca->x509, EVP_sha256(), digest, NULL), 1);
    struct tt_trust *by_key = pinned(NULL, ca), *by_cert = trust_of(NULL, NULL);
    assert_int_equal(tt_trust_add_certificate_pin(by_cert, digest, NULL), TT_OK);
    assert_int_equal(tt_trust_count(by_cert), 1);
    assert_false(trust_takes_raw_keys(by_cert));
    struct trial fine = *TRIAL(by_cert, good, ca);
    fine.host = "good.example";
    assert_int_equal(trial_accept(&fine).basis, TRUST_BY_ANCHOR);
    trial_refuse(TRIAL(by_cert, bad, ca), TT_ALERT_BAD_CERTIFICATE, "name constraints", "");
    trial_refuse(TRIAL(by_cert, bad, unbound), TT_ALERT_UNKNOWN_CA, "none of the keys", "");
    trial_refuse(TRIAL(by_key, bad, ca), TT_ALERT_BAD_CERTIFICATE, "name constraints", "");
    trial_accept(TRIAL(by_key, bad, unbound)); /* what the manual says */
    tt_trust_free(by_key);
    tt_trust_free(by_cert);
    node_free(ca);
    node_free(unbound);
    node_free(good);
    node_free(bad);
}

static tt_rc raw(const struct tt_trust *t, const struct node *n, size_t cut, struct trust_verdict *v)
{
    unsigned char *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(n->x509), &spki);
    struct tt_error err = {0};
    tt_rc rc = trust_verify_raw_key(v, w.lib, t, (struct tt_bytes){spki, (size_t)len - cut}, &err);
    OPENSSL_free(spki);
    assert_int_equal(err.rc, rc);
    if (rc == TT_OK)
        pubkey_free(v->leaf_key);
    return rc;
}

static void raw_keys(void **state)
{
    (void)state;
    struct trust_verdict v = {0};
    struct tt_trust *t = pinned(NULL, w.leaf);
    assert_true(trust_takes_raw_keys(t));
    assert_int_equal(raw(t, w.leaf, 0, &v), TT_OK);
    assert_int_equal(v.basis, TRUST_BY_PIN);
    assert_int_equal(v.not_after, INT64_MAX);
    assert_int_equal(raw(t, w.other_leaf, 0, &v), TT_ERR_VERIFY);
    assert_int_equal(v.alert, TT_ALERT_CERTIFICATE_UNKNOWN);
    assert_int_equal(raw(t, w.leaf, 1, &v), TT_ERR_VERIFY);
    tt_trust_free(t);
    t = pinned(w.root, w.leaf);
    assert_false(trust_takes_raw_keys(t));
    assert_int_equal(raw(t, w.leaf, 0, &v), TT_ERR_VERIFY);
    assert_int_equal(v.alert, TT_ALERT_UNSUPPORTED_CERTIFICATE);
    tt_trust_free(t);
    t = trust_of(NULL, NULL);
    assert_false(trust_takes_raw_keys(t));
    tt_trust_free(t);
    assert_int_equal(raw(NULL, w.leaf, 0, &v), TT_OK);
    assert_int_equal(v.basis, TRUST_NOT_JUDGED);
    assert_int_equal(raw(NULL, w.leaf, 1, &v), TT_ERR_DECODE);
    assert_int_equal(v.alert, TT_ALERT_BAD_CERTIFICATE);
}

static void too_many_pins(void **state)
{
    (void)state;
    struct tt_error err = {0};
    struct tt_trust *t = trust_of(NULL, NULL);
    uint8_t pin[32] = {0};
    for (unsigned i = 0; i < 4096; i++) {
        pin[0] = (uint8_t)i, pin[1] = (uint8_t)(i >> 8);
        assert_int_equal(tt_trust_add_pin(t, pin, NULL), TT_OK);
    }
    assert_int_equal(tt_trust_add_pin(t, pin, &err), TT_ERR_USAGE);
    assert_int_equal(tt_trust_count(t), 4096);
    tt_trust_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside_anchors),
        cmocka_unit_test(leaf_alone),
        cmocka_unit_test(ca_alone),
        cmocka_unit_test(ca_key_in_a_forged_certificate),
        cmocka_unit_test(ca_by_its_certificate),
        cmocka_unit_test(raw_keys),
        cmocka_unit_test(too_many_pins),
    };
    return cmocka_run_group_tests_name("crypto/trust_pin", tests, set_up, tear_down);
}
