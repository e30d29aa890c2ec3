/* tests/crypto/test_trust_path.c: chains as peers send them: whole, short, long, in another order, crossed,
 * with names that fit and names that do not. RFC 5280 section 6, RFC 9525. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "crypto/judge.h"

/* root -> middle -> leaf, and a stranger beside them */
static struct {
    struct crypto_lib *lib;
    struct node *root, *middle, *leaf, *direct, *stranger;
    struct tt_trust *trust;
} w;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(crypto_lib_new(&w.lib, NULL), TT_OK);
    w.root = node_ca("root", NULL);
    w.middle = node_ca("middle", w.root);
    w.leaf = node_server(w.middle, "host.example");
    w.direct = node_server(w.root, "host.example");
    w.stranger = node_ca("stranger", NULL);
    w.trust = trust_of(w.root, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tt_trust_free(w.trust);
    node_free(w.root);
    node_free(w.middle);
    node_free(w.leaf);
    node_free(w.direct);
    node_free(w.stranger);
    crypto_lib_free(w.lib);
    return 0;
}

#define TRIAL(...) (&(struct trial){.lib = w.lib, .trust = w.trust, .chain = {__VA_ARGS__}})

static void good_chains(void **state)
{
    (void)state;
    struct trust_verdict v = trial_accept(TRIAL(w.direct));
    assert_int_equal(v.basis, TRUST_BY_ANCHOR);
    assert_int_equal(v.not_after, TEST_NOW + 30 * 86400);
    assert_false(v.ocsp_good);
    trial_accept(TRIAL(w.leaf, w.middle));
    trial_accept(TRIAL(w.leaf, w.middle, w.root)); /* the root may be sent or not */
    trial_accept(TRIAL(w.leaf, w.root, w.middle)); /* RFC 9846 4.5.1.2: be prepared for other orders */
    trial_accept(TRIAL(w.leaf, w.stranger, w.middle, w.direct)); /* and for extraneous certificates */
    trial_accept(TRIAL(w.leaf, w.middle, w.middle, w.leaf));
}

static void missing_intermediate(void **state)
{
    (void)state;
    trial_refuse(TRIAL(w.leaf), TT_ALERT_UNKNOWN_CA,
                 "\"CN=server\" (number 1 in the chain) was issued by \"CN=middle\", who is not trusted",
                 "the peer has to send its certificate as well");
    struct tt_trust *knows = trust_of(w.root, w.middle);
    trial_accept(&(struct trial){.lib = w.lib, .trust = knows, .chain = {w.leaf}});
    tt_trust_free(knows);
}

static void unknown_roots(void **state)
{
    (void)state;
    struct tt_trust *other = trust_of(w.stranger, NULL);
    trial_refuse(&(struct trial){.lib = w.lib, .trust = other, .chain = {w.leaf, w.middle}},
                 TT_ALERT_UNKNOWN_CA, "\"CN=middle\" (number 2 in the chain) was issued by \"CN=root\"",
                 "trust the CA that issued it");
    trial_refuse(&(struct trial){.lib = w.lib, .trust = other, .chain = {w.leaf, w.middle, w.root}},
                 TT_ALERT_UNKNOWN_CA, "\"CN=root\" (number 3 in the chain) is the root of the chain",
                 "trust the CA that issued it");
    tt_trust_free(other);
}

/* Nobody is trusted for an intermediate CA alone. */
static void partial_chain_is_off(void **state)
{
    (void)state;
    struct tt_trust *partial = trust_of(w.middle, NULL);
    trial_refuse(&(struct trial){.lib = w.lib, .trust = partial, .chain = {w.leaf, w.middle}},
                 TT_ALERT_UNKNOWN_CA, "was issued by \"CN=root\"", "trust that as well");
    trial_refuse(&(struct trial){.lib = w.lib, .trust = partial, .chain = {w.leaf}}, TT_ALERT_UNKNOWN_CA,
                 "was issued by \"CN=root\"", "but not the root above it");
    tt_trust_free(partial);
}

static void wrong_order(void **state)
{
    (void)state;
    trial_refuse(TRIAL(w.middle, w.leaf), TT_ALERT_UNSUPPORTED_CERTIFICATE, "\"CN=middle\" (number 1",
                 "its own certificate has to come first");
    trial_refuse(TRIAL(w.root, w.middle, w.leaf), TT_ALERT_UNSUPPORTED_CERTIFICATE, "\"CN=root\" (number 1",
                 "wrong order");
}

/* The same CA, certified by two roots: either is enough, whichever comes first. */
static void cross_signed(void **state)
{
    (void)state;
    struct node *crossed = node_new(&(struct node_options){
        .cn = "middle", .same_key = w.middle, .issuer = w.stranger, .extensions = CA_EXTENSIONS});
    struct node *expired = node_new(&(struct node_options){.cn = "middle",
                                                           .same_key = w.middle,
                                                           .issuer = w.stranger,
                                                           .until = TEST_NOW - 86400,
                                                           .extensions = CA_EXTENSIONS});
    struct tt_trust *other = trust_of(w.stranger, NULL);
    const struct trial trials[] = {{.trust = w.trust, .chain = {w.leaf, crossed, w.middle}},
                                   {.trust = w.trust, .chain = {w.leaf, w.middle, crossed}},
                                   {.trust = w.trust, .chain = {w.leaf, expired, w.middle}},
                                   {.trust = other, .chain = {w.leaf, w.middle, crossed}},
                                   {.trust = other, .chain = {w.leaf, crossed, w.middle}}};
    for (size_t i = 0; i < TT_COUNT(trials); i++) {
        struct trial t = trials[i];
        t.lib = w.lib;
        trial_accept(&t);
    }
    tt_trust_free(other);
    node_free(crossed);
    node_free(expired);
}

/* What libcrypto would read as something else than it says is refused; an absolute name is the name. */
static void names_as_written(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {{".example", "letters, digits"},
                                           {"010.0.0.1", "without zeros in front"},
                                           {"10.0.0.1 evil", "letters, digits"},
                                           {" 10.0.0.1", "four decimal numbers"},
                                           {"10.1", "four decimal numbers"},
                                           {"b\xc3\xbc"
                                            "cher.example",
                                            "xn--"}};
    struct node *ip = node_new(&(struct node_options){
        .cn = "ip", .issuer = w.root, .extensions = {{"subjectAltName", "IP:10.0.0.1,DNS:host.example"}}});
    struct trial t = {.lib = w.lib, .trust = w.trust, .chain = {ip}};
    for (size_t i = 0; i < TT_COUNT(wrong); i++) {
        t.host = wrong[i][0];
        trial_refuse(&t, TT_ALERT_BAD_CERTIFICATE, "is no host name and no address", wrong[i][1]);
    }
    static const char *const right[] = {"10.0.0.1", "host.example", "host.example."};
    for (size_t i = 0; i < TT_COUNT(right); i++) {
        t.host = right[i];
        trial_accept(&t);
    }
    node_free(ip);
}

static void self_signed_leaf(void **state)
{
    (void)state;
    struct node *own = node_new(&(struct node_options){
        .cn = "own",
        .extensions = {{"subjectAltName", "DNS:host.example"}, {"basicConstraints", "CA:FALSE"}}});
    trial_refuse(TRIAL(own), TT_ALERT_UNKNOWN_CA, "\"CN=own\" (number 1 in the chain) is self-signed",
                 "if its owner confirms that this is its key, pin that: sha256:");
    struct tt_trust *trust = trust_of(own, NULL);
    trial_accept(&(struct trial){.lib = w.lib, .trust = trust, .chain = {own}});
    tt_trust_free(trust);
    node_free(own);
}

/* What 'openssl req -x509' makes: a CA certificate as leaf is fine when it may sign. */
static void ca_as_leaf(void **state)
{
    (void)state;
    struct node *own = node_new(&(struct node_options){
        .cn = "own",
        .extensions = {{"subjectAltName", "DNS:host.example"}, {"basicConstraints", "critical,CA:TRUE"}}});
    struct tt_trust *trust = trust_of(own, w.root);
    trial_accept(&(struct trial){.lib = w.lib, .trust = trust, .chain = {own}});
    trial_refuse(&(struct trial){.lib = w.lib, .trust = trust, .chain = {w.root}},
                 TT_ALERT_UNSUPPORTED_CERTIFICATE, "\"CN=root\" (number 1", "digitalSignature");
    tt_trust_free(trust);
    node_free(own);
}

static void names(void **state)
{
    (void)state;
    struct node *many = node_new(&(struct node_options){
        .cn = "host.example",
        .issuer = w.root,
        .extensions = {
            {"subjectAltName", "DNS:a.example,DNS:*.b.example,IP:192.0.2.1,IP:2001:db8::1,DNS:c.example"}}});
    struct trial t = {.lib = w.lib, .trust = w.trust, .chain = {many}};
    static const char *const good[] = {"a.example", "A.Example", "x.b.example", "192.0.2.1", "2001:db8::1"};
    static const char *const bad[] = {"b.example", "x.y.b.example", "host.example", "192.0.2.2",
                                      "2001:db8::2"};
    for (size_t i = 0; i < TT_COUNT(good); i++) {
        t.host = good[i];
        trial_accept(&t);
        t.host = bad[i];
        char text[80];
        snprintf(text, sizeof text,
                 "is not for \"%s\" but for \"a.example\", \"*.b.example\", \"192.0.2.1\" and 2 more",
                 bad[i]);
        trial_refuse(&t, TT_ALERT_BAD_CERTIFICATE, text, "connect by a name that is in it");
    }
    node_free(many);
    struct node *nameless = node_server(w.root, NULL);
    trial_refuse(TRIAL(nameless), TT_ALERT_BAD_CERTIFICATE,
                 "is not for \"host.example\", it has no host name at all", "a common name does not count");
    trial_accept(&(struct trial){.lib = w.lib, .trust = w.trust, .chain = {nameless}, .any_host = true});
    node_free(nameless);
}

/* A peer's names are shown, and move no cursor. */
static void names_that_draw(void **state)
{
    (void)state;
    struct node *evil =
        node_new(&(struct node_options){.cn = "\x1b[2J\r\nevil \xe2\x80\xae", .issuer = w.stranger});
    trial_refuse(TRIAL(evil), TT_ALERT_UNKNOWN_CA, "\\1B[2J\\0D\\0Aevil", "trust");
    node_free(evil);
    char longest[201];
    memset(longest, 'x', 60);
    longest[60] = '\0';
    struct node *wide = node_ca(longest, w.stranger);
    trial_refuse(TRIAL(wide), TT_ALERT_UNKNOWN_CA, "xxxxxxxx", "");
    node_free(wide);
}

static void ends_of_the_set(void **state)
{
    (void)state;
    struct tt_error err = {0};
    struct tt_trust *t = trust_of(NULL, NULL);
    assert_int_equal(tt_trust_count(t), 0);
    trial_refuse(&(struct trial){.lib = w.lib, .trust = t, .chain = {w.direct}}, TT_ALERT_UNKNOWN_CA,
                 "who is not trusted", "trust");
    const struct tt_bytes cut = {w.root->cert.data, w.root->cert.len - 1};
    assert_int_equal(tt_trust_add_der(t, cut, &err), TT_ERR_DECODE);
    assert_int_equal(tt_trust_add_der(t, (struct tt_bytes){NULL, 0}, NULL), TT_ERR_DECODE);
    uint8_t more[2048];
    memcpy(more, w.root->cert.data, w.root->cert.len);
    assert_int_equal(tt_trust_add_der(t, (struct tt_bytes){more, w.root->cert.len + 1}, NULL), TT_ERR_DECODE);
    assert_int_equal(tt_trust_count(t), 0);
    assert_int_equal(tt_trust_add_der(t, w.root->cert, NULL), TT_OK);
    assert_int_equal(tt_trust_count(t), 1);
    trust_freeze(t);
    assert_int_equal(tt_trust_add_der(t, w.root->cert, NULL), TT_ERR_USAGE);
    assert_int_equal(tt_trust_add_pin(t, w.root->pin, NULL), TT_ERR_USAGE);
    assert_int_equal(tt_trust_add_crl(t, w.root->cert, NULL), TT_ERR_USAGE);
    tt_trust_free(t);
}

static void unreadable_certificates(void **state)
{
    (void)state;
    struct trust_verdict v = {0};
    struct tt_error err = {0};
    static const uint8_t garbage[] = {0x30, 0x03, 0x02, 0x01, 0x05};
    struct tt_bytes chain[] = {{garbage, sizeof garbage}, w.middle->cert};
    struct trust_request req = {.chain = chain, .chain_len = 2, .peer_is_server = true, .now = TEST_NOW};
    assert_int_equal(trust_verify(&v, w.lib, w.trust, &req, &err), TT_ERR_DECODE);
    assert_int_equal(v.alert, TT_ALERT_BAD_CERTIFICATE);
    assert_int_equal(trust_verify(&v, w.lib, NULL, &req, &err), TT_ERR_DECODE);
    /* behind the leaf it does not matter */
    struct tt_bytes with_garbage[] = {w.leaf->cert, {garbage, sizeof garbage}, w.middle->cert};
    req = (struct trust_request){
        .chain = with_garbage, .chain_len = 3, .peer_is_server = true, .now = TEST_NOW};
    assert_int_equal(trust_verify(&v, w.lib, w.trust, &req, NULL), TT_OK);
    pubkey_free(v.leaf_key);
}

/* Anybody, but not for anything: the rules for what may sign are those of TLS. */
static void insecure_accepts_any(void **state)
{
    (void)state;
    const struct node *nobody = w.direct;
    struct trust_verdict v =
        trial_accept(&(struct trial){.lib = w.lib, .trust = NULL, .chain = {nobody}, .require_ocsp = true});
    assert_int_equal(v.basis, TRUST_NOT_JUDGED);
    trial_refuse(&(struct trial){.lib = w.lib, .trust = NULL, .chain = {w.stranger}},
                 TT_ALERT_UNSUPPORTED_CERTIFICATE, "does not allow digital signatures", "digitalSignature");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_chains),
        cmocka_unit_test(missing_intermediate),
        cmocka_unit_test(unknown_roots),
        cmocka_unit_test(partial_chain_is_off),
        cmocka_unit_test(wrong_order),
        cmocka_unit_test(cross_signed),
        cmocka_unit_test(names_as_written),
        cmocka_unit_test(self_signed_leaf),
        cmocka_unit_test(ca_as_leaf),
        cmocka_unit_test(names),
        cmocka_unit_test(names_that_draw),
        cmocka_unit_test(ends_of_the_set),
        cmocka_unit_test(unreadable_certificates),
        cmocka_unit_test(insecure_accepts_any),
    };
    return cmocka_run_group_tests_name("crypto/trust_path", tests, set_up, tear_down);
}
